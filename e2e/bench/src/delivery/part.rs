//! One part of the measurement: in a namespace of its own, with whatever was measured until it ended or failed.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use dcanary_harness::{Namespace, scenario};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace as CoreNamespace;
use kube::{Api, runtime::wait::await_condition};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::timeout,
};

/// Longest wait until nothing of a part is left.
const GONE: Duration = Duration::from_mins(5);
/// Longest reason in a row.
const WORDS: usize = 300;

/// Says on stderr how far it is, with the time.
pub fn say(text: impl AsRef<str>) {
    let now = Timestamp::now().strftime("%H:%M:%S");
    eprintln!("{now} {}", text.as_ref());
}

/// Whether somebody wants it to end.
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Listens for Ctrl-C and SIGTERM from now on.
    ///
    /// # Errors
    /// When signals cannot be listened for.
    pub fn listen() -> Result<Self> {
        let mut interrupted = signal(SignalKind::interrupt())?;
        let mut terminated = signal(SignalKind::terminate())?;
        let (tell, told) = watch::channel(false);
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
            }
            say("interrupted: what was created is deleted first");
            tell.send_replace(true);
        });
        Ok(Self(told))
    }

    /// Whether it was asked to end.
    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    async fn asked(&self) {
        // an error means that the listener is gone, which it only is after it has told
        let _ = self.0.clone().wait_for(|asked| *asked).await;
    }
}

/// What a part measured, and why it did not measure everything.
pub struct Part<T> {
    /// What it measured.
    pub found: T,
    /// Why it is not all.
    pub problem: Option<String>,
}

impl<T: Default> Part<T> {
    /// A part that nobody asked for.
    pub fn skipped() -> Self {
        Self {
            found: T::default(),
            problem: Some("not asked for".to_owned()),
        }
    }

    /// Measures in a namespace that is gone afterwards, also after a failure, of which the evidence is kept. Never fails itself, so that
    /// the other parts are measured.
    pub async fn measure(
        name: &str,
        stop: &Stop,
        body: impl AsyncFnOnce(&Namespace, &mut T) -> Result<()>,
    ) -> Self {
        say(format!("{name}: begins"));
        let (mut found, mut place) = (T::default(), None);
        let outcome = if stop.is_asked() {
            Err(anyhow!("interrupted"))
        } else {
            let (found, place) = (&mut found, &mut place);
            scenario(name, |ns| async move {
                *place = Some(ns.clone());
                tokio::select! {
                    done = body(&ns, found) => done,
                    () = stop.asked() => bail!("interrupted"),
                }
            })
            .await
        };
        if let Some(ns) = place.filter(|_| !stop.is_asked()) {
            gone(&ns).await;
        }
        let problem = outcome.err().map(|error| {
            say(format!("{name}: failed: {error:#}"));
            why(&error)
        });
        Self { found, problem }
    }
}

/// Waits until nothing of a namespace is left: the next part is not to be measured beside its end.
async fn gone(ns: &Namespace) {
    let api = Api::<CoreNamespace>::all(ns.cluster.client.clone());
    let found = api.get_opt(&ns.name).await;
    if found.is_ok_and(|found| found.is_some_and(|found| found.metadata.deletion_timestamp.is_none())) {
        say(format!("namespace {} is kept", ns.name));
        return;
    }
    let gone = await_condition(api, &ns.name, |found: Option<&CoreNamespace>| found.is_none());
    if !matches!(timeout(GONE, gone).await, Ok(Ok(_))) {
        say(format!(
            "namespace {} is still there, the next part begins beside its end",
            ns.name
        ));
    }
}

/// An error as a row of the table can tell it: on one line, not too long, and without folders of this machine.
fn why(error: &anyhow::Error) -> String {
    let causes: Vec<String> = error
        .chain()
        .map(ToString::to_string)
        .filter(|cause| !cause.starts_with("evidence is in "))
        .collect();
    let text = causes.join(": ");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut cut: String = text.chars().take(WORDS).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_short_line_and_says_nothing_of_where_evidence_is() {
        let error = anyhow!("status: {{\n  \"a\": 1\n}}")
            .context("canary 1")
            .context("evidence is in /root/state/e2e/x");
        assert_eq!(why(&error), "canary 1: status: { \"a\": 1 }");
        let long = why(&anyhow!("é".repeat(1000)));
        assert_eq!(long.chars().count(), WORDS + 1);
        assert!(long.ends_with('…'));
    }

    #[tokio::test]
    async fn a_part_that_nobody_asked_for_and_one_after_an_interruption_measure_nothing() {
        assert!(Part::<u32>::skipped().problem.is_some());
        let (tell, told) = watch::channel(false);
        tell.send_replace(true);
        let stop = Stop(told);
        stop.asked().await;
        let part = Part::measure("never", &stop, async |_: &Namespace, found: &mut u32| {
            *found = 1;
            Ok(())
        })
        .await;
        assert_eq!((part.found, part.problem.as_deref()), (0, Some("interrupted")));
    }
}

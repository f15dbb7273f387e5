//! Follows one run: redraws it, or only waits for its end.

use std::{io::IsTerminal as _, time::Duration};

use dcanary_crds::{PipelineRun, PipelineRunStatus};
use dcanary_types::record::Outcome;
use futures::{Stream, StreamExt as _};
use jiff::Timestamp;
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::{
    cluster::Cluster,
    exit::{Exit, Failure},
    journal::compare::outcome,
    output::{Style, print},
    render::tree,
};

/// Clears from the top of the last drawing to the end of the screen.
fn up(lines: usize) -> String {
    if lines == 0 {
        String::new()
    } else {
        format!("\u{1b}[{lines}F\u{1b}[J")
    }
}

/// The exit code of an ended run.
pub fn exit_of(run: &PipelineRun) -> Option<Exit> {
    let nothing = PipelineRunStatus::default();
    Some(match outcome(run.status.as_ref().unwrap_or(&nothing))? {
        Outcome::Succeeded => Exit::Succeeded,
        Outcome::Failed => Exit::Failed,
        Outcome::Cancelled => Exit::Cancelled,
        Outcome::TimedOut => Exit::TimedOut,
    })
}

/// Every state of a run, the present one first; ends when the run is deleted.
pub fn states(cluster: &Cluster, name: &str) -> impl Stream<Item = Result<PipelineRun, Failure>> + use<> {
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let (cluster, name) = (cluster.clone(), name.to_owned());
    watcher(cluster.runs(), config)
        .default_backoff()
        .scan(false, move |seen, event| {
            let item = match event {
                Ok(watcher::Event::Apply(run) | watcher::Event::InitApply(run)) => {
                    *seen = true;
                    Some(Some(Ok(run)))
                }
                Ok(watcher::Event::Delete(_)) => {
                    Some(Some(Err(Failure::cannot_tell(format!("run {name} was deleted")))))
                }
                Ok(watcher::Event::InitDone) if !*seen => Some(Some(Err(Failure::cannot_tell(format!(
                    "run {name} is not in namespace {}; see `dcanary get runs -A` for all",
                    cluster.namespace
                ))))),
                Ok(_) => Some(None),
                // Broken connections are opened again; a refusal is told.
                Err(watcher::Error::InitialListFailed(source)) if matches!(source, kube::Error::Api(_)) => {
                    Some(Some(Err(cluster.explain(&source, &format!("run {name}")))))
                }
                Err(_) => Some(None),
            };
            futures::future::ready(item)
        })
        .filter_map(futures::future::ready)
}

/// Redraws the tree until the run has ended. Without a terminal each state is printed once.
pub async fn show(cluster: &Cluster, name: &str, style: Style) -> Result<Exit, Failure> {
    let live = std::io::stdout().is_terminal();
    let mut states = Box::pin(states(cluster, name));
    let mut clock = interval(Duration::from_secs(1));
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut present: Option<PipelineRun> = None;
    let mut drawn = 0;
    let mut before = String::new();
    loop {
        tokio::select! {
            state = states.next() => match state {
                Some(state) => present = Some(state?),
                None => return Err(Failure::cannot_tell(format!("the watch on run {name} ended"))),
            },
            _ = clock.tick(), if live && present.is_some() => {}
        }
        let Some(run) = &present else { continue };
        let text = tree::tree(run, Timestamp::now(), style);
        if live {
            print(&format!("{}{text}", up(drawn)));
            drawn = text.lines().count();
        } else if text != before {
            print(&text);
            before = text;
        }
        if let Some(exit) = exit_of(run) {
            return Ok(exit);
        }
    }
}

/// Prints one JSON document a line for each change, until the run has ended.
pub async fn tell(cluster: &Cluster, name: &str) -> Result<Exit, Failure> {
    let mut states = Box::pin(states(cluster, name));
    let mut before = None;
    while let Some(run) = states.next().await {
        let run = run?;
        let version = run.metadata.resource_version.clone();
        // A watch that is opened again begins with the state that is known.
        if version.is_none() || version != before {
            let line = serde_json::to_string(&run)
                .map_err(|source| Failure::cannot_tell(format!("cannot print the run: {source}")))?;
            print(&format!("{line}\n"));
        }
        before = version;
        if let Some(exit) = exit_of(&run) {
            return Ok(exit);
        }
    }
    Err(Failure::cannot_tell(format!("the watch on run {name} ended")))
}

/// Waits silently for the end of a run.
pub async fn wait(cluster: &Cluster, name: &str, timeout: Option<Duration>) -> Result<PipelineRun, Failure> {
    let mut states = Box::pin(states(cluster, name));
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let over = async {
        match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => futures::future::pending().await,
        }
    };
    tokio::pin!(over);
    loop {
        tokio::select! {
            state = states.next() => match state {
                Some(Ok(run)) if exit_of(&run).is_some() => return Ok(run),
                Some(Ok(_)) => {}
                Some(Err(failure)) => return Err(failure),
                None => return Err(Failure::cannot_tell(format!("the watch on run {name} ended"))),
            },
            () = &mut over => {
                return Err(Failure {
                    exit: Exit::TimedOut,
                    message: format!("run {name} has not ended in time; it goes on, see `dcanary get run {name} -w`"),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tree::fixtures;

    #[test]
    fn an_ended_run_has_an_exit_code_and_a_running_one_has_none() {
        assert_eq!(exit_of(&fixtures::failed()), Some(Exit::Failed));
        assert_eq!(exit_of(&fixtures::running()), None);
        let mut cancelled = fixtures::failed();
        cancelled.status.as_mut().unwrap().conditions[0].reason = "Cancelled".to_owned();
        assert_eq!(exit_of(&cancelled), Some(Exit::Cancelled));
    }

    #[test]
    fn a_redraw_starts_where_the_last_drawing_did() {
        assert_eq!(up(0), "");
        assert_eq!(up(3), "\u{1b}[3F\u{1b}[J");
    }
}

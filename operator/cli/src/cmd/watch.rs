//! Follows one object: redraws it, or only waits for its end.

use std::{io::IsTerminal as _, time::Duration};

use dcanary_crds::{Environment, PipelineRun, PipelineRunStatus, Promotion};
use dcanary_types::record::Outcome;
use futures::{Stream, StreamExt as _};
use jiff::Timestamp;
use kube::{
    ResourceExt as _,
    runtime::{WatchStreamExt as _, watcher},
};
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::{
    cluster::{Cluster, kind::Named},
    exit::{Exit, Failure},
    journal::compare::outcome,
    output::{
        Style, print,
        screen::{Screen, rows},
    },
    render::{environment, promotions, tree},
};

/// Something that can be followed.
pub trait Followed: Named + Serialize + Send + 'static {
    /// What it looks like.
    fn draw(&self, now: Timestamp, style: Style) -> String;
    /// The exit code, once it has ended.
    fn exit(&self) -> Option<Exit>;
    /// Command that follows it.
    fn follow(name: &str) -> String;
}

impl Followed for PipelineRun {
    fn draw(&self, now: Timestamp, style: Style) -> String {
        tree::tree(self, now, style)
    }

    fn exit(&self) -> Option<Exit> {
        exit_of(self)
    }

    fn follow(name: &str) -> String {
        format!("dcanary get run {name} -w")
    }
}

impl Followed for Environment {
    fn draw(&self, now: Timestamp, style: Style) -> String {
        environment::tree(self, now, style)
    }

    // it has no end
    fn exit(&self) -> Option<Exit> {
        None
    }

    fn follow(name: &str) -> String {
        format!("dcanary get env {name} -w")
    }
}

impl Followed for Promotion {
    fn draw(&self, now: Timestamp, style: Style) -> String {
        promotions::promotions(std::slice::from_ref(self), false, false, now, style)
    }

    fn exit(&self) -> Option<Exit> {
        promotions::exit_of(self)
    }

    fn follow(name: &str) -> String {
        format!("dcanary get promotions {name}")
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

/// Every state of an object, the present one first; ends when it is deleted.
pub fn states<K: Followed>(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> impl Stream<Item = Result<K, Failure>> + use<K> {
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let objects = cluster.of::<K>(namespace);
    let (cluster, namespace, name) = (cluster.clone(), namespace.to_owned(), name.to_owned());
    watcher(objects, config)
        .default_backoff()
        .scan(Seen::default(), move |seen, event| {
            let explain = |source: &kube::Error| cluster.explain_one::<K>(source, &namespace, &name);
            futures::future::ready(Some(seen.take(event, &namespace, &name, explain)))
        })
        .filter_map(futures::future::ready)
}

/// What a watch has shown of its object.
#[derive(Default)]
struct Seen {
    /// It was there once.
    ever: bool,
    /// The present list, or what was watched since, has it. A watch that begins anew lists again, and what was deleted meanwhile is only not
    /// in the list.
    listed: bool,
}

impl Seen {
    /// What an event of the watch tells, if it tells something: pure.
    fn take<K: Followed>(
        &mut self,
        event: Result<watcher::Event<K>, watcher::Error>,
        namespace: &str,
        name: &str,
        explain: impl Fn(&kube::Error) -> Failure,
    ) -> Option<Result<K, Failure>> {
        let deleted = || Failure::cannot_tell(format!("{} {name} was deleted", K::WORD));
        match event {
            Ok(watcher::Event::Init) => {
                self.listed = false;
                None
            }
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                *self = Self {
                    ever: true,
                    listed: true,
                };
                Some(Ok(object))
            }
            Ok(watcher::Event::Delete(_)) => Some(Err(deleted())),
            Ok(watcher::Event::InitDone) if self.listed => None,
            Ok(watcher::Event::InitDone) if self.ever => Some(Err(deleted())),
            Ok(watcher::Event::InitDone) => Some(Err(Failure::cannot_tell(format!(
                "{} {name} is not in namespace {namespace}; see `{}` for all",
                K::WORD,
                K::LISTED
            )))),
            // Connections that broke are opened again; a refusal is told, and so is that there never was one.
            Err(watcher::Error::InitialListFailed(source) | watcher::Error::WatchStartFailed(source))
                if refused(&source) || !self.ever =>
            {
                Some(Err(explain(&source)))
            }
            Err(_) => None,
        }
    }
}

/// What the API server says no to now, it says no to again. Of what went wrong within it, as of a version that it has no more, the watch
/// begins anew.
fn refused(source: &kube::Error) -> bool {
    matches!(source, kube::Error::Api(status) if (400..500).contains(&status.code) && !matches!(status.code, 408 | 410 | 429))
}

fn over<K: Named>(name: &str) -> Failure {
    Failure::cannot_tell(format!("the watch on {} {name} ended", K::WORD))
}

/// Redraws the object until it has ended. Without a terminal each state is printed once.
pub async fn show<K: Followed>(cluster: &Cluster, name: &str, style: Style) -> Result<Exit, Failure> {
    let states = Box::pin(states::<K>(cluster, &cluster.namespace, name));
    if !std::io::stdout().is_terminal() {
        return list(states, name, style).await;
    }
    let mut screen = Screen::default();
    let ended = redraw(states, name, style, &mut screen).await;
    print(&screen.end(rows()));
    ended
}

async fn redraw<K: Followed>(
    mut states: impl Stream<Item = Result<K, Failure>> + Unpin,
    name: &str,
    style: Style,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    let mut clock = interval(Duration::from_secs(1));
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut present: Option<K> = None;
    loop {
        tokio::select! {
            state = states.next() => match state {
                Some(state) => present = Some(state?),
                None => return Err(over::<K>(name)),
            },
            _ = clock.tick(), if present.is_some() => {}
        }
        let Some(object) = &present else { continue };
        print(&screen.draw(object.draw(Timestamp::now(), style), rows()));
        if let Some(exit) = object.exit() {
            return Ok(exit);
        }
    }
}

async fn list<K: Followed>(
    mut states: impl Stream<Item = Result<K, Failure>> + Unpin,
    name: &str,
    style: Style,
) -> Result<Exit, Failure> {
    let mut before = String::new();
    while let Some(state) = states.next().await {
        let object = state?;
        let text = object.draw(Timestamp::now(), style);
        if text != before {
            print(&text);
            before = text;
        }
        if let Some(exit) = object.exit() {
            return Ok(exit);
        }
    }
    Err(over::<K>(name))
}

/// Prints one JSON document a line for each change, until the object has ended.
pub async fn tell<K: Followed>(cluster: &Cluster, name: &str) -> Result<Exit, Failure> {
    let mut states = Box::pin(states::<K>(cluster, &cluster.namespace, name));
    let mut before = None;
    while let Some(object) = states.next().await {
        let object = object?;
        let version = object.resource_version();
        // A watch that is opened again begins with the state that is known.
        if version.is_none() || version != before {
            let line = serde_json::to_string(&object).map_err(|source| {
                Failure::cannot_tell(format!("cannot print {} {name}: {source}", K::WORD))
            })?;
            print(&format!("{line}\n"));
        }
        before = version;
        if let Some(exit) = object.exit() {
            return Ok(exit);
        }
    }
    Err(over::<K>(name))
}

/// Waits silently for the end of an object.
pub async fn wait<K: Followed>(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    timeout: Option<Duration>,
) -> Result<K, Failure> {
    let mut states = Box::pin(states::<K>(cluster, namespace, name));
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let late = async {
        match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => futures::future::pending().await,
        }
    };
    tokio::pin!(late);
    loop {
        tokio::select! {
            state = states.next() => match state {
                Some(Ok(object)) if object.exit().is_some() => return Ok(object),
                Some(Ok(_)) => {}
                Some(Err(failure)) => return Err(failure),
                None => return Err(over::<K>(name)),
            },
            () = &mut late => {
                return Err(Failure {
                    exit: Exit::TimedOut,
                    message: format!("{} {name} has not ended in time; it goes on, see `{} -n {namespace}`", K::WORD, K::follow(name)),
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
    fn a_run_that_ended_by_its_deletion_has_the_exit_code_of_a_cancelled_one() {
        let mut deleted = fixtures::failed();
        deleted.status.as_mut().unwrap().conditions[0].reason = "Deleted".to_owned();
        assert_eq!(exit_of(&deleted), Some(Exit::Cancelled));
    }

    /// What is told of events.
    fn told(events: Vec<Result<watcher::Event<PipelineRun>, watcher::Error>>) -> Vec<Result<String, String>> {
        let mut seen = Seen::default();
        let explain = |source: &kube::Error| Failure::cannot_tell(source.to_string());
        events
            .into_iter()
            .filter_map(|event| seen.take(event, "team", "web-1", explain))
            .map(|item| item.map(|run| run.name_any()).map_err(|failure| failure.message))
            .collect()
    }

    fn broken() -> watcher::Error {
        watcher::Error::InitialListFailed(kube::Error::Service("the connection broke".into()))
    }

    #[test]
    fn a_run_that_is_deleted_while_its_watch_begins_anew_was_deleted() {
        use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
        let run = fixtures::running;
        let name = run().name_any();
        let deleted = "run web-1 was deleted".to_owned();
        assert_eq!(
            told(vec![
                Ok(Init),
                Ok(InitApply(run())),
                Ok(InitDone),
                Ok(Apply(run())),
                Ok(Init),
                Err(broken()),
                Ok(Init),
                Ok(InitDone)
            ]),
            [Ok(name.clone()), Ok(name.clone()), Err(deleted.clone())]
        );
        assert_eq!(
            told(vec![
                Ok(Init),
                Ok(InitApply(run())),
                Ok(InitDone),
                Ok(Delete(run()))
            ]),
            [Ok(name.clone()), Err(deleted)]
        );
        // One that is still there is followed on.
        assert_eq!(
            told(vec![
                Ok(Init),
                Ok(InitApply(run())),
                Ok(InitDone),
                Ok(Init),
                Ok(InitApply(run())),
                Ok(InitDone)
            ]),
            [Ok(name.clone()), Ok(name)]
        );
    }

    #[test]
    fn a_run_that_never_was_there_is_not_called_deleted_and_a_cluster_that_cannot_be_reached_is_told() {
        use watcher::Event::{Init, InitDone};
        assert_eq!(
            told(vec![Ok(Init), Ok(InitDone)]),
            [Err(
                "run web-1 is not in namespace team; see `dcanary get runs -A` for all".to_owned()
            )]
        );
        let said = told(vec![Ok(Init), Err(broken())]);
        assert!(
            matches!(said.as_slice(), [Err(said)] if said.contains("the connection broke")),
            "{said:?}"
        );
    }
}

//! Following a namespace while something else happens: every version of every object is seen.

use std::{collections::BTreeSet, future::Future, pin::pin};

use anyhow::{Result, bail};
use futures::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    runtime::{WatchStreamExt, watcher},
};

use crate::Namespace;

/// Names of build Pods whose containers may be running, at one moment.
pub type Live = BTreeSet<String>;

impl Namespace {
    /// Does something and tells which Pods were live at once, every time that changed.
    ///
    /// # Errors
    /// Those of the work, or of the watch.
    pub async fn live_pods<T>(&self, work: impl Future<Output = Result<T>>) -> Result<(T, Vec<Live>)> {
        let events = watcher(self.api::<Pod>(), watcher::Config::default()).default_backoff();
        let mut live: Vec<Live> = vec![Live::new()];
        let done = follow(events, work, |event| {
            let mut now = live.last().cloned().unwrap_or_default();
            match event {
                watcher::Event::Apply(pod) | watcher::Event::InitApply(pod) if is_live(&pod) => {
                    now.insert(pod.name_any());
                }
                watcher::Event::Apply(pod) | watcher::Event::InitApply(pod) | watcher::Event::Delete(pod) => {
                    now.remove(&pod.name_any());
                }
                watcher::Event::Init | watcher::Event::InitDone => {}
            }
            if live.last() != Some(&now) {
                live.push(now);
            }
        })
        .await?;
        Ok((done, live))
    }
}

impl Namespace {
    /// Does something and tells every weight that the candidate of an Environment has in force meanwhile, without repeats.
    ///
    /// # Errors
    /// Those of the work, or of the watch.
    pub async fn weights<T>(
        &self,
        environment: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<Vec<i64>> {
        let config = watcher::Config::default().fields(&format!("metadata.name={environment}"));
        let events = watcher(self.environments(), config)
            .default_backoff()
            .applied_objects();
        let mut weights = Vec::new();
        follow(events, work, |object| {
            let weight = object.data["status"]["rollout"]["weight"].as_i64().unwrap_or(0);
            if weights.last() != Some(&weight) {
                weights.push(weight);
            }
        })
        .await?;
        Ok(weights)
    }
}

async fn follow<E, T>(
    events: impl Stream<Item = Result<E, watcher::Error>>,
    work: impl Future<Output = Result<T>>,
    mut look: impl FnMut(E),
) -> Result<T> {
    let mut events = pin!(events.boxed_local());
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            event = events.try_next() => match event? {
                Some(event) => look(event),
                None => bail!("the watch ended"),
            },
            done = &mut work => return done,
        }
    }
}

/// A container of it is running, or may begin to.
fn is_live(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return true };
    let over = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let mut containers = status.container_statuses.iter().flatten();
    let terminated = containers.any(|one| one.state.as_ref().is_some_and(|state| state.terminated.is_some()));
    !over && !terminated
}

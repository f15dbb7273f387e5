//! Following a namespace while something else happens: every version of every object is seen.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::pin,
};

use anyhow::{Result, bail};
use futures::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    runtime::{WatchStreamExt, watcher},
};

use crate::{Namespace, RunView};

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

    /// Does something and tells the types of the records that a run wrote into its outbox meanwhile, in order.
    ///
    /// # Errors
    /// Those of the work, or of the watch.
    pub async fn records<T>(
        &self,
        run: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<(T, Vec<String>)> {
        let config = watcher::Config::default().fields(&format!("metadata.name={run}"));
        let events = watcher(self.runs(), config).default_backoff();
        let mut records: BTreeMap<i64, String> = BTreeMap::new();
        let done = follow(events.applied_objects(), work, |object| {
            let view = RunView(serde_json::to_value(&object).unwrap_or_default());
            for record in view.status()["journal"]["pending"]
                .as_array()
                .into_iter()
                .flatten()
            {
                if let (Some(n), Some(kind)) = (record["n"].as_i64(), record["btype"].as_str()) {
                    records.insert(n, kind.to_owned());
                }
            }
        })
        .await?;
        Ok((done, records.into_values().collect()))
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

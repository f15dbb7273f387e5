//! Pods whose readiness a test decides: a gate of each Pod that somebody else opens and closes.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use dcanary_harness::{Namespace, fixtures::LIMIT};
use futures::TryStreamExt;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
    runtime::{WatchStreamExt, wait::await_condition, watcher},
};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle};

/// Type of the condition that Pods wait for.
const GATE: &str = "e2e.dcanary.dev/open";

/// Gives the Pods of an Environment a gate.
pub(super) fn gated(environment: &mut Value) {
    environment["spec"]["workload"]["template"]["spec"]["template"]["spec"]["readinessGates"] =
        json!([{"conditionType": GATE}]);
}

/// The gates of a namespace's Pods: open but for those of workloads that are closed. They are left as they are when this is dropped.
pub(super) struct Gates {
    ns: Namespace,
    closed: watch::Sender<BTreeSet<String>>,
    task: JoinHandle<Result<()>>,
}

impl Gates {
    pub(super) fn of(ns: &Namespace) -> Self {
        let (closed, now) = watch::channel(BTreeSet::new());
        let pods: Api<Pod> = ns.api();
        let task = tokio::spawn(async move {
            let events = watcher(pods.clone(), watcher::Config::default());
            let mut events = Box::pin(events.default_backoff().applied_objects());
            let mut changed = now.clone();
            loop {
                tokio::select! {
                    pod = events.try_next() => turn(&pods, &pod?.context("the watch ended")?, &now).await?,
                    change = changed.changed() => {
                        change?;
                        for pod in pods.list(&ListParams::default()).await? {
                            turn(&pods, &pod, &now).await?;
                        }
                    }
                }
            }
        });
        Self {
            ns: ns.clone(),
            closed,
            task,
        }
    }

    /// Makes the Pods of a workload unready and waits until the cluster counts none of them.
    pub(super) async fn close(&self, workload: &str) -> Result<()> {
        self.closed.send_modify(|closed| {
            closed.insert(workload.to_owned());
        });
        let none = |found: Option<&Deployment>| {
            let status = found.and_then(|found| found.status.as_ref());
            status.is_some_and(|status| status.available_replicas.unwrap_or(0) == 0)
        };
        let gone = await_condition(self.ns.api::<Deployment>(), workload, none);
        tokio::time::timeout(LIMIT, gone)
            .await
            .with_context(|| format!("{workload} still has ready Pods"))??;
        Ok(())
    }

    /// Lets them become ready again.
    pub(super) fn open(&self, workload: &str) {
        self.closed.send_modify(|closed| {
            closed.remove(workload);
        });
    }
}

impl Drop for Gates {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Turns the gate of one Pod as it should be.
async fn turn(pods: &Api<Pod>, pod: &Pod, closed: &watch::Receiver<BTreeSet<String>>) -> Result<()> {
    let of = pod
        .metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get("dcanary.dev/release"));
    let open = of.is_none_or(|of| !closed.borrow().contains(of));
    let wanted = if open { "True" } else { "False" };
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let gate = conditions.and_then(|all| all.iter().find(|condition| condition.type_ == GATE));
    if gate.is_some_and(|gate| gate.status == wanted) {
        return Ok(());
    }
    let patch = json!({"status": {"conditions": [{"type": GATE, "status": wanted}]}});
    let name = pod.metadata.name.as_deref().context("name")?;
    match pods
        .patch_status(name, &PatchParams::default(), &Patch::Strategic(patch))
        .await
    {
        // it has gone meanwhile
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        answer => answer.map(drop).map_err(Into::into),
    }
}

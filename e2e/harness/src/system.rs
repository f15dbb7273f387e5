//! The product's own Pods, for tests that disturb them. Such tests run alone.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, bail};
use futures::{AsyncBufReadExt, TryStreamExt};
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::{ConfigMap, Pod},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, LogParams, Patch, PatchParams},
    runtime::{
        WatchStreamExt,
        wait::{Condition, await_condition},
        watcher,
    },
};
use serde_json::json;

use crate::{Cluster, forward::Forward, metrics::metric};

const LIMIT: Duration = Duration::from_secs(120);
const RUN_UID: &str = "dcanary.dev/run-uid";
const OPERATOR: &str = "dcanary-operator";
/// Port of the server's metrics.
const METRICS: u16 = 9090;
/// The ledger node.
pub const LEDGER: &str = "dcanary-ledger";
/// The server.
pub const SERVER: &str = "dcanary-server";

/// Handles of the product's own objects.
#[derive(Clone)]
pub struct System {
    cluster: Cluster,
}

impl System {
    /// The product in this cluster.
    pub fn of(cluster: &Cluster) -> Self {
        Self {
            cluster: cluster.clone(),
        }
    }

    fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.cluster.client.clone(), &self.cluster.operator_namespace)
    }

    fn sets(&self) -> Api<StatefulSet> {
        Api::namespaced(self.cluster.client.clone(), &self.cluster.operator_namespace)
    }

    /// Pods of the operator's namespace.
    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.cluster.client.clone(), &self.cluster.operator_namespace)
    }

    /// Sets the failpoint of the operator (`None`: none) and waits until the new operator serves.
    ///
    /// # Errors
    /// When it does not serve in time.
    pub async fn arm(&self, failpoint: Option<&str>) -> Result<()> {
        self.operator_variable("DCANARY_FAILPOINT", failpoint).await
    }

    /// Sets a variable of the operator (`None`: none) and waits until the new operator serves.
    ///
    /// # Errors
    /// When it does not serve in time.
    pub async fn operator_variable(&self, name: &str, value: Option<&str>) -> Result<()> {
        let patch = variable("operator", name, value);
        self.deployments()
            .patch(OPERATOR, &PatchParams::default(), &Patch::Strategic(&patch))
            .await?;
        self.operator_serves().await
    }

    /// The value of a variable of the operator, if it has one.
    ///
    /// # Errors
    /// When the operator is not there.
    pub async fn operator_value(&self, name: &str) -> Result<Option<String>> {
        let spec = self.deployments().get(OPERATOR).await?.spec;
        let pod = spec.and_then(|spec| spec.template.spec);
        let containers = pod.into_iter().flat_map(|pod| pod.containers);
        let mut variables = containers.flat_map(|container| container.env.unwrap_or_default());
        Ok(variables.find(|one| one.name == name).and_then(|one| one.value))
    }

    /// Sets a variable of the server (`None`: none) and waits until the new server serves.
    ///
    /// # Errors
    /// When it does not serve in time.
    pub async fn server_variable(&self, name: &str, value: Option<&str>) -> Result<()> {
        let patch = variable("server", name, value);
        let set = self
            .sets()
            .patch(SERVER, &PatchParams::default(), &Patch::Strategic(&patch))
            .await?;
        self.rolled(SERVER, set.metadata.generation).await
    }

    /// Replaces the Pod of a stateful part as `kubectl rollout restart` does, and waits until its successor serves.
    ///
    /// # Errors
    /// When it does not serve in time.
    pub async fn restart(&self, name: &str) -> Result<()> {
        let set = self.sets().restart(name).await?;
        self.rolled(name, set.metadata.generation).await
    }

    async fn rolled(&self, name: &str, generation: Option<i64>) -> Result<()> {
        let rolled = |found: Option<&StatefulSet>| {
            found.and_then(|set| set.status.as_ref()).is_some_and(|status| {
                status.observed_generation >= generation
                    && status.update_revision == status.current_revision
                    && status.ready_replicas == Some(status.replicas)
                    && status.replicas > 0
            })
        };
        within("the new Pod serves", await_condition(self.sets(), name, rolled)).await
    }

    /// Sets the number of operators and waits until they serve.
    ///
    /// # Errors
    /// When they do not serve in time.
    pub async fn operators(&self, replicas: i32) -> Result<()> {
        let patch = json!({"spec": {"replicas": replicas}});
        self.deployments()
            .patch(OPERATOR, &PatchParams::default(), &Patch::Merge(&patch))
            .await?;
        self.operator_serves().await
    }

    async fn operator_serves(&self) -> Result<()> {
        let serves = |found: Option<&Deployment>| {
            found.is_some_and(|deployment| {
                let status = deployment.status.clone().unwrap_or_default();
                let wanted = deployment
                    .spec
                    .as_ref()
                    .and_then(|spec| spec.replicas)
                    .unwrap_or(1);
                status.observed_generation >= deployment.metadata.generation
                    && status.updated_replicas.unwrap_or(0) == wanted
                    && status.available_replicas.unwrap_or(0) == wanted
                    && status.replicas.unwrap_or(0) == wanted
            })
        };
        within(
            "the operator serves",
            await_condition(self.deployments(), OPERATOR, serves),
        )
        .await
    }

    /// Waits until the operator was killed at each of these failpoints, which it says with `killed` in its log, and serves again.
    ///
    /// # Errors
    /// When that does not happen in time; names those that were not reached.
    pub async fn operator_was_killed(&self, points: &[String], killed: &str, limit: Duration) -> Result<()> {
        let mut left: BTreeSet<&String> = points.iter().collect();
        let all = async {
            // one that ends its container is told by the log of the container before
            let (mut pod, mut restarts) = self.restarted(i32::from(points.len() == 1)).await?;
            loop {
                for previous in [true, false] {
                    if previous && restarts == 0 {
                        continue;
                    }
                    let params = LogParams {
                        previous,
                        follow: !previous && points.len() > 1,
                        ..LogParams::default()
                    };
                    let mut lines = self.pods().log_stream(&pod, &params).await?.lines();
                    while !left.is_empty()
                        && let Some(line) = lines.try_next().await?
                    {
                        if line.contains(killed) {
                            left.retain(|point| !line.contains(point.as_str()));
                        }
                    }
                }
                if left.is_empty() {
                    return self.restarted(0).await;
                }
                // its container ended while its log was read: the rest is told by the next one
                (pod, restarts) = self.restarted(restarts + 1).await?;
            }
        };
        let ended = tokio::time::timeout(limit, all).await;
        match ended {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.context(format!("not reached: {left:?}"))),
            Err(_) => bail!("after {limit:?} these failpoints were not reached: {left:?}"),
        }
    }

    /// Waits until the operator's container is ready after so many restarts at least; its Pod, and how many there were.
    async fn restarted(&self, times: i32) -> Result<(String, i32)> {
        let config = watcher::Config::default().labels("app.kubernetes.io/component=operator");
        let mut pods = Box::pin(watcher(self.pods(), config).default_backoff().applied_objects());
        while let Some(pod) = pods.try_next().await? {
            let status = pod.status.clone().unwrap_or_default();
            let mut containers = status.container_statuses.unwrap_or_default().into_iter();
            let ready = containers.find(|container| container.restart_count >= times && container.ready);
            if let Some(container) = ready {
                return Ok((pod.name_any(), container.restart_count));
            }
        }
        bail!("the watch ended")
    }

    /// Stops a stateful part ([`LEDGER`], [`SERVER`]) and waits until its Pod is gone.
    ///
    /// # Errors
    /// When it does not go in time.
    pub async fn stop(&self, name: &str) -> Result<()> {
        let pod = format!("{name}-0");
        let uid = self.pods().get(&pod).await?.uid().unwrap_or_default();
        self.scale(name, 0).await?;
        within(
            "the Pod is gone",
            await_condition(self.pods(), &pod, kube::runtime::conditions::is_deleted(&uid)),
        )
        .await
    }

    /// Starts a stateful part again and waits until it is ready.
    ///
    /// # Errors
    /// When it is not ready in time.
    pub async fn start(&self, name: &str) -> Result<()> {
        self.scale(name, 1).await?;
        within(
            "the Pod is ready",
            await_condition(self.pods(), &format!("{name}-0"), ready()),
        )
        .await
    }

    /// Kills the only Pod of a stateful part at once, without a chance to end well, and keeps it away. Returns when it is gone.
    ///
    /// # Errors
    /// When it does not go in time.
    pub async fn kill_and_keep_away(&self, name: &str) -> Result<()> {
        let pod = format!("{name}-0");
        // in this order: whoever is scaled down is told to end first. A successor is gone before it starts
        self.pods()
            .delete(&pod, &DeleteParams::default().grace_period(0))
            .await?;
        self.scale(name, 0).await?;
        let none_wanted = |found: Option<&StatefulSet>| {
            found.is_some_and(|set| {
                let status = set.status.as_ref();
                status.and_then(|status| status.observed_generation) >= set.metadata.generation
                    && status.is_some_and(|status| status.replicas == 0)
            })
        };
        within("none is wanted", await_condition(self.sets(), name, none_wanted)).await?;
        self.no_pod(&pod).await
    }

    async fn no_pod(&self, name: &str) -> Result<()> {
        let gone = |found: Option<&Pod>| found.is_none();
        within("the Pod is gone", await_condition(self.pods(), name, gone)).await
    }

    /// Kills the only Pod of a stateful part at once, without a chance to end well. Returns when its successor is ready.
    ///
    /// # Errors
    /// When the successor is not ready in time.
    pub async fn kill(&self, name: &str) -> Result<()> {
        let pod = format!("{name}-0");
        let uid = self.pods().get(&pod).await?.uid().unwrap_or_default();
        self.pods()
            .delete(&pod, &DeleteParams::default().grace_period(0))
            .await?;
        let successor = |found: Option<&Pod>| {
            found.is_some_and(|pod| pod.metadata.uid.as_ref() != Some(&uid)) && ready().matches_object(found)
        };
        within(
            "the successor is ready",
            await_condition(self.pods(), &pod, successor),
        )
        .await
    }

    async fn scale(&self, name: &str, replicas: i32) -> Result<()> {
        let patch = json!({"spec": {"replicas": replicas}});
        self.sets()
            .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await?;
        Ok(())
    }

    /// Waits until no sealed records of a run are left, which happens when the ledger has taken them.
    ///
    /// # Errors
    /// When some are still there in the end.
    pub async fn nothing_left_behind(&self, run_uid: &str) -> Result<()> {
        let maps: Api<ConfigMap> =
            Api::namespaced(self.cluster.client.clone(), &self.cluster.operator_namespace);
        let mine = ListParams::default().labels(&format!("{RUN_UID}={run_uid}"));
        for map in maps.list(&mine).await?.items {
            let (name, uid) = (map.name_any(), map.uid().unwrap_or_default());
            let taken = await_condition(maps.clone(), &name, kube::runtime::conditions::is_deleted(&uid));
            within("the sealed records are taken", taken).await?;
        }
        Ok(())
    }

    /// Waits until the server has received more of an artifact than it had at first.
    ///
    /// # Errors
    /// When nothing comes in time, or its metrics cannot be read.
    pub async fn receives_an_upload(&self) -> Result<()> {
        let port = Forward::to(self.pods(), &format!("{SERVER}-0"), METRICS).await?;
        let received = || metric(port.address, "dcanary_server_uploads_received_bytes_total", &[]);
        let before = received().await?;
        let begins = async {
            // the figure changes without an event
            while received().await? <= before {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(LIMIT, begins)
            .await
            .context("no upload begins")?
    }

    /// Waits until a part has no Pod any more, also none that ends.
    ///
    /// # Errors
    /// When they do not go in time.
    pub async fn gone(&self, component: &str) -> Result<()> {
        for pod in self.pods_of(component).await? {
            self.no_pod(&pod).await?;
        }
        Ok(())
    }

    /// Names of the Pods of a part (`operator`, `server`, `ledger`).
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn pods_of(&self, component: &str) -> Result<Vec<String>> {
        let params = ListParams::default().labels(&format!("app.kubernetes.io/component={component}"));
        let pods = self.pods().list(&params).await?;
        Ok(pods.items.iter().map(ResourceExt::name_any).collect())
    }
}

fn variable(container: &str, name: &str, value: Option<&str>) -> serde_json::Value {
    let variable = match value {
        Some(value) => json!({"name": name, "value": value}),
        None => json!({"name": name, "$patch": "delete"}),
    };
    json!({"spec": {"template": {"spec": {"containers": [{"name": container, "env": [variable]}]}}}})
}

/// A Pod that is ready.
pub fn ready() -> impl Condition<Pod> {
    |pod: Option<&Pod>| {
        pod.and_then(|pod| pod.status.as_ref()?.conditions.as_ref())
            .is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
    }
}

async fn within<T>(
    what: &str,
    condition: impl Future<Output = Result<T, kube::runtime::wait::Error>>,
) -> Result<()> {
    match tokio::time::timeout(LIMIT, condition).await {
        Ok(reached) => reached.map(drop).with_context(|| format!("wait until {what}")),
        Err(_) => bail!("not so after {LIMIT:?}: {what}"),
    }
}

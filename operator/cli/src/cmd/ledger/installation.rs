//! Makes the parts of an installation rest, and brings them back.

use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::Pod,
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
    runtime::{
        WatchStreamExt as _,
        wait::{Condition, await_condition},
        watcher::watch_object,
    },
};
use serde_json::{Value, json};
use tokio::time::{Instant, interval, timeout};

use super::{
    parts::{Names, REPLICAS},
    standing::{self, Standing},
};
use crate::{
    cluster::{Cluster, causes},
    exit::Failure,
    output::note,
};

/// Longest wait for a part of the installation to rest or to run.
const PATIENCE: Duration = Duration::from_secs(180);
/// Pause between words about what is waited for.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// The parts, and how to reach them.
pub struct Installation {
    /// Their names.
    pub names: Names,
    /// Pods of the operator's namespace.
    pub pods: Api<Pod>,
    operators: Api<Deployment>,
    ledgers: Api<StatefulSet>,
    namespace: String,
}

impl Installation {
    /// The installation of the operator's namespace.
    pub fn of(cluster: &Cluster, names: Names) -> Self {
        let (client, namespace) = (&cluster.client, &cluster.operator_namespace);
        Self {
            names,
            pods: Api::namespaced(client.clone(), namespace),
            operators: Api::namespaced(client.clone(), namespace),
            ledgers: Api::namespaced(client.clone(), namespace),
            namespace: namespace.clone(),
        }
    }

    /// The operator's Deployment.
    pub async fn operator(&self) -> Result<Deployment, Failure> {
        get(&self.operators, &self.names.operator).await
    }

    /// The node's StatefulSet.
    pub async fn ledger(&self) -> Result<StatefulSet, Failure> {
        get(&self.ledgers, &self.names.ledger).await
    }

    /// Keeps the operator's replicas where a restore that is repeated finds them, or forgets them.
    pub async fn keep_replicas(&self, replicas: Option<i32>) -> Result<(), Failure> {
        let value = replicas.map_or(Value::Null, |replicas| replicas.to_string().into());
        let patch = json!({"metadata": {"annotations": {REPLICAS: value}}});
        self.operators
            .patch(
                &self.names.operator,
                &PatchParams::default(),
                &Patch::Merge(&patch),
            )
            .await
            .map(drop)
            .map_err(|source| {
                Failure::cannot_tell(format!(
                    "cannot annotate {}: {}",
                    self.names.operator,
                    causes(&source)
                ))
            })
    }

    /// Asks for so many operators.
    pub async fn scale_operator(&self, replicas: i32) -> Result<(), Failure> {
        scale(&self.operators, &self.names.operator, replicas).await
    }

    /// Waits until there are so many operators.
    pub async fn operator_has(&self, replicas: i32) -> Result<(), Failure> {
        let there = move |deployment: Option<&Deployment>| {
            let status = deployment.and_then(|deployment| deployment.status.as_ref());
            status.is_some_and(|status| status.replicas.unwrap_or(0) == replicas)
        };
        until(
            &self.operators,
            &self.names.operator,
            there,
            "has the replicas asked for",
        )
        .await
        .map(drop)
    }

    /// Stops the node and waits until it is gone.
    pub async fn stop_node(&self) -> Result<(), Failure> {
        self.scale_node(0).await?;
        self.is_gone(&self.names.pod).await
    }

    /// Asks for the node, or for none.
    pub async fn scale_node(&self, replicas: i32) -> Result<(), Failure> {
        scale(&self.ledgers, &self.names.ledger, replicas).await
    }

    /// Deletes the Pod that restores, if there is one, and waits until it is gone.
    pub async fn remove_restore_pod(&self) -> Result<(), Failure> {
        let name = &self.names.restore;
        match self.pods.delete(name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(source) => Err(Failure::cannot_tell(format!(
                "cannot delete Pod {name}: {}",
                causes(&source)
            ))),
            Ok(_) => self.is_gone(name).await,
        }
    }

    async fn is_gone(&self, pod: &str) -> Result<(), Failure> {
        until(&self.pods, pod, |pod: Option<&Pod>| pod.is_none(), "is gone")
            .await
            .map(drop)
    }

    /// Waits until a Pod is as the condition says.
    pub async fn until_pod(
        &self,
        pod: &str,
        condition: impl Condition<Pod>,
        what: &str,
    ) -> Result<Option<Pod>, Failure> {
        until(&self.pods, pod, condition, what).await
    }

    /// Waits until the node serves: while its program runs for as long as is `allowed`, because after its log has grown for long it has much
    /// to execute; and says every minute what it waits for.
    pub async fn node_serves(&self, allowed: Option<Duration>) -> Result<(), Failure> {
        let pod = &self.names.pod;
        let see = format!("see `kubectl describe pod {pod} -n {}`", self.namespace);
        let allowed = allowed.unwrap_or_default().max(PATIENCE);
        let mut seen = Box::pin(watch_object(self.pods.clone(), pod).default_backoff());
        let mut clock = interval(Duration::from_secs(1));
        let began = Instant::now();
        let (mut ran, mut said) = (began, began);
        let mut standing = Standing::Starts("it is not there yet".to_owned());
        loop {
            tokio::select! {
                Some(event) = seen.next() => if let Ok(found) = event {
                    standing = standing::of(found.as_ref());
                },
                _ = clock.tick() => {}
            }
            let what = match &standing {
                Standing::Ready => return Ok(()),
                Standing::Fails(why) => {
                    return Err(Failure::cannot_tell(format!(
                        "the node does not start: Pod {pod}: {why}; {see}"
                    )));
                }
                Standing::Works => {
                    ran = Instant::now();
                    "it executes its log"
                }
                Standing::Starts(why) => why,
            };
            let waited = began.elapsed();
            if waited >= allowed || ran.elapsed() >= PATIENCE {
                return Err(Failure::cannot_tell(format!(
                    "waited {} s in vain until Pod {pod} is ready: {what}; {see}",
                    waited.as_secs()
                )));
            }
            if said.elapsed() >= SAID_EVERY {
                said = Instant::now();
                note(&format!(
                    "waiting for the node, Pod {pod}: {what} ({} s of at most {} s)",
                    waited.as_secs(),
                    allowed.as_secs()
                ));
            }
        }
    }
}

async fn get<K>(api: &Api<K>, name: &str) -> Result<K, Failure>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    api.get(name).await.map_err(|source| {
        Failure::cannot_tell(format!(
            "cannot read {name}: {}; name the operator's namespace with --operator-namespace",
            causes(&source)
        ))
    })
}

async fn scale<K>(api: &Api<K>, name: &str, replicas: i32) -> Result<(), Failure>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let patch = json!({"spec": {"replicas": replicas}});
    api.patch_scale(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map(drop)
        .map_err(|source| {
            Failure::cannot_tell(format!("cannot scale {name} to {replicas}: {}", causes(&source)))
        })
}

async fn until<K>(
    api: &Api<K>,
    name: &str,
    condition: impl Condition<K>,
    what: &str,
) -> Result<Option<K>, Failure>
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let waited = timeout(PATIENCE, await_condition(api.clone(), name, condition)).await;
    match waited {
        Ok(Ok(object)) => Ok(object),
        Ok(Err(source)) => Err(Failure::cannot_tell(format!(
            "cannot see whether {name} {what}: {}",
            causes(&source)
        ))),
        Err(_) => Err(Failure::cannot_tell(format!(
            "waited {} s in vain until {name} {what}; see `kubectl describe`",
            PATIENCE.as_secs()
        ))),
    }
}

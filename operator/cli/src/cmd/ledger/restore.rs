//! `ledger restore`: the embedded node goes on from a backup.
//!
//! The order is what matters. The operator rests first and comes back last, so that the first thing that is recorded is that the node
//! was restored; in between the node rests, because two cannot have one folder. Whatever fails, both are started again.

use std::{
    io::{IsTerminal, stdin},
    path::Path,
    time::Duration,
};

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::Pod,
};
use kube::{
    Api,
    api::{AttachParams, DeleteParams, Patch, PatchParams, PostParams},
    runtime::wait::{Condition, await_condition},
};
use serde_json::json;
use tokio::{fs::File, io::AsyncWriteExt, time::timeout};

use super::{
    backup::text,
    parts::{LEDGER, OPERATOR, RESTORE, replicas_of_operator, restore_pod},
};
use crate::{
    args::{Global, RestoreArgs},
    cluster::{Cluster, causes},
    cmd::ask::confirmed,
    exit::{Exit, Failure},
    output::note,
};

/// Longest wait for a part of the installation to rest or to be ready.
const PATIENCE: Duration = Duration::from_secs(180);

/// Runs `ledger restore`.
pub async fn run(global: &Global, args: &RestoreArgs) -> Result<Exit, Failure> {
    global.form("dcanary ledger restore", &[])?;
    let backup = File::open(&args.file)
        .await
        .map_err(|source| Failure::usage(format!("cannot read {}: {source}", args.file.display())))?;
    let cluster = Cluster::connect(global).await?;
    let parts = Parts::of(&cluster);
    let replicas = replicas_of_operator(&parts.get(&parts.operators, OPERATOR).await?);
    let pod = restore_pod(&parts.get(&parts.ledgers, LEDGER).await?, args.incarnation)
        .map_err(|what| Failure::failed(format!("StatefulSet {LEDGER} is not the chart's: {what}")))?;
    if !args.yes {
        note(&format!(
            "the ledger of namespace {} forgets what was recorded after the backup; whoever saw it is told (LedgerForked). Its present \
             data is kept on its volume",
            cluster.operator_namespace
        ));
        if !confirmed(
            "Restore it?",
            "restore",
            stdin().is_terminal(),
            &mut stdin().lock(),
        )? {
            return Err(Failure::failed("nothing was restored"));
        }
    }
    let restored = parts.restore(&pod, backup, &args.file).await;
    // whatever became of it, the installation goes on
    let node = parts.start_node().await;
    let operator = parts.scale_operator(replicas).await;
    let said = restored?;
    node?;
    operator?;
    note(&format!(
        "{}; the node serves again, and the operator records it first",
        said.trim()
    ));
    Ok(Exit::Succeeded)
}

struct Parts {
    operators: Api<Deployment>,
    ledgers: Api<StatefulSet>,
    pods: Api<Pod>,
}

impl Parts {
    fn of(cluster: &Cluster) -> Self {
        let (client, namespace) = (&cluster.client, &cluster.operator_namespace);
        Self {
            operators: Api::namespaced(client.clone(), namespace),
            ledgers: Api::namespaced(client.clone(), namespace),
            pods: Api::namespaced(client.clone(), namespace),
        }
    }

    async fn get<K>(&self, api: &Api<K>, name: &str) -> Result<K, Failure>
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

    async fn restore(&self, pod: &Pod, backup: File, path: &Path) -> Result<String, Failure> {
        self.scale_operator(0).await?;
        self.stop_node().await?;
        // what an interrupted one has left
        self.remove_pod().await?;
        self.pods
            .create(&PostParams::default(), pod)
            .await
            .map_err(|source| {
                Failure::cannot_tell(format!("cannot make Pod {RESTORE}: {}", causes(&source)))
            })?;
        let said = self.feed(backup, path).await;
        let removed = self.remove_pod().await;
        let said = said?;
        removed?;
        Ok(said)
    }

    /// Hands the backup to the Pod; what it says.
    async fn feed(&self, mut backup: File, path: &Path) -> Result<String, Failure> {
        let cannot = |what: String| Failure::cannot_tell(format!("nothing is restored: {what}"));
        let runs = |pod: Option<&Pod>| {
            let status = pod.and_then(|pod| pod.status.as_ref());
            status
                .and_then(|status| status.phase.as_deref())
                .is_some_and(|phase| phase != "Pending")
        };
        self.until(&self.pods, RESTORE, runs, "starts").await?;
        let params = AttachParams::default().stdin(true).stdout(false).stderr(true);
        let mut process = self
            .pods
            .attach(RESTORE, &params)
            .await
            .map_err(|source| cannot(causes(&source)))?;
        let broken = || cannot("the connection has no such stream".to_owned());
        let mut input = process.stdin().ok_or_else(broken)?;
        let said = tokio::spawn(text(process.stderr().ok_or_else(broken)?));
        let copied = tokio::io::copy(&mut backup, &mut input).await;
        // the end of the backup, which the node waits for
        let closed = input.shutdown().await;
        drop(input);
        let ended = |pod: Option<&Pod>| {
            let status = pod.and_then(|pod| pod.status.as_ref());
            matches!(
                status.and_then(|status| status.phase.as_deref()),
                Some("Succeeded" | "Failed")
            )
        };
        let pod = self.until(&self.pods, RESTORE, ended, "ends").await?;
        let said = said.await.unwrap_or_default();
        let phase = pod.and_then(|pod| pod.status).and_then(|status| status.phase);
        if phase.as_deref() != Some("Succeeded") {
            return Err(cannot(said.trim().to_owned()));
        }
        copied.map_err(|source| cannot(format!("{}: {source}", path.display())))?;
        closed.map_err(|source| cannot(source.to_string()))?;
        Ok(said)
    }

    async fn remove_pod(&self) -> Result<(), Failure> {
        match self.pods.delete(RESTORE, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(source) => {
                return Err(Failure::cannot_tell(format!(
                    "cannot delete Pod {RESTORE}: {}",
                    causes(&source)
                )));
            }
            Ok(_) => {}
        }
        self.until(&self.pods, RESTORE, |pod: Option<&Pod>| pod.is_none(), "is gone")
            .await
            .map(drop)
    }

    async fn stop_node(&self) -> Result<(), Failure> {
        self.scale(&self.ledgers, LEDGER, 0).await?;
        let pod = format!("{LEDGER}-0");
        self.until(&self.pods, &pod, |pod: Option<&Pod>| pod.is_none(), "is gone")
            .await
            .map(drop)
    }

    async fn start_node(&self) -> Result<(), Failure> {
        self.scale(&self.ledgers, LEDGER, 1).await?;
        let ready = |set: Option<&StatefulSet>| {
            let status = set.and_then(|set| set.status.as_ref());
            status.and_then(|status| status.ready_replicas) == Some(1)
        };
        self.until(&self.ledgers, LEDGER, ready, "is ready")
            .await
            .map(drop)
    }

    async fn scale_operator(&self, replicas: i32) -> Result<(), Failure> {
        self.scale(&self.operators, OPERATOR, replicas).await?;
        let there = move |deployment: Option<&Deployment>| {
            let status = deployment.and_then(|deployment| deployment.status.as_ref());
            status.is_some_and(|status| status.replicas.unwrap_or(0) == replicas)
        };
        self.until(&self.operators, OPERATOR, there, "has the replicas asked for")
            .await
            .map(drop)
    }

    async fn scale<K>(&self, api: &Api<K>, name: &str, replicas: i32) -> Result<(), Failure>
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
        &self,
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
}

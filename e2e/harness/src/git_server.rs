//! A Git server in the namespace of a test: `git://git-server/<repository>`.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::AttachParams,
    runtime::{
        conditions,
        wait::{Condition, await_condition},
    },
};
use tokio::io::AsyncWriteExt;

use crate::Namespace;

const START: Duration = Duration::from_secs(90);

/// The daemon starts when the repositories have come in by standard input.
const OBJECTS: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  name: git-server
  labels: {app: git-server}
spec:
  automountServiceAccountToken: false
  securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
  terminationGracePeriodSeconds: 0
  containers:
    - name: git
      image: registry.local:5000/builder:1
      imagePullPolicy: Never
      stdin: true
      stdinOnce: true
      command: [sh, -c, "tar -x -C /workspace && exec git daemon --export-all --base-path=/workspace --reuseaddr"]
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
      ports: [{containerPort: 9418}]
      readinessProbe: {tcpSocket: {port: 9418}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata:
  name: git-server
spec:
  selector: {app: git-server}
  ports: [{port: 9418}]
"#;

/// Starts a Git server that serves the bare repositories of a tar, and waits until it answers.
///
/// # Errors
/// When the Pod does not start, or the tar cannot be sent.
pub async fn serve(ns: &Namespace, repositories: &[u8]) -> Result<()> {
    ns.apply(OBJECTS).await?;
    let pods: Api<Pod> = ns.api();
    until(&pods, "start", conditions::is_pod_running()).await?;
    let params = AttachParams::default()
        .stdin(true)
        .stdout(false)
        .stderr(true)
        .container("git");
    let mut attached = pods.attach("git-server", &params).await?;
    let mut stdin = attached.stdin().context("standard input of the Git server")?;
    stdin.write_all(repositories).await?;
    stdin.shutdown().await?;
    drop(stdin);
    until(&pods, "become ready", |pod: Option<&Pod>| {
        pod.and_then(|pod| pod.status.as_ref()?.conditions.as_ref())
            .is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
    })
    .await
}

async fn until(pods: &Api<Pod>, what: &str, condition: impl Condition<Pod>) -> Result<()> {
    match tokio::time::timeout(START, await_condition(pods.clone(), "git-server", condition)).await {
        Ok(reached) => reached.map(drop).context("watch the Git server"),
        Err(_) => bail!("the Git server did not {what} in {START:?}"),
    }
}

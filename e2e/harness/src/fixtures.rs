//! What many tests need: images, runs as YAML, the first Pod of a run.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::{AsyncBufReadExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::LogParams,
    runtime::{conditions, wait::await_condition},
};
use serde_json::{Value, json};

use crate::{Namespace, RunView, cli::dcanary, journal};

/// How long a test waits for one thing.
pub const LIMIT: Duration = Duration::from_secs(180);
/// A shell and little more.
pub const BUSYBOX: &str = "registry.local:5000/busybox:1";
/// A tool chain with curl and Python.
pub const BUILDER: &str = "registry.local:5000/builder:1";

/// A PipelineRun with inline stages.
pub fn run(name: &str, stages: &Value) -> String {
    run_with(name, &json!({"pipelineSpec": {"stages": stages}}))
}

/// A PipelineRun with a spec.
pub fn run_with(name: &str, spec: &Value) -> String {
    object("PipelineRun", name, spec)
}

/// An object of the product.
pub fn object(kind: &str, name: &str, spec: &Value) -> String {
    json!({"apiVersion": "dcanary.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
        .to_string()
}

/// A stage in busybox with one script.
pub fn stage(name: &str, script: &str) -> Value {
    json!({"name": name, "image": BUSYBOX, "steps": [{"run": script}]})
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

impl RunView {
    /// The last attempt of a stage.
    ///
    /// # Errors
    /// When it has none.
    pub fn attempt(&self, stage: &str) -> Result<&Value> {
        self.stage(stage)?["attempts"]
            .as_array()
            .and_then(|list| list.last())
            .with_context(|| format!("stage {stage} has no attempt"))
    }

    /// Outcome and reason of every attempt of a stage.
    ///
    /// # Errors
    /// When there is no such stage.
    pub fn outcomes(&self, stage: &str) -> Result<Vec<(&str, &str)>> {
        let attempts = self.stage(stage)?["attempts"].as_array().into_iter().flatten();
        Ok(attempts
            .map(|one| (text(&one["outcome"]), text(&one["reason"])))
            .collect())
    }
}

impl Namespace {
    /// The first Pod of the first stage of a run, once its container runs.
    ///
    /// # Errors
    /// When it does not come to that in time.
    pub async fn running_pod(&self, run: &str) -> Result<String> {
        let place = |view: &RunView| view.status()["stages"][0]["attempts"][0]["pod"].clone();
        let view = self.run_until(run, LIMIT, |view| place(view).is_string()).await?;
        let pod = place(&view).as_str().context("pod")?.to_owned();
        let running = await_condition(self.api::<Pod>(), &pod, conditions::is_pod_running());
        tokio::time::timeout(LIMIT, running).await??;
        Ok(pod)
    }

    /// Waits until the container of a build Pod prints a line with a text.
    ///
    /// # Errors
    /// When its output ends without, or it does not come in time.
    pub async fn says(&self, pod: &str, text: &str) -> Result<()> {
        let follow = LogParams {
            follow: true,
            ..LogParams::default()
        };
        let mut lines = self.api::<Pod>().log_stream(pod, &follow).await?.lines();
        let said = async {
            while let Some(line) = lines.try_next().await? {
                if line.contains(text) {
                    return Ok(());
                }
            }
            bail!("the output of {pod} ends without `{text}`")
        };
        tokio::time::timeout(LIMIT, said)
            .await
            .with_context(|| format!("{pod} does not print `{text}`"))?
    }

    /// Waits until a Pod is gone.
    ///
    /// # Errors
    /// When it is still there after `limit`.
    pub async fn pod_gone(&self, name: &str, limit: Duration) -> Result<()> {
        let api: Api<Pod> = self.api();
        let Some(uid) = api.get_opt(name).await?.and_then(|pod| pod.metadata.uid) else {
            return Ok(());
        };
        let gone = await_condition(api, name, conditions::is_deleted(&uid));
        tokio::time::timeout(limit, gone)
            .await
            .with_context(|| format!("{name} is not gone after {limit:?}"))??;
        Ok(())
    }

    /// Waits until the ledger holds every record of a run, and verifies it against a key that is pinned now.
    ///
    /// # Errors
    /// When something is not recorded in time, or false.
    pub async fn verified(&self, run: &str) -> Result<()> {
        self.recorded(run).await?;
        self.verifies("run", run).await
    }

    /// Waits until a run has ended and the ledger holds every record of it.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn recorded(&self, run: &str) -> Result<RunView> {
        let all = |view: &RunView| {
            let journal = &view.status()["journal"];
            view.state("Finished").0 == "True"
                && journal["next"].is_i64()
                && journal["next"] == journal["recorded"]
        };
        self.run_until(run, LIMIT, all).await
    }

    /// Does something and tells the types of the records of a run as the ledger has them then, in order.
    ///
    /// # Errors
    /// Those of the work, or when the run is not recorded in time.
    pub async fn records<T>(
        &self,
        run: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<(T, Vec<String>)> {
        let done = work.await?;
        let view = self.recorded(run).await?;
        let records = journal::records(view.uid()).await?;
        let kind = |record: &String| record.split(' ').next().unwrap_or_default().to_owned();
        Ok((done, records.iter().map(kind).collect()))
    }

    /// The log of a run as `dcanary logs` prints it.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn logs(&self, run: &str) -> Result<String> {
        let output = dcanary(&["-n", &self.name, "logs", run, "-f"]).await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "dcanary logs: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(text)
    }
}

//! Watching a PipelineRun to its end and looking at it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::TryStreamExt;
use kube::{
    Api,
    api::DynamicObject,
    core::{ApiResource, GroupVersionKind},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::Value;

use crate::Namespace;

/// A PipelineRun as JSON, with the questions that tests ask.
#[derive(Debug, Clone)]
pub struct RunView(pub Value);

pub(crate) fn resource(kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("dcanary.dev", "v1alpha1", kind), plural)
}

impl Namespace {
    /// PipelineRuns of this namespace.
    pub fn runs(&self) -> Api<DynamicObject> {
        Api::namespaced_with(
            self.cluster.client.clone(),
            &self.name,
            &resource("PipelineRun", "pipelineruns"),
        )
    }

    /// Pipelines of this namespace.
    pub fn pipelines(&self) -> Api<DynamicObject> {
        Api::namespaced_with(
            self.cluster.client.clone(),
            &self.name,
            &resource("Pipeline", "pipelines"),
        )
    }

    /// Waits until a run is finished: at most `limit`.
    ///
    /// # Errors
    /// When it is not finished in time; the error holds its last status.
    pub async fn finished(&self, run: &str, limit: Duration) -> Result<RunView> {
        self.run_until(run, limit, |view| {
            view.condition("Finished").is_some_and(|c| c["status"] == "True")
        })
        .await
    }

    /// Waits until `wanted` holds for a run.
    ///
    /// # Errors
    /// When it does not hold in time; the error holds the last status.
    pub async fn run_until(
        &self,
        run: &str,
        limit: Duration,
        wanted: impl Fn(&RunView) -> bool,
    ) -> Result<RunView> {
        self.object_until(self.runs(), run, limit, wanted).await
    }

    /// Waits until `wanted` holds for a Pipeline.
    ///
    /// # Errors
    /// When it does not hold in time; the error holds the last status.
    pub async fn pipeline_until(
        &self,
        name: &str,
        limit: Duration,
        wanted: impl Fn(&RunView) -> bool,
    ) -> Result<RunView> {
        self.object_until(self.pipelines(), name, limit, wanted).await
    }

    /// Waits until `wanted` holds for an object.
    ///
    /// # Errors
    /// When it does not hold in time; the error holds the last status.
    pub async fn object_until(
        &self,
        api: Api<DynamicObject>,
        name: &str,
        limit: Duration,
        wanted: impl Fn(&RunView) -> bool,
    ) -> Result<RunView> {
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let mut stream = Box::pin(watcher(api, config).default_backoff().applied_objects());
        let mut last = RunView(Value::Null);
        let waited = tokio::time::timeout(limit, async {
            while let Some(object) = stream.try_next().await? {
                last = RunView(serde_json::to_value(&object)?);
                if wanted(&last) {
                    return Ok(last.clone());
                }
            }
            bail!("the watch ended")
        })
        .await;
        match waited {
            Ok(done) => done,
            Err(_) => bail!(
                "{name}: not there after {limit:?}; last status: {:#}",
                last.0["status"]
            ),
        }
    }
}

impl RunView {
    /// A condition by type.
    pub fn condition(&self, kind: &str) -> Option<&Value> {
        self.0["status"]["conditions"]
            .as_array()?
            .iter()
            .find(|condition| condition["type"] == kind)
    }

    /// `status` and `reason` of a condition, e.g. `("True", "Succeeded")`.
    pub fn state(&self, kind: &str) -> (&str, &str) {
        self.condition(kind).map_or(("", ""), |condition| {
            (
                condition["status"].as_str().unwrap_or(""),
                condition["reason"].as_str().unwrap_or(""),
            )
        })
    }

    /// A stage of the status by name.
    ///
    /// # Errors
    /// When the status has no such stage.
    pub fn stage(&self, name: &str) -> Result<&Value> {
        self.0["status"]["stages"]
            .as_array()
            .and_then(|stages| stages.iter().find(|stage| stage["name"] == name))
            .with_context(|| format!("no stage {name} in {:#}", self.0["status"]))
    }

    /// UID of the object.
    pub fn uid(&self) -> &str {
        self.0["metadata"]["uid"].as_str().unwrap_or("")
    }

    /// The status.
    pub fn status(&self) -> &Value {
        &self.0["status"]
    }
}

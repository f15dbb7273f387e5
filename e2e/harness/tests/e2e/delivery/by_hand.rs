//! Somebody changes by hand what a release runs.

use anyhow::{Context, Result, bail};
use dcanary_harness::{Namespace, example_app::image, fixtures::LIMIT, scenario};
use futures::TryStreamExt;
use k8s_openapi::api::{apps::v1::Deployment, events::v1::Event};
use kube::{
    api::{Patch, PatchParams},
    runtime::{WatchStreamExt, wait::await_condition, watcher},
};
use serde_json::json;

use super::{all_on, canary, load, prepared};

/// What the Event of this reason says.
async fn told(ns: &Namespace, reason: &str) -> Result<String> {
    let mut events = Box::pin(watcher(ns.api::<Event>(), watcher::Config::default()).applied_objects());
    let found = async {
        while let Some(event) = events.try_next().await? {
            if event.reason.as_deref() == Some(reason) {
                return Ok(event.note.unwrap_or_default());
            }
        }
        bail!("the watch ended")
    };
    tokio::time::timeout(LIMIT, found)
        .await
        .with_context(|| format!("no Event {reason}"))?
}

#[tokio::test]
async fn a_pod_template_that_is_changed_by_hand_is_put_back_and_whoever_did_it_is_named() -> Result<()> {
    scenario("by-hand", |ns| async move {
        prepared(&ns).await?;
        ns.apply(
            &ns.environment("web", &canary(&json!([{"weight": 50}])))
                .to_string(),
        )
        .await?;
        ns.deployed("web", "one", "1").await?;
        let view = ns.serves("web", "one").await?;
        let workload = view.status()["stable"]["workload"].as_str().context("workload")?;
        let load = load(&ns, "web").await?;
        let (right, wrong) = (image("1").await?, image("2").await?);
        let set = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": wrong}]}}}});
        let params = PatchParams {
            field_manager: Some("kubectl-set".to_owned()),
            ..PatchParams::default()
        };
        let deployments = ns.api::<Deployment>();
        deployments
            .patch(workload, &params, &Patch::Strategic(&set))
            .await?;
        let said = told(&ns, "WorkloadChanged").await?;
        anyhow::ensure!(said.contains("kubectl-set") && said.contains(workload), "{said}");
        let is_back = |found: Option<&Deployment>| {
            let spec = found.and_then(|found| found.spec.as_ref()?.template.spec.as_ref());
            spec.is_some_and(|spec| spec.containers[0].image.as_deref() == Some(right.as_str()))
        };
        tokio::time::timeout(LIMIT, await_condition(deployments, workload, is_back)).await??;
        ns.environment_until("web", LIMIT, |view| view.state("Ready").0 == "True")
            .await?;
        all_on(&load, "1").await?;
        load.stop().await.none_lost()
    })
    .await
}

//! How many Pods an Environment has: what `kubectl scale` and autoscalers say, at rest and in the middle of a rollout.

use anyhow::{Context, Result, ensure};
use dcanary_crds::Verb;
use dcanary_harness::{Namespace, RunView, cli::said, fixtures::LIMIT, kubectl::kubectl, scenario};
use k8s_openapi::api::{apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler};
use kube::{
    api::{Patch, PatchParams},
    runtime::wait::await_condition,
};
use serde_json::json;

use super::{canary, decide, prepared};

/// Waits until a Deployment is asked for so many Pods and has them.
async fn has_pods(ns: &Namespace, deployment: &str, wanted: i32) -> Result<()> {
    let whole = |found: Option<&Deployment>| {
        found.is_some_and(|found| {
            let asked = found.spec.as_ref().and_then(|spec| spec.replicas);
            let status = found.status.clone().unwrap_or_default();
            let current = status.observed_generation >= found.metadata.generation;
            let there = (
                status.replicas.unwrap_or(0),
                status.available_replicas.unwrap_or(0),
            );
            asked == Some(wanted) && current && there == (wanted, wanted)
        })
    };
    let came = await_condition(ns.api::<Deployment>(), deployment, whole);
    tokio::time::timeout(LIMIT, came)
        .await
        .with_context(|| format!("{deployment} does not come to {wanted} Pods"))??;
    Ok(())
}

/// The number as an autoscaler writes it.
async fn scale(ns: &Namespace, environment: &str, replicas: i32) -> Result<()> {
    let patch = json!({"spec": {"replicas": replicas}});
    ns.environments()
        .patch_scale(environment, &PatchParams::default(), &Patch::Merge(&patch))
        .await?;
    Ok(())
}

fn workload(of: &serde_json::Value) -> Result<String> {
    Ok(of["workload"].as_str().context("workload")?.to_owned())
}

#[tokio::test]
async fn kubectl_scales_the_stable_release_and_a_canary_gets_its_share_of_the_new_number() -> Result<()> {
    scenario("scale", |ns| async move {
        let me = prepared(&ns).await?;
        let mut environment = ns.environment("web", &canary(&json!([{"weight": 50}, {"pause": {}}])));
        environment["spec"]["replicas"] = json!(1);
        ns.apply(&environment.to_string()).await?;
        let one = workload(&ns.deployed("web", "one", "1").await?.status()["stable"])?;
        let scaled = kubectl(&["-n", &ns.name, "scale", "denv/web", "--replicas=4"], "").await?;
        ensure!(scaled.status.success(), "{}", said(&scaled));
        has_pods(&ns, &one, 4).await?;
        // what an autoscaler goes by: how many there are, and which
        ns.environment_until("web", LIMIT, |view| view.status()["replicas"] == 4)
            .await?;
        let shown = ns.environments().get_scale("web").await?;
        let (spec, status) = (
            shown.spec.unwrap_or_default(),
            shown.status.context("status of /scale")?,
        );
        assert_eq!((spec.replicas, status.replicas), (Some(4), 4));
        let selector = status.selector.context("selector of /scale")?;
        assert_eq!(ns.pods_labelled(&selector).await?.len(), 4, "{selector}");

        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        let view = ns.pauses_at("web", 50).await?;
        let two = workload(view.rollout())?;
        has_pods(&ns, &two, 2).await?;
        // in the middle of a rollout more come at once, and the stable release keeps what it had when that began
        scale(&ns, "web", 5).await?;
        has_pods(&ns, &one, 5).await?;
        scale(&ns, "web", 1).await?;
        has_pods(&ns, &one, 4).await?;
        let view = ns.pauses_at("web", 50).await?;
        assert_eq!(view.stable(), Some("one"), "{:#}", view.status());
        decide(&me, Verb::Resume, &promotion).await?;
        ns.promotion_succeeds(&promotion).await?;
        // and then there are as many as are asked for
        has_pods(&ns, &two, 1).await?;
        ns.scaled_to_zero(&one).await
    })
    .await
}

/// Field managers that wrote a part of the spec.
fn authors(view: &RunView) -> Vec<&str> {
    let fields = view.0["metadata"]["managedFields"].as_array();
    fields
        .into_iter()
        .flatten()
        .filter(|entry| !entry["fieldsV1"]["f:spec"].is_null())
        .filter_map(|entry| entry["manager"].as_str())
        .collect()
}

#[tokio::test]
async fn a_horizontal_pod_autoscaler_scales_an_environment_and_the_operator_leaves_the_number_to_it()
-> Result<()> {
    scenario("autoscaler", |ns| async move {
        prepared(&ns).await?;
        let mut environment = ns.plain_environment("web", &json!({"blueGreen": {"scaleDownDelay": "3s"}}));
        environment["spec"]["replicas"] = json!(1);
        ns.apply(&environment.to_string()).await?;
        let view = ns.deployed("web", "one", "1").await?;
        let one = workload(&view.status()["stable"])?;
        has_pods(&ns, &one, 1).await?;
        // there are no metrics, but fewer than the least are too few
        let autoscaler = json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "dcanary.dev/v1alpha1", "kind": "Environment", "name": "web"},
                "minReplicas": 2, "maxReplicas": 3,
            },
        });
        ns.apply(&autoscaler.to_string()).await?;
        let able = |found: Option<&HorizontalPodAutoscaler>| {
            let status = found.and_then(|found| found.status.as_ref());
            status.is_some_and(|status| status.desired_replicas == 2)
        };
        let scaled = await_condition(ns.api::<HorizontalPodAutoscaler>(), "web", able);
        tokio::time::timeout(LIMIT, scaled)
            .await
            .context("the autoscaler does not act")??;
        has_pods(&ns, &one, 2).await?;
        let view = ns
            .environment_until("web", LIMIT, |view| view.status()["replicas"] == 2)
            .await?;
        assert_eq!(view.0["spec"]["replicas"], 2, "{:#}", view.0["spec"]);
        ensure!(
            !authors(&view).contains(&"dcanary"),
            "the operator writes into the spec: {:?}",
            authors(&view)
        );
        // the next release has as many from the beginning
        let view = ns.deployed("web", "two", "2").await?;
        has_pods(&ns, &workload(&view.status()["stable"])?, 2).await
    })
    .await
}

//! What is kept of earlier releases, and what follows the stable one.

use anyhow::{Context, Result, ensure};
use dcanary_crds::Verb;
use dcanary_harness::{Namespace, RunView, fixtures::LIMIT, scenario};
use k8s_openapi::api::{apps::v1::Deployment, policy::v1::PodDisruptionBudget};
use kube::{
    ResourceExt,
    runtime::{conditions, wait::await_condition},
};
use serde_json::{Value, json};

use super::{decide, in_place::stateful, on_two_pods, prepared};

/// An Environment of one Pod whose old releases go at once.
fn brief(ns: &Namespace, history: &Value) -> Value {
    let mut environment = ns.plain_environment("web", &json!({"blueGreen": {"scaleDownDelay": "1s"}}));
    environment["spec"]["replicas"] = json!(1);
    environment["spec"]["traffic"]["drain"] = json!("1s");
    environment["spec"]["history"] = history.clone();
    environment
}

fn workload(view: &RunView) -> Result<String> {
    let name = view.status()["stable"]["workload"].as_str();
    Ok(name.context("workload")?.to_owned())
}

fn history(view: &RunView) -> Vec<&str> {
    let all = view.status()["history"].as_array().into_iter().flatten();
    all.filter_map(|one| one["release"].as_str()).collect()
}

/// Waits until a Deployment is gone.
async fn deleted(ns: &Namespace, deployment: &str, uid: &str) -> Result<()> {
    let gone = await_condition(ns.api::<Deployment>(), deployment, conditions::is_deleted(uid));
    tokio::time::timeout(LIMIT, gone)
        .await
        .with_context(|| format!("{deployment} is still there"))??;
    Ok(())
}

#[tokio::test]
async fn earlier_releases_are_kept_ready_then_at_zero_then_deleted() -> Result<()> {
    scenario("history-limit", |ns| async move {
        let me = prepared(&ns).await?;
        ns.apply(&brief(&ns, &json!({"ready": 1, "limit": 2})).to_string())
            .await?;
        let one = workload(&ns.deployed("web", "one", "1").await?)?;
        let two = workload(&ns.deployed("web", "two", "2").await?)?;
        let pods = ns.pods_labelled(&format!("dcanary.dev/release={two}")).await?;
        let view = ns.deployed("web", "three", "3").await?;
        assert_eq!(history(&view), ["two", "one"], "{:#}", view.status());
        // the last but one is at zero; the last one has its Pods, and no new ones
        ns.scaled_to_zero(&one).await?;
        let kept = ns.api::<Deployment>().get(&two).await?;
        let spec = kept.spec.context("spec")?;
        assert_eq!(spec.replicas, Some(1), "release two does not stay ready");
        assert_eq!(
            ns.pods_labelled(&format!("dcanary.dev/release={two}")).await?,
            pods
        );

        // fewer are to be kept: the oldest goes
        let uid = ns.api::<Deployment>().get(&one).await?.uid().context("uid")?;
        ns.apply(&brief(&ns, &json!({"ready": 1, "limit": 1})).to_string())
            .await?;
        deleted(&ns, &one, &uid).await?;
        let view = ns
            .environment_until("web", LIMIT, |view| history(view) == ["two"])
            .await?;
        assert_eq!(view.stable(), Some("three"), "{:#}", view.status());

        // back to the same Pods
        decide(&me, Verb::Undo, &view).await?;
        ns.serves("web", "two").await?;
        assert_eq!(
            ns.pods_labelled(&format!("dcanary.dev/release={two}")).await?,
            pods
        );
        Ok(())
    })
    .await
}

/// Waits until the budget of an Environment counts the Pods of a workload.
async fn protects(ns: &Namespace, environment: &str, workload: &str, pods: i32) -> Result<()> {
    let counts = |found: Option<&PodDisruptionBudget>| {
        found.is_some_and(|found| {
            let spec = found.spec.clone().unwrap_or_default();
            let labels = spec.selector.and_then(|selector| selector.match_labels);
            let of = labels.and_then(|mut labels| labels.remove("dcanary.dev/release"));
            let status = found.status.clone().unwrap_or_default();
            let current = status.observed_generation >= found.metadata.generation;
            of.as_deref() == Some(workload)
                && current
                && (status.expected_pods, status.current_healthy) == (pods, pods)
        })
    };
    let followed = await_condition(ns.api::<PodDisruptionBudget>(), environment, counts);
    tokio::time::timeout(LIMIT, followed)
        .await
        .with_context(|| format!("the PodDisruptionBudget does not count {pods} Pods of {workload}"))??;
    Ok(())
}

#[tokio::test]
async fn the_pod_disruption_budget_goes_with_the_promoted_release_and_with_the_field() -> Result<()> {
    scenario("budget", |ns| async move {
        prepared(&ns).await?;
        let strategy = json!({"blueGreen": {"scaleDownDelay": "3s"}});
        let mut environment = on_two_pods(ns.plain_environment("web", &strategy));
        environment["spec"]["workload"]["disruptionBudget"] = json!({"maxUnavailable": "1"});
        ns.apply(&environment.to_string()).await?;
        let one = workload(&ns.deployed("web", "one", "1").await?)?;
        protects(&ns, "web", &one, 2).await?;
        let budget = ns.api::<PodDisruptionBudget>().get("web").await?;
        let status = budget.status.clone().unwrap_or_default();
        assert_eq!(status.disruptions_allowed, 1, "{status:?}");
        let two = workload(&ns.deployed("web", "two", "2").await?)?;
        protects(&ns, "web", &two, 2).await?;
        // it is the same object, and it leaves when nobody wants it any more
        let after = ns.api::<PodDisruptionBudget>().get("web").await?;
        ensure!(after.uid() == budget.uid(), "it was made anew");
        let uid = after.uid().context("uid")?;
        if let Some(workload) = environment["spec"]["workload"].as_object_mut() {
            workload.remove("disruptionBudget");
        }
        ns.apply(&environment.to_string()).await?;
        let gone = await_condition(
            ns.api::<PodDisruptionBudget>(),
            "web",
            conditions::is_deleted(&uid),
        );
        tokio::time::timeout(LIMIT, gone)
            .await
            .context("the PodDisruptionBudget is still there")??;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_pods_of_a_stateful_set_have_their_budget_too() -> Result<()> {
    scenario("budget-in-place", |ns| async move {
        prepared(&ns).await?;
        let mut environment = stateful(&ns, &json!({}));
        environment["spec"]["workload"]["disruptionBudget"] = json!({"minAvailable": "1"});
        ns.apply(&environment.to_string()).await?;
        ns.deployed("db", "one", "1").await?;
        protects(&ns, "db", "db", 2).await
    })
    .await
}

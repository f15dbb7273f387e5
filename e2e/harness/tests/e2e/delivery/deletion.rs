//! Environments that are deleted, and what becomes of what they made.

use anyhow::{Context, Result, ensure};
use dcanary_harness::{
    Namespace,
    example_app::{image, pod_template},
    fixtures::LIMIT,
    scenario,
};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace as CoreNamespace};
use kube::{
    Api,
    api::DeleteParams,
    runtime::{conditions, wait::await_condition},
};
use serde_json::{Value, json};

use super::{all_on, canary, load, prepared};

#[tokio::test]
async fn an_environment_that_is_created_again_goes_on_with_what_it_left_behind() -> Result<()> {
    scenario("orphaned", |ns| async move {
        prepared(&ns).await?;
        let environment = ns.environment("web", &canary(&json!([{"weight": 50}])));
        ns.apply(&environment.to_string()).await?;
        let before = ns.deployed("web", "one", "1").await?;
        let workload = before.status()["stable"]["workload"].clone();
        let pods = ns.pods_labelled("dcanary.dev/environment=web").await?;
        let load = load(&ns, "web").await?;
        all_on(&load, "1").await?;

        ns.environment_gone("web").await?;
        all_on(&load, "1").await?;
        ns.apply(&environment.to_string()).await?;
        ns.environment_until("web", LIMIT, |view| {
            view.status()["stable"]["workload"] == workload && view.state("Ready").0 == "True"
        })
        .await?;
        all_on(&load, "1").await?;
        assert_eq!(
            ns.pods_labelled("dcanary.dev/environment=web").await?,
            pods,
            "its Pods were restarted"
        );

        ns.deployed("web", "two", "2").await?;
        all_on(&load, "2").await?;
        ns.scaled_to_zero(workload.as_str().context("workload")?).await?;
        load.stop().await.none_lost()
    })
    .await
}

#[tokio::test]
async fn an_environment_that_is_deleted_in_the_middle_of_a_rollout_ends_its_promotions() -> Result<()> {
    scenario("deleted-midway", |ns| async move {
        prepared(&ns).await?;
        let steps = json!([{"weight": 50}, {"pause": {}}]);
        ns.apply(&ns.environment("web", &canary(&steps)).to_string())
            .await?;
        ns.deployed("web", "one", "1").await?;
        ns.release("two", "2").await?;
        let rolling = ns.promote("two", "web").await?;
        ns.pauses_at("web", 50).await?;
        let waiting = ns.promote("none", "web").await?;
        ns.promotion_until(&waiting, LIMIT, |view| {
            view.state("Succeeded") == ("Unknown", "ReleaseMissing")
        })
        .await?;
        ns.environment_gone("web").await?;
        for promotion in [&rolling, &waiting] {
            ns.promotion_fails(promotion, "EnvironmentDeleted").await?;
        }
        let late = ns.promote("two", "web").await?;
        ns.promotion_until(&late, LIMIT, |view| {
            view.state("Succeeded") == ("Unknown", "EnvironmentNotFound")
        })
        .await?;
        Ok(())
    })
    .await
}

/// A Deployment `legacy` of the application, when it has all of its Pods.
pub(super) async fn legacy(ns: &Namespace) -> Result<()> {
    let mut template = pod_template();
    template["metadata"]["labels"] = json!({"app": "legacy"});
    template["spec"]["containers"][0]["image"] = json!(image("1").await?);
    let legacy = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "legacy"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "legacy"}}, "template": template},
    });
    ns.apply(&legacy.to_string()).await?;
    whole(ns, "legacy").await
}

/// Waits until a Deployment has all the Pods that it asks for.
pub(super) async fn whole(ns: &Namespace, deployment: &str) -> Result<()> {
    let whole = |found: Option<&Deployment>| {
        let wanted = found.and_then(|found| found.spec.as_ref()?.replicas);
        let status = found.and_then(|found| found.status.as_ref());
        wanted.is_some() && status.and_then(|status| status.available_replicas) == wanted
    };
    tokio::time::timeout(LIMIT, await_condition(ns.api::<Deployment>(), deployment, whole))
        .await
        .with_context(|| format!("{deployment} does not become whole"))??;
    Ok(())
}

fn giving_back(ns: &Namespace) -> Value {
    let mut environment = ns.environment("web", &canary(&json!([{"weight": 50}])));
    environment["spec"]["workload"] = json!({"ref": {"name": "legacy"}});
    environment["spec"]["deletionPolicy"] = json!("GiveBack");
    environment
}

#[tokio::test]
async fn a_namespace_with_an_environment_that_gives_back_goes_away() -> Result<()> {
    scenario("namespace-goes", |ns| async move {
        prepared(&ns).await?;
        legacy(&ns).await?;
        ns.apply(&giving_back(&ns).to_string()).await?;
        ns.deployed("web", "two", "2").await?;
        ns.scaled_to_zero("legacy").await?;
        let namespaces: Api<CoreNamespace> = Api::all(ns.cluster.client.clone());
        let uid = namespaces.get(&ns.name).await?.metadata.uid.context("uid")?;
        namespaces.delete(&ns.name, &DeleteParams::background()).await?;
        let gone = await_condition(namespaces, &ns.name, conditions::is_deleted(&uid));
        tokio::time::timeout(LIMIT, gone)
            .await
            .with_context(|| format!("the namespace is not gone after {LIMIT:?}"))??;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_environment_whose_deployment_to_give_back_is_gone_goes_and_its_release_serves_on() -> Result<()> {
    scenario("nothing-to-give-back", |ns| async move {
        prepared(&ns).await?;
        legacy(&ns).await?;
        ns.apply(&giving_back(&ns).to_string()).await?;
        let served = ns.deployed("web", "two", "2").await?;
        let workload = served.status()["stable"]["workload"]
            .as_str()
            .context("workload")?;
        ns.scaled_to_zero("legacy").await?;
        let load = load(&ns, "web").await?;
        all_on(&load, "2").await?;
        ns.api::<Deployment>()
            .delete("legacy", &DeleteParams::default())
            .await?;
        ns.environment_gone("web").await?;
        ensure!(
            ns.object("deployment", workload).await?.is_some(),
            "{workload} was taken away"
        );
        all_on(&load, "2").await?;
        load.stop().await.none_lost()
    })
    .await
}

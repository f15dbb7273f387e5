//! What the cluster refuses: said with what to do, and gone on with when it is put right.

use anyhow::{Context, Result, ensure};
use dcanary_harness::{fixtures::LIMIT, scenario};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{canary, deletion::legacy, load, pods_at_most, prepared};

#[tokio::test]
async fn a_candidate_over_the_quota_waits_with_the_quota_named_and_goes_on_when_it_is_raised() -> Result<()> {
    scenario("delivery-quota", |ns| async move {
        prepared(&ns).await?;
        ns.apply(
            &ns.environment("web", &canary(&json!([{"weight": 50}])))
                .to_string(),
        )
        .await?;
        ns.deployed("web", "one", "1").await?;
        let load = load(&ns, "web").await?;
        let (quotas, name) = pods_at_most(&ns, 1).await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        let view = ns
            .environment_until("web", LIMIT, |view| {
                view.rollout()["message"]
                    .as_str()
                    .is_some_and(|said| said.contains(name))
            })
            .await?;
        assert_eq!(
            (view.stable(), view.state("Ready").0),
            (Some("one"), "True"),
            "{:#}",
            view.status()
        );
        let more = json!({"spec": {"hard": {"pods": "10"}}});
        quotas
            .patch(name, &PatchParams::default(), &Patch::Merge(&more))
            .await?;
        ns.promotion_succeeds(&promotion).await?;
        load.stop().await.none_lost()
    })
    .await
}

#[tokio::test]
async fn a_service_account_without_the_right_is_named_with_the_right_that_it_lacks() -> Result<()> {
    scenario("no-rights", |ns| async move {
        // no deployer yet
        ns.apply(&ns.plain_environment("web", &json!({"blueGreen": {}})).to_string())
            .await?;
        ns.release("one", "1").await?;
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "deployer"}});
        ns.apply(&account.to_string()).await?;
        let promotion = ns.promote("one", "web").await?;
        let refused = ns
            .environment_until("web", LIMIT, |view| {
                view.status().to_string().contains("cannot create resource")
            })
            .await?;
        let said = refused.status().to_string();
        ensure!(
            said.contains("deployer") && said.contains("deployments") && said.contains("Forbidden"),
            "{said}"
        );
        ns.deployer().await?;
        ns.promotion_succeeds(&promotion).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn two_environments_that_claim_one_deployment_are_told_apart_and_the_first_keeps_it() -> Result<()> {
    scenario("two-claims", |ns| async move {
        prepared(&ns).await?;
        legacy(&ns).await?;
        let claim = |name: &str| {
            let mut environment = ns.plain_environment(name, &json!({"blueGreen": {}}));
            environment["spec"]["workload"] = json!({"ref": {"name": "legacy"}});
            environment.to_string()
        };
        ns.apply(&claim("web")).await?;
        ns.environment_until("web", LIMIT, |view| view.state("Ready").0 == "True")
            .await?;
        ns.apply(&claim("other")).await?;
        let other = ns
            .environment_until("other", LIMIT, |view| view.state("Stalled").0 == "True")
            .await?;
        assert_eq!(other.state("Ready").0, "False", "{:#}", other.status());
        let said = other.says("Stalled");
        ensure!(said.contains("legacy") && said.contains("web"), "{said}");
        let first = ns
            .environment_until("web", LIMIT, |view| view.state("Ready").0 == "True")
            .await?;
        ensure!(
            first
                .condition("Stalled")
                .is_none_or(|stalled| stalled["status"] == "False"),
            "{:#}",
            first.status()
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn weights_that_do_not_grow_stall_the_environment_with_the_place_named() -> Result<()> {
    scenario("weights", |ns| async move {
        prepared(&ns).await?;
        ns.apply(
            &ns.environment("web", &canary(&json!([{"weight": 50}, {"weight": 20}])))
                .to_string(),
        )
        .await?;
        let view = ns
            .environment_until("web", LIMIT, |view| view.state("Stalled").0 == "True")
            .await?;
        ensure!(
            view.says("Stalled").contains("steps[1].weight"),
            "{:#}",
            view.status()
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_service_of_somebody_else_under_our_name_is_never_replaced() -> Result<()> {
    scenario("foreign-service", |ns| async move {
        prepared(&ns).await?;
        let theirs = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
            "spec": {"selector": {"app": "theirs"}, "ports": [{"port": 80, "targetPort": 9999}]},
        });
        ns.apply(&theirs.to_string()).await?;
        ns.apply(&ns.plain_environment("web", &json!({"blueGreen": {}})).to_string())
            .await?;
        ns.release("one", "1").await?;
        ns.promote("one", "web").await?;
        let view = ns
            .environment_until("web", LIMIT, |view| view.status().to_string().contains("Foreign"))
            .await?;
        ensure!(view.state("Ready").0 == "False", "{:#}", view.status());
        let service = ns.object("service", "web").await?.context("service")?;
        assert_eq!(service["spec"]["selector"], json!({"app": "theirs"}));
        Ok(())
    })
    .await
}

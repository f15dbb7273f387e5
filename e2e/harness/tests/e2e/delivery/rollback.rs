//! Going back when that is not simple.

use anyhow::{Context, Result, ensure};
use dcanary_crds::Verb;
use dcanary_harness::{fixtures::LIMIT, scenario};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;

use super::{all_on, canary, decide, load, pods_at_most, prepared};

// argo-rollouts #1774
#[tokio::test]
async fn traffic_does_not_go_back_to_a_stable_release_that_is_not_ready() -> Result<()> {
    scenario("stable-unready", |ns| async move {
        let me = prepared(&ns).await?;
        ns.apply(
            &ns.environment("web", &canary(&json!([{"weight": 50}, {"pause": {}}])))
                .to_string(),
        )
        .await?;
        let before = ns.deployed("web", "one", "1").await?;
        let stable = before.status()["stable"]["workload"]
            .as_str()
            .context("workload")?
            .to_owned();
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        ns.pauses_at("web", 50).await?;
        // the Pods of the stable release go, and none may come
        let (quotas, name) = pods_at_most(&ns, 0).await?;
        let mine = ListParams::default().labels(&format!("dcanary.dev/release={stable}"));
        ns.api::<Pod>()
            .delete_collection(&DeleteParams::default().grace_period(0), &mine)
            .await?;
        // known to the Environment before anybody decides
        ns.environment_until("web", LIMIT, |view| view.state("Ready").0 == "False")
            .await?;
        decide(&me, Verb::Abort, &promotion).await?;
        let view = ns
            .environment_until("web", LIMIT, |view| {
                view.rollout()["doing"] == "RollingBack"
                    && view.rollout()["message"]
                        .as_str()
                        .is_some_and(|said| said.contains("ready"))
            })
            .await?;
        assert_eq!(view.rollout()["weight"], 50, "{:#}", view.status());
        quotas.delete(name, &DeleteParams::default()).await?;
        ns.promotion_fails(&promotion, "Aborted").await?;
        ns.serves("web", "one").await?;
        let load = load(&ns, "web").await?;
        // the gateway learns of Pods that came back some moments after they are ready
        all_on(&load, "1").await?;
        load.next(400).await?.none_lost()?;
        load.stop().await;
        Ok(())
    })
    .await
}

// argo-rollouts #3888
#[tokio::test]
async fn traffic_goes_back_by_the_steps_it_came_when_that_is_asked_for() -> Result<()> {
    scenario("back-by-steps", |ns| async move {
        let me = prepared(&ns).await?;
        let steps = json!([{"weight": 20}, {"weight": 50}, {"weight": 80}, {"pause": {}}]);
        let mut environment = ns.environment("web", &canary(&steps));
        environment["spec"]["rollback"] = json!({"mode": "Steps"});
        ns.apply(&environment.to_string()).await?;
        ns.deployed("web", "one", "1").await?;
        let load = load(&ns, "web").await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        ns.pauses_at("web", 80).await?;
        let weights = ns
            .weights("web", async {
                decide(&me, Verb::Abort, &promotion).await?;
                ns.promotion_ended(&promotion).await
            })
            .await?;
        let mut falling = weights.clone();
        falling.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(weights, falling, "they only fall");
        ensure!(
            weights.contains(&50) && weights.contains(&20) && weights.last() == Some(&0),
            "{weights:?}"
        );
        load.stop().await.none_lost()
    })
    .await
}

#[tokio::test]
async fn a_recent_release_is_gone_back_to_without_steps() -> Result<()> {
    scenario("window", |ns| async move {
        let me = prepared(&ns).await?;
        let steps = json!([{"weight": 50}, {"pause": {}}]);
        let mut environment = ns.environment("web", &canary(&steps));
        environment["spec"]["rollback"] = json!({"window": 2});
        ns.apply(&environment.to_string()).await?;
        ns.deployed("web", "one", "1").await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        ns.pauses_at("web", 50).await?;
        decide(&me, Verb::Resume, &promotion).await?;
        ns.promotion_ended(&promotion).await?;
        // no pause in it and no share, so it ends without a person; and nobody asked for an undo
        let back = ns.promote("one", "web").await?;
        let weights = ns.weights("web", ns.promotion_succeeds(&back)).await?;
        ensure!(!weights.contains(&50), "it had a step: {weights:?}");
        ns.serves("web", "one").await?;
        Ok(())
    })
    .await
}

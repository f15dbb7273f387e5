//! Blue/green: the preview, the switch, the way back.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use dcanary_crds::Verb;
use dcanary_harness::{
    example_app::error_share,
    fixtures::LIMIT,
    load::{Load, Outcome, Shape, Target},
    scenario,
};
use serde_json::json;

use super::{SOON, all_on, decide, load, on_two_pods, prepared, service};

async fn version(target: &Target) -> Result<String> {
    match target.ask().await? {
        Outcome::Answer { version, .. } => Ok(version),
        Outcome::Lost(how) => anyhow::bail!(how),
    }
}

#[tokio::test]
async fn a_switch_loses_no_request_and_undo_is_back_at_once() -> Result<()> {
    scenario("blue-green", |ns| async move {
        let me = prepared(&ns).await?;
        let strategy = json!({"blueGreen": {"autoPromote": false, "scaleDownDelay": "10m"}});
        let environment = on_two_pods(ns.environment("web", &strategy));
        ns.apply(&environment.to_string()).await?;
        ns.deployed("web", "one", "1").await?;
        let load = load(&ns, "web").await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        ns.pauses_at("web", 0).await?;
        // the preview is whole, and nobody is led to it
        assert_eq!(version(&service(&ns, "web-candidate").await?).await?, "2");
        all_on(&load, "1").await?;
        decide(&me, Verb::Resume, &promotion).await?;
        ns.promotion_succeeds(&promotion).await?;
        all_on(&load, "2").await?;

        let view = ns.serves("web", "two").await?;
        decide(&me, Verb::Undo, &view).await?;
        let back = ns
            .environment_until("web", SOON, |view| {
                view.stable() == Some("one") && view.state("Ready").0 == "True"
            })
            .await?;
        assert_eq!(
            back.status()["history"][0]["release"],
            "two",
            "{:#}",
            back.status()
        );
        all_on(&load, "1").await?;
        load.stop().await.none_lost()
    })
    .await
}

#[tokio::test]
async fn a_switch_of_plain_services_loses_no_request_and_is_atomic_for_new_connections() -> Result<()> {
    scenario("blue-green-plain", |ns| async move {
        prepared(&ns).await?;
        ns.apply(
            &ns.plain_environment("web", &json!({"blueGreen": {"scaleDownDelay": "5s"}}))
                .to_string(),
        )
        .await?;
        let before = ns.deployed("web", "one", "1").await?;
        let target = service(&ns, "web").await?;
        let kept = Load::start(
            &target,
            Shape {
                kept: 4,
                fresh: 0,
                per_second: 100,
            },
        )
        .await?;
        // one worker, so that its answers have an order
        let mut seen = Vec::new();
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        let ended = ns.promotion_ended(&promotion);
        tokio::pin!(ended);
        let ended = loop {
            tokio::select! {
                biased;
                ended = &mut ended => break ended?,
                answer = version(&target) => seen.push(answer?),
            }
        };
        assert_eq!(ended.state("Succeeded").0, "True", "{:#}", ended.status());
        // the nodes take a new selector over some moments after it is written
        while seen.last().is_none_or(|last| last == "1") {
            seen.push(version(&target).await?);
        }
        seen.dedup();
        assert_eq!(seen, ["1", "2"]);
        let old = before.status()["stable"]["workload"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        ns.scaled_to_zero(&old).await?;
        kept.stop().await.none_lost()
    })
    .await
}

#[tokio::test]
async fn a_preview_that_fails_its_analysis_is_never_switched_to() -> Result<()> {
    scenario("bad-preview", |ns| async move {
        prepared(&ns).await?;
        let strategy = json!({"blueGreen": {"prePromotionAnalysis": error_share()}});
        ns.apply(&ns.environment("web", &strategy).to_string()).await?;
        ns.deployed("web", "one", "1").await?;
        let everybody = load(&ns, "web").await?;
        ns.release("bad", "2-errors").await?;
        let promotion = ns.promote("bad", "web").await?;
        ns.environment_until("web", LIMIT, |view| view.rollout()["reason"] == "Analysis")
            .await?;
        let preview = Load::start(
            &service(&ns, "web-candidate").await?,
            Shape {
                kept: 2,
                fresh: 0,
                per_second: 50,
            },
        )
        .await?;
        let ended = ns.promotion_ended(&promotion).await?;
        preview.stop().await;
        assert_eq!(
            ended.state("Succeeded"),
            ("False", "AnalysisFailed"),
            "{:#}",
            ended.status()
        );
        let tally = everybody.stop().await;
        tally.none_lost()?;
        tally.splits("1", 100, 0.0)
    })
    .await
}

// argo-rollouts #4461
#[tokio::test]
async fn an_abort_after_the_switch_still_goes_back() -> Result<()> {
    scenario("late-abort", |ns| async move {
        let me = prepared(&ns).await?;
        let mut analysis = error_share();
        analysis["metrics"][0]["count"] = json!(200);
        let strategy = json!({"blueGreen": {"postPromotionAnalysis": analysis, "scaleDownDelay": "10m"}});
        ns.apply(&ns.environment("web", &strategy).to_string()).await?;
        ns.deployed("web", "one", "1").await?;
        let load = load(&ns, "web").await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        ns.environment_until("web", LIMIT, |view| view.rollout()["doing"] == "Verifying")
            .await?;
        load.until("all requests on the new release", |tally| tally.of("2") >= 50)
            .await?;
        decide(&me, Verb::Abort, &promotion).await?;
        ns.promotion_fails(&promotion, "Aborted").await?;
        all_on(&load, "1").await?;
        let view = ns.serves("web", "one").await?;
        ensure!(view.status()["rollout"]["weight"] == 0, "{:#}", view.status());
        load.stop().await.none_lost()
    })
    .await
}

#[tokio::test]
async fn both_ways_of_a_switch_answer_from_one_release_at_a_time() -> Result<()> {
    scenario("one-at-a-time", |ns| async move {
        prepared(&ns).await?;
        ns.apply(
            &ns.environment("web", &json!({"blueGreen": {"scaleDownDelay": "10m"}}))
                .to_string(),
        )
        .await?;
        ns.deployed("web", "one", "1").await?;
        let target = ns.through_gateway("web").await?;
        target.answers().await?;
        for (release, tag) in [("two", "2"), ("three", "3")] {
            let mut seen = Vec::new();
            ns.release(release, tag).await?;
            let promotion = ns.promote(release, "web").await?;
            let ended = ns.promotion_ended(&promotion);
            tokio::pin!(ended);
            loop {
                tokio::select! {
                    biased;
                    ended = &mut ended => break ended.map(drop)?,
                    answer = version(&target) => seen.push(answer?),
                }
            }
            seen.push(version(&target).await?);
            let versions: BTreeSet<_> = seen.iter().cloned().collect();
            seen.dedup();
            // once the new release has answered, the old one does not any more
            assert_eq!(seen.len(), versions.len(), "{seen:?}");
        }
        Ok(())
    })
    .await
}

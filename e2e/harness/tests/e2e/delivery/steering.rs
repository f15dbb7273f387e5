//! What people decide in the middle of a rollout: pass over a step, begin it anew, hold it, end it.

use anyhow::{Context, Result, ensure};
use dcanary_crds::Verb;
use dcanary_harness::{Namespace, RunView, data_plane::PROMETHEUS, fixtures::LIMIT, scenario};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::{SOON, canary, decide, prepared, service};

/// One Pod behind plain Services, and release `one` on it.
pub(super) async fn one_pod(ns: &Namespace, strategy: &Value) -> Result<()> {
    let mut environment = ns.plain_environment("web", strategy);
    environment["spec"]["replicas"] = json!(1);
    ns.apply(&environment.to_string()).await?;
    ns.deployed("web", "one", "1").await?;
    Ok(())
}

/// Waits until a step is the present one, for a reason.
pub(super) async fn reaches(ns: &Namespace, progress: &str, reason: &str) -> Result<RunView> {
    ns.environment_until("web", LIMIT, |view| {
        view.rollout()["progress"] == progress && view.rollout()["reason"] == reason
    })
    .await
    .with_context(|| format!("step {progress} for {reason}"))
}

/// A metric that answers through a Service of the namespace.
fn asks(service: &str) -> Value {
    json!({"metrics": [{
        "name": "answers", "interval": "1s", "count": 2, "errorLimit": 0,
        "success": "result == \"2\"",
        "web": {"url": format!("http://{service}.$(namespace)/"), "jsonPath": "$.version", "timeout": "2s"},
    }]})
}

#[tokio::test]
async fn each_skip_passes_over_one_step_whatever_the_step_is() -> Result<()> {
    scenario("skip", |ns| async move {
        let me = prepared(&ns).await?;
        let never = json!({"metrics": [{
            "name": "never", "interval": "1s", "count": 200, "success": "result > 0.5",
            "prometheus": {"address": PROMETHEUS, "query": "vector(1)"},
        }]});
        let steps =
            json!([{"weight": 50}, {"pause": {"duration": "10m"}}, {"analysis": never}, {"pause": {}}]);
        one_pod(&ns, &canary(&steps)).await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        for (progress, reason) in [
            ("1/4", "TimedPause"),
            ("2/4", "Analysis"),
            ("3/4", "PausedByStep"),
        ] {
            reaches(&ns, progress, reason).await?;
            decide(&me, Verb::Skip, &promotion).await?;
        }
        let ended = ns.promotion_succeeds(&promotion).await?;
        assert_eq!(ended.status()["progress"], "4/4", "{:#}", ended.status());
        let passed = &ended.status()["analyses"][0];
        ensure!(
            passed["name"] == "step-2" && passed["verdict"].is_null(),
            "a step that was passed over has a verdict: {:#}",
            ended.status()
        );
        ns.serves("web", "two").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_retry_measures_anew_what_nobody_could_tell_before() -> Result<()> {
    scenario("retry", |ns| async move {
        let me = prepared(&ns).await?;
        // it leads nowhere yet
        let leads_to = |release: &str| {
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": "probe"},
                "spec": {"selector": {"dcanary.dev/release": release}, "ports": [{"port": 80, "targetPort": 8080}]},
            })
        };
        ns.apply(&leads_to("nobody").to_string()).await?;
        one_pod(
            &ns,
            &json!({"blueGreen": {"prePromotionAnalysis": asks("probe"), "scaleDownDelay": "3s"}}),
        )
        .await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        let view = reaches(&ns, "0/1", "AnalysisInconclusive").await?;
        assert_eq!(view.state("Paused").0, "True", "{:#}", view.status());
        let said = view.says("Paused");
        ensure!(
            said.contains("`answers` cannot be measured") && said.contains("dcanary retry"),
            "{said}"
        );
        assert_eq!(view.stable(), Some("one"), "{:#}", view.status());
        let candidate = view.rollout()["workload"].as_str().context("workload")?;
        ns.apply(&leads_to(candidate).to_string()).await?;
        service(&ns, "probe").await?.answers().await?;
        decide(&me, Verb::Retry, &promotion).await?;
        let ended = ns.promotion_succeeds(&promotion).await?;
        let analysis = &ended.status()["analyses"][0];
        assert_eq!(analysis["verdict"], "Passed", "{analysis:#}");
        // nothing of before counts
        let metric = &analysis["metrics"][0];
        assert_eq!(
            (&metric["taken"], &metric["successful"]),
            (&json!(2), &json!(2)),
            "{metric:#}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_pause_holds_a_rollout_until_a_resume_and_a_rejection_takes_it_back() -> Result<()> {
    scenario("pause", |ns| async move {
        let me = prepared(&ns).await?;
        let steps = json!([{"weight": 50}, {"pause": {"duration": "10m"}}, {"pause": {}}]);
        one_pod(&ns, &canary(&steps)).await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        let view = reaches(&ns, "1/3", "TimedPause").await?;
        assert_eq!(view.state("Paused").0, "False", "{:#}", view.status());
        decide(&me, Verb::Pause, &promotion).await?;
        let view = ns
            .environment_until("web", SOON, |view| view.state("Paused") == ("True", "Paused"))
            .await?;
        ensure!(
            view.says("Paused").contains("dcanary resume"),
            "{:#}",
            view.status()
        );
        // the first ends the pause by a person, the second the step
        decide(&me, Verb::Resume, &promotion).await?;
        let view = reaches(&ns, "1/3", "TimedPause").await?;
        assert_eq!(view.state("Paused").0, "False", "{:#}", view.status());
        decide(&me, Verb::Resume, &promotion).await?;
        reaches(&ns, "2/3", "PausedByStep").await?;
        me.decides(Verb::Reject, &promotion, None, Some("the colours are wrong"))
            .await?;
        let ended = ns.promotion_fails(&promotion, "Rejected").await?;
        let said = ended.says("Succeeded");
        ensure!(
            said.contains(&me.username) && said.contains("the colours are wrong"),
            "{said}"
        );
        let view = ns.serves("web", "one").await?;
        assert_eq!(view.held(), ["two"], "{:#}", view.status());
        assert_eq!(
            view.state("RolledBack"),
            ("True", "Rejected"),
            "{:#}",
            view.status()
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_promotion_that_is_deleted_on_its_way_goes_back_and_holds_nothing() -> Result<()> {
    scenario("promotion-deleted", |ns| async move {
        prepared(&ns).await?;
        one_pod(&ns, &canary(&json!([{"weight": 50}, {"pause": {}}]))).await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        let view = ns.pauses_at("web", 50).await?;
        let two = view.rollout()["workload"]
            .as_str()
            .context("workload")?
            .to_owned();
        ns.promotions()
            .delete(promotion.name(), &DeleteParams::default())
            .await?;
        let view = ns
            .environment_until("web", LIMIT, |view| view.rollout()["outcome"] == "Aborted")
            .await?;
        assert_eq!(
            view.rollout()["reason"],
            "PromotionDeleted",
            "{:#}",
            view.status()
        );
        let view = ns.serves("web", "one").await?;
        ensure!(view.held().is_empty(), "{:#}", view.status());
        ns.scaled_to_zero(&two).await?;
        // the same release may come again
        let again = ns.promote("two", "web").await?;
        ns.promotion_until(&again, LIMIT, |view| view.state("Paused").0 == "True")
            .await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn steps_that_change_in_the_middle_of_a_rollout_hold_from_then_on() -> Result<()> {
    scenario("steps-change", |ns| async move {
        prepared(&ns).await?;
        one_pod(
            &ns,
            &canary(&json!([{"weight": 50}, {"pause": {}}, {"pause": {}}])),
        )
        .await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        let before = ns.pauses_at("web", 50).await?;
        let shorter = json!({"spec": {"strategy": canary(&json!([{"weight": 50}]))}});
        ns.environments()
            .patch("web", &PatchParams::default(), &Patch::Merge(&shorter))
            .await?;
        // no step is left
        let ended = ns.promotion_succeeds(&promotion).await?;
        assert_eq!(ended.status()["progress"], "1/1", "{:#}", ended.status());
        let view = ns.serves("web", "two").await?;
        assert_eq!(
            view.status()["stable"]["workload"],
            before.rollout()["workload"],
            "{:#}",
            view.status()
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_undo_and_a_hold_in_the_middle_of_a_rollout_take_the_candidate_back() -> Result<()> {
    scenario("undo-midway", |ns| async move {
        let me = prepared(&ns).await?;
        one_pod(&ns, &canary(&json!([{"weight": 50}, {"pause": {}}]))).await?;
        ns.release("two", "2").await?;
        let second = ns.promote("two", "web").await?;
        let view = ns.pauses_at("web", 50).await?;
        decide(&me, Verb::Undo, &view).await?;
        ns.promotion_fails(&second, "Undone").await?;
        let view = ns.serves("web", "one").await?;
        ensure!(
            view.held().is_empty(),
            "what was undone is held: {:#}",
            view.status()
        );

        ns.release("three", "3").await?;
        let third = ns.promote("three", "web").await?;
        let view = ns
            .environment_until("web", LIMIT, |view| {
                view.rollout()["release"] == "three" && view.state("Paused").0 == "True"
            })
            .await?;
        let identity = view.rollout()["identity"].as_str().context("identity")?;
        me.decides(Verb::Hold, &view, Some(identity), Some("it loses carts"))
            .await?;
        let ended = ns.promotion_fails(&third, "Held").await?;
        ensure!(
            ended.says("Succeeded").contains("it loses carts"),
            "{:#}",
            ended.status()
        );
        let view = ns.serves("web", "one").await?;
        assert_eq!(view.held(), ["three"], "{:#}", view.status());
        Ok(())
    })
    .await
}

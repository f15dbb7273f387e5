//! Candidates that were ready, and are not any more: at every kind of step.

use anyhow::{Context, Result, ensure};
use dcanary_crds::Verb;
use dcanary_harness::{
    Namespace, RunView,
    data_plane::PROMETHEUS,
    fixtures::LIMIT,
    load::{Load, Shape},
    scenario,
};
use serde_json::{Value, json};

use super::{
    all_on, canary, decide, load, patience, prepared,
    readiness::{Gates, gated},
    service, share,
};

/// What is said of a candidate with half of the requests and no Pod for them.
pub(super) const NONE_READY: &str = "50 % of the requests need 1 ready Pods of the candidate";

/// An analysis that goes on for long, and finds nothing.
fn good() -> Value {
    json!({"metrics": [{
        "name": "good", "interval": "1s", "count": 200, "success": "result > 0.5",
        "prometheus": {"address": PROMETHEUS, "query": "vector(1)"},
    }]})
}

/// Waits until a step of an Environment is the present one, for a reason, with a weight in force. The workload of the candidate.
pub(super) async fn reaches(
    ns: &Namespace,
    name: &str,
    (progress, reason): (&str, &str),
    weight: i64,
) -> Result<RunView> {
    ns.environment_until(name, LIMIT, |view| {
        let rollout = view.rollout();
        rollout["progress"] == progress && rollout["reason"] == reason && rollout["weight"] == weight
    })
    .await
    .with_context(|| format!("{name}: step {progress} for {reason} at {weight} %"))
}

pub(super) fn candidate(view: &RunView) -> Result<String> {
    let workload = view.rollout()["workload"].as_str();
    Ok(workload.context("workload")?.to_owned())
}

/// Waits until an Environment says that it waits for Pods, and for which.
pub(super) async fn waits_for_pods(ns: &Namespace, name: &str, part: &str) -> Result<()> {
    ns.environment_until(name, LIMIT, |view| {
        let said = view.rollout()["message"].as_str().unwrap_or_default();
        view.rollout()["reason"] == "WaitingForPods" && said.contains(part)
    })
    .await
    .with_context(|| format!("{name} does not say `{part}`"))?;
    Ok(())
}

/// It went back because of its Pods, is held, and the release before serves.
async fn went_back(ns: &Namespace, name: &str, promotion: &RunView, part: &str) -> Result<()> {
    let ended = ns.promotion_fails(promotion, "ProgressDeadlineExceeded").await?;
    let said = ended.says("Succeeded");
    ensure!(said.contains(part) && said.contains("0 are ready"), "{said}");
    let view = ns.serves(name, "one").await?;
    assert_eq!(view.held(), ["two"], "{:#}", view.status());
    assert_eq!(view.rollout()["weight"], 0, "{:#}", view.status());
    Ok(())
}

#[tokio::test]
async fn a_candidate_that_becomes_unready_gets_no_request_at_any_step_until_it_is_ready_again() -> Result<()>
{
    scenario("unready-steps", |ns| async move {
        let me = prepared(&ns).await?;
        let steps = json!([
            {"replicas": "1"}, {"pause": {}}, {"replicas": "2"}, {"weight": 50},
            {"pause": {"duration": "10m"}}, {"pause": {}}, {"analysis": good()},
        ]);
        let mut strategy = canary(&steps);
        strategy["canary"]["testers"] = json!([{"header": {"name": "x-tester", "value": "yes"}}]);
        let mut environment = ns.environment("web", &strategy);
        gated(&mut environment);
        let gates = Gates::of(&ns);
        ns.apply(&environment.to_string()).await?;
        ns.deployed("web", "one", "1").await?;
        let load = load(&ns, "web").await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;

        // testers alone may get it: nobody else notices
        let view = reaches(&ns, "web", ("1/7", "PausedByStep"), 0).await?;
        let two = candidate(&view)?;
        let few = Shape {
            kept: 1,
            fresh: 1,
            per_second: 50,
        };
        let web = ns.through_gateway("web").await?;
        let testers = Load::start(&web.header("x-tester", "yes"), few).await?;
        all_on(&testers, "2").await?;
        testers.stop().await.none_lost()?;
        gates.close(&two).await?;
        load.next(100).await?.splits("1", 100, 0.0)?;

        // further Pods of it do not come
        decide(&me, Verb::Resume, &promotion).await?;
        reaches(&ns, "web", ("2/7", "WaitingForPods"), 0).await?;
        waits_for_pods(&ns, "web", "0 of 2 Pods are ready").await?;
        load.next(100).await?.splits("1", 100, 0.0)?;
        gates.open(&two);

        let kinds = [
            ("4/7", "TimedPause"),
            ("5/7", "PausedByStep"),
            ("6/7", "Analysis"),
        ];
        for (number, kind) in kinds.into_iter().enumerate() {
            reaches(&ns, "web", kind, 50).await?;
            share(&load, "2", 50, 200).await?.splits("2", 50, 8.0)?;
            gates.close(&two).await?;
            reaches(&ns, "web", (kind.0, "WaitingForPods"), 0).await?;
            waits_for_pods(&ns, "web", NONE_READY).await?;
            all_on(&load, "1").await?;
            load.next(200).await?.none_lost()?;
            if number + 1 < kinds.len() {
                gates.open(&two);
                reaches(&ns, "web", kind, 50).await?;
                decide(&me, Verb::Resume, &promotion).await?;
            }
        }
        patience(&ns, "web", "3s").await?;
        let rest = load.tally();
        went_back(&ns, "web", &promotion, NONE_READY).await?;
        let rest = load.stop().await.since(&rest);
        rest.none_lost()?;
        rest.splits("1", 100, 0.0)
    })
    .await
}

/// A rollout that has come to a step of this kind, whose candidate then stays unready: without a gateway, so that no request is lost meanwhile.
async fn stays_unready(ns: &Namespace, gates: &Gates, name: &str, step: &Value, reason: &str) -> Result<()> {
    let mut environment = ns.plain_environment(name, &canary(&json!([{"weight": 50}, step])));
    environment["spec"]["replicas"] = json!(1);
    gated(&mut environment);
    ns.apply(&environment.to_string()).await?;
    let first = ns.promote("one", name).await?;
    ns.promotion_succeeds(&first).await?;
    ns.serves(name, "one").await?;
    // a connection that is kept stays with its Pod
    let fresh = Shape {
        kept: 0,
        fresh: 4,
        per_second: 60,
    };
    let load = Load::start(&service(ns, name).await?, fresh).await?;
    let second = ns.promote("two", name).await?;
    let view = reaches(ns, name, ("1/2", reason), 50).await?;
    load.until("both answer", |tally| tally.of("1") > 0 && tally.of("2") > 0)
        .await?;
    gates.close(&candidate(&view)?).await?;
    waits_for_pods(ns, name, NONE_READY).await?;
    all_on(&load, "1").await?;
    let before = load.tally();
    patience(ns, name, "3s").await?;
    went_back(ns, name, &second, NONE_READY).await?;
    let all = load.stop().await;
    all.none_lost()?;
    all.since(&before).splits("1", 100, 0.0)
}

#[tokio::test]
async fn a_candidate_that_stays_unready_goes_back_at_the_deadline_whatever_the_step_waits_for() -> Result<()>
{
    scenario("unready-deadline", |ns| async move {
        prepared(&ns).await?;
        ns.release("one", "1").await?;
        ns.release("two", "2").await?;
        let gates = Gates::of(&ns);
        let timed = json!({"pause": {"duration": "10m"}});
        let asked = json!({"pause": {}});
        let measured = json!({"analysis": good()});
        tokio::try_join!(
            stays_unready(&ns, &gates, "timed", &timed, "TimedPause"),
            stays_unready(&ns, &gates, "asked", &asked, "PausedByStep"),
            stays_unready(&ns, &gates, "measured", &measured, "Analysis"),
        )?;
        Ok(())
    })
    .await
}

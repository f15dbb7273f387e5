//! Bad releases: by their errors, by their latency, by a crash. Each goes back by itself.

use anyhow::{Context, Result, ensure};
use dcanary_crds::Verb;
use dcanary_harness::{
    Namespace, RunView, data_plane::PROMETHEUS, example_app::error_share, fixtures::LIMIT, person::Person,
    scenario,
};
use serde_json::{Value, json};

use super::{all_on, canary, crashes, decide, load, prepared, share};

/// An analysis that is measured for as long as the rollout takes.
fn endless(mut analysis: Value) -> Value {
    if let Some(metric) = analysis["metrics"][0].as_object_mut() {
        metric.remove("count");
    }
    analysis
}

/// A promotion that went back, with the release held and all traffic on the stable one.
async fn went_back(ns: &Namespace, promotion: &RunView, reason: &str) -> Result<RunView> {
    let ended = ns.promotion_fails(promotion, reason).await?;
    let view = ns
        .environment_until("web", LIMIT, |view| view.state("RolledBack").0 == "True")
        .await?;
    assert_eq!(view.held(), ["bad"], "{:#}", view.status());
    assert_eq!(
        (view.stable(), view.state("Ready").0),
        (Some("one"), "True"),
        "{:#}",
        view.status()
    );
    Ok(ended)
}

#[tokio::test]
async fn a_canary_that_answers_with_errors_goes_back_by_itself_and_is_held_until_it_is_let_come_again()
-> Result<()> {
    scenario("errors", |ns| async move {
        let me = prepared(&ns).await?;
        let mut environment = ns.environment(
            "web",
            &canary(&json!([{"weight": 40}, {"pause": {"duration": "10m"}}])),
        );
        environment["spec"]["analysis"] = endless(error_share());
        ns.apply(&environment.to_string()).await?;
        ns.deployed("web", "one", "1").await?;
        let load = load(&ns, "web").await?;
        ns.release("bad", "2-errors").await?;
        let promotion = ns.promote("bad", "web").await?;
        let ended = went_back(&ns, &promotion, "AnalysisFailed").await?;
        ensure!(
            ended.says("Succeeded").contains("error-share"),
            "{:#}",
            ended.status()
        );
        let evidence = &ended.status()["analyses"][0]["evidence"];
        ensure!(
            evidence
                .as_str()
                .is_some_and(|digest| digest.starts_with("sha256:")),
            "{:#}",
            ended.status()
        );
        all_on(&load, "1").await?;

        // the same release does not come again, however often it is asked for
        let again = ns.promote("bad", "web").await?;
        let refused = ns.promotion_fails(&again, "Held").await?;
        ensure!(
            refused.says("Succeeded").contains("dcanary unhold"),
            "{:#}",
            refused.status()
        );

        let identity = ended.identity()?;
        let view = ns.serves("web", "one").await?;
        me.decides(Verb::Unhold, &view, Some(identity), None).await?;
        ns.environment_until("web", LIMIT, |view| view.held().is_empty())
            .await?;
        let third = ns.promote("bad", "web").await?;
        ns.environment_until("web", LIMIT, |view| {
            view.rollout()["promotion"] == third.name() && view.rollout()["weight"] == 40
        })
        .await
        .context("it was let come again")?;
        decide(&me, Verb::Abort, &third).await?;
        ns.promotion_ended(&third).await?;
        load.stop().await.none_lost()
    })
    .await
}

#[tokio::test]
async fn a_canary_that_is_slow_goes_back_by_its_latency() -> Result<()> {
    scenario("slow", |ns| async move {
        prepared(&ns).await?;
        let query = "histogram_quantile(0.9, sum by (le) (rate(http_request_duration_seconds_bucket{namespace=\"$(namespace)\",release=\"$(release)\"}[5s])))";
        let latency = json!({"metrics": [{
            "name": "latency", "interval": "1s", "failureLimit": 1, "inconclusiveLimit": 100, "success": "result < 0.5", "failure": "result >= 0.5",
            "prometheus": {"address": PROMETHEUS, "query": query},
        }]});
        let mut environment = ns.environment("web", &canary(&json!([{"weight": 30}, {"pause": {"duration": "10m"}}])));
        environment["spec"]["analysis"] = latency;
        ns.apply(&environment.to_string()).await?;
        ns.deployed("web", "one", "1").await?;
        let load = load(&ns, "web").await?;
        ns.release("bad", "2-slow").await?;
        let promotion = ns.promote("bad", "web").await?;
        let ended = went_back(&ns, &promotion, "AnalysisFailed").await?;
        ensure!(ended.says("Succeeded").contains("latency"), "{:#}", ended.status());
        all_on(&load, "1").await?;
        load.stop().await.none_lost()
    })
    .await
}

#[tokio::test]
async fn a_canary_that_crashes_goes_back_at_its_deadline_with_the_crash_named_and_no_client_sees_it()
-> Result<()> {
    scenario("crash", |ns| async move {
        prepared(&ns).await?;
        let environment = ns.environment("web", &canary(&json!([{"weight": 50}])));
        ns.apply(&environment.to_string()).await?;
        ns.deployed("web", "one", "1").await?;
        let load = load(&ns, "web").await?;
        ns.release("bad", "2-crash").await?;
        let promotion = ns.promote("bad", "web").await?;
        crashes(&ns, "web").await?;
        let ended = went_back(&ns, &promotion, "ProgressDeadlineExceeded").await?;
        ensure!(
            ended.says("Succeeded").contains("CrashLoopBackOff"),
            "{:#}",
            ended.status()
        );
        let tally = load.stop().await;
        tally.none_lost()?;
        tally.splits("1", 100, 0.0)
    })
    .await
}

#[tokio::test]
async fn an_analysis_whose_prometheus_is_away_asks_a_person_and_never_promotes() -> Result<()> {
    scenario("no-prometheus", |ns| async move {
        let me = prepared(&ns).await?;
        let mut analysis = error_share();
        analysis["metrics"][0]["prometheus"]["address"] = json!("http://127.0.0.1:9");
        analysis["metrics"][0]["errorLimit"] = json!(2);
        ns.apply(
            &ns.environment("web", &canary(&json!([{"weight": 50}, {"analysis": analysis}])))
                .to_string(),
        )
        .await?;
        ns.deployed("web", "one", "1").await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        let view = ns
            .environment_until("web", LIMIT, |view| view.state("Paused").0 == "True")
            .await?;
        assert_eq!(
            view.rollout()["reason"],
            "AnalysisInconclusive",
            "{:#}",
            view.status()
        );
        assert_eq!(
            (view.stable(), &view.rollout()["weight"]),
            (Some("one"), &json!(50)),
            "{:#}",
            view.status()
        );
        let said = view.rollout()["message"].as_str().unwrap_or_default();
        ensure!(
            said.contains("error-share") && said.contains("dcanary resume"),
            "{said}"
        );
        decide(&me, Verb::Resume, &promotion).await?;
        ns.promotion_succeeds(&promotion).await?;
        Ok(())
    })
    .await
}

/// Comes to its last weight and stays there until a person says so, with Prometheus away all the time and so many errors forgiven. It says
/// these things on its way, the last of them while it waits for the person.
async fn is_never_promoted_alone(ns: &Namespace, name: &str, forgiven: u32, says: &[&str]) -> Result<()> {
    let me = Person::me(&ns.cluster).await?;
    let mut analysis = endless(error_share());
    let metric = &mut analysis["metrics"][0];
    metric["initialDelay"] = json!("0s");
    metric["errorLimit"] = json!(forgiven);
    metric["prometheus"]["address"] = json!("http://127.0.0.1:9");
    let mut environment = ns.environment(name, &canary(&json!([{"weight": 50}])));
    environment["spec"]["analysis"] = analysis;
    environment["spec"]["replicas"] = json!(1);
    environment["spec"]["progressDeadline"] = json!("15s");
    ns.apply(&environment.to_string()).await?;
    let first = ns.promote("one", name).await?;
    ns.promotion_succeeds(&first).await?;
    ns.serves(name, "one").await?;
    let load = load(ns, name).await?;
    let second = ns.promote("two", name).await?;
    for part in says {
        let said = ns.environment_until(name, LIMIT, |view| {
            view.rollout()["message"]
                .as_str()
                .is_some_and(|said| said.contains(part))
        });
        said.await
            .with_context(|| format!("{name} does not say `{part}`"))?;
    }
    let view = ns
        .environment_until(name, LIMIT, |view| {
            view.state("Paused") == ("True", "AnalysisInconclusive")
        })
        .await?;
    assert_eq!(
        (view.stable(), &view.rollout()["weight"]),
        (Some("one"), &json!(50)),
        "{:#}",
        view.status()
    );
    let said = view.says("Paused");
    for part in [
        "`error-share` cannot",
        "dcanary resume",
        "dcanary retry",
        "dcanary abort",
    ] {
        ensure!(said.contains(part), "{said}");
    }
    share(&load, "2", 50, 200).await?.splits("2", 50, 8.0)?;
    decide(&me, Verb::Resume, &second).await?;
    let ended = ns.promotion_succeeds(&second).await?;
    let analysis = &ended.status()["analyses"][0];
    ensure!(
        analysis["name"] == "background" && analysis["verdict"] == "Inconclusive",
        "what nobody measured has passed: {:#}",
        ended.status()
    );
    all_on(&load, "2").await?;
    load.stop().await.none_lost()
}

#[tokio::test]
async fn a_canary_whose_prometheus_is_away_all_the_time_is_promoted_by_a_person_alone() -> Result<()> {
    scenario("never-measured", |ns| async move {
        prepared(&ns).await?;
        ns.release("one", "1").await?;
        ns.release("two", "2").await?;
        tokio::try_join!(
            is_never_promoted_alone(&ns, "soon", 2, &["3 in a row, 2 forgiven"]),
            // its limit is far away: it waits as long as for Pods
            is_never_promoted_alone(
                &ns,
                "late",
                1000,
                &[
                    "waits for a first sample of `error-share` that is good",
                    "dcanary resume"
                ]
            ),
        )?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_good_canary_passes_its_analysis_with_evidence() -> Result<()> {
    scenario("good", |ns| async move {
        prepared(&ns).await?;
        ns.apply(
            &ns.environment(
                "web",
                &canary(&json!([{"weight": 50}, {"analysis": error_share()}])),
            )
            .to_string(),
        )
        .await?;
        ns.deployed("web", "one", "1").await?;
        let load = load(&ns, "web").await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        let ended = ns.promotion_succeeds(&promotion).await?;
        let analysis = &ended.status()["analyses"][0];
        assert_eq!(analysis["verdict"], "Passed", "{analysis:#}");
        // Prometheus may have no rate yet at the first ones
        let metric = &analysis["metrics"][0];
        ensure!(
            metric["failed"] == 0 && metric["successful"].as_i64() >= Some(3),
            "{analysis:#}"
        );
        ensure!(
            analysis["evidence"]
                .as_str()
                .is_some_and(|digest| digest.starts_with("sha256:")),
            "{analysis:#}"
        );
        load.stop().await.none_lost()
    })
    .await
}

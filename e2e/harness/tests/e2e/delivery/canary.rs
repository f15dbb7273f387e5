//! Canaries that go well, and those that have to wait.

use anyhow::{Result, ensure};
use dcanary_crds::Verb;
use dcanary_harness::{
    fixtures::LIMIT,
    load::{Load, Shape},
    scenario,
};
use futures::{StreamExt, TryStreamExt};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;

use super::{all_on, canary, decide, load, on_two_pods, patience, pods_at_most, prepared, share};

/// How far a share may be off at a thousand requests.
const POINTS: f64 = 2.0;

#[tokio::test]
async fn a_canary_has_its_share_at_each_step_and_no_request_of_ten_thousand_is_lost() -> Result<()> {
    scenario("canary", |ns| async move {
        let me = prepared(&ns).await?;
        let steps = json!([{"weight": 20}, {"pause": {}}, {"weight": 50}, {"pause": {}}]);
        let environment = on_two_pods(ns.environment("web", &canary(&steps)));
        ns.apply(&environment.to_string()).await?;
        let before = ns.deployed("web", "one", "1").await?;
        let quick = Shape {
            per_second: 400,
            ..Shape::default()
        };
        let load = Load::start(&ns.through_gateway("web").await?, quick).await?;
        all_on(&load, "1").await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        for weight in [20, 50] {
            ns.pauses_at("web", weight.into()).await?;
            share(&load, "2", weight, 1000)
                .await?
                .splits("2", weight, POINTS)?;
            decide(&me, Verb::Resume, &promotion).await?;
        }
        ns.promotion_succeeds(&promotion).await?;
        all_on(&load, "2").await?;
        // also while the Pods of the release before go
        let old = before.status()["stable"]["workload"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        ns.scaled_to_zero(&old).await?;
        load.until("ten thousand requests", |tally| tally.requests() >= 10_000)
            .await?;
        load.stop().await.none_lost()?;
        let view = ns.serves("web", "two").await?;
        assert_eq!(
            view.status()["history"][0]["release"],
            "one",
            "{:#}",
            view.status()
        );
        Ok(())
    })
    .await
}

// flagger #826
#[tokio::test]
async fn promotions_one_after_another_give_no_client_a_503() -> Result<()> {
    scenario("no-503", |ns| async move {
        prepared(&ns).await?;
        ns.apply(
            &ns.environment("web", &canary(&json!([{"weight": 50}])))
                .to_string(),
        )
        .await?;
        ns.deployed("web", "one", "1").await?;
        // a new connection for each request sees every change of the data plane
        let fresh = Shape {
            kept: 1,
            fresh: 7,
            per_second: 150,
        };
        let load = Load::start(&ns.through_gateway("web").await?, fresh).await?;
        for (release, tag) in [("two", "2"), ("three", "3"), ("four", "1")] {
            ns.deployed("web", release, tag).await?;
            all_on(&load, tag).await?;
        }
        load.stop().await.none_lost()
    })
    .await
}

// argo-rollouts #4612
#[tokio::test]
async fn a_weight_waits_for_the_pods_that_can_carry_it_and_says_so() -> Result<()> {
    scenario("weight-waits", |ns| async move {
        let me = prepared(&ns).await?;
        let steps = json!([{"replicas": "1"}, {"weight": 20}, {"pause": {}}, {"weight": 80}]);
        let mut environment = ns.environment("web", &canary(&steps));
        environment["spec"]["replicas"] = json!(3);
        environment["spec"]["progressDeadline"] = json!("10m");
        ns.apply(&environment.to_string()).await?;
        ns.deployed("web", "one", "1").await?;
        let load = load(&ns, "web").await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        ns.pauses_at("web", 20).await?;
        // no room for the Pods that 80 % need
        pods_at_most(&ns, 4).await?;
        decide(&me, Verb::Resume, &promotion).await?;
        let view = ns
            .environment_until("web", LIMIT, |view| view.rollout()["reason"] == "WaitingForPods")
            .await?;
        assert_eq!(view.rollout()["weight"], 20, "{:#}", view.status());
        let said = view.rollout()["message"].as_str().unwrap_or_default();
        ensure!(said.contains("80 %") && said.contains("1 are ready"), "{said}");
        share(&load, "2", 20, 500).await?.splits("2", 20, 2.5)?;
        decide(&me, Verb::Abort, &promotion).await?;
        let ended = ns.promotion_ended(&promotion).await?;
        assert_eq!(ended.state("Succeeded").0, "False", "{:#}", ended.status());
        all_on(&load, "1").await?;
        load.stop().await.none_lost()
    })
    .await
}

#[tokio::test]
async fn a_candidate_that_is_never_ready_gets_no_request_at_any_moment() -> Result<()> {
    scenario("never-ready", |ns| async move {
        prepared(&ns).await?;
        let environment = ns.environment("web", &canary(&json!([{"weight": 50}])));
        ns.apply(&environment.to_string()).await?;
        ns.deployed("web", "one", "1").await?;
        patience(&ns, "web", "10s").await?;
        let load = load(&ns, "web").await?;
        ns.release("unready", "2-unready").await?;
        let promotion = ns.promote("unready", "web").await?;
        let mut versions = watcher(ns.environments(), watcher::Config::default()).default_backoff().applied_objects().boxed();
        let ended = ns.promotion_ended(&promotion);
        tokio::pin!(ended);
        let ended = loop {
            tokio::select! {
                ended = &mut ended => break ended?,
                version = versions.try_next() => {
                    let rollout = version?.map(|version| version.data["status"]["rollout"].clone()).unwrap_or_default();
                    let weight = rollout["wantedWeight"].as_i64();
                    ensure!(rollout["release"] != "unready" || weight == Some(0), "it was given {weight:?} %");
                }
            }
        };
        assert_eq!(ended.state("Succeeded"), ("False", "ProgressDeadlineExceeded"), "{:#}", ended.status());
        let tally = load.stop().await;
        tally.none_lost()?;
        tally.splits("1", 100, 0.0)
    })
    .await
}

#[tokio::test]
async fn a_tester_with_the_header_gets_the_candidate_and_nobody_else_does() -> Result<()> {
    scenario("testers", |ns| async move {
        let me = prepared(&ns).await?;
        let mut strategy = canary(&json!([{"replicas": "1"}, {"pause": {}}, {"weight": 50}]));
        strategy["canary"]["testers"] = json!([{"header": {"name": "x-tester", "value": "yes"}}, {"cookie": {"name": "tester", "value": "yes"}}]);
        ns.apply(&ns.environment("web", &strategy).to_string()).await?;
        ns.deployed("web", "one", "1").await?;
        let everybody = load(&ns, "web").await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        ns.pauses_at("web", 0).await?;
        let web = ns.through_gateway("web").await?;
        for tester in [
            web.clone().header("x-tester", "yes"),
            web.clone().header("cookie", "other=1; tester=yes"),
        ] {
            let testers = Load::start(&tester, Shape { kept: 1, fresh: 1, per_second: 100 }).await?;
            all_on(&testers, "2").await?;
            testers.stop().await.none_lost()?;
        }
        for somebody in [web.clone().header("x-tester", "no"), web.header("cookie", "nottester=yes; tester=yesno")] {
            let others = Load::start(&somebody, Shape { kept: 1, fresh: 1, per_second: 100 }).await?;
            all_on(&others, "1").await?;
            others.stop().await.none_lost()?;
        }
        all_on(&everybody, "1").await?;
        decide(&me, Verb::Resume, &promotion).await?;
        ns.promotion_succeeds(&promotion).await?;
        let route = ns.object("httproute", "web").await?.unwrap_or_default();
        ensure!(!route["spec"].to_string().contains("x-tester"), "the testers' rules are still there: {:#}", route["spec"]);
        everybody.stop().await.none_lost()
    })
    .await
}

#[tokio::test]
async fn a_newer_release_takes_the_candidates_place_and_the_stable_release_stays() -> Result<()> {
    scenario("superseded", |ns| async move {
        let me = prepared(&ns).await?;
        let steps = json!([{"weight": 30}, {"pause": {}}]);
        ns.apply(&ns.environment("web", &canary(&steps)).to_string())
            .await?;
        ns.deployed("web", "one", "1").await?;
        let load = load(&ns, "web").await?;
        ns.release("two", "2").await?;
        let second = ns.promote("two", "web").await?;
        ns.pauses_at("web", 30).await?;
        ns.release("three", "3").await?;
        let third = ns.promote("three", "web").await?;
        ns.promotion_fails(&second, "Superseded").await?;
        let view = ns
            .environment_until("web", LIMIT, |view| {
                view.rollout()["release"] == "three"
                    && view.rollout()["weight"] == 30
                    && view.state("Paused").0 == "True"
            })
            .await?;
        assert_eq!(view.stable(), Some("one"), "{:#}", view.status());
        let tally = share(&load, "3", 30, 500).await?;
        tally.splits("3", 30, 3.0)?;
        assert_eq!(tally.of("2"), 0, "{:?}", tally.answers);
        decide(&me, Verb::Resume, &third).await?;
        ns.promotion_succeeds(&third).await?;
        ensure!(
            ns.serves("web", "three").await?.held().is_empty(),
            "a superseded release is not held"
        );
        load.stop().await.none_lost()
    })
    .await
}

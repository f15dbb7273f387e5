//! Answers that take longer than a switch.

use anyhow::{Context, Result, ensure};
use dcanary_crds::Verb;
use dcanary_harness::{Namespace, load::Target, scenario};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{all_on, decide, load, prepared, service};

/// Lines of a long answer, of which there is one every 100 ms.
const LINES: usize = 200;
/// Longer than the long answer.
const DRAIN: &str = "25s";

/// Blue/green, of an application that is gone one second after it was told to end: nothing but the time that its Pods are left keeps
/// an answer whole.
fn abrupt(ns: &Namespace) -> Value {
    let strategy = json!({"blueGreen": {"autoPromote": false, "scaleDownDelay": "1s"}});
    let mut environment = ns.environment("web", &strategy);
    environment["spec"]["traffic"]["drain"] = json!(DRAIN);
    let pod = &mut environment["spec"]["workload"]["template"]["spec"]["template"]["spec"];
    pod["terminationGracePeriodSeconds"] = json!(1);
    pod["containers"][0]["env"] = json!([{"name": "DRAIN_SECONDS", "value": "0"}]);
    environment
}

/// A long answer that has begun: all of it, or how it broke off.
async fn long(target: Target) -> Result<JoinHandle<Result<String>>> {
    let mut answer = target.path(&format!("/stream/{LINES}")).begins().await?;
    let first = answer.chunk().await?.context("no first line")?;
    Ok(tokio::spawn(async move {
        let mut all = first.to_vec();
        while let Some(more) = answer.chunk().await? {
            all.extend(more);
        }
        Ok(String::from_utf8(all)?)
    }))
}

#[tokio::test]
async fn an_answer_that_is_on_its_way_at_the_switch_ends_whole_because_the_old_pods_drain() -> Result<()> {
    scenario("long-answer", |ns| async move {
        let me = prepared(&ns).await?;
        ns.apply(&abrupt(&ns).to_string()).await?;
        let before = ns.deployed("web", "one", "1").await?;
        let load = load(&ns, "web").await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        ns.pauses_at("web", 0).await?;
        // through the gateway, and by the Service's own address
        let answers = [
            long(ns.through_gateway("web").await?).await?,
            long(service(&ns, "web").await?).await?,
        ];
        decide(&me, Verb::Resume, &promotion).await?;
        ns.promotion_succeeds(&promotion).await?;
        all_on(&load, "2").await?;
        ensure!(
            answers.iter().all(|answer| !answer.is_finished()),
            "an answer was over before the switch: this proves nothing"
        );
        for answer in answers {
            let all = answer.await??;
            assert_eq!(all.lines().count(), LINES);
            ensure!(all.lines().all(|line| line == "1"), "{all}");
        }
        // and then they go
        let old = before.status()["stable"]["workload"]
            .as_str()
            .context("workload")?;
        ns.scaled_to_zero(old).await?;
        load.stop().await.none_lost()
    })
    .await
}

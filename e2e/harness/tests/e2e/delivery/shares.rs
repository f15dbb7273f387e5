//! Canaries without a gateway: the share of Pods behind a Service is the share of requests, more or less.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use dcanary_crds::Verb;
use dcanary_harness::{
    Namespace, RunView,
    example_app::error_share,
    fixtures::LIMIT,
    load::{Load, Shape},
    scenario,
};
use futures::TryStreamExt;
use k8s_openapi::api::{core::v1::Pod, discovery::v1::EndpointSlice};
use kube::{
    api::ListParams,
    runtime::{WatchStreamExt, watcher},
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{all_on, canary, decide, ends_well, prepared, service, share};

/// A node chooses among Pods for each connection, so all are new.
const FRESH: Shape = Shape {
    kept: 0,
    fresh: 6,
    per_second: 150,
};
/// How far a share of 500 requests may be off that a node chooses at random: the standard deviation of a half of them is 2.2 points.
const POINTS: f64 = 9.0;

fn three_pods(ns: &Namespace, steps: &Value) -> Value {
    let mut environment = ns.plain_environment("web", &canary(steps));
    environment["spec"]["replicas"] = json!(3);
    environment
}

/// Pods that Service `web` leads to, by the workload that they are of.
async fn endpoints(ns: &Namespace) -> Result<BTreeMap<String, usize>> {
    let of_web = ListParams::default().labels("kubernetes.io/service-name=web");
    let slices = ns.api::<EndpointSlice>().list(&of_web).await?;
    let ready = slices
        .items
        .iter()
        .flat_map(|slice| &slice.endpoints)
        .filter(|endpoint| {
            let conditions = endpoint.conditions.as_ref();
            conditions.is_some_and(|conditions| conditions.ready == Some(true))
        });
    let mut all = BTreeMap::new();
    for endpoint in ready {
        let pod = endpoint.target_ref.as_ref().and_then(|to| to.name.as_deref());
        let pod = ns.api::<Pod>().get_opt(pod.context("no Pod")?).await?;
        let labels = pod.and_then(|pod| pod.metadata.labels).unwrap_or_default();
        let release = labels.get("dcanary.dev/release").cloned().unwrap_or_default();
        *all.entry(release).or_default() += 1;
    }
    Ok(all)
}

/// Waits until Service `web` leads to just these Pods: endpoints follow Pods and selectors some moments later.
async fn leads_to(ns: &Namespace, wanted: &[(&Value, usize)]) -> Result<()> {
    let name = |workload: &Value| workload.as_str().unwrap_or_default().to_owned();
    let wanted: BTreeMap<String, usize> = wanted.iter().map(|(of, pods)| (name(of), *pods)).collect();
    let config = watcher::Config::default().labels("kubernetes.io/service-name=web");
    let mut changes = Box::pin(
        watcher(ns.api::<EndpointSlice>(), config)
            .default_backoff()
            .touched_objects(),
    );
    let mut last = BTreeMap::new();
    let followed = timeout(LIMIT, async {
        while changes.try_next().await?.is_some() {
            last = endpoints(ns).await?;
            if last == wanted {
                return Ok(());
            }
        }
        bail!("the watch ended")
    })
    .await;
    followed.unwrap_or_else(|_| bail!("Service web leads to {last:?}, not {wanted:?}"))
}

/// A Service can promise no weights, so nothing of a route is said to be in force, and the share is said to be one of Pods.
fn promises_nothing(view: &RunView) -> Result<()> {
    let message = view.rollout()["message"].to_string();
    ensure!(
        view.rollout()["routed"].is_null()
            && (!message.contains('%') || message.contains("without a route requests go by Pods")),
        "{:#}",
        view.status()
    );
    Ok(())
}

#[tokio::test]
async fn without_a_gateway_the_endpoints_of_the_service_are_of_both_releases_in_about_the_share() -> Result<()>
{
    scenario("shares", |ns| async move {
        let me = prepared(&ns).await?;
        let steps = json!([{"weight": 20}, {"pause": {}}, {"weight": 50}, {"pause": {}}]);
        ns.apply(&three_pods(&ns, &steps).to_string()).await?;
        let before = ns.deployed("web", "one", "1").await?;
        let stable = &before.status()["stable"]["workload"];
        leads_to(&ns, &[(stable, 3)]).await?;
        let load = Load::start(&service(&ns, "web").await?, FRESH).await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        // one Pod beside three is a quarter where a fifth was asked for: there is no smaller share
        for (weight, pods, percent) in [(20, 1, 25), (50, 3, 50)] {
            let view = ns.pauses_at("web", weight).await?;
            promises_nothing(&view)?;
            let candidate = &view.rollout()["workload"];
            leads_to(&ns, &[(stable, 3), (candidate, pods)]).await?;
            share(&load, "2", percent, 500)
                .await?
                .splits("2", percent, POINTS)?;
            decide(&me, Verb::Resume, &promotion).await?;
        }
        ns.promotion_succeeds(&promotion).await?;
        let after = ns.serves("web", "two").await?;
        leads_to(&ns, &[(&after.status()["stable"]["workload"], 3)]).await?;
        all_on(&load, "2").await?;
        ends_well(&ns, &before, load).await
    })
    .await
}

#[tokio::test]
async fn without_a_gateway_a_bad_release_leaves_the_endpoints_again_and_no_request_is_lost() -> Result<()> {
    scenario("shares-bad", |ns| async move {
        prepared(&ns).await?;
        let steps = json!([{"weight": 40}, {"analysis": error_share()}]);
        ns.apply(&three_pods(&ns, &steps).to_string()).await?;
        let before = ns.deployed("web", "one", "1").await?;
        let stable = &before.status()["stable"]["workload"];
        let load = Load::start(&service(&ns, "web").await?, FRESH).await?;
        ns.release("bad", "2-errors").await?;
        let promotion = ns.promote("bad", "web").await?;
        let view = ns
            .environment_until("web", LIMIT, |view| view.rollout()["weight"] == 40)
            .await?;
        let candidate = view.rollout()["workload"].clone();
        leads_to(&ns, &[(stable, 3), (&candidate, 2)]).await?;
        let ended = ns.promotion_fails(&promotion, "AnalysisFailed").await?;
        let said = ended.says("Succeeded");
        ensure!(said.contains("`error-share` failed"), "{said}");
        leads_to(&ns, &[(stable, 3)]).await?;
        all_on(&load, "1").await?;
        let view = ns.serves("web", "one").await?;
        assert_eq!(view.held(), ["bad"], "{:#}", view.status());
        assert_eq!(
            &view.status()["stable"]["workload"],
            stable,
            "{:#}",
            view.status()
        );
        ns.scaled_to_zero(candidate.as_str().context("workload")?).await?;
        let tally = load.stop().await;
        tally.none_lost()?;
        // those that a bad release answered badly are its own
        assert_eq!(tally.answers["1"].bad, 0, "{:?}", tally.answers);
        ensure!(tally.of("2-errors") > 0, "{:?}", tally.answers);
        Ok(())
    })
    .await
}

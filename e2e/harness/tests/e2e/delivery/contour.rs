//! The same through another gateway: Contour and its Envoy.

mod mirror;
mod unready;

use anyhow::Result;
use dcanary_crds::Verb;
use dcanary_harness::{
    Namespace, data_plane,
    example_app::METHOD,
    load::{Load, Shape, Target},
    scenario,
};
use serde_json::{Value, json};

use super::{all_on, canary, decide, ends_well, prepared, share};

/// Requests of which a share is measured. Envoy throws dice for each: the standard deviation of a half of so many is 0.8 points.
const REQUESTS: u32 = 4000;
/// How far a share of them may be off: nearly four times that.
const POINTS: f64 = 3.0;
/// So that they do not take long.
const QUICK: Shape = Shape {
    kept: 6,
    fresh: 2,
    per_second: 400,
};

/// An Environment that is reached through Contour.
fn environment(ns: &Namespace, strategy: &Value) -> Value {
    let mut environment = ns.environment("web", strategy);
    environment["spec"]["traffic"]["route"]["template"]["parentRefs"] = parents();
    environment
}

fn parents() -> Value {
    json!([{"name": data_plane::CONTOUR, "namespace": "gateway"}])
}

async fn through_contour(ns: &Namespace) -> Result<Target> {
    Ok(Target::new(data_plane::contour().await?, ns.host("web")))
}

#[tokio::test]
async fn a_canary_through_another_gateway_has_its_shares_and_loses_no_request() -> Result<()> {
    scenario("contour", |ns| async move {
        let me = prepared(&ns).await?;
        let steps = json!([{"weight": 20}, {"pause": {}}, {"weight": 50}, {"pause": {}}]);
        let mut strategy = canary(&steps);
        strategy["canary"]["testers"] = json!([{"header": {"name": "x-tester", "value": "yes"}}]);
        ns.apply(&environment(&ns, &strategy).to_string()).await?;
        let before = ns.deployed("web", "one", "1").await?;
        let target = through_contour(&ns).await?;
        let load = Load::start(&target, QUICK).await?;
        all_on(&load, "1").await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        for weight in [20, 50] {
            ns.pauses_at("web", weight.into()).await?;
            share(&load, "2", weight, REQUESTS)
                .await?
                .splits("2", weight, POINTS)?;
            if weight == 20 {
                let few = Shape {
                    kept: 1,
                    fresh: 1,
                    per_second: 100,
                };
                let testers = Load::start(&target.clone().header("x-tester", "yes"), few).await?;
                all_on(&testers, "2").await?;
                testers.stop().await.none_lost()?;
            }
            decide(&me, Verb::Resume, &promotion).await?;
        }
        ns.promotion_succeeds(&promotion).await?;
        all_on(&load, "2").await?;
        ends_well(&ns, &before, load).await
    })
    .await
}

#[tokio::test]
async fn promotions_one_after_another_give_no_client_of_another_gateway_a_503() -> Result<()> {
    scenario("contour-no-503", |ns| async move {
        prepared(&ns).await?;
        ns.apply(&environment(&ns, &canary(&json!([{"weight": 50}]))).to_string())
            .await?;
        ns.deployed("web", "one", "1").await?;
        // a new connection for each request sees every change of the data plane
        let fresh = Shape {
            kept: 1,
            fresh: 7,
            per_second: 150,
        };
        let load = Load::start(&through_contour(&ns).await?, fresh).await?;
        for (release, tag) in [("two", "2"), ("three", "3"), ("four", "1")] {
            ns.deployed("web", release, tag).await?;
            all_on(&load, tag).await?;
        }
        load.stop().await.none_lost()
    })
    .await
}

#[tokio::test]
async fn a_grpc_canary_through_another_gateway_has_its_share_and_loses_no_call() -> Result<()> {
    scenario("contour-grpc", |ns| async move {
        let me = prepared(&ns).await?;
        let mut environment = environment(&ns, &canary(&json!([{"weight": 20}, {"pause": {}}])));
        environment["spec"]["traffic"]["route"]["kind"] = json!("GRPCRoute");
        ns.apply(&environment.to_string()).await?;
        let before = ns.deployed("web", "one", "1").await?;
        let target = Target::grpc(data_plane::contour().await?, ns.host("web"), METHOD);
        let load = Load::start(&target, QUICK).await?;
        all_on(&load, "1").await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        ns.pauses_at("web", 20).await?;
        share(&load, "2", 20, REQUESTS).await?.splits("2", 20, POINTS)?;
        decide(&me, Verb::Resume, &promotion).await?;
        ns.promotion_succeeds(&promotion).await?;
        all_on(&load, "2").await?;
        ends_well(&ns, &before, load).await
    })
    .await
}

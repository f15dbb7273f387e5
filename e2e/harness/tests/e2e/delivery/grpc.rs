//! gRPC: an Environment whose route is a GRPCRoute.

use anyhow::{Context, Result};
use dcanary_crds::Verb;
use dcanary_harness::{
    data_plane,
    example_app::METHOD,
    load::{Load, Shape, Target},
    scenario,
};
use serde_json::json;

use super::{all_on, canary, decide, ends_well, prepared, share};

#[tokio::test]
async fn a_grpc_route_gives_a_canary_its_share_of_unary_calls_and_loses_none() -> Result<()> {
    scenario("grpc", |ns| async move {
        let me = prepared(&ns).await?;
        let mut environment = ns.environment("web", &canary(&json!([{"weight": 20}, {"pause": {}}])));
        environment["spec"]["traffic"]["route"]["kind"] = json!("GRPCRoute");
        ns.apply(&environment.to_string()).await?;
        let before = ns.deployed("web", "one", "1").await?;
        // a gateway must know that it is HTTP/2 without TLS
        for name in ["web", "web-candidate"] {
            let service = ns.object("service", name).await?.context("no Service")?;
            assert_eq!(
                service["spec"]["ports"][0]["appProtocol"], "kubernetes.io/h2c",
                "{name}"
            );
        }
        let target = Target::grpc(data_plane::gateway().await?, ns.host("web"), METHOD);
        let load = Load::start(&target, Shape::default()).await?;
        all_on(&load, "1").await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        ns.pauses_at("web", 20).await?;
        share(&load, "2", 20, 1000).await?.splits("2", 20, 2.5)?;
        decide(&me, Verb::Resume, &promotion).await?;
        ns.promotion_succeeds(&promotion).await?;
        all_on(&load, "2").await?;
        ends_well(&ns, &before, load).await
    })
    .await
}

//! Deployments that are updated in place: the strategy that needs nothing else.

use anyhow::{Context, Result};
use dcanary_crds::Verb;
use dcanary_harness::{
    Namespace,
    example_app::image,
    load::{Load, Shape},
    scenario,
};
use serde_json::{Value, json};

use super::{decide, on_two_pods, patience, prepared, service};

async fn deployment(ns: &Namespace) -> Result<Value> {
    ns.object("deployment", "web").await?.context("no Deployment web")
}

/// Image of the Pods that the Deployment makes.
fn made_of(deployment: &Value) -> &Value {
    &deployment["spec"]["template"]["spec"]["containers"][0]["image"]
}

#[tokio::test]
async fn a_deployment_is_updated_in_place_and_a_release_that_is_never_ready_goes_back_without_one_pod_less()
-> Result<()> {
    scenario("rolling", |ns| async move {
        let me = prepared(&ns).await?;
        let strategy = json!({"rolling": {"maxSurge": "1", "maxUnavailable": "0"}});
        let environment = on_two_pods(ns.plain_environment("web", &strategy));
        ns.apply(&environment.to_string()).await?;
        ns.deployed("web", "one", "1").await?;
        let first = deployment(&ns).await?;
        assert_eq!(*made_of(&first), image("1").await?.as_str());
        ns.deployed("web", "two", "2").await?;
        let second = deployment(&ns).await?;
        assert_eq!(second["metadata"]["uid"], first["metadata"]["uid"]);
        assert_eq!(*made_of(&second), image("2").await?.as_str());

        let shape = Shape {
            kept: 2,
            fresh: 2,
            per_second: 50,
        };
        let load = Load::start(&service(&ns, "web").await?, shape).await?;
        patience(&ns, "web", "8s").await?;
        ns.release("bad", "2-unready").await?;
        let promotion = ns.promote("bad", "web").await?;
        ns.promotion_fails(&promotion, "ProgressDeadlineExceeded").await?;
        let view = ns.serves("web", "two").await?;
        assert_eq!(view.held(), ["bad"], "{:#}", view.status());
        let tally = load.stop().await;
        tally.none_lost()?;
        tally.splits("2", 100, 0.0)?;
        let third = deployment(&ns).await?;
        assert_eq!(third["metadata"]["uid"], first["metadata"]["uid"]);
        assert_eq!(third["spec"]["template"], second["spec"]["template"]);

        // from the record, also by a person
        patience(&ns, "web", "1m").await?;
        decide(&me, Verb::Undo, &view).await?;
        ns.serves("web", "one").await?;
        let back = deployment(&ns).await?;
        assert_eq!(back["spec"]["template"], first["spec"]["template"]);
        Ok(())
    })
    .await
}

//! Mirrored requests to a candidate that is not ready any more.

use anyhow::{Result, ensure};
use dcanary_crds::Verb;
use dcanary_harness::{
    load::{Load, Shape},
    scenario,
};
use serde_json::json;

use super::{
    super::{
        canary, decide, patience, prepared,
        readiness::{Gates, gated},
        unready::{NONE_READY, candidate, reaches, waits_for_pods},
    },
    environment, through_contour,
};

#[tokio::test]
async fn a_mirror_to_a_candidate_that_is_unready_costs_clients_nothing_and_gets_it_no_share() -> Result<()> {
    scenario("unready-mirror", |ns| async move {
        let me = prepared(&ns).await?;
        let steps = json!([{"replicas": "1"}, {"mirror": 100}, {"pause": {}}, {"weight": 50}]);
        let target = through_contour(&ns).await?;
        let mut environment = environment(&ns, &canary(&steps));
        environment["spec"]["replicas"] = json!(1);
        gated(&mut environment);
        let gates = Gates::of(&ns);
        ns.apply(&environment.to_string()).await?;
        ns.deployed("web", "one", "1").await?;
        let load = Load::start(&target, Shape::default()).await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        let view = reaches(&ns, "web", ("2/4", "PausedByStep"), 0).await?;
        gates.close(&candidate(&view)?).await?;
        load.next(400).await?.splits("1", 100, 0.0)?;
        decide(&me, Verb::Resume, &promotion).await?;
        waits_for_pods(&ns, "web", NONE_READY).await?;
        patience(&ns, "web", "3s").await?;
        let ended = ns.promotion_fails(&promotion, "ProgressDeadlineExceeded").await?;
        ensure!(
            ended.says("Succeeded").contains("did not become ready"),
            "{:#}",
            ended.status()
        );
        let view = ns.serves("web", "one").await?;
        assert_eq!(view.held(), ["two"], "{:#}", view.status());
        let tally = load.stop().await;
        tally.none_lost()?;
        tally.splits("1", 100, 0.0)
    })
    .await
}

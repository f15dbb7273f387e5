//! Blue/green after the switch: what is measured there switches back.

use anyhow::{Result, ensure};
use dcanary_harness::{example_app::error_share, scenario};
use serde_json::json;

use super::{all_on, load, prepared};

#[tokio::test]
async fn a_release_that_fails_its_analysis_after_the_switch_is_switched_back_and_held() -> Result<()> {
    scenario("bad-after-switch", |ns| async move {
        prepared(&ns).await?;
        let mut analysis = error_share();
        analysis["metrics"][0]["initialDelay"] = json!("2s");
        analysis["metrics"][0]["count"] = json!(200);
        let strategy = json!({"blueGreen": {"postPromotionAnalysis": analysis, "scaleDownDelay": "10m"}});
        ns.apply(&ns.environment("web", &strategy).to_string()).await?;
        ns.deployed("web", "one", "1").await?;
        let load = load(&ns, "web").await?;
        ns.release("bad", "2-errors").await?;
        let promotion = ns.promote("bad", "web").await?;
        let ended = ns.promotion_fails(&promotion, "AnalysisFailed").await?;
        let analysis = &ended.status()["analyses"][0];
        assert_eq!(analysis["name"], "postPromotion", "{:#}", ended.status());
        all_on(&load, "1").await?;
        let view = ns.serves("web", "one").await?;
        assert_eq!(view.held(), ["bad"], "{:#}", view.status());
        let tally = load.stop().await;
        ensure!(
            tally.of("2-errors") > 0,
            "it was never switched to: this proves nothing"
        );
        tally.none_lost()
    })
    .await
}

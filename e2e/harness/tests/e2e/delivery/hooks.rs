//! Stages around a rollout.

use anyhow::Result;
use dcanary_harness::{fixtures::stage, scenario};
use serde_json::json;

use super::{canary, prepared};

#[tokio::test]
async fn stages_before_and_after_a_deploy_run_as_pipeline_runs_and_one_that_fails_deploys_nothing()
-> Result<()> {
    scenario("hooks", |ns| async move {
        prepared(&ns).await?;
        let mut environment = ns.environment("web", &canary(&json!([{"weight": 50}])));
        environment["spec"]["hooks"] = json!({
            "preDeploy": [stage("migrate", "test \"$PARAM_release\" != bad")],
            "postDeploy": [stage("announce", "echo \"$PARAM_release is in $PARAM_environment\"")],
        });
        ns.apply(&environment.to_string()).await?;
        let view = ns.deployed("web", "good", "1").await?;
        let hooks = view.status()["rollout"]["hooks"].as_array().map_or(0, Vec::len);
        assert_eq!(hooks, 2, "{:#}", view.status());
        ns.release("bad", "2").await?;
        let promotion = ns.promote("bad", "web").await?;
        let ended = ns.promotion_ended(&promotion).await?;
        assert_eq!(
            ended.state("Succeeded"),
            ("False", "PreDeployFailed"),
            "{:#}",
            ended.status()
        );
        let view = ns.serves("web", "good").await?;
        assert_eq!(
            view.status()["held"][0]["reason"],
            "PreDeployFailed",
            "{:#}",
            view.status()
        );
        Ok(())
    })
    .await
}

//! Stages around a rollout.

use anyhow::{Context, Result, ensure};
use dcanary_harness::{
    Namespace, RunView,
    example_app::image,
    fixtures::{LIMIT, stage},
    scenario,
};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{ResourceExt, api::ListParams};
use serde_json::json;

use super::{all_on, canary, load, prepared};

/// Name of the run of a hook (`pre`, `post`, `back`) of the last rollout.
fn hook<'a>(view: &'a RunView, which: &str) -> Result<&'a str> {
    let all = view.rollout()["hooks"].as_array().into_iter().flatten();
    all.filter_map(|name| name.as_str())
        .find(|name| name.contains(&format!("-{which}-")))
        .with_context(|| format!("no {which}: {:#}", view.status()))
}

/// The run of a hook must have ended so.
async fn ended_as(ns: &Namespace, run: &str, succeeded: &str) -> Result<()> {
    let ended = ns.finished(run, LIMIT).await?;
    assert_eq!(ended.state("Succeeded").0, succeeded, "{:#}", ended.status());
    assert_eq!(ended.0["metadata"]["ownerReferences"][0]["kind"], "Environment");
    Ok(())
}

async fn deployments(ns: &Namespace) -> Result<Vec<String>> {
    let all = ns.api::<Deployment>().list(&ListParams::default()).await?;
    Ok(all.iter().map(ResourceExt::name_any).collect())
}

#[tokio::test]
async fn stages_before_and_after_a_deploy_run_as_pipeline_runs_and_one_that_fails_deploys_nothing()
-> Result<()> {
    scenario("hooks", |ns| async move {
        prepared(&ns).await?;
        let mut environment = ns.environment("web", &canary(&json!([{"weight": 50}])));
        environment["spec"]["hooks"] = json!({
            "preDeploy": [stage("migrate", "test \"$PARAM_release\" != bad")],
            "postDeploy": [stage("announce", "echo \"$PARAM_release is in $PARAM_environment: $PARAM_image_web\"")],
        });
        ns.apply(&environment.to_string()).await?;
        let view = ns.deployed("web", "good", "1").await?;
        for which in ["pre", "post"] {
            ended_as(&ns, hook(&view, which)?, "True").await?;
        }
        let announced = ns.logs(hook(&view, "post")?).await?;
        let words = format!("good is in web: {}", image("1").await?);
        ensure!(announced.contains(&words), "{announced}");

        let before = deployments(&ns).await?;
        ns.release("bad", "2").await?;
        let promotion = ns.promote("bad", "web").await?;
        ns.promotion_fails(&promotion, "PreDeployFailed").await?;
        let view = ns.serves("web", "good").await?;
        let held = &view.status()["held"][0];
        assert_eq!(
            (&held["release"], &held["reason"]),
            (&json!("bad"), &json!("PreDeployFailed")),
            "{:#}",
            view.status()
        );
        ended_as(&ns, hook(&view, "pre")?, "False").await?;
        ensure!(hook(&view, "post").is_err(), "{:#}", view.status());
        assert_eq!(deployments(&ns).await?, before);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_stage_that_fails_after_a_deploy_takes_it_back_and_then_the_stages_for_that_run() -> Result<()> {
    scenario("hooks-back", |ns| async move {
        prepared(&ns).await?;
        let mut environment = ns.environment("web", &canary(&json!([{"weight": 50}])));
        environment["spec"]["hooks"] = json!({
            "postDeploy": [stage("check", "test \"$PARAM_release\" != bad")],
            "onRollback": [stage("tell", "echo \"$PARAM_release went back\"")],
        });
        ns.apply(&environment.to_string()).await?;
        let view = ns.deployed("web", "good", "1").await?;
        ensure!(hook(&view, "back").is_err(), "{:#}", view.status());
        let load = load(&ns, "web").await?;
        ns.release("bad", "2").await?;
        let promotion = ns.promote("bad", "web").await?;
        ns.promotion_fails(&promotion, "PostDeployFailed").await?;
        all_on(&load, "1").await?;
        let view = ns
            .environment_until("web", LIMIT, |view| view.state("RolledBack").0 == "True")
            .await?;
        assert_eq!(
            (view.stable(), view.held()),
            (Some("good"), vec!["bad"]),
            "{:#}",
            view.status()
        );
        ended_as(&ns, hook(&view, "post")?, "False").await?;
        ended_as(&ns, hook(&view, "back")?, "True").await?;
        let told = ns.logs(hook(&view, "back")?).await?;
        ensure!(told.contains("bad went back"), "{told}");
        load.stop().await.none_lost()
    })
    .await
}

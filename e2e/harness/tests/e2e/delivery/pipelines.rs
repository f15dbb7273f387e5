//! Stages with an `environment`: what a run built, on its way.

use anyhow::{Context, Result, ensure};
use dcanary_crds::Verb;
use dcanary_harness::{
    Namespace, RunView,
    fixtures::{BUSYBOX, LIMIT, run},
    scenario,
};
use kube::api::ListParams;
use serde_json::{Value, json};

use super::{canary, decide, patience, prepared};

/// Builds a version of the example application and brings it into `web`.
fn stages(ns: &Namespace, version: &str) -> Value {
    json!([
        {"name": "build", "image": BUSYBOX, "steps": [
            {"run": "echo built > built"},
            {"image": {
                "name": "web", "push": format!("registry.local:5000/{}:{version}", ns.name),
                "base": format!("registry.local:5000/example-app:{version}"),
                "files": [{"from": "built", "to": "/built"}],
            }},
        ]},
        {"name": "deploy", "dependsOn": ["build"], "environment": "web"},
    ])
}

fn promotion(view: &RunView) -> Result<&str> {
    let asked = &view.attempt("deploy")?["promotion"];
    asked["name"]
        .as_str()
        .with_context(|| format!("no promotion in {:#}", view.status()))
}

async fn promoted(ns: &Namespace, name: &str) -> Result<RunView> {
    let promotion = ns.promotions().get(name).await?;
    Ok(RunView(serde_json::to_value(promotion)?))
}

#[tokio::test]
async fn a_run_brings_the_image_that_it_built_into_its_environment_by_digest() -> Result<()> {
    scenario("deploys", |ns| async move {
        prepared(&ns).await?;
        let steps = json!([{"weight": 50}, {"pause": {"duration": "2s"}}]);
        ns.apply(&ns.plain_environment("web", &canary(&steps)).to_string())
            .await?;
        ns.apply(&run("first", &stages(&ns, "1"))).await?;
        let first = ns.finished("first", LIMIT).await?;
        assert_eq!(first.state("Succeeded").0, "True", "{:#}", first.status());
        ns.apply(&run("second", &stages(&ns, "2"))).await?;
        let second = ns.finished("second", LIMIT).await?;
        assert_eq!(second.state("Succeeded").0, "True", "{:#}", second.status());
        let release = second.attempt("deploy")?["promotion"]["release"]
            .as_str()
            .context("release")?;
        let view = ns.serves("web", release).await?;
        let artifacts = second.stage("build")?["artifacts"]
            .as_array()
            .into_iter()
            .flatten();
        let built = artifacts
            .map(|one| &one["reference"])
            .find(|reference| reference.is_string());
        assert_eq!(Some(&view.status()["stable"]["images"]["web"]), built);
        let mine = promoted(&ns, promotion(&second)?).await?;
        ensure!(mine.0["spec"]["releaseRef"]["name"] == release, "{:#}", mine.0);
        assert_eq!(
            ns.promotions().list(&ListParams::default()).await?.items.len(),
            2,
            "one for each run"
        );
        ns.verified("second").await
    })
    .await
}

#[tokio::test]
async fn a_run_whose_release_goes_back_fails_with_the_reason_of_its_promotion() -> Result<()> {
    scenario("goes-back", |ns| async move {
        prepared(&ns).await?;
        let environment = ns.plain_environment("web", &canary(&json!([{"weight": 50}])));
        ns.apply(&environment.to_string()).await?;
        ns.apply(&run("good", &stages(&ns, "1"))).await?;
        let good = ns.finished("good", LIMIT).await?;
        assert_eq!(good.state("Succeeded").0, "True", "{:#}", good.status());
        patience(&ns, "web", "8s").await?;
        ns.apply(&run("bad", &stages(&ns, "2-unready"))).await?;
        let bad = ns.finished("bad", LIMIT).await?;
        assert_eq!(
            bad.outcomes("deploy")?,
            [("Failed", "ProgressDeadlineExceeded")],
            "{:#}",
            bad.status()
        );
        ensure!(
            bad.says("Succeeded")
                .contains("deploy (ProgressDeadlineExceeded)"),
            "{:#}",
            bad.status()
        );
        let ended = promoted(&ns, promotion(&bad)?).await?;
        assert_eq!(ended.state("Succeeded"), ("False", "ProgressDeadlineExceeded"));
        let release = good.attempt("deploy")?["promotion"]["release"]
            .as_str()
            .context("release")?;
        ns.serves("web", release).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_cancelled_run_leaves_its_promotion_to_those_who_are_asked_for_it() -> Result<()> {
    scenario("cancel-deploy", |ns| async move {
        let me = prepared(&ns).await?;
        let steps = json!([{"weight": 50}, {"pause": {}}]);
        ns.apply(&ns.plain_environment("web", &canary(&steps)).to_string())
            .await?;
        ns.deployed("web", "one", "1").await?;
        ns.apply(&run("second", &stages(&ns, "2"))).await?;
        ns.pauses_at("web", 50).await?;
        let waits = ns
            .run_until("second", LIMIT, |view| {
                view.says("Succeeded").contains("stage deploy waits")
            })
            .await?;
        let name = promotion(&waits)?.to_owned();
        let cancel = json!({"spec": {"cancel": true}});
        ns.runs()
            .patch(
                "second",
                &kube::api::PatchParams::default(),
                &kube::api::Patch::Merge(&cancel),
            )
            .await?;
        let cancelled = ns.finished("second", LIMIT).await?;
        let says = &cancelled.attempt("deploy")?["message"];
        ensure!(
            says.as_str().is_some_and(|says| says.contains("goes on")),
            "{:#}",
            cancelled.status()
        );
        let mine = promoted(&ns, &name).await?;
        assert_eq!(mine.state("Finished").0, "False", "{:#}", mine.status());
        decide(&me, Verb::Resume, &mine).await?;
        ns.promotion_succeeds(&mine).await?;
        Ok(())
    })
    .await
}

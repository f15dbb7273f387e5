//! An Environment that is changed in the middle of a rollout.

use anyhow::{Context, Result, ensure};
use dcanary_crds::Verb;
use dcanary_harness::{fixtures::LIMIT, scenario};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{
    canary,
    configuration::{answers, configured, settings},
    decide, prepared,
};

#[tokio::test]
async fn configuration_that_changes_in_the_middle_of_a_rollout_leaves_it_alone_and_follows_it() -> Result<()>
{
    scenario("config-midway", |ns| async move {
        let me = prepared(&ns).await?;
        ns.apply(&settings("first")).await?;
        ns.apply(&configured(&ns, &canary(&json!([{"weight": 50}, {"pause": {}}]))).to_string())
            .await?;
        ns.deployed("web", "one", "1").await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        let view = ns.pauses_at("web", 50).await?;
        let identity = view.rollout()["identity"].clone();
        ns.apply(&settings("second")).await?;
        // and the template: another variable
        let variable = json!([{"op": "add", "path": "/spec/workload/template/spec/template/spec/containers/0/env/-", "value": {"name": "NOTE", "value": "later"}}]);
        ns.environments()
            .patch(
                "web",
                &PatchParams::default(),
                &Patch::<()>::Json(serde_json::from_value(variable)?),
            )
            .await?;
        let view = ns
            .environment_until("web", LIMIT, |view| {
                view.status()["observedGeneration"] == view.0["metadata"]["generation"]
            })
            .await?;
        assert_eq!(view.rollout()["identity"], identity, "{:#}", view.status());
        assert_eq!(
            (view.stable(), view.state("Paused").0),
            (Some("one"), "True"),
            "{:#}",
            view.status()
        );
        let web = ns.through_gateway("web").await?;
        answers(&web, ["1 first", "2 first"]).await?;
        decide(&me, Verb::Resume, &promotion).await?;
        let ended = ns.promotion_succeeds(&promotion).await?;
        assert_eq!(ended.status()["identity"], identity, "{:#}", ended.status());

        // what has changed meanwhile goes the way of a release, all at once
        let view = ns
            .environment_until("web", LIMIT, |view| {
                view.rollout()["identity"] != identity
                    && view.rollout()["weight"] == 50
                    && view.state("Paused").0 == "True"
            })
            .await?;
        assert_eq!(
            (&view.rollout()["release"], view.stable()),
            (&json!("two"), Some("two")),
            "{:#}",
            view.status()
        );
        answers(&web, ["2 first", "2 second"]).await?;
        let two = view.rollout()["workload"].as_str().context("workload")?;
        let deployment = ns.object("deployment", two).await?.context("Deployment")?;
        let template = deployment["spec"]["template"].to_string();
        ensure!(template.contains("NOTE"), "{template}");
        Ok(())
    })
    .await
}

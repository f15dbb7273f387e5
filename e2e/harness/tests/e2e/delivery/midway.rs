//! An Environment that is changed in the middle of a rollout.

use anyhow::{Context, Result, ensure};
use dcanary_crds::Verb;
use dcanary_harness::{Namespace, fixtures::LIMIT, scenario};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::{
    canary,
    configuration::{answers, configured, settings},
    decide, load, prepared, share,
};

/// A route of somebody else's to the application.
fn site(ns: &Namespace, name: &str, path: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": name},
        "spec": {
            "parentRefs": [{"name": "dcanary-test", "namespace": "gateway"}], "hostnames": [ns.host("web")],
            "rules": [{"name": "app", "matches": [{"path": {"type": "PathPrefix", "value": path}}], "backendRefs": [{"name": "web", "port": 80}]}],
        },
    })
}

async fn rules(ns: &Namespace, name: &str) -> Result<Value> {
    let route = ns.object("httproute", name).await?.context("no route")?;
    Ok(route["spec"]["rules"].clone())
}

#[tokio::test]
async fn another_route_in_the_middle_of_a_rollout_gets_the_weight_and_the_first_one_is_given_back()
-> Result<()> {
    scenario("route-midway", |ns| async move {
        let me = prepared(&ns).await?;
        // one for a path that nobody asks for, which becomes the one for all
        ns.apply(&site(&ns, "quiet", "/quiet").to_string()).await?;
        ns.apply(&site(&ns, "shop", "/").to_string()).await?;
        let before = [rules(&ns, "quiet").await?, rules(&ns, "shop").await?];
        let mut environment = ns.environment("web", &canary(&json!([{"weight": 30}, {"pause": {}}])));
        environment["spec"]["traffic"]["route"] = json!({"ref": {"name": "quiet"}});
        environment["spec"]["deletionPolicy"] = json!("Delete");
        ns.apply(&environment.to_string()).await?;
        ns.deployed("web", "one", "1").await?;
        let load = load(&ns, "web").await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        ns.pauses_at("web", 30).await?;
        ensure!(rules(&ns, "quiet").await? != before[0], "it has the weight");
        let other = json!({"spec": {"traffic": {"route": {"ref": {"name": "shop"}}}}});
        let view = ns
            .environments()
            .patch("web", &PatchParams::default(), &Patch::Merge(&other))
            .await?;
        let generation = view.metadata.generation;
        let view = ns
            .environment_until("web", LIMIT, |view| {
                let routes = view.status()["routes"].as_array();
                view.status()["observedGeneration"] == json!(generation)
                    && routes.is_some_and(|routes| routes.len() == 1)
            })
            .await?;
        assert_eq!(view.status()["routes"][0]["name"], "shop");
        assert_eq!(rules(&ns, "quiet").await?, before[0], "byte for byte");
        share(&load, "2", 30, 1000).await?.splits("2", 30, 2.0)?;
        assert_eq!(view.status().get("contest"), None, "{:#}", view.status());
        decide(&me, Verb::Abort, &promotion).await?;
        ns.promotion_fails(&promotion, "Aborted").await?;
        assert_eq!(rules(&ns, "quiet").await?, before[0]);
        load.stop().await.none_lost()?;
        ns.environment_gone("web").await?;
        assert_eq!(rules(&ns, "shop").await?, before[1]);
        Ok(())
    })
    .await
}

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

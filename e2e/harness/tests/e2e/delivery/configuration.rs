//! Configuration goes with the code, forward and back.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use dcanary_crds::Verb;
use dcanary_harness::{
    Namespace, RunView,
    example_app::pod_template,
    fixtures::LIMIT,
    load::{Outcome, Target},
    scenario,
};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{canary, decide, looked_at, prepared};

pub(super) fn settings(message: &str) -> String {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"message": message}}).to_string()
}

/// An Environment whose Pods show the message of ConfigMap `settings`.
pub(super) fn configured(ns: &Namespace, strategy: &Value) -> Value {
    let mut template = pod_template();
    let spec = &mut template["spec"];
    spec["volumes"] = json!([{"name": "settings", "configMap": {"name": "settings"}}]);
    spec["containers"][0]["volumeMounts"] = json!([{"name": "settings", "mountPath": "/config"}]);
    spec["containers"][0]["env"] =
        json!([{"name": "DRAIN_SECONDS", "value": "3"}, {"name": "CONFIG_FILE", "value": "/config/message"}]);
    let mut environment = ns.environment("web", strategy);
    environment["spec"]["workload"] =
        json!({"configMaps": ["settings"], "template": {"spec": {"template": template}}});
    environment
}

/// The pair of version and message of one answer.
async fn answer(target: &Target) -> Result<String> {
    match target.ask().await? {
        Outcome::Answer { version, body, .. } => {
            let body: Value = serde_json::from_str(&body)?;
            Ok(format!(
                "{version} {}",
                body["message"].as_str().unwrap_or("without")
            ))
        }
        Outcome::Lost(how) => bail!(how),
    }
}

/// Every pair in many answers, from the moment on when the wanted ones have been seen and nothing else was for a while: a gateway has a
/// change in force some moments after it says so.
pub(super) async fn answers<const N: usize>(target: &Target, wanted: [&str; N]) -> Result<()> {
    target.answers().await?;
    let wanted = set(wanted);
    let settled = async {
        let mut seen = BTreeSet::new();
        let mut alike = 0;
        while alike < 60 || seen != wanted {
            let pair = answer(target).await?;
            if wanted.contains(&pair) {
                seen.insert(pair);
                alike += 1;
            } else {
                (seen, alike) = (BTreeSet::new(), 0);
            }
        }
        Ok(())
    };
    timeout(LIMIT, settled)
        .await
        .with_context(|| format!("it does not come to {wanted:?} alone"))?
}

fn set<const N: usize>(texts: [&str; N]) -> BTreeSet<String> {
    texts.into_iter().map(ToOwned::to_owned).collect()
}

// argo-rollouts #958
#[tokio::test]
async fn each_release_keeps_its_own_configuration_and_going_back_brings_it_back() -> Result<()> {
    scenario("configuration", |ns| async move {
        let me = prepared(&ns).await?;
        ns.apply(&settings("first")).await?;
        ns.apply(&configured(&ns, &canary(&json!([{"weight": 50}, {"pause": {}}]))).to_string())
            .await?;
        ns.deployed("web", "one", "1").await?;
        let web = ns.through_gateway("web").await?;
        answers(&web, ["1 first"]).await?;
        ns.release("two", "2").await?;
        ns.apply(&settings("second")).await?;
        // a change of configuration alone is on its way; the new code takes its place, with the configuration of now
        looked_at(&ns, "web", ns.pauses_at("web", 50)).await?;
        let promotion = ns.promote("two", "web").await?;
        ns.environment_until("web", LIMIT, |view| {
            view.rollout()["promotion"] == promotion.name()
                && view.rollout()["weight"] == 50
                && view.state("Paused").0 == "True"
        })
        .await?;
        // side by side, each with its own, also where the ConfigMap of the stable release has changed since
        answers(&web, ["1 first", "2 second"]).await?;
        let shown = ns
            .promotion_until(&promotion, LIMIT, |view| {
                view.status()["changes"]["configuration"].is_array()
            })
            .await?;
        let changed = shown.status()["changes"]["configuration"].to_string();
        ensure!(changed.contains("~settings/message"), "{changed}");
        decide(&me, Verb::Resume, &promotion).await?;
        ns.promotion_succeeds(&promotion).await?;
        answers(&web, ["2 second"]).await?;

        let view = ns.serves("web", "two").await?;
        decide(&me, Verb::Undo, &view).await?;
        ns.serves("web", "one").await?;
        answers(&web, ["1 first"]).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_change_of_configuration_alone_is_rolled_out_like_a_release() -> Result<()> {
    scenario("config-change", |ns| async move {
        let me = prepared(&ns).await?;
        ns.apply(&settings("first")).await?;
        ns.apply(&configured(&ns, &canary(&json!([{"weight": 50}, {"pause": {}}]))).to_string())
            .await?;
        let before = ns.deployed("web", "one", "1").await?;
        let identity = before.status()["stable"]["identity"].clone();
        ns.apply(&settings("second")).await?;
        let view = ns.pauses_at("web", 50).await?;
        assert_eq!(view.rollout()["release"], "one", "{:#}", view.status());
        ensure!(view.rollout()["identity"] != identity, "{:#}", view.status());
        let web = ns.through_gateway("web").await?;
        answers(&web, ["1 first", "1 second"]).await?;
        let promotion = view.rollout()["promotion"].as_str().context("promotion")?;
        let promotion = ns.promotions().get(promotion).await?;
        decide(&me, Verb::Resume, &RunView(serde_json::to_value(promotion)?)).await?;
        ns.environment_until("web", LIMIT, |view| {
            view.status()["stable"]["identity"] != identity
        })
        .await?;
        answers(&web, ["1 second"]).await?;
        Ok(())
    })
    .await
}

// flagger #989
#[tokio::test]
async fn a_config_map_that_is_missing_starts_no_rollout_and_is_named() -> Result<()> {
    scenario("config-missing", |ns| async move {
        prepared(&ns).await?;
        ns.apply(&settings("first")).await?;
        let mut environment = configured(&ns, &canary(&json!([{"weight": 50}])));
        ns.apply(&environment.to_string()).await?;
        let before = ns.deployed("web", "one", "1").await?;
        let identity = before.status()["stable"]["identity"].clone();
        // one that never was, and one that is gone
        environment["spec"]["workload"]["configMaps"] = json!(["settings", "more"]);
        ns.apply(&environment.to_string()).await?;
        ns.api::<ConfigMap>()
            .delete("settings", &DeleteParams::default())
            .await?;
        ns.environment_until("web", LIMIT, |view| {
            view.status()["observedGeneration"] == view.0["metadata"]["generation"]
        })
        .await?;
        // what is asked for meanwhile waits, and goes on when they are there
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        let names_it = |view: &RunView| {
            let said = view.says("Succeeded");
            said.contains("settings") || said.contains("more")
        };
        let waits = looked_at(&ns, "web", ns.promotion_until(&promotion, LIMIT, names_it)).await?;
        assert_eq!(waits.state("Succeeded").0, "Unknown", "{:#}", waits.status());
        let view = ns.serves("web", "one").await?;
        assert_eq!(view.status()["stable"]["identity"], identity, "{:#}", view.status());
        let deployments = ns.api::<Deployment>().list(&ListParams::default()).await?;
        assert_eq!(deployments.items.len(), 1, "something was rolled out");
        ns.apply(&settings("first")).await?;
        let more = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "more"}, "data": {"key": "value"}});
        ns.apply(&more.to_string()).await?;
        looked_at(&ns, "web", ns.promotion_succeeds(&promotion)).await?;
        Ok(())
    })
    .await
}

//! Routes: what is not ours stays as it is, and what others change is put right or left to them.

use anyhow::{Context, Result, ensure};
use dcanary_crds::Verb;
use dcanary_harness::{
    Namespace,
    example_app::pod_template,
    fixtures::LIMIT,
    load::{Load, Shape},
    scenario,
};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    api::{DynamicObject, Patch, PatchParams},
    runtime::wait::await_condition,
};
use serde_json::{Value, json};

use super::{all_on, canary, decide, load, on_two_pods, prepared, share};

/// A route of somebody else's with a rule for the application in the middle.
fn shared_route(ns: &Namespace) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "shop", "labels": {"team": "shop"}, "annotations": {"example.com/note": "not yours"}},
        "spec": {
            "parentRefs": [{"name": "dcanary-test", "namespace": "gateway"}],
            "hostnames": [ns.host("web")],
            "rules": [
                {
                    "name": "old-links",
                    "matches": [{"path": {"type": "PathPrefix", "value": "/old"}}, {"headers": [{"name": "x-old", "value": "1"}]}],
                    "filters": [{"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "statusCode": 301}}],
                },
                {
                    "name": "app",
                    "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                    "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-through", "value": "shop"}]}}],
                    "backendRefs": [{"name": "web", "port": 80}],
                },
                {
                    "name": "elsewhere",
                    "matches": [{"path": {"type": "Exact", "value": "/elsewhere"}, "method": "POST"}],
                    "backendRefs": [{"name": "elsewhere", "port": 8081, "weight": 3}, {"name": "elsewhere-too", "port": 8082, "weight": 7}],
                },
            ],
        },
    })
}

/// Everything of a route that is not the operator's: all but the backends of rule `app` and rules named `dcanary-*`.
pub(super) async fn foreign(ns: &Namespace) -> Result<String> {
    let mut route = ns.object("httproute", "shop").await?.context("no route")?;
    let spec = &mut route["spec"];
    if let Some(rules) = spec["rules"].as_array_mut() {
        rules.retain(|rule| {
            !rule["name"]
                .as_str()
                .is_some_and(|name| name.starts_with("dcanary-"))
        });
        for rule in rules.iter_mut().filter(|rule| rule["name"] == "app") {
            rule["backendRefs"] = Value::Null;
        }
    }
    let metadata = &route["metadata"];
    Ok(json!([
        route["spec"],
        metadata["labels"],
        metadata["annotations"],
        metadata["ownerReferences"]
    ])
    .to_string())
}

// rollouts-plugin-trafficrouter-gatewayapi #217
#[tokio::test]
async fn an_adopted_route_keeps_every_foreign_rule_byte_for_byte() -> Result<()> {
    scenario("adopted-route", |ns| async move {
        let me = prepared(&ns).await?;
        // a gateway follows a route only when all of its backends are there
        for (name, port) in [("elsewhere", 8081), ("elsewhere-too", 8082)] {
            let service = json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
                "spec": {"selector": {"app": name}, "ports": [{"port": port}]},
            });
            ns.apply(&service.to_string()).await?;
        }
        ns.apply(&shared_route(&ns).to_string()).await?;
        let before = foreign(&ns).await?;
        let mut strategy = canary(&json!([{"weight": 30}, {"pause": {}}]));
        strategy["canary"]["testers"] = json!([{"header": {"name": "x-tester", "value": "yes"}}]);
        let mut environment = ns.environment("web", &strategy);
        environment["spec"]["traffic"]["route"] = json!({"ref": {"name": "shop", "rule": "app"}});
        ns.apply(&environment.to_string()).await?;
        ns.deployed("web", "one", "1").await?;
        assert_eq!(foreign(&ns).await?, before);
        let load = load(&ns, "web").await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        ns.pauses_at("web", 30).await?;
        assert_eq!(foreign(&ns).await?, before);
        share(&load, "2", 30, 1000).await?.splits("2", 30, 2.0)?;
        let testers = Load::start(
            &ns.through_gateway("web").await?.header("x-tester", "yes"),
            Shape {
                kept: 1,
                fresh: 1,
                per_second: 100,
            },
        )
        .await?;
        all_on(&testers, "2").await?;
        testers.stop().await.none_lost()?;
        decide(&me, Verb::Resume, &promotion).await?;
        ns.promotion_succeeds(&promotion).await?;
        assert_eq!(foreign(&ns).await?, before);
        let route = ns.object("httproute", "shop").await?.context("no route")?;
        assert_eq!(
            route["spec"]["rules"].as_array().map(Vec::len),
            Some(3),
            "{:#}",
            route["spec"]
        );
        load.stop().await.none_lost()?;

        // it was never the Environment's, so it stays when that goes
        ns.environment_gone("web").await?;
        assert_eq!(foreign(&ns).await?, before);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_route_that_somebody_else_keeps_changing_is_left_to_them_and_they_are_named() -> Result<()> {
    scenario("contested", |ns| async move {
        let me = prepared(&ns).await?;
        ns.apply(
            &ns.environment("web", &canary(&json!([{"weight": 30}, {"pause": {}}])))
                .to_string(),
        )
        .await?;
        ns.deployed("web", "one", "1").await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        ns.pauses_at("web", 30).await?;
        let params = PatchParams {
            field_manager: Some("other-controller".into()),
            ..PatchParams::default()
        };
        let is_ours = |route: Option<&DynamicObject>| {
            let backends = route.and_then(|route| route.data["spec"]["rules"][0]["backendRefs"].as_array());
            backends.is_some_and(|backends| backends.iter().any(|backend| backend["weight"] == 30))
        };
        for time in 1..=3 {
            let ours = await_condition(ns.parts("httproute")?, "web", is_ours);
            let route = tokio::time::timeout(LIMIT, ours).await??.context("the route")?;
            let mut rules = route.data["spec"]["rules"].clone();
            for backend in rules[0]["backendRefs"].as_array_mut().into_iter().flatten() {
                backend["weight"] = if backend["name"] == "web" {
                    json!(100)
                } else {
                    json!(0)
                };
            }
            let patch = json!({"spec": {"rules": rules}});
            ns.parts("httproute")?
                .patch("web", &params, &Patch::Merge(&patch))
                .await?;
            // put right, until it is clear that this does not end
            ns.environment_until("web", LIMIT, |view| {
                let at = view.status()["contest"]["at"].as_array();
                view.state("Stalled").1 == "RouteContested" || at.is_some_and(|at| at.len() >= time)
            })
            .await
            .with_context(|| format!("change {time}"))?;
        }
        let view = ns
            .environment_until("web", LIMIT, |view| {
                view.state("Stalled") == ("True", "RouteContested")
            })
            .await?;
        let said = view.says("Stalled");
        ensure!(
            said.contains("other-controller") && said.contains("dcanary resume"),
            "{said}"
        );
        assert_eq!(view.stable(), Some("one"));
        // they have stopped, and somebody says so; the pause of the steps is another question
        decide(&me, Verb::Resume, &promotion).await?;
        ns.environment_until("web", LIMIT, |view| view.state("Paused").1 == "PausedByStep")
            .await?;
        decide(&me, Verb::Resume, &promotion).await?;
        ns.promotion_succeeds(&promotion).await?;
        let load = load(&ns, "web").await?;
        all_on(&load, "2").await?;
        load.stop().await.none_lost()
    })
    .await
}

#[tokio::test]
async fn a_mirror_that_the_gateway_cannot_do_is_refused_before_any_request_moves() -> Result<()> {
    scenario("mirror", |ns| async move {
        let me = prepared(&ns).await?;
        let steps = json!([{"weight": 20}, {"mirror": 10}]);
        ns.apply(&ns.environment("web", &canary(&steps)).to_string())
            .await?;
        ns.deployed("web", "one", "1").await?;
        let load = load(&ns, "web").await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        let view = ns
            .environment_until("web", LIMIT, |view| {
                view.state("Paused") == ("True", "MirrorUnsupported")
            })
            .await?;
        let said = view.says("Paused");
        ensure!(
            said.contains("steps[1].mirror") && said.contains("GatewayClass traefik"),
            "{said}"
        );
        assert_eq!(view.rollout()["weight"], 0, "{:#}", view.status());
        assert_eq!(view.state("Ready").0, "True", "{:#}", view.status());
        decide(&me, Verb::Abort, &promotion).await?;
        let ended = ns.promotion_ended(&promotion).await?;
        assert_eq!(
            ended.state("Succeeded"),
            ("False", "Aborted"),
            "{:#}",
            ended.status()
        );
        load.stop().await.none_lost()
    })
    .await
}

#[tokio::test]
async fn an_adopted_deployment_is_taken_over_without_a_lost_request_and_given_back() -> Result<()> {
    scenario("adopted-deployment", |ns| async move {
        prepared(&ns).await?;
        let mut template = pod_template();
        template["metadata"]["labels"] = json!({"app": "legacy"});
        template["spec"]["containers"][0]["image"] = json!(dcanary_harness::example_app::image("1").await?);
        let legacy = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "legacy"},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "legacy"}}, "template": template},
        });
        ns.apply(&legacy.to_string()).await?;
        let whole = |found: Option<&Deployment>| {
            found.is_some_and(|found| {
                found.status.as_ref().and_then(|status| status.available_replicas) == Some(2)
            })
        };
        tokio::time::timeout(
            LIMIT,
            kube::runtime::wait::await_condition(ns.api::<Deployment>(), "legacy", whole),
        )
        .await??;
        let pods = ns.pods_labelled("app=legacy").await?;

        let mut environment = on_two_pods(ns.environment("web", &canary(&json!([{"weight": 50}]))));
        environment["spec"]["workload"] = json!({"ref": {"name": "legacy"}});
        environment["spec"]["deletionPolicy"] = json!("GiveBack");
        ns.apply(&environment.to_string()).await?;
        ns.environment_until("web", LIMIT, |view| {
            view.status()["stable"]["workload"] == "legacy" && view.state("Ready").0 == "True"
        })
        .await?;
        let load = load(&ns, "web").await?;
        load.until("the first answers", |tally| tally.of("1") > 20)
            .await?;
        let began = load.tally();
        assert_eq!(
            ns.pods_labelled("app=legacy").await?,
            pods,
            "its Pods were restarted"
        );
        ns.deployed("web", "two", "2").await?;
        ns.scaled_to_zero("legacy").await?;
        all_on(&load, "2").await?;

        ns.environment_gone("web").await?;
        tokio::time::timeout(
            LIMIT,
            kube::runtime::wait::await_condition(ns.api::<Deployment>(), "legacy", whole),
        )
        .await??;
        let legacy = ns.object("deployment", "legacy").await?.context("legacy")?;
        assert_eq!(
            legacy["spec"]["template"]["spec"]["containers"][0]["image"],
            dcanary_harness::example_app::image("2").await?.as_str()
        );
        let tally = load.stop().await.since(&began);
        // the route goes with the Environment; up to then nothing is lost
        ensure!(
            tally
                .losses
                .iter()
                .all(|loss| loss.contains("404 by the data plane")),
            "{:#?}",
            tally.losses
        );
        Ok(())
    })
    .await
}

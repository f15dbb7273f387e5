//! Weights that requests through the Gateway have to show.

use anyhow::{Context, Result, ensure};
use dcanary_crds::Verb;
use dcanary_harness::{Namespace, fixtures::LIMIT, scenario};
use kube::{api::DynamicObject, runtime::wait::await_condition};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::timeout};

use super::{all_on, canary, decide, load, prepared, share};

/// The rule of the route that answers for the split, if it has one.
async fn rule(ns: &Namespace) -> Result<Option<Value>> {
    let route = ns.object("httproute", "web").await?.context("no route")?;
    let rules = route["spec"]["rules"].as_array().cloned().unwrap_or_default();
    Ok(rules.into_iter().find(|rule| rule["name"] == "dcanary-verify"))
}

#[tokio::test]
async fn a_canary_whose_weights_requests_have_to_show_comes_through_and_leaves_no_rule_behind() -> Result<()>
{
    scenario("verify", |ns| async move {
        let me = prepared(&ns).await?;
        let steps = json!([{"weight": 20}, {"pause": {}}, {"weight": 60}, {"pause": {}}]);
        let mut environment = ns.environment("web", &canary(&steps));
        ns.verify(&mut environment).await?;
        ns.apply(&environment.to_string()).await?;
        ns.deployed("web", "one", "1").await?;
        assert_eq!(rule(&ns).await?, None, "nothing is split");
        let load = load(&ns, "web").await?;
        all_on(&load, "1").await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        let mut paths = Vec::new();
        for weight in [20, 60] {
            ns.pauses_at("web", weight.into()).await?;
            let rule = rule(&ns).await?.context("no rule answers for the split")?;
            paths.push(rule["matches"][0]["path"]["value"].clone());
            share(&load, "2", weight, 500).await?.splits("2", weight, 3.0)?;
            decide(&me, Verb::Resume, &promotion).await?;
        }
        ensure!(paths[0] != paths[1], "another split has another path: {paths:?}");
        ns.promotion_succeeds(&promotion).await?;
        all_on(&load, "2").await?;
        let at_rest = |route: Option<&DynamicObject>| {
            route.is_some_and(|route| !route.data.to_string().contains("dcanary-verify"))
        };
        let rests = await_condition(ns.parts("httproute")?, "web", at_rest);
        timeout(LIMIT, rests).await.context("its rule stays at rest")??;
        load.stop().await.none_lost()
    })
    .await
}

#[tokio::test]
async fn a_gateway_that_cannot_be_asked_holds_a_step_up_by_name_and_no_way_back() -> Result<()> {
    scenario("verify-closed", |ns| async move {
        let me = prepared(&ns).await?;
        // nobody listens there any more
        let closed = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
        let mut environment = ns.environment("web", &canary(&json!([{"weight": 20}, {"pause": {}}])));
        environment["spec"]["traffic"]["route"]["verify"] =
            json!({"url": format!("http://{closed}"), "host": ns.host("web")});
        environment["spec"]["progressDeadline"] = json!("10m");
        ns.apply(&environment.to_string()).await?;
        ns.deployed("web", "one", "1").await?;
        let load = load(&ns, "web").await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        let view = ns
            .environment_until("web", LIMIT, |view| {
                view.state("Progressing") == ("True", "RouteUnverified")
            })
            .await?;
        let said = view.says("Progressing");
        ensure!(
            said.contains(&format!("http://{closed}")) && said.contains("cannot be reached"),
            "{said}"
        );
        assert_eq!(view.rollout()["weight"], 0, "{:#}", view.status());
        let candidate = view.rollout()["workload"]
            .as_str()
            .context("workload")?
            .to_owned();
        decide(&me, Verb::Abort, &promotion).await?;
        let ended = ns.promotion_ended(&promotion).await?;
        assert_eq!(ended.state("Succeeded").0, "False", "{:#}", ended.status());
        all_on(&load, "1").await?;
        ns.scaled_to_zero(&candidate).await?;
        ns.serves("web", "one").await?;
        load.stop().await.none_lost()
    })
    .await
}

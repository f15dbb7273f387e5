//! Mirrored requests, ours and somebody else's: Traefik has none.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use dcanary_crds::Verb;
use dcanary_harness::{
    Namespace, RunView,
    example_app::{image, pod_template},
    fixtures::LIMIT,
    load::{Load, Outcome, Shape, Tally, Target},
    scenario,
};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use serde_json::{Value, json};
use tokio::time::{interval, timeout};

use super::{
    super::{SOON, all_on, canary, decide, prepared, routes::foreign, share},
    POINTS, QUICK, REQUESTS, environment, parents, through_contour,
};

/// Time between questions how many requests came by now.
const BEAT: Duration = Duration::from_millis(50);

/// How many requests the Pods of the application have got by now, copies too, by version. Their own figures: they are exact, and of this moment.
async fn got(ns: &Namespace) -> Result<BTreeMap<String, u32>> {
    let pods = ns.api::<Pod>().list(&ListParams::default()).await?;
    let mut all = BTreeMap::new();
    for pod in pods {
        let Some(address) = pod.status.and_then(|status| status.pod_ip) else {
            continue;
        };
        let metrics = Target::new(format!("{address}:8080").parse()?, "web").path("/metrics");
        // one that is not there yet, or has gone, has no figures
        let Outcome::Answer { version, body, .. } = metrics.ask().await? else {
            continue;
        };
        let lines = body
            .lines()
            .filter(|line| line.starts_with("http_requests_total{"));
        for line in lines {
            let (_, count) = line.rsplit_once(' ').context("a line of metrics")?;
            *all.entry(version.clone()).or_default() += count.parse::<u32>()?;
        }
    }
    Ok(all)
}

/// The same once five looks in a row show the same: nobody waits for a copy to arrive.
async fn settled(ns: &Namespace) -> Result<BTreeMap<String, u32>> {
    let mut beat = interval(BEAT);
    let (mut last, mut same) = (got(ns).await?, 1);
    while same < 5 {
        beat.tick().await;
        let now = got(ns).await?;
        same = if now == last { same + 1 } else { 1 };
        last = now;
    }
    Ok(last)
}

/// Requests that a version has got by now.
async fn got_by(ns: &Namespace, version: &str) -> Result<u32> {
    Ok(got(ns).await?.get(version).copied().unwrap_or_default())
}

/// At least so many requests, and no more afterwards.
async fn burst(ns: &Namespace, requests: u32) -> Result<Tally> {
    // not one more to see whether it answers: all are counted
    let load = Load::at_once(&through_contour(ns).await?, Shape::default())?;
    load.until("the burst", |tally| tally.requests() >= requests)
        .await?;
    Ok(load.stop().await)
}

/// Bursts until a version does, or does not, get copies of one: a gateway has a change in force some moments after it says so. What all have
/// got by then.
async fn copies(ns: &Namespace, version: &str, wanted: bool) -> Result<BTreeMap<String, u32>> {
    let told = async {
        loop {
            let before = settled(ns).await?;
            burst(ns, 20).await?;
            let after = settled(ns).await?;
            if (after.get(version) > before.get(version)) == wanted {
                return Ok(after);
            }
        }
    };
    match timeout(SOON, told).await {
        Ok(told) => told,
        Err(_) => bail!("copies of requests for {version}: it does not come to {wanted}"),
    }
}

/// Waits until a version has got so many requests: nobody waits for the answer to a copy.
async fn arrived(ns: &Namespace, version: &str, requests: u32) -> Result<()> {
    let mut beat = interval(BEAT);
    let arrived = async {
        loop {
            beat.tick().await;
            if got_by(ns, version).await? >= requests {
                return Ok(());
            }
        }
    };
    match timeout(SOON, arrived).await {
        Ok(arrived) => arrived,
        Err(_) => bail!("{version} got {:?}, not {requests}", got(ns).await?),
    }
}

/// Waits until a rollout waits for a person at a step.
async fn pauses_in(ns: &Namespace, step: i64) -> Result<RunView> {
    ns.environment_until("web", LIMIT, |view| {
        view.rollout()["step"] == step && view.state("Paused").0 == "True"
    })
    .await
}

/// Everything was answered by one version, and well.
fn all_by(tally: &Tally, version: &str) -> Result<()> {
    tally.none_lost()?;
    let bad: u32 = tally.answers.values().map(|one| one.bad).sum();
    ensure!(
        tally.of(version) == tally.requests() && bad == 0,
        "{:?}",
        tally.answers
    );
    Ok(())
}

#[tokio::test]
async fn a_mirror_gives_the_candidate_a_copy_of_each_request_and_clients_only_the_stable_release()
-> Result<()> {
    scenario("mirrored", |ns| async move {
        let me = prepared(&ns).await?;
        let steps = json!([{"mirror": 100}, {"pause": {}}, {"mirror": 0}, {"pause": {}}]);
        ns.apply(&environment(&ns, &canary(&steps)).to_string()).await?;
        ns.deployed("web", "one", "1").await?;
        through_contour(&ns).await?.answers().await?;
        all_by(&burst(&ns, 100).await?, "1")?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        let view = pauses_in(&ns, 1).await?;
        assert_eq!(view.rollout()["weight"], 0, "{:#}", view.status());
        let before = copies(&ns, "2", true).await?;
        let of = |version: &str| before.get(version).copied().unwrap_or_default();
        let tally = burst(&ns, 1000).await?;
        all_by(&tally, "1")?;
        let after = settled(&ns).await?;
        for version in ["1", "2"] {
            let expected = of(version) + tally.requests();
            assert_eq!(after.get(version), Some(&expected), "version {version}");
        }

        decide(&me, Verb::Resume, &promotion).await?;
        pauses_in(&ns, 3).await?;
        let before = copies(&ns, "2", false).await?;
        let tally = burst(&ns, 500).await?;
        all_by(&tally, "1")?;
        let after = settled(&ns).await?;
        assert_eq!(after.get("2"), before.get("2"));
        assert_eq!(
            after.get("1").copied(),
            before.get("1").map(|count| count + tally.requests())
        );
        let route = ns.object("httproute", "web").await?.unwrap_or_default();
        ensure!(
            !route["spec"].to_string().contains("RequestMirror"),
            "{:#}",
            route["spec"]
        );

        let load = Load::start(&through_contour(&ns).await?, Shape::default()).await?;
        decide(&me, Verb::Resume, &promotion).await?;
        ns.promotion_succeeds(&promotion).await?;
        all_on(&load, "2").await?;
        load.stop().await.none_lost()
    })
    .await
}

#[tokio::test]
async fn a_share_of_mirrored_requests_is_refused_where_only_all_can_be_mirrored() -> Result<()> {
    scenario("mirror-share", |ns| async move {
        let me = prepared(&ns).await?;
        ns.apply(&environment(&ns, &canary(&json!([{"mirror": 25}, {"pause": {}}]))).to_string())
            .await?;
        ns.deployed("web", "one", "1").await?;
        let load = Load::start(&through_contour(&ns).await?, Shape::default()).await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        let view = ns
            .environment_until("web", LIMIT, |view| {
                view.state("Paused") == ("True", "MirrorUnsupported")
            })
            .await?;
        let said = view.says("Paused");
        for part in [
            "steps[0].mirror",
            "GatewayClass contour",
            "HTTPRouteRequestPercentageMirror",
        ] {
            ensure!(said.contains(part), "{said}");
        }
        decide(&me, Verb::Abort, &promotion).await?;
        ns.promotion_fails(&promotion, "Aborted").await?;
        all_by(&load.stop().await, "1")?;
        assert_eq!(got_by(&ns, "2").await?, 0);
        Ok(())
    })
    .await
}

/// A route of somebody else's with a rule for the application, with timeouts, a header, and a mirror of their own.
fn shared_route(ns: &Namespace) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "shop", "labels": {"team": "shop"}, "annotations": {"example.com/note": "not yours"}},
        "spec": {
            "parentRefs": parents(),
            "hostnames": [ns.host("web")],
            "rules": [
                {
                    "name": "app",
                    "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                    "filters": [
                        {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "audit", "port": 80}}},
                        {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "x-through", "value": "shop"}]}},
                    ],
                    "timeouts": {"request": "8s", "backendRequest": "4s"},
                    "backendRefs": [{"name": "web", "port": 80}],
                },
            ],
        },
    })
}

/// Filters of the rule for the application in that route.
async fn filters(ns: &Namespace) -> Result<Vec<Value>> {
    let route = ns.object("httproute", "shop").await?.context("no route")?;
    let filters = route["spec"]["rules"]
        .as_array()
        .and_then(|rules| rules.iter().find(|rule| rule["name"] == "app"))
        .and_then(|rule| rule["filters"].as_array());
    filters.cloned().context("filters")
}

#[tokio::test]
async fn an_adopted_route_keeps_its_timeouts_and_a_mirror_of_somebody_elses() -> Result<()> {
    scenario("contour-adopted", |ns| async move {
        let me = prepared(&ns).await?;
        let mut template = pod_template();
        template["metadata"]["labels"] = json!({"app": "audit"});
        template["spec"]["containers"][0]["image"] = json!(image("3").await?);
        let audit = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "audit"},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "audit"}}, "template": template},
        });
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "audit"},
            "spec": {"selector": {"app": "audit"}, "ports": [{"port": 80, "targetPort": 8080}]},
        });
        ns.apply(&format!("{audit}\n---\n{service}\n---\n{}", shared_route(&ns)))
            .await?;
        let (before, were) = (foreign(&ns).await?, filters(&ns).await?);
        let mut strategy = canary(&json!([{"mirror": 100}, {"weight": 30}, {"pause": {}}]));
        strategy["canary"]["testers"] = json!([{"header": {"name": "x-tester", "value": "yes"}}]);
        let mut environment = environment(&ns, &strategy);
        environment["spec"]["traffic"]["route"] = json!({"ref": {"name": "shop", "rule": "app"}});
        ns.apply(&environment.to_string()).await?;
        ns.deployed("web", "one", "1").await?;
        assert_eq!(foreign(&ns).await?, before);
        let target = through_contour(&ns).await?;
        let load = Load::start(&target, QUICK).await?;
        all_on(&load, "1").await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "web").await?;
        ns.pauses_at("web", 30).await?;
        share(&load, "2", 30, REQUESTS).await?.splits("2", 30, POINTS)?;
        let (theirs, ours): (Vec<_>, Vec<_>) = filters(&ns)
            .await?
            .into_iter()
            .partition(|filter| filter["requestMirror"]["backendRef"]["name"] != "web-candidate");
        assert_eq!((theirs, ours.len()), (were, 1));
        // both mirrors at once
        let audited = got_by(&ns, "3").await?;
        arrived(&ns, "3", audited + 200).await?;
        let head = target.begins().await?;
        assert_eq!(
            head.headers()
                .get("x-through")
                .and_then(|value| value.to_str().ok()),
            Some("shop")
        );
        decide(&me, Verb::Resume, &promotion).await?;
        ns.promotion_succeeds(&promotion).await?;
        assert_eq!(foreign(&ns).await?, before);
        load.stop().await.none_lost()?;
        ns.environment_gone("web").await?;
        assert_eq!(foreign(&ns).await?, before);
        Ok(())
    })
    .await
}

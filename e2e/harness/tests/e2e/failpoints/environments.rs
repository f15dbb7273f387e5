//! Environments: canaries that come through and canaries that go back, the first release and the end, and records that are put aside.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use dcanary_controller::failpoint::EnvironmentBoundary;
use dcanary_crds::Verb;
use dcanary_harness::{
    Namespace, RunView, journal,
    person::Person,
    system::{LEDGER, System},
};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Service};
use kube::{
    ResourceExt,
    api::ListParams,
    runtime::{conditions, wait::await_condition},
};
use serde_json::{Value, json};

use super::{Essence, LIMIT, SKIPPED, same_after_kills};

/// What happens to an Environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Story {
    /// A good release passes its canary; killed from its beginning on.
    Promoted,
    /// The same, behind a gateway that is asked whether it follows the route.
    Verified,
    /// A bad one goes back; killed from the moment on in which it is about to be measured.
    RolledBack,
    /// It comes, has its first release, and goes with all that was made for it.
    Deleted,
    /// So many decisions are made while the chain is away that their records are put aside.
    ChainAway,
}

/// A boundary without a story does not compile.
fn stories(boundary: EnvironmentBoundary) -> &'static [Story] {
    use EnvironmentBoundary as At;
    match boundary {
        At::WriteEnvironmentStatus
        | At::WriteObject
        | At::WritePromotion
        | At::TakeSample
        | At::StoreEvidence => &[Story::Promoted, Story::RolledBack],
        At::DeleteObject => &[Story::Promoted],
        At::VerifyRoute => &[Story::Verified],
        At::HoldEnvironment | At::ReleaseEnvironment => &[Story::Deleted],
        At::SealEnvironmentOutbox | At::DropEnvironmentSealed => &[Story::ChainAway],
    }
}

/// One Pod beside one Pod, ready as soon as they run; measured once; nothing kept longer than a second.
fn environment(ns: &Namespace, story: Story) -> Value {
    // the first answer decides
    let metric = json!({
        "name": "version", "interval": "1s", "count": 60, "consecutiveSuccess": 1, "errorLimit": 60, "success": "result != '3'",
        "web": {"url": "http://web-candidate.$(namespace)/", "jsonPath": "$.version", "timeout": "2s"},
    });
    let measured = json!({"analysis": {"metrics": [metric]}});
    let steps = match story {
        Story::RolledBack => json!([{"weight": 50}, {"pause": {}}, measured]),
        _ => json!([{"weight": 50}, measured]),
    };
    let canary = json!({"canary": {"steps": steps, "scaleDownDelay": "1s"}});
    let mut environment = match story {
        Story::Verified => ns.environment("web", &canary),
        _ => ns.plain_environment("web", &canary),
    };
    let spec = &mut environment["spec"];
    // without Pods there is nothing to wait for
    spec["replicas"] = json!(i32::from(story != Story::Deleted));
    spec["traffic"]["drain"] = json!("1s");
    spec["history"] = json!({"limit": 0});
    spec["deletionPolicy"] = json!("Delete");
    let pod = &mut spec["workload"]["template"]["spec"]["template"]["spec"];
    pod["terminationGracePeriodSeconds"] = json!(1);
    if let Some(container) = pod["containers"][0].as_object_mut() {
        container.remove("readinessProbe");
    }
    environment
}

/// Waits until nothing moves any more, and tells what is there.
async fn settled(ns: &Namespace, promotion: Option<&RunView>) -> Result<Essence> {
    ns.environment_recorded("web").await?;
    let view = ns
        .environment_until("web", LIMIT, |view| {
            promotion.is_none() || view.state("Ready").0 == "True"
        })
        .await?;
    let conditions: BTreeMap<&str, (&str, &str)> = [
        "Ready",
        "Reconciling",
        "Stalled",
        "Progressing",
        "Paused",
        "RolledBack",
        "Recorded",
    ]
    .into_iter()
    .map(|kind| (kind, view.state(kind)))
    .collect();
    let status = view.status();
    let rollout = view.rollout();
    let ended = promotion.map(|ended| {
        let analyses = ended.status()["analyses"].as_array().into_iter().flatten();
        let verdicts: Vec<&Value> = analyses.map(|analysis| &analysis["verdict"]).collect();
        json!([
            ended.state("Succeeded"),
            ended.state("Finished"),
            ended.status()["weight"],
            ended.status()["progress"],
            verdicts
        ])
    });
    let held: Vec<(&Value, &Value)> = status["held"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| (&one["release"], &one["reason"]))
        .collect();
    Ok(Essence {
        status: json!({
            "conditions": conditions,
            "stable": view.stable(),
            "history": status["history"],
            "held": held,
            "rollout": [rollout["release"], rollout["doing"], rollout["outcome"], rollout["weight"]],
            "promotion": ended,
            "records": status["journal"]["recorded"],
            "pods": deployments(ns).await?,
        }),
        journal: records(ns, view.uid(), promotion).await?,
    })
}

/// How many Pods each Deployment is to have.
async fn deployments(ns: &Namespace) -> Result<BTreeMap<String, Option<i32>>> {
    let all = ns.api::<Deployment>().list(&ListParams::default()).await?;
    let wanted = |one: &Deployment| one.spec.as_ref().and_then(|spec| spec.replicas);
    Ok(all.iter().map(|one| (one.name_any(), wanted(one))).collect())
}

/// The journal, without what differs each time: names of namespaces, UIDs, digests.
async fn records(ns: &Namespace, uid: &str, promotion: Option<&RunView>) -> Result<Vec<String>> {
    let mut records = Vec::new();
    for transition in journal::transitions(uid).await? {
        let latest = promotion.is_some_and(|latest| transition.promotion() == Some(latest.uid()));
        let told = journal::told(&transition).replace(&ns.name, "here");
        let words = told
            .split_whitespace()
            .filter(|word| !word.starts_with("sha256:") && Some(*word) != transition.promotion());
        let mut words: Vec<&str> = words.collect();
        if latest {
            words.push("(the latest)");
        }
        records.push(words.join(" "));
    }
    Ok(records)
}

/// The first release, and another one on its way.
async fn promoted(ns: &Namespace, system: &System, point: Option<&str>) -> Result<Essence> {
    let before = ns.deployed("web", "one", "1").await?;
    ns.release("two", "2").await?;
    system.arm(point).await?;
    let promotion = ns.promote("two", "web").await?;
    let ended = ns.promotion_succeeds(&promotion).await?;
    // the release before is not kept
    let old = before.status()["stable"]["workload"]
        .as_str()
        .context("workload")?;
    if let Some(uid) = ns
        .api::<Deployment>()
        .get_opt(old)
        .await?
        .and_then(|old| old.uid())
    {
        let gone = await_condition(ns.api::<Deployment>(), old, conditions::is_deleted(&uid));
        tokio::time::timeout(LIMIT, gone)
            .await
            .with_context(|| format!("{old} is not gone"))??;
    }
    settled(ns, Some(&ended)).await
}

async fn rolled_back(ns: &Namespace, system: &System, point: Option<&str>) -> Result<Essence> {
    let me = Person::me(&ns.cluster).await?;
    ns.deployed("web", "one", "1").await?;
    ns.release("bad", "3").await?;
    let promotion = ns.promote("bad", "web").await?;
    let view = ns.pauses_at("web", 50).await?;
    system.arm(point).await?;
    me.decides(Verb::Resume, &promotion, None, None).await?;
    let ended = ns.promotion_fails(&promotion, "AnalysisFailed").await?;
    let bad = view.rollout()["workload"].as_str().context("workload")?;
    ns.scaled_to_zero(bad).await?;
    settled(ns, Some(&ended)).await
}

async fn deleted(ns: &Namespace, system: &System) -> Result<Essence> {
    let view = ns.deployed("web", "one", "1").await?;
    ns.environment_gone("web").await?;
    system.nothing_left_behind(view.uid()).await?;
    let services = ns.api::<Service>().list(&ListParams::default()).await?;
    let services: Vec<String> = services.iter().map(ResourceExt::name_any).collect();
    let deployments = deployments(ns).await?;
    ensure!(
        services.is_empty() && deployments.is_empty(),
        "left: {services:?}, {deployments:?}"
    );
    let journal = records(ns, view.uid(), None).await?;
    assert_eq!(
        journal.last().map(String::as_str),
        Some("env_closed"),
        "{journal:?}"
    );
    Ok(Essence {
        status: Value::Null,
        journal,
    })
}

async fn chain_away(ns: &Namespace, system: &System) -> Result<Essence> {
    let me = Person::me(&ns.cluster).await?;
    let view = ns
        .environment_until("web", LIMIT, |view| view.status()["journal"]["next"] == 1)
        .await?;
    for number in 0..SKIPPED {
        let identity = format!("sha256:{number:064x}");
        me.decides(Verb::Hold, &view, Some(&identity), Some("not this one"))
            .await?;
    }
    let all = |list: &Value| list.as_array().map_or(0, Vec::len);
    let sealed = |view: &RunView| all(&view.status()["journal"]["sealed"]);
    ns.environment_until("web", LIMIT, |view| {
        all(&view.status()["held"]) == SKIPPED && sealed(view) > 0
    })
    .await?;
    system.start(LEDGER).await?;
    ns.environment_until("web", LIMIT, |view| sealed(view) == 0)
        .await?;
    let essence = settled(ns, None).await?;
    ensure!(essence.journal.len() == SKIPPED + 1, "{essence:#?}");
    Ok(essence)
}

/// Tells a story to its end.
async fn tell(ns: &Namespace, system: &System, story: Story, point: Option<&str>) -> Result<Essence> {
    if matches!(story, Story::Deleted | Story::ChainAway) {
        system.arm(point).await?;
    }
    if story == Story::ChainAway {
        system.stop(LEDGER).await?;
    }
    ns.deployer().await?;
    let mut environment = environment(ns, story);
    if story == Story::Verified {
        ns.verify(&mut environment).await?;
    }
    ns.apply(&environment.to_string()).await?;
    match story {
        Story::Promoted | Story::Verified => promoted(ns, system, point).await,
        Story::RolledBack => rolled_back(ns, system, point).await,
        Story::Deleted => deleted(ns, system).await,
        Story::ChainAway => chain_away(ns, system).await,
    }
}

#[tokio::test]
async fn a_kill_before_or_after_any_effect_or_status_write_about_an_environment_changes_neither_status_nor_journal()
-> Result<()> {
    let cases = EnvironmentBoundary::ALL.iter().flat_map(|&boundary| {
        stories(boundary)
            .iter()
            .map(move |&story| (boundary.name(), story))
    });
    same_after_kills(cases, Story::ChainAway, tell).await
}

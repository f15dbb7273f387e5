//! The chain away while a canary runs: forward waits for it, back does not.

use anyhow::{Context, Result, ensure};
use dcanary_crds::Verb;
use dcanary_harness::{
    Namespace, absence::Absence, example_app::pod_spec, fixtures::LIMIT, journal, person::Person,
};
use k8s_openapi::api::core::v1::Service;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

/// The Service that is asked for a verdict. Nobody answers there until a release is to be called bad.
const JUDGE: &str = "judge";

/// A canary that waits at 50 % for a person, and is watched all the time. Questions that nobody answers are forgiven.
fn watched(ns: &Namespace) -> Value {
    let metric = json!({
        "name": "judge", "interval": "1s", "errorLimit": 1000, "failure": "result != ''",
        "web": {"url": format!("http://{JUDGE}.$(namespace)/"), "jsonPath": "$.version", "timeout": "1s"},
    });
    // the last step is announced to the ledger before the first good sample is waited for
    let steps = json!([{"weight": 50}, {"pause": {}}, {"weight": 60}]);
    let strategy = json!({"canary": {"steps": steps, "scaleDownDelay": "1s"}});
    let mut environment = ns.plain_environment("web", &strategy);
    environment["spec"]["replicas"] = json!(1);
    environment["spec"]["workload"]["template"]["spec"]["template"] = json!({"spec": pod_spec()});
    environment["spec"]["analysis"] = json!({"metrics": [metric]});
    environment["spec"]["progressDeadline"] = json!("10m");
    environment
}

async fn judged_bad(ns: &Namespace) -> Result<()> {
    let answers = json!({"spec": {"selector": {"dcanary.dev/environment": "web"}}});
    ns.api::<Service>()
        .patch(JUDGE, &PatchParams::default(), &Patch::Strategic(&answers))
        .await?;
    Ok(())
}

/// A canary stays where it is while the chain is away, says so, and goes back without it.
pub(super) async fn a_canary_stays(ns: Namespace, absence: &Absence) -> Result<()> {
    let me = Person::me(&ns.cluster).await?;
    ns.deployer().await?;
    let judge = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": JUDGE},
        "spec": {"selector": {"dcanary.dev/environment": "nobody"}, "ports": [{"port": 80, "targetPort": 8080}]},
    });
    ns.apply(&format!("{judge}\n---\n{}", watched(&ns))).await?;
    ns.deployed("web", "one", "1").await?;
    ns.release("two", "2").await?;
    let promotion = ns.promote("two", "web").await?;
    ns.pauses_at("web", 50).await?;
    ns.environment_recorded("web").await?;

    absence.begins().await?;
    me.decides(Verb::Resume, &promotion, None, None).await?;
    // much longer than a step takes, and what it waits for is said twice
    let mut waiting = None;
    let weights = ns
        .weights("web", async {
            let view = ns
                .environment_until("web", LIMIT, |view| view.state("Recorded").0 == "False")
                .await?;
            waiting = Some(view);
            Ok(())
        })
        .await?;
    let view = waiting.context("it was looked at")?;
    assert_eq!(weights, [50], "{:#}", view.status());
    assert_eq!(
        view.state("Progressing"),
        ("True", "WaitingForLedger"),
        "{:#}",
        view.status()
    );
    ensure!(
        view.says("Progressing").contains("a rollback does not wait"),
        "{:#}",
        view.status()
    );
    ensure!(
        view.state("Recorded").1.starts_with("Ledger"),
        "{:#}",
        view.status()
    );
    assert_eq!(view.stable(), Some("one"), "{:#}", view.status());

    judged_bad(&ns).await?;
    ns.promotion_fails(&promotion, "AnalysisFailed").await?;
    let view = ns
        .environment_until("web", LIMIT, |view| view.state("RolledBack").0 == "True")
        .await?;
    assert_eq!(
        (view.stable(), view.held()),
        (Some("one"), vec!["two"]),
        "{:#}",
        view.status()
    );
    let journal = &view.status()["journal"];
    ensure!(
        journal["recorded"].as_i64() < journal["next"].as_i64(),
        "it did wait: {:#}",
        view.status()
    );

    absence.ends().await?;
    ns.environment_recorded("web").await?;
    let kinds: Vec<&str> = journal::transitions(view.uid())
        .await?
        .iter()
        .map(|transition| transition.btype().trim_start_matches("dcanary_"))
        .collect();
    assert_eq!(
        kinds,
        [
            "env_opened",
            "deploy_requested",
            "deploy_started",
            "promoted",
            "deploy_requested",
            "deploy_started",
            "step_reached",
            "decided",
            // announced, and never in force
            "step_reached",
            "analysis_verdict",
            "rolled_back",
            "held",
        ]
    );
    ns.verifies("environment", "web").await
}

//! The operator away, started differently, and faced with objects that it cannot read.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dcanary_harness::{
    Namespace,
    fixtures::{LIMIT, run, stage},
    scenario,
    system::System,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    api::{DeleteParams, ListParams, Patch, PatchParams},
    runtime::wait::await_condition,
};
use serde_json::json;

fn ended(pod: Option<&Pod>) -> bool {
    pod.and_then(|pod| pod.status.as_ref()?.container_statuses.as_ref())
        .is_some_and(|all| {
            all.iter()
                .any(|one| one.state.as_ref().is_some_and(|state| state.terminated.is_some()))
        })
}

#[tokio::test]
async fn a_stage_that_ends_while_no_operator_runs_has_succeeded_when_one_returns() -> Result<()> {
    let system = super::system().await?;
    let outcome = scenario("no-operator", |ns| {
        let system = system.clone();
        async move {
            ns.apply(&run(
                "r",
                &json!([stage("s", "sleep 4; echo a=1 >> \"$DCANARY_RESULTS\"")]),
            ))
            .await?;
            let pod = ns.running_pod("r").await?;
            system.operators(0).await?;
            let end = await_condition(ns.api::<Pod>(), &pod, ended);
            tokio::time::timeout(LIMIT, end)
                .await
                .context("the Pod does not end")??;
            // longer than a report is waited for after the end of its container (10 s), so that nothing but the report can help
            tokio::time::sleep(Duration::from_secs(13)).await;
            system.operators(1).await?;
            let view = ns.finished("r", LIMIT).await?;
            assert_eq!(
                view.outcomes("s")?,
                [("Succeeded", "Succeeded")],
                "{:#}",
                view.status()
            );
            assert_eq!(view.stage("s")?["results"][0]["value"], "1");
            ns.verified("r").await
        }
    })
    .await;
    system.operators(1).await?;
    outcome
}

#[tokio::test]
async fn a_runner_that_comes_by_init_container_runs_the_same_pipeline() -> Result<()> {
    const VARIABLE: &str = "DCANARY_RUNNER_DELIVERY";
    let system = super::system().await?;
    let before = system.operator_value(VARIABLE).await?;
    let outcome = scenario("init-delivery", |ns| {
        let system = system.clone();
        async move {
            system.operator_variable(VARIABLE, Some("init")).await?;
            ns.apply_dir("examples/hello").await?;
            let view = ns.finished("hello", LIMIT).await?;
            assert_eq!(
                view.state("Succeeded"),
                ("True", "Succeeded"),
                "{:#}",
                view.status()
            );
            let pods = ns.api::<Pod>().list(&ListParams::default()).await?;
            ensure!(!pods.items.is_empty(), "no Pod is left to look at");
            for pod in pods {
                let spec = pod.spec.context("spec")?;
                ensure!(spec.init_containers.iter().flatten().count() == 1, "{spec:#?}");
                ensure!(
                    spec.volumes.iter().flatten().all(|volume| volume.image.is_none()),
                    "{spec:#?}"
                );
            }
            ensure!(ns.logs("hello").await?.contains("I heard \"hello, canary\""));
            ns.verified("hello").await
        }
    })
    .await;
    system.operator_variable(VARIABLE, before.as_deref()).await?;
    outcome
}

/// Puts an object there that the API server takes and the operator's types do not: it looks at the form of a time, and not at its offset.
async fn unreadable(ns: &Namespace) -> Result<()> {
    ns.apply(&run("odd", &json!([stage("s", "true")]))).await?;
    ns.recorded("odd").await?;
    let status = json!({"status": {"startedAt": "2020-01-01T00:00:00+99:99"}});
    let params = PatchParams::default();
    ns.runs()
        .patch_status("odd", &params, &Patch::Merge(&status))
        .await?;
    Ok(())
}

#[tokio::test]
async fn an_object_that_cannot_be_read_stops_neither_a_running_nor_a_starting_operator() -> Result<()> {
    let system: System = super::system().await?;
    let outcome = scenario("unreadable", |ns| {
        let system = system.clone();
        async move {
            unreadable(&ns).await?;
            let told = go_on(&ns, &system).await;
            // nobody else can
            let free = json!({"metadata": {"finalizers": null}});
            let odd = ns.runs();
            odd.patch("odd", &PatchParams::default(), &Patch::Merge(&free))
                .await?;
            odd.delete("odd", &DeleteParams::default()).await?;
            told
        }
    })
    .await;
    system.operators(1).await?;
    outcome
}

async fn go_on(ns: &Namespace, system: &System) -> Result<()> {
    for name in ["before", "after"] {
        ns.apply(&run(name, &json!([stage("s", "true")]))).await?;
        let view = ns.finished(name, Duration::from_secs(60)).await?;
        ensure!(view.state("Succeeded").0 == "True", "{:#}", view.status());
        if name == "before" {
            system.operators(0).await?;
            system.operators(1).await?;
        }
    }
    Ok(())
}

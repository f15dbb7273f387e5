//! What people and tools see of a run: conditions, columns, Events.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use dcanary_harness::{
    Namespace, RunView,
    cli::dcanary,
    fixtures::{LIMIT, object, run, run_with, stage},
    kubectl::kubectl,
    scenario,
};
use futures::TryStreamExt;
use k8s_openapi::api::events::v1::Event;
use kube::{
    api::ListParams,
    runtime::{WatchStreamExt, watcher},
};
use serde_json::{Value, json};

/// `type: status reason` of all conditions but `Recorded`, whose time is the chain's.
fn table(view: &RunView) -> BTreeMap<String, String> {
    let all = view.status()["conditions"].as_array().into_iter().flatten();
    let text = |one: &Value, key: &str| one[key].as_str().unwrap_or("").to_owned();
    all.filter(|one| one["type"] != "Recorded")
        .map(|one| {
            (
                text(one, "type"),
                format!("{} {}", text(one, "status"), text(one, "reason")),
            )
        })
        .collect()
}

fn expected(rows: [(&str, &str); 4]) -> BTreeMap<String, String> {
    rows.iter()
        .map(|(kind, state)| ((*kind).to_owned(), (*state).to_owned()))
        .collect()
}

async fn conditions_are_current(ns: &Namespace, run: &str) -> Result<()> {
    let view = RunView(serde_json::to_value(ns.runs().get(run).await?)?);
    let generation = &view.0["metadata"]["generation"];
    assert_eq!(&view.status()["observedGeneration"], generation);
    for condition in view.status()["conditions"].as_array().context("conditions")? {
        assert_eq!(&condition["observedGeneration"], generation, "{condition:#}");
    }
    Ok(())
}

#[tokio::test]
async fn conditions_say_running_succeeded_failed_and_cancelled_as_kstatus_reads_them() -> Result<()> {
    scenario("kstatus", |ns| async move {
        ns.apply(&run("running", &json!([stage("s", "sleep 300")])))
            .await?;
        ns.apply(&run("good", &json!([stage("s", "true")]))).await?;
        ns.apply(&run("bad", &json!([stage("s", "false")]))).await?;
        ns.running_pod("running").await?;
        let view = ns
            .run_until("running", LIMIT, |view| view.condition("Succeeded").is_some())
            .await?;
        let rows = [
            ("Succeeded", "Unknown Running"),
            ("Finished", "False Running"),
            ("Reconciling", "True Running"),
            ("Stalled", "False Running"),
        ];
        assert_eq!(table(&view), expected(rows));
        let view = ns.finished("good", LIMIT).await?;
        let rows = [
            ("Succeeded", "True Succeeded"),
            ("Finished", "True Succeeded"),
            ("Reconciling", "False Succeeded"),
            ("Stalled", "False Succeeded"),
        ];
        assert_eq!(table(&view), expected(rows));
        let view = ns.finished("bad", LIMIT).await?;
        let rows = [
            ("Succeeded", "False Failed"),
            ("Finished", "True Failed"),
            ("Reconciling", "False Failed"),
            ("Stalled", "True Failed"),
        ];
        assert_eq!(table(&view), expected(rows));
        let waited = kubectl(
            &[
                "-n",
                &ns.name,
                "wait",
                "--for=condition=Finished",
                "--timeout=60s",
                "dpr/good",
                "dpr/bad",
            ],
            "",
        )
        .await?;
        ensure!(
            waited.status.success(),
            "{}",
            String::from_utf8_lossy(&waited.stderr)
        );
        let cancelled = dcanary(&["-n", &ns.name, "cancel", "running"]).await?;
        ensure!(
            cancelled.status.success(),
            "{}",
            String::from_utf8_lossy(&cancelled.stderr)
        );
        let view = ns.finished("running", LIMIT).await?;
        let rows = [
            ("Succeeded", "False Cancelled"),
            ("Finished", "True Cancelled"),
            ("Reconciling", "False Cancelled"),
            ("Stalled", "True Cancelled"),
        ];
        assert_eq!(table(&view), expected(rows));
        for run in ["running", "good", "bad"] {
            conditions_are_current(&ns, run).await?;
            ns.recorded(run).await?;
            let view = ns
                .run_until(run, LIMIT, |view| view.state("Recorded").0 == "True")
                .await?;
            assert_eq!(view.state("Recorded"), ("True", "Recorded"));
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn kubectl_get_shows_pipeline_outcome_progress_and_times() -> Result<()> {
    scenario("columns", |ns| async move {
        ns.apply(&object(
            "Pipeline",
            "web",
            &json!({"stages": [stage("a", "true"), stage("b", "false")]}),
        ))
        .await?;
        ns.apply(&run_with("web-1", &json!({"pipelineRef": {"name": "web"}})))
            .await?;
        ns.finished("web-1", LIMIT).await?;
        let shown = kubectl(&["-n", &ns.name, "get", "dpr", "web-1"], "").await?;
        let text = String::from_utf8(shown.stdout)?;
        let mut lines = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        assert_eq!(
            lines.next(),
            Some(vec![
                "NAME",
                "PIPELINE",
                "SUCCEEDED",
                "REASON",
                "STAGES",
                "STARTED",
                "COMPLETED",
                "AGE"
            ]),
            "{text}"
        );
        let row = lines.next().context("a row")?;
        assert_eq!(
            row.get(..5),
            Some(["web-1", "web", "False", "Failed", "2/2"].as_slice()),
            "{text}"
        );
        assert_eq!(row.len(), 8, "{text}");
        let wide = kubectl(&["-n", &ns.name, "get", "dpr", "web-1", "-o", "wide"], "").await?;
        let text = String::from_utf8(wide.stdout)?;
        ensure!(
            text.contains("1 succeeded, 1 failed; failed: b (StepFailed)"),
            "{text}"
        );
        let pipelines = kubectl(&["-n", &ns.name, "get", "dpl", "web", "--no-headers"], "").await?;
        let text = String::from_utf8(pipelines.stdout)?;
        let row: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(
            row.get(..4),
            Some(["web", "True", "Valid", "2"].as_slice()),
            "{text}"
        );
        Ok(())
    })
    .await
}

/// Events of a run, once one with this reason is there.
async fn events(ns: &Namespace, run: &RunView, last: &str) -> Result<Vec<Event>> {
    let of =
        |event: &Event| event.regarding.as_ref().and_then(|object| object.uid.as_deref()) == Some(run.uid());
    let watch = watcher(ns.api::<Event>(), watcher::Config::default())
        .default_backoff()
        .applied_objects();
    let found =
        watch.try_filter(|event| futures::future::ready(of(event) && event.reason.as_deref() == Some(last)));
    tokio::time::timeout(LIMIT, Box::pin(found).try_next())
        .await
        .with_context(|| format!("no Event {last}"))??;
    let all = ns.api::<Event>().list(&ListParams::default()).await?;
    Ok(all.items.into_iter().filter(of).collect())
}

#[tokio::test]
async fn events_of_a_run_are_few_and_name_the_stage_and_the_reason() -> Result<()> {
    scenario("events", |ns| async move {
        ns.apply(&run("good", &json!([stage("s", "true")]))).await?;
        ns.apply(&run("bad", &json!([stage("s", "exit 3")]))).await?;
        let good = ns.finished("good", LIMIT).await?;
        ns.recorded("good").await?;
        let told = events(&ns, &good, "Succeeded").await?;
        ensure!((1..=3).contains(&told.len()), "{told:#?}");
        let bad = ns.finished("bad", LIMIT).await?;
        ns.recorded("bad").await?;
        let told = events(&ns, &bad, "Failed").await?;
        ensure!((1..=3).contains(&told.len()), "{told:#?}");
        let failed = told
            .iter()
            .find(|event| event.reason.as_deref() == Some("StageFailed"))
            .context("no StageFailed")?;
        assert_eq!(failed.type_.as_deref(), Some("Warning"));
        let note = failed.note.clone().unwrap_or_default();
        ensure!(
            note.contains("stage s") && note.contains("StepFailed") && note.contains("exit code 3"),
            "{note}"
        );
        Ok(())
    })
    .await
}

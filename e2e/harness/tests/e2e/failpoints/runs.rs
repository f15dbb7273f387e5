//! Runs.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use dcanary_controller::failpoint::Boundary;
use dcanary_harness::{
    Namespace, RunView,
    fixtures::BUSYBOX,
    journal,
    system::{LEDGER, System},
};
use dcanary_types::record::Transition;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    api::{DeleteParams, ListParams, Patch, PatchParams},
    runtime::{conditions, wait::await_condition},
};
use serde_json::{Value, json};

use super::{Essence, LIMIT, SKIPPED, same_after_kills};

/// A run that reaches a boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Story {
    TwoStages,
    Cancelled,
    Deleted,
    ChainAway,
    Deploys,
}

/// A boundary without a story does not compile.
fn story(boundary: Boundary) -> Story {
    match boundary {
        Boundary::WriteStatus
        | Boundary::HoldRun
        | Boundary::CreatePod
        | Boundary::AckReports
        | Boundary::ReleasePod => Story::TwoStages,
        Boundary::DeletePod | Boundary::RevokeSession => Story::Cancelled,
        Boundary::ReleaseRun => Story::Deleted,
        Boundary::Deploy => Story::Deploys,
        Boundary::SealOutbox | Boundary::DropSealed => Story::ChainAway,
    }
}

fn manifest(story: Story) -> Value {
    let quick = |name: &str, needs: &[&str]| json!({"name": name, "dependsOn": needs, "image": BUSYBOX, "steps": [{"run": "true"}]});
    let long = json!({"name": "long", "image": BUSYBOX, "steps": [{"run": "sleep 300"}]});
    let spec = match story {
        Story::TwoStages => {
            let results = json!([{"run": "echo a=1 >> \"$DCANARY_RESULTS\""}]);
            let mut first = quick("first", &[]);
            first["steps"] = results;
            json!({"stages": [first, quick("second", &["first"])]})
        }
        Story::Cancelled => json!({"stages": [long], "finally": [quick("tidy", &[])]}),
        Story::Deleted => json!({"stages": [long]}),
        Story::Deploys => {
            let mut build = quick("build", &[]);
            let image = json!({"image": {
                "name": "web", "push": "registry.local:5000/kill-deploy:1", "base": "registry.local:5000/example-app:1",
                "files": [{"from": "built", "to": "/built"}],
            }});
            build["steps"] = json!([{"run": "echo built > built"}, image]);
            json!({"stages": [build, {"name": "deploy", "dependsOn": ["build"], "environment": "web"}]})
        }
        Story::ChainAway => {
            let mut stages = vec![quick("first", &[])];
            stages.extend((0..SKIPPED).map(|n| {
                let mut stage = quick(&format!("skipped-{n}"), &["first"]);
                stage["when"] = json!("false");
                stage
            }));
            json!({"stages": stages})
        }
    };
    json!({
        "apiVersion": "dcanary.dev/v1alpha1", "kind": "PipelineRun", "metadata": {"name": "story"},
        "spec": {"pipelineSpec": spec},
    })
}

/// Status without times, names of Pods and positions in the ledger.
fn essence(view: &RunView) -> Value {
    let status = view.status();
    let stages: Vec<Value> = status["stages"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|stage| {
            let attempts: Vec<&Value> = stage["attempts"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|attempt| &attempt["outcome"])
                .collect();
            let is_deployment = stage["attempts"][0]["promotion"].is_object();
            let results: Vec<(&Value, &Value)> = stage["results"]
                .as_array()
                .into_iter()
                .flatten()
                // the names of Release and Promotion are other ones for each run
                .map(|result| {
                    (
                        &result["name"],
                        if is_deployment {
                            &Value::Null
                        } else {
                            &result["value"]
                        },
                    )
                })
                .collect();
            json!({"name": stage["name"], "state": stage["state"], "attempts": attempts, "results": results})
        })
        .collect();
    let conditions: BTreeMap<&str, (&str, &str)> =
        ["Succeeded", "Finished", "Reconciling", "Stalled", "Recorded"]
            .into_iter()
            .map(|kind| (kind, view.state(kind)))
            .collect();
    json!({"stages": stages, "conditions": conditions, "records": status["journal"]["recorded"]})
}

/// Waits until the long stage runs.
async fn long_runs(ns: &Namespace) -> Result<()> {
    tokio::time::timeout(LIMIT, ns.running_pod("story")).await??;
    Ok(())
}

async fn everything_recorded(ns: &Namespace) -> Result<RunView> {
    ns.run_until("story", LIMIT, |view| {
        let journal = &view.status()["journal"];
        view.state("Finished").0 == "True"
            && journal["next"].is_i64()
            && journal["next"] == journal["recorded"]
            && journal["sealed"].as_array().is_none_or(Vec::is_empty)
    })
    .await
}

/// Tells a story to its end. The operator is killed once it has begun.
async fn tell(ns: &Namespace, system: &System, story: Story, point: Option<&str>) -> Result<Essence> {
    system.arm(point).await?;
    let told = told(ns, system, story).await?;
    ensure!(
        told.journal.last().map(String::as_str) == Some(Transition::RUN_FINISHED),
        "{told:#?}"
    );
    Ok(told)
}

async fn told(ns: &Namespace, system: &System, story: Story) -> Result<Essence> {
    if story == Story::ChainAway {
        system.stop(LEDGER).await?;
    }
    if story == Story::Deploys {
        ns.deployer().await?;
        let mut environment = ns.plain_environment("web", &json!({"rolling": {}}));
        // without Pods there is nothing to wait for
        environment["spec"]["replicas"] = json!(0);
        ns.apply(&environment.to_string()).await?;
    }
    let applied = ns.apply(&manifest(story).to_string()).await?;
    let uid = applied[0].metadata.uid.clone().context("uid")?;
    match story {
        Story::TwoStages | Story::Deploys => {}
        Story::Cancelled => {
            long_runs(ns).await?;
            let cancel = json!({"spec": {"cancel": true}});
            ns.runs()
                .patch("story", &PatchParams::default(), &Patch::Merge(&cancel))
                .await?;
        }
        Story::Deleted => {
            long_runs(ns).await?;
            ns.runs().delete("story", &DeleteParams::default()).await?;
            let gone = await_condition(ns.runs(), "story", conditions::is_deleted(&uid));
            tokio::time::timeout(LIMIT, gone)
                .await
                .context("the run is not gone")??;
            ensure!(
                ns.api::<Pod>()
                    .list(&ListParams::default())
                    .await?
                    .items
                    .iter()
                    .all(|pod| pod.metadata.deletion_timestamp.is_some()),
                "a Pod is left"
            );
            // what it did is told by the ledger alone
            system.nothing_left_behind(&uid).await?;
            return Ok(Essence {
                status: Value::Null,
                journal: journal::records(&uid).await?,
            });
        }
        Story::ChainAway => {
            ns.finished("story", LIMIT).await?;
            ns.run_until("story", LIMIT, |view| {
                view.status()["journal"]["sealed"]
                    .as_array()
                    .is_some_and(|sealed| !sealed.is_empty())
            })
            .await?;
            system.start(LEDGER).await?;
        }
    }
    let view = everything_recorded(ns).await?;
    if story == Story::Deploys {
        let made = ns.promotions().list(&ListParams::default()).await?.items.len();
        ensure!(made == 1, "{made} Promotions for one attempt");
    }
    Ok(Essence {
        status: essence(&view),
        journal: journal::records(&uid).await?,
    })
}

#[tokio::test]
async fn a_kill_before_or_after_any_effect_or_status_write_changes_neither_status_nor_journal() -> Result<()>
{
    let cases = Boundary::ALL
        .iter()
        .map(|&boundary| (boundary.name(), story(boundary)));
    same_after_kills(cases, Story::ChainAway, tell).await
}

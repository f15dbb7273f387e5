//! Parts of the installation are killed or away while runs go on.
//!
//! Disturbs the whole installation, so nothing else runs at the same time. Whatever is changed here is put right again when the test
//! fails, too: the next one finds everything there.

mod approvals;
mod delivery;
mod ledger;
mod nodes;
mod operator;
mod server;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use dcanary_harness::{
    Cluster, Namespace,
    absence::Absence,
    journal, scenario,
    system::{LEDGER, SERVER, System},
};
use futures::{TryStreamExt, try_join};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace as CoreNamespace, Pod};
use kube::{
    Api,
    api::{DeleteParams, ListParams},
    runtime::{WatchStreamExt, conditions, wait::await_condition, watcher},
};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(180);
const BUSYBOX: &str = "registry.local:5000/busybox:1";

fn manifest(stages: &Value) -> String {
    json!({
        "apiVersion": "dcanary.dev/v1alpha1", "kind": "PipelineRun", "metadata": {"name": "r"},
        "spec": {"pipelineSpec": {"stages": stages}},
    })
    .to_string()
}

fn stage(name: &str, needs: &[&str], script: &str) -> Value {
    json!({"name": name, "dependsOn": needs, "image": BUSYBOX, "steps": [{"run": script}]})
}

async fn system() -> Result<System> {
    Ok(System::of(&Cluster::connect().await?))
}

/// What a run of two stages in a row leaves in the journal.
fn two_stages() -> Vec<String> {
    [
        "dcanary_run_opened",
        "dcanary_stage_started a#1",
        "dcanary_stage_succeeded a#1",
        "dcanary_stage_started b#1",
        "dcanary_stage_succeeded b#1",
        "dcanary_run_finished",
    ]
    .map(str::to_owned)
    .to_vec()
}

#[tokio::test]
async fn a_ledger_node_that_is_killed_mid_run_loses_and_repeats_nothing() -> Result<()> {
    let system = system().await?;
    scenario("ledger-killed", |ns| async move {
        let stages = json!([stage("a", &[], "sleep 4"), stage("b", &["a"], "true")]);
        ns.apply(&manifest(&stages)).await?;
        ns.running_pod("r").await?;
        system.kill(LEDGER).await?;
        let view = ns.recorded("r").await?;
        assert_eq!(view.state("Succeeded").0, "True", "{:#}", view.status());
        assert_eq!(journal::records(view.uid()).await?, two_stages());
        ns.verifies("run", "r").await
    })
    .await
}

/// A run goes on and ends while the ledger is away, and is recorded when it returns.
async fn a_run_goes_on(ns: Namespace, absence: &Absence) -> Result<()> {
    let stages = json!([stage("a", &[], "sleep 5"), stage("b", &["a"], "true")]);
    ns.apply(&manifest(&stages)).await?;
    ns.running_pod("r").await?;
    // mid-run: the first records are on the chain, those of the end cannot be
    absence.begins().await?;
    let away = Instant::now();
    let view = ns.finished("r", LIMIT).await?;
    assert_eq!(view.state("Succeeded").0, "True", "{:#}", view.status());
    let journal = &view.status()["journal"];
    assert_eq!(journal["next"], two_stages().len(), "{:#}", view.status());
    ensure!(
        journal["recorded"].as_i64() < journal["next"].as_i64(),
        "{:#}",
        view.status()
    );
    // said after half a minute of waiting, with a reason
    let view = ns
        .run_until("r", LIMIT, |view| view.state("Recorded").0 == "False")
        .await?;
    ensure!(
        view.state("Recorded").1.starts_with("Ledger"),
        "{:#}",
        view.status()
    );
    tokio::time::sleep(Duration::from_secs(60).saturating_sub(away.elapsed())).await;
    absence.ends().await?;
    let view = ns.recorded("r").await?;
    assert_eq!(journal::records(view.uid()).await?, two_stages());
    ns.verifies("run", "r").await
}

/// A namespace that is deleted mid-run while the ledger is away goes, and the records of its run wait elsewhere.
async fn a_namespace_goes(ns: Namespace, absence: &Absence) -> Result<()> {
    absence.begins().await?;
    let applied = ns
        .apply(&manifest(&json!([stage("a", &[], "sleep 300")])))
        .await?;
    let uid = applied[0].metadata.uid.clone().context("uid")?;
    ns.running_pod("r").await?;
    let namespaces: Api<CoreNamespace> = Api::all(ns.cluster.client.clone());
    let of = namespaces.get(&ns.name).await?.metadata.uid.context("uid")?;
    namespaces.delete(&ns.name, &DeleteParams::background()).await?;
    let gone = await_condition(namespaces, &ns.name, conditions::is_deleted(&of));
    tokio::time::timeout(Duration::from_secs(90), gone)
        .await
        .context("the namespace is not gone after 90 s")??;
    // the records outlive the namespace, and the operator
    absence.system().operators(0).await?;
    absence.system().operators(1).await?;
    let maps: Api<ConfigMap> = Api::namespaced(ns.cluster.client.clone(), &ns.cluster.operator_namespace);
    let mine = ListParams::default().labels(&format!("dcanary.dev/run-uid={uid}"));
    let left = maps.list(&mine).await?.items;
    ensure!(!left.is_empty(), "nothing was put aside");
    absence.ends().await?;
    for map in left {
        let (name, of) = (
            map.metadata.name.context("name")?,
            map.metadata.uid.context("uid")?,
        );
        let dropped = await_condition(maps.clone(), &name, conditions::is_deleted(&of));
        tokio::time::timeout(LIMIT, dropped)
            .await
            .context("the records were not taken")??;
    }
    let found = journal::records(&uid).await?;
    assert_eq!(
        found.first().map(String::as_str),
        Some("dcanary_run_opened"),
        "{found:?}"
    );
    assert_eq!(
        found.last().map(String::as_str),
        Some("dcanary_run_finished"),
        "{found:?}"
    );
    Ok(())
}

#[tokio::test]
async fn with_the_ledger_away_for_a_minute_runs_end_namespaces_go_and_canaries_stay_or_go_back_and_all_is_recorded_later()
-> Result<()> {
    let system = system().await?;
    let absence = &Absence::of(&system, LEDGER, 3);
    let told = try_join!(
        scenario("ledger-away", |ns| a_run_goes_on(ns, absence)),
        scenario("namespace-gone", |ns| a_namespace_goes(ns, absence)),
        scenario("chain-away", |ns| delivery::a_canary_stays(ns, absence)),
    );
    // whatever happened, the next test finds them there
    system.start(LEDGER).await?;
    system.operators(1).await?;
    told.map(|_| ())
}

#[tokio::test]
async fn a_server_that_is_killed_mid_upload_gets_the_whole_artifact() -> Result<()> {
    let system = system().await?;
    scenario("server-killed", |ns| async move {
        let script = "head -c 400000000 /dev/zero | tr '\\0' x > big; \
            echo \"sum=$(sha256sum big | cut -d' ' -f1)\" >> \"$DCANARY_RESULTS\"";
        let stages = json!([{
            "name": "a", "image": BUSYBOX, "steps": [{"run": script}, {"artifact": {"name": "big", "paths": ["big"]}}],
        }]);
        ns.apply(&manifest(&stages)).await?;
        ns.running_pod("r").await?;
        system.receives_an_upload().await?;
        system.kill(SERVER).await?;
        let view = ns.recorded("r").await?;
        assert_eq!(view.state("Succeeded").0, "True", "{:#}", view.status());
        let stage = view.stage("a")?;
        let sum = stage["results"][0]["value"].as_str().context("sum")?;
        assert_eq!(stage["artifacts"][0]["digest"], format!("sha256:{sum}"));
        assert_eq!(stage["artifacts"][0]["size"], 400_000_000);
        assert_eq!(stage["attempts"].as_array().map(Vec::len), Some(1), "{stage:#}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn two_operators_at_once_run_each_attempt_once_and_record_it_once() -> Result<()> {
    let system = system().await?;
    system.operators(2).await?;
    let told = scenario("two-operators", |ns| async move {
        let stages = json!([stage("a", &[], "true"), stage("b", &["a"], "true")]);
        let seen = PodNames::watch(&ns);
        ns.apply(&manifest(&stages)).await?;
        let view = ns.recorded("r").await?;
        assert_eq!(view.state("Succeeded").0, "True", "{:#}", view.status());
        for stage in ["a", "b"] {
            assert_eq!(
                view.stage(stage)?["attempts"].as_array().map(Vec::len),
                Some(1),
                "{:#}",
                view.status()
            );
        }
        assert_eq!(seen.stop().await.len(), 2);
        assert_eq!(journal::records(view.uid()).await?, two_stages());
        ns.verifies("run", "r").await
    })
    .await;
    system.operators(1).await?;
    told
}

/// UIDs of all Pods that a namespace ever had since the watch began.
struct PodNames {
    stop: tokio_util::sync::CancellationToken,
    task: tokio::task::JoinHandle<BTreeSet<String>>,
}

impl PodNames {
    fn watch(ns: &Namespace) -> Self {
        let stop = tokio_util::sync::CancellationToken::new();
        let (pods, stopped) = (ns.api::<Pod>(), stop.clone());
        let task = tokio::spawn(async move {
            let mut seen = BTreeSet::new();
            let mut stream = Box::pin(
                watcher(pods, watcher::Config::default())
                    .default_backoff()
                    .touched_objects(),
            );
            loop {
                tokio::select! {
                    () = stopped.cancelled() => return seen,
                    pod = stream.try_next() => if let Ok(Some(pod)) = pod {
                        seen.extend(pod.metadata.uid);
                    },
                }
            }
        });
        Self { stop, task }
    }

    async fn stop(self) -> BTreeSet<String> {
        self.stop.cancel();
        self.task.await.unwrap()
    }
}

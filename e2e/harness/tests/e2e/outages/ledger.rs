//! Bad input from the side of the ledger: an older node, another canister, swapped ConfigMaps. Each is refused or shown, by name.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use dcanary_harness::{
    Cluster, Namespace, RunView,
    cli::{dcanary, dcanary_remembering, forget, said},
    fixtures::{LIMIT, run, stage},
    journal,
    ledger::{CONFIG, SECOND_CANISTER, Stolen},
    scenario,
    system::{LEDGER, System},
    volume::Volume,
};
use futures::TryStreamExt;
use k8s_openapi::api::{core::v1::ConfigMap, events::v1::Event};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::{Value, json};

/// So many records that the older ones are put aside while the chain is away.
const SKIPPED: usize = 52;
/// Label of what proves a fork.
const EVIDENCE: &str = "app.kubernetes.io/component=fork-evidence";
/// The root key of the IC mainnet: a valid one, and another.
const MAINNET: &str = "308182301d060d2b0601040182dc7c0503010201060c2b0601040182dc7c05030201036100814c0e6ec71fab583b08bd81373c255c3c371b2e84863c98a4f1e08b74235d14fb5d9c0cd546d9685f913a0c0b2cc5341583bf4b4392e467db96d65b9bb4cb717112f8472e0d5a4d14505ffd7484b01291091c5f87b98883463f98091a0baaae";

/// A reader with a trust file and a memory of its own.
struct Reader {
    folder: tempfile::TempDir,
    namespace: String,
}

impl Reader {
    async fn pin(ns: &Namespace) -> Result<Self> {
        let reader = Self {
            folder: tempfile::tempdir()?,
            namespace: ns.name.clone(),
        };
        let pinned = reader.call(&["trust", "pin", "--yes"]).await?;
        ensure!(pinned.0 == Some(0), "{}", pinned.1);
        Ok(reader)
    }

    async fn call(&self, words: &[&str]) -> Result<(Option<i32>, String)> {
        let trust = self.folder.path().join("trust.json");
        let mut args = vec!["-n", &self.namespace];
        args.extend(words);
        args.extend(["--trust", trust.to_str().context("path")?]);
        let output = dcanary_remembering(self.folder.path(), &args).await?;
        Ok((output.status.code(), said(&output)))
    }

    /// The exit code, and the first object in what was said.
    async fn json(&self, words: &[&str]) -> Result<(Option<i32>, Value)> {
        let (code, text) = self.call(words).await?;
        let start = text.find('{').with_context(|| text.clone())?;
        let value = serde_json::Deserializer::from_str(&text[start..])
            .into_iter()
            .next()
            .with_context(|| text.clone())??;
        Ok((code, value))
    }

    /// The exit code of `verify run`, and the checks that failed.
    async fn verify(&self, run: &str) -> Result<(Option<i32>, BTreeMap<String, String>)> {
        let (code, report) = self.json(&["verify", "run", run, "-o", "json"]).await?;
        let failed = report["checks"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|one| one["status"] == "failed");
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        Ok((
            code,
            failed
                .map(|one| (text(&one["check"]), text(&one["detail"])))
                .collect(),
        ))
    }
}

fn maps(cluster: &Cluster) -> Api<ConfigMap> {
    Api::namespaced(cluster.client.clone(), &cluster.operator_namespace)
}

async fn runs(ns: &Namespace, name: &str) -> Result<()> {
    ns.apply(&run(name, &json!([stage("s", "true")]))).await?;
    ns.finished(name, LIMIT).await.map(drop)
}

fn evidence() -> ListParams {
    ListParams::default().labels(EVIDENCE)
}

/// The ConfigMap with the evidence of the only fork, and the Event that names it.
async fn accused(cluster: &Cluster) -> Result<ConfigMap> {
    let kept = watcher(maps(cluster), watcher::Config::default().labels(EVIDENCE))
        .default_backoff()
        .applied_objects();
    let map = tokio::time::timeout(LIMIT, Box::pin(kept).try_next())
        .await
        .context("no evidence is kept")??
        .context("the watch ended")?;
    let name = map.metadata.name.clone();
    let events: Api<Event> = Api::namespaced(cluster.client.clone(), &cluster.operator_namespace);
    let told = watcher(events, watcher::Config::default())
        .default_backoff()
        .applied_objects()
        .try_filter(|event| {
            let names = event.related.as_ref().and_then(|related| related.name.clone()) == name;
            futures::future::ready(names && event.reason.as_deref() == Some("LedgerForked"))
        });
    tokio::time::timeout(LIMIT, Box::pin(told).try_next())
        .await
        .context("no Event LedgerForked")??;
    Ok(map)
}

#[tokio::test]
async fn a_restored_older_data_folder_of_the_node_is_a_fork_for_the_operator_and_for_readers() -> Result<()> {
    let (system, cluster) = (super::system().await?, Cluster::connect().await?);
    maps(&cluster)
        .delete_collection(&DeleteParams::default(), &evidence())
        .await?;
    let volume = Volume::open(&cluster, LEDGER).await?;
    let outcome = scenario("older-node", |ns| {
        let system = system.clone();
        let volume = &volume;
        async move {
            let reader = Reader::pin(&ns).await?;
            system.stop(LEDGER).await?;
            volume
                .sh("rm -rf /data/older; cp -a /data/node /data/older")
                .await?;
            system.start(LEDGER).await?;
            runs(&ns, "seen").await?;
            ns.recorded("seen").await?;
            assert_eq!(reader.verify("seen").await?, (Some(0), BTreeMap::new()));
            // somebody puts the older folder back
            system.stop(LEDGER).await?;
            volume
                .sh("mv /data/node /data/newer; mv /data/older /data/node")
                .await?;
            system.start(LEDGER).await?;
            let (code, failed) = reader.verify("seen").await?;
            assert_eq!(code, Some(1), "{failed:?}");
            ensure!(
                failed
                    .get("consistency")
                    .is_some_and(|why| why.contains("LedgerForked")),
                "{failed:?}"
            );
            runs(&ns, "later").await?;
            let view = ns
                .run_until("later", LIMIT, |view| view.state("Recorded").1 == "LedgerForked")
                .await?;
            assert_eq!(view.state("Recorded").0, "False", "{:#}", view.status());
            assert_eq!(view.state("Succeeded").0, "True", "{:#}", view.status());
            let map = accused(&ns.cluster).await?;
            let told: Value = serde_json::from_str(
                map.data
                    .context("data")?
                    .get("evidence.json")
                    .context("evidence")?,
            )?;
            ensure!(
                told["seen"]["certificate"] != told["shown"]["certificate"],
                "{told:#}"
            );
            ensure!(
                told["seen"]["size"].as_u64() > told["shown"]["size"].as_u64(),
                "{told:#}"
            );
            // and the right one again: nothing is lost
            right_folder(&system, volume).await?;
            ns.verified("later").await?;
            assert_eq!(reader.verify("later").await?, (Some(0), BTreeMap::new()));
            Ok(())
        }
    })
    .await;
    right_folder(&system, &volume).await?;
    volume.close().await?;
    maps(&cluster)
        .delete_collection(&DeleteParams::default(), &evidence())
        .await?;
    outcome
}

/// The incarnation that `ledger status` tells.
async fn incarnation(reader: &Reader) -> Result<u64> {
    let (code, status) = reader.json(&["ledger", "status", "-o", "json"]).await?;
    ensure!(code == Some(0), "{status:#}");
    status["incarnation"]
        .as_u64()
        .with_context(|| format!("{status:#}"))
}

#[tokio::test]
async fn a_backup_of_the_working_node_is_restored_and_the_journal_says_so_before_anything_else() -> Result<()>
{
    scenario("backup", |ns| async move {
        let reader = Reader::pin(&ns).await?;
        runs(&ns, "before").await?;
        ns.recorded("before").await?;
        let before = incarnation(&reader).await?;
        let file = backup(&reader).await?;
        let file = file.to_str().context("path")?;
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(file)?.permissions());
        assert_eq!(mode & 0o777, 0o600);
        let asked = dcanary(&["ledger", "restore", file]).await?;
        assert_eq!(asked.status.code(), Some(2), "{}", said(&asked));
        let restored = dcanary(&["ledger", "restore", file, "--yes"]).await?;
        ensure!(restored.status.success(), "{}", said(&restored));
        // nothing was recorded in between, so nobody has seen more than what is there
        runs(&ns, "after").await?;
        ns.recorded("after").await?;
        assert_eq!(incarnation(&reader).await?, before + 1);
        for run in ["before", "after"] {
            assert_eq!(reader.verify(run).await?, (Some(0), BTreeMap::new()), "{run}");
        }
        Ok(())
    })
    .await
}

/// Takes a backup of the node that works.
async fn backup(reader: &Reader) -> Result<PathBuf> {
    let file = reader.folder.path().join("backup.tar");
    let backed = dcanary(&["ledger", "backup", "-o", file.to_str().context("path")?]).await?;
    ensure!(backed.status.success(), "{}", said(&backed));
    Ok(file)
}

/// As `docs/ledger.md` says under "Going on from an older state".
#[tokio::test]
async fn after_an_older_backup_operator_and_readers_go_on_when_what_they_remember_is_put_away() -> Result<()>
{
    let (system, cluster) = (super::system().await?, Cluster::connect().await?);
    let outcome = scenario("older-backup", |ns| async move {
        let reader = Reader::pin(&ns).await?;
        runs(&ns, "kept").await?;
        ns.recorded("kept").await?;
        let before = incarnation(&reader).await?;
        let file = backup(&reader).await?;
        runs(&ns, "lost").await?;
        ns.recorded("lost").await?;
        assert_eq!(reader.verify("lost").await?, (Some(0), BTreeMap::new()));
        let file = file.to_str().context("path")?;
        let restored = dcanary(&["ledger", "restore", file, "--yes"]).await?;
        ensure!(restored.status.success(), "{}", said(&restored));
        runs(&ns, "later").await?;
        ns.run_until("later", LIMIT, |view| view.state("Recorded").1 == "LedgerForked")
            .await?;
        let (code, told) = reader.call(&["verify", "run", "kept"]).await?;
        assert_eq!(code, Some(1), "{told}");
        let memory = reader.folder.path().join("dcanary/checkpoints");
        ensure!(
            told.contains(&format!("remove {}", memory.display())),
            "how to go on is not told: {told}"
        );

        system.operators(0).await?;
        system.gone("operator").await?;
        maps(&ns.cluster)
            .delete("dcanary-checkpoint", &DeleteParams::default())
            .await?;
        system.operators(1).await?;
        ns.recorded("later").await?;
        std::fs::remove_dir_all(&memory)?;
        forget()?;
        for run in ["kept", "later"] {
            assert_eq!(reader.verify(run).await?, (Some(0), BTreeMap::new()), "{run}");
        }
        assert_eq!(incarnation(&reader).await?, before + 1);
        let (code, failed) = reader.verify("lost").await?;
        assert_eq!(code, Some(1), "its records are gone: {failed:?}");
        Ok(())
    })
    .await;
    maps(&cluster)
        .delete_collection(&DeleteParams::default(), &evidence())
        .await?;
    outcome
}

/// Puts the newest folder back where it is not in its place.
async fn right_folder(system: &System, volume: &Volume) -> Result<()> {
    if volume.sh("ls /data").await?.contains("newer") {
        // it may be stopped already when something failed half-way
        system.start(LEDGER).await?;
        system.stop(LEDGER).await?;
        volume
            .sh("rm -rf /data/node /data/older; mv /data/newer /data/node")
            .await?;
    }
    volume.sh("rm -rf /data/older").await?;
    system.start(LEDGER).await
}

#[tokio::test]
async fn a_swapped_config_map_fails_the_check_of_the_ids_by_name_also_when_it_names_our_own_wasm()
-> Result<()> {
    let cluster = Cluster::connect().await?;
    let right = maps(&cluster).get(CONFIG).await?.data.unwrap_or_default();
    let outcome = scenario("swapped-config", |ns| {
        let (cluster, right) = (cluster.clone(), right.clone());
        async move {
            runs(&ns, "r").await?;
            ns.recorded("r").await?;
            let reader = Reader::pin(&ns).await?;
            assert_eq!(reader.verify("r").await?, (Some(0), BTreeMap::new()));
            // the same wasm, certified by the same root key, under another id
            let folder = std::env::var_os("DCANARY_CANISTERS").context("DCANARY_CANISTERS is not set")?;
            let wasm = tokio::fs::read(Path::new(&folder).join("orchestrator.wasm")).await?;
            Stolen::take(&cluster).await?.install_second(wasm).await?;
            for (key, value, says) in [
                ("orchestrator", SECOND_CANISTER, "another ledger"),
                ("rootKey", MAINNET, "another root key"),
            ] {
                let mut swapped = right.clone();
                swapped.insert(key.to_owned(), value.to_owned());
                write(&cluster, &swapped).await?;
                let (code, failed) = reader.verify("r").await?;
                assert_eq!(code, Some(1), "{key}: {failed:?}");
                let why = failed
                    .get("trust")
                    .with_context(|| format!("{key}: {failed:?}"))?;
                ensure!(why.contains(says), "{key}: {why}");
            }
            write(&cluster, &right).await?;
            assert_eq!(reader.verify("r").await?, (Some(0), BTreeMap::new()));
            Ok(())
        }
    })
    .await;
    write(&cluster, &right).await?;
    outcome
}

/// Writes the ConfigMap that tells people where the ledger is.
async fn write(cluster: &Cluster, data: &BTreeMap<String, String>) -> Result<()> {
    let patch = json!({"data": data});
    maps(cluster)
        .patch(CONFIG, &PatchParams::default(), &Patch::Merge(&patch))
        .await?;
    Ok(())
}

/// Puts another ConfigMap in the place of an immutable one.
async fn replace(cluster: &Cluster, map: &ConfigMap) -> Result<()> {
    let name = map.metadata.name.clone().context("name")?;
    maps(cluster).delete(&name, &DeleteParams::default()).await?;
    maps(cluster).create(&PostParams::default(), map).await?;
    Ok(())
}

#[tokio::test]
async fn sealed_records_that_somebody_swaps_are_not_recorded_and_the_config_map_is_named() -> Result<()> {
    let (system, cluster) = (super::system().await?, Cluster::connect().await?);
    let outcome = scenario("swapped-seal", |ns| {
        let (system, cluster) = (system.clone(), cluster.clone());
        async move {
            system.stop(LEDGER).await?;
            let mut stages = vec![stage("first", "true")];
            stages.extend((0..SKIPPED).map(|n| {
                let mut skipped = stage(&format!("skipped-{n}"), "true");
                skipped["dependsOn"] = json!(["first"]);
                skipped["when"] = json!("false");
                skipped
            }));
            ns.apply(&run("r", &json!(stages))).await?;
            ns.finished("r", LIMIT).await?;
            let name = |view: &RunView| view.status()["journal"]["sealed"][0]["configMap"].clone();
            let view = ns.run_until("r", LIMIT, |view| name(view).is_string()).await?;
            let name = name(&view).as_str().context("ConfigMap")?.to_owned();
            // an operator that begins now has the records from there alone
            system.operators(0).await?;
            let mut right = maps(&cluster).get(&name).await?;
            right.metadata.resource_version = None;
            right.metadata.uid = None;
            let mut wrong = right.clone();
            let data = wrong.data.as_mut().context("data")?;
            let mut records: Vec<Value> = serde_json::from_str(data.get("records.json").context("records")?)?;
            records.pop();
            data.insert("records.json".to_owned(), serde_json::to_string(&records)?);
            replace(&cluster, &wrong).await?;
            system.start(LEDGER).await?;
            system.operators(1).await?;
            let view = ns
                .run_until("r", LIMIT, |view| {
                    view.state("Recorded").1 == "SealedRecordsSwapped"
                })
                .await?;
            assert_eq!(view.state("Recorded").0, "False", "{:#}", view.status());
            let message = view.condition("Recorded").context("Recorded")?["message"].to_string();
            ensure!(message.contains(&name), "{message}");
            ensure!(journal::records(view.uid()).await?.is_empty(), "it was recorded");
            // the right one again, and an operator that has not seen the wrong one
            system.operators(0).await?;
            replace(&cluster, &right).await?;
            system.operators(1).await?;
            ns.verified("r").await
        }
    })
    .await;
    system.start(LEDGER).await?;
    system.operators(1).await?;
    outcome
}

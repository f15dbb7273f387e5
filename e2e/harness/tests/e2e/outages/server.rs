//! The server rolled, full, or away.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dcanary_harness::{
    Cluster, Namespace, RunView,
    absence::Absence,
    cli::{dcanary, said},
    fixtures::{LIMIT, run},
    scenario,
    system::{SERVER, System},
    volume::Volume,
};
use futures::try_join;
use k8s_openapi::api::core::v1::Namespace as CoreNamespace;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
    runtime::{conditions, wait::await_condition},
};
use serde_json::{Value, json};

use super::BUSYBOX;

const GIB: u64 = 1 << 30;
/// Largest reserve that the server takes.
const MOST: u64 = 64 * GIB;
const RESERVE: &str = "DCANARY_SERVER_RESERVE_BYTES";

/// A stage that makes a file of `size` bytes, says so, and stores it.
fn sends(name: &str, size: u64) -> Value {
    let script = format!(
        "head -c {size} /dev/zero | tr '\\0' x > big; \
        echo \"sum=$(sha256sum big | cut -d' ' -f1)\" >> \"$DCANARY_RESULTS\"; echo the upload comes next"
    );
    json!({
        "name": name, "image": BUSYBOX, "steps": [{"run": script}, {"artifact": {"name": "big", "paths": ["big"]}}],
    })
}

/// A stage that prints numbered lines, ten a second.
fn talks(name: &str, lines: u32) -> Value {
    let script = format!("n=1; while [ $n -le {lines} ]; do echo \"line $n\"; n=$((n + 1)); sleep 0.1; done");
    json!({"name": name, "image": BUSYBOX, "steps": [{"run": script}]})
}

/// One attempt each, the digest of what was sent, and every line once and in order.
async fn nothing_is_lost(ns: &Namespace, view: &RunView, size: u64, lines: u32) -> Result<()> {
    assert_eq!(view.state("Succeeded").0, "True", "{:#}", view.status());
    for stage in ["send", "talk"] {
        assert_eq!(
            view.outcomes(stage)?,
            [("Succeeded", "Succeeded")],
            "{:#}",
            view.status()
        );
    }
    let sent = view.stage("send")?;
    let sum = sent["results"][0]["value"].as_str().context("sum")?;
    assert_eq!(sent["artifacts"][0]["digest"], format!("sha256:{sum}"));
    assert_eq!(sent["artifacts"][0]["size"], size);
    let log = ns.logs("r").await?;
    let told: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split_once("| "))
        .map(|(_, text)| text)
        .filter(|text| text.starts_with("line "))
        .collect();
    let expected: Vec<String> = (1..=lines).map(|n| format!("line {n}")).collect();
    assert_eq!(told, expected);
    ns.verified("r").await
}

async fn pod_of(ns: &Namespace, stage: usize) -> Result<String> {
    let place = |view: &RunView| view.status()["stages"][stage]["attempts"][0]["pod"].clone();
    let view = ns.run_until("r", LIMIT, |view| place(view).is_string()).await?;
    let pod = place(&view).as_str().context("pod")?.to_owned();
    let running = await_condition(ns.api(), &pod, conditions::is_pod_running());
    tokio::time::timeout(LIMIT, running).await??;
    Ok(pod)
}

#[tokio::test]
async fn a_server_that_is_rolled_mid_stream_and_mid_upload_costs_neither_an_attempt_nor_a_line_nor_a_byte()
-> Result<()> {
    const SIZE: u64 = 300_000_000;
    const LINES: u32 = 120;
    let system = super::system().await?;
    scenario("server-rolled", |ns| async move {
        ns.apply(&run("r", &json!([sends("send", SIZE), talks("talk", LINES)])))
            .await?;
        ns.says(&pod_of(&ns, 1).await?, "line 2").await?;
        ns.says(&pod_of(&ns, 0).await?, "the upload comes next").await?;
        system.restart(SERVER).await?;
        let view = ns.finished("r", LIMIT).await?;
        nothing_is_lost(&ns, &view, SIZE, LINES).await
    })
    .await
}

#[tokio::test]
async fn a_full_store_is_told_holds_the_run_back_and_loses_nothing_once_there_is_room_again() -> Result<()> {
    let (system, cluster) = (super::system().await?, Cluster::connect().await?);
    let volume = Volume::open(&cluster, SERVER).await?;
    let outcome = full(&system, &volume).await;
    volume.sh("rm -f /data/filler").await?;
    system.server_variable(RESERVE, None).await?;
    volume.close().await?;
    outcome
}

async fn full(system: &System, volume: &Volume) -> Result<()> {
    const SIZE: u64 = 5_000_000;
    const LINES: u32 = 30;
    // the reserve is what is left when a file of two GiB or more lies there, wherever the volume's disk stands
    let free = volume.free().await?;
    ensure!(free > 8 * GIB, "only {free} bytes are free");
    let reserve = (free - GIB).min(MOST);
    system
        .server_variable(RESERVE, Some(&reserve.to_string()))
        .await?;
    scenario("store-full", |ns| async move {
        let filler = (volume.free().await? + GIB).saturating_sub(reserve);
        volume.sh(&format!("fallocate -l {filler} /data/filler")).await?;
        ns.apply(&run("r", &json!([sends("send", SIZE), talks("talk", LINES)])))
            .await?;
        for stage in [0, 1] {
            ns.says(&pod_of(&ns, stage).await?, "waiting for the server: store-full")
                .await?;
        }
        ns.run_until("r", LIMIT, |view| {
            view.status().to_string().contains("ServerStoreFull")
        })
        .await?;
        let shown = dcanary(&["-n", &ns.name, "get", "run", "r"]).await?;
        ensure!(said(&shown).contains("ServerStoreFull"), "{}", said(&shown));
        volume.sh("rm /data/filler").await?;
        let view = ns.finished("r", LIMIT).await?;
        ensure!(
            !view.status()["conditions"]
                .to_string()
                .contains("ServerStoreFull"),
            "{:#}",
            view.status()
        );
        nothing_is_lost(&ns, &view, SIZE, LINES).await
    })
    .await
}

fn sleeps() -> String {
    run(
        "r",
        &json!([{"name": "s", "image": BUSYBOX, "steps": [{"run": "sleep 300"}]}]),
    )
}

/// A cancelled run loses its Pod while the server is away.
async fn a_run_is_cancelled(ns: Namespace, absence: &Absence) -> Result<()> {
    ns.apply(&sleeps()).await?;
    let pod = ns.running_pod("r").await?;
    absence.begins().await?;
    let cancel = json!({"spec": {"cancel": true}});
    ns.runs()
        .patch("r", &PatchParams::default(), &Patch::Merge(&cancel))
        .await?;
    // the grace of a Pod is 30 s, which its runner uses to reach the server
    ns.pod_gone(&pod, Duration::from_secs(60)).await?;
    let view = ns.finished("r", Duration::from_secs(30)).await?;
    assert_eq!(
        view.state("Succeeded"),
        ("False", "Cancelled"),
        "{:#}",
        view.status()
    );
    absence.ends().await
}

/// A namespace with a run goes while the server is away.
async fn a_namespace_goes(ns: Namespace, absence: &Absence) -> Result<()> {
    ns.apply(&sleeps()).await?;
    ns.running_pod("r").await?;
    absence.begins().await?;
    let all: Api<CoreNamespace> = Api::all(ns.cluster.client.clone());
    let uid = all.get(&ns.name).await?.uid().context("uid")?;
    all.delete(&ns.name, &DeleteParams::background()).await?;
    let gone = await_condition(all, &ns.name, conditions::is_deleted(&uid));
    tokio::time::timeout(Duration::from_secs(60), gone)
        .await
        .context("the namespace is not gone after 60 s")??;
    absence.ends().await
}

#[tokio::test]
async fn with_the_server_away_a_cancelled_run_loses_its_pod_and_a_namespace_still_goes() -> Result<()> {
    let system = super::system().await?;
    let absence = &Absence::of(&system, SERVER, 2);
    let told = try_join!(
        scenario("server-away", |ns| a_run_is_cancelled(ns, absence)),
        scenario("server-away-gone", |ns| a_namespace_goes(ns, absence)),
    );
    system.start(SERVER).await?;
    told.map(|_| ())
}

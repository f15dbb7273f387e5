//! The law: whatever was acknowledged is there after a power loss at any effect, and nothing half-written is served.

use std::sync::Arc;
use std::time::Duration;

use dcanary_protocol::report::{FinalReport, UploadComplete};
use dcanary_server::attempts::Attempt;
use dcanary_server::attempts::registry::Found;
use dcanary_server::auth::PodIdentity;
use dcanary_server::core::Core;
use dcanary_server::digest::Digest;
use dcanary_server::logs::tail::Tail;
use dcanary_server::metrics::Metrics;
use dcanary_server::names::ItemName;
use dcanary_server::session::SessionError;
use dcanary_server::store::Store;
use dcanary_server::store::blobs::UploadKey;
use dcanary_server::store::commit::CommitSettings;
use dcanary_server::store::disk::Disk;
use dcanary_server::uploads::UploadError;
use dcanary_server::{finish, frames, session, uploads};
use serde_json::json;

use crate::disk_double::DiskDouble;
use crate::support::{Options, TestCluster, completion, line, report};

const CONTENT: &[u8] = b"content of an artifact, in two pieces";
const KEY: &str = "11";

fn open(disk: Arc<DiskDouble>, log_bytes: u64) -> Option<Arc<Core>> {
    let cluster = TestCluster::default();
    for uid in ["a", "b", "c"] {
        cluster.add_pod("builds", &format!("pod-{uid}"), uid, "run-1", "build", 1);
    }
    let options = Options::default();
    let metrics = Metrics::default();
    let commits = CommitSettings {
        log_bytes,
        checkpoint: Duration::from_millis(3),
        retry: Duration::from_millis(1),
    };
    let store = Store::open(disk, commits, options.reserve, metrics.store.clone()).ok()?;
    let store = Arc::new(store);
    let core = Core::new(
        Arc::clone(&store),
        Arc::new(cluster),
        options.registries,
        options.limits,
        options.settings,
        metrics,
    );
    if core.is_err() {
        store.commits.close();
    }
    core.ok().map(Arc::new)
}

fn key() -> String {
    Digest::of(&hex::decode(KEY.repeat(32)).unwrap()).hex()
}

fn pod(uid: &str) -> PodIdentity {
    PodIdentity {
        namespace: "builds".into(),
        name: format!("pod-{uid}"),
        uid: uid.into(),
    }
}

/// What the server has acknowledged.
#[derive(Debug, Default)]
struct Promised {
    opened: bool,
    second: bool,
    revoked: bool,
    frames: u64,
    uploaded: u64,
    complete: bool,
    cursor: Option<u64>,
    acked: Option<u64>,
}

async fn found(core: &Core, uid: &str) -> Option<Arc<Attempt>> {
    match core.attempts.find(&uid.parse().unwrap()).await {
        Ok(Found::Attempt(attempt)) => Some(attempt),
        _ => None,
    }
}

fn upload_key() -> UploadKey {
    UploadKey {
        attempt: "a".into(),
        name: "dist".into(),
    }
}

fn artifact() -> ItemName {
    "dist".parse().unwrap()
}

/// Goes on with the work of two attempts from wherever it is, until the disk stops. The last step is `Some(())`.
async fn work(core: &Core, promised: &mut Promised) -> Option<()> {
    session::trade(core, &pod("a"), &key()).await.ok()?;
    promised.opened = true;
    let attempt = found(core, "a").await?;
    if promised.cursor.is_none() {
        for first in [1, 4, 6] {
            let mut new: Vec<_> = (first..first + 3).map(line).collect();
            if first == 4 {
                new[1] = json!({"kind": "result", "name": "large", "value": "v".repeat(6_000)});
            }
            let request = serde_json::from_value(json!({"first": first, "frames": new})).unwrap();
            promised.frames = frames::take(core, &attempt, request).await.ok()?;
        }
    }
    if let Err(SessionError::SecondTrade) = session::trade(core, &pod("a"), &"22".repeat(32)).await {
        promised.second = true;
    } else {
        return None;
    }
    if promised.cursor.is_none() {
        // As runners do: an upload whose bytes were damaged is dropped, and sent again.
        while !upload(core, &attempt, promised).await? {
            promised.uploaded = 0;
        }
        promised.complete = true;
    }
    let mut last = report(8);
    let digest = Digest::of(CONTENT).to_string();
    last["artifacts"] = json!([{"name": "dist", "digest": digest, "size": CONTENT.len(), "kind": "file"}]);
    let last: FinalReport = serde_json::from_value(last).unwrap();
    let cursor = finish::take(core, &attempt, last).await.ok()?;
    assert!(
        promised.cursor.is_none_or(|known| known == cursor),
        "one cursor for one attempt"
    );
    promised.cursor = Some(cursor);
    core.reports.acknowledge(cursor).await.ok()?;
    promised.acked = Some(cursor);
    session::revoke(core, &"b".parse().unwrap()).await.ok()?;
    promised.revoked = true;
    session::trade(core, &pod("c"), &key()).await.ok()?;
    let other = found(core, "c").await?;
    finish::take(core, &other, serde_json::from_value(report(0)).unwrap())
        .await
        .ok()?;
    Some(())
}

/// Sends what is missing and completes; false when what was stored is not what was sent.
async fn upload(core: &Core, attempt: &Attempt, promised: &mut Promised) -> Option<bool> {
    for end in [20, CONTENT.len()] {
        let at = usize::try_from(uploads::offset(core, attempt, &artifact()).await.ok()?).unwrap();
        if at < end {
            let piece = bytes::Bytes::copy_from_slice(&CONTENT[at..end]);
            let mut pieces = futures::stream::iter([Ok::<_, std::io::Error>(piece)]);
            let sent = uploads::append(core, attempt, &artifact(), at as u64, &mut pieces).await;
            promised.uploaded = sent.ok()?;
        }
    }
    let request: UploadComplete = serde_json::from_value(completion(CONTENT)).unwrap();
    match uploads::complete(core, attempt, &artifact(), request).await {
        Ok(_) => Some(true),
        Err(UploadError::DigestMismatch { .. }) => Some(false),
        Err(_) => None,
    }
}

/// Adds bytes to what has its digest and was not moved to it, over the protocol or, as a server before this one let Pods do it, in its
/// file, and ends it as before.
async fn tamper(core: &Core, disk: &DiskDouble, seed: u64) {
    let Some(attempt) = found(core, "a").await else {
        return;
    };
    let placed = attempt
        .state
        .lock()
        .await
        .record
        .artifacts
        .get(&artifact())
        .cloned();
    if placed.is_none_or(|placed| placed.complete) {
        return;
    }
    let more = b", and what nobody has sent";
    let at = core.store.blobs.upload_len(&upload_key()).await.unwrap();
    if seed % 4 < 2 {
        let mut pieces = futures::stream::iter([Ok::<_, std::io::Error>(bytes::Bytes::from_static(more))]);
        drop(uploads::append(core, &attempt, &artifact(), at, &mut pieces).await);
    } else if at > 0 {
        disk.write_at("uploads/a/dist", at, more).unwrap();
    }
    let request: UploadComplete = serde_json::from_value(completion(CONTENT)).unwrap();
    drop(uploads::complete(core, &attempt, &artifact(), request).await);
}

async fn check(core: &Core, disk: &DiskDouble, promised: &Promised) {
    for path in disk.paths() {
        if let Some(name) = path.strip_prefix("blobs/") {
            let hex = name.split('/').next_back().unwrap();
            assert_eq!(
                Digest::of(&disk.read(&path).unwrap()).hex(),
                hex,
                "served content is whole"
            );
        }
    }
    let attempt = found(core, "a").await;
    if promised.opened {
        let attempt = attempt.expect("an opened session is there");
        let state = attempt.state.lock().await.clone();
        assert!(
            state.acked() >= promised.frames,
            "{} < {}",
            state.acked(),
            promised.frames
        );
        let text = Tail::new(&state.record)
            .read(disk, state.acked(), 1 << 20)
            .unwrap();
        let text = String::from_utf8(text).unwrap();
        for n in (1..=promised.frames).filter(|n| *n != 5) {
            assert_eq!(
                text.matches(&format!("\"line {n}\"")).count(),
                1,
                "line {n} once in {text}"
            );
        }
        if promised.frames >= 6 {
            let large = Digest::of("v".repeat(6_000).as_bytes());
            assert_eq!(state.record.results[&"large".parse().unwrap()].digest, large);
            assert_eq!(core.store.blobs.size(&large).await.unwrap(), Some(6_000));
        }
        assert!(state.record.second_trade || !promised.second);
        if promised.complete {
            let stored = &state.record.artifacts[&artifact()];
            assert!(stored.complete);
            assert_eq!(
                core.store.blobs.size(&stored.digest).await.unwrap(),
                Some(CONTENT.len() as u64)
            );
            assert!(
                core.granted(&state.record.namespace, &stored.digest)
                    .await
                    .unwrap()
                    .is_some()
            );
        } else if state.record.artifacts.is_empty() {
            assert!(uploads::offset(core, &attempt, &artifact()).await.unwrap() >= promised.uploaded);
        }
        let stored = state.record.end.map(|end| end.cursor);
        assert!(promised.cursor.is_none() || stored == promised.cursor);
    }
    let page = core.reports.page(0, Duration::ZERO).await.unwrap();
    let listed: Vec<u64> = page.reports.iter().map(|entry| entry.cursor).collect();
    // Without an answer it may be acknowledged all the same.
    if let Some(acked) = promised.acked {
        assert!(
            listed.iter().all(|cursor| *cursor > acked),
            "acknowledged is forgotten"
        );
    }
    if promised.revoked {
        assert!(matches!(
            core.attempts.find(&"b".parse().unwrap()).await,
            Ok(Found::Revoked)
        ));
    }
}

fn close(core: Arc<Core>) {
    core.store.commits.close();
    drop(core);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Stops at one effect, loses power, checks, goes on to the end, checks again. False when the work ended before.
fn one_crash(runtime: &tokio::runtime::Runtime, effects: u64, seed: u64, log_bytes: u64) -> bool {
    let disk = Arc::new(DiskDouble::new());
    disk.stop_after(effects);
    let mut promised = Promised::default();
    let mut ended = false;
    if let Some(core) = open(Arc::clone(&disk), log_bytes) {
        ended = runtime.block_on(work(&core, &mut promised)).is_some();
        close(core);
    }
    let mut disk = Arc::new(disk.after_power_loss(seed));
    // The recovery is interrupted as well, sometimes.
    if seed % 2 == 1 {
        disk.stop_after(seed % 23);
        if let Some(core) = open(Arc::clone(&disk), log_bytes) {
            close(core);
        }
        disk = Arc::new(disk.after_power_loss(seed + 1));
    }
    let core = open(Arc::clone(&disk), log_bytes).expect("recovers");
    runtime.block_on(check(&core, &disk, &promised));
    runtime.block_on(tamper(&core, &disk, seed));
    runtime
        .block_on(work(&core, &mut promised))
        .unwrap_or_else(|| panic!("goes on: {promised:?}"));
    runtime.block_on(check(&core, &disk, &promised));
    close(core);
    ended
}

#[test]
fn whatever_was_acknowledged_is_there_after_a_power_loss_at_any_effect() {
    let runtime = runtime();
    let (mut crashes, mut effects) = (0, 0);
    loop {
        let mut ended = true;
        for seed in 0..8 {
            // Small logs are checkpointed all the time, large ones never.
            let log_bytes = if seed % 3 == 0 {
                1
            } else {
                4_000 << ((seed % 3) * 4)
            };
            ended &= one_crash(&runtime, effects, effects * 1_000 + seed, log_bytes);
            crashes += 1;
        }
        if ended {
            break;
        }
        effects += 1;
    }
    println!("{crashes} crashes at {effects} effects");
    assert!(effects > 100, "{effects}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_loses_nothing_and_recovers() {
    let disk = Arc::new(DiskDouble::new());
    let opened = Arc::clone(&disk);
    let core = tokio::task::spawn_blocking(move || open(opened, 2_000))
        .await
        .unwrap()
        .unwrap();
    session::trade(&core, &pod("a"), &key()).await.unwrap();
    let attempt = found(&core, "a").await.unwrap();
    let mut acked = 0;
    for round in 0..200_u64 {
        // Every length of remaining room is tried, so that every write is cut somewhere.
        disk.set_room((1 << 20) + round * 37);
        for _ in 0..40 {
            let request =
                serde_json::from_value(json!({"first": acked + 1, "frames": [line(acked + 1)]})).unwrap();
            match frames::take(&core, &attempt, request).await {
                Ok(now) => acked = now,
                Err(error) => {
                    assert_eq!(error.reason(), (503, "store-full"));
                    break;
                }
            }
        }
        disk.set_room(1 << 40);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(!core.store.commits.is_broken());
    let text = Tail::new(&attempt.state.lock().await.record)
        .read(disk.as_ref(), acked, 1 << 20)
        .unwrap();
    let lines = String::from_utf8(text).unwrap().lines().count();
    assert!(lines > 0 && acked > 100, "{acked}");
    let closing = Arc::clone(&core);
    tokio::task::spawn_blocking(move || closing.store.commits.close())
        .await
        .unwrap();
}

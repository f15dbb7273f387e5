#![allow(clippy::unwrap_used)]
use super::sums::SUMS;
use super::*;
use crate::log::disk::{Folder, write_atomically};
use crate::log::frame::{SEGMENT_HEADER, SegmentHeader};
use crate::{Config, Node, StartError};
use candid::{CandidType, Decode, Encode, Principal};
use ic_agent::Agent;
use ic_agent::identity::AnonymousIdentity;
use std::path::Path;

mod whole;

async fn start(folder: &Path) -> Node {
    // small segments, so that checkpoints come and go
    Node::start(Config::durable(folder).segment_bytes(4_096))
        .await
        .unwrap()
}

fn agent(node: &Node) -> Agent {
    // a second call finds the provider installed, which is as good
    let _ = rustls::crypto::ring::default_provider().install_default();
    let agent = Agent::builder()
        .with_url(node.url())
        .with_identity(AnonymousIdentity)
        .build()
        .unwrap();
    agent.set_root_key(node.root_key().to_vec());
    agent
}

/// So many canisters are made; their ids.
async fn make(agent: &Agent, count: usize) -> Vec<Principal> {
    #[derive(CandidType)]
    struct Nothing {}
    let mut made = Vec::new();
    for _ in 0..count {
        let reply = agent
            .update(&Principal::management_canister(), "create_canister")
            .with_effective_canister_id(Principal::from_slice(&[0, 0, 0, 2, 0, 0, 0, 0, 1, 1]))
            .with_arg(Encode!(&Nothing {}).unwrap())
            .await
            .unwrap();
        made.push(
            Decode!(&reply, ic_management_canister_types::CanisterIdRecord)
                .unwrap()
                .canister_id,
        );
    }
    made
}

/// Whether each of these canisters is certified to be there.
async fn has(agent: &Agent, canisters: &[Principal]) -> bool {
    for canister in canisters {
        if agent.read_state_canister_controllers(*canister).await.is_err() {
            return false;
        }
    }
    true
}

async fn incarnation_of(node: &Node) -> u64 {
    let bytes = reqwest::get(format!("{}/api/v2/status", node.url()))
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let status: ciborium::Value = ciborium::from_reader(bytes.as_ref()).unwrap();
    let field = status
        .as_tag()
        .map_or(&status, |(_, value)| value)
        .as_map()
        .unwrap()
        .iter();
    let mut found = field.filter(|(key, _)| key.as_text() == Some("incarnation"));
    let (_, value) = found.next().unwrap();
    u64::try_from(value.as_integer().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_before_a_backup_of_a_working_node_began_is_in_it() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let node = start(here.path()).await;
    let client = agent(&node);
    let before = make(&client, 30).await;
    // others go on while it is taken
    let busy = tokio::spawn({
        let client = client.clone();
        async move { make(&client, 60).await.len() }
    });
    let folder = here.path().to_owned();
    let backup = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        take(&folder, true, &mut bytes).unwrap();
        bytes
    })
    .await
    .unwrap();
    assert_eq!(busy.await.unwrap(), 60);
    let root_key = node.root_key().to_vec();
    node.shutdown().await.unwrap();
    let restored = restore(there.path(), 0, backup.as_slice()).unwrap();
    assert_eq!((restored.incarnation, restored.keys), (1, true));
    assert_eq!(restored.root_key, root_key);
    let node = start(there.path()).await;
    assert!(has(&agent(&node), &before).await);
    assert_eq!(incarnation_of(&node).await, 1);
    node.shutdown().await.unwrap();
}

/// A backup of a node with one canister, without keys.
async fn backup(keys: bool) -> (Vec<u8>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path()).await;
    assert_eq!(incarnation_of(&node).await, 0);
    make(&agent(&node), 1).await;
    node.shutdown().await.unwrap();
    let mut bytes = Vec::new();
    take(folder.path(), keys, &mut bytes).unwrap();
    (bytes, folder)
}

#[tokio::test]
async fn without_being_asked_a_backup_holds_no_key_and_its_data_starts_under_its_own_keys_only() {
    let (bytes, original) = backup(false).await;
    let keys: serde_json::Value =
        serde_json::from_slice(&std::fs::read(original.path().join("keys.json")).unwrap()).unwrap();
    for secret in ["root", "subnet", "node"] {
        let secret = keys[secret].as_str().unwrap();
        assert!(
            !bytes
                .windows(secret.len())
                .any(|found| found == secret.as_bytes())
        );
    }
    let there = tempfile::tempdir().unwrap();
    restore(there.path(), 0, bytes.as_slice()).unwrap();
    // new keys would be some under which nobody believes the data
    let refused = Node::start(Config::durable(there.path())).await.unwrap_err();
    assert!(matches!(refused, crate::StartError::NoKeys(_)), "{refused}");
    assert!(!there.path().join("keys.json").exists());
    let config = Config::durable(there.path()).keys(original.path().join("keys.json"));
    Node::start(config).await.unwrap().shutdown().await.unwrap();
}

#[tokio::test]
async fn keys_that_are_not_of_the_data_come_into_no_backup() {
    let ((_, ours), (_, others)) = (backup(false).await, backup(false).await);
    let keys = ours.path().join("keys.json");
    std::fs::copy(others.path().join("keys.json"), &keys).unwrap();
    let mut bytes = Vec::new();
    let refused = take(ours.path(), true, &mut bytes).unwrap_err();
    assert!(matches!(refused, BackupError::OtherKeys(_)), "{refused}");
    std::fs::write(&keys, "{}").unwrap();
    let refused = take(ours.path(), true, &mut bytes).unwrap_err();
    assert!(matches!(refused, BackupError::BadKeys { .. }), "{refused}");
    assert!(bytes.is_empty(), "nothing was written");
    // they are not asked about where they are not wanted
    take(ours.path(), false, &mut bytes).unwrap();
}

#[tokio::test]
async fn each_restoring_counts_up_and_a_higher_count_can_be_asked_for() {
    let (mut bytes, _original) = backup(true).await;
    for expected in [1, 2] {
        let there = tempfile::tempdir().unwrap();
        assert_eq!(
            restore(there.path(), 0, bytes.as_slice()).unwrap().incarnation,
            expected
        );
        bytes.clear();
        take(there.path(), true, &mut bytes).unwrap();
    }
    let there = tempfile::tempdir().unwrap();
    assert_eq!(restore(there.path(), 9, bytes.as_slice()).unwrap().incarnation, 9);
}

#[tokio::test]
async fn a_folder_that_is_not_empty_is_left_as_it_is() {
    let (bytes, original) = backup(true).await;
    let before = std::fs::read(original.path().join("root_key.der")).unwrap();
    let refused = restore(original.path(), 0, bytes.as_slice()).unwrap_err();
    assert!(matches!(refused, RestoreError::NotEmpty { .. }), "{refused}");
    assert_eq!(
        std::fs::read(original.path().join("root_key.der")).unwrap(),
        before
    );
    let running = start(original.path()).await;
    let refused = restore(original.path(), 0, bytes.as_slice()).unwrap_err();
    assert!(matches!(refused, RestoreError::InUse(_)), "{refused}");
    running.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_folder_that_is_replaced_is_kept_beside_and_its_incarnation_counts_too() {
    let (bytes, _original) = backup(true).await;
    let outside = tempfile::tempdir().unwrap();
    let data = outside.path().join("node");
    for round in 1..=3_u64 {
        let (restored, before) = replace(&data, 0, bytes.as_slice()).unwrap();
        // the backup always says 0; what it replaces has counted on
        assert_eq!(restored.incarnation, round);
        assert_eq!(before, outside.path().join(format!("node.before-{round}")));
        assert!(before.is_dir());
    }
    let node = start(&data).await;
    let refused = replace(&data, 0, bytes.as_slice()).unwrap_err();
    assert!(matches!(refused, RestoreError::InUse(_)), "{refused}");
    node.shutdown().await.unwrap();
    let there = names(outside.path());
    let refused = replace(&data, 0, &bytes[..bytes.len() / 2]).unwrap_err();
    assert!(
        matches!(refused, RestoreError::Missing(_) | RestoreError::EndsEarly),
        "{refused}"
    );
    assert_eq!(names(outside.path()), there, "as it was");
    start(&data).await.shutdown().await.unwrap();
}

/// Whoever starts a node while a backup takes the place of the data finds one or the other: in an empty place it would begin a new network.
#[tokio::test]
async fn while_a_backup_takes_the_place_of_data_the_place_is_never_empty() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let (bytes, _original) = backup(true).await;
    let outside = tempfile::tempdir().unwrap();
    let data = outside.path().join("node");
    replace(&data, 0, bytes.as_slice()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looks = scope.spawn(|| {
            let mut looks = 0_u64;
            while !done.load(Ordering::Relaxed) {
                assert!(data.join("root_key.der").exists(), "after {looks} looks");
                looks += 1;
            }
            looks
        });
        for _ in 0..40 {
            replace(&data, 0, bytes.as_slice()).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        assert!(looks.join().unwrap() > 1_000);
    });
}

#[tokio::test]
async fn a_backup_of_another_network_takes_the_place_of_nothing() {
    let (bytes, _original) = backup(true).await;
    let outside = tempfile::tempdir().unwrap();
    let data = outside.path().join("node");
    start(&data).await.shutdown().await.unwrap();
    let (there, within) = (names(outside.path()), names(&data));
    let refused = replace(&data, 0, bytes.as_slice()).unwrap_err();
    assert!(matches!(refused, RestoreError::OtherNetwork { .. }), "{refused}");
    assert!(refused.to_string().contains("of another network"), "{refused}");
    assert_eq!((names(outside.path()), names(&data)), (there, within));
    start(&data).await.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_start_from_a_backup_with_a_log_of_another_version_names_that_version() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path()).await;
    make(&agent(&node), 1).await;
    let mut bytes = Vec::new();
    take(folder.path(), true, &mut bytes).unwrap();
    node.shutdown().await.unwrap();
    let there = tempfile::tempdir().unwrap();
    restore(there.path(), 0, bytes.as_slice()).unwrap();
    let written_by = std::fs::read_to_string(folder.path().join("version")).unwrap();
    assert!(written_by.contains(std::env::consts::ARCH), "{written_by}");
    assert_eq!(
        std::fs::read_to_string(there.path().join("version")).unwrap(),
        written_by
    );
    // as if another version had written it
    std::fs::write(there.path().join("version"), "dcanary-node 9.9.9 (its semantics)").unwrap();
    let log = names(there.path())
        .into_iter()
        .find(|name| name.starts_with("log-"))
        .unwrap();
    let disk = Folder::open(there.path()).unwrap().unwrap();
    let mut bytes = read_all(&disk, &log).unwrap().unwrap();
    let other = SegmentHeader {
        fingerprint: [9; 32],
        ..SegmentHeader::decode(&bytes).unwrap()
    };
    bytes[..SEGMENT_HEADER].copy_from_slice(&other.encode());
    write_atomically(&disk, &log, &bytes).unwrap();
    drop(disk);
    let refused = Node::start(Config::durable(there.path())).await.unwrap_err();
    let said = format!("{:#}", anyhow::Error::new(refused));
    assert!(
        said.contains("written by dcanary-node 9.9.9 (its semantics)"),
        "{said}"
    );
}

/// Names in a folder but its lock.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "lock")
        .collect();
    names.sort_unstable();
    names
}

/// What a folder holds, without its lock.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let named = |name: String| (name.clone(), std::fs::read(folder.join(name)).unwrap());
    names(folder).into_iter().map(named).collect()
}

//! The real program and a real disk: restarts, kill -9 under load, and what must not be shared.

use crate::network::*;
use crate::process::Program;
use dcanary_node::{Config, Node, StartError};
use ic_agent::identity::{AnonymousIdentity, BasicIdentity};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

#[tokio::test]
async fn a_restarted_node_has_its_state_its_keys_and_its_finished_requests() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(Config::durable(folder.path())).await.unwrap();
    let root_key = node.root_key().to_vec();
    let client = agent(&node.url(), &root_key, BasicIdentity::from_raw_key(&[7; 32]));
    let canister = deploy(&client).await;
    let signed = client.update(&canister, "inc").sign().unwrap();
    client
        .update_signed(canister, signed.signed_update.clone())
        .await
        .unwrap();
    // Nobody else can use the folder meanwhile.
    assert!(matches!(
        Node::start(Config::durable(folder.path())).await,
        Err(StartError::InUse(_))
    ));
    drop(client);
    node.shutdown().await.unwrap();
    let node = Node::start(Config::durable(folder.path())).await.unwrap();
    assert_eq!(node.root_key(), root_key);
    let client = agent(&node.url(), &root_key, BasicIdentity::from_raw_key(&[7; 32]));
    assert_eq!(counts(&query(&client, canister, "get").await.unwrap()), [1, 1, 1]);
    // Sent again after the restart: answered, not executed.
    client
        .update_signed(canister, signed.signed_update)
        .await
        .unwrap();
    assert_eq!(counts(&query(&client, canister, "get").await.unwrap()), [1, 1, 1]);
    assert_eq!(
        counts(&update(&client, canister, "inc").await.unwrap()),
        [2, 2, 2]
    );
    node.shutdown().await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn the_keys_are_readable_by_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let node = Node::start(Config::durable(&data)).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data.join("keys.json")), 0o600);
    assert_eq!(mode(&data), 0o700);
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_folder_is_served_with_the_keys_of_a_file_beside_it_and_with_no_others() {
    let folder = tempfile::tempdir().unwrap();
    // keys as a node makes them, kept outside the data folder
    let made = |name: &str| {
        let (data, file) = (
            folder.path().join(name),
            folder.path().join(format!("{name}.json")),
        );
        async move {
            let node = Node::start(Config::durable(&data)).await.unwrap();
            node.shutdown().await.unwrap();
            std::fs::copy(data.join("keys.json"), &file).unwrap();
            file
        }
    };
    let (ours, others) = (made("ours").await, made("others").await);
    let data = folder.path().join("data");
    let with = |file: &Path| Config::durable(&data).keys(file);
    let missing = folder.path().join("missing.json");
    assert!(matches!(
        Node::start(with(&missing)).await,
        Err(StartError::KeyFile { path, .. }) if path == missing
    ));

    let node = Node::start(with(&ours)).await.unwrap();
    let root_key = node.root_key().to_vec();
    let client = agent(&node.url(), &root_key, BasicIdentity::from_raw_key(&[7; 32]));
    let canister = deploy(&client).await;
    drop(client);
    node.shutdown().await.unwrap();
    assert!(
        !data.join("keys.json").exists(),
        "the keys are in the data folder"
    );

    for other in [with(&others), Config::durable(&data)] {
        assert!(matches!(
            Node::start(other).await,
            Err(StartError::OtherKeys(of)) if of == data
        ));
        let _ = std::fs::remove_file(data.join("keys.json"));
    }
    let node = Node::start(with(&ours)).await.unwrap();
    assert_eq!(node.root_key(), root_key);
    let client = agent(&node.url(), &root_key, BasicIdentity::from_raw_key(&[7; 32]));
    assert_eq!(counts(&query(&client, canister, "get").await.unwrap()), [0, 0, 0]);
    node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::start(folder.path());
    let root_key = program.root_key.clone();
    let canister = deploy(&agent(&program.url, &root_key, AnonymousIdentity)).await;
    // The client's own log: how many increments were acknowledged, the largest value any reply or query showed.
    let (acknowledged, sent, seen) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicU64::new(0)),
    );
    for life in 0..5u64 {
        let stop = Arc::new(AtomicBool::new(false));
        let load: Vec<_> = (0..6u8)
            .map(|client| {
                let agent = agent(
                    &program.url,
                    &root_key,
                    BasicIdentity::from_raw_key(&[client + 1; 32]),
                );
                let (acknowledged, sent, seen, stop) =
                    (acknowledged.clone(), sent.clone(), seen.clone(), stop.clone());
                tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        sent.fetch_add(1, Ordering::Relaxed);
                        let Ok(signed) = agent.update(&canister, "inc").sign() else {
                            return;
                        };
                        let reply = tokio::time::timeout(
                            Duration::from_secs(2),
                            agent.update_signed(canister, signed.signed_update),
                        );
                        let Ok(Ok(ic_agent::agent::CallResponse::Response(reply))) = reply.await else {
                            return;
                        };
                        acknowledged.fetch_add(1, Ordering::Relaxed);
                        seen.fetch_max(counts(&reply)[0], Ordering::Relaxed);
                        if client == 0
                            && let Ok(shown) = query(&agent, canister, "get").await
                        {
                            seen.fetch_max(counts(&shown)[0], Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(300 + life * 70)).await;
        program.kill();
        stop.store(true, Ordering::Relaxed);
        for task in load {
            task.abort();
            let _ = task.await;
        }
        program = Program::start(folder.path());
        assert_eq!(program.root_key, root_key);
        let shown = query(
            &agent(&program.url, &root_key, AnonymousIdentity),
            canister,
            "get",
        )
        .await
        .unwrap();
        let [heap, global, stable] = counts(&shown);
        assert!(heap == global && global == stable, "{shown:?}");
        let (acknowledged, sent, seen) = (
            acknowledged.load(Ordering::Relaxed),
            sent.load(Ordering::Relaxed),
            seen.load(Ordering::Relaxed),
        );
        assert!(
            heap >= acknowledged && heap >= seen && heap <= sent,
            "{heap}: {acknowledged} acknowledged, {seen} seen, {sent} sent"
        );
        println!("life {life}: {acknowledged} acknowledged of {sent} sent, counter {heap}");
    }
    assert!(acknowledged.load(Ordering::Relaxed) > 50, "there was no load");
    program.kill();
}

#[tokio::test]
async fn sigterm_stops_the_program_cleanly_and_leaves_nothing_to_replay() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path());
    let canister = deploy(&agent(&program.url, &program.root_key, AnonymousIdentity)).await;
    program.terminate();
    let names: Vec<String> = std::fs::read_dir(folder.path().join("data"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        names.iter().any(|name| name.starts_with("checkpoint-")),
        "{names:?}"
    );
    let program = Program::start(folder.path());
    assert_eq!(
        counts(
            &query(
                &agent(&program.url, &program.root_key, AnonymousIdentity),
                canister,
                "get"
            )
            .await
            .unwrap()
        ),
        [0, 0, 0]
    );
    program.kill();
}

#[tokio::test]
async fn checkpoints_while_running_do_not_disturb_it() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(Config::durable(folder.path()).segment_bytes(2_000))
        .await
        .unwrap();
    let client = agent(&node.url(), node.root_key(), AnonymousIdentity);
    let canister = deploy(&client).await;
    for expected in 1..=60 {
        assert_eq!(
            counts(&update(&client, canister, "inc").await.unwrap()),
            [expected; 3]
        );
    }
    node.shutdown().await.unwrap();
    let node = Node::start(Config::durable(folder.path())).await.unwrap();
    let client = agent(&node.url(), node.root_key(), AnonymousIdentity);
    assert_eq!(counts(&query(&client, canister, "get").await.unwrap()), [60; 3]);
    node.shutdown().await.unwrap();
}

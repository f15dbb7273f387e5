//! A clock that leaps while the node runs.

use super::Running;
use crate::log::crash::disk::FaultyDisk;
use crate::log::crash::rig;
use crate::replica::clock::{Clocks, SetClocks};
use crate::{Config, Node};
use std::sync::Arc;

const SECOND: u64 = 1_000_000_000;
const YEAR: u64 = 365 * 24 * 3_600 * SECOND;

/// A node, its clocks, and the time that they showed.
async fn running() -> (Running, SetClocks, u64) {
    let now = Clocks::System.read().wall;
    let clocks = SetClocks::at(now, SECOND);
    let config = Config::ephemeral().clocks(Clocks::Set(clocks.clone()));
    (Running::start_with(config, vec![]).await, clocks, now)
}

async fn health(running: &Running) -> Option<String> {
    running.agent.status().await.unwrap().replica_health_status
}

#[tokio::test]
async fn a_clock_that_was_ahead_for_a_moment_does_not_stop_the_ledger() {
    let (running, clocks, now) = running().await;
    let (round, certified) = (
        running.node.views().latest().state.round,
        running.node.views().latest().time,
    );
    let operations = running.disk.operations();
    clocks.set(now + YEAR);

    let (status, text) = running.increment().await;
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("the node's clock leapt by +31536000 s"), "{text}");
    // Neither is anything signed: the agent would say that the answer is from the future.
    for error in [
        running
            .agent
            .query(&rig::canister(), "get")
            .call()
            .await
            .unwrap_err(),
        running
            .agent
            .read_state_raw(vec![vec!["time".into()]], rig::canister())
            .await
            .unwrap_err(),
    ] {
        assert!(format!("{error:?}").contains("503"), "{error:?}");
    }
    assert_eq!(health(&running).await.as_deref(), Some("clock_not_believed"));
    assert_eq!(running.disk.operations(), operations, "something was logged");
    let view = running.node.views().latest();
    assert_eq!((view.state.round, view.time), (round, certified));

    clocks.set(now);
    clocks.pass(2 * SECOND);
    assert_eq!(health(&running).await.as_deref(), Some("healthy"));
    assert_eq!(running.increment().await.0, 200);
    assert_eq!(running.count().await, 2);
    running.node.shutdown().await.unwrap();
}

const HOUR: u64 = 3_600 * SECOND;

/// A node that is shown this time after an hour in which nobody wrote, and stops. Its disk.
async fn read_an_hour_later(read: bool) -> (FaultyDisk, u64) {
    let (running, clocks, now) = running().await;
    clocks.pass(HOUR);
    if read {
        // The agent finds that the answer is from the future.
        let _ = running
            .agent
            .read_state_raw(vec![vec!["time".into()]], rig::canister())
            .await;
    }
    let view = running.node.views().latest();
    assert_eq!(view.time >= now + HOUR, read);
    assert!(view.state.time < now + HOUR);
    let disk = running.disk.clone();
    running.node.shutdown().await.unwrap();
    (disk, now + HOUR)
}

/// What a node that starts on a disk under a clock says of its health.
async fn health_at(disk: &FaultyDisk, wall: u64) -> String {
    let clocks = Clocks::Set(SetClocks::at(wall, SECOND));
    let config = Config::ephemeral().clocks(clocks);
    let node = Node::start_on(Arc::new(disk.clone()), config).await.unwrap();
    let status = reqwest::get(format!("{}/api/v2/status", node.url()))
        .await
        .unwrap();
    let status = status.bytes().await.unwrap();
    node.shutdown().await.unwrap();
    String::from_utf8_lossy(&status).into_owned()
}

#[tokio::test]
async fn a_node_that_starts_certifies_nothing_before_what_readers_were_shown_although_nobody_wrote() {
    let (disk, shown) = read_an_hour_later(true).await;
    let status = health_at(&disk, shown - 20 * 60 * SECOND).await;
    assert!(status.contains("clock_not_believed"), "{status}");
    assert!(
        status.contains("behind the time that the node has certified"),
        "{status}"
    );
    let status = health_at(&disk, shown + SECOND).await;
    assert!(!status.contains("clock_not_believed"), "{status}");
}

#[tokio::test]
async fn a_time_that_nobody_was_shown_binds_nobody() {
    let (disk, later) = read_an_hour_later(false).await;
    let status = health_at(&disk, later - 20 * 60 * SECOND).await;
    assert!(!status.contains("clock_not_believed"), "{status}");
}

#[tokio::test]
async fn a_call_that_was_admitted_before_the_clock_leapt_is_not_logged_after_it() {
    let (running, clocks, now) = running().await;
    // The first call is in its sync, so the second waits in the inbox, admitted under a good clock.
    running.disk.hold_syncs();
    let post = |body| {
        let url = running.node.url();
        tokio::spawn(async move { super::post(&url, body).await })
    };
    let sign = || {
        running
            .agent
            .update(&rig::canister(), "inc")
            .sign()
            .unwrap()
            .signed_update
    };
    let first = post(sign());
    let disk = running.disk.clone();
    tokio::task::spawn_blocking(move || disk.wait_for_sync())
        .await
        .unwrap();
    let second = post(sign());
    while running.node.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    clocks.set(now + YEAR);
    running.disk.release_syncs();
    assert_eq!(first.await.unwrap().0, 200);
    let (status, text) = second.await.unwrap();
    assert_eq!(status, 503, "{text}");
    assert!(running.node.views().latest().time < now + YEAR);
    running.node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_call_that_is_repeated_is_answered_under_a_time_of_now_which_binds_the_next_start() {
    let (running, clocks, now) = running().await;
    let call = running.agent.update(&rig::canister(), "inc").sign();
    let body = call.unwrap().signed_update;
    let url = running.node.url();
    assert_eq!(super::post(&url, body.clone()).await.0, 200);
    clocks.pass(60 * SECOND);
    assert_eq!(super::post(&url, body).await.0, 200);
    assert!(running.node.views().certified() >= now + 60 * SECOND);
    // with the one that was made at the start
    assert_eq!(running.count().await, 2);
    running.node.shutdown().await.unwrap();
}

//! What clients are shown while a sync is under way, fails, or finds no room.

use super::{Running, post};
use crate::log::crash::rig;
use ic_agent::agent::RequestStatusResponse;
use tokio::task::spawn_blocking;

/// Waits until the next batch is written and its sync waits.
async fn until_written(running: &Running) {
    let disk = running.disk.clone();
    spawn_blocking(move || disk.wait_for_sync()).await.unwrap();
}

#[tokio::test]
async fn no_reply_certificate_or_query_shows_a_batch_that_is_not_synced() {
    let running = Running::start().await;
    let before = running.node.views().latest().state.round;
    running.disk.hold_syncs();
    let signed = running.agent.update(&rig::canister(), "inc").sign().unwrap();
    let url = running.node.url();
    let reply = tokio::spawn(async move { post(&url, signed.signed_update).await });
    until_written(&running).await;

    assert_eq!(running.count().await, 1);
    let status = running
        .agent
        .request_status_raw(&signed.request_id, rig::canister())
        .await
        .unwrap();
    assert!(matches!(status.0, RequestStatusResponse::Unknown), "{status:?}");
    assert!(!reply.is_finished());

    // Had anything of the batch gone past its sync, it would be there when the threads have ended.
    running.disk.fail_next_sync();
    running.disk.release_syncs();
    let (status, text) = reply.await.unwrap();
    assert_eq!(status, 500, "{text}");
    running.node.failed().await;
    let views = running.node.views();
    running.node.shutdown().await.unwrap_err();
    let state = &views.latest().state;
    assert_eq!(state.round, before);
    assert!(state.requests.get(&*signed.request_id).is_none());
}

#[tokio::test]
async fn a_held_sync_delays_the_reply_and_the_reply_is_the_synced_one() {
    let running = Running::start().await;
    running.disk.hold_syncs();
    let body = running
        .agent
        .update(&rig::canister(), "inc")
        .sign()
        .unwrap()
        .signed_update;
    let url = running.node.url();
    let reply = tokio::spawn(async move { post(&url, body).await });
    until_written(&running).await;
    running.disk.release_syncs();
    assert_eq!(reply.await.unwrap().0, 200);
    assert_eq!(running.count().await, 2);
    assert_eq!(rig::recovered_count(&running.disk.synced()), Some(2));
    running.node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_failed_sync_ends_the_node_and_nothing_is_written_or_synced_again() {
    let running = Running::start().await;
    running.disk.fail_next_sync();
    let (status, text) = running.increment().await;
    assert_eq!(status, 500, "{text}");
    let reason = running.node.failed().await.to_string();
    assert!(reason.contains("the log cannot be written"), "{reason}");
    let operations = running.disk.operations();
    let disk = running.disk.clone();
    // A clean end would write a checkpoint.
    let error = running.node.shutdown().await.unwrap_err();
    assert!(error.to_string().contains("the device failed"), "{error}");
    assert_eq!(disk.operations(), operations);
}

#[tokio::test]
async fn a_full_disk_is_named_and_the_node_stays_up_for_reads_and_takes_the_next_call() {
    let running = Running::start().await;
    running.disk.fill(1);
    let (status, text) = running.increment().await;
    assert_eq!(
        (status, text.as_str()),
        (507, "the node's storage is full; nothing was executed")
    );
    assert_eq!(running.count().await, 1);
    assert_eq!(
        running
            .agent
            .status()
            .await
            .unwrap()
            .replica_health_status
            .as_deref(),
        Some("healthy")
    );
    assert_eq!(running.increment().await.0, 200);
    assert_eq!(running.count().await, 2);
    running.node.shutdown().await.unwrap();
    assert_eq!(rig::recovered_count(&running.disk), Some(2));
}

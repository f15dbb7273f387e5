//! What clients are shown while a sync is under way, fails, or finds no room.

use super::{Running, post, started_with};
use crate::cert::bls::BlsKey;
use crate::cert::keys::Keys;
use crate::cert::signer::{SignError, Signature, Signer};
use crate::cert::view::View;
use crate::log::crash::rig::{self, Rig};
use crate::replica::{Refused, Replica};
use ed25519_dalek::SigningKey;
use ic_agent::agent::RequestStatusResponse;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;
use tokio::sync::oneshot::Receiver;
use tokio::task::spawn_blocking;

/// A signer that tells when it was asked, and may be away.
#[derive(Debug)]
struct Telling {
    key: BlsKey,
    asked: Sender<()>,
    away: Arc<AtomicBool>,
}

impl Signer for Telling {
    fn der(&self) -> &[u8] {
        self.key.der()
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        let signature = self.key.sign(message);
        self.asked.send(()).unwrap();
        if self.away.load(Ordering::Relaxed) {
            return Err(SignError("it is away".to_owned()));
        }
        signature
    }
}

/// A replica whose first batch is done, and whose next one is written and waits for its sync, while its signer has been asked already.
struct Held {
    rig: Rig,
    replica: Replica,
    /// The round that readers see.
    before: u64,
    /// Of the call in the batch that waits.
    answer: Receiver<Result<Arc<View>, Refused>>,
}

impl Held {
    fn start(signer_is_away: bool) -> Self {
        let rig = Rig::new(7);
        rig::prepare(&rig.disk, vec![]);
        let node = rig.recover().unwrap();
        let (asked, asks) = channel();
        let [root, key] = [[1; 32], [2; 32]].map(|seed| BlsKey::generate(&seed).unwrap());
        let away = Arc::new(AtomicBool::new(false));
        let subnet = Telling {
            key,
            asked,
            away: away.clone(),
        };
        let node_key = SigningKey::from_bytes(&[3; 32]);
        let keys = Keys::new(Box::new(root), Box::new(subnet), node_key);
        let replica = started_with(keys, node);
        // The first one begins a segment, which is synced before anything is written to it.
        call(&replica, 1).blocking_recv().unwrap().unwrap();
        assert!(asks.try_iter().count() > 0);
        let before = replica.views.latest().state.round;
        rig.disk.hold_syncs();
        away.store(signer_is_away, Ordering::Relaxed);
        let answer = call(&replica, 2);
        rig.disk.wait_for_sync();
        asks.recv_timeout(Duration::from_mins(1))
            .expect("nothing is executed before the sync ends");
        Self {
            rig,
            replica,
            before,
            answer,
        }
    }
}

fn call(replica: &Replica, number: u64) -> Receiver<Result<Arc<View>, Refused>> {
    let call = rig::message(number, rig::canister(), "inc", vec![]);
    replica.submit(call, None).unwrap()
}

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

#[test]
fn a_batch_is_executed_and_signed_while_it_is_synced() {
    let held = Held::start(false);
    held.rig.disk.release_syncs();
    let shown = held.answer.blocking_recv().unwrap().unwrap();
    assert!(shown.state.round > held.before);
    held.replica.stop();
}

#[test]
fn a_batch_that_is_executed_and_signed_and_whose_sync_fails_is_shown_to_nobody() {
    let held = Held::start(false);
    held.rig.disk.fail_next_sync();
    held.rig.disk.release_syncs();
    held.answer.blocking_recv().unwrap_err();
    let operations = held.rig.disk.operations();
    // A clean end would write a checkpoint.
    held.replica.stop();
    assert_eq!(held.rig.disk.operations(), operations);
    assert_eq!(held.replica.views.latest().state.round, held.before);
}

#[test]
fn nothing_is_written_behind_a_batch_that_was_synced_and_could_not_be_signed() {
    let held = Held::start(true);
    let reason = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(held.replica.failure.wait());
    assert_eq!(&*reason, "the signer of certificates cannot sign: it is away");
    let next = call(&held.replica, 3);
    let operations = held.rig.disk.operations();
    held.rig.disk.release_syncs();
    held.answer.blocking_recv().unwrap_err();
    next.blocking_recv().unwrap_err();
    held.replica.stop();
    assert_eq!(held.rig.disk.operations(), operations + 1, "more than the sync");
    assert_eq!(held.replica.views.latest().state.round, held.before);
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

//! A clock that leaps while the node runs.

use super::Running;
use crate::Config;
use crate::log::crash::rig;
use crate::replica::clock::{Clocks, SetClocks};

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

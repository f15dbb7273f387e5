//! A thread that dies takes the node with it, at once.

use super::{Running, start, start_with, started};
use crate::cert::keys::Keys;
use crate::cert::remote::remote;
use crate::cert::view::Views;
use crate::exec::machine::Machine;
use crate::log::crash::rig::{self, Rig};
use crate::replica::{Policy, Refused, Replica};
use crate::state::State;
use candid::{CandidType, Encode};
use ic_principal::Principal;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[derive(CandidType)]
struct Create {}

#[tokio::test]
async fn an_executor_that_panics_fails_the_node_without_another_order() {
    // The number of the next canister cannot be counted up any more: a defect, made on purpose.
    let state = State {
        next_number: u64::MAX,
        ..State::default()
    };
    let replica = start(Machine::new(rig::executor(), state), None);
    let create = rig::message(
        1,
        Principal::management_canister(),
        "provisional_create_canister_with_cycles",
        Encode!(&Create {}).unwrap(),
    );
    let answer = replica.submit(create, None).unwrap();
    assert!(answer.await.is_err(), "it was answered");
    // It comes at once or never.
    let failure = tokio::time::timeout(Duration::from_mins(1), replica.failure.wait()).await;
    assert_eq!(&*failure.unwrap(), "the executor ended by a panic");
}

#[tokio::test]
async fn a_signer_that_cannot_sign_ends_the_node_and_nothing_is_answered_without_a_signature() {
    let (keys, away) = remote();
    let machine = Machine::new(rig::executor(), State::default());
    let replica = start_with(keys, machine, None);
    away.store(true, Ordering::Relaxed);
    let call = rig::message(1, rig::canister(), "inc", vec![]);
    let answer = replica.submit(call, None).unwrap();
    assert!(answer.await.is_err(), "it was answered");
    let failure = tokio::time::timeout(Duration::from_mins(1), replica.failure.wait()).await;
    assert_eq!(
        &*failure.unwrap(),
        "the signer of certificates cannot sign: it is away"
    );
    replica.stop();
}

#[tokio::test]
async fn a_failed_node_says_so_in_its_status() {
    let running = Running::start().await;
    running.node.fail("a test");
    // The server may have closed its listener already; it never says that it is healthy.
    let url = format!("{}/api/v2/status", running.node.url());
    if let Ok(response) = reqwest::get(url).await {
        assert_eq!(response.status().as_u16(), 500);
    }
    assert!(running.node.failed().await.to_string().contains("a test"));
    running.node.shutdown().await.unwrap_err();
}

#[tokio::test]
async fn calls_that_wait_for_a_slow_disk_take_a_bounded_number_of_bytes_and_all_that_are_taken_are_answered()
{
    let rig = Rig::new(11);
    let replica = started(rig.recover().unwrap());
    rig.disk.hold_syncs();
    let mut taken = Vec::new();
    let mut refused = 0;
    for number in 0..200 {
        // to eight canisters, as one alone has a quarter
        let canister = Principal::from_slice(&[u8::try_from(number % 8).unwrap(); 10]);
        let call = rig::message(number, canister, "inc", vec![0; 1 << 20]);
        match replica.submit(call, None) {
            Ok(answer) => taken.push(answer),
            Err(reason) => {
                assert_eq!(reason, Refused::Busy);
                refused += 1;
            }
        }
    }
    // 64 that wait, and what is in batches by then
    assert!(
        (60..=80).contains(&taken.len()),
        "{} taken, {refused} refused",
        taken.len()
    );
    rig.disk.release_syncs();
    for answer in taken {
        answer.await.unwrap().unwrap();
    }
    replica.stop();
}

#[tokio::test]
async fn calls_that_come_while_the_disk_syncs_share_the_next_sync() {
    let rig = Rig::new(12);
    let replica = started(rig.recover().unwrap());
    let submit = |number| {
        let call = rig::message(number, rig::canister(), "inc", vec![]);
        replica.submit(call, None).unwrap()
    };
    // so that a segment is open
    submit(0).await.unwrap().unwrap();
    rig.disk.hold_syncs();
    let mut taken = vec![submit(1)];
    rig.disk.wait_for_sync();
    let before = rig.disk.operations();
    taken.extend((2..200).map(submit));
    rig.disk.release_syncs();
    for answer in taken {
        answer.await.unwrap().unwrap();
    }
    // the sync of the first, and a write and a sync for all others together
    assert_eq!(rig.disk.operations() - before, 3);
    replica.stop();
}

#[tokio::test]
async fn every_batch_has_a_seed_of_its_own() {
    let keys = Arc::new(Keys::generate().unwrap());
    let mut seeds = std::collections::BTreeSet::from([[0; 32]]);
    // Two nodes that do the same.
    for _ in 0..2 {
        let views = Arc::new(Views::new(keys.clone(), State::default(), 0).unwrap());
        let machine = Machine::new(rig::executor(), State::default());
        let replica = Replica::start(machine, views, None, Policy::default()).unwrap();
        for number in 0..3 {
            let call = rig::message(number, rig::canister(), "inc", vec![]);
            let view = replica.submit(call, None).unwrap().await.unwrap().unwrap();
            assert!(seeds.insert(view.state.seed), "a seed came twice");
        }
        replica.stop();
    }
}

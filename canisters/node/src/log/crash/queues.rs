//! What waits between batches goes through checkpoints and crashes as it is, and keeps its order.

use super::disk::FaultyDisk;
use super::end::in_the_end;
use super::entry;
use super::peers::{self, Peers};
use super::rig::{Rig, canister, executor, message, setup};
use crate::cert::trie::Trie;
use crate::exec::call::Executor;
use crate::exec::machine::Machine;
use crate::log::disk::Disk;
use crate::log::replay::recover;
use crate::state::State;
use crate::state::calls::{label, parse};
use ic_principal::Principal;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Batches execute so little that much waits.
fn slow() -> Executor {
    let mut executor = executor();
    executor.limits.messages = 2;
    executor.limits.ingress_instructions = 1;
    executor
}

/// The machine that a node has which restores a checkpoint of this state.
fn restored(state: &State) -> Machine {
    let disk: Arc<dyn Disk> = Arc::new(FaultyDisk::new(1));
    let mut node = recover(&disk, slow()).unwrap();
    node.checkpoints.write(state).unwrap();
    recover(&disk, slow()).unwrap().machine
}

fn owners<V>(waiting: &Trie<V>) -> BTreeSet<Principal> {
    let labels = waiting.iter().filter_map(|(at, _)| parse(at));
    labels.map(|(owner, _)| owner).collect()
}

#[test]
fn a_node_that_restores_a_checkpoint_after_each_batch_does_the_same_as_one_that_runs_on() {
    let (mut random, mut peers) = (StdRng::seed_from_u64(7), Peers::three());
    let mut running = Machine::new(slow(), State::default());
    let made = setup().into_iter().chain(peers::setup()).collect();
    running.apply(&entry(1, made).batch);
    let mut again = restored(running.state());
    let mut with_both = 0;
    for round in 2..80 {
        let backlog = running.agenda().backlog;
        let mut messages = peers.messages(running.state(), &mut random);
        messages.retain(|message| !backlog.holds(&message.queue()));
        let batch = entry(round, messages).batch;
        running.apply(&batch);
        again.apply(&batch);
        let state = running.state();
        assert_eq!(again.state().root(), state.root(), "in round {round}");
        again = restored(again.state());
        let [calls, answers] = [owners(&state.calls.requests), owners(&state.calls.responses)];
        with_both += u64::from(!calls.is_disjoint(&answers));
    }
    assert!(
        with_both > 10,
        "after {with_both} batches calls and answers waited for one canister"
    );
    let end = in_the_end(&slow(), running.state());
    peers.verify(running.state(), &end).unwrap();
}

#[test]
fn messages_that_an_earlier_version_kept_under_their_canisters_wait_in_their_queues_after_a_start() {
    let mut machine = Machine::new(slow(), State::default());
    machine.apply(&entry(1, setup()).batch);
    let inc = |number| message(number, canister(), "inc", vec![]);
    let managed = |number, sender| {
        let mut message = message(number, Principal::management_canister(), "start_canister", vec![]);
        message.sender = Principal::from_slice(&[7, sender]);
        message
    };
    // the first one is executed
    let messages = vec![
        inc(1),
        inc(2),
        managed(3, 2),
        managed(4, 1),
        inc(5),
        managed(6, 2),
    ];
    machine.apply(&entry(2, messages).batch);
    let state = machine.state();
    assert_eq!(state.calls.ingress.iter().count(), 5);
    assert_eq!(owners(&state.calls.ingress).len(), 3);
    let mut before = state.clone();
    before.calls.ingress = Trie::default();
    for (at, message) in state.calls.ingress.iter() {
        let (_, number) = parse(at).unwrap();
        let at = label(&message.canister, number);
        before.calls.ingress.insert(&at, message.clone());
    }
    assert_ne!(before.root(), state.root());
    assert_eq!(restored(&before).state().root(), state.root());
}

#[test]
fn crashes_find_calls_and_answers_of_one_canister_and_messages_in_several_queues() {
    let (mut with_both, mut with_queues, mut with_managed) = (0, 0, 0);
    for seed in 0..8 {
        let mut rig = Rig::new(seed).with_relays().with_peers();
        for _ in 0..4 {
            let node = rig.recover().unwrap();
            rig.verify(&node).unwrap();
            let calls = &node.machine.state().calls;
            let [requests, responses] = [owners(&calls.requests), owners(&calls.responses)];
            with_both += u64::from(!requests.is_disjoint(&responses));
            with_queues += u64::from(owners(&calls.ingress).len() > 2);
            let mut waiting = calls.ingress.iter();
            with_managed += u64::from(waiting.any(|(_, message)| message.queue() != message.canister));
            rig.saw(node.machine.state());
            rig.live(node, 12);
            rig.disk.reboot();
        }
    }
    assert!(
        with_both > 3 && with_queues > 3 && with_managed > 3,
        "of 32 starts {with_both} had both, {with_queues} several queues, {with_managed} management calls in theirs"
    );
}

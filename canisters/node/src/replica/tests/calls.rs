//! Calls between canisters under the real threads: who waits is woken when his request is done, and nobody has to ask for what is
//! left to do.

use super::{Running, start, started};
use crate::Config;
use crate::cert::view::View;
use crate::exec::batch::{Batch, Ingress, Permissions};
use crate::exec::call::Executor;
use crate::exec::limits::Limits;
use crate::exec::machine::Machine;
use crate::log::codec::Entry;
use crate::log::crash::disk::FaultyDisk;
use crate::log::crash::{relays, rig};
use crate::log::disk::Disk;
use crate::log::replay::recover;
use crate::replica::Refused;
use crate::state::State;
use crate::state::request::Outcome;
use ic_agent::agent::{CallResponse, RequestStatusResponse};
use ic_management_canister_types::{CanisterIdRecord, CanisterSettings, UpdateSettingsArgs};
use ic_principal::Principal;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot::Receiver;

type Answer = Receiver<Result<Arc<View>, Refused>>;

/// One message between canisters in each batch.
fn slowly() -> Executor {
    let mut executor = rig::executor();
    executor.limits = Limits {
        messages: 1,
        ..executor.limits
    };
    executor
}

/// A machine with the relays.
fn machine() -> Machine {
    let mut machine = Machine::new(slowly(), State::default());
    machine.apply(&batch(1, relays::setup()));
    machine
}

fn batch(round: u64, messages: Vec<Ingress>) -> Batch {
    Batch {
        round,
        time: round,
        memory_limit: u64::MAX,
        canister_limit: u64::MAX,
        permissions: Permissions::ALL,
        seed: [0; 32],
        messages,
    }
}

/// What a client is shown in the end.
async fn outcome(message: &Ingress, answer: Answer) -> (Option<Outcome>, u64) {
    let view = tokio::time::timeout(Duration::from_mins(1), answer)
        .await
        .expect("nothing goes on")
        .unwrap()
        .unwrap();
    let record = view.state.requests.get(&message.id).unwrap();
    (record.outcome.clone(), view.state.round)
}

#[tokio::test]
async fn a_client_is_woken_when_its_request_is_done_batches_later_and_so_is_one_that_repeats_it() {
    let replica = start(machine(), None);
    let call = relays::call(1);
    let first = replica.submit(call.clone(), None).unwrap();
    let again = replica.submit(call.clone(), None).unwrap();
    let (done, round) = outcome(&call, first).await;
    assert_eq!(done, Some(Outcome::Replied(b"Ragain".to_vec())));
    // The request, and the answer to it at the earliest.
    assert!(round >= 3, "{round}");
    assert_eq!(outcome(&call, again).await.0, done);
    replica.stop();
}

#[tokio::test]
async fn what_was_under_way_at_a_crash_goes_on_after_the_start_by_itself() {
    let faulty = FaultyDisk::new(3);
    let disk: Arc<dyn Disk> = Arc::new(faulty.clone());
    let call = relays::call(1);
    {
        let mut node = recover(&disk, slowly()).unwrap();
        let fingerprint = slowly().limits.fingerprint();
        for batch in [batch(1, relays::setup()), batch(2, vec![call.clone()])] {
            let entry = Entry {
                semantics: std::array::from_fn(|at| fingerprint[at]),
                checked: None,
                batch,
            };
            node.journal.append(&entry).unwrap();
        }
    }
    let node = recover(&disk, slowly()).unwrap();
    assert!(node.machine.agenda().busy);
    let replica = started(node);
    // Any later message is answered after it.
    let witness = relays::call(2);
    let answer = replica.submit(witness.clone(), None).unwrap();
    outcome(&witness, answer).await;
    let state = replica.views.latest().state.clone();
    let record = state.requests.get(&call.id).unwrap();
    assert_eq!(record.outcome, Some(Outcome::Replied(b"Ragain".to_vec())));
    replica.stop();
    // The batches without messages are logged like all others.
    let again = recover(&disk, slowly()).unwrap();
    assert_eq!(again.machine.state().root(), replica.views.latest().state.root());
}

/// A node whose second relay controls itself.
async fn running() -> Running {
    running_with(Config::ephemeral()).await
}

pub async fn running_with(config: Config) -> Running {
    let running = Running::start_with(config, relays::setup()).await;
    let [_, second] = relays::relays();
    let settings = UpdateSettingsArgs {
        canister_id: second,
        settings: CanisterSettings {
            controllers: Some(vec![second, Principal::anonymous()]),
            ..CanisterSettings::default()
        },
        sender_canister_version: None,
    };
    manage(&running, "update_settings", candid::encode_one(settings).unwrap()).await;
    running
}

/// Manages the second relay.
pub async fn manage(running: &Running, method: &str, arg: Vec<u8>) {
    let [_, second] = relays::relays();
    running
        .agent
        .update(&Principal::management_canister(), method)
        .with_effective_canister_id(second)
        .with_arg(arg)
        .call_and_wait()
        .await
        .unwrap();
}

pub fn target() -> Vec<u8> {
    let [_, canister_id] = relays::relays();
    candid::encode_one(CanisterIdRecord { canister_id }).unwrap()
}

/// A call of the second relay that never ends by itself: it waits for its own canister to stop.
pub fn endless() -> Vec<u8> {
    let [_, second] = relays::relays();
    let stop = relays::forward(Principal::management_canister(), "stop_canister", &target());
    relays::forward(second, "relay", &stop)
}

#[tokio::test]
async fn clients_that_ask_see_that_a_request_is_processed_and_those_that_wait_get_the_end() {
    let running = running().await;
    let [first, _] = relays::relays();
    let call = running.agent.update(&first, "relay").with_arg(endless());
    let signed = call.sign().unwrap();
    let sent = reqwest::Client::new()
        .post(format!("{}/api/v2/canister/{first}/call", running.node.url()))
        .header("content-type", "application/cbor")
        .body(signed.signed_update.clone())
        .send()
        .await
        .unwrap();
    assert_eq!(sent.status().as_u16(), 202);
    // What is answered after it shows that it has begun.
    running
        .agent
        .update(&first, "echo")
        .call_and_wait()
        .await
        .unwrap();
    let status = async || {
        let read = running.agent.request_status_raw(&signed.request_id, first).await;
        read.unwrap().0
    };
    assert!(matches!(status().await, RequestStatusResponse::Processing));
    let waiting = running.agent.update_signed(first, signed.signed_update.clone());
    let starting = manage(&running, "start_canister", target());
    let (waited, ()) = tokio::join!(waiting, starting);
    let CallResponse::Response(reply) = waited.unwrap() else {
        panic!("not answered");
    };
    // The stop was cancelled; both relays passed that on.
    let reply = String::from_utf8(reply).unwrap();
    assert!(reply.starts_with("RX5IC0511"), "{reply}");
    assert!(matches!(status().await, RequestStatusResponse::Replied(_)));
    running.node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_time_out_wakes_the_node_and_what_is_left_under_way_does_not_keep_it_from_ending() {
    let running = running().await;
    let [first, _] = relays::relays();
    let call = running.agent.update(&first, "relay_briefly").with_arg(endless());
    let reply = call.call_and_wait().await.unwrap();
    assert_eq!(String::from_utf8(reply).unwrap(), "X6IC0601: Call has timed out.");
    running.node.shutdown().await.unwrap();
}

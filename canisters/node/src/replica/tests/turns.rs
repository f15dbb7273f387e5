//! Calls for which a batch has no instructions left, under the real threads.

use super::started;
use crate::exec::call::Executor;
use crate::log::crash::disk::FaultyDisk;
use crate::log::crash::end::in_the_end;
use crate::log::crash::rig::{self, executor, message, shown};
use crate::log::disk::Disk;
use crate::log::replay::recover;
use crate::replica::Replica;
use crate::state::request::Outcome;
use std::sync::Arc;

/// Each batch executes one message.
fn one_by_one() -> Executor {
    let mut executor = executor();
    executor.limits.ingress_instructions = 1;
    executor
}

fn start(disk: &FaultyDisk) -> Replica {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    started(recover(&disk, one_by_one()).unwrap())
}

#[tokio::test]
async fn calls_that_wait_for_their_turn_are_answered_in_the_order_in_which_they_came() {
    let disk = FaultyDisk::new(1);
    rig::prepare(&disk, vec![]);
    let replica = start(&disk);
    let calls: Vec<_> = (0..20)
        .map(|number| message(number, rig::canister(), "inc", vec![]))
        .collect();
    let answers: Vec<_> = calls
        .iter()
        .map(|call| replica.submit(call.clone(), None).unwrap())
        .collect();
    for ((call, answer), expected) in calls.iter().zip(answers).zip(1_u64..) {
        let view = answer.await.unwrap().unwrap();
        let record = view.state.requests.get(&call.id).unwrap();
        let Some(Outcome::Replied(reply)) = &record.outcome else {
            panic!("{record:?}");
        };
        assert_eq!(reply[..8], expected.to_le_bytes());
    }
    replica.stop();
}

#[test]
fn what_waits_when_a_node_stops_is_executed_after_the_next_start() {
    const CALLS: u64 = 20;
    let disk = FaultyDisk::new(1);
    rig::prepare(&disk, vec![]);
    let replica = start(&disk);
    for number in 0..CALLS {
        let call = message(number, rig::canister(), "inc", vec![]);
        replica.submit(call, None).unwrap();
    }
    replica.stop();
    let stopped = replica.views.latest().state.clone();
    let known = stopped.requests.iter().count() as u64;
    // Two made the canister. No call needs a batch of its own for the node to stop.
    assert_eq!(known, CALLS + 2);
    let end = in_the_end(&one_by_one(), &stopped);
    assert_eq!(shown(&end.executor, end.state()), Some(CALLS));
    let left: Arc<dyn Disk> = Arc::new(disk.clone());
    let left = recover(&left, one_by_one()).unwrap();
    assert_eq!(left.machine.state().root(), stopped.root());
    let again = start(&disk);
    // It is answered after all that wait.
    let last = message(CALLS, rig::canister(), "inc", vec![]);
    let answer = again.submit(last, None).unwrap();
    let view = answer.blocking_recv().unwrap().unwrap();
    assert_eq!(shown(&executor(), &view.state), Some(CALLS + 1));
    again.stop();
}

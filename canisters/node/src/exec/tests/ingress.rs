//! What is kept of how messages ended.

use super::*;
use crate::state::request::Record;
use ic_error_types::ErrorCode;

/// Replies two MiB.
const TALKER: &str = r#"(module
    (import "ic0" "msg_reply" (func $msg_reply))
    (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
    (memory 32)
    (func (export "canister_update talk")
      (call $append (i32.const 0) (i32.const 2097152))
      (call $msg_reply))
    (func (export "canister_update short")
      (call $append (i32.const 0) (i32.const 1))
      (call $msg_reply)))"#;

impl World {
    fn record(&self, request: &Hash) -> &Record {
        self.machine.state().requests.get(request).unwrap()
    }
}

fn message(number: u64, method: &str) -> Ingress {
    Ingress {
        id: sha256(&[&number.to_be_bytes()[..], method.as_bytes()].concat()),
        sender: owner(),
        canister: id(),
        effective: id(),
        method: method.to_owned(),
        arg: [].into(),
        // Earlier ones expire earlier.
        expiry: u64::MAX / 2 + number,
    }
}

#[test]
fn the_oldest_of_too_many_replies_are_given_up_and_what_was_executed_is_not_executed_again() {
    let mut world = World::running(TALKER);
    let messages: Vec<_> = (0..40).map(|number| message(number, "talk")).collect();
    for message in &messages {
        world.apply(vec![message.clone()]);
    }
    let done = |world: &World| {
        messages
            .iter()
            .filter(|message| world.record(&message.id).done)
            .count()
    };
    // 64 MiB are 32 replies, one less beside the short replies of what made the canister.
    assert_eq!(done(&world), 9);
    assert!(messages[..9].iter().all(|message| world.record(&message.id).done));
    assert!(world.record(&messages[9].id).bytes() > 0);
    let version = world.machine.state().canister(&id()).unwrap().version;
    world.apply(vec![messages[0].clone()]);
    assert_eq!(world.machine.state().canister(&id()).unwrap().version, version);
    let mut replayed = Machine::new(world.machine.executor.clone(), State::default());
    for batch in &world.batches {
        replayed.apply(batch);
    }
    assert_eq!(replayed.state().root(), world.machine.state().root());
    let restored = Machine::new(world.machine.executor.clone(), replayed.state().clone());
    assert_eq!(restored.index.told_bytes, world.machine.index.told_bytes);
}

#[test]
fn a_batch_with_too_many_replies_refuses_the_rest_of_its_messages() {
    let mut world = World::running(TALKER);
    let mut messages: Vec<_> = (0..14).map(|number| message(number, "talk")).collect();
    messages.push(message(14, "short"));
    world.apply(messages.clone());
    let refused = messages.iter().filter(|message| {
        let outcome = world.outcome(&message.id).unwrap();
        outcome.is_err_and(|reject| reject.error == ErrorCode::IngressHistoryFull)
    });
    assert_eq!(refused.count(), 3);
    // The next batch has room again.
    let next = message(15, "short");
    world.apply(vec![next.clone()]);
    assert_eq!(world.outcome(&next.id).unwrap().unwrap().len(), 1);
}

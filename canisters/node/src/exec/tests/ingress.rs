//! Which messages of users a batch executes, and what is kept of how they ended.

use super::*;
use crate::state::request::Record;

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

/// Asks for random bytes, which come in the next batch, and replies two MiB then.
const LATE_TALKER: &str = r#"(module
    (import "ic0" "msg_reply" (func $msg_reply))
    (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
    (import "ic0" "call_new" (func $new (param i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "ic0" "call_data_append" (func $data (param i32 i32)))
    (import "ic0" "call_perform" (func $perform (result i32)))
    (memory 32)
    (data (i32.const 0) "raw_randDIDL\00\00")
    (table 1 funcref)
    (elem (i32.const 0) $talk)
    (func $talk (param i32)
      (call $append (i32.const 0) (i32.const 2097152))
      (call $msg_reply))
    (func (export "canister_update ask")
      (call $new (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 8)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
      (call $data (i32.const 8) (i32.const 6))
      (drop (call $perform))))"#;

impl World {
    fn record(&self, request: &Hash) -> &Record {
        self.machine.state().requests.get(request).unwrap()
    }

    /// How many of these wait for their turn.
    fn received(&self, messages: &[Ingress]) -> usize {
        let waits = |message: &&Ingress| self.record(&message.id).received;
        messages.iter().filter(waits).count()
    }

    /// What the heap of the counter canister says after an increment.
    fn counted(&self, message: &Ingress) -> u64 {
        let reply = self.outcome(&message.id).unwrap().unwrap();
        u64::from_le_bytes(reply[..8].try_into().unwrap())
    }
}

/// The counter canister, where a batch executes one message that uses instructions.
fn one_by_one() -> World {
    let mut world = World::with_limits(Limits {
        update: 1_000_000,
        ingress_instructions: 1,
        ..Limits::default()
    });
    world.install(COUNTER, CanisterInstallMode::Install, b"").unwrap();
    world
}

const COUNTER: &str = include_str!("../../../tests/canisters/counter.wat");

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
fn a_batch_with_too_many_replies_leaves_the_rest_of_its_messages_to_the_next() {
    let mut world = World::running(TALKER);
    let mut messages: Vec<_> = (0..14).map(|number| message(number, "talk")).collect();
    messages.push(message(14, "short"));
    world.apply(messages.clone());
    assert_eq!(world.received(&messages), 3);
    world.tick(0);
    assert_eq!(world.received(&messages), 0);
    for message in &messages {
        world.outcome(&message.id).unwrap().unwrap();
    }
}

#[test]
fn who_is_answered_with_large_replies_in_each_batch_keeps_no_call_waiting_for_ever() {
    let mut world = World::running(TALKER);
    world.add(second(), LATE_TALKER);
    let ask = Ingress {
        canister: second(),
        effective: second(),
        ..message(0, "ask")
    };
    for batch in 0..4 {
        let first = (batch == 0).then(|| ask.clone());
        // as much as a batch tells at most
        let talks = (1..=13).map(|number| message(100 * (batch + 1) + number, "talk"));
        world.apply(first.into_iter().chain(talks).collect());
    }
    world.outcome(&ask.id).unwrap().unwrap();
}

#[test]
fn a_batch_with_too_many_replies_to_those_who_waited_leaves_the_rest_of_its_answers_to_the_next() {
    let mut world = World::running(LATE_TALKER);
    let messages: Vec<_> = (0..40).map(|number| message(number, "ask")).collect();
    world.apply(messages);
    let mut told = Vec::new();
    while world.machine.agenda().busy {
        world.tick(0);
        // Who waits is told after each batch, and finds what there is then.
        for request in world.machine.late() {
            assert!(
                world.record(request).bytes() > 0,
                "it was given up before it was told"
            );
        }
        told.push(world.machine.late().len());
    }
    assert_eq!(told, [12, 12, 12, 4]);
    world.assert_replayed();
}

#[test]
fn a_batch_begins_no_message_beyond_its_instructions_and_the_next_ones_go_on_in_order() {
    let mut world = one_by_one();
    let looping = message(0, "loop");
    let mut messages: Vec<_> = (1..4).map(|number| message(number, "inc")).collect();
    messages.insert(0, looping.clone());
    world.apply(messages.clone());
    assert_eq!(code(world.outcome(&looping.id).unwrap()), "IC0522");
    assert_eq!(world.received(&messages), 3);
    assert!(world.machine.agenda().busy && !world.machine.agenda().backlog.is_empty());
    // What comes meanwhile is executed after what waits.
    let late = message(4, "inc");
    world.apply(vec![late.clone()]);
    messages.push(late);
    for left in (0..3).rev() {
        assert_eq!(world.received(&messages), left + 1);
        assert_eq!(world.machine.late().len(), 1);
        world.tick(0);
    }
    let counts: Vec<_> = messages[1..]
        .iter()
        .map(|message| world.counted(message))
        .collect();
    assert_eq!(counts, [1, 2, 3, 4]);
    assert!(!world.machine.agenda().busy && world.machine.agenda().backlog.is_empty());
    world.assert_replayed();
}

#[test]
fn canisters_take_turns_with_what_waits_and_each_keeps_the_order_of_its_own() {
    let mut world = one_by_one();
    world.add(second(), COUNTER);
    let mut messages: Vec<_> = (0..4).map(|number| message(number, "inc")).collect();
    world.apply(messages.clone());
    // one is executed, three wait, and no more of their canister are to be ordered
    assert_eq!(world.received(&messages), 3);
    let backlog = world.machine.agenda().backlog;
    assert!(backlog.holds(&id()) && !backlog.holds(&second()));
    let of_another = Ingress {
        canister: second(),
        effective: second(),
        ..message(4, "inc")
    };
    world.apply(vec![of_another.clone()]);
    assert_eq!(world.received(&messages), 2);
    world.tick(0);
    assert_eq!(world.received(&messages), 2);
    assert_eq!(world.counted(&of_another), 1);
    messages.push(message(5, "inc"));
    world.apply(vec![messages[4].clone()]);
    while world.machine.agenda().busy {
        world.tick(0);
    }
    let counts: Vec<_> = messages.iter().map(|message| world.counted(message)).collect();
    assert_eq!(counts, [1, 2, 3, 4, 5]);
    world.assert_replayed();
}

#[test]
fn who_has_much_waiting_stops_no_other_and_four_of_them_stop_all_before_it_grows() {
    let large = |number| Ingress {
        arg: vec![0; 2 << 20].into(),
        ..message(number, "inc")
    };
    let managed = |number: u8| Ingress {
        canister: Principal::management_canister(),
        sender: Principal::from_slice(&[number; 29]),
        ..large(u64::from(number))
    };
    let holds = |others: &[u8]| {
        let mut world = one_by_one();
        let mut messages = vec![message(0, "inc"), large(1), large(2), large(3)];
        messages.extend(others.iter().map(|number| managed(*number)));
        world.apply(messages);
        world.machine.agenda().backlog.holds(&second())
    };
    assert!(!holds(&[]) && !holds(&[4, 5]));
    assert!(holds(&[4, 5, 6]));
    // what was under way when a queue was held may be more than all together may have
    let holds = |of_one, of_another| {
        let mut world = one_by_one();
        let mut messages = vec![message(0, "inc")];
        messages.extend((1..=of_one).map(large));
        messages.extend((0..of_another).map(|number| Ingress {
            id: large(100 + number).id,
            ..managed(4)
        }));
        world.apply(messages);
        world.machine.agenda().backlog.holds(&second())
    };
    assert!(!holds(20, 7));
    assert!(holds(20, 8));
}

#[test]
fn what_a_controller_asks_of_a_canister_stands_in_no_queue_of_its_messages() {
    let mut world = one_by_one();
    let messages: Vec<_> = (0..6).map(|number| message(number, "inc")).collect();
    world.apply(messages.clone());
    let backlog = world.machine.agenda().backlog;
    assert!(backlog.holds(&id()) && !backlog.holds(&owner()));
    let stop = Ingress {
        canister: Principal::management_canister(),
        arg: Encode!(&CanisterIdRecord { canister_id: id() }).unwrap().into(),
        ..message(6, "stop_canister")
    };
    world.apply(vec![stop.clone()]);
    assert_eq!(world.received(&messages), 4);
    world.tick(0);
    world.outcome(&stop.id).unwrap().unwrap();
    for message in &messages[2..] {
        assert_eq!(code(world.outcome(&message.id).unwrap()), "IC0508");
    }
    world.assert_replayed();
}

#[test]
fn messages_that_use_few_instructions_are_executed_in_the_batch_that_brings_them() {
    let mut world = World::running(COUNTER);
    let messages: Vec<_> = (0..100).map(|number| message(number, "inc")).collect();
    world.apply(messages.clone());
    assert_eq!(world.counted(&messages[99]), 100);
}

#[test]
fn what_waits_is_shown_as_received_and_is_executed_once_however_often_it_is_sent() {
    let mut world = one_by_one();
    let [first, second] = [0, 1].map(|number| message(number, "inc"));
    world.apply(vec![first.clone(), second.clone(), second.clone()]);
    let shown = format!("{:?}", world.record(&second.id).tree());
    assert!(
        shown.contains(&format!("{:?}", crate::cert::tree::Tree::leaf("received"))),
        "{shown}"
    );
    world.apply(vec![second.clone()]);
    assert_eq!(world.counted(&second), 2);
    world.tick(0);
    assert_eq!(world.counted(&second), 2);
    let last = message(2, "inc");
    world.apply(vec![last.clone()]);
    assert_eq!(world.counted(&last), 3);
}

#[test]
fn what_expires_before_its_turn_is_rejected_and_what_expires_at_its_turn_is_executed() {
    let mut world = one_by_one();
    let until = |number, expiry| Ingress {
        expiry,
        ..message(number, "inc")
    };
    let messages = [
        message(0, "inc"),
        until(1, 50_000),
        until(2, 60_000),
        until(3, 69_999),
    ];
    world.apply(messages.to_vec());
    world.tick(50_000);
    assert_eq!(world.counted(&messages[1]), 2);
    world.tick(60_000);
    assert_eq!(world.counted(&messages[2]), 3);
    world.tick(70_000);
    assert_eq!(code(world.outcome(&messages[3].id).unwrap()), "IC0202");
    assert!(!world.machine.agenda().busy);
    world.assert_replayed();
}

#[test]
fn the_instructions_of_an_install_are_counted_too() {
    let mut world = one_by_one();
    let looping = r#"(module (func (export "canister_init") (loop $again (br $again))))"#;
    let arg = Encode!(&Install {
        mode: CanisterInstallMode::Reinstall,
        canister_id: id(),
        wasm_module: serde_bytes::Bytes::new(&wat::parse_str(looping).unwrap()),
        arg: serde_bytes::Bytes::new(b""),
    })
    .unwrap();
    world.machine.executor.limits.install = 1_000_000;
    let install = Ingress {
        canister: Principal::management_canister(),
        arg: arg.into(),
        ..message(0, "install_code")
    };
    let after = message(1, "inc");
    world.apply(vec![install.clone(), after.clone()]);
    assert_eq!(code(world.outcome(&install.id).unwrap()), "IC0522");
    assert_eq!(world.received(&[after]), 1);
}

#[test]
fn the_root_covers_what_waits() {
    let roots = [b"one", b"two"].map(|arg| {
        let mut world = one_by_one();
        let waits = Ingress {
            arg: arg.as_slice().into(),
            ..message(1, "inc")
        };
        world.apply(vec![message(0, "inc"), waits]);
        world.machine.state().root()
    });
    assert_ne!(roots[0], roots[1]);
}

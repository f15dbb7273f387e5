//! Calls between canisters: replies, rejections, callbacks, cleanup, contexts, order.

use super::*;
use crate::state::calls::Calls;

/// A reply as text.
pub fn text(result: Result<Vec<u8>, Reject>) -> String {
    String::from_utf8(result.unwrap()).unwrap()
}

/// Nothing is left of any call.
pub fn assert_idle(world: &World) {
    let calls = &world.machine.state().calls;
    let idle = Calls {
        next: calls.next,
        turn: calls.turn,
        ..Calls::default()
    };
    assert_eq!(calls.hash(), idle.hash(), "{calls:?}");
    assert_eq!(world.machine.agenda().wake, None);
    assert!(!world.machine.agenda().busy);
}

#[test]
fn a_call_is_answered_by_the_reply_callback_with_the_reply() {
    let mut world = World::relays(Limits::default());
    assert_eq!(text(world.relay("relay", second(), "echo", b"hello")), "Rhello");
    // Both have executed their part, and the callee was called by the canister, not by the user.
    assert_eq!((world.words(id())[0], world.words(second())[0]), (1, 1));
    let caller = world.relay("relay", second(), "whoami", b"").unwrap();
    assert_eq!(caller[1..], *id().as_slice());
    assert_idle(&world);
    world.assert_replayed();
}

#[test]
fn calls_go_through_several_canisters_and_back_to_the_first() {
    let mut world = World::relays(Limits::default());
    let inner = forward(id(), "echo", b"round");
    let middle = forward(third(), "relay", &inner);
    assert_eq!(text(world.relay("relay", second(), "relay", &middle)), "RRRround");
    assert_eq!(world.words(id())[0], 2);
    assert_idle(&world);
}

#[test]
fn a_callback_may_call_again_in_the_same_context() {
    let mut world = World::relays(Limits::default());
    // The reply is this canister's own id; the callback calls it.
    assert_eq!(
        text(world.relay("relay_again", second(), "echo", third().as_slice())),
        "Recho"
    );
    assert_eq!(world.words(third())[0], 1);
    assert_idle(&world);
}

#[test]
fn a_query_is_called_in_replicated_mode_and_keeps_nothing() {
    let mut world = World::relays(Limits::default());
    assert_eq!(text(world.relay("relay", second(), "read", b"x")), "Rx");
    assert_eq!(world.words(second())[0], 0);
}

#[test]
fn every_kind_of_failure_reaches_the_reject_callback_with_its_code() {
    let mut world = World::relays(Limits::default());
    let absent = Principal::from_slice(&[0, 0, 0, 8, 0, 0, 0, 9, 1, 1]);
    for (callee, method, expected) in [
        (second(), "no", "X4nope"),
        (second(), "trap", "X5IC0502: "),
        (second(), "silent", "X5IC0506: "),
        (second(), "missing", "X5IC0536: "),
        (absent, "echo", "X3IC0301: "),
        (owner(), "echo", "X3IC0301: "),
        (Principal::management_canister(), "missing", "X5IC0536: "),
    ] {
        let answer = text(world.relay("relay", callee, method, b""));
        assert!(answer.starts_with(expected), "{method}: {answer}");
    }
    let stop = Encode!(&ic_management_canister_types::CanisterIdRecord {
        canister_id: second()
    })
    .unwrap();
    world.manage(owner(), "uninstall_code", &stop).unwrap();
    assert!(text(world.relay("relay", second(), "echo", b"")).starts_with("X5IC0537: "));
    world.manage(owner(), "stop_canister", &stop).unwrap();
    assert!(text(world.relay("relay", second(), "echo", b"")).starts_with("X5IC0508: "));
    assert_idle(&world);
    world.assert_replayed();
}

#[test]
fn a_callback_that_traps_is_rolled_back_and_then_its_cleanup_runs() {
    let mut world = World::relays(Limits::default());
    assert_eq!(code(world.relay("relay_trap", second(), "echo", b"")), "IC0502");
    // The callback counts and traps; the cleanup counts.
    assert_eq!(world.words(id())[..2], [0, 1]);
    assert_eq!(code(world.relay("relay_trap", second(), "no", b"")), "IC0502");
    assert_eq!(world.words(id())[..2], [0, 2]);
    assert_idle(&world);
    world.assert_replayed();
}

#[test]
fn a_cleanup_that_traps_is_rolled_back_too() {
    let mut world = World::relays(Limits::default());
    assert_eq!(
        code(world.relay("relay_trap_twice", second(), "echo", b"")),
        "IC0502"
    );
    assert_eq!(world.words(id())[..2], [0, 0]);
    assert_idle(&world);
}

#[test]
fn a_cleanup_does_not_run_when_the_callback_returns() {
    let mut world = World::relays(Limits::default());
    world.relay("relay", second(), "echo", b"").unwrap();
    assert_eq!(world.words(id())[1], 0);
}

#[test]
fn a_callback_of_another_type_is_a_trap() {
    let mut world = World::relays(Limits::default());
    let reject = world
        .relay("relay_wrong_type", second(), "echo", b"")
        .unwrap_err();
    assert_eq!(reject.error.to_string(), "IC0502");
    assert_eq!(world.words(second())[0], 1);
    assert_idle(&world);
}

#[test]
fn what_was_done_before_the_call_stays_when_the_callback_traps_and_is_undone_with_the_call_when_the_call_traps()
 {
    let mut world = World::relays(Limits::default());
    let cycles = world.canister().cycles;
    assert_eq!(
        code(world.relay("relay_then_trap", second(), "echo", b"")),
        "IC0502"
    );
    assert_eq!((world.words(id())[3], world.words(second())[0]), (0, 0));
    assert_eq!(world.canister().cycles, cycles);
    assert_idle(&world);
}

#[test]
fn a_context_that_nobody_will_answer_is_rejected() {
    let mut world = World::relays(Limits::default());
    assert_eq!(code(world.relay("relay_silent", second(), "echo", b"")), "IC0506");
    // The callback ran, and what it did stays.
    assert_eq!(world.words(id())[0], 1);
    assert_eq!(code(world.relay("relay_silent", second(), "trap", b"")), "IC0506");
    assert_idle(&world);
}

#[test]
fn an_answer_may_come_before_the_calls_are_answered_and_their_callbacks_still_run() {
    let mut world = World::relays(Limits::default());
    assert_eq!(world.relay("relay_early", second(), "echo", b"").unwrap(), [0]);
    assert_eq!((world.words(id())[0], world.words(second())[0]), (1, 1));
    assert_idle(&world);
}

#[test]
fn a_callback_cannot_answer_what_was_answered_before() {
    let mut world = World::relays(Limits::default());
    let request = world.submit(id(), "relay_early_again", &forward(second(), "echo", b"late"));
    assert_eq!(world.outcome(&request).unwrap().unwrap(), [0]);
    assert_eq!(world.words(second())[0], 1);
    assert_idle(&world);
}

#[test]
fn a_one_way_call_is_accepted_and_its_answer_changes_nothing() {
    let mut world = World::relays(Limits::default());
    let before = world.words(id());
    world.relay("relay_once", second(), "echo", b"").unwrap();
    assert_eq!(world.words(id())[..3], before[..3]);
    assert_eq!(world.words(second())[0], 1);
    world.relay("relay_once", second(), "trap", b"").unwrap();
    assert_idle(&world);
    // nobody waits for it, so no callback is missed
    assert_eq!(world.canister().logs.iter().len(), 0);
    world.assert_replayed();
}

#[test]
fn the_counter_of_the_context_goes_on_and_that_of_the_execution_begins_anew() {
    let mut world = World::relays(Limits::default());
    let reply = world.relay("relay_counter", second(), "echo", b"").unwrap();
    let [execution, context] = [0, 8].map(|at| u64::from_le_bytes(reply[at..at + 8].try_into().unwrap()));
    assert!(
        execution > 0 && context > execution + 500,
        "{execution} {context}"
    );
}

#[test]
fn a_canister_has_500_calls_under_way_to_another_and_may_call_a_third() {
    let mut world = World::relays(Limits::default());
    assert_eq!(
        world.relay("relay_many", second(), "order", b"1").unwrap(),
        500u64.to_le_bytes()
    );
    // They have been answered, so the next 500 are taken.
    assert_idle(&world);
    let before = world.words(id())[0];
    world.relay("relay_many", third(), "order", b"1").unwrap();
    assert_eq!(world.words(id())[0], before + 1_000);
    world.assert_replayed();
}

#[test]
fn a_callee_that_is_no_principal_traps_and_the_cycles_stay() {
    let mut world = World::relays(Limits::default());
    let cycles = world.canister().cycles;
    let mut arg = vec![30];
    arg.extend_from_slice(&[9; 30]);
    arg.extend_from_slice(b"\x04echo");
    let reject = world.send(owner(), id(), "relay_refused", &arg).unwrap_err();
    assert!(
        reject.message.contains("the callee is not a principal"),
        "{reject}"
    );
    assert_eq!(world.canister().cycles, cycles);
    assert_idle(&world);
}

#[test]
fn a_canister_has_as_many_bytes_of_calls_under_way_as_it_leaves_to_the_others() {
    let mut world = World::relays(Limits {
        waiting: 10_000,
        ..Limits::default()
    });
    let arg = forward(Principal::management_canister(), "raw_rand", &Encode!().unwrap());
    // Each of them is executed at once, so that none waits, and answered in the next batch.
    let asked: Vec<_> = (0..5)
        .map(|number| Ingress {
            id: sha256(&[number]),
            sender: owner(),
            canister: id(),
            effective: id(),
            method: "relay".to_owned(),
            arg: arg.clone().into(),
            expiry: u64::MAX,
        })
        .collect();
    world.apply(asked.clone());
    // four of them take 4 KiB, and with a fifth it would have more than the rest
    let refused = &asked[4].id;
    assert_eq!(code(world.outcome(refused).unwrap()), "IC0506");
    let of_another = world.submit(second(), "relay", &arg);
    world.tick(0);
    for request in asked[..4].iter().map(|message| &message.id).chain([&of_another]) {
        world.outcome(request).unwrap().unwrap();
    }
    assert_idle(&world);
    let taken = world.submit(id(), "relay", &arg);
    world.tick(0);
    world.outcome(&taken).unwrap().unwrap();
    world.assert_replayed();
}

#[test]
fn waiting_calls_take_a_bounded_number_of_bytes() {
    let limits = Limits {
        waiting: 10_000,
        ..Limits::default()
    };
    let mut world = World::relays(limits);
    let reply = world.relay("relay_many", second(), "order", b"1").unwrap();
    assert_eq!(reply, 4u64.to_le_bytes());
    assert_idle(&world);
}

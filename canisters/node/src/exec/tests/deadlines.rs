//! Best-effort calls and their time-outs.

use super::batches::slowly;
use super::calls::{assert_idle, text};
use super::*;

#[test]
fn a_best_effort_call_that_was_answered_in_time_is_a_call_like_any_other() {
    let mut world = World::relays(Limits::default());
    assert_eq!(
        text(world.relay("relay_briefly", second(), "echo", b"quick")),
        "Rquick"
    );
    let reply = world.relay("relay_briefly", second(), "until", b"").unwrap();
    let due = world.machine.state().time + 1_000_000_000;
    assert_eq!(reply[1..], due.to_le_bytes());
    // No call waits longer than 300 seconds.
    let reply = world.relay("relay_long", second(), "until", b"").unwrap();
    let due = world.machine.state().time + 300_000_000_000;
    assert_eq!(reply[1..], due.to_le_bytes());
    // Others have no deadline.
    assert_eq!(world.relay("relay", second(), "until", b"").unwrap()[1..], [0; 8]);
    assert_idle(&world);
}

#[test]
fn a_best_effort_call_that_waits_too_long_is_rejected_and_never_executed_later() {
    let mut world = World::relays(Limits {
        messages: 0,
        ..Limits::default()
    });
    let request = world.submit(id(), "relay_briefly", &forward(second(), "echo", b""));
    let due = world.machine.state().time + 1_000_000_000;
    assert_eq!(world.machine.agenda().wake, Some(due));
    world.tick(due - 1);
    assert_eq!(world.outcome(&request), None);
    world.machine.executor.limits.messages = 10;
    world.tick(due);
    assert_eq!(
        text(world.outcome(&request).unwrap()),
        "X6IC0601: Call has timed out."
    );
    assert_eq!(world.words(second())[0], 0);
    assert_idle(&world);
}

#[test]
fn an_answer_after_the_time_out_is_dropped_and_its_cycles_come_back() {
    // The callee is being executed when the time is over: it waits for a call of its own.
    let mut world = World::relays(slowly());
    let cycles = world.canister().cycles;
    let inner = forward(third(), "relay", &forward(third(), "echo", b""));
    let request = world.submit(id(), "relay_briefly", &forward(second(), "relay", &inner));
    let due = world.machine.state().time + 1_000_000_000;
    // the others have their turns meanwhile
    while world.outcome(&request).is_none() {
        world.tick(due);
    }
    assert_eq!(
        text(world.outcome(&request).unwrap()),
        "X6IC0601: Call has timed out."
    );
    assert_eq!(world.canister().cycles, cycles - 1_000);
    for _ in 0..10 {
        world.tick(due);
    }
    assert_eq!(world.canister().cycles, cycles);
    assert_idle(&world);
    world.assert_replayed();
}

//! Cycles move with calls, and are never made by them.

use super::*;
use ic_management_canister_types::CanisterIdRecord;
use proptest::prelude::*;

fn cycles(world: &World, canister: Principal) -> u128 {
    world.machine.state().canister(&canister).unwrap().cycles
}

/// All cycles there are: of canisters, under way, and held by contexts.
fn all(world: &World) -> u128 {
    let state = world.machine.state();
    let canisters = state.canisters.iter().map(|(_, canister)| canister.cycles);
    let requests = state.calls.requests.iter().map(|(_, request)| request.cycles);
    let responses = state.calls.responses.iter().map(|(_, response)| response.refund);
    let contexts = state.calls.contexts.iter().map(|(_, context)| context.available);
    let stops = state.calls.stops.iter().map(|(_, stop)| stop.cycles);
    let draws = state.calls.draws.iter().map(|(_, draw)| draw.cycles);
    canisters
        .chain(draws)
        .chain(requests)
        .chain(responses)
        .chain(contexts)
        .chain(stops)
        .sum()
}

fn number(bytes: &[u8]) -> u128 {
    u128::from_le_bytes(bytes.try_into().unwrap())
}

#[test]
fn a_callee_accepts_a_part_and_the_rest_comes_back() {
    let mut world = World::relays(Limits::default());
    let before = [id(), second()].map(|canister| cycles(&world, canister));
    let reply = world.relay("relay_pay", second(), "accept", b"").unwrap();
    assert_eq!((number(&reply[1..17]), number(&reply[17..33])), (600, 400));
    assert_eq!(world.words(id())[2], 400, "refunded");
    assert_eq!(cycles(&world, id()), before[0] - 600);
    assert_eq!(cycles(&world, second()), before[1] + 600);
    world.assert_replayed();
}

#[test]
fn what_is_not_accepted_comes_back_from_every_kind_of_answer() {
    let mut world = World::relays(Limits::default());
    let before = [id(), second()].map(|canister| cycles(&world, canister));
    let absent = Principal::from_slice(&[0, 0, 0, 8, 0, 0, 0, 9, 1, 1]);
    for (callee, method) in [
        (second(), "echo"),
        (second(), "no"),
        (second(), "silent"),
        (second(), "accept_then_trap"),
        (second(), "missing"),
        (absent, "echo"),
        (Principal::management_canister(), "missing"),
    ] {
        world.relay("relay_pay", callee, method, b"").unwrap();
        assert_eq!(world.words(id())[2], 1_000, "{method}");
        assert_eq!(
            [id(), second()].map(|canister| cycles(&world, canister)),
            before,
            "{method}"
        );
    }
}

#[test]
fn a_call_that_brings_fewer_cycles_than_its_receiver_asks_for_is_rejected_and_costs_nothing() {
    let mut world = World::relays(Limits::default());
    let asks = |world: &mut World, canister, least: u32| {
        let settings = CanisterSettings {
            minimum_incoming_canister_call_cycles: Some(least.into()),
            ..CanisterSettings::default()
        };
        settings::update(world, canister, settings).unwrap();
    };
    let before = [id(), second()].map(|canister| cycles(&world, canister));
    asks(&mut world, second(), 1_001);
    let heard = world.relay("relay_pay", second(), "accept", b"").unwrap();
    let text = String::from_utf8_lossy(&heard);
    assert!(text.contains("at least 1001 cycles"), "{text}");
    assert_eq!(world.words(id())[2], 1_000, "refunded");
    assert_eq!([id(), second()].map(|canister| cycles(&world, canister)), before);
    asks(&mut world, second(), 1_000);
    world.relay("relay_pay", second(), "accept", b"").unwrap();
    assert_eq!(cycles(&world, second()), before[1] + 600);
    // Neither users nor the canister itself bring any.
    asks(&mut world, id(), 1_001);
    world.relay("relay_pay", id(), "accept", b"").unwrap();
    assert_eq!(world.words(id())[2], 400, "refunded");
    world.assert_replayed();
}

#[test]
fn a_query_in_replicated_mode_keeps_the_cycles_that_it_accepts() {
    let mut world = World::relays(Limits::default());
    let before = cycles(&world, second());
    world.relay("relay_pay", second(), "accept_reading", b"").unwrap();
    assert_eq!(cycles(&world, second()), before + 600);
    assert_eq!(world.words(id())[2], 400);
}

#[test]
fn nobody_attaches_what_he_does_not_have() {
    let mut world = World::relays(Limits::default());
    let before = all(&world);
    assert_eq!(
        code(world.relay("relay_pay_all", second(), "echo", b"")),
        "IC0520"
    );
    assert_eq!(all(&world), before);
}

#[test]
fn cycles_of_a_call_that_is_not_performed_stay() {
    let mut world = World::relays(Limits::default());
    let before = cycles(&world, id());
    world.relay("relay_pay_forget", second(), "echo", b"").unwrap();
    assert_eq!(cycles(&world, id()), before);
}

#[test]
fn a_deposit_moves_cycles_and_users_cannot_make_one() {
    let mut world = World::relays(Limits::default());
    let before = [id(), third()].map(|canister| cycles(&world, canister));
    let target = Encode!(&CanisterIdRecord { canister_id: third() }).unwrap();
    let aaaaa = Principal::management_canister();
    world
        .relay("relay_pay", aaaaa, "deposit_cycles", &target)
        .unwrap();
    assert_eq!(cycles(&world, id()), before[0] - 1_000);
    assert_eq!(cycles(&world, third()), before[1] + 1_000);
    let call = Call {
        arg: target.into(),
        ..world.call("deposit_cycles")
    };
    let anyone = &crate::creators::Creators::Anyone;
    let refused = mgmt::admit(world.machine.state(), &call, anyone, crate::mode::Mode::Dev);
    assert_eq!(code(refused), "IC0406");
}

#[test]
fn a_canister_creates_canisters_with_enough_cycles_and_only_where_canisters_may() {
    let mut world = World::relays(Limits::default());
    let aaaaa = Principal::management_canister();
    let arg = Encode!(&Create {
        specified_id: None,
        settings: None
    })
    .unwrap();
    let (before, number) = (all(&world), world.machine.state().next_number);
    let reply = world.relay("relay_pay", aaaaa, "create_canister", &arg).unwrap();
    assert!(
        reply.starts_with(b"X4IC0403"),
        "{}",
        String::from_utf8_lossy(&reply)
    );
    assert_eq!((all(&world), world.machine.state().next_number), (before, number));
    world.permissions.create = false;
    for method in ["create_canister", "provisional_create_canister_with_cycles"] {
        let reply = world.relay("relay", aaaaa, method, &arg).unwrap();
        assert!(
            reply.starts_with(b"X5IC0512"),
            "{}",
            String::from_utf8_lossy(&reply)
        );
    }
    assert_eq!(world.machine.state().next_number, number);
    world.permissions.create = true;
    let reply = world
        .relay("relay", aaaaa, "provisional_create_canister_with_cycles", &arg)
        .unwrap();
    assert!(reply.starts_with(b"RDIDL"));
    world.assert_replayed();
}

#[test]
fn without_permission_canisters_make_nothing_from_nothing_and_a_replay_remembers_when() {
    let mut world = World::relays(Limits::default());
    let aaaaa = Principal::management_canister();
    let create = Encode!(&Create {
        specified_id: None,
        settings: None
    })
    .unwrap();
    let top_up = Encode!(&ic_management_canister_types::ProvisionalTopUpCanisterArgs {
        canister_id: second(),
        amount: 7u8.into()
    })
    .unwrap();
    let calls = [
        ("provisional_create_canister_with_cycles", &create),
        ("provisional_top_up_canister", &top_up),
    ];
    let before = (all(&world), world.machine.state().next_number);
    world.permissions.provisional = false;
    for (method, arg) in calls {
        let reply = world.relay("relay", aaaaa, method, arg).unwrap();
        let text = String::from_utf8_lossy(&reply);
        assert!(
            text.starts_with("X5IC0536") && text.contains("production"),
            "{text}"
        );
    }
    assert_eq!((all(&world), world.machine.state().next_number), before);
    // What is not from nothing is another matter.
    let reply = world.relay("relay", aaaaa, "create_canister", &create).unwrap();
    assert!(reply.starts_with(b"X4IC0403"));
    world.permissions.provisional = true;
    for (method, arg) in calls {
        assert!(
            world
                .relay("relay", aaaaa, method, arg)
                .unwrap()
                .starts_with(b"RDIDL")
        );
    }
    world.assert_replayed();
}

const HOW: [&str; 10] = [
    "relay",
    "relay_pay",
    "relay_briefly",
    "relay_trap",
    "relay_trap_twice",
    "relay_silent",
    "relay_early",
    "relay_once",
    "relay_then_trap",
    "relay_pay_forget",
];
const WHAT: [&str; 8] = [
    "echo",
    "no",
    "trap",
    "silent",
    "accept",
    "accept_then_trap",
    "accept_reading",
    "missing",
];

/// A call, and the calls that it passes on.
fn chain() -> impl Strategy<Value = (usize, Vec<u8>)> {
    let step = (0..HOW.len(), 0usize..4);
    (proptest::collection::vec(step, 1..4), 0..WHAT.len()).prop_map(|(steps, what)| {
        let whom = [
            id(),
            second(),
            third(),
            Principal::from_slice(&[0, 0, 0, 8, 0, 0, 0, 9, 1, 1]),
        ];
        let mut steps = steps.into_iter().rev();
        let (mut how, last) = steps.next().unwrap();
        let mut arg = forward(whom[last], WHAT[what], b"x");
        for (outer, callee) in steps {
            arg = forward(whom[callee], HOW[how], &arg);
            how = outer;
        }
        (how, arg)
    })
}

proptest! {
    #![proptest_config(cases(48))]
    #[test]
    fn calls_neither_make_nor_lose_cycles_and_everything_is_answered_in_the_end(
        chains in proptest::collection::vec((chain(), 0usize..3, any::<bool>()), 1..8),
        messages in 1u64..4,
    ) {
        let mut world = World::relays(Limits { messages, ..Limits::default() });
        let before = all(&world);
        let mut requests = Vec::new();
        for ((how, arg), to, wait) in chains {
            let to = [id(), second(), third()][to];
            requests.push(world.submit(to, HOW[how], &arg));
            prop_assert_eq!(all(&world), before);
            if wait {
                // Long enough for the best-effort calls to time out.
                let later = world.machine.state().time + 1_000_000_000;
                world.tick(later);
                prop_assert_eq!(all(&world), before);
            }
        }
        let mut rounds = 0;
        while world.machine.agenda().busy {
            world.tick(world.now);
            prop_assert_eq!(all(&world), before);
            rounds += 1;
            prop_assert!(rounds < 500);
        }
        for request in &requests {
            prop_assert!(world.outcome(request).is_some());
        }
        prop_assert_eq!(world.machine.state().calls.contexts.iter().count(), 0);
        prop_assert_eq!(world.machine.state().calls.callbacks.iter().count(), 0);
        world.assert_replayed();
    }
}

#[test]
fn burnt_cycles_are_gone() {
    let mut world = World::relays(Limits::default());
    let before = all(&world);
    world
        .relay("relay_pay", second(), "accept_all_and_burn", b"")
        .unwrap();
    assert_eq!(all(&world), before - 70);
}

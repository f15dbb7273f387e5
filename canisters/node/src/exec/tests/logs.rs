//! What canisters print, and who may read it.

use super::*;
use candid::Decode;
use ic_management_canister_types::{
    CanisterLogFilter, FetchCanisterLogsArgs, FetchCanisterLogsResult, LogVisibility,
};

/// Prints its argument, and the names of its hooks.
const PRINTER: &str = r#"(module
    (import "ic0" "msg_reply" (func $msg_reply))
    (import "ic0" "msg_arg_data_size" (func $size (result i32)))
    (import "ic0" "msg_arg_data_copy" (func $copy (param i32 i32 i32)))
    (import "ic0" "debug_print" (func $print (param i32 i32)))
    (import "ic0" "trap" (func $trap (param i32 i32)))
    (import "ic0" "accept_message" (func $accept))
    (memory 4)
    (data (i32.const 0) "startinitpre post")
    (func $start (call $print (i32.const 0) (i32.const 5)))
    (start $start)
    (func (export "canister_init") (call $print (i32.const 5) (i32.const 4)))
    (func (export "canister_pre_upgrade") (call $print (i32.const 9) (i32.const 3)))
    (func (export "canister_post_upgrade")
      (call $print (i32.const 13) (i32.const 4))
      (if (call $size) (then (unreachable))))
    (func (export "canister_inspect_message") (call $print (i32.const 0) (i32.const 1)) (call $accept))
    (func $say
      (call $copy (i32.const 64) (i32.const 0) (call $size))
      (call $print (i32.const 64) (call $size)))
    (func (export "canister_update say") (call $say) (call $msg_reply))
    (func (export "canister_update trap") (call $say) (call $trap (i32.const 64) (call $size)))
    (func (export "canister_update boom") (call $say) (unreachable))
    (func (export "canister_update outside") (call $print (i32.const -1) (i32.const 9)) (call $msg_reply))
    (func (export "canister_update many")
      (local $left i32)
      (local.set $left (i32.const 100000))
      (loop $next
        (call $print (i32.const 0) (i32.const 4))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br_if $next (local.get $left)))
      (call $msg_reply))
    (func (export "canister_query ask") (call $say) (call $msg_reply))
    (func (export "canister_query ask_and_trap") (call $say) (unreachable))
    (func (export "canister_composite_query compose") (call $say) (call $msg_reply)))"#;

fn fetch(world: &World, reader: Principal, filter: Option<CanisterLogFilter>) -> Result<Vec<u8>, Reject> {
    let arg = Encode!(&FetchCanisterLogsArgs {
        canister_id: id(),
        filter
    })
    .unwrap();
    world.ask(reader, "fetch_canister_logs", arg)
}

/// The lines: number, time, text.
fn lines(world: &World) -> Vec<(u64, u64, String)> {
    filtered(world, None)
}

fn filtered(world: &World, filter: Option<CanisterLogFilter>) -> Vec<(u64, u64, String)> {
    let reply = fetch(world, owner(), filter).unwrap();
    Decode!(&reply, FetchCanisterLogsResult)
        .unwrap()
        .canister_log_records
        .into_iter()
        .map(|line| {
            let text = String::from_utf8(line.content).unwrap();
            (line.idx, line.timestamp_nanos, text)
        })
        .collect()
}

fn texts(world: &World) -> Vec<String> {
    lines(world).into_iter().map(|(_, _, text)| text).collect()
}

fn say(world: &mut World, method: &str, text: &str) -> Result<Vec<u8>, Reject> {
    world.send(owner(), id(), method, text.as_bytes())
}

#[test]
fn what_updates_print_is_kept_with_its_number_and_time() {
    let mut world = World::running(PRINTER);
    say(&mut world, "say", "one").unwrap();
    say(&mut world, "say", "two").unwrap();
    // The second and third message installed and printed; each message has a time of its own.
    let line = |idx, time, text: &str| (idx, time, text.to_owned());
    assert_eq!(
        lines(&world),
        [
            line(0, 2_000, "start"),
            line(1, 2_000, "init"),
            line(2, 3_000, "one"),
            line(3, 4_000, "two")
        ]
    );
}

#[test]
fn a_trap_leaves_its_prints_and_its_reason_and_nothing_else() {
    let mut world = World::running(PRINTER);
    let version = world.canister().version;
    say(&mut world, "trap", "why").unwrap_err();
    say(&mut world, "boom", "then").unwrap_err();
    let texts = texts(&world);
    assert_eq!(texts[2..5], ["why", "[TRAP]: why", "then"]);
    assert!(
        texts[5].starts_with("[TRAP]: ") && texts[5].contains("unreachable"),
        "{texts:?}"
    );
    assert_eq!((texts.len(), world.canister().version), (6, version));
}

#[test]
fn printing_outside_of_the_memory_never_traps() {
    let mut world = World::running(PRINTER);
    say(&mut world, "outside", "").unwrap();
    assert_eq!(texts(&world).len(), 2);
}

#[test]
fn queries_and_inspection_are_not_logged_but_queries_called_as_updates_are() {
    let mut world = World::running(PRINTER);
    let root = world.machine.state().root();
    let before = world.canister().logs.clone();
    world.query("ask").unwrap();
    world.query("ask_and_trap").unwrap_err();
    world.query("compose").unwrap();
    world
        .machine
        .executor
        .inspect(world.canister(), &world.call("say"))
        .unwrap();
    assert_eq!(world.canister().logs, before);
    assert_eq!(world.machine.state().root(), root);
    say(&mut world, "ask", "asked").unwrap();
    say(&mut world, "ask_and_trap", "asked more").unwrap_err();
    assert_eq!(texts(&world)[2..4], ["asked", "asked more"]);
}

#[test]
fn logs_survive_upgrades_and_end_with_the_code_and_their_numbers_go_on() {
    let mut world = World::running(PRINTER);
    let upgrade = CanisterInstallMode::Upgrade(None);
    world.install(PRINTER, upgrade, b"").unwrap();
    assert_eq!(texts(&world), ["start", "init", "pre", "start", "post"]);
    world
        .install(PRINTER, CanisterInstallMode::Reinstall, b"")
        .unwrap();
    assert_eq!(lines(&world)[0].0, 5);
    assert_eq!(texts(&world), ["start", "init"]);
    world.manage(owner(), "uninstall_code", about(id())).unwrap();
    assert_eq!(texts(&world), Vec::<String>::new());
    world.install(PRINTER, CanisterInstallMode::Install, b"").unwrap();
    assert_eq!(lines(&world)[0].0, 7);
}

#[test]
fn what_a_failed_upgrade_printed_can_be_read() {
    let mut world = World::running(PRINTER);
    let version = world.canister().version;
    world
        .install(PRINTER, CanisterInstallMode::Upgrade(None), b"trap")
        .unwrap_err();
    let texts = texts(&world);
    assert_eq!(texts[..5], ["start", "init", "pre", "start", "post"]);
    assert!(texts[5].starts_with("[TRAP]: "), "{texts:?}");
    assert_eq!(world.canister().version, version);
}

#[test]
fn the_ring_has_four_kibibytes_unless_the_owner_sets_another_limit() {
    let mut world = World::running(PRINTER);
    for number in 0..10 {
        say(&mut world, "say", &format!("{number}{}", "x".repeat(999))).unwrap();
    }
    let kept: usize = lines(&world).iter().map(|(_, _, text)| text.len() + 16).sum();
    assert_eq!((lines(&world).len(), lines(&world)[0].0), (4, 8));
    assert!(kept <= 4_096, "{kept}");
    let limit = |limit: u32| CanisterSettings {
        log_memory_limit: Some(limit.into()),
        ..CanisterSettings::default()
    };
    let used = world.machine.memory().used;
    super::settings::update(&mut world, id(), limit(65_536)).unwrap();
    assert_eq!(world.machine.memory().used, used + 61_440);
    for _ in 0..10 {
        say(&mut world, "say", &"y".repeat(1_000)).unwrap();
    }
    assert_eq!(lines(&world).len(), 14);
    super::settings::update(&mut world, id(), limit(1_100)).unwrap();
    assert_eq!(lines(&world).len(), 1);
    super::settings::update(&mut world, id(), limit(0)).unwrap();
    say(&mut world, "say", "nothing").unwrap();
    assert_eq!(lines(&world), []);
}

#[test]
fn a_message_that_prints_without_end_is_bounded_and_counted() {
    let mut world = World::running(PRINTER);
    say(&mut world, "many", "").unwrap();
    let lines = lines(&world);
    assert_eq!((lines.len(), lines[203].0), (4_096 / 20, 100_001));
}

#[test]
fn logs_are_for_those_whom_the_settings_name() {
    let mut world = World::running(PRINTER);
    let viewer = Principal::from_slice(&[8]);
    let set = |world: &mut World, visibility| {
        let settings = CanisterSettings {
            log_visibility: Some(visibility),
            ..CanisterSettings::default()
        };
        super::settings::update(world, id(), settings).unwrap();
    };
    assert_eq!(code(fetch(&world, viewer, None)), "IC0406");
    set(&mut world, LogVisibility::AllowedViewers(vec![viewer]));
    fetch(&world, viewer, None).unwrap();
    fetch(&world, owner(), None).unwrap();
    assert_eq!(code(fetch(&world, stranger(), None)), "IC0406");
    set(&mut world, LogVisibility::Public);
    fetch(&world, stranger(), None).unwrap();
    set(&mut world, LogVisibility::Controllers);
    assert_eq!(code(fetch(&world, viewer, None)), "IC0406");
    fetch(&world, owner(), None).unwrap();
}

#[test]
fn logs_are_read_by_queries_only() {
    let mut world = World::running(PRINTER);
    let arg = about(id());
    for result in [
        world.manage(owner(), "fetch_canister_logs", &arg),
        world.manage_by(id(), 0, "fetch_canister_logs", &arg),
        mgmt::target("fetch_canister_logs", &arg).map(|_| Vec::new()),
    ] {
        let reject = result.unwrap_err();
        assert_eq!(reject.error.to_string(), "IC0406");
        assert!(reject.message.contains("non-replicated"), "{}", reject.message);
    }
}

#[test]
fn a_filter_takes_the_lines_from_its_beginning_to_before_its_end() {
    let mut world = World::running(PRINTER);
    for text in ["two", "three", "four"] {
        say(&mut world, "say", text).unwrap();
    }
    let numbers = |filter| -> Vec<u64> {
        let lines = filtered(&world, Some(filter));
        lines.into_iter().map(|(idx, _, _)| idx).collect()
    };
    assert_eq!(numbers(CanisterLogFilter::ByIdx { start: 1, end: 3 }), [1, 2]);
    assert_eq!(
        numbers(CanisterLogFilter::ByIdx { start: 3, end: 1 }),
        Vec::<u64>::new()
    );
    assert_eq!(
        numbers(CanisterLogFilter::ByTimestampNanos {
            start: 3_000,
            end: 5_000
        }),
        [2, 3]
    );
}

#[test]
fn the_root_covers_what_was_printed() {
    let [mut one, mut two] = [World::running(PRINTER), World::running(PRINTER)];
    assert_eq!(one.machine.state().root(), two.machine.state().root());
    say(&mut one, "boom", "one").unwrap_err();
    say(&mut two, "boom", "two").unwrap_err();
    assert_ne!(one.machine.state().effects, two.machine.state().effects);
}

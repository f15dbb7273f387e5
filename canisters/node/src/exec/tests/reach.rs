//! From which kinds of execution each function of the system API may be called.
//!
//! The table is that of the interface specification, "Overview of imports", written down once more: one row for each function, with
//! its type and its contexts. Every function is called in every kind of execution that there is.

use super::*;
use crate::exec::limits::budget;
use crate::exec::quota::Growth;
use crate::exec::run::{Entry, Job, run};
use crate::state::canister::Code;
use crate::sysapi::context::Contexts;
use crate::sysapi::names::{KNOWN, NARROW};

/// Function, parameters (I is the index type), result, contexts.
const TABLE: &str = include_str!("reach.txt");

struct Row {
    name: &'static str,
    parameters: Vec<&'static str>,
    result: &'static str,
    contexts: Vec<&'static str>,
}

fn table() -> Vec<Row> {
    let rows = TABLE.lines().filter(|line| !line.is_empty()).map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        Row {
            name: cells[0],
            parameters: cells[1].split_whitespace().collect(),
            result: cells[2],
            contexts: cells[3].split_whitespace().collect(),
        }
    });
    rows.collect()
}

impl Row {
    fn allows(&self, context: &str) -> bool {
        self.contexts.contains(&context) || (context != "s" && self.contexts.contains(&"*"))
    }

    /// A module that calls the function, with zeros, in the context that [`reach`] brings about.
    fn module(&self, wide: bool, context: &str) -> String {
        let index = if wide { "i64" } else { "i32" };
        let kind = |kind: &str| {
            if kind == "I" {
                index.to_owned()
            } else {
                kind.to_owned()
            }
        };
        let parameters: String = self.parameters.iter().map(|one| kind(one) + " ").collect();
        let zeros: String = self
            .parameters
            .iter()
            .map(|one| format!("({}.const 0) ", kind(one)))
            .collect();
        let result = match self.result {
            "" => String::new(),
            one => format!("(result {})", kind(one)),
        };
        let call = match self.result {
            "" => format!("(call $probed {zeros})"),
            _ => format!("(drop (call $probed {zeros}))"),
        };
        let body = |here: &str| {
            if here == context {
                call.clone()
            } else {
                String::new()
            }
        };
        let started = if context == "s" { "(start $probe)" } else { "" };
        // Answers must come after the probe, in all contexts that give one.
        format!(
            r#"(module
            (import "ic0" "{name}" (func $probed (param {parameters}) {result}))
            (import "ic0" "msg_reply" (func $reply))
            (import "ic0" "call_new" (func $new
              (param {index} {index} {index} {index} {index} {index} {index} {index})))
            (import "ic0" "call_on_cleanup" (func $on_cleanup (param {index} {index})))
            (import "ic0" "call_perform" (func $perform (result i32)))
            (import "ic0" "global_timer_set" (func $arm (param i64) (result i64)))
            (memory {memory} 1)
            (table 3 funcref)
            (elem (i32.const 0) $on_reply $on_reject $on_cleaned)
            (func $probe {start})
            (func (export "probe") {call})
            (func (export "canister_update arm") (drop (call $arm (i64.const 900000))) (call $reply))
            {started}
            (func $go (param $name {index}) (param $size {index})
              (call $new ({index}.const 100) ({index}.const 10) (local.get $name) (local.get $size)
                ({index}.const 0) ({index}.const 0) ({index}.const 1) ({index}.const 0))
              (call $on_cleanup ({index}.const 2) ({index}.const 0))
              (drop (call $perform)))
            (func (export "canister_init") {init})
            (func (export "canister_pre_upgrade") {pre})
            (func (export "canister_inspect_message") {inspect})
            (func (export "canister_global_timer") {timer})
            (func (export "canister_update U") {update} (call $reply))
            (func (export "canister_query Q") {query} (call $reply))
            (func (export "canister_composite_query CQ") {composite} (call $reply))
            (func (export "canister_update reply") (call $go ({index}.const 110) ({index}.const 2)))
            (func (export "canister_update reject") (call $go ({index}.const 112) ({index}.const 2)))
            (func (export "canister_composite_query reply_composite") (call $go ({index}.const 110) ({index}.const 2)))
            (func (export "canister_composite_query reject_composite") (call $go ({index}.const 112) ({index}.const 2)))
            (func (export "canister_query ok") (call $reply))
            (func $on_reply (param {index}) {replied}{trap} (call $reply))
            (func $on_reject (param {index}) {rejected} (call $reply))
            (func $on_cleaned (param {index}) {cleaned})
            (data ({index}.const 100) "\00\00\00\08\00\00\00\00\01\01okno"))"#,
            name = self.name,
            memory = if wide { "i64" } else { "" },
            start = body("s"),
            init = body("I"),
            pre = body("G"),
            inspect = body("F"),
            timer = body("T"),
            update = body("U"),
            query = if context == "RQ" || context == "NRQ" {
                call.clone()
            } else {
                String::new()
            },
            composite = body("CQ"),
            replied = if context == "Ry" || context == "CRy" {
                call.clone()
            } else {
                String::new()
            },
            rejected = if context == "Rt" || context == "CRt" {
                call.clone()
            } else {
                String::new()
            },
            trap = if context == "C" || context == "CC" {
                "(unreachable)"
            } else {
                ""
            },
            cleaned = if context == "C" || context == "CC" {
                call.clone()
            } else {
                String::new()
            },
        )
    }
}

/// Brings a context about and returns the message of the rejection, if there was one.
fn reach(wat: &str, context: &str) -> Option<String> {
    let mut world = World::new();
    let result = world
        .install(wat, CanisterInstallMode::Install, b"")
        .and_then(|_| match context {
            "s" | "I" => Ok(vec![]),
            "G" => world.install(wat, CanisterInstallMode::Upgrade(None), b""),
            "F" => {
                let call = world.call("U");
                // One that is not accepted was not stopped.
                let inspected = world.machine.executor.inspect(world.canister(), &call);
                inspected
                    .map(|()| vec![])
                    .or_else(|reject| match reject.error.to_string().as_str() {
                        "IC0406" => Ok(vec![]),
                        _ => Err(reject),
                    })
            }
            "U" => world.update("U"),
            "RQ" => world.update("Q"),
            "NRQ" => world.query("Q"),
            "CQ" => world.query("CQ"),
            "Ry" => world.update("reply"),
            "Rt" => world.update("reject"),
            "CRy" => world.query("reply_composite"),
            "CRt" => world.query("reject_composite"),
            _ => unreachable!("{context}"),
        });
    result.err().map(|reject| reject.message)
}

/// All kinds of execution.
const KINDS: [(&str, Contexts); 16] = [
    ("I", Contexts::I),
    ("G", Contexts::G),
    ("U", Contexts::U),
    ("RQ", Contexts::RQ),
    ("NRQ", Contexts::NRQ),
    ("TQ", Contexts::TQ),
    ("CQ", Contexts::CQ),
    ("Ry", Contexts::RY),
    ("Rt", Contexts::RT),
    ("CRy", Contexts::CRY),
    ("CRt", Contexts::CRT),
    ("C", Contexts::C),
    ("CC", Contexts::CC),
    ("s", Contexts::S),
    ("F", Contexts::F),
    ("T", Contexts::T),
];

fn refused(row: &Row) -> String {
    format!("\"{}\" cannot be executed in this context", row.name)
}

fn check(row: &Row, wide: bool) {
    let executor = executor(Limits::default());
    let mut canister = Canister::new(id(), crate::mgmt::default_settings(owner()), 0);
    let wasm = wat::parse_str(row.module(wide, "U")).unwrap();
    let code = Code::new(wasm.into(), &executor.engine).unwrap();
    canister.heap.size = 1;
    canister.code = Some(Arc::new(code));
    let call = Call {
        caller: owner(),
        method: "U".into(),
        arg: [].into(),
        time: 1,
    };
    for (context, kind) in KINDS {
        let job = Job {
            code: &canister.code.as_ref().unwrap().compiled,
            heap: &canister.heap,
            stable: canister.stable.clone(),
            kind,
            view: executor.view(&canister, &call),
            budget: budget(&canister, Contexts::S, 1_000_000, Growth { node: 0, canister: 0 }),
            entry: Entry::Export("probe"),
            keep: false,
        };
        let message = match run(&executor.engine, job) {
            Ok(_) => String::new(),
            Err(stopped) => stopped.reject.message,
        };
        assert_eq!(
            message.contains(&refused(row)),
            !row.allows(context),
            "{} in {context} (wide: {wide}): {message}",
            row.name
        );
    }
}

#[test]
fn the_table_has_every_function_once() {
    let names: Vec<&str> = table().iter().map(|row| row.name).collect();
    assert_eq!(names, KNOWN);
}

#[test]
fn each_function_is_refused_by_name_in_every_context_that_it_is_not_for_and_in_no_other() {
    for row in table() {
        check(&row, false);
    }
}

#[test]
fn so_it_is_for_canisters_of_64_bits_and_those_have_none_of_the_old_functions() {
    for row in table() {
        if NARROW.contains(&row.name) {
            let mut world = World::new();
            let result = world.install(&row.module(true, "U"), CanisterInstallMode::Install, b"");
            assert_eq!(code(result), "IC0505", "{}", row.name);
        } else {
            check(&row, true);
        }
    }
}

/// Functions by whose contexts any two kinds of execution can be told apart.
const TELLING: [&str; 7] = [
    "accept_message",
    "certified_data_set",
    "data_certificate_present",
    "msg_arg_data_size",
    "msg_cycles_refunded128",
    "msg_reject_code",
    "root_key_size",
];

#[test]
fn every_entry_point_runs_in_its_own_kind_of_execution() {
    for row in table().iter().filter(|row| TELLING.contains(&row.name)) {
        for context in [
            "s", "I", "G", "F", "U", "RQ", "NRQ", "CQ", "Ry", "Rt", "CRy", "CRt",
        ] {
            let message = reach(&row.module(false, context), context).unwrap_or_default();
            assert_eq!(
                message.contains(&refused(row)),
                !row.allows(context),
                "{} in {context}: {message}",
                row.name
            );
        }
    }
}

#[test]
fn timers_and_cleanups_run_in_their_own_kinds_of_execution() {
    for row in table().iter().filter(|row| TELLING.contains(&row.name)) {
        let mut world = World::running(&row.module(false, "C"));
        world.update("reply").unwrap_err();
        // The update, and the cleanup when it was not stopped.
        let version = world.canister().version;
        assert_eq!(version == 3, row.allows("C"), "{} in C: {version}", row.name);

        let mut world = World::running(&row.module(false, "T"));
        world.update("arm").unwrap();
        let version = world.canister().version;
        world.tick(1_000_000);
        let ran = world.canister().version > version;
        assert_eq!(ran, row.allows("T"), "{} in T", row.name);
        assert_eq!(world.canister().timer, 0);
    }
}

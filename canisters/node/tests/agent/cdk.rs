//! A canister of the official kit (`tests/cdk`): what it links, what it awaits, and what becomes of it.

#[path = "../cdk/src/answers.rs"]
mod answers;

use crate::network::*;
use answers::Answers;
use candid::Principal;
use candid::utils::{ArgumentDecoder, ArgumentEncoder, decode_args, encode_args};
use dcanary_node::{Config, Modules, NARROW_SYSTEM_API, Node, SYSTEM_API};
use ic_agent::identity::BasicIdentity;
use ic_agent::{Agent, AgentError, Identity};
use ic_management_canister_types::{
    CanisterInstallMode, CanisterSettings, EnvironmentVariable, InstallCodeArgs, UpdateSettingsArgs,
};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

/// The kit's canister: `tests/cdk.wasm` of the folder `$DCANARY_CANISTERS`, or built now.
fn wasm() -> &'static [u8] {
    static WASM: OnceLock<Vec<u8>> = OnceLock::new();
    WASM.get_or_init(|| {
        let folder = std::env::var_os("DCANARY_CANISTERS").map_or_else(build, PathBuf::from);
        std::fs::read(folder.join("tests/cdk.wasm")).unwrap()
    })
}

fn build() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("canisters");
    std::fs::create_dir_all(&folder).unwrap();
    let lock = std::fs::File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../build.sh");
    let status = std::process::Command::new(script)
        .arg("--tests")
        .arg(&folder)
        .status()
        .unwrap();
    assert!(status.success(), "{script} failed");
    folder
}

/// A canister of the kit on a node, and whoever controls it.
struct Kit {
    network: Network,
    agent: Agent,
    me: Principal,
    canister: Principal,
}

impl Kit {
    async fn start() -> Self {
        static MODULES: OnceLock<Modules> = OnceLock::new();
        let modules = MODULES.get_or_init(|| Modules::new().unwrap()).clone();
        let node = Node::start(Config::ephemeral().modules(modules)).await.unwrap();
        let network = Network { node };
        let identity = BasicIdentity::from_raw_key(&[7; 32]);
        let me = identity.sender().unwrap();
        let agent = network.agent(identity);
        let canister = create(&agent).await;
        let kit = Self {
            network,
            agent,
            me,
            canister,
        };
        kit.install(canister, CanisterInstallMode::Install, "hello").await;
        kit
    }

    /// Another one of the same code.
    async fn another(&self) -> Principal {
        let canister = create(&self.agent).await;
        self.install(canister, CanisterInstallMode::Install, "I am the other one")
            .await;
        canister
    }

    async fn install(&self, canister: Principal, mode: CanisterInstallMode, greeting: &str) {
        let arg = InstallCodeArgs {
            mode,
            canister_id: canister,
            wasm_module: wasm().to_vec(),
            arg: encode_args((greeting,)).unwrap(),
            sender_canister_version: None,
        };
        let arg = encode_args((arg,)).unwrap();
        manage(&self.agent, canister, "install_code", arg).await.unwrap();
    }

    async fn try_call<T: for<'a> ArgumentDecoder<'a>>(
        &self,
        method: &str,
        argument: impl ArgumentEncoder,
    ) -> Result<T, AgentError> {
        let call = self.agent.update(&self.canister, method);
        let reply = call
            .with_arg(encode_args(argument).unwrap())
            .call_and_wait()
            .await?;
        Ok(decode_args(&reply).unwrap())
    }

    async fn call<T: for<'a> ArgumentDecoder<'a>>(&self, method: &str, argument: impl ArgumentEncoder) -> T {
        self.try_call(method, argument).await.unwrap()
    }

    async fn ask<T: for<'a> ArgumentDecoder<'a>>(
        &self,
        canister: Principal,
        method: &str,
        argument: impl ArgumentEncoder,
    ) -> T {
        let query = self.agent.query(&canister, method);
        let reply = query
            .with_arg(encode_args(argument).unwrap())
            .call()
            .await
            .unwrap();
        decode_args(&reply).unwrap()
    }

    async fn events(&self, canister: Principal) -> Vec<String> {
        let (events,) = self.ask(canister, "events", ()).await;
        events
    }

    /// Waits until the canister has noted what is asked for.
    async fn until(&self, noted: impl Fn(&[String]) -> bool) -> Vec<String> {
        let there = async {
            loop {
                let events = self.events(self.canister).await;
                if noted(&events) {
                    return events;
                }
                tokio::task::yield_now().await;
            }
        };
        let there = tokio::time::timeout(Duration::from_mins(1), there).await;
        there.expect("it does not come")
    }
}

#[test]
fn the_kit_links_every_function_that_the_node_knows_but_those_that_newer_ones_replace() {
    let wasm = wasm();
    let mut linked = BTreeSet::new();
    for payload in wasmparser::Parser::new(0).parse_all(wasm) {
        if let wasmparser::Payload::ImportSection(imports) = payload.unwrap() {
            for import in imports.into_imports() {
                let import = import.unwrap();
                assert_eq!(import.module, "ic0");
                linked.insert(import.name);
            }
        }
    }
    let known: BTreeSet<&str> = SYSTEM_API.iter().copied().collect();
    let left: Vec<&str> = known.difference(&linked).copied().collect();
    assert_eq!(left, NARROW_SYSTEM_API);
    assert!(linked.is_subset(&known), "{:?}", linked.difference(&known));
}

#[tokio::test]
async fn the_system_tells_a_canister_of_the_kit_who_where_and_when_it_is() {
    let kit = Kit::start().await;
    let variable = EnvironmentVariable {
        name: "STAGE".to_owned(),
        value: "a, b = c".to_owned(),
    };
    let settings = UpdateSettingsArgs {
        canister_id: kit.canister,
        settings: CanisterSettings {
            environment_variables: Some(vec![variable]),
            ..CanisterSettings::default()
        },
        sender_canister_version: None,
    };
    let settings = encode_args((settings,)).unwrap();
    manage(&kit.agent, kit.canister, "update_settings", settings)
        .await
        .unwrap();

    let (update,): (Answers,) = kit.call("in_an_update", ()).await;
    assert_eq!((update.caller, update.itself), (kit.me, kit.canister));
    assert_eq!(
        (update.caller_info.as_slice(), update.caller_info_signer),
        (&[][..], None)
    );
    assert!(!update.deadline);
    assert_eq!(update.root_key, kit.network.node.root_key());
    assert_eq!((update.nodes, update.running, update.replicated), (1, true, true));
    assert!(update.controlled_by_caller && update.liquid <= update.balance && update.liquid > 0);
    assert!(update.instructions[0] > 0 && update.instructions[1] >= update.instructions[0]);
    assert_eq!(update.variables, [("STAGE".to_owned(), "a, b = c".to_owned())]);
    assert_eq!(update.certificate, None);

    let (query,): (Answers,) = kit.ask(kit.canister, "in_a_query", ()).await;
    assert_eq!(query.caller, kit.me);
    assert!(!query.replicated && query.certificate.is_some());
    assert!(query.time >= update.time && query.version > 0);

    let (call,): (Result<Answers, String>,) = kit.call("in_a_call", ()).await;
    let call = call.unwrap();
    assert_eq!(call.caller, kit.canister);
    assert!(call.deadline && !call.controlled_by_caller && call.version > query.version);
    assert_eq!(call.subnet, update.subnet);
}

#[tokio::test]
async fn what_a_canister_of_the_kit_certifies_burns_prints_and_stores_is_so() {
    let kit = Kit::start().await;
    let _: () = kit.call("certify", (vec![9_u8; 32],)).await;
    let (burnt,): (u128,) = kit.call("burn", (1_000_u128,)).await;
    assert_eq!(burnt, 1_000);
    let _: () = kit.call("print", ("seen by its controllers",)).await;
    let before: (u64, u64) = kit.call("alarm", (u64::MAX,)).await;
    assert_eq!(before, (0, u64::MAX));
    let (stored,): (Result<(u64, Vec<u8>), String>,) = kit.call("stable_memory", (b"kept".to_vec(),)).await;
    assert_eq!(stored, Ok((1, b"kept".to_vec())));
    let (costs, keys): (Vec<u128>, Vec<String>) = kit.ask(kit.canister, "costs", ()).await;
    assert_eq!(costs.len(), 3);
    let (there, nowhere) = keys.split_at(3);
    assert!(there.iter().all(|cost| cost == "26153846153"), "{keys:?}");
    assert!(
        nowhere.iter().all(|error| error == "invalid key name"),
        "{keys:?}"
    );
}

#[tokio::test]
async fn random_bytes_are_awaited_and_are_others_each_time() {
    let kit = Kit::start().await;
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        let (bytes,): (Result<Vec<u8>, String>,) = kit.call("random", ()).await;
        let bytes = bytes.unwrap();
        assert_eq!(bytes.len(), 32);
        assert!(seen.insert(bytes), "the same bytes twice");
    }
}

#[tokio::test]
async fn a_trap_after_an_await_releases_what_was_held_and_undoes_only_what_came_after() {
    let kit = Kit::start().await;
    let other = kit.another().await;
    let ask = |fall| kit.try_call::<(Result<String, String>,)>("hold_and_ask", (other, "text", fall));
    let (answer,) = ask(false).await.unwrap();
    assert_eq!(answer, Ok("text".to_owned()));
    assert_eq!(kit.events(kit.canister).await, ["holds", "was answered"]);

    let fallen = ask(true).await.unwrap_err().to_string();
    assert!(fallen.contains("after the answer"), "{fallen}");
    assert_eq!(kit.events(kit.canister).await, ["holds", "was answered", "holds"]);
    let (taken,): (bool,) = kit.ask(kit.canister, "taken", ()).await;
    assert!(!taken, "the place is held by a call that is gone");
    let (answer,) = ask(false).await.unwrap();
    assert_eq!(answer, Ok("text".to_owned()));
    assert_eq!(kit.events(other).await, ["echo text"; 3]);
}

#[tokio::test]
async fn a_caller_gets_the_reply_or_the_rejection_with_its_code() {
    type Answer = Result<String, (u32, String, bool)>;
    let kit = Kit::start().await;
    let other = kit.another().await;
    let nobody = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 9, 9, 1, 1]);
    for bounded in [false, true] {
        let ask = async |canister: Principal, method: &str, argument: Option<&str>| {
            let (answer,): (Answer,) = kit.call("ask", (canister, method, argument, bounded)).await;
            answer
        };
        assert_eq!(ask(other, "echo", Some("text")).await, Ok("text".to_owned()));
        let (code, message, clean) = ask(other, "refuse", Some("not today")).await.unwrap_err();
        assert_eq!((code, message.as_str(), clean), (4, "not today", false));
        let (code, message, _) = ask(other, "fall", None).await.unwrap_err();
        assert_eq!(code, 5);
        assert!(message.contains("on purpose"), "{message}");
        let (code, _, clean) = ask(nobody, "echo", Some("text")).await.unwrap_err();
        assert_eq!((code, clean), (3, true));
        let (code, message, _) = ask(other, "no_such_method", None).await.unwrap_err();
        assert!(code == 3 || code == 5, "{code} {message}");
        assert!(message.contains("no_such_method"), "{message}");
        // not asked whether it is let in: only messages from outside are
        assert_eq!(
            ask(other, "only_for_canisters", None).await,
            Ok("let in".to_owned())
        );
    }
    assert!(
        !kit.events(other)
            .await
            .iter()
            .any(|event| event.contains("nowhere"))
    );
    let refused = kit.try_call::<(String,)>("only_for_canisters", ()).await;
    assert!(
        refused.is_err(),
        "a message that the canister does not accept was executed"
    );
}

#[tokio::test]
async fn calls_without_an_answer_arrive_in_order_and_two_calls_at_once_are_both_answered() {
    let kit = Kit::start().await;
    let (one, other) = (kit.another().await, kit.another().await);
    let (sent,): (Result<(), String>,) = kit.call("send", (one,)).await;
    sent.unwrap();
    assert_eq!(kit.events(one).await, ["echo first", "echo second", "echo third"]);
    let (mut both,): (Vec<String>,) = kit.call("ask_both", (one, other)).await;
    both.sort();
    let mut expected = [one, other].map(|canister| canister.to_text());
    expected.sort();
    assert_eq!(both, expected);
    let (asked,): (Result<String, String>,) =
        kit.ask(kit.canister, "ask_in_a_query", (one, "composite")).await;
    assert_eq!(asked, Ok("composite".to_owned()));
}

#[tokio::test]
async fn cycles_that_nobody_takes_come_back() {
    let kit = Kit::start().await;
    let other = kit.another().await;
    let (paid,): (Result<(u128, u128, u128), String>,) = kit.call("pay", (other, 1_000_u128, 300_u128)).await;
    assert_eq!(paid, Ok((1_000, 300, 700)));
}

#[tokio::test]
async fn timers_fire_in_time_await_repeat_and_end_when_they_are_cleared() {
    let kit = Kit::start().await;
    let other = kit.another().await;
    let both = vec![(20_u64, "second"), (0, "first")];
    let _: () = kit.call("later", (both, other)).await;
    let events = kit.until(|events| events.len() == 2).await;
    assert_eq!(events, ["timer first true", "timer second true"]);
    assert_eq!(kit.events(other).await, ["echo first", "echo second"]);

    let _: () = kit.call("repeat", (1_u64, "tock")).await;
    kit.until(|events| events.iter().filter(|event| *event == "tick tock").count() >= 3)
        .await;
    let _: () = kit.call("stop_repeating", ()).await;
    let before = kit.events(kit.canister).await;
    let _: () = kit.call("later", (vec![(20_u64, "last")], other)).await;
    let events = kit
        .until(|events| events.last().is_some_and(|event| event == "timer last true"))
        .await;
    assert_eq!(
        events.len(),
        before.len() + 1,
        "a timer that was cleared fires: {events:?}"
    );

    let _: () = kit.call("fall_later", ()).await;
    kit.until(|events| events.last().is_some_and(|event| event == "timer after a fall"))
        .await;
    let (answer,): (String,) = kit.call("answer_first", (other,)).await;
    assert_eq!(answer, "answered");
    kit.until(|events| events.last().is_some_and(|event| event == "spawned true"))
        .await;
}

#[tokio::test]
async fn a_canister_of_the_kit_makes_looks_at_and_deletes_another_one() {
    let kit = Kit::start().await;
    let (saw,): (Result<Vec<String>, String>,) = kit.call("life_of_another", (counter(),)).await;
    let expected = [
        "2 controllers",
        "module true",
        "3 changes",
        "stopped true",
        "gone true",
    ];
    assert_eq!(saw.unwrap(), expected);
}

#[tokio::test]
async fn what_is_left_out_is_refused_by_name_and_the_canister_goes_on() {
    let kit = Kit::start().await;
    let (signed,): (Result<(), String>,) = kit.call("sign", ()).await;
    let signed = signed.unwrap_err();
    assert!(signed.contains("sign_with_ecdsa"), "{signed}");
    let fetched = kit.try_call::<(Result<(), String>,)>("fetch", ()).await;
    let fetched = fetched.unwrap_err().to_string();
    assert!(
        fetched.contains("ic0.cost_http_request_v2 is not supported"),
        "{fetched}"
    );
    let (text,): (String,) = kit.call("echo", ("on it goes",)).await;
    assert_eq!(text, "on it goes");
}

#[tokio::test]
async fn an_upgrade_of_the_kit_keeps_what_it_saved_and_a_reinstallation_nothing() {
    let kit = Kit::start().await;
    let (_,): (String,) = kit.call("echo", ("before",)).await;
    kit.install(kit.canister, CanisterInstallMode::Upgrade(None), "ignored")
        .await;
    let (greeting,): (String,) = kit.ask(kit.canister, "greeting", ()).await;
    assert_eq!(greeting, "hello");
    assert_eq!(kit.events(kit.canister).await, ["echo before", "upgraded"]);
    kit.install(kit.canister, CanisterInstallMode::Reinstall, "again")
        .await;
    let (greeting,): (String,) = kit.ask(kit.canister, "greeting", ()).await;
    assert_eq!(greeting, "again");
    assert!(kit.events(kit.canister).await.is_empty());
}

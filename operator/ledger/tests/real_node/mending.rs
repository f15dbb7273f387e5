//! A module that is no ledger is not put over one, and where somebody has done so it is replaced again.

use candid::Encode;
use dcanary_ledger::{
    deploy::{DeployError, ModuleError, Person, Wanted, ask, deploy, look, mend, upgrade},
    transport,
};
use ic_management_canister_types::{CanisterInstallMode, InstallCodeArgs};

use super::*;

const OTHER: &[u8] = br#"(module (func (export "canister_query hello")))"#;

fn other() -> Vec<u8> {
    wat::parse_bytes(OTHER).unwrap().into_owned()
}

fn person(world: &World) -> Person {
    Person {
        transport: world.transport(),
        root_key: world.root_key.clone(),
        identity: world.owner.clone(),
    }
}

/// Puts a module over the ledger as other tools do, which look at nothing.
async fn put_over(world: &World, wasm_module: Vec<u8>) {
    let agent = transport::agent(&world.transport(), &world.root_key, world.owner.clone()).unwrap();
    let arguments = InstallCodeArgs {
        mode: CanisterInstallMode::Upgrade(None),
        canister_id: FIRST_CANISTER,
        wasm_module,
        arg: vec![],
        sender_canister_version: None,
    };
    agent
        .update(&Principal::management_canister(), "install_code")
        .with_effective_canister_id(FIRST_CANISTER)
        .with_arg(Encode!(&arguments).unwrap())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_is_no_ledger_is_put_over_none_and_into_no_empty_canister() {
    let world = World::new().await;
    let person = person(&world);
    let before = look(&person, FIRST_CANISTER).await.unwrap();
    let wanted = Wanted {
        ledger: FIRST_CANISTER,
        wasm: other(),
        owner: None,
        operators: vec![],
    };
    for error in [
        upgrade(&person, FIRST_CANISTER, other()).await.unwrap_err(),
        mend(&person, FIRST_CANISTER, other()).await.unwrap_err(),
        deploy(&person, wanted).await.unwrap_err(),
    ] {
        let missing = matches!(error, DeployError::Module(ModuleError::NoLedger { .. }));
        assert!(missing, "{error}");
        assert!(error.to_string().contains("`canister_query protocol`"), "{error}");
    }
    assert_eq!(look(&person, FIRST_CANISTER).await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_that_is_no_ledger_is_replaced_by_who_was_told_of_it_and_the_journal_is_there_again() {
    let world = World::new().await;
    let before = world.client(memory()).head().await.unwrap();
    put_over(&world, other()).await;
    let person = person(&world);
    let DeployError::Ledger(found) = ask(&person, FIRST_CANISTER).await.unwrap_err() else {
        panic!("the canister answers");
    };
    assert!(found.is_of_no_ledger(), "{found}");
    // who was not told changes nothing
    let error = upgrade(&person, FIRST_CANISTER, wasm()).await.unwrap_err();
    assert!(matches!(error, DeployError::Ledger(_)), "{error}");
    let stranger = Person {
        identity: support::identity(),
        ..person.clone()
    };
    let error = mend(&stranger, FIRST_CANISTER, wasm()).await.unwrap_err();
    assert!(matches!(error, DeployError::NotController { .. }), "{error}");
    let mended = mend(&person, FIRST_CANISTER, wasm()).await.unwrap();
    assert!(mended.done[0].contains("which is no ledger"), "{:?}", mended.done);
    let after = world.client(memory()).head().await.unwrap();
    assert_eq!((after.size, after.root), (before.size, before.root));
}

/// A module that is a ledger by its exports, and answers nothing: what it does instead.
fn silent(protocol: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
        (import "ic0" "trap" (func $trap (param i32 i32)))
        (memory 1) (data (i32.const 0) "Panicked at 'no journal'")
        (func (export "canister_init")) (func (export "canister_post_upgrade"))
        (func (export "canister_update append")) (func (export "canister_query protocol") {protocol})
        (func (export "canister_query policy")) (func (export "canister_query blocks"))
        (func (export "canister_query consistency")))"#
    );
    wat::parse_str(text).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_that_cannot_be_asked_after_the_upgrade_is_told_with_the_way_back() {
    let world = World::new().await;
    let person = person(&world);
    let before = look(&person, FIRST_CANISTER).await.unwrap().module_hash.unwrap();
    let journal = world.client(memory()).head().await.unwrap();
    for (protocol, code) in [
        ("unreachable", "IC0502"),
        // as code in Rust panics
        ("(call $trap (i32.const 0) (i32.const 24))", "IC0503"),
        ("", "IC0506"),
    ] {
        let silent = silent(protocol);
        let error = upgrade(&person, FIRST_CANISTER, silent.clone())
            .await
            .unwrap_err();
        assert!(matches!(error, DeployError::Replaced { .. }), "{error}");
        let told = error.to_string();
        for part in [
            format!("was replaced by module {}", hex::encode(sha256(&silent))),
            format!("dcanary ledger upgrade --canister {FIRST_CANISTER} --wasm FILE"),
            hex::encode(before),
        ] {
            assert!(told.contains(&part), "{told}");
        }
        // who runs that is told that it is none
        let DeployError::Ledger(found) = ask(&person, FIRST_CANISTER).await.unwrap_err() else {
            panic!("the canister answers");
        };
        assert!(found.is_of_no_ledger(), "{found}");
        assert!(found.to_string().contains(code), "{found}");
        // and it is the way back
        let back = mend(&person, FIRST_CANISTER, wasm()).await.unwrap();
        assert_eq!(back.module_hash, before);
    }
    let after = world.client(memory()).head().await.unwrap();
    assert_eq!((after.size, after.root), (journal.size, journal.root));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canister_that_refuses_is_left_alone_whatever_it_says() {
    let world = World::new().await;
    let person = person(&world);
    let words = "Canister trapped: so it says";
    let refusing = format!(
        r#"(module
        (import "ic0" "msg_reject" (func $reject (param i32 i32)))
        (memory 1) (data (i32.const 0) "{words}")
        (func (export "canister_query protocol") (call $reject (i32.const 0) (i32.const {}))))"#,
        words.len()
    );
    put_over(&world, wat::parse_str(refusing).unwrap()).await;
    let before = look(&person, FIRST_CANISTER).await.unwrap();
    for error in [
        ask(&person, FIRST_CANISTER).await.unwrap_err(),
        mend(&person, FIRST_CANISTER, wasm()).await.unwrap_err(),
    ] {
        let DeployError::Ledger(source) = error else {
            panic!("{error}");
        };
        assert!(!source.is_of_no_ledger(), "{source}");
    }
    assert_eq!(look(&person, FIRST_CANISTER).await.unwrap(), before);
}

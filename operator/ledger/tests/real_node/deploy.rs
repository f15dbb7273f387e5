//! A person deploys and upgrades the ledger on a network that is not the operator's.

use candid::{CandidType, Encode, Nat};
use dcanary_ledger::{
    deploy::{
        CYCLES_LEDGER, DeployError, Maker, Person, Wanted, check_separate, create, deploy, look, upgrade,
    },
    setup::Grant,
    transport,
};
use dcanary_node::{Creators, Mode};
use ic_agent::{Agent, Identity, identity::Secp256k1Identity};
use ic_management_canister_types::{
    CanisterInstallMode, CanisterSettings, InstallCodeArgs, ProvisionalCreateCanisterWithCyclesArgs,
};

use super::{identity::hand_over, *};

const T: u128 = 1_000_000_000_000;

fn person(world: &World, identity: &Arc<dyn Identity>) -> Person {
    Person {
        transport: world.transport(),
        root_key: world.root_key.clone(),
        identity: identity.clone(),
    }
}

fn sender(identity: &Arc<dyn Identity>) -> Principal {
    identity.sender().unwrap()
}

fn operator(principal: Principal) -> Grant {
    Grant {
        principal,
        project: "shop".to_owned(),
        domain: "east".to_owned(),
    }
}

fn wanted(ledger: Principal, operators: Vec<Grant>) -> Wanted {
    Wanted {
        ledger,
        wasm: wasm(),
        owner: None,
        operators,
    }
}

/// The same module with one more custom section: other bytes, other hash.
fn newer() -> Vec<u8> {
    let mut newer = wasm();
    newer.extend([0, 3, 1, b'x', 0]);
    newer
}

/// A key as `icp` makes them by default.
fn ann() -> Arc<dyn Identity> {
    let key = k256::SecretKey::from_slice(&[5; 32]).unwrap();
    Arc::new(Secp256k1Identity::from_private_key(key))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_creates_and_deploys_and_an_operator_that_is_no_controller_records() {
    let world = World::bare().await;
    let (ann, ours) = (ann(), sender(&world.owner));
    let person = person(&world, &ann);
    let ledger = create(&person, Maker::Provisional, 7 * T).await.unwrap();
    let deployed = deploy(&person, wanted(ledger, vec![operator(ours)]))
        .await
        .unwrap();
    assert_eq!(deployed.ledger, ledger);
    assert_eq!(deployed.module_hash, sha256(&wasm()));
    assert_eq!(
        deployed.controllers,
        [sender(&ann)],
        "as the network certifies it"
    );
    assert_eq!(deployed.cycles, Some(7 * T));
    assert_eq!(deployed.done.len(), 2, "{:?}", deployed.done);
    assert!(deployed.policy.is_owner(sender(&ann).as_slice()));
    assert_eq!(
        deployed.policy.operator_domain("shop", ours.as_slice()),
        Some("east")
    );

    // The operator, on a network of others.
    let config = dcanary_ledger::IcLedgerConfig::new(
        world.url(),
        world.root_key.clone(),
        ledger,
        world.owner.clone(),
        memory(),
    );
    let client = dcanary_ledger::IcLedger::connect(config.of_others()).unwrap();
    let mut desk = Desk::new(client);
    desk.recorder.submit(outbox("run-1", whole_run("run-1")));
    assert_eq!(desk.until("run-1", 3, &mut Vec::new()).await, [2, 3, 4, 5]);

    // The same command again changes nothing; with another operator it grants, and nothing else.
    let again = deploy(&person, wanted(ledger, vec![operator(ours)]))
        .await
        .unwrap();
    assert_eq!(again.done, Vec::<String>::new());
    let other = sender(&support::identity());
    let more = deploy(&person, wanted(ledger, vec![operator(ours), operator(other)]))
        .await
        .unwrap();
    assert_eq!(more.done.len(), 1, "{:?}", more.done);
    assert!(more.done[0].contains(&other.to_text()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_in_production_makes_the_canister_for_those_whom_it_lists_as_creators() {
    let (ann, bob) = (ann(), support::identity());
    let only_ann = Creators::Only([sender(&ann)].into());
    let world = World::of(|config| config.mode(Mode::Production).creators(only_ann)).await;
    let signs = person(&world, &ann);
    let ledger = create(&signs, Maker::Provisional, 7 * T).await.unwrap();
    let made = look(&signs, ledger).await.unwrap();
    assert_eq!((made.module_hash, made.controllers), (None, vec![sender(&ann)]));
    let error = create(&person(&world, &bob), Maker::Provisional, T)
        .await
        .unwrap_err();
    assert!(matches!(error, DeployError::NotMade { .. }), "{error}");
    let named = format!("--creators {}", sender(&bob));
    assert!(error.to_string().contains(&named), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_that_would_control_the_ledger_is_refused_before_anything_is_installed() {
    let world = World::bare().await;
    let ann = ann();
    let person = person(&world, &ann);
    assert!(check_separate(&[operator(sender(&ann))], sender(&ann)).is_err());
    let ledger = create(&person, Maker::Provisional, T).await.unwrap();
    let error = deploy(&person, wanted(ledger, vec![operator(sender(&ann))]))
        .await
        .unwrap_err();
    assert!(matches!(error, DeployError::OperatorControls { .. }), "{error}");
    assert!(error.to_string().contains("OperatorIsController"), "{error}");
    assert_eq!(look(&person, ledger).await.unwrap().module_hash, None);

    let other = operator(sender(&support::identity()));
    assert!(check_separate(std::slice::from_ref(&other), sender(&ann)).is_ok());
    deploy(&person, wanted(ledger, vec![other])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_controller_installs_and_only_an_owner_grants() {
    let world = World::bare().await;
    let (ann, bob) = (ann(), support::identity());
    let (ann_signs, bob_signs) = (person(&world, &ann), person(&world, &bob));
    let ledger = create(&ann_signs, Maker::Provisional, T).await.unwrap();
    let error = deploy(&bob_signs, wanted(ledger, vec![])).await.unwrap_err();
    let DeployError::NotController { caller, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(*caller, sender(&bob));
    assert!(error.to_string().contains("--add-controller"), "{error}");

    // Ann opens it for Bob: she controls the code, he owns the journal.
    let grant = operator(sender(&support::identity()));
    let for_bob = |operators: Vec<Grant>| Wanted {
        owner: Some(sender(&bob)),
        ..wanted(ledger, operators)
    };
    let error = deploy(&ann_signs, for_bob(vec![grant.clone()]))
        .await
        .unwrap_err();
    assert!(matches!(error, DeployError::NotOwner { .. }), "{error}");
    assert_eq!(
        look(&ann_signs, ledger).await.unwrap().module_hash,
        None,
        "found out in time"
    );
    deploy(&ann_signs, for_bob(vec![])).await.unwrap();
    let error = deploy(&ann_signs, wanted(ledger, vec![grant.clone()]))
        .await
        .unwrap_err();
    assert!(matches!(error, DeployError::NotOwner { .. }), "{error}");
    let granted = deploy(&bob_signs, wanted(ledger, vec![grant])).await.unwrap();
    assert_eq!(granted.done.len(), 1, "{:?}", granted.done);
    assert_eq!(granted.cycles, None, "he may not know");

    let ann_owns = Wanted {
        owner: Some(sender(&ann)),
        ..wanted(ledger, vec![])
    };
    let error = deploy(&ann_signs, ann_owns).await.unwrap_err();
    assert!(matches!(error, DeployError::OtherOwner { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_keeps_the_journal_and_only_a_controller_makes_it() {
    let world = World::new().await;
    let (ann, bob) = (ann(), support::identity());
    hand_over(&world, &world.owner, vec![sender(&ann)]).await;
    let (ann_signs, bob_signs) = (person(&world, &ann), person(&world, &bob));
    let before = world.client(memory()).head().await.unwrap();
    let error = deploy(
        &ann_signs,
        Wanted {
            wasm: newer(),
            ..wanted(FIRST_CANISTER, vec![])
        },
    )
    .await
    .unwrap_err();
    assert!(matches!(error, DeployError::OtherCode { .. }), "{error}");
    assert!(error.to_string().contains("dcanary ledger upgrade"), "{error}");
    let error = upgrade(&bob_signs, FIRST_CANISTER, newer()).await.unwrap_err();
    assert!(matches!(error, DeployError::NotController { .. }), "{error}");
    let upgraded = upgrade(&ann_signs, FIRST_CANISTER, newer()).await.unwrap();
    assert_eq!(upgraded.module_hash, sha256(&newer()));
    assert_eq!(
        (upgraded.blocks, upgraded.controllers),
        (before.size, vec![sender(&ann)])
    );
    let after = world.client(memory()).head().await.unwrap();
    assert_eq!((before.size, before.root), (after.size, after.root));
    let again = upgrade(&bob_signs, FIRST_CANISTER, newer()).await.unwrap();
    assert_eq!(again.done, Vec::<String>::new(), "there is nothing to do");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_who_deploys_or_upgrades_after_a_restore_says_so_in_the_journal_and_only_once() {
    let mut world = World::new().await;
    let owner = person(&world, &world.owner);
    for (incarnation, upgrades) in [(1, false), (2, true)] {
        let before = world.client(memory()).stats().await.unwrap().blocks;
        world.stop().await;
        world.restore_backup();
        world.start().await;
        let again = async || {
            if upgrades {
                upgrade(&owner, FIRST_CANISTER, wasm()).await.unwrap()
            } else {
                deploy(&owner, wanted(FIRST_CANISTER, vec![])).await.unwrap()
            }
        };
        let said = format!("recorded that the node was restored: incarnation {incarnation}");
        let done = again().await;
        assert_eq!((done.done, done.blocks), (vec![said], before + 1));
        let client = world.client(memory());
        let head = client.head().await.unwrap();
        let block = client.proven_block(before, &head).await.unwrap();
        assert_eq!(
            Body::of(&block).unwrap(),
            Body::Ledger(LedgerEvent::Restored { incarnation })
        );
        assert_eq!(again().await.done, Vec::<String>::new());
        // who controls it and does not own it says nothing, and is not refused for that
        let bob = person(&world, &support::identity());
        assert_eq!(
            upgrade(&bob, FIRST_CANISTER, wasm()).await.unwrap().done,
            Vec::<String>::new()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_ledger_is_not_upgraded() {
    let world = World::bare().await;
    let ann = ann();
    let person = person(&world, &ann);
    let nobody = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 9, 1, 1]);
    let error = upgrade(&person, nobody, wasm()).await.unwrap_err();
    assert!(matches!(error, DeployError::NoCanister { .. }), "{error}");
    let empty = create(&person, Maker::Provisional, T).await.unwrap();
    let error = upgrade(&person, empty, wasm()).await.unwrap_err();
    assert!(matches!(error, DeployError::Nothing { .. }), "{error}");
    let agent = transport::agent(&world.transport(), &world.root_key, ann.clone()).unwrap();
    let other = br#"(module (func (export "canister_query hello")))"#;
    install(&agent, empty, wasm_of(other)).await;
    let before = look(&person, empty).await.unwrap();
    upgrade(&person, empty, wasm()).await.unwrap_err();
    assert_eq!(look(&person, empty).await.unwrap(), before);
}

#[derive(CandidType)]
struct Success {
    block_id: Nat,
    canister_id: Principal,
}

#[derive(CandidType)]
enum Refusal {
    InsufficientFunds { balance: Nat },
}

/// A canister under the id of the cycles ledger that answers every `create_canister` with this.
async fn cycles_ledger(agent: &Agent, answer: &Result<Success, Refusal>) {
    let bytes = Encode!(answer).unwrap();
    let data: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let module = format!(
        r#"(module
            (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
            (import "ic0" "msg_reply" (func $reply))
            (memory 1)
            (data (i32.const 0) "{data}")
            (func (export "canister_update create_canister")
                (call $append (i32.const 0) (i32.const {}))
                (call $reply)))"#,
        bytes.len()
    );
    make(agent, Some(CYCLES_LEDGER)).await;
    install(agent, CYCLES_LEDGER, wasm_of(module.as_bytes())).await;
}

fn wasm_of(text: &[u8]) -> Vec<u8> {
    wat::parse_bytes(text).unwrap().into_owned()
}

async fn manage<T: CandidType + for<'de> serde::Deserialize<'de>>(
    agent: &Agent,
    effective: Principal,
    method: &str,
    arguments: &impl CandidType,
) -> T {
    let answer = agent
        .update(&Principal::management_canister(), method)
        .with_effective_canister_id(effective)
        .with_arg(Encode!(arguments).unwrap())
        .await
        .unwrap();
    candid::decode_one(&answer).unwrap()
}

async fn make(agent: &Agent, id: Option<Principal>) -> Principal {
    let arguments = ProvisionalCreateCanisterWithCyclesArgs {
        amount: Some(Nat::from(T)),
        settings: Some(CanisterSettings::default()),
        specified_id: id,
        sender_canister_version: None,
    };
    let method = "provisional_create_canister_with_cycles";
    let made: ic_management_canister_types::CanisterIdRecord =
        manage(agent, FIRST_CANISTER, method, &arguments).await;
    made.canister_id
}

async fn install(agent: &Agent, canister_id: Principal, wasm_module: Vec<u8>) {
    let arguments = InstallCodeArgs {
        mode: CanisterInstallMode::Install,
        canister_id,
        wasm_module,
        arg: vec![],
        sender_canister_version: None,
    };
    manage::<()>(agent, canister_id, "install_code", &arguments).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_internet_computer_the_cycles_ledger_makes_the_canister() {
    let world = World::bare().await;
    let ann = ann();
    let agent = transport::agent(&world.transport(), &world.root_key, ann.clone()).unwrap();
    let made = make(&agent, None).await;
    let answer = Success {
        block_id: Nat::from(3u8),
        canister_id: made,
    };
    cycles_ledger(&agent, &Ok(answer)).await;
    let person = person(&world, &ann);
    let ledger = create(&person, Maker::CyclesLedger { at: 1 }, 5 * T)
        .await
        .unwrap();
    assert_eq!(ledger, made);
    deploy(&person, wanted(ledger, vec![])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_cycles_are_named_with_the_account_and_the_way_to_get_more() {
    let world = World::bare().await;
    let ann = ann();
    let agent = transport::agent(&world.transport(), &world.root_key, ann.clone()).unwrap();
    let balance = Nat::from(12u8);
    cycles_ledger(&agent, &Err(Refusal::InsufficientFunds { balance })).await;
    let error = create(&person(&world, &ann), Maker::CyclesLedger { at: 1 }, 5 * T)
        .await
        .unwrap_err();
    let said = error.to_string();
    assert!(
        said.contains(&sender(&ann).to_text())
            && said.contains("12 cycles")
            && said.contains("icp cycles mint"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_makes_no_canisters_asks_for_one_that_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = dcanary_node::Config::durable(folder.path())
        .creators(dcanary_node::Creators::Only([Principal::from_slice(&[1])].into()));
    let node = dcanary_node::Node::start(nobody).await.unwrap();
    let person = Person {
        transport: dcanary_ledger::Transport::new(node.url()),
        root_key: node.root_key().to_vec(),
        identity: ann(),
    };
    let error = create(&person, Maker::Provisional, T).await.unwrap_err();
    assert!(matches!(error, DeployError::NotMade { .. }), "{error}");
    assert!(error.to_string().contains("--canister ID"), "{error}");
    node.shutdown().await.unwrap();
}

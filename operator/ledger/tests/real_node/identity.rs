//! Whose canister it is: a node makes canisters for whoever asks first, and our wasm runs under any id.

use candid::Encode;
use dcanary_ledger::{
    Checkpoint, CheckpointStore as _, LedgerError,
    setup::{Installed, Setup, install},
    transport,
};
use dcanary_types::api;
use dcanary_verifier::{
    Anchors, Check, ExportWriter, HeadError, LabelsError, RootKey, Status, TrustFile, check_head,
    export::{Header, Trailer},
    verify_export,
};
use ic_agent::Identity;
use ic_management_canister_types::{CanisterSettings, UpdateSettingsArgs};

use super::*;

const SECOND: Principal = Principal::from_slice(&[0, 0, 0, 1, 0, 0, 0, 1, 1, 1]);

async fn install_as(
    world: &World,
    owner: &Arc<dyn Identity>,
    ledger: Principal,
    wasm: Vec<u8>,
) -> Result<Installed, LedgerError> {
    install(Setup {
        transport: world.transport(),
        root_key: world.root_key.clone(),
        owner: owner.clone(),
        wasm,
        ledger,
        upgrade: false,
        grants: vec![],
    })
    .await
}

/// Gives the first canister these controllers.
pub async fn hand_over(world: &World, from: &Arc<dyn Identity>, controllers: Vec<Principal>) {
    let agent = transport::agent(&world.transport(), &world.root_key, from.clone()).unwrap();
    let settings = CanisterSettings {
        controllers: Some(controllers),
        ..CanisterSettings::default()
    };
    let arguments = UpdateSettingsArgs {
        canister_id: FIRST_CANISTER,
        settings,
        sender_canister_version: None,
    };
    agent
        .update(&Principal::management_canister(), "update_settings")
        .with_effective_canister_id(FIRST_CANISTER)
        .with_arg(Encode!(&arguments).unwrap())
        .await
        .unwrap();
}

/// What our operator says to what it finds.
async fn refused(world: &World) -> String {
    let error = world.install(wasm(), true).await.unwrap_err();
    assert!(matches!(error, LedgerError::NotOurs { .. }), "{error}");
    assert_eq!(error.reason(), "LedgerNotOurs");
    error.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canister_that_somebody_made_before_us_is_refused_with_or_without_code() {
    let stranger = support::identity();
    let world = World::bare().await;
    install_as(&world, &stranger, FIRST_CANISTER, b"no wasm".to_vec())
        .await
        .unwrap_err();
    let said = refused(&world).await;
    assert!(
        said.contains(&stranger.sender().unwrap().to_text()) && said.contains("controllers"),
        "{said}"
    );
    install_as(&world, &stranger, FIRST_CANISTER, wasm())
        .await
        .unwrap();
    assert!(refused(&world).await.contains("controllers"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_controller_is_refused() {
    let world = World::new().await;
    let ours = world.owner.sender().unwrap();
    let stranger = support::identity().sender().unwrap();
    hand_over(&world, &world.owner, vec![ours, stranger]).await;
    assert!(refused(&world).await.contains(&stranger.to_text()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_a_stranger_opened_is_refused_although_its_controller_was_handed_to_us() {
    let mut world = World::bare().await;
    let stranger = support::identity();
    install_as(&world, &stranger, FIRST_CANISTER, wasm())
        .await
        .unwrap();
    let ours = world.owner.clone();
    // The stranger makes us an owner too, and keeps his own role.
    world.owner = stranger.clone();
    let role = api::RoleArg {
        principal: ours.sender().unwrap(),
        role: "owner".to_owned(),
        project: String::new(),
        domain: String::new(),
    };
    world.client(memory()).grant_role(&role).await.unwrap();
    hand_over(&world, &stranger, vec![ours.sender().unwrap()]).await;
    world.owner = ours;
    let said = refused(&world).await;
    assert!(
        said.contains("opened for") && said.contains(&stranger.sender().unwrap().to_text()),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_wasm_under_another_id_is_refused_by_name() {
    let world = World::new().await;
    let twin = install_as(&world, &world.owner, SECOND, wasm()).await.unwrap();
    assert_eq!(twin.module_hash, sha256(&wasm()), "the same code");
    let client = world.client_with(world.root_key.clone(), SECOND, memory());
    let head = client.head().await.unwrap();

    // Its head, shown for the pinned ledger.
    let anchors = Anchors {
        root_key: RootKey::from_der(&world.root_key).unwrap(),
        ledger: FIRST_CANISTER.as_slice().to_vec(),
    };
    assert_eq!(
        check_head(&head.certificate, &head.hash_tree, &anchors, None),
        Err(HeadError::Labels(LabelsError::NoCertifiedData))
    );

    // Its checkpoint in place of the pinned ledger's.
    let store = memory();
    let kept = Checkpoint {
        ledger: SECOND.as_slice().to_vec(),
        size: head.size,
        root: head.root,
        time: head.time,
        certificate: head.certificate.clone(),
        hash_tree: head.hash_tree.clone(),
    };
    store.save(FIRST_CANISTER, &kept).await.unwrap();
    let error = world.client(store).head().await.unwrap_err();
    assert!(matches!(error, LedgerError::CheckpointSwapped { .. }), "{error}");

    // Its export, under its own id and under the pinned one.
    let trust = TrustFile {
        root_key: anchors.root_key,
        ledger: FIRST_CANISTER,
        project: None,
        module_hashes: vec![sha256(&wasm())],
        controllers: Some(vec![world.owner.sender().unwrap()]),
        domains: None,
    };
    let blocks = client.blocks(0, head.size).await.unwrap();
    let trailer = Trailer {
        certificate: head.certificate,
        hash_tree: head.hash_tree,
        policy: client.policy().await.unwrap(),
        code: Some(client.code_certificate().await.unwrap()),
    };
    let verified = |named: Principal, trust: &TrustFile| {
        let header = Header {
            ledger: named.as_slice().to_vec(),
            size: blocks.len() as u64,
        };
        let mut writer = ExportWriter::new(Vec::new(), &header).unwrap();
        for block in &blocks {
            writer.block(block).unwrap();
        }
        verify_export(writer.finish(&trailer).unwrap().as_slice(), Some(trust))
    };
    let own = TrustFile {
        ledger: SECOND,
        ..trust.clone()
    };
    let good = verified(SECOND, &own);
    assert_eq!(good.status(Check::Trust), Status::Passed);
    assert_eq!(good.status(Check::Labels), Status::Passed, "it is a sound ledger");
    assert_eq!(verified(SECOND, &trust).status(Check::Trust), Status::Failed);
    assert_eq!(
        verified(FIRST_CANISTER, &trust).status(Check::Labels),
        Status::Failed
    );
}

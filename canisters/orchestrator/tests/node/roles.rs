use candid::Decode;
use dcanary_types::{
    api::{InitArg, RestoreResult, RoleError},
    policy::Policy,
};
use ic_management_canister_types::CanisterInstallMode;
use serde_bytes::ByteBuf;

use crate::{
    ledger::*,
    network::{create, install, principal, words},
    story::{segment, story},
    wasm::wasm,
};

#[tokio::test]
async fn a_role_is_granted_used_and_revoked_and_the_certified_policy_follows() {
    let ledger = Ledger::start().await;
    for (method, version) in [("grant_role", 3), ("revoke_role", 4)] {
        let receipt = ledger
            .role(method, OWNER, &operator(STRANGER, "shop"))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(receipt.version, version);
        let document: ByteBuf = ledger.ask("policy", ()).await;
        let policy = Policy::decode(&document).unwrap();
        assert_eq!(policy.version, version);
        assert_eq!(ledger.head().await.policy_hash(), policy.hash());
        let written = ledger.batch(STRANGER, vec![segment("r1", 0, &story())]).await;
        assert_eq!(written.is_ok(), method == "grant_role");
    }
}

#[tokio::test]
async fn operators_change_no_roles_and_the_last_owner_stays() {
    let ledger = Ledger::start().await;
    let refused = ledger
        .role("grant_role", SHOP, &operator(STRANGER, "shop"))
        .await
        .unwrap();
    assert_eq!(refused, Err(RoleError::NotAuthorised));
    let me = dcanary_types::api::RoleArg {
        principal: principal(OWNER),
        role: "owner".to_owned(),
        project: String::new(),
        domain: String::new(),
    };
    assert_eq!(
        ledger.role("revoke_role", OWNER, &me).await.unwrap(),
        Err(RoleError::LastOwner)
    );
}

#[tokio::test]
async fn a_restore_is_marked_by_its_owner() {
    let ledger = Ledger::start().await;
    let reply = ledger
        .send(OWNER, "record_restored", candid::encode_args(()).unwrap())
        .await
        .unwrap();
    let receipt = Decode!(&reply, RestoreResult).unwrap().unwrap();
    assert_eq!((receipt.incarnation, receipt.block), (1, 3));
    assert_eq!(ledger.stats().await.incarnation, 1);
}

#[tokio::test]
async fn a_wrong_argument_is_refused_in_words_and_changes_nothing() {
    let ledger = Ledger::start().await;
    let before = ledger.head().await;
    let again = InitArg::Init {
        owner: principal(STRANGER),
    };
    let refused = ledger.upgrade(&again).await.unwrap_err();
    assert!(
        words(&refused).contains("variant { Upgrade }"),
        "{}",
        words(&refused)
    );
    let after = ledger.head().await;
    assert_eq!((after.size(), after.root()), (before.size(), before.root()));

    let agent = ledger.agent(OWNER);
    let empty = create(&agent).await;
    for arg in [
        candid::encode_one(InitArg::Upgrade).unwrap(),
        vec![],
        b"garbage".to_vec(),
    ] {
        let refused = install(&agent, empty, CanisterInstallMode::Install, wasm(), &arg)
            .await
            .unwrap_err();
        assert!(words(&refused).contains("variant { Init"), "{}", words(&refused));
    }
    let anybody = candid::encode_one(InitArg::Init {
        owner: candid::Principal::anonymous(),
    })
    .unwrap();
    let refused = install(&agent, empty, CanisterInstallMode::Install, wasm(), &anybody)
        .await
        .unwrap_err();
    assert!(words(&refused).contains("anonymous"));
}

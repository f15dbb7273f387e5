//! Certificates, checked with another implementation of BLS and by their own rules.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::bls::BlsKey;
use super::keys::{Keys, Secrets};
use super::remote::{local, remote};
use super::signer::{SignError, Signer};
use super::topology::{FIRST_CANISTER, in_range};
use super::tree::Wanted;
use super::view::{View, Views};
use crate::log::journal::Synced;
use crate::state::State;
use crate::state::canister::Canister;
use crate::state::request::{Outcome, Record};
use ciborium::Value;
use ic_certification::{HashTree, LookupResult, empty, fork, labeled, leaf, pruned};
use ic_principal::Principal;
use std::sync::Arc;
use std::sync::atomic::Ordering;

const NOW: u64 = 1_700_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;

fn tree(value: &Value) -> HashTree {
    let parts = value.as_array().unwrap();
    let bytes = |at: usize| parts[at].as_bytes().unwrap().clone();
    match u8::try_from(parts[0].as_integer().unwrap()).unwrap() {
        0 => empty(),
        1 => fork(tree(&parts[1]), tree(&parts[2])),
        2 => labeled(bytes(1), tree(&parts[2])),
        3 => leaf(bytes(1)),
        4 => pruned(<[u8; 32]>::try_from(bytes(1)).unwrap()),
        other => panic!("no such node: {other}"),
    }
}

fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value
        .as_map()
        .unwrap()
        .iter()
        .find(|(key, _)| key.as_text() == Some(name))
        .map(|(_, value)| value)
}

/// Verifies as a client does, from the root key down.
fn verify(certificate: &[u8], root_der: &[u8]) -> Result<HashTree, &'static str> {
    let value: Value = ciborium::from_reader(certificate).unwrap();
    let Value::Tag(55_799, value) = value else {
        panic!("no self-describing tag")
    };
    let tree = tree(field(&value, "tree").unwrap());
    let key = match field(&value, "delegation") {
        None => root_der.to_vec(),
        Some(delegation) => {
            let subnet = field(delegation, "subnet_id").unwrap().as_bytes().unwrap();
            let vouched = verify(
                field(delegation, "certificate").unwrap().as_bytes().unwrap(),
                root_der,
            )?;
            let path: [&[u8]; 3] = [b"subnet", subnet, b"public_key"];
            let LookupResult::Found(key) = vouched.lookup_path(path) else {
                return Err("no subnet key");
            };
            let path: [&[u8]; 3] = [b"canister_ranges", subnet, &FIRST_CANISTER];
            let LookupResult::Found(_) = vouched.lookup_path(path) else {
                return Err("no canister ranges");
            };
            key.to_vec()
        }
    };
    let signature = field(&value, "signature").unwrap().as_bytes().unwrap();
    let message = [b"\x0Dic-state-root".as_slice(), &tree.digest()].concat();
    ic_verify_bls_signature::verify_bls_signature(signature, &message, &key[37..])
        .map_err(|()| "bad signature")?;
    Ok(tree)
}

fn id(number: u8) -> Principal {
    Principal::from_slice(&[0, 0, 0, 1, 0, 0, 0, number, 1, 1])
}

fn views() -> (Arc<Keys>, Views) {
    views_of(Keys::generate().unwrap())
}

fn views_of(keys: Keys) -> (Arc<Keys>, Views) {
    let mut state = State {
        round: 1,
        time: NOW,
        ..State::default()
    };
    for number in 1..6 {
        let settings = ic_management_canister_types::DefiniteCanisterSettings::default();
        state.canisters.insert(
            id(number).as_slice(),
            Arc::new(Canister::new(id(number), settings, 0)),
        );
        let record = Record {
            sender: id(9),
            effective: id(number),
            canister: None,
            expiry: NOW,
            outcome: Some(Outcome::Replied(vec![number])),
            received: false,
            done: false,
        };
        state.requests.insert(&[number; 32], Arc::new(record));
    }
    let keys = Arc::new(keys);
    (keys.clone(), Views::new(keys, state, NOW).unwrap())
}

#[test]
fn the_signature_of_a_root_is_byte_for_byte_that_of_the_official_library() {
    let key = BlsKey::generate(&[5; 32]).unwrap();
    let official = ic_verify_bls_signature::PrivateKey::deserialize(&key.to_bytes()).unwrap();
    for root in [[0; 32], [7; 32], [255; 32]] {
        let message = [b"\x0Dic-state-root".as_slice(), &root].concat();
        assert_eq!(key.sign_root(&root).unwrap(), official.sign(&message).serialize());
    }
}

#[test]
fn a_request_certificate_verifies_and_shows_that_request_and_the_time_only() {
    let (keys, views) = views();
    let certificate = views.latest().request_certificate(&[3; 32]);
    let tree = verify(&certificate, keys.root.der()).unwrap();
    let lookup = |path: &[&[u8]]| tree.lookup_path(path.iter().copied()).clone();
    assert_eq!(
        lookup(&[b"request_status", &[3; 32], b"status"]),
        LookupResult::Found(b"replied")
    );
    assert_eq!(
        lookup(&[b"request_status", &[3; 32], b"reply"]),
        LookupResult::Found(&[3])
    );
    assert_eq!(
        lookup(&[b"time"]),
        LookupResult::Found(&crate::wire::hash::leb128(NOW))
    );
    assert_eq!(
        lookup(&[b"request_status", &[4; 32], b"status"]),
        LookupResult::Unknown
    );
    assert_eq!(
        lookup(&[b"canister", id(1).as_slice(), b"controllers"]),
        LookupResult::Unknown
    );
}

#[test]
fn a_request_that_is_not_there_is_provably_absent() {
    let (keys, views) = views();
    let tree = verify(&views.latest().request_certificate(&[33; 32]), keys.root.der()).unwrap();
    let path: [&[u8]; 3] = [b"request_status", &[33; 32], b"status"];
    assert_eq!(tree.lookup_path(path), LookupResult::Absent);
}

#[test]
fn a_certificate_under_another_root_key_does_not_verify() {
    let (_, views) = views();
    let other = Keys::generate().unwrap();
    assert_eq!(
        verify(&views.latest().request_certificate(&[3; 32]), other.root.der()),
        Err("bad signature")
    );
}

#[test]
fn stored_keys_sign_as_the_same_network() {
    let secrets = Secrets::generate().unwrap();
    let again = Keys::from(Secrets::from_json(&secrets.to_json().unwrap()).unwrap());
    let keys = Keys::from(secrets);
    assert_eq!(
        (keys.root.der(), keys.subnet_id, keys.node_id),
        (again.root.der(), again.subnet_id, again.node_id)
    );
    assert_eq!(keys.root.der().len(), 133);
}

#[test]
fn an_idle_node_signs_again_only_when_the_signature_is_old() {
    let (keys, views) = views();
    let first = views.fresh(NOW + SECOND / 2).unwrap();
    assert_eq!(first.time, NOW);
    let second = views.fresh(NOW + 5 * SECOND).unwrap();
    assert_eq!(second.time, NOW + 5 * SECOND);
    verify(&second.request_certificate(&[1; 32]), keys.root.der()).unwrap();
    // Whoever holds the older view still has a certificate that verifies.
    verify(&first.request_certificate(&[1; 32]), keys.root.der()).unwrap();
}

/// Shows a state as soon as it is signed.
fn publish(views: &Views, state: State) -> Result<Arc<View>, SignError> {
    views.show(views.prepare(state)?, Synced::nothing_is_kept())
}

#[test]
fn certified_time_does_not_go_back_when_readers_were_shown_a_later_one_between_the_signature_and_the_sync() {
    let (keys, views) = views();
    let state = State {
        round: 2,
        time: NOW + 1,
        ..views.latest().state.clone()
    };
    let signed = views.prepare(state).unwrap();
    assert_eq!(views.latest().state.round, 1, "nobody sees what is only signed");
    let read = views.fresh(NOW + 5 * SECOND).unwrap();
    assert_eq!((read.state.round, read.time), (1, NOW + 5 * SECOND));
    let shown = views.show(signed, Synced::nothing_is_kept()).unwrap();
    assert_eq!((shown.state.round, shown.time), (2, NOW + 5 * SECOND));
    verify(&shown.request_certificate(&[3; 32]), keys.root.der()).unwrap();
}

#[test]
fn certified_time_never_goes_back() {
    let (_, views) = views();
    views.fresh(NOW + 5 * SECOND).unwrap();
    let state = State {
        round: 2,
        time: NOW + 1,
        ..views.latest().state.clone()
    };
    assert_eq!(publish(&views, state).unwrap().time, NOW + 5 * SECOND);
}

#[test]
fn whoever_signs_for_the_same_keys_the_certificates_are_the_same_and_verify() {
    let [here, elsewhere] = [local(), remote().0].map(|keys| {
        let (keys, views) = views_of(keys);
        let certificate = views.latest().request_certificate(&[3; 32]);
        verify(&certificate, keys.root.der()).unwrap();
        certificate
    });
    assert_eq!(here, elsewhere);
}

#[test]
fn what_cannot_be_signed_is_not_shown_and_what_was_signed_is_until_it_is_old() {
    let (keys, away) = remote();
    let (_, views) = views_of(keys);
    let next = State {
        round: 2,
        time: NOW + 1,
        ..views.latest().state.clone()
    };
    away.store(true, Ordering::Relaxed);
    let refused = SignError("it is away".to_owned());
    assert_eq!(publish(&views, next.clone()).unwrap_err(), refused);
    assert_eq!(views.latest().state.round, 1);
    assert_eq!(views.fresh(NOW).unwrap().state.round, 1);
    assert_eq!(views.fresh(NOW + 5 * SECOND).unwrap_err(), refused);
    away.store(false, Ordering::Relaxed);
    assert_eq!(publish(&views, next).unwrap().state.round, 2);
}

#[test]
fn the_whole_subnet_is_shown_with_its_nodes() {
    let (keys, views) = views();
    let mut wanted = Wanted::default();
    wanted.add(&[b"subnet"]);
    let tree = verify(&views.latest().certificate(wanted), keys.root.der()).unwrap();
    let path: [&[u8]; 5] = [
        b"subnet",
        keys.subnet_id.as_slice(),
        b"node",
        keys.node_id.as_slice(),
        b"public_key",
    ];
    assert_eq!(tree.lookup_path(path), LookupResult::Found(&keys.node_der));
}

#[test]
fn the_ids_of_well_known_canisters_are_in_range_and_those_of_people_are_not() {
    assert!(in_range(
        &Principal::from_text("ryjl3-tyaaa-aaaaa-aaaba-cai").unwrap()
    ));
    assert!(in_range(&id(1)));
    assert!(!in_range(&Principal::management_canister()));
}

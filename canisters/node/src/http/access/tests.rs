//! The table of the specification, "Request: Read state", and what it says beside the table.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::cert::keys::Keys;
use crate::log::crash::rig;
use crate::state::canister::{Canister, Code};
use crate::state::request::{Outcome, Record};
use crate::wire::envelope::{Content, SignedDelegation};
use std::sync::{Arc, OnceLock};

const REQUEST: [u8; 32] = [7; 32];
/// One to the management canister about that one.
const MANAGED: [u8; 32] = [5; 32];
/// One of a version that did not note which canister was called.
const NOT_NOTED: [u8; 32] = [4; 32];
/// One that was sent through the subnet.
const CREATION: [u8; 32] = [6; 32];
/// One that was sent through the management canister.
const NOWHERE: [u8; 32] = [3; 32];

macro_rules! path {
    ($($label:expr),*) => {{
        let labels: &[&[u8]] = &[$($label),*];
        labels.to_vec()
    }};
}

fn controller() -> Principal {
    Principal::from_slice(&[1, 2])
}

fn sender() -> Principal {
    Principal::from_slice(&[3, 4])
}

fn one_canister() -> Principal {
    Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 5, 1, 1])
}

fn other_canister() -> Principal {
    Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 6, 1, 1])
}

fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| Keys::generate().unwrap())
}

/// A canister with metadata, and a request that was sent to it.
fn state() -> &'static State {
    static STATE: OnceLock<State> = OnceLock::new();
    STATE.get_or_init(|| {
        let wasm = wat::parse_str(
            r#"(module
                (@custom "icp:public open" "all")
                (@custom "icp:private secret" "mine"))"#,
        )
        .unwrap();
        let settings = ic_management_canister_types::DefiniteCanisterSettings {
            controllers: vec![controller()],
            ..Default::default()
        };
        let mut canister = Canister::new(one_canister(), settings, 0);
        canister.code = Some(Arc::new(Code::new(wasm.into(), &rig::executor().engine).unwrap()));
        let mut state = State::default();
        state
            .canisters
            .insert(one_canister().as_slice(), Arc::new(canister));
        let record = Record {
            sender: sender(),
            effective: one_canister(),
            canister: Some(one_canister()),
            expiry: 1,
            outcome: Some(Outcome::Replied(vec![1])),
            received: false,
            done: false,
        };
        let managed = Record {
            canister: Some(Principal::management_canister()),
            ..record.clone()
        };
        let not_noted = Record {
            canister: None,
            ..record.clone()
        };
        let creation = Record {
            effective: keys().subnet_id,
            ..record.clone()
        };
        state.requests.insert(&REQUEST, Arc::new(record));
        state.requests.insert(&MANAGED, Arc::new(managed));
        state.requests.insert(&NOT_NOTED, Arc::new(not_noted));
        let nowhere = Record {
            effective: Principal::management_canister(),
            ..creation.clone()
        };
        state.requests.insert(&CREATION, Arc::new(creation));
        state.requests.insert(&NOWHERE, Arc::new(nowhere));
        state
    })
}

fn envelope(sender: Principal) -> Envelope<'static> {
    Envelope {
        content: Content::ReadState(vec![]),
        request_id: [0; 32],
        sender,
        ingress_expiry: 0,
        pubkey: None,
        signature: None,
        delegations: vec![],
    }
}

fn endpoint(scope: Scope, v2: bool) -> Endpoint<'static> {
    Endpoint {
        scope,
        v2,
        subnet: &keys().subnet_id,
        root_subnet: &keys().root_id,
    }
}

fn read(scope: Scope, v2: bool, sender: Principal, paths: &[Vec<&[u8]>]) -> Result<Wanted, HttpError> {
    select(state(), &endpoint(scope, v2), &envelope(sender), paths)
}

/// Whether a path may be read by this sender through the canister, in v3.
fn may(sender: Principal, path: &[&[u8]]) -> bool {
    read(Scope::Canister(one_canister()), false, sender, &[path.to_vec()]).is_ok()
}

#[test]
fn a_path_may_be_read_where_the_specification_says_and_nowhere_else() {
    let (own, root, other) = (keys().subnet_id, keys().root_id, Principal::from_slice(&[9; 29]));
    let (own, root, other) = (own.as_slice(), root.as_slice(), other.as_slice());
    let (canister, stranger) = (one_canister(), other_canister());
    let (canister, stranger) = (canister.as_slice(), stranger.as_slice());
    let (always, never) = ([true; 4], [false; 4]);
    let (at_canister, at_subnet, in_v2) = (
        [true, true, false, false],
        [false, false, true, true],
        [false, true, false, true],
    );
    let node: &[u8] = &[5; 29];
    let boundary: &[u8] = b"api_boundary_nodes";
    // In v3 and v2 of the canister's endpoint, in v3 and v2 of the subnet's.
    let table: Vec<(Vec<&[u8]>, [bool; 4])> = vec![
        (vec![], never),
        (path![b"time"], always),
        (path![b"time", b"x"], never),
        (path![boundary], always),
        (path![boundary, node], always),
        (path![boundary, node, b"domain"], always),
        (path![boundary, node, b"ipv4_address"], always),
        (path![boundary, node, b"ipv6_address"], always),
        (path![boundary, node, b"x"], never),
        (path![b"subnet"], always),
        (path![b"subnet", own], always),
        (path![b"subnet", other], always),
        (path![b"subnet", own, b"public_key"], always),
        (path![b"subnet", own, b"type"], always),
        (path![b"subnet", own, b"node"], always),
        (path![b"subnet", own, b"node", node], always),
        (path![b"subnet", own, b"node", node, b"public_key"], always),
        (path![b"subnet", own, b"node", node, b"x"], never),
        (path![b"subnet", own, b"x"], never),
        (path![b"subnet", own, b"canister_ranges"], in_v2),
        (path![b"subnet", root, b"canister_ranges"], always),
        (path![b"subnet", own, b"metrics"], at_subnet),
        (path![b"subnet", other, b"metrics"], never),
        (path![b"canister_ranges"], never),
        (path![b"canister_ranges", own], at_subnet),
        (path![b"canister_ranges", own, b"x"], never),
        (path![b"request_status"], never),
        (path![b"request_status", &REQUEST], at_canister),
        (path![b"request_status", &REQUEST, b"status"], at_canister),
        (path![b"request_status", &REQUEST, b"reply"], at_canister),
        (path![b"request_status", &REQUEST, b"reject_code"], at_canister),
        (path![b"request_status", &REQUEST, b"reject_message"], at_canister),
        (path![b"request_status", &REQUEST, b"error_code"], at_canister),
        (path![b"request_status", &REQUEST, b"x"], never),
        (path![b"request_status", &REQUEST, b"status", b"x"], never),
        (path![b"request_status", &CREATION], at_subnet),
        (path![b"request_status", &CREATION, b"reply"], at_subnet),
        (path![b"request_status", &[8; 32]], always),
        (path![b"request_status", &[8; 31]], never),
        (path![b"canister"], never),
        (path![b"canister", canister], never),
        (path![b"canister", canister, b"module_hash"], at_canister),
        (path![b"canister", canister, b"controllers"], at_canister),
        (
            path![b"canister", canister, b"canister_creation_timestamp"],
            at_canister,
        ),
        (
            path![b"canister", canister, b"last_install_timestamp"],
            at_canister,
        ),
        (
            path![b"canister", canister, b"canister_creation_timestamp", b"x"],
            never,
        ),
        (
            path![b"canister", canister, b"last_install_timestamp", b"x"],
            never,
        ),
        (
            path![b"canister", stranger, b"canister_creation_timestamp"],
            never,
        ),
        (path![b"canister", canister, b"certified_data"], never),
        (path![b"canister", canister, b"metadata"], never),
        (path![b"canister", canister, b"metadata", b"open"], at_canister),
        (path![b"canister", canister, b"metadata", b"absent"], at_canister),
        (path![b"canister", canister, b"metadata", b"open", b"x"], never),
        (path![b"canister", canister, b"metadata", &[0xff]], never),
        (path![b"canister", stranger, b"module_hash"], never),
        (path![b"canister", stranger, b"metadata", b"open"], never),
        (path![b"x"], never),
    ];
    let through = Scope::Canister(one_canister());
    let endpoints = [
        (through, false),
        (through, true),
        (Scope::Subnet, false),
        (Scope::Subnet, true),
    ];
    for (path, expected) in table {
        let found =
            endpoints.map(|(scope, v2)| read(scope, v2, sender(), std::slice::from_ref(&path)).is_ok());
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(&path.join(&b'/')));
    }
}

#[test]
fn a_private_section_is_for_controllers_only() {
    let id = one_canister();
    let path: [&[u8]; 4] = [b"canister", id.as_slice(), b"metadata", b"secret"];
    assert!(may(controller(), &path));
    assert!(!may(sender(), &path));
    assert!(!may(Principal::anonymous(), &path));
}

#[test]
fn a_request_status_is_for_its_sender_and_through_its_canister() {
    let path: [&[u8]; 2] = [b"request_status", &REQUEST];
    assert!(may(sender(), &path));
    assert!(!may(controller(), &path));
    assert!(!may(Principal::anonymous(), &path));
    let elsewhere = Scope::Canister(other_canister());
    assert!(read(elsewhere, false, sender(), &[path.to_vec()]).is_err());
    let creation = || [path![b"request_status", &CREATION]];
    assert!(read(Scope::Subnet, false, sender(), &creation()).is_ok());
    assert!(read(Scope::Subnet, false, controller(), &creation()).is_err());
}

#[test]
fn a_delegation_for_other_canisters_does_not_read_what_became_of_a_request() {
    let link = |targets: Option<Vec<Principal>>| SignedDelegation {
        pubkey: &[],
        expiration: 0,
        targets,
        queries_only: false,
        hash: [0; 32],
        signature: &[],
    };
    let (mine, other) = (vec![one_canister()], vec![other_canister()]);
    let managing = vec![Principal::management_canister()];
    for (request, chain, allowed) in [
        (&REQUEST, vec![link(None)], true),
        (&REQUEST, vec![link(Some(mine.clone()))], true),
        (&REQUEST, vec![link(Some(other.clone()))], false),
        (&REQUEST, vec![link(Some(mine.clone())), link(Some(other))], false),
        (&REQUEST, vec![link(Some(managing.clone()))], false),
        (&MANAGED, vec![link(Some(managing))], true),
        (&MANAGED, vec![link(Some(mine.clone()))], false),
        (&NOT_NOTED, vec![link(Some(mine))], true),
    ] {
        let envelope = Envelope {
            delegations: chain,
            ..envelope(sender())
        };
        let endpoint = endpoint(Scope::Canister(one_canister()), false);
        for path in [
            path![b"request_status", request],
            path![b"request_status", request, b"status"],
        ] {
            let read = select(state(), &endpoint, &envelope, std::slice::from_ref(&path));
            assert_eq!(read.is_ok(), allowed);
        }
        // What is public stays so.
        assert!(select(state(), &endpoint, &envelope, &[path![b"time"]]).is_ok());
    }
}

#[test]
fn all_paths_must_be_about_one_request_and_the_ranges_of_one_subnet() {
    let request = |id: &'static [u8; 32]| vec![b"request_status".as_slice(), id.as_slice()];
    let through = Scope::Canister(one_canister());
    assert!(read(through, false, sender(), &[request(&[8; 32]), request(&[8; 32])]).is_ok());
    assert!(read(through, false, sender(), &[request(&[8; 32]), request(&[9; 32])]).is_err());
    let own = keys().subnet_id;
    let ranges = |id: &'static [u8]| vec![b"canister_ranges".as_slice(), id];
    assert!(
        read(
            Scope::Subnet,
            false,
            sender(),
            &[path![b"canister_ranges", own.as_slice()], path![b"time"]]
        )
        .is_ok()
    );
    assert!(read(Scope::Subnet, false, sender(), &[ranges(b"1"), ranges(b"2")]).is_err());
}

#[test]
fn one_forbidden_path_among_allowed_ones_is_refused() {
    let through = Scope::Canister(one_canister());
    let paths: [Vec<&[u8]>; 2] = [path![b"time"], path![b"canister"]];
    assert!(read(through, false, sender(), &paths[..1]).is_ok());
    assert!(read(through, false, sender(), &paths).is_err());
}

#[test]
fn who_creates_a_canister_through_the_management_canister_asks_there_what_became_of_it_and_for_nothing_else()
{
    let there = Scope::Canister(Principal::management_canister());
    let request = || path![b"request_status", &NOWHERE];
    assert!(read(there, false, sender(), &[request(), path![b"time"]]).is_ok());
    assert!(read(there, false, controller(), &[request()]).is_err());
    assert!(read(Scope::Canister(one_canister()), false, sender(), &[request()]).is_err());
    assert!(read(there, false, sender(), &[path![b"request_status", &REQUEST]]).is_err());
    assert!(read(there, false, sender(), &[request(), path![b"subnet"]]).is_err());
}

#[test]
fn a_canister_id_that_is_in_no_range_is_refused() {
    for (id, allowed) in [
        (Principal::from_slice(&[255; 29]), false),
        (Principal::anonymous(), true),
        (Principal::from_text("ryjl3-tyaaa-aaaaa-aaaba-cai").unwrap(), true),
    ] {
        let answer = read(Scope::Canister(id), false, sender(), &[path![b"time"]]);
        assert_eq!(answer.is_ok(), allowed, "{id}");
    }
}

#[test]
fn the_whole_subnet_shows_canister_ranges_in_v2_only() {
    let own = keys().subnet_id;
    for path in [path![b"subnet"], path![b"subnet", own.as_slice()]] {
        for v2 in [false, true] {
            let wanted = read(Scope::Subnet, v2, sender(), std::slice::from_ref(&path)).unwrap();
            let subnet = wanted.below(b"subnet").unwrap().below(own.as_slice()).unwrap();
            assert_eq!(subnet.below(b"canister_ranges").is_some(), v2);
            assert!(subnet.below(b"node").is_some_and(|node| *node == Wanted::All));
        }
    }
}

#[test]
fn a_part_of_a_status_reveals_all_of_it() {
    let path = path![b"request_status", &REQUEST, b"status"];
    let wanted = read(Scope::Canister(one_canister()), false, sender(), &[path]).unwrap();
    let status = wanted.below(b"request_status").unwrap().below(&REQUEST);
    assert_eq!(status, Some(&Wanted::All));
}

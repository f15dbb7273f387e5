//! Each entry on many inputs that were valid and are damaged, the same ones in every run: a part of what the programs in
//! `canisters/fuzz` do, for everybody who runs the tests. `DCANARY_NODE_INPUTS` sets how many inputs each gets.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::garbage::module;
use candid::{CandidType, Encode};
use ic_agent::Identity;
use ic_agent::agent::EnvelopeContent;
use ic_agent::identity::{
    AnonymousIdentity, BasicIdentity, DelegatedIdentity, Delegation, Prime256v1Identity, Secp256k1Identity,
    SignedDelegation,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::borrow::Cow;

/// Bytes that begin or end something in the formats that are read.
const SPECIAL: [u8; 14] = [
    0x00, 0x01, 0x0b, 0x20, 0x41, 0x7f, 0x80, 0x9f, 0xa0, 0xbf, 0xd9, 0xfc, 0xfe, 0xff,
];

/// Calls an entry with damaged inputs; now and then one is whole.
fn damaged(seed: u64, whole: &[Vec<u8>], mut entry: impl FnMut(&[u8])) {
    let wanted: u32 = std::env::var("DCANARY_NODE_INPUTS").map_or(5_000, |text| text.parse().unwrap());
    let mut random = StdRng::seed_from_u64(seed);
    for bytes in whole {
        entry(bytes);
    }
    for _ in 0..wanted {
        let mut bytes = whole[random.random_range(0..whole.len())].clone();
        for _ in 0..random.random_range(0..4) {
            damage(&mut bytes, whole, &mut random);
        }
        entry(&bytes);
    }
}

fn damage(bytes: &mut Vec<u8>, others: &[Vec<u8>], random: &mut StdRng) {
    let from = random.random_range(0..=bytes.len());
    let to = (from + random.random_range(0..9)).min(bytes.len());
    match random.random_range(0..8) {
        0 if from < to => bytes[from] ^= 1 << random.random_range(0..8),
        1 if from < to => bytes[from] = SPECIAL[random.random_range(0..SPECIAL.len())],
        2 if from < to => bytes[from..to].fill(SPECIAL[random.random_range(0..SPECIAL.len())]),
        3 => drop(bytes.drain(from..to)),
        4 => bytes.truncate(from),
        5 => {
            // A piece of it, or of another one, once more.
            let other = &others[random.random_range(0..others.len())];
            let begin = random.random_range(0..=other.len());
            let end = (begin + random.random_range(0..65)).min(other.len());
            drop(bytes.splice(from..to, other[begin..end].iter().copied()));
        }
        6 => {
            let number = [0, 1, 0x7fff_ffff, 0xffff_ffff, u64::MAX][random.random_range(0..5)];
            drop(bytes.splice(from..to, number.to_be_bytes()));
        }
        _ => bytes.insert(from, random.random()),
    }
}

fn secp256k1() -> Secp256k1Identity {
    Secp256k1Identity::from_private_key(k256::SecretKey::from_slice(&[8; 32]).unwrap())
}

fn p256() -> Prime256v1Identity {
    Prime256v1Identity::from_private_key(p256::SecretKey::from_slice(&[9; 32]).unwrap())
}

fn ed25519() -> BasicIdentity {
    BasicIdentity::from_raw_key(&[7; 32])
}

const EXPIRY: u64 = 1_900_000_000_000_000_000;

/// A key that acts for another one, at one canister.
fn session() -> DelegatedIdentity {
    let delegation = Delegation {
        pubkey: p256().public_key().unwrap(),
        expiration: EXPIRY,
        targets: Some(vec![Principal::from_slice(&[0, 0, 0, 9, 0, 0, 0, 0, 1, 1])]),
        permissions: None,
    };
    let signature = ed25519().sign_delegation(&delegation).unwrap();
    let link = SignedDelegation {
        delegation,
        signature: signature.signature.unwrap(),
    };
    DelegatedIdentity::new_unchecked(ed25519().public_key().unwrap(), Box::new(p256()), vec![link])
}

/// Calls as the official client signs them, with every type of key.
fn requests() -> Vec<Vec<u8>> {
    let who: [&dyn Identity; 5] = [&AnonymousIdentity, &ed25519(), &secp256k1(), &p256(), &session()];
    who.iter()
        .map(|identity| {
            let content = EnvelopeContent::Call {
                nonce: Some(vec![1, 2, 3]),
                ingress_expiry: EXPIRY,
                sender: identity.sender().unwrap(),
                canister_id: Principal::from_slice(&[0, 0, 0, 9, 0, 0, 0, 0, 1, 1]),
                method_name: "inc".into(),
                arg: b"DIDL\x00\x00".to_vec(),
                sender_info: None,
            };
            let signature = identity.sign(&content).unwrap();
            ic_agent::agent::Envelope {
                content: Cow::Owned(content),
                sender_pubkey: signature.public_key,
                sender_sig: signature.signature,
                sender_delegation: signature.delegations,
            }
            .encode_bytes()
        })
        .collect()
}

#[test]
fn damaged_cbor_is_refused_or_can_be_written_again() {
    let mut whole = requests();
    let list = Value::Array(vec![
        Value::Uint(u64::MAX),
        Value::Null,
        Value::Bool(true),
        Value::Text("é"),
    ]);
    whole.push(Value::Map(vec![("list", list), ("bytes", Value::Bytes(&[0; 300]))]).encode());
    let mut read = 0;
    damaged(1, &whole, |bytes| {
        read += u32::from(Value::decode(bytes).is_ok());
        cbor(bytes);
    });
    assert!(read > 500, "only {read} were CBOR");
}

#[test]
fn no_damaged_request_says_something_else_in_the_name_of_a_key() {
    let whole = requests();
    let said: Vec<_> = whole.iter().map(|bytes| accepted(bytes).unwrap()).collect();
    let (mut same, mut anonymous) = (0, 0);
    damaged(2, &whole, |bytes| {
        envelope(bytes);
        match accepted(bytes) {
            Some(now) if now.0 != Principal::anonymous() => {
                assert!(said.contains(&now), "{}", hex::encode(bytes));
                same += 1;
            }
            // Everybody may say anything without a key.
            Some(_) => anonymous += 1,
            None => {}
        }
    });
    assert!(same > 500 && anonymous > 100, "{same} {anonymous}");
}

#[test]
fn no_damaged_signature_is_one_of_another_message() {
    let who: [&dyn Identity; 3] = [&ed25519(), &secp256k1(), &p256()];
    let whole: Vec<Vec<u8>> = who
        .iter()
        .map(|identity| {
            let signature = identity.sign_arbitrary(b"another message").unwrap();
            let (der, proof) = (signature.public_key.unwrap(), signature.signature.unwrap());
            [&[u8::try_from(der.len()).unwrap()], der.as_slice(), &proof].concat()
        })
        .collect();
    let mut keys = 0;
    damaged(3, &whole, |bytes| {
        let der = bytes
            .split_first()
            .map_or(&[][..], |(len, rest)| &rest[..rest.len().min((*len).into())]);
        keys += u32::from(crate::auth::key::PublicKey::from_der(der).is_ok());
        key(bytes);
    });
    assert!(keys > 500, "only {keys} were keys");
}

#[derive(CandidType)]
struct Page {
    status_code: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    upgrade: Option<bool>,
}

#[derive(CandidType)]
struct Part {
    body: Vec<u8>,
    token: Option<String>,
}

#[test]
fn damaged_answers_to_browsers_are_refused_or_read() {
    let page = Page {
        status_code: 200,
        headers: vec![("content-type".to_owned(), "text/html".to_owned())],
        body: b"<p>hello".to_vec(),
        upgrade: Some(false),
    };
    let part = Part {
        body: b"more".to_vec(),
        token: Some("next".to_owned()),
    };
    damaged(
        4,
        &[Encode!(&page).unwrap(), Encode!(&Some(part)).unwrap()],
        gateway,
    );
}

#[test]
fn damaged_modules_are_refused_or_rewritten_into_valid_ones() {
    let relay = wat::parse_str(include_str!("../exec/tests/relay.wat")).unwrap();
    let mut taken = 0;
    damaged(
        5,
        &[module().to_vec(), relay, crate::log::crash::rig::counter()],
        |bytes| {
            taken += u32::from(inspect(bytes).is_ok());
            wasm(bytes);
        },
    );
    assert!(taken > 500, "only {taken} were modules");
}

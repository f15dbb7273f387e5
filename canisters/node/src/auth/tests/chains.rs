//! Delegation chains: what each link must be, and what a chain allows.

use super::*;
use crate::auth::key::{P256, SECP256K1};
use crate::wire::envelope::EnvelopeError;

fn secp256k1(seed: u8) -> Key {
    let signing = k256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap();
    let point = signing.verifying_key().to_encoded_point(false);
    Key(Secret::Secp256k1(signing), [SECP256K1, point.as_bytes()].concat())
}

fn p256(seed: u8) -> Key {
    let signing = p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap();
    let point = signing.verifying_key().to_encoded_point(false);
    Key(Secret::P256(signing), [P256, point.as_bytes()].concat())
}

/// A request by the first key, signed by the last, each link signed by the key before.
fn through(keys: &[Key], change: impl Fn(usize, &mut Delegation)) -> Request {
    let mut request = Request::of(&keys[0]);
    request.delegations = keys
        .windows(2)
        .enumerate()
        .map(|(at, pair)| {
            let mut delegation = Delegation::to(&pair[1]);
            change(at, &mut delegation);
            delegation.signed_by(&pair[0])
        })
        .collect();
    request
}

fn decoded(request: &Request, signer: &Key) -> Result<(), EnvelopeError> {
    let hash = hash_of_map(&request.content()).unwrap();
    let body = request.body(Some(&signer.sign(b"\x0Aic-request", &hash)));
    Envelope::decode(&body).map(drop)
}

#[test]
fn every_type_of_key_may_sign_every_link_and_the_request() {
    let kinds: [fn(u8) -> Key; 3] = [key, secp256k1, p256];
    for first in kinds {
        for second in kinds {
            for third in kinds {
                let keys = [first(1), second(2), third(3)];
                let request = through(&keys, |_, _| {});
                assert_eq!(request.check(Some(&keys[2])), Ok(()));
                assert_eq!(
                    request.check(Some(&keys[1])),
                    Err(AuthError::Key(KeyError::BadSignature))
                );
                // A link signed by a key of the same type that is not the one before it.
                let mut forged = through(&keys, |_, _| {});
                forged.delegations[1] = Delegation::to(&keys[2]).signed_by(&second(9));
                assert_eq!(
                    forged.check(Some(&keys[2])),
                    Err(AuthError::Key(KeyError::BadSignature))
                );
            }
        }
    }
}

#[test]
fn a_chain_has_twenty_links_at_most() {
    let keys: Vec<Key> = (1..=22).map(key).collect();
    assert_eq!(
        through(&keys[..21], |_, _| {}).check(Some(&keys[20])),
        Ok(()),
        "20"
    );
    assert_eq!(
        decoded(&through(&keys, |_, _| {}), &keys[21]),
        Err(EnvelopeError::TooMany("sender_delegation", 20))
    );
}

#[test]
fn a_link_has_a_thousand_targets_at_most() {
    let keys = [key(1), key(2)];
    let targets = |count: usize| {
        let mut targets = vec![vec![9; 10]; count - 1];
        targets.push(CANISTER.to_vec());
        through(&keys, |_, link| link.targets = Some(targets.clone()))
    };
    assert_eq!(targets(1_000).check(Some(&keys[1])), Ok(()));
    assert_eq!(
        decoded(&targets(1_001), &keys[1]),
        Err(EnvelopeError::TooMany("targets", 1_000))
    );
}

#[test]
fn a_link_that_expired_breaks_the_chain_wherever_it_is() {
    let keys = [key(1), key(2), key(3), key(4)];
    for expired in 0..3 {
        for (expiration, expected) in [
            (NOW, Ok(())),
            (NOW - 1, Err(AuthError::DelegationExpired(NOW - 1))),
        ] {
            let request = through(&keys, |at, link| {
                if at == expired {
                    link.expiration = expiration;
                }
            });
            assert_eq!(request.check(Some(&keys[3])), expected, "link {expired}");
        }
    }
}

#[test]
fn a_chain_is_for_the_canisters_that_all_its_links_are_for() {
    let keys = [key(1), key(2), key(3)];
    let other = vec![9; 10];
    for (first, second, allowed) in [
        (
            vec![CANISTER.to_vec(), other.clone()],
            vec![CANISTER.to_vec()],
            true,
        ),
        (vec![other.clone()], vec![CANISTER.to_vec()], false),
        (vec![CANISTER.to_vec()], vec![other.clone()], false),
        (vec![CANISTER.to_vec()], vec![], false),
    ] {
        let request = through(&keys, |at, link| {
            link.targets = Some(if at == 0 { first.clone() } else { second.clone() });
        });
        assert_eq!(
            request.check(Some(&keys[2])).is_ok(),
            allowed,
            "{first:?} {second:?}"
        );
    }
}

#[test]
fn a_call_of_the_management_canister_needs_it_among_the_targets() {
    let keys = [key(1), key(2)];
    for (target, allowed) in [(vec![], true), (CANISTER.to_vec(), false)] {
        let mut request = through(&keys, |_, link| link.targets = Some(vec![target.clone()]));
        request.canister = vec![];
        assert_eq!(request.check(Some(&keys[1])).is_ok(), allowed, "{target:?}");
    }
}

#[test]
fn a_later_link_cannot_lift_that_an_earlier_one_is_for_queries() {
    let keys = [key(1), key(2), key(3)];
    for restricted in 0..2 {
        let mut request = through(&keys, |at, link| {
            link.permissions = Some(if at == restricted { "queries" } else { "all" });
        });
        assert_eq!(request.check(Some(&keys[2])), Err(AuthError::QueriesOnly));
        request.kind = "query";
        assert_eq!(request.check(Some(&keys[2])), Ok(()));
    }
    let request = through(&keys, |_, link| link.permissions = Some("all"));
    assert_eq!(request.check(Some(&keys[2])), Ok(()));
}

#[test]
fn a_permission_that_nobody_knows_is_refused() {
    let keys = [key(1), key(2)];
    for permission in ["", "Queries", "updates"] {
        let request = through(&keys, |_, link| link.permissions = Some(permission));
        assert_eq!(
            decoded(&request, &keys[1]),
            Err(EnvelopeError::Malformed("permissions"))
        );
    }
}

#[test]
fn a_key_that_delegates_to_itself_is_refused() {
    let keys = [key(1), key(1)];
    assert_eq!(
        through(&keys, |_, _| {}).check(Some(&keys[1])),
        Err(AuthError::DelegationCycle)
    );
}

/// A DER key with this identifier of its algorithm and that many bytes of key.
fn foreign(oid: &[u8], len: u8) -> Vec<u8> {
    let algorithm = [&[0x30, 0x0c, 0x06, 0x0a], oid].concat();
    let key = [vec![0x03, len + 1, 0x00], vec![7; usize::from(len)]].concat();
    let inner = [algorithm, key].concat();
    let total = u8::try_from(inner.len()).unwrap();
    let head = if total < 0x80 {
        vec![0x30, total]
    } else {
        vec![0x30, 0x81, total]
    };
    [head, inner].concat()
}

#[test]
fn types_of_keys_that_are_not_supported_are_refused_by_name() {
    let oid = |last| [0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xb8, 0x43, 0x01, last];
    for len in [77, 120] {
        for (der, name) in [
            (foreign(&oid(1), len), "WebAuthn"),
            (foreign(&oid(2), len), "canister signature"),
        ] {
            let mut request = Request::of(&key(1));
            // As the key of a link, and as the sender's.
            request.delegations = vec![
                Delegation {
                    pubkey: der.clone(),
                    ..Delegation::to(&key(2))
                }
                .signed_by(&key(1)),
            ];
            let in_link = request.check(Some(&key(1))).unwrap_err();
            request.delegations.clear();
            request.sender = Principal::self_authenticating(&der);
            request.pubkey = Some(der);
            let as_sender = request.check(Some(&key(1))).unwrap_err();
            for error in [in_link, as_sender] {
                assert!(
                    matches!(error, AuthError::Key(KeyError::Unsupported(_))),
                    "{error}"
                );
                assert!(error.to_string().contains(name), "{error}");
            }
        }
        assert_eq!(
            PublicKey::from_der(&foreign(&oid(3), len)).unwrap_err(),
            KeyError::UnknownType
        );
    }
    assert_eq!(PublicKey::from_der(&[]).unwrap_err(), KeyError::UnknownType);
}

#[test]
fn a_compressed_point_is_no_key() {
    for (signer, prefix) in [(secp256k1(1), SECP256K1), (p256(1), P256)] {
        let (secret, whole) = (signer.0, signer.1);
        assert!(PublicKey::from_der(&whole).is_ok());
        let compressed = match secret {
            Secret::Secp256k1(key) => key.verifying_key().to_encoded_point(true).as_bytes().to_vec(),
            Secret::P256(key) => key.verifying_key().to_encoded_point(true).as_bytes().to_vec(),
            Secret::Ed25519(_) => unreachable!(),
        };
        let der = [prefix, &compressed].concat();
        assert_eq!(PublicKey::from_der(&der).unwrap_err(), KeyError::InvalidKey);
    }
}

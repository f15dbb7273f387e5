//! Each check has a test that fails when the check is removed: everything else about the request is right.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::auth::key::ed25519_der;
use crate::wire::cbor::Value;
use crate::wire::hash::hash_of_map;
use ed25519_dalek::{Signer, SigningKey};

mod chains;

const NOW: u64 = 1_700_000_000_000_000_000;
const MINUTE: u64 = 60_000_000_000;
const CANISTER: [u8; 10] = [0, 0, 0, 0, 0, 0, 0, 5, 1, 1];

enum Secret {
    Ed25519(SigningKey),
    Secp256k1(k256::ecdsa::SigningKey),
    P256(p256::ecdsa::SigningKey),
}

struct Key(Secret, Vec<u8>);

fn key(seed: u8) -> Key {
    let signing = SigningKey::from_bytes(&[seed; 32]);
    let der = ed25519_der(signing.verifying_key().as_bytes());
    Key(Secret::Ed25519(signing), der)
}

impl Key {
    fn principal(&self) -> Principal {
        Principal::self_authenticating(&self.1)
    }

    fn sign(&self, domain: &[u8], hash: &[u8; 32]) -> Vec<u8> {
        let message = [domain, hash].concat();
        match &self.0 {
            Secret::Ed25519(key) => key.sign(&message).to_bytes().to_vec(),
            Secret::Secp256k1(key) => {
                let signature: k256::ecdsa::Signature = key.sign(&message);
                signature.to_bytes().to_vec()
            }
            Secret::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(&message);
                signature.to_bytes().to_vec()
            }
        }
    }
}

struct Request {
    kind: &'static str,
    canister: Vec<u8>,
    sender: Principal,
    expiry: u64,
    pubkey: Option<Vec<u8>>,
    delegations: Vec<(Delegation, Vec<u8>)>,
}

#[derive(Clone)]
struct Delegation {
    pubkey: Vec<u8>,
    expiration: u64,
    targets: Option<Vec<Vec<u8>>>,
    permissions: Option<&'static str>,
}

impl Delegation {
    fn to(key: &Key) -> Self {
        Self {
            pubkey: key.1.clone(),
            expiration: NOW + MINUTE,
            targets: None,
            permissions: None,
        }
    }

    fn fields(&self) -> Vec<(&str, Value<'_>)> {
        let mut fields = vec![
            ("pubkey", Value::Bytes(&self.pubkey)),
            ("expiration", Value::Uint(self.expiration)),
        ];
        if let Some(targets) = &self.targets {
            fields.push((
                "targets",
                Value::Array(targets.iter().map(|target| Value::Bytes(target)).collect()),
            ));
        }
        if let Some(permissions) = self.permissions {
            fields.push(("permissions", Value::Text(permissions)));
        }
        fields
    }

    fn signed_by(self, key: &Key) -> (Self, Vec<u8>) {
        let hash = hash_of_map(&self.fields()).unwrap();
        let signature = key.sign(b"\x1Aic-request-auth-delegation", &hash);
        (self, signature)
    }
}

impl Request {
    fn of(key: &Key) -> Self {
        Self {
            kind: "call",
            canister: CANISTER.to_vec(),
            sender: key.principal(),
            expiry: NOW + MINUTE,
            pubkey: Some(key.1.clone()),
            delegations: vec![],
        }
    }

    fn content(&self) -> Vec<(&str, Value<'_>)> {
        vec![
            ("request_type", Value::Text(self.kind)),
            ("sender", Value::Bytes(self.sender.as_slice())),
            ("ingress_expiry", Value::Uint(self.expiry)),
            ("canister_id", Value::Bytes(&self.canister)),
            ("method_name", Value::Text("go")),
            ("arg", Value::Bytes(b"")),
        ]
    }

    fn check(&self, signer: Option<&Key>) -> Result<(), AuthError> {
        let hash = hash_of_map(&self.content()).unwrap();
        self.check_signature(signer.map(|key| key.sign(b"\x0Aic-request", &hash)).as_deref())
    }

    fn check_signature(&self, signature: Option<&[u8]>) -> Result<(), AuthError> {
        authenticate(&Envelope::decode(&self.body(signature)).unwrap(), NOW)
    }

    fn body(&self, signature: Option<&[u8]>) -> Vec<u8> {
        let mut outer = vec![("content", Value::Map(self.content()))];
        if let Some(pubkey) = &self.pubkey {
            outer.push(("sender_pubkey", Value::Bytes(pubkey)));
        }
        if let Some(signature) = signature {
            outer.push(("sender_sig", Value::Bytes(signature)));
        }
        let chain: Vec<Value<'_>> = self
            .delegations
            .iter()
            .map(|(delegation, signature)| {
                Value::Map(vec![
                    ("delegation", Value::Map(delegation.fields())),
                    ("signature", Value::Bytes(signature)),
                ])
            })
            .collect();
        if !chain.is_empty() {
            outer.push(("sender_delegation", Value::Array(chain)));
        }
        Value::Map(outer).encode()
    }
}

#[test]
fn a_request_signed_by_its_sender_is_accepted() {
    assert_eq!(Request::of(&key(1)).check(Some(&key(1))), Ok(()));
}

#[test]
fn a_signature_by_another_key_is_refused() {
    assert_eq!(
        Request::of(&key(1)).check(Some(&key(2))),
        Err(AuthError::Key(KeyError::BadSignature))
    );
}

#[test]
fn a_signature_over_another_request_is_refused() {
    let other = Request {
        expiry: NOW + 2 * MINUTE,
        ..Request::of(&key(1))
    };
    let signature = key(1).sign(b"\x0Aic-request", &hash_of_map(&other.content()).unwrap());
    assert_eq!(
        Request::of(&key(1)).check_signature(Some(&signature)),
        Err(AuthError::Key(KeyError::BadSignature))
    );
}

#[test]
fn a_sender_that_is_not_the_key_is_refused() {
    let request = Request {
        sender: key(2).principal(),
        ..Request::of(&key(1))
    };
    assert_eq!(request.check(Some(&key(1))), Err(AuthError::SenderMismatch));
}

#[test]
fn a_sender_without_proof_is_refused() {
    assert_eq!(
        Request::of(&key(1)).check(None),
        Err(AuthError::ProofMissing("sender_sig"))
    );
    let request = Request {
        pubkey: None,
        ..Request::of(&key(1))
    };
    assert_eq!(
        request.check(Some(&key(1))),
        Err(AuthError::ProofMissing("sender_pubkey"))
    );
}

#[test]
fn an_expiry_in_the_past_or_too_far_ahead_is_refused() {
    for (expiry, accepted) in [
        (NOW - 1, false),
        (NOW, true),
        (NOW + 5 * MINUTE + MINUTE / 2, true),
        (NOW + 5 * MINUTE + MINUTE / 2 + 1, false),
    ] {
        let request = Request {
            expiry,
            ..Request::of(&key(1))
        };
        let result = request.check(Some(&key(1)));
        assert_eq!(result.is_ok(), accepted, "{result:?}");
        if let Err(error) = result {
            assert!(
                error.to_string().starts_with("Invalid request expiry: "),
                "{error}"
            );
        }
    }
}

#[test]
fn an_anonymous_call_expires_and_an_anonymous_query_does_not() {
    let anonymous = |kind| Request {
        kind,
        canister: CANISTER.to_vec(),
        sender: Principal::anonymous(),
        expiry: NOW - 1,
        pubkey: None,
        delegations: vec![],
    };
    assert!(matches!(
        anonymous("call").check(None),
        Err(AuthError::Expiry { .. })
    ));
    assert_eq!(anonymous("query").check(None), Ok(()));
}

#[test]
fn an_anonymous_request_with_a_key_is_refused() {
    let request = Request {
        sender: Principal::anonymous(),
        ..Request::of(&key(1))
    };
    assert_eq!(request.check(Some(&key(1))), Err(AuthError::AnonymousWithProof));
}

#[test]
fn a_delegated_key_may_sign() {
    let mut request = Request::of(&key(1));
    request.delegations = vec![
        Delegation::to(&key(2)).signed_by(&key(1)),
        Delegation::to(&key(3)).signed_by(&key(2)),
    ];
    assert_eq!(request.check(Some(&key(3))), Ok(()));
    assert_eq!(
        request.check(Some(&key(2))),
        Err(AuthError::Key(KeyError::BadSignature))
    );
}

#[test]
fn a_delegation_that_the_sender_did_not_sign_is_refused() {
    let mut request = Request::of(&key(1));
    request.delegations = vec![Delegation::to(&key(2)).signed_by(&key(2))];
    assert_eq!(
        request.check(Some(&key(2))),
        Err(AuthError::Key(KeyError::BadSignature))
    );
}

#[test]
fn an_expired_delegation_is_refused() {
    let mut request = Request::of(&key(1));
    let delegation = Delegation {
        expiration: NOW - 1,
        ..Delegation::to(&key(2))
    };
    request.delegations = vec![delegation.signed_by(&key(1))];
    assert_eq!(
        request.check(Some(&key(2))),
        Err(AuthError::DelegationExpired(NOW - 1))
    );
}

#[test]
fn a_delegation_for_other_canisters_is_refused() {
    let mut request = Request::of(&key(1));
    let mine = Delegation {
        targets: Some(vec![CANISTER.to_vec()]),
        ..Delegation::to(&key(2))
    };
    request.delegations = vec![mine.signed_by(&key(1))];
    assert_eq!(request.check(Some(&key(2))), Ok(()));
    let other = Delegation {
        targets: Some(vec![vec![9; 10]]),
        ..Delegation::to(&key(2))
    };
    request.delegations = vec![other.signed_by(&key(1))];
    assert!(matches!(
        request.check(Some(&key(2))),
        Err(AuthError::TargetMismatch(_))
    ));
}

#[test]
fn a_delegation_for_queries_cannot_call() {
    let mut request = Request::of(&key(1));
    let delegation = Delegation {
        permissions: Some("queries"),
        ..Delegation::to(&key(2))
    };
    request.delegations = vec![delegation.signed_by(&key(1))];
    assert_eq!(request.check(Some(&key(2))), Err(AuthError::QueriesOnly));
    request.kind = "query";
    assert_eq!(request.check(Some(&key(2))), Ok(()));
}

#[test]
fn a_chain_that_names_a_key_twice_is_refused() {
    let mut request = Request::of(&key(1));
    request.delegations = vec![
        Delegation::to(&key(2)).signed_by(&key(1)),
        Delegation::to(&key(1)).signed_by(&key(2)),
    ];
    assert_eq!(request.check(Some(&key(1))), Err(AuthError::DelegationCycle));
}

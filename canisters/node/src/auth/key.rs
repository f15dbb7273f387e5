//! Public keys as clients send them, and signatures by them.
//!
//! Source: IC interface specification, "Signatures": DER keys; plain ECDSA signatures are r ‖ s, hashed by SHA-256.

use crate::faults::{Fault, broken};
use ed25519_dalek::{Signature as EdSignature, VerifyingKey};
use k256::ecdsa::signature::Verifier;
use thiserror::Error;

const ED25519: &[u8] = &[
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
pub(super) const SECP256K1: &[u8] = &[
    0x30, 0x56, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81,
    0x04, 0x00, 0x0a, 0x03, 0x42, 0x00,
];
pub(super) const P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// 1.3.6.1.4.1.56387.1.1: a key in COSE, as WebAuthn has it.
const COSE: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xb8, 0x43, 0x01, 0x01];
/// 1.3.6.1.4.1.56387.1.2: a canister that signs.
const CANISTER: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xb8, 0x43, 0x01, 0x02];
/// Length of an uncompressed point, the only form that the specification allows.
const POINT: usize = 65;

/// Why a key or a signature was not accepted.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// None of the key types that this node knows.
    #[error("the public key is none of Ed25519, ECDSA secp256k1 or ECDSA P-256 in DER")]
    UnknownType,
    /// A key type of the specification that this node does not offer.
    #[error("the public key is {0}, which this node does not support")]
    Unsupported(&'static str),
    /// A key that is not a point of its curve.
    #[error("the public key is not valid")]
    InvalidKey,
    /// The signature is not by this key over this message.
    #[error("the signature does not verify")]
    BadSignature,
}

/// A public key that can check signatures.
#[derive(Debug)]
pub enum PublicKey {
    /// RFC 8410.
    Ed25519(VerifyingKey),
    /// ECDSA on secp256k1.
    Secp256k1(Box<k256::ecdsa::VerifyingKey>),
    /// ECDSA on P-256.
    P256(Box<p256::ecdsa::VerifyingKey>),
}

impl PublicKey {
    /// Reads a DER key.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        if let Some(raw) = der.strip_prefix(ED25519) {
            let raw: &[u8; 32] = raw.try_into().map_err(|_| KeyError::InvalidKey)?;
            return VerifyingKey::from_bytes(raw)
                .map(Self::Ed25519)
                .map_err(|_| KeyError::InvalidKey);
        }
        if let Some(point) = der.strip_prefix(SECP256K1) {
            let key = k256::ecdsa::VerifyingKey::from_sec1_bytes(uncompressed(point)?)
                .map_err(|_| KeyError::InvalidKey)?;
            return Ok(Self::Secp256k1(Box::new(key)));
        }
        if let Some(point) = der.strip_prefix(P256) {
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(uncompressed(point)?)
                .map_err(|_| KeyError::InvalidKey)?;
            return Ok(Self::P256(Box::new(key)));
        }
        Err(match algorithm(der) {
            Some(COSE) => KeyError::Unsupported("a WebAuthn key (COSE)"),
            Some(CANISTER) => KeyError::Unsupported("of a canister that signs (canister signature)"),
            _ => KeyError::UnknownType,
        })
    }

    /// Checks one signature.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        if broken(Fault::AcceptForgedSignature) {
            return Ok(());
        }
        let ok = match self {
            Self::Ed25519(key) => {
                let signature = EdSignature::from_slice(signature).map_err(|_| KeyError::BadSignature)?;
                key.verify_strict(message, &signature).is_ok()
            }
            Self::Secp256k1(key) => {
                let signature =
                    k256::ecdsa::Signature::from_slice(signature).map_err(|_| KeyError::BadSignature)?;
                // Both halves of s are valid on the IC; this library accepts only the low one.
                let signature = signature.normalize_s().unwrap_or(signature);
                key.verify(message, &signature).is_ok()
            }
            Self::P256(key) => {
                let signature =
                    p256::ecdsa::Signature::from_slice(signature).map_err(|_| KeyError::BadSignature)?;
                key.verify(message, &signature).is_ok()
            }
        };
        if ok { Ok(()) } else { Err(KeyError::BadSignature) }
    }
}

fn uncompressed(point: &[u8]) -> Result<&[u8], KeyError> {
    if point.len() == POINT {
        Ok(point)
    } else {
        Err(KeyError::InvalidKey)
    }
}

/// The object identifier in a DER key: the first in its two outer sequences.
fn algorithm(der: &[u8]) -> Option<&[u8]> {
    let inner = content(content(der, 0x30)?, 0x30)?;
    content(inner, 0x06)
}

/// The content of the DER item at the front, when it has this tag. Lengths as long as keys have.
fn content(der: &[u8], tag: u8) -> Option<&[u8]> {
    let (len, rest) = match der {
        [first, len @ 0..=0x7f, rest @ ..] if *first == tag => (usize::from(*len), rest),
        [first, 0x81, len, rest @ ..] if *first == tag => (usize::from(*len), rest),
        [first, 0x82, high, low, rest @ ..] if *first == tag => {
            (usize::from(u16::from_be_bytes([*high, *low])), rest)
        }
        _ => return None,
    };
    rest.get(..len)
}

/// The DER form of an Ed25519 key, as a node shows its own.
pub fn ed25519_der(key: &[u8; 32]) -> Vec<u8> {
    [ED25519, key].concat()
}

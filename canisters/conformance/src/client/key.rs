//! Keys of users.
//!
//! Source: "Signatures": keys in DER, ECDSA signatures as r ‖ s over SHA-256.

use candid::Principal;
use ed25519_dalek::Signer as _;

const ED25519: &str = "302a300506032b6570032100";
const SECP256K1: &str = "3056301006072a8648ce3d020106052b8104000a034200";
const P256: &str = "3059301306072a8648ce3d020106082a8648ce3d030107034200";

/// The key of a user.
#[derive(Debug, Clone)]
pub enum Key {
    /// No key: everybody.
    Anonymous,
    /// RFC 8410.
    Ed25519(Box<ed25519_dalek::SigningKey>),
    /// ECDSA on secp256k1.
    Secp256k1(k256::ecdsa::SigningKey),
    /// ECDSA on P-256.
    P256(p256::ecdsa::SigningKey),
}

impl Key {
    /// A fresh Ed25519 key.
    pub fn ed25519() -> Self {
        Self::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(&rand::random())))
    }

    /// A fresh secp256k1 key.
    pub fn secp256k1() -> Self {
        loop {
            // Almost every number is a key.
            if let Ok(key) = k256::ecdsa::SigningKey::from_slice(&rand::random::<[u8; 32]>()) {
                return Self::Secp256k1(key);
            }
        }
    }

    /// A fresh P-256 key.
    pub fn p256() -> Self {
        loop {
            if let Ok(key) = p256::ecdsa::SigningKey::from_slice(&rand::random::<[u8; 32]>()) {
                return Self::P256(key);
            }
        }
    }

    /// The public key in DER; nothing for the anonymous user.
    pub fn der(&self) -> Vec<u8> {
        let (prefix, key) = match self {
            Self::Anonymous => return Vec::new(),
            Self::Ed25519(key) => (ED25519, key.verifying_key().to_bytes().to_vec()),
            Self::Secp256k1(key) => (
                SECP256K1,
                key.verifying_key().to_encoded_point(false).as_bytes().to_vec(),
            ),
            Self::P256(key) => (
                P256,
                key.verifying_key().to_encoded_point(false).as_bytes().to_vec(),
            ),
        };
        let mut der = hex::decode(prefix).unwrap_or_default();
        der.extend(key);
        der
    }

    /// Who the owner of the key is.
    pub fn principal(&self) -> Principal {
        match self {
            Self::Anonymous => Principal::anonymous(),
            _ => Principal::self_authenticating(self.der()),
        }
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Anonymous => Vec::new(),
            Self::Ed25519(key) => key.sign(message).to_bytes().to_vec(),
            Self::Secp256k1(key) => {
                let signature: k256::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
        }
    }
}

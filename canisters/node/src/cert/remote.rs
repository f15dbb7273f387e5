//! A signer as one outside of the process is: another implementation, which can be away.
#![allow(clippy::unwrap_used)]

use super::bls::BlsKey;
use super::keys::Keys;
use super::signer::{SignError, Signature, Signer};
use ed25519_dalek::SigningKey;
use ic_verify_bls_signature::PrivateKey;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Signs with the official library.
#[derive(Debug)]
pub struct Remote {
    secret: [u8; 32],
    der: Vec<u8>,
    away: Arc<AtomicBool>,
}

impl Remote {
    fn new(key: &BlsKey, away: Arc<AtomicBool>) -> Self {
        Self {
            secret: key.to_bytes(),
            der: key.der().to_vec(),
            away,
        }
    }
}

impl Signer for Remote {
    fn der(&self) -> &[u8] {
        &self.der
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        if self.away.load(Ordering::Relaxed) {
            return Err(SignError("it is away".to_owned()));
        }
        let key = PrivateKey::deserialize(&self.secret).unwrap();
        Ok(key.sign(message).serialize())
    }
}

fn secrets() -> [BlsKey; 2] {
    [[1; 32], [2; 32]].map(|seed| BlsKey::generate(&seed).unwrap())
}

/// Keys whose signers are elsewhere, and where to say whether they are away.
pub fn remote() -> (Keys, Arc<AtomicBool>) {
    let away = Arc::new(AtomicBool::new(false));
    let [root, subnet] = secrets().map(|key| Box::new(Remote::new(&key, away.clone())));
    (Keys::new(root, subnet, SigningKey::from_bytes(&[3; 32])), away)
}

/// The same keys in the process.
pub fn local() -> Keys {
    let [root, subnet] = secrets().map(Box::new);
    Keys::new(root, subnet, SigningKey::from_bytes(&[3; 32]))
}

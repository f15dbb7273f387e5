//! Delegations that were verified already: each answer of a subnet brings the same one, and its signature costs a pairing.
//!
//! A certificate whose delegation is known is verified under the subnet's key alone. What the delegation says was checked when
//! it was first seen, for this ledger: that the root key signed it, whose key it names, and that the ledger is in its ranges.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use dcanary_types::{Hash, value::sha256};
use dcanary_verifier::{
    certificate::{Certificate, CertificateError, RootKey},
    head::Anchors,
};

/// Delegations that are remembered. A network has one for a ledger at a time; it is renewed now and then.
const KEPT: usize = 8;

/// What was verified for one ledger under one root key.
#[derive(Debug, Default)]
pub(super) struct Delegations {
    known: Mutex<VecDeque<(Hash, RootKey)>>,
    /// Signatures of delegations that were verified.
    verified: AtomicU64,
}

/// A certificate and the key under which it is to be verified.
#[derive(Debug)]
pub(super) struct Light {
    pub(super) certificate: Vec<u8>,
    pub(super) key: RootKey,
}

impl Delegations {
    /// Takes a certificate's delegation off when it holds. Of the certificate itself nothing is believed afterwards.
    pub(super) fn lighten(&self, certificate: &[u8], anchors: &Anchors) -> Result<Light, CertificateError> {
        // strict reading first: what the other reader passes over is refused here
        let strict = Certificate::decode(certificate)?;
        let unchanged = || Light {
            certificate: certificate.to_vec(),
            key: anchors.root_key,
        };
        if strict.is_root_signed() {
            return Ok(unchanged());
        }
        let Ok(ic_certification::Certificate {
            tree,
            signature,
            delegation: Some(delegation),
        }) = ciborium::from_reader::<ic_certification::Certificate, _>(certificate)
        else {
            return Ok(unchanged());
        };
        let name = sha256(&[sha256(&delegation.subnet_id), sha256(&delegation.certificate)].concat());
        let key = if let Some(key) = self.find(&name) {
            key
        } else {
            strict.verify(&anchors.root_key, &anchors.ledger)?;
            self.verified.fetch_add(1, Ordering::Relaxed);
            let inner = Certificate::decode(&delegation.certificate)?;
            let named = inner
                .unverified_tree()
                .lookup(&[b"subnet", &delegation.subnet_id, b"public_key"]);
            let key = RootKey::from_der(named.found().ok_or(CertificateError::DelegationKey)?)?;
            self.remember(name, key);
            key
        };
        let mut light = Vec::new();
        let bare = ic_certification::Certificate {
            tree,
            signature,
            delegation: None,
        };
        match ciborium::into_writer(&bare, &mut light) {
            Ok(()) => Ok(Light {
                certificate: light,
                key,
            }),
            Err(_) => Ok(unchanged()),
        }
    }

    fn find(&self, name: &Hash) -> Option<RootKey> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|(one, _)| one == name).map(|(_, key)| *key)
    }

    fn remember(&self, name: Hash, key: RootKey) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KEPT {
            known.pop_front();
        }
        known.push_back((name, key));
    }
}

#[cfg(test)]
#[path = "delegation_tests.rs"]
mod tests;

//! BLS signatures as the IC uses them: `BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_`, signatures in G1, keys in G2.
//!
//! A BLS signature is unique for its key and message, so one node's signature cannot be told from the threshold
//! signature of a subnet. Source: IC interface specification, "Certificate".

use super::signer::{SignError, Signature, Signer};
use blst::min_sig::SecretKey;
use thiserror::Error;

const DST: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";
const DER_PREFIX: &[u8] = &[
    0x30, 0x81, 0x82, 0x30, 0x1d, 0x06, 0x0d, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03,
    0x01, 0x02, 0x01, 0x06, 0x0c, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03, 0x02, 0x01,
    0x03, 0x61, 0x00,
];

/// A secret key that blst does not accept.
#[derive(Debug, Error)]
#[error("the BLS secret key is not valid")]
pub struct BadKey;

/// A key whose secret the process holds.
pub struct BlsKey {
    secret: SecretKey,
    der: Vec<u8>,
}

impl std::fmt::Debug for BlsKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("BlsKey")
            .field("der", &hex::encode(&self.der))
            .finish_non_exhaustive()
    }
}

impl BlsKey {
    /// Derives a key from 32 random bytes.
    pub fn generate(seed: &[u8; 32]) -> Result<Self, BadKey> {
        Ok(Self::new(SecretKey::key_gen(seed, &[]).map_err(|_| BadKey)?))
    }

    /// Reads a stored secret.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadKey> {
        Ok(Self::new(SecretKey::from_bytes(bytes).map_err(|_| BadKey)?))
    }

    fn new(secret: SecretKey) -> Self {
        let der = [DER_PREFIX, &secret.sk_to_pk().to_bytes()].concat();
        Self { secret, der }
    }

    /// The secret, to be stored.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.secret.to_bytes()
    }
}

impl Signer for BlsKey {
    fn der(&self) -> &[u8] {
        &self.der
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        Ok(self.secret.sign(message, DST, &[]).to_bytes())
    }
}

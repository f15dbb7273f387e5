//! What signs certificates.

use crate::wire::hash::Hash;
use std::fmt;
use thiserror::Error;

/// A signature as certificates have it: a compressed point of G1, 48 bytes.
pub type Signature = [u8; 48];

/// A signer that cannot sign. The text says why, and no secret: it reaches the log and clients.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the signer of certificates cannot sign: {0}")]
pub struct SignError(pub String);

/// Makes the BLS signatures of one public key: with a secret that the process holds ([`BlsKey`]), or elsewhere, in a security module or
/// with the shares of many.
///
/// A signature is unique for its key and message, so nobody can tell which of them made it. Source: IC interface specification,
/// "Certificate".
///
/// [`BlsKey`]: super::bls::BlsKey
pub trait Signer: fmt::Debug + Send + Sync {
    /// The public key in DER, 133 bytes.
    fn der(&self) -> &[u8];

    /// The signature of a message under the scheme `BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_`. May block: nothing is shown before.
    ///
    /// # Errors
    /// When it cannot sign now.
    fn sign(&self, message: &[u8]) -> Result<Signature, SignError>;

    /// Signs the root hash of a state tree.
    ///
    /// # Errors
    /// When it cannot sign now.
    fn sign_root(&self, root: &Hash) -> Result<Signature, SignError> {
        self.sign(&[b"\x0Dic-state-root".as_slice(), root].concat())
    }
}

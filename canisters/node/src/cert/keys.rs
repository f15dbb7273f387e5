//! The node's own keys: root, subnet and node. Made once, kept with the data.

use super::bls::{BadKey, BlsKey};
use super::signer::Signer;
use crate::auth::key::ed25519_der;
use ed25519_dalek::SigningKey;
use ic_principal::Principal;
use rand::RngCore;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Stored keys that cannot be used.
#[derive(Debug, Error)]
pub enum KeysError {
    /// Not the expected JSON.
    #[error("they are not in the form in which a node writes them")]
    Format(#[from] serde_json::Error),
    /// Not hexadecimal, or of the wrong length.
    #[error("the key `{0}` is not 32 bytes in hexadecimal")]
    Malformed(&'static str),
    /// Not a secret key.
    #[error(transparent)]
    Bls(#[from] BadKey),
}

#[derive(Serialize, Deserialize)]
struct Stored {
    root: String,
    subnet: String,
    node: String,
}

/// The secrets of a network whose keys the process holds.
#[derive(Debug)]
pub struct Secrets {
    root: BlsKey,
    subnet: BlsKey,
    node: SigningKey,
}

impl Secrets {
    /// Makes new ones.
    pub fn generate() -> Result<Self, KeysError> {
        let mut seeds = [[0u8; 32]; 3];
        for seed in &mut seeds {
            rand::rng().fill_bytes(seed);
        }
        Ok(Self {
            root: BlsKey::generate(&seeds[0])?,
            subnet: BlsKey::generate(&seeds[1])?,
            node: SigningKey::from_bytes(&seeds[2]),
        })
    }

    /// The stored form: JSON, secrets in hexadecimal.
    pub fn to_json(&self) -> Result<Vec<u8>, KeysError> {
        Ok(serde_json::to_vec(&Stored {
            root: hex::encode(self.root.to_bytes()),
            subnet: hex::encode(self.subnet.to_bytes()),
            node: hex::encode(self.node.to_bytes()),
        })?)
    }

    /// Reads the stored form.
    pub fn from_json(json: &[u8]) -> Result<Self, KeysError> {
        let stored: Stored = serde_json::from_slice(json)?;
        Ok(Self {
            root: BlsKey::from_bytes(&secret("root", &stored.root)?)?,
            subnet: BlsKey::from_bytes(&secret("subnet", &stored.subnet)?)?,
            node: SigningKey::from_bytes(&secret("node", &stored.node)?),
        })
    }
}

/// All keys of one network of one node.
#[derive(Debug)]
pub struct Keys {
    /// Signs the delegation to the subnet; what clients pin.
    pub root: Box<dyn Signer>,
    /// Signs certificates.
    pub subnet: Box<dyn Signer>,
    /// Signs query responses.
    node: SigningKey,
    /// The name of the root subnet.
    pub root_id: Principal,
    /// The subnet's name.
    pub subnet_id: Principal,
    /// The node's name.
    pub node_id: Principal,
    /// The node's public key, DER.
    pub node_der: Vec<u8>,
}

impl From<Secrets> for Keys {
    fn from(secrets: Secrets) -> Self {
        Self::new(Box::new(secrets.root), Box::new(secrets.subnet), secrets.node)
    }
}

impl Keys {
    /// Makes new ones, which are kept nowhere.
    pub fn generate() -> Result<Self, KeysError> {
        Secrets::generate().map(Self::from)
    }

    /// Those of a network whose certificates these signers sign. What the node says alone it signs with a key of its own.
    pub fn new(root: Box<dyn Signer>, subnet: Box<dyn Signer>, node: SigningKey) -> Self {
        let node_der = ed25519_der(node.verifying_key().as_bytes());
        Self {
            root_id: Principal::self_authenticating(root.der()),
            subnet_id: Principal::self_authenticating(subnet.der()),
            node_id: Principal::self_authenticating(&node_der),
            root,
            subnet,
            node,
            node_der,
        }
    }

    /// A secret for a purpose of the node's own, from which its keys cannot be found.
    pub fn secret_for(&self, purpose: &str) -> [u8; 32] {
        let mut secret = Sha256::new();
        secret.update(b"dcanary-node secret for ");
        secret.update(purpose);
        // The only key whose secret every node holds itself.
        secret.update(self.node.to_bytes());
        secret.finalize().into()
    }

    /// Signs a query response: `\x0Bic-response` and its hash.
    pub fn sign_response(&self, hash: &[u8; 32]) -> [u8; 64] {
        // Ed25519's own trait, which has the name of that for certificates.
        ed25519_dalek::Signer::sign(&self.node, &[b"\x0Bic-response".as_slice(), hash].concat()).to_bytes()
    }
}

fn secret(name: &'static str, text: &str) -> Result<[u8; 32], KeysError> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| KeysError::Malformed(name))?;
    Ok(bytes)
}

//! Certificates: who signed the state tree, and for which canisters that signer speaks.
//!
//! ```text
//! root key ──signs──▶ delegation certificate {subnet key, canister ranges}
//!                                │ at most one of these
//!                                ▼
//!                     subnet key ──signs──▶ certificate {/time, /canister/<id>/…}
//! ```
//! Without delegation the root key signs directly. [`Certificate::verify`] is the only way to [`Verified`], and only
//! that hands out facts.

use std::fmt;

use blst::{
    BLST_ERROR,
    min_sig::{PublicKey, Signature},
};
use thiserror::Error;

use crate::cbor::{CborError, Reader, leb128_u64};
use crate::tree::{HashTree, Lookup};

/// Bytes before the point in a DER-encoded BLS key of the network.
const DER_PREFIX: [u8; 37] = [
    0x30, 0x81, 0x82, 0x30, 0x1d, 0x06, 0x0d, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03,
    0x01, 0x02, 0x01, 0x06, 0x0c, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03, 0x02, 0x01,
    0x03, 0x61, 0x00,
];

/// The point of the root key of the Internet Computer's mainnet.
const MAINNET: [u8; 96] = [
    0x81, 0x4c, 0x0e, 0x6e, 0xc7, 0x1f, 0xab, 0x58, 0x3b, 0x08, 0xbd, 0x81, 0x37, 0x3c, 0x25, 0x5c, 0x3c,
    0x37, 0x1b, 0x2e, 0x84, 0x86, 0x3c, 0x98, 0xa4, 0xf1, 0xe0, 0x8b, 0x74, 0x23, 0x5d, 0x14, 0xfb, 0x5d,
    0x9c, 0x0c, 0xd5, 0x46, 0xd9, 0x68, 0x5f, 0x91, 0x3a, 0x0c, 0x0b, 0x2c, 0xc5, 0x34, 0x15, 0x83, 0xbf,
    0x4b, 0x43, 0x92, 0xe4, 0x67, 0xdb, 0x96, 0xd6, 0x5b, 0x9b, 0xb4, 0xcb, 0x71, 0x71, 0x12, 0xf8, 0x47,
    0x2e, 0x0d, 0x5a, 0x4d, 0x14, 0x50, 0x5f, 0xfd, 0x74, 0x84, 0xb0, 0x12, 0x91, 0x09, 0x1c, 0x5f, 0x87,
    0xb9, 0x88, 0x83, 0x46, 0x3f, 0x98, 0x09, 0x1a, 0x0b, 0xaa, 0xae,
];

/// Compressed point at infinity: "verifies" the empty signature of everybody and is never a key.
const INFINITY: u8 = 0b1100_0000;

/// Domain separation tag of the network's signatures (interface specification, “Certificate”).
const SUITE: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";

/// A BLS key of a network or subnet: a valid point that is not the identity.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RootKey([u8; 96]);

impl RootKey {
    /// Reads the 133 bytes of DER that the network publishes.
    ///
    /// # Errors
    /// [`CertificateError::Key`] for another encoding or a point that is no key.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let point = der.strip_prefix(&DER_PREFIX).ok_or(CertificateError::Key)?;
        let point: [u8; 96] = point.try_into().map_err(|_| CertificateError::Key)?;
        // on the curve, in the subgroup, not the identity
        if point[0] == INFINITY || PublicKey::key_validate(&point).is_err() {
            return Err(CertificateError::Key);
        }
        Ok(Self(point))
    }

    /// The DER encoding, 133 bytes.
    pub fn to_der(&self) -> Vec<u8> {
        [DER_PREFIX.as_slice(), &self.0].concat()
    }

    /// Whether this is the root key of the Internet Computer's mainnet.
    pub fn is_mainnet(&self) -> bool {
        self.0 == MAINNET
    }

    /// The root key of the Internet Computer's mainnet.
    pub fn mainnet() -> Self {
        Self(MAINNET)
    }

    fn verifies(&self, digest: &[u8; 32], signature: &[u8; 48]) -> bool {
        let message = [b"\x0dic-state-root".as_slice(), digest].concat();
        // both points are checked to be in their subgroups, and not to be the identity
        match (
            PublicKey::key_validate(&self.0),
            Signature::sig_validate(signature, true),
        ) {
            (Ok(key), Ok(signature)) => {
                signature.verify(false, &message, SUITE, &[], &key, false) == BLST_ERROR::BLST_SUCCESS
            }
            _ => false,
        }
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootKey({})", hex::encode(self.0))
    }
}

/// Why a certificate is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// The bytes are no certificate.
    #[error("the certificate cannot be read: {0}")]
    Decode(CborError),
    /// The signature does not verify under the trusted key.
    #[error("the signature does not verify under the {0} key")]
    Signature(&'static str),
    /// The bytes are not a DER-encoded BLS key of 133 bytes.
    #[error("not a DER-encoded BLS key of 133 bytes")]
    Key,
    /// The delegation's certificate cannot be read.
    #[error("the delegation's certificate cannot be read: {0}")]
    DelegationDecode(CborError),
    /// The delegation is signed by a delegation itself.
    #[error("a delegation inside a delegation")]
    DelegationTooDeep,
    /// The root key did not sign the delegation.
    #[error("the delegation is not signed by the root key")]
    DelegationSignature,
    /// The delegation does not reveal the subnet's key.
    #[error("the delegation reveals no key of its subnet")]
    DelegationKey,
    /// The delegation does not reveal ranges that hold the canister.
    #[error("the canister is outside the ranges that the delegation reveals")]
    OutsideRange,
    /// The canister ranges cannot be read.
    #[error("the canister ranges cannot be read: {0}")]
    Ranges(CborError),
    /// The certificate reveals no valid time.
    #[error("the certificate reveals no valid time")]
    Time,
}

/// A certificate that was read, of which nothing is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    tree: HashTree,
    signature: [u8; 48],
    delegation: Option<Delegation>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Delegation {
    subnet: Vec<u8>,
    certificate: Vec<u8>,
}

/// The three findings on a certificate, each of which is a named check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examination {
    /// The signature over the certificate; `None` when there is no trusted key to check it with.
    pub certificate: Option<Result<(), CertificateError>>,
    /// The delegation; `None` without root key.
    pub delegation: Option<Result<(), CertificateError>>,
    /// The ranges; `None` when the delegation itself is not believed.
    pub range: Option<Result<(), CertificateError>>,
}

impl Examination {
    pub(crate) fn into_result(self) -> Result<(), CertificateError> {
        for finding in [self.delegation, self.certificate, self.range] {
            finding.unwrap_or(Err(CertificateError::Signature("root")))?;
        }
        Ok(())
    }
}

/// A certificate that the root key vouches for, for one canister.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    tree: HashTree,
    time: u64,
}

impl Verified {
    /// Looks a path up in the certified state tree.
    pub fn lookup(&self, path: &[&[u8]]) -> Lookup<'_> {
        self.tree.lookup(path)
    }

    /// The network's time in the certificate, nanoseconds since 1970.
    pub fn time(&self) -> u64 {
        self.time
    }
}

impl Certificate {
    /// Reads a certificate, with or without self-describe tag.
    ///
    /// # Errors
    /// [`CertificateError::Decode`] for anything but exactly the fields of a certificate.
    pub fn decode(bytes: &[u8]) -> Result<Self, CertificateError> {
        Self::read(bytes).map_err(CertificateError::Decode)
    }

    fn read(bytes: &[u8]) -> Result<Self, CborError> {
        const WHAT: &str = "the fields tree, signature and perhaps delegation";
        let mut reader = Reader::tagged(bytes);
        let (mut tree, mut signature, mut delegation) = (None, None, None);
        for _ in 0..reader.map(WHAT)? {
            match reader.text(WHAT)? {
                "tree" if tree.is_none() => tree = Some(HashTree::read(&mut reader)?),
                "signature" if signature.is_none() => {
                    let raw = reader.bytes("a signature")?;
                    signature = Some(
                        raw.try_into()
                            .map_err(|_| CborError::Expected("a signature of 48 bytes"))?,
                    );
                }
                "delegation" if delegation.is_none() => delegation = Some(Delegation::read(&mut reader)?),
                _ => return Err(CborError::Expected(WHAT)),
            }
        }
        reader.end()?;
        match (tree, signature) {
            (Some(tree), Some(signature)) => Ok(Self {
                tree,
                signature,
                delegation,
            }),
            _ => Err(CborError::Expected(WHAT)),
        }
    }

    /// The state tree, of which nothing is certified before [`Certificate::verify`].
    pub fn unverified_tree(&self) -> &HashTree {
        &self.tree
    }

    /// The time that the certificate claims.
    ///
    /// # Errors
    /// [`CertificateError::Time`] when it is not revealed or not a number.
    pub fn unverified_time(&self) -> Result<u64, CertificateError> {
        let time = self
            .tree
            .lookup(&[b"time"])
            .found()
            .ok_or(CertificateError::Time)?;
        leb128_u64(time).map_err(|_| CertificateError::Time)
    }

    /// Checks everything for one canister and keeps the findings apart.
    pub fn examine(&self, root_key: Option<&RootKey>, canister: &[u8]) -> Examination {
        let check = |key: &RootKey, name| {
            let good = key.verifies(&self.tree.digest(), &self.signature);
            if good {
                Ok(())
            } else {
                Err(CertificateError::Signature(name))
            }
        };
        let Some(root_key) = root_key else {
            return Examination {
                certificate: None,
                delegation: None,
                range: None,
            };
        };
        let Some(delegation) = &self.delegation else {
            return Examination {
                certificate: Some(check(root_key, "root")),
                delegation: Some(Ok(())),
                range: Some(Ok(())),
            };
        };
        match delegation.examine(root_key) {
            Ok((tree, subnet_key)) => Examination {
                certificate: Some(check(&subnet_key, "subnet's")),
                delegation: Some(Ok(())),
                range: Some(in_ranges(&tree, &delegation.subnet, canister)),
            },
            Err(error) => Examination {
                certificate: None,
                delegation: Some(Err(error)),
                range: None,
            },
        }
    }

    /// Checks everything for one canister; the only way to [`Verified`].
    ///
    /// # Errors
    /// The first finding against the certificate.
    pub fn verify(self, root_key: &RootKey, canister: &[u8]) -> Result<Verified, CertificateError> {
        self.examine(Some(root_key), canister).into_result()?;
        let time = self.unverified_time()?;
        Ok(Verified {
            tree: self.tree,
            time,
        })
    }

    /// Whether the root key signed directly.
    pub fn is_root_signed(&self) -> bool {
        self.delegation.is_none()
    }
}

impl Delegation {
    fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        const WHAT: &str = "the fields subnet_id and certificate";
        let (mut subnet, mut certificate) = (None, None);
        for _ in 0..reader.map(WHAT)? {
            match reader.text(WHAT)? {
                "subnet_id" if subnet.is_none() => subnet = Some(reader.bytes(WHAT)?.to_vec()),
                "certificate" if certificate.is_none() => certificate = Some(reader.bytes(WHAT)?.to_vec()),
                _ => return Err(CborError::Expected(WHAT)),
            }
        }
        match (subnet, certificate) {
            (Some(subnet), Some(certificate)) => Ok(Self { subnet, certificate }),
            _ => Err(CborError::Expected(WHAT)),
        }
    }

    fn examine(&self, root_key: &RootKey) -> Result<(HashTree, RootKey), CertificateError> {
        let inner = Certificate::read(&self.certificate).map_err(CertificateError::DelegationDecode)?;
        if inner.delegation.is_some() {
            return Err(CertificateError::DelegationTooDeep);
        }
        if !root_key.verifies(&inner.tree.digest(), &inner.signature) {
            return Err(CertificateError::DelegationSignature);
        }
        let key = inner.tree.lookup(&[b"subnet", &self.subnet, b"public_key"]);
        let key = key.found().ok_or(CertificateError::DelegationKey)?;
        let key = RootKey::from_der(key).map_err(|_| CertificateError::DelegationKey)?;
        Ok((inner.tree, key))
    }
}

/// Both forms of the ranges count where both are revealed; any revealed shard may hold the canister.
fn in_ranges(tree: &HashTree, subnet: &[u8], canister: &[u8]) -> Result<(), CertificateError> {
    let shards = tree.revealed_leaves(&[b"canister_ranges", subnet]);
    let legacy = tree.lookup(&[b"subnet", subnet, b"canister_ranges"]).found();
    let mut sharded = shards.is_empty() && legacy.is_some();
    for (_, ranges) in shards {
        sharded |= holds(ranges, canister)?;
    }
    let legacy = legacy.map_or(Ok(true), |ranges| holds(ranges, canister))?;
    if sharded && legacy {
        Ok(())
    } else {
        Err(CertificateError::OutsideRange)
    }
}

fn holds(ranges: &[u8], canister: &[u8]) -> Result<bool, CertificateError> {
    const WHAT: &str = "an array of pairs of canister ids";
    let read = || {
        let mut reader = Reader::tagged(ranges);
        let mut inside = false;
        for _ in 0..reader.array(WHAT)? {
            if reader.array(WHAT)? != 2 {
                return Err(CborError::Expected(WHAT));
            }
            let (low, high) = (reader.bytes(WHAT)?, reader.bytes(WHAT)?);
            inside |= low <= canister && canister <= high;
        }
        reader.end()?;
        Ok(inside)
    };
    read().map_err(CertificateError::Ranges)
}

impl CertificateError {
    /// The check that fails.
    pub fn check(&self) -> crate::report::Check {
        use crate::report::Check;
        match self {
            Self::Decode(_) | Self::Signature(_) | Self::Key => Check::Certificate,
            Self::DelegationDecode(_)
            | Self::DelegationTooDeep
            | Self::DelegationSignature
            | Self::DelegationKey => Check::Delegation,
            Self::OutsideRange | Self::Ranges(_) => Check::Range,
            Self::Time => Check::Age,
        }
    }
}

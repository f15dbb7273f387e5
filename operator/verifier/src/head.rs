//! The head of a ledger: what its canister certifies (section 7 of the ledger format).
//!
//! A [`CertifiedHead`] can be made only by [`check_head`], so whoever holds one has checked signature, delegation,
//! range, age and labels.

use dcanary_types::labels::{LabelError, Labels};
use thiserror::Error;

use crate::cbor::CborError;
use crate::certificate::{Certificate, CertificateError, RootKey};
use crate::report::Check;
use crate::tree::{Hash, HashTree};

/// Live answers: how old a certificate may be.
const MAX_AGE: u64 = 3 * 60 * 1_000_000_000;
/// Live answers: how far ahead of our clock a certificate may be.
const MAX_AHEAD: u64 = 60 * 1_000_000_000;

/// What every check of a ledger rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchors {
    /// Root key of the network.
    pub root_key: RootKey,
    /// Canister id of the ledger, as bytes.
    pub ledger: Vec<u8>,
}

/// The certificate and witness of a head, kept as evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The certificate as received.
    pub certificate: Vec<u8>,
    /// The witness as received.
    pub hash_tree: Vec<u8>,
}

/// The facts that a ledger certified at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedHead {
    ledger: Vec<u8>,
    labels: Labels,
    time: u64,
    evidence: Evidence,
}

impl CertifiedHead {
    /// Canister id of the ledger.
    pub fn ledger(&self) -> &[u8] {
        &self.ledger
    }

    /// Number of blocks, at least 1.
    pub fn size(&self) -> u64 {
        self.labels.size
    }

    /// Merkle root over the blocks.
    pub fn root(&self) -> Hash {
        self.labels.root
    }

    /// Hash of the last block.
    pub fn last_hash(&self) -> Hash {
        self.labels.last_block_hash
    }

    /// Hash of the policy document.
    pub fn policy_hash(&self) -> Hash {
        self.labels.policy
    }

    /// Hash of the revocation document.
    pub fn revoked_hash(&self) -> Hash {
        self.labels.revoked
    }

    /// The network's time when it was certified, nanoseconds since 1970.
    pub fn time(&self) -> u64 {
        self.time
    }

    /// The certificate and witness that prove it.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }
}

/// Why a head is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HeadError {
    /// The certificate is refused.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The certificate is too old for a live answer, or ahead of the clock.
    #[error("the certificate is of {time} and the clock says {now} (nanoseconds since 1970)")]
    Age {
        /// Time in the certificate.
        time: u64,
        /// Our time.
        now: u64,
    },
    /// The witness is refused.
    #[error(transparent)]
    Labels(#[from] LabelsError),
}

impl HeadError {
    /// The check that fails.
    pub fn check(&self) -> Check {
        match self {
            Self::Certificate(error) => error.check(),
            Self::Age { .. } => Check::Age,
            Self::Labels(_) => Check::Labels,
        }
    }
}

/// Why the labels are refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LabelsError {
    /// The witness is no hash tree.
    #[error("the witness cannot be read: {0}")]
    Decode(CborError),
    /// Something is pruned, or a label holds no value.
    #[error("the witness is pruned or a label holds no value")]
    Incomplete,
    /// The labels are not those of the format.
    #[error(transparent)]
    Label(LabelError),
    /// The certificate reveals no certified data of the ledger.
    #[error("the certificate does not reveal the ledger's certified data")]
    NoCertifiedData,
    /// The certified data is not the root of the witness.
    #[error("certified_data is not the root of the witness")]
    OtherRoot,
}

/// Reads the labels of a witness. They are certified only if the returned digest is.
pub(crate) fn read_labels(hash_tree: &[u8]) -> Result<(Labels, Hash), LabelsError> {
    let tree = HashTree::decode(hash_tree).map_err(LabelsError::Decode)?;
    let leaves = tree.flat().ok_or(LabelsError::Incomplete)?;
    let labels = Labels::from_leaves(&leaves).map_err(LabelsError::Label)?;
    Ok((labels, tree.digest()))
}

/// Whether the state tree certifies the witness for the ledger.
pub(crate) fn check_certified_data(
    state: &HashTree,
    ledger: &[u8],
    witness: &Hash,
) -> Result<(), LabelsError> {
    let certified = state.lookup(&[b"canister", ledger, b"certified_data"]).found();
    let certified = certified.ok_or(LabelsError::NoCertifiedData)?;
    if certified == witness {
        Ok(())
    } else {
        Err(LabelsError::OtherRoot)
    }
}

/// Live answers only: the certificate's time against the clock's.
pub(crate) fn check_age(time: u64, now: u64) -> Result<(), HeadError> {
    if now.saturating_sub(time) > MAX_AGE || time.saturating_sub(now) > MAX_AHEAD {
        return Err(HeadError::Age { time, now });
    }
    Ok(())
}

/// Checks certificate and witness of a ledger's head. With `now`, in nanoseconds since 1970, also their age.
///
/// # Errors
/// The first thing that does not hold.
pub fn check_head(
    certificate: &[u8],
    hash_tree: &[u8],
    anchors: &Anchors,
    now: Option<u64>,
) -> Result<CertifiedHead, HeadError> {
    let decoded = Certificate::decode(certificate)?;
    let state = decoded.unverified_tree().clone();
    let time = decoded.verify(&anchors.root_key, &anchors.ledger)?.time();
    if let Some(now) = now {
        check_age(time, now)?;
    }
    let (labels, digest) = read_labels(hash_tree)?;
    check_certified_data(&state, &anchors.ledger, &digest)?;
    let evidence = Evidence {
        certificate: certificate.to_vec(),
        hash_tree: hash_tree.to_vec(),
    };
    Ok(CertifiedHead {
        ledger: anchors.ledger.clone(),
        labels,
        time,
        evidence,
    })
}

//! The request that has its turn.

use std::collections::BTreeSet;

use crate::value::Hash;

/// A request between `dcanary_deploy_requested` and its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub(super) promotion: String,
    pub(super) release: Hash,
    pub(super) identity: Hash,
    /// Back to a release that was promoted here.
    pub(super) returns: bool,
    pub(super) started: bool,
    pub(super) rejected: bool,
    /// SHA-256 of who approved: a name may be long.
    pub(super) approvers: BTreeSet<Hash>,
}

impl Request {
    pub(super) fn new(promotion: &str, release: Hash, identity: Hash, returns: bool) -> Self {
        Self {
            promotion: promotion.to_owned(),
            release,
            identity,
            returns,
            started: false,
            rejected: false,
            approvers: BTreeSet::new(),
        }
    }

    /// UID of the promotion.
    pub fn promotion(&self) -> &str {
        &self.promotion
    }

    /// Digest of the release.
    pub fn release(&self) -> &Hash {
        &self.release
    }

    /// Identity of the release in this environment.
    pub fn identity(&self) -> &Hash {
        &self.identity
    }

    /// Whether it goes back to a release that was promoted here, which needs no approvals.
    pub fn returns(&self) -> bool {
        self.returns
    }

    /// Whether the deployment has begun.
    pub fn is_started(&self) -> bool {
        self.started
    }

    /// Whether somebody rejected it.
    pub fn is_rejected(&self) -> bool {
        self.rejected
    }

    /// How many different people have approved.
    pub fn approvals(&self) -> u64 {
        self.approvers.len() as u64
    }
}

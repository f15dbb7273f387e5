//! Decisions that count.

use dcanary_core::time::later;
use dcanary_crds::{Decision, Verb, release::DecidedKind};
use jiff::Timestamp;

use crate::{seen::Seen, wanted::queue::created};

/// A Decision that counts, for the object that was asked about.
#[derive(Debug, Clone, Copy)]
pub struct Counted<'a> {
    /// The Decision.
    pub decision: &'a Decision,
    /// Its UID.
    pub uid: &'a str,
    /// When it was created.
    pub at: Timestamp,
}

impl<'a> Counted<'a> {
    /// What was decided.
    pub fn verb(&self) -> Verb {
        self.decision.spec.verb
    }

    /// Identity of the release that was looked at, where the Decision says it.
    pub fn identity(&self) -> Option<&'a str> {
        self.decision.spec.target.digest.as_deref()
    }

    /// Whether it may be about the release with this identity.
    pub fn is_for(&self, identity: &str) -> bool {
        self.identity().is_none_or(|meant| meant == identity)
    }

    /// Who decided.
    pub fn by(&self) -> &str {
        &self.decision.spec.by.username
    }

    /// Why; empty when no reason was given.
    pub fn reason(&self) -> &str {
        self.decision.spec.reason.as_deref().unwrap_or_default()
    }
}

/// An API server takes some moments until it enforces a new admission policy, in seconds.
const ENFORCED_AFTER: u64 = 5;

/// The Decisions that count for exactly this object, the earliest first. None do while the admission policies are not in place, nor those
/// from before they were: without them anybody could have written any name into `by`.
pub fn counted<'a>(
    seen: &'a Seen,
    kind: DecidedKind,
    namespace: &str,
    name: &str,
    uid: &str,
    now: Timestamp,
) -> Vec<Counted<'a>> {
    let mut found: Vec<Counted<'a>> = about(seen, kind, namespace, name, uid)
        .filter(|decision| {
            is_enforced(seen, decision) && decision.spec.expires_at.is_none_or(|end| now < end)
        })
        .filter_map(|decision| {
            Some(Counted {
                decision,
                uid: decision.metadata.uid.as_deref()?,
                at: created(&decision.metadata)?,
            })
        })
        .collect();
    found.sort_by_key(|counted| (counted.at, counted.uid));
    found
}

/// How many Decisions about this object do not count because they were made before the admission policies were in place as they are now.
pub fn unenforced(seen: &Seen, kind: DecidedKind, namespace: &str, name: &str, uid: &str) -> usize {
    about(seen, kind, namespace, name, uid)
        .filter(|decision| !is_enforced(seen, decision))
        .count()
}

/// The Decisions about exactly this object.
fn about<'a>(
    seen: &'a Seen,
    kind: DecidedKind,
    namespace: &str,
    name: &str,
    uid: &str,
) -> impl Iterator<Item = &'a Decision> {
    seen.decisions.iter().filter(move |decision| {
        let target = &decision.spec.target;
        target.kind == kind
            && target.name == name
            && target.uid == uid
            && decision.metadata.namespace.as_deref() == Some(namespace)
    })
}

/// Whether the API server vouched for what it says of its author.
pub(crate) fn is_enforced(seen: &Seen, decision: &Decision) -> bool {
    let since = seen.policies.as_ref().ok();
    since
        .zip(created(&decision.metadata))
        .is_some_and(|(since, made)| made > later(*since, ENFORCED_AFTER))
}

//! Decisions that count.

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

impl Counted<'_> {
    /// What was decided.
    pub fn verb(&self) -> Verb {
        self.decision.spec.verb
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

/// The Decisions that count for exactly this object, the earliest first. None do while the admission policies are not in place: without
/// them anybody could have written any name into `by`.
pub fn counted<'a>(
    seen: &'a Seen,
    kind: DecidedKind,
    namespace: &str,
    name: &str,
    uid: &str,
    now: Timestamp,
) -> Vec<Counted<'a>> {
    if seen.policies.is_err() {
        return Vec::new();
    }
    let mut found: Vec<Counted<'a>> = seen
        .decisions
        .iter()
        .filter(|decision| {
            let target = &decision.spec.target;
            target.kind == kind
                && target.name == name
                && target.uid == uid
                && decision.metadata.namespace.as_deref() == Some(namespace)
                && decision.spec.expires_at.is_none_or(|end| now < end)
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

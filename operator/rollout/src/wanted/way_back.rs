//! Ways back that somebody decided: who may say `undo` needs nobody to approve it.

use dcanary_crds::{EnvironmentStatus, Promotion, WayBack};
use jiff::Timestamp;

use super::decisions::is_enforced;
use crate::{render::Candidate, seen::Seen};

/// Name of the Promotion by which the operator carries out a Decision that goes back. It is created once.
pub fn name_of_undo(environment: &str, decision: &str) -> String {
    let short: String = decision
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(8)
        .collect();
    let end = environment.len().min(40);
    let cut = environment.get(..end).unwrap_or(environment);
    format!("{}-undo-{short}", cut.trim_end_matches(['-', '.']))
}

/// Whether a promotion is the one that the operator made from a Decision that goes back, to the release that this led to.
pub fn is_led_back(status: &EnvironmentStatus, promotion: &Promotion, candidate: &Candidate) -> bool {
    let uid = promotion.metadata.uid.as_ref();
    let mut ways = status.ways_back.iter();
    ways.any(|way| uid == Some(&way.promotion_uid) && way.identity == candidate.identity)
}

/// Whether a promotion carries out a Decision that goes back to an earlier release: `undo` of the Environment, or `abort` of what became
/// stable. That one was allowed to whoever made it. Only the Promotion that the operator made from the Decision is meant, and only to the
/// release that the Decision led to; one that somebody created himself needs its approvals. So does one to a release of which the ledger does
/// not know that it was promoted here.
pub fn is_decided_way_back(
    status: &EnvironmentStatus,
    promotion: &Promotion,
    candidate: &Candidate,
    seen: &Seen,
    now: Timestamp,
) -> bool {
    let mut history = status.history.iter();
    let earlier = history.find(|deployed| deployed.identity == candidate.identity);
    let known = earlier.is_some_and(|deployed| status.journal.is_none() || deployed.record.is_some());
    let uid = promotion.metadata.uid.as_deref();
    let mut ways = status.ways_back.iter();
    let way = ways.find(|way| uid == Some(&way.promotion_uid) && way.identity == candidate.identity);
    let counts = |way: &WayBack| {
        seen.decisions.iter().any(|decision| {
            decision.metadata.uid.as_ref() == Some(&way.decision)
                && is_enforced(seen, decision)
                && decision.spec.expires_at.is_none_or(|end| now < end)
        })
    };
    promotion.spec.undo && known && way.is_some_and(counts)
}

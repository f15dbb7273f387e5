//! Ways back that somebody decided: who may say `undo` needs nobody to approve it.

use dcanary_crds::{Environment, EnvironmentStatus, Promotion, Verb, release::DecidedKind};
use jiff::Timestamp;

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

/// Whether a promotion carries out a Decision that goes back to an earlier release: `undo` of the Environment, or `abort` of what became
/// stable. That one was allowed to whoever made it. A Promotion with `undo` that somebody created himself is none: it needs its approvals. So
/// does one to a release of which the ledger does not know that it was promoted here.
pub fn is_decided_way_back(
    env: &Environment,
    status: &EnvironmentStatus,
    promotion: &Promotion,
    candidate: &Candidate,
    seen: &Seen,
    now: Timestamp,
) -> bool {
    let name = env.metadata.name.as_deref().unwrap_or_default();
    let mut history = status.history.iter();
    let earlier = history.find(|deployed| deployed.identity == candidate.identity);
    let known = earlier.is_some_and(|deployed| status.journal.is_none() || deployed.record.is_some());
    let decided =
        || {
            seen.decisions.iter().any(|decision| {
                let (spec, target) = (&decision.spec, &decision.spec.target);
                let goes_back = match target.kind {
                    DecidedKind::Environment => {
                        spec.verb == Verb::Undo && env.metadata.uid.as_ref() == Some(&target.uid)
                    }
                    DecidedKind::PipelineRun => false,
                    DecidedKind::Promotion => spec.verb == Verb::Abort && brought(status, &target.uid),
                };
                goes_back
                    && spec.expires_at.is_none_or(|end| now < end)
                    && promotion.spec.requested_by.as_ref() == Some(&spec.by.username)
                    && decision.metadata.uid.as_deref().is_some_and(|uid| {
                        promotion.metadata.name.as_deref() == Some(&name_of_undo(name, uid))
                    })
            })
        };
    promotion.spec.undo && known && seen.policies.is_ok() && decided()
}

/// Whether a promotion brought the release that is stable now.
fn brought(status: &EnvironmentStatus, promotion: &str) -> bool {
    let stable = status.stable.as_ref();
    stable.is_some_and(|stable| stable.promotion.as_deref() == Some(promotion))
}

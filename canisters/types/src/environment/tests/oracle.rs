//! The law of section 12, written a second time from the page: it looks at the list of records that were accepted and
//! keeps no state, so that a mistake in the machine's bookkeeping cannot be repeated here.

use super::*;

/// How the environment was opened.
#[derive(Debug, Clone)]
pub struct Opening {
    pub from: Option<&'static str>,
    pub approvals: u64,
}

pub fn legal(opening: &Opening, before: &[EnvTransition], next: &EnvTransition) -> bool {
    if before.contains(&EnvTransition::Closed) {
        return false;
    }
    let current = current(before);
    let is_current = |promotion: &str| current.is_some_and(|at| before[at].promotion() == Some(promotion));
    match next {
        EnvTransition::Opened { .. } => false,
        EnvTransition::Changed { .. }
        | EnvTransition::Closed
        | EnvTransition::RecordRefused { .. }
        | EnvTransition::Held { .. } => true,
        EnvTransition::Released { identity, .. } => is_held(before, identity),
        EnvTransition::DeployRequested {
            release,
            identity,
            undo,
            ..
        } => {
            let (from, _) = rules(opening, before);
            let vouched = match from {
                None => true,
                Some(from) => {
                    (*undo && was_promoted(before, release))
                        || (from == BEFORE && vouches(BEFORE, release) == Some(true))
                }
            };
            current.is_none() && !is_held(before, identity) && vouched
        }
        EnvTransition::Decided {
            promotion,
            verb,
            identity,
            ..
        } => {
            let about = promotion.as_deref().is_some_and(is_current);
            let other = identity.is_some_and(|looked_at| current_identity(before) != Some(looked_at));
            !(about && verb == "approve" && other)
        }
        EnvTransition::DeployStarted { promotion } => {
            let since = current.map_or(&[][..], |at| &before[at..]);
            let (_, needed) = rules(opening, before);
            is_current(promotion)
                && !has_started(before)
                && !current_identity(before).is_some_and(|identity| is_held(before, &identity))
                && (returns(before) || approvers(since, promotion).len() as u64 >= needed)
                && !since.iter().any(|t| {
                    matches!(t, EnvTransition::Decided { promotion: Some(p), verb, .. } if p == promotion && verb == "reject")
                })
        }
        EnvTransition::StepReached {
            promotion, weight, ..
        } => is_current(promotion) && has_started(before) && *weight <= 100,
        EnvTransition::AnalysisVerdict { promotion, .. } => is_current(promotion) && has_started(before),
        EnvTransition::Promoted {
            promotion, identity, ..
        } => is_current(promotion) && has_started(before) && current_identity(before) == Some(*identity),
        EnvTransition::RolledBack {
            promotion, identity, ..
        } => is_current(promotion) && current_identity(before) == Some(*identity),
        EnvTransition::Aborted { promotion, .. }
        | EnvTransition::Frozen { promotion, .. }
        | EnvTransition::Overridden { promotion, .. } => is_current(promotion),
    }
}

/// What may be written: less than what is legal.
pub fn admitted(opening: &Opening, before: &[EnvTransition], next: &EnvTransition) -> bool {
    let unapproved = || {
        let at = current(before)?;
        let identity = current_identity(before)?;
        let was_here = before[..at]
            .iter()
            .any(|t| matches!(t, EnvTransition::Promoted { identity: i, .. } if *i == identity));
        let promotion = before[at].promotion()?;
        let needed = rules(opening, before).1;
        Some(!was_here && (approvers(&before[at..], promotion).len() as u64) < needed)
    };
    let starts = matches!(next, EnvTransition::DeployStarted { .. });
    legal(opening, before, next) && !(starts && unapproved() == Some(true))
}

/// Where the last request is, if no end follows it.
fn current(before: &[EnvTransition]) -> Option<usize> {
    let last = before
        .iter()
        .rposition(|t| matches!(t, EnvTransition::DeployRequested { .. }))?;
    let ended = before[last..].iter().any(|t| {
        matches!(
            t,
            EnvTransition::Promoted { .. } | EnvTransition::Aborted { .. } | EnvTransition::RolledBack { .. }
        )
    });
    (!ended).then_some(last)
}

/// Whether the current request goes back to a release that was promoted here before.
fn returns(before: &[EnvTransition]) -> bool {
    current(before).is_some_and(|at| match before[at] {
        EnvTransition::DeployRequested { undo, release, .. } => undo && was_promoted(&before[..at], &release),
        _ => false,
    })
}

fn current_identity(before: &[EnvTransition]) -> Option<Hash> {
    match before[current(before)?] {
        EnvTransition::DeployRequested { identity, .. } => Some(identity),
        _ => None,
    }
}

fn has_started(before: &[EnvTransition]) -> bool {
    current(before).is_some_and(|at| {
        before[at..]
            .iter()
            .any(|t| matches!(t, EnvTransition::DeployStarted { .. }))
    })
}

fn approvers<'a>(since: &'a [EnvTransition], wanted: &str) -> std::collections::BTreeSet<&'a str> {
    since
        .iter()
        .filter_map(|t| match t {
            EnvTransition::Decided {
                promotion: Some(promotion),
                verb,
                by,
                ..
            } if promotion == wanted && verb == "approve" => Some(by.as_str()),
            _ => None,
        })
        .collect()
}

fn is_held(before: &[EnvTransition], wanted: &Hash) -> bool {
    let last = before.iter().rev().find(|t| {
        matches!(t, EnvTransition::Held { identity, .. } | EnvTransition::Released { identity, .. } if identity == wanted)
    });
    matches!(last, Some(EnvTransition::Held { .. }))
}

pub(super) fn was_promoted(before: &[EnvTransition], wanted: &Hash) -> bool {
    before.iter().enumerate().any(|(i, t)| {
        matches!(t, EnvTransition::Promoted { .. })
            && before[..i].iter().rev().find_map(|t| match t {
                EnvTransition::DeployRequested { release, .. } => Some(*release),
                _ => None,
            }) == Some(*wanted)
    })
}

fn rules(opening: &Opening, before: &[EnvTransition]) -> (Option<String>, u64) {
    let last = before.iter().rev().find_map(|t| match t {
        EnvTransition::Changed { from, approvals, .. } => Some((from.clone(), *approvals)),
        _ => None,
    });
    last.unwrap_or_else(|| (opening.from.map(str::to_owned), opening.approvals))
}

//! What can be told about a promotion before anything is decided.

use dcanary_crds::{Promotion, Verb};
use kube::ResourceExt as _;

use super::find::Found;
use crate::{
    cluster::who::Caller,
    exit::Failure,
    render::{promotions, rollout::who},
};

/// Refuses what could not count: the operator would say the same later.
pub fn may(verb: Verb, found: &Found, caller: &Caller) -> Result<(), Failure> {
    let promotion = &found.promotion;
    let (name, what) = (promotion.name_any(), verb.word());
    if promotions::exit_of(promotion).is_some() {
        if verb == Verb::Abort && serves(found) {
            return Ok(());
        }
        let ended = promotions::mark(promotion).2;
        let back = match (verb, &found.environment) {
            (Verb::Abort, Some(environment)) => {
                format!(
                    "; to go back from what is served: dcanary undo {}",
                    environment.name_any()
                )
            }
            _ => String::new(),
        };
        return Err(Failure::usage(format!(
            "Promotion {name} has ended ({ended}): nothing to {what}{back}"
        )));
    }
    if verb == Verb::Approve {
        approval(found, caller)?;
    }
    Ok(())
}

/// Whether what the promotion brought is served: then an abort goes back, however late it comes.
fn serves(found: &Found) -> bool {
    let stable = found
        .environment
        .as_ref()
        .and_then(|environment| environment.status.as_ref()?.stable.as_ref());
    stable.is_some_and(|stable| stable.promotion.is_some() && stable.promotion == found.promotion.uid())
}

fn approval(found: &Found, caller: &Caller) -> Result<(), Failure> {
    let promotion = &found.promotion;
    let name = promotion.name_any();
    // What cannot be read is left to the operator.
    let Some(environment) = &found.environment else {
        return Ok(());
    };
    let place = environment.name_any();
    let Some(rule) = &environment.spec.approval else {
        return Err(Failure::usage(format!(
            "Environment {place} asks for no approval: nothing to approve; see `dcanary get env {place}` for what Promotion {name} waits for"
        )));
    };
    let me = &caller.username;
    let named = rule.users.contains(me) || rule.groups.iter().any(|group| caller.groups.contains(group));
    if !named {
        return Err(Failure::usage(format!(
            "Environment {place} lets {} approve, and you are {me}: ask one of them, or have spec.approval changed",
            who(rule)
        )));
    }
    match promotion.spec.requested_by.as_ref() {
        Some(requester) if requester == me && !rule.allow_self => Err(Failure::usage(format!(
            "you asked for Promotion {name} yourself, and Environment {place} wants somebody else to approve it (spec.approval.allowSelf)"
        ))),
        None if !rule.allow_self => Err(Failure::usage(format!(
            "Promotion {name} does not say who asked for it, so nobody can approve it: create it anew with `dcanary promote {place} {}`",
            promotion.spec.release_ref.name
        ))),
        _ => given(promotion, me),
    }
}

fn given(promotion: &Promotion, me: &str) -> Result<(), Failure> {
    let mut approvals = promotion.status.iter().flat_map(|status| &status.approvals);
    match approvals.find(|approval| approval.by == me) {
        Some(_) => Err(Failure::usage(format!(
            "you have approved Promotion {} already, and it counts once",
            promotion.name_any()
        ))),
        None => Ok(()),
    }
}

/// The identity that is approved; it has to be the one that was looked at before, where that is named.
pub fn identity(promotion: &Promotion, looked_at: Option<&str>) -> Result<String, Failure> {
    let name = promotion.name_any();
    let present = promotion
        .status
        .as_ref()
        .and_then(|status| status.identity.clone())
        .ok_or_else(|| {
            Failure::cannot_tell(format!(
                "the operator has not looked at Promotion {name} yet, so it is not known what would be approved; try again in a moment, or see `dcanary get promotions {name} -o wide`"
            ))
        })?;
    match looked_at {
        Some(before) if before != present => Err(Failure::failed(format!(
            "Promotion {name} is of another release than the one that was looked at: its identity is {present}, not {before}; look at it again with `dcanary get promotions {name} -o yaml`"
        ))),
        _ => Ok(present),
    }
}

#[cfg(test)]
#[path = "promotion_tests.rs"]
mod tests;

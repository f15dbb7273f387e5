//! What the status of an Environment names, and from whose absence something is concluded.
//!
//! The status may be another operator's, and a cache may not have what that one saw yet. So `Seen` lacks none of these unless the API server
//! itself has said that it is gone.

use std::collections::BTreeSet;

use dcanary_crds::{DeployedRelease, Environment, EnvironmentStatus, Promotion, WayBack};

use crate::wanted::{finished, name_of_undo};

/// A Promotion that the status names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedPromotion {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID: another one of that name is another one.
    pub uid: String,
}

/// Decisions that the status names. It knows no more of them than their UIDs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamedDecisions {
    /// UIDs.
    pub uids: BTreeSet<String>,
    /// Namespaces that they can be in: those in others are not asked for any more.
    pub namespaces: BTreeSet<String>,
}

/// Promotions that the status names: of the rollout under way, those that ended, and those that carry out a Decision to go back.
pub fn promotions(environment: &Environment) -> BTreeSet<NamedPromotion> {
    let status = environment.status.as_ref();
    status.map_or_else(BTreeSet::new, |status| named_by(environment, status))
}

/// Promotions that the status after a decision names and the one before it does not. A cache may have one of them in a version of before it
/// ended: whoever carries the decision out asks the API server first (`has_ended`).
pub fn begun(environment: &Environment, after: &EnvironmentStatus) -> BTreeSet<NamedPromotion> {
    let before = promotions(environment);
    let mut begun = named_by(environment, after);
    begun.retain(|named| !before.contains(named));
    begun
}

/// Whether nothing may begin with this Promotion any more.
pub fn has_ended(promotion: &Promotion) -> bool {
    finished(promotion) || promotion.metadata.deletion_timestamp.is_some()
}

fn named_by(environment: &Environment, status: &EnvironmentStatus) -> BTreeSet<NamedPromotion> {
    let active = status
        .rollout
        .iter()
        .filter(|rollout| rollout.finished_at.is_none());
    let active = active.map(|rollout| NamedPromotion {
        namespace: rollout.promotion_namespace.clone(),
        name: rollout.promotion.clone(),
        uid: rollout.promotion_uid.clone(),
    });
    let ended = status.ended.iter().map(|ended| NamedPromotion {
        namespace: ended.promotion_namespace.clone(),
        name: ended.promotion.clone(),
        uid: ended.promotion_uid.clone(),
    });
    let ways = &status.ways_back;
    let ways = ways.iter().filter_map(|way| way_back(environment, status, way));
    active.chain(ended).chain(ways).collect()
}

/// The operator makes it where the release is that it leads to. Of one that leads to no release that is known nothing is concluded.
fn way_back(environment: &Environment, status: &EnvironmentStatus, way: &WayBack) -> Option<NamedPromotion> {
    let mut deployed = status.stable.iter().chain(&status.history);
    let to: &DeployedRelease = deployed.find(|deployed| deployed.identity == way.identity)?;
    let own = environment.metadata.namespace.as_ref()?;
    let namespace = Some(&to.namespace).filter(|namespace| !namespace.is_empty());
    Some(NamedPromotion {
        namespace: namespace.unwrap_or(own).clone(),
        name: name_of_undo(environment.metadata.name.as_ref()?, &way.decision),
        uid: way.promotion_uid.clone(),
    })
}

/// Decisions that the status names: those that were carried out.
pub fn decisions(environment: &Environment) -> NamedDecisions {
    let Some(status) = &environment.status else {
        return NamedDecisions::default();
    };
    let ways = status.ways_back.iter().map(|way| &way.decision);
    let rollout = status.rollout.iter().map(|rollout| &rollout.promotion_namespace);
    NamedDecisions {
        uids: status.decided.iter().chain(ways).cloned().collect(),
        namespaces: environment
            .metadata
            .namespace
            .iter()
            .chain(rollout)
            .cloned()
            .collect(),
    }
}

//! A promotion into an Environment that does not exist.

use dcanary_core::conditions::merge;
use dcanary_crds::{Promotion, PromotionStatus};
use jiff::Timestamp;

use super::promotions::waiting_facts;
use crate::wanted::finished;

/// The status of a promotion whose Environment does not exist: it waits for one. `None`: it has ended, or is told already.
pub fn nowhere(promotion: &Promotion, now: Timestamp) -> Option<PromotionStatus> {
    if finished(promotion) || promotion.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let environment = &promotion.spec.environment_ref;
    let own = promotion.metadata.namespace.as_deref().unwrap_or_default();
    let message = format!(
        "there is no Environment {} in namespace {}: create it, or delete this promotion",
        environment.name,
        environment.namespace.as_deref().unwrap_or(own)
    );
    let generation = promotion.metadata.generation.unwrap_or_default();
    let mut status = promotion.status.clone().unwrap_or_default();
    let facts = waiting_facts("EnvironmentNotFound", &message, false);
    status.observed_generation = generation;
    status.conditions = merge(&status.conditions, facts, generation, now);
    (promotion.status.as_ref() != Some(&status)).then_some(status)
}

//! What people are told while an Environment is being deleted.

use dcanary_core::conditions::{Fact, merge};
use dcanary_crds::{ConditionStatus, ConditionType, RolloutOutcome};

use super::{effects::written, pass::Pass, size};
use crate::{plan::Effect, wanted::queue};

/// Why promotions end then.
const DELETED: &str = "EnvironmentDeleted";

impl Pass<'_> {
    /// What is on its way and what waits ends with the Environment. Whether all of it has.
    pub(super) fn end_all(&mut self) -> bool {
        let message = "its Environment is being deleted";
        if self.active().is_some() {
            if let Some(rollout) = &mut self.status.rollout {
                rollout.outcome = Some(RolloutOutcome::Aborted);
            }
            self.say(DELETED, message);
            self.end_rollout();
        }
        for promotion in queue(&self.status, self.seen) {
            // the rest when the statuses of these are written
            if self.status.ended.len() >= size::ENDED {
                return false;
            }
            self.end_promotion(promotion, RolloutOutcome::Aborted, DELETED, message, None);
        }
        true
    }

    /// Why it is still there.
    pub(super) fn tell_why_it_stays(&mut self, waits: Option<String>, left: &[Effect], sealed: bool) {
        let message = waits
            .or_else(|| self.what_is_left(left))
            .or_else(|| (!sealed).then(|| "its last records are being put into safe keeping".to_owned()));
        let Some(message) = message else { return };
        let generation = self.env.metadata.generation.unwrap_or_default();
        self.status.observed_generation = generation;
        let own = [ConditionType::Reconciling, ConditionType::Stalled];
        let others = self.status.conditions.iter();
        let mut facts: Vec<Fact> = others
            .filter(|condition| !own.contains(&condition.kind))
            .map(|condition| {
                Fact::new(
                    condition.kind,
                    condition.status,
                    &condition.reason,
                    &condition.message,
                )
            })
            .collect();
        facts.push(Fact::new(
            ConditionType::Reconciling,
            ConditionStatus::True,
            "Deleting",
            &message,
        ));
        facts.push(Fact::new(
            ConditionType::Stalled,
            ConditionStatus::False,
            "Deleting",
            "",
        ));
        self.status.conditions = merge(&self.status.conditions, facts, generation, self.now);
    }

    fn what_is_left(&self, left: &[Effect]) -> Option<String> {
        let keys = || left.iter().filter_map(written);
        let refused = keys().find_map(|key| Some((key, self.seen.refusals.get(key)?)));
        if let Some((key, refusal)) = refused {
            return Some(format!(
                "{} `{}` cannot be changed or removed: {}: {}",
                key.kind.name(),
                key.name,
                refusal.reason,
                refusal.message
            ));
        }
        let first = keys().next()?;
        Some(format!(
            "{} objects are still to be changed or removed, the first is {} `{}`",
            left.len(),
            first.kind.name(),
            first.name
        ))
    }
}

//! Statuses of Promotions, taken from that of the Environment.

use dcanary_core::conditions::{self, Fact, RunState, merge};
use dcanary_crds::{
    ConditionStatus, ConditionType, EndedPromotion, Promotion, PromotionStatus, Rollout, RolloutOutcome,
};

use super::{pass::Pass, steps};
use crate::{plan::Effect, wanted::Gate};

impl Pass<'_> {
    /// Statuses that differ from what they are.
    pub(super) fn promotion_effects(&self) -> Vec<Effect> {
        let mut effects = Vec::new();
        for promotion in &self.seen.promotions {
            let Some(uid) = promotion.metadata.uid.as_deref() else {
                continue;
            };
            let Some(status) = self.status_of(promotion, uid) else {
                continue;
            };
            if promotion.status.as_ref() == Some(&status) {
                continue;
            }
            effects.push(Effect::WritePromotion {
                namespace: promotion.metadata.namespace.clone().unwrap_or_default(),
                name: promotion.metadata.name.clone().unwrap_or_default(),
                uid: uid.to_owned(),
                status: Box::new(status),
            });
        }
        effects
    }

    fn status_of(&self, promotion: &Promotion, uid: &str) -> Option<PromotionStatus> {
        let old = promotion.status.clone().unwrap_or_default();
        let generation = promotion.metadata.generation.unwrap_or_default();
        let with = |mut status: PromotionStatus, facts: Vec<Fact>| {
            status.observed_generation = generation;
            status.conditions = merge(&old.conditions, facts, generation, self.now);
            status
        };
        let rollout = self
            .status
            .rollout
            .as_ref()
            .filter(|rollout| rollout.promotion_uid == uid);
        if let Some(ended) = self.status.ended.iter().find(|ended| ended.promotion_uid == uid) {
            let mut status = rollout.map_or_else(|| old.clone(), details);
            status.finished_at = ended.finished_at;
            status.identity = ended.identity.clone().or(status.identity);
            return Some(with(status, ended_facts(ended)));
        }
        if let Some(rollout) = rollout.filter(|rollout| rollout.finished_at.is_none()) {
            return Some(with(details(rollout), active_facts(rollout)));
        }
        let waiting = self
            .waiting
            .iter()
            .find(|waiting| waiting.promotion.metadata.uid.as_deref() == Some(uid))?;
        let Gate::Waiting {
            reason,
            message,
            approvals,
            ..
        } = &waiting.gate
        else {
            return None;
        };
        let paused = *reason == "WaitingForApproval";
        let approvable = (paused && self.seen.policies.is_ok()).then_some(self.now);
        let status = PromotionStatus {
            identity: waiting.identity.clone(),
            approvals: approvals.clone(),
            approvable_since: old.approvable_since.or(approvable),
            ..PromotionStatus::default()
        };
        Some(with(status, waiting_facts(reason, message, paused)))
    }

    /// Passed steps and all steps.
    pub(super) fn note_progress(&mut self) {
        let all = steps::steps(&self.env.spec).len();
        if let Some(rollout) = &mut self.status.rollout {
            let passed = usize::try_from(rollout.step).unwrap_or_default().min(all);
            let promoted = rollout.outcome == Some(RolloutOutcome::Promoted);
            rollout.progress = Some(format!("{}/{all}", if promoted { all } else { passed }));
        }
    }
}

fn ended_facts(ended: &EndedPromotion) -> Vec<Fact> {
    let reason = ended.reason.as_str();
    let mut facts = conditions::run(RunState::Ended {
        succeeded: ended.outcome == RolloutOutcome::Promoted,
        reason,
        message: &ended.message,
        stalled: None,
    });
    facts.push(Fact::new(
        ConditionType::Paused,
        ConditionStatus::False,
        reason,
        "",
    ));
    facts
}

fn active_facts(rollout: &Rollout) -> Vec<Fact> {
    let doing = format!("{:?}", rollout.doing);
    let reason = if rollout.reason.is_empty() {
        &doing
    } else {
        &rollout.reason
    };
    waiting_facts(reason, &rollout.message, super::conditions::is_paused(rollout))
}

pub(super) fn waiting_facts(reason: &str, message: &str, paused: bool) -> Vec<Fact> {
    use ConditionStatus::{False, True, Unknown};
    use ConditionType::{Finished, Paused, Reconciling, Stalled, Succeeded};
    vec![
        Fact::new(Succeeded, Unknown, reason, message),
        Fact::new(Finished, False, reason, ""),
        Fact::new(Reconciling, True, reason, message),
        Fact::new(Stalled, False, reason, ""),
        Fact::new(Paused, paused.into(), reason, if paused { message } else { "" }),
    ]
}

fn details(rollout: &Rollout) -> PromotionStatus {
    PromotionStatus {
        identity: Some(rollout.identity.clone()),
        progress: rollout.progress.clone(),
        weight: Some(rollout.weight),
        started_at: rollout.started_at,
        finished_at: rollout.finished_at,
        approvals: rollout.approvals.clone(),
        analyses: rollout.analyses.clone(),
        changes: rollout.changes.clone(),
        ..PromotionStatus::default()
    }
}

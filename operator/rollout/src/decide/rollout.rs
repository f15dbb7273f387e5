//! The rollout that is under way, as far as what was seen allows.

use dcanary_crds::{Doing, RolloutOutcome};

use super::pass::Pass;

/// No rollout passes more states at once.
const MOST: usize = 64;

impl Pass<'_> {
    /// Moves the rollout on.
    pub(super) fn roll(&mut self) {
        if self.active().is_none() {
            return;
        }
        self.promotion_gone();
        self.held_on_its_way();
        self.carry_out_decisions();
        self.take_over_edits();
        for _ in 0..MOST {
            // what begins in this pass is measured from this pass on
            self.measure();
            let Some(before) = self.active().map(|rollout| (rollout.doing, rollout.step)) else {
                return;
            };
            self.advance(before.0);
            let after = self.active().map(|rollout| (rollout.doing, rollout.step));
            if after.is_none_or(|after| after == before) {
                return;
            }
        }
    }

    fn advance(&mut self, doing: Doing) {
        self.held_up_since = None;
        if !self.is_alive() || self.is_paused_beside_steps() {
            return;
        }
        // said anew by who still waits
        if let Some(rollout) = &mut self.status.rollout {
            self.missing_since = rollout.missing_since.take();
            self.held_up_since = rollout.held_up_since.take();
        }
        match doing {
            Doing::Waiting => self.wait(),
            Doing::PreDeploy => self.pre_deploy(),
            Doing::Starting => self.start(),
            Doing::Stepping => self.step(),
            Doing::Promoting => self.move_over(),
            Doing::Verifying => self.verify(),
            Doing::RollingBack => self.go_back(),
            Doing::AfterRollback => self.after_rollback(),
            Doing::Ended => {}
        }
    }

    /// Something new begins.
    pub(super) fn enter(&mut self, doing: Doing) {
        let now = self.now;
        if let Some(rollout) = &mut self.status.rollout {
            rollout.doing = doing;
            rollout.since = Some(now);
            rollout.resumed = false;
            rollout.gate = None;
            rollout.reason.clear();
            rollout.message.clear();
        }
    }

    /// Why it does not come on.
    pub(super) fn say(&mut self, reason: &str, message: impl Into<String>) {
        if let Some(rollout) = &mut self.status.rollout {
            reason.clone_into(&mut rollout.reason);
            rollout.message = dcanary_core::text::cut(&message.into(), super::end::MESSAGE);
        }
    }

    fn promotion_gone(&mut self) {
        let Some(rollout) = self.active() else { return };
        if matches!(rollout.doing, Doing::RollingBack | Doing::AfterRollback) {
            return;
        }
        let promotion = self.promotion(&rollout.promotion_uid);
        let there = promotion.is_some_and(|promotion| promotion.metadata.deletion_timestamp.is_none());
        if !there {
            self.turn_back(
                RolloutOutcome::Aborted,
                "PromotionDeleted",
                "its Promotion was deleted",
            );
        }
    }

    /// A release that may not come goes back also when it is on its way already.
    fn held_on_its_way(&mut self) {
        let Some(rollout) = self.active() else { return };
        let held = self
            .status
            .held
            .iter()
            .find(|held| held.identity == rollout.identity);
        if let Some(held) = held {
            let message = format!("it is held: {}", held.message);
            self.turn_back(RolloutOutcome::Aborted, "Held", &message);
        }
    }

    /// Whether the stable release is unfit to be gone back to at all.
    pub(super) fn stable_is_away(&self) -> bool {
        self.status.stable.is_some() && self.stable_target() > 0 && self.stable_available() == 0
    }
}

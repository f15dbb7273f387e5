//! Freeze windows that open after a promotion was taken up, before anything of it is deployed.

use dcanary_crds::Verb;
use dcanary_types::environment::EnvTransition;

use super::pass::Pass;
use crate::wanted::frozen;

impl Pass<'_> {
    /// Whether the rollout must not begin to deploy now. A way back waits for no window, nor does what a person let through.
    pub(super) fn is_frozen(&mut self) -> bool {
        let Some(rollout) = self.active().cloned() else {
            return false;
        };
        let back = self
            .promotion(&rollout.promotion_uid)
            .is_some_and(|promotion| promotion.spec.undo && rollout.straight);
        if back || rollout.overridden_by.is_some() {
            return false;
        }
        let window = match frozen(&self.env.spec.freeze, self.now) {
            Ok(None) => return false,
            Ok(Some(window)) => window,
            Err(error) => {
                self.say("InvalidSpec", format!("spec.freeze: {error}"));
                return true;
            }
        };
        if self.is_let_through(&rollout) {
            return false;
        }
        self.wake_at(window.until);
        self.say(
            "Frozen",
            format!(
                "freeze window `{}` opened before anything was deployed and lasts until {}; an emergency goes through with `dcanary override {} --reason …`",
                window.name, window.until, rollout.promotion
            ),
        );
        true
    }

    /// Whether a person let it through; that is recorded once.
    fn is_let_through(&mut self, rollout: &dcanary_crds::Rollout) -> bool {
        let decisions = self.decisions_about(rollout);
        let found = decisions
            .iter()
            .find(|decision| decision.verb() == Verb::Override);
        let Some(decision) = found else { return false };
        self.emit(EnvTransition::Overridden {
            promotion: rollout.promotion_uid.clone(),
            decision: decision.uid.to_owned(),
            by: decision.by().to_owned(),
        });
        if let Some(rollout) = &mut self.status.rollout {
            rollout.overridden_by = Some(decision.uid.to_owned());
        }
        true
    }
}

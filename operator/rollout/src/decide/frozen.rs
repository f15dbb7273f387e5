//! Freeze windows: those that open after a promotion was taken up, before anything of it is deployed, and what is recorded of all that held it up.

use dcanary_crds::{FrozenPromotion, Promotion};
use dcanary_types::environment::EnvTransition;

use super::pass::{Pass, Waiting};
use crate::wanted::{Gate, finished, frozen, override_of};

/// Windows of one promotion that are recorded: an outbox has to have room for all of them at once.
const WINDOWS: usize = 8;

impl Pass<'_> {
    /// Whether the rollout must not begin to deploy now. A way back that somebody decided waits for no window, nor does what a person let through.
    pub(super) fn is_frozen(&mut self) -> bool {
        let Some(rollout) = self.active().cloned() else {
            return false;
        };
        if self.is_decided_back(&rollout.promotion_uid, &rollout.identity) || rollout.overridden_by.is_some()
        {
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
        let Err(remark) = self.let_through(&rollout) else {
            return false;
        };
        self.note_window(&rollout.promotion_uid, &window.name);
        if self.has_room() {
            self.record_windows(&rollout.promotion_uid);
        }
        self.wake_at(window.until);
        self.say(
            "Frozen",
            format!(
                "freeze window `{}` opened before anything was deployed and lasts until {}; an emergency goes through with `dcanary override {} --reason …`{remark}",
                window.name, window.until, rollout.promotion
            ),
        );
        true
    }

    /// Remembers the window that a promotion waits for, of those that do the newest: the others end when it begins. The journal knows no
    /// promotion before it is taken up, so the window is recorded then.
    pub(super) fn note_freeze(&mut self, promotion: &Promotion) {
        let waits = |waiting: &Waiting<'_>| matches!(waiting.gate, Gate::Waiting { reason: "Frozen", .. });
        let newest = !self.waiting.iter().any(waits);
        if newest
            && let Ok(Some(window)) = frozen(&self.env.spec.freeze, self.now)
            && let Some(uid) = &promotion.metadata.uid
        {
            let all = &mut self.status.frozen;
            all.retain(|known| known.recorded > 0 || known.promotion_uid == *uid);
            self.note_window(uid, &window.name);
        }
    }

    fn note_window(&mut self, uid: &str, window: &str) {
        let all = &mut self.status.frozen;
        let found = all.iter_mut().find(|known| known.promotion_uid == uid);
        let Some(found) = found else {
            all.push(FrozenPromotion {
                promotion_uid: uid.to_owned(),
                windows: vec![window.to_owned()],
                recorded: 0,
            });
            return;
        };
        if found.windows.len() < WINDOWS && !found.windows.iter().any(|known| known == window) {
            found.windows.push(window.to_owned());
        }
    }

    /// Records the windows that held up the promotion that has its turn, each once.
    pub(super) fn record_windows(&mut self, uid: &str) {
        let mut all = self.status.frozen.iter_mut();
        let Some(frozen) = all.find(|frozen| frozen.promotion_uid == uid) else {
            return;
        };
        let recorded = usize::try_from(frozen.recorded).unwrap_or_default();
        let new: Vec<String> = frozen.windows.iter().skip(recorded).cloned().collect();
        frozen.recorded = i32::try_from(frozen.windows.len()).unwrap_or(i32::MAX);
        for window in new {
            self.emit(EnvTransition::Frozen {
                promotion: uid.to_owned(),
                window,
            });
        }
    }

    /// Drops what was remembered of promotions that ended or are gone.
    pub(super) fn forget_frozen(&mut self) {
        let mut all = std::mem::take(&mut self.status.frozen);
        all.retain(|frozen| {
            let uid = frozen.promotion_uid.as_str();
            let ended = self.status.ended.iter().any(|ended| ended.promotion_uid == uid);
            !ended && self.promotion(uid).is_some_and(|promotion| !finished(promotion))
        });
        self.status.frozen = all;
    }

    /// Whether a person let it through; that is recorded once. Otherwise what is to be said of those who let another one.
    fn let_through(&mut self, rollout: &dcanary_crds::Rollout) -> Result<(), String> {
        let decisions = self.decisions_about(rollout);
        let decision = override_of(&decisions, &rollout.identity)?;
        self.emit(EnvTransition::Overridden {
            promotion: rollout.promotion_uid.clone(),
            decision: decision.uid.to_owned(),
            by: decision.by().to_owned(),
        });
        if let Some(rollout) = &mut self.status.rollout {
            rollout.overridden_by = Some(decision.uid.to_owned());
        }
        Ok(())
    }
}

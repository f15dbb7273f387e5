//! The details of a rollout are in the status of its promotion before another one takes its place in that of the Environment. A status that
//! cannot be written, because the Promotion is too large, say, holds up the next rollout for a while only.

use dcanary_core::time::later;
use dcanary_crds::EndedPromotion;

use super::pass::Pass;

/// Seconds for which the next rollout waits for that.
const WRITTEN: u64 = 60;

impl Pass<'_> {
    /// Whether the promotion of the last rollout says by now that it has ended, or has had time to. No other one is waited for.
    pub(super) fn is_written(&mut self) -> bool {
        let since = self.unwritten().map(|ended| ended.finished_at);
        since.is_none_or(|at| self.reached(later(at.unwrap_or(self.now), WRITTEN)))
    }

    /// The next rollout begins without it: what is to be known of the last one is in the journal and in Events only.
    pub(super) fn tell_unwritten(&mut self) {
        let Some(name) = self.unwritten().map(|ended| ended.promotion.clone()) else {
            return;
        };
        let note = format!(
            "the status of promotion {name} could not be written for {WRITTEN} s, and the next rollout waits for it no longer: make the object smaller, or delete it"
        );
        self.tell(true, "PromotionNotWritten", &note);
    }

    fn unwritten(&self) -> Option<&EndedPromotion> {
        let last = &self.status.rollout.as_ref()?.promotion_uid;
        self.status
            .ended
            .iter()
            .find(|ended| ended.promotion_uid == *last)
    }
}

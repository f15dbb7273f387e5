//! Which of two releases is the older one. Only what is older than the stable release is gone back to: what was taken away comes again like
//! something new, unless a person decides that it comes back.

use dcanary_crds::{DeployedRelease, Promotion, Rollout};
use jiff::Timestamp;

use super::pass::Pass;

/// When a release came as something new. That it came back since then makes it no newer.
fn came(deployed: &DeployedRelease) -> Option<Timestamp> {
    deployed.new_since.or(deployed.since)
}

impl Pass<'_> {
    /// Whether an earlier release came before the stable one.
    pub(super) fn is_older(&self, deployed: &DeployedRelease) -> bool {
        let stable = self.status.stable.as_ref();
        stable.is_some_and(|stable| came(deployed) < came(stable))
    }

    /// Whether a promotion that brings this identity goes back: a person decided so, or it is older than what is stable.
    pub(super) fn leads_back(&self, promotion: &Promotion, deployed: &DeployedRelease) -> bool {
        let uid = promotion.metadata.uid.as_deref().unwrap_or_default();
        self.is_decided_back(uid, &deployed.identity) || self.is_older(deployed)
    }

    /// Whether a promotion brings this identity without steps and analysis: it goes back to it, and says so or is within the window.
    pub(super) fn goes_straight(&self, promotion: &Promotion, identity: &str) -> bool {
        let uid = promotion.metadata.uid.as_deref().unwrap_or_default();
        let mut history = self.status.history.iter();
        if self.is_decided_back(uid, identity) {
            return history.any(|deployed| deployed.identity == identity);
        }
        let rollback = self.env.spec.rollback.as_ref();
        let window = rollback.and_then(|rollback| rollback.window).unwrap_or(0);
        let recent = if promotion.spec.undo {
            usize::MAX
        } else {
            usize::try_from(window).unwrap_or_default()
        };
        let mut older = history.filter(|deployed| self.is_older(deployed)).take(recent);
        older.any(|deployed| deployed.identity == identity)
    }

    /// Since when what a rollout brings is new here, if it was before and came straight back. Asked while it is not the stable release yet.
    pub(super) fn new_since(&self, rollout: &Rollout) -> Option<Timestamp> {
        let mut history = self.status.history.iter();
        let before = history.find(|deployed| deployed.identity == rollout.identity)?;
        let back = self.is_older(before) || self.is_decided_back(&rollout.promotion_uid, &rollout.identity);
        came(before).filter(|_| rollout.straight && back)
    }
}

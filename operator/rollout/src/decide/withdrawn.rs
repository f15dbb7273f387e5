//! Releases that people took away: what comes by itself brings none of them back.

use std::collections::BTreeMap;

use dcanary_core::text::cut;
use dcanary_crds::{DeployedRelease, Promotion, Rollout, RolloutOutcome, WithdrawnRelease};

use super::{end::MESSAGE, pass::Pass};
use crate::wanted::{auto_promotion, digest_of, is_recorded, is_same};

/// Most that are remembered.
const WITHDRAWN: usize = 20;

impl Pass<'_> {
    /// A release became stable in the place of another one. Where a person went back, that one was taken away; the one that came is wanted again.
    pub(super) fn note_replaced(&mut self, rollout: &Rollout, before: Option<&DeployedRelease>) {
        let (images, digest) = (&rollout.images, rollout.digest.as_deref());
        self.status.withdrawn.retain(|one| !is(one, images, digest));
        let promotion = self.promotion(&rollout.promotion_uid);
        let back = promotion.filter(|promotion| promotion.spec.undo);
        let (Some(back), Some(before)) = (back, before) else {
            return;
        };
        // other configuration of one release: the release itself stays
        let other = |digest: Option<&str>| match (digest, before.digest.as_deref()) {
            (Some(one), Some(other)) => one != other,
            _ => *images != before.images,
        };
        if !before.release.is_empty() && other(digest) {
            self.withdraw(WithdrawnRelease {
                release: before.release.clone(),
                images: before.images.clone(),
                digest: before.digest.clone(),
                message: who(back),
                since: Some(self.now),
            });
        }
    }

    /// A person ended a rollout: its release was taken away, unless it was a way back itself.
    pub(super) fn note_taken_back(&mut self, rollout: &Rollout) {
        let by_person = rollout.outcome == Some(RolloutOutcome::Aborted)
            && matches!(rollout.reason.as_str(), "Aborted" | "Undone");
        let promotion = self.promotion(&rollout.promotion_uid);
        if by_person && promotion.is_some_and(|promotion| !promotion.spec.undo) {
            self.withdraw(WithdrawnRelease {
                release: rollout.release.clone(),
                images: rollout.images.clone(),
                digest: rollout.digest.clone(),
                message: cut(&rollout.message, MESSAGE),
                since: Some(self.now),
            });
        }
    }

    /// A person ended a promotion that waited: nor does that come by itself, unless its release is the stable one.
    pub(super) fn note_ended_waiting(&mut self, promotion: &Promotion, message: &str) {
        let (spec, seen) = (&promotion.spec, self.seen);
        let namespace = promotion.metadata.namespace.clone().unwrap_or_default();
        let place = (namespace, spec.release_ref.name.clone());
        let known = seen.releases.get(&place).map(|release| {
            let digest = Some(digest_of(release));
            (release.spec.images.clone(), digest)
        });
        // its Release may be missing here
        let source = seen.from.as_ref().and_then(|from| from.status.as_ref());
        let mut there = source
            .into_iter()
            .flat_map(|status| status.stable.iter().chain(&status.history));
        let there = || {
            let deployed =
                there.find(|deployed| (&deployed.namespace, &deployed.release) == (&place.0, &place.1))?;
            Some((deployed.images.clone(), deployed.digest.clone()))
        };
        let Some((images, digest)) = known.or_else(there).filter(|_| !spec.undo) else {
            return;
        };
        let stable = self.status.stable.as_ref();
        if stable.is_none_or(|stable| !is_same(stable, &images, digest.as_deref())) {
            self.withdraw(WithdrawnRelease {
                release: place.1,
                images,
                digest,
                message: cut(message, MESSAGE),
                since: Some(self.now),
            });
        }
    }

    fn withdraw(&mut self, release: WithdrawnRelease) {
        let all = &mut self.status.withdrawn;
        all.retain(|one| !is(one, &release.images, release.digest.as_deref()));
        all.push(release);
        let over = all.len().saturating_sub(WITHDRAWN);
        all.drain(..over);
    }

    /// Whether a release that would come by itself was taken away here.
    pub(super) fn withdrawn(&self, next: &DeployedRelease) -> Option<&WithdrawnRelease> {
        let mut all = self.status.withdrawn.iter();
        all.find(|one| is(one, &next.images, next.digest.as_deref()))
    }

    /// What does not come by itself although it succeeded in the environment before, and how it comes.
    pub(super) fn not_promoted(&self) -> Option<(String, String)> {
        let rule = self.env.spec.promotes_from.as_ref().filter(|rule| rule.auto)?;
        let next = auto_promotion(rule, self.seen, is_recorded(self.env, self.seen), self.now).ok()?;
        let taken = self.withdrawn(next)?;
        let message = format!(
            "release {} of {} does not come by itself, because it was taken away here ({}); bring it with `dcanary promote {} {}`",
            next.release, rule.name, taken.message, self.name, next.release
        );
        Some(("NotPromoted".to_owned(), message))
    }
}

fn is(one: &WithdrawnRelease, images: &BTreeMap<String, String>, digest: Option<&str>) -> bool {
    match (one.digest.as_deref(), digest) {
        (Some(one), Some(other)) => one == other,
        _ => one.images == *images,
    }
}

fn who(back: &Promotion) -> String {
    let by = back.spec.requested_by.as_deref().unwrap_or("somebody");
    let why = back.spec.reason.as_deref().unwrap_or_default();
    if why.is_empty() || why == "undo" {
        format!("{by} undid it")
    } else {
        cut(&format!("{by} undid it: {why}"), MESSAGE)
    }
}

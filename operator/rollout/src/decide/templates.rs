//! Pod templates of releases: made now as they were decided on, or as they were recorded.

use dcanary_crds::{DeployedRelease, Doing, Rollout, RolloutOutcome};

use super::{configuration::short, edits::EDITED, effects::writes, holds::cut_name, pass::Pass};
use crate::{
    plan::Effect,
    render::{self, RenderError},
};

/// Why a rollout ended before it began.
const CHANGED: &str = "ConfigurationChanged";

impl Pass<'_> {
    /// Copies of ConfigMaps (in place: and the record) that a release needs and that are not there, as long as their content is known: one was
    /// refused when its workload was taken, or somebody deleted it.
    pub(super) fn copies(&self, namespace: &str, release: &str, identity: &str) -> Vec<Effect> {
        if self.env.spec.workload.config_maps.is_empty() && !self.in_place() {
            return Vec::new();
        }
        let candidate = self.candidate_of(namespace, release, identity);
        candidate.map_or_else(Vec::new, |candidate| {
            writes(render::config_maps(&candidate, self.env, self.seen))
        })
    }

    /// The same for the releases that have Pods now.
    pub(super) fn missing_copies(&self) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Some(stable) = &self.status.stable {
            effects.extend(self.copies(&stable.namespace, &stable.release, &stable.identity));
        }
        let begun = |rollout: &&Rollout| !matches!(rollout.doing, Doing::Waiting | Doing::PreDeploy);
        if let Some(rollout) = self.active().filter(begun) {
            effects.extend(self.copies(&rollout.promotion_namespace, &rollout.release, &rollout.identity));
        }
        effects
    }

    /// Ends a rollout whose Pods were never made and cannot be any more as they were decided on. Nothing is wrong with its release, which is
    /// asked for again. Whether it ended.
    pub(super) fn is_outdated(&mut self) -> bool {
        let outdated = self.active().is_some_and(|rollout| self.has_changed(rollout));
        if outdated {
            let message = "template, ConfigMaps or Secrets changed before its Pods were made: its release is asked for again as it is now";
            self.turn_back(RolloutOutcome::Superseded, CHANGED, message);
        }
        outdated
    }

    /// Whether the workload of a rollout was made, in place: whether its template was recorded. What cannot be read now may have been.
    pub(super) fn was_made(&self, rollout: &Rollout) -> bool {
        let key = self.workload(&rollout.workload);
        let made = if self.in_place() {
            let record = render::recorded(self.env, &rollout.identity, 0, true, self.seen);
            !matches!(record, Err(RenderError::RecordMissing(_)))
                || self.carries(&rollout.workload, &rollout.identity)
        } else {
            self.seen.objects.contains_key(&key)
        };
        made || self.seen.unreadable.contains_key(&key)
    }

    fn has_changed(&self, rollout: &Rollout) -> bool {
        // one that comes back is what it was then, whatever the template says now
        let mut earlier = self.status.history.iter();
        if self.was_made(rollout) || earlier.any(|deployed| deployed.identity == rollout.identity) {
            return false;
        }
        let place = (rollout.promotion_namespace.clone(), rollout.release.clone());
        let Some(release) = self.seen.releases.get(&place) else {
            return false;
        };
        match render::candidate(self.env, release, self.seen) {
            Ok(candidate) => candidate.identity != rollout.identity,
            // what is missing or cannot be read is no change
            Err(error) => !error.waits(),
        }
    }

    /// Asks again for the release of a rollout that ended because its configuration had changed; one that was to take over from a rollback may
    /// have to wait for its end. Whether it had to be asked for.
    pub(super) fn ask_again(&mut self) -> bool {
        let last = self.status.rollout.clone().filter(|rollout| {
            rollout.outcome == Some(RolloutOutcome::Superseded)
                && (rollout.finished_at.is_some() || rollout.doing == Doing::RollingBack)
                && [CHANGED, EDITED].contains(&rollout.reason.as_str())
        });
        let Some(last) = last else { return false };
        let name = format!("{}-again-{}", cut_name(self.name), short(&last.promotion_uid));
        // an older release may come again if it might before
        let undo = self
            .promotion(&last.promotion_uid)
            .is_some_and(|promotion| promotion.spec.undo);
        let deployed = DeployedRelease {
            release: last.release,
            namespace: last.promotion_namespace,
            workload: last.workload,
            // one that came again as it was does so once more
            identity: if last.back { last.identity } else { String::new() },
            ..DeployedRelease::default()
        };
        if self.is_asked_for(&name, &deployed) {
            return false;
        }
        let by = last.requested_by.unwrap_or_else(|| self.own_name());
        let reason = if last.reason == EDITED {
            format!(
                "the kind of the strategy changed in the middle of {}",
                last.promotion
            )
        } else {
            format!("the configuration changed before {} began", last.promotion)
        };
        self.ask_for(&name, &deployed, &by, &reason, undo);
        true
    }

    /// The release of a rollout, in place. One that cannot be made now as it was decided on, because template or configuration are others by
    /// now, comes from its record: a release that comes back has one, and one that has begun.
    pub(super) fn put_in_place(&self, rollout: &Rollout) -> Vec<Effect> {
        let replicas = self.whole(rollout);
        let starting = rollout.doing == Doing::Starting;
        let made = self.candidate_of(&rollout.promotion_namespace, &rollout.release, &rollout.identity);
        if let Some(candidate) = made {
            let mut effects = writes(render::config_maps(&candidate, self.env, self.seen));
            effects.extend(writes(if starting {
                render::in_place(self.env, &candidate, replicas, self.seen)
            } else {
                render::in_place_whole(self.env, &candidate, replicas, self.seen)
            }));
            return effects;
        }
        // without a record there is nothing to write: the deadline says so
        render::recorded(self.env, &rollout.identity, replicas, !starting, self.seen)
            .map_or_else(|_| Vec::new(), writes)
    }
}

//! Pod templates of releases: made now as they were decided on, or as they were recorded.

use dcanary_crds::{Doing, Rollout};

use super::{effects::writes, pass::Pass};
use crate::{plan::Effect, render};

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

//! Pod templates of releases: made now as they were decided on, or as they were recorded.

use dcanary_crds::{Doing, Rollout};

use super::{effects::writes, pass::Pass};
use crate::{plan::Effect, render};

impl Pass<'_> {
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
        render::recorded(self.env, &rollout.identity, replicas, !starting, self.seen).map_or_else(|_| Vec::new(), writes)
    }
}

//! A candidate that has requests keeps the Pods for them, or goes back.

use dcanary_core::time::later;
use dcanary_crds::{Doing, Rollout, RolloutOutcome};

use super::pass::Pass;

impl Pass<'_> {
    /// Whether the candidate has Pods for the requests that it has. Else the step is held up, and at the deadline it goes back; a restart within
    /// it is forgiven. While it has no Pod at all, the stable release gets its requests too.
    pub(super) fn is_alive(&mut self) -> bool {
        let Some(rollout) = self.active().cloned() else {
            return true;
        };
        let moving = matches!(
            rollout.doing,
            Doing::Stepping | Doing::Promoting | Doing::Verifying
        );
        if !moving || self.relieves() {
            return true;
        }
        let state = self.state(&rollout.workload);
        let available = state.as_ref().map_or(0, |state| state.available);
        // the new route may give it all of what is asked before the last one is given back
        let given = if rollout.rerouted_at.is_some() {
            rollout.weight.max(rollout.wanted_weight)
        } else {
            rollout.weight
        };
        let weight = rollout.unready_weight.unwrap_or(given);
        let needed = self.pods_for(weight, &rollout);
        if available >= needed {
            return self.has_its_weight();
        }
        let since = rollout.unready_since.unwrap_or(self.now);
        if let Some(rollout) = &mut self.status.rollout {
            rollout.unready_since = Some(since);
        }
        if available == 0 {
            self.spare_requests();
        }
        let problem = self.problem(state.as_ref());
        let deadline = self.deadline();
        if self.reached(later(since, deadline)) {
            let message = format!(
                "{weight} % of the requests need {needed} ready Pods of the candidate; for {deadline} s there were fewer ({available} are ready){problem}"
            );
            self.turn_back(RolloutOutcome::RolledBack, "ProgressDeadlineExceeded", &message);
        } else {
            self.say(
                "WaitingForPods",
                format!(
                    "{weight} % of the requests need {needed} ready Pods of the candidate, {available} are ready{problem}"
                ),
            );
        }
        false
    }

    /// Gives the candidate back what it had when its Pods went away. Whether it has it.
    fn has_its_weight(&mut self) -> bool {
        if let Some(rollout) = &mut self.status.rollout
            && let Some(weight) = rollout.unready_weight
        {
            rollout.wanted_weight = weight;
            // it has its Pods: what it waits for now is the route
            rollout.unready_since = None;
            if !self.in_force() {
                return false;
            }
        }
        if let Some(rollout) = &mut self.status.rollout {
            rollout.unready_since = None;
            rollout.unready_weight = None;
        }
        true
    }

    /// A route sends requests also where there is no Pod, and they are lost: until there is one the stable release gets all. One in place has
    /// no other Pods, and a Service without a route leads to ready Pods only.
    fn spare_requests(&mut self) {
        let leads_astray = self.is_routed() || self.env.spec.strategy.blue_green.is_some();
        if self.in_place() || !leads_astray || self.stable_is_away() {
            return;
        }
        if let Some(rollout) = &mut self.status.rollout {
            rollout.unready_weight.get_or_insert(rollout.wanted_weight);
            rollout.wanted_weight = 0;
        }
        self.in_force();
    }

    /// Pods that the candidate needs for a weight.
    fn pods_for(&self, weight: i32, rollout: &Rollout) -> i32 {
        if weight == 0 || self.status.stable.is_none() {
            // nothing is lost yet, or there is nothing to go back to
            return 0;
        }
        let needed = self.for_weight_here(weight, rollout.stable_replicas.max(1));
        let asked = if self.in_place() {
            // so many as there should be: a DaemonSet loses one with its node
            self.state(&rollout.workload)
                .map_or(needed, |state| state.replicas)
        } else {
            self.candidate_target(rollout)
        };
        needed.min(asked)
    }
}

//! How many Pods each release should have.

use dcanary_core::time::later;
use dcanary_crds::{Doing, Rollout, RolloutOutcome};
use jiff::Timestamp;

use super::{
    pass::Pass,
    steps::{self, Step},
};

/// Pods that serve `weight` percent of what `stable` Pods serve all of: at least one.
pub(super) fn for_weight(weight: i32, stable: i32) -> i32 {
    share_of(weight, stable, 100)
}

/// Pods that make `weight` percent of all Pods beside `stable` ones: for Services without a route, which split by share.
pub(super) fn for_share(weight: i32, stable: i32) -> i32 {
    if weight >= 100 {
        return stable.max(1);
    }
    share_of(weight, stable, 100 - weight)
}

/// `weight × stable ÷ whole`, rounded up, and at least one.
fn share_of(weight: i32, stable: i32, whole: i32) -> i32 {
    let product = i64::from(weight) * i64::from(stable);
    let needed = (product + i64::from(whole) - 1) / i64::from(whole);
    i32::try_from(needed).unwrap_or(i32::MAX).max(1)
}

/// `3` or `50%` of the stable release's.
pub(super) fn parse(text: &str, stable: i32) -> i32 {
    match text.strip_suffix('%') {
        Some(percent) => for_weight(percent.parse().unwrap_or(100), stable),
        None => text.parse().unwrap_or(1),
    }
}

/// The highest weight that so many ready Pods of the candidate may have, when the stable release had `stable` before.
pub(super) fn weight_of(ready: i32, stable: i32) -> i32 {
    if stable <= 0 {
        return 100;
    }
    let weight = i64::from(ready.max(0)) * 100 / i64::from(stable);
    i32::try_from(weight.min(100)).unwrap_or(100)
}

impl Pass<'_> {
    /// Pods that the stable release should have now: during a rollout never fewer than before it.
    pub(super) fn stable_target(&self) -> i32 {
        self.active()
            .map_or(self.full(), |rollout| self.full().max(rollout.stable_replicas))
    }

    /// Pods that the candidate should have once all traffic is on it.
    pub(super) fn whole(&self, rollout: &Rollout) -> i32 {
        self.full()
            .max(rollout.stable_replicas)
            .max(i32::from(self.full() > 0))
    }

    /// Pods that the candidate should have now.
    pub(super) fn candidate_target(&self, rollout: &Rollout) -> i32 {
        match rollout.doing {
            Doing::Waiting | Doing::PreDeploy => 0,
            Doing::Starting => self.stepping_target(rollout).max(self.pods_emptying(rollout)),
            Doing::Stepping => self
                .stepping_target(rollout)
                .max(self.pods_kept(rollout))
                .max(self.pods_emptying(rollout)),
            Doing::Promoting | Doing::Verifying => self.whole(rollout),
            // what still gets requests keeps its Pods
            Doing::RollingBack => self.has_replicas(rollout),
            Doing::AfterRollback | Doing::Ended => {
                if rollout.outcome == Some(RolloutOutcome::Promoted) {
                    return self.stable_target();
                }
                // one that never had requests has none to end
                if self.emptied(rollout).is_some_and(|at| self.now < at) {
                    self.has_replicas(rollout)
                } else {
                    0
                }
            }
        }
    }

    /// When the last requests of an earlier release that comes again have had time to end.
    pub(super) fn emptying_until(&self, rollout: &Rollout) -> Option<Timestamp> {
        let history = self.status.history.iter();
        let before = history.filter(|deployed| deployed.workload == rollout.workload);
        let until = before.filter_map(|deployed| deployed.until).max()?;
        Some(later(until, self.drain())).filter(|at| self.now < *at)
    }

    /// Pods that it keeps until then.
    fn pods_emptying(&self, rollout: &Rollout) -> i32 {
        let emptying = self.emptying_until(rollout);
        emptying.map_or(0, |_| self.has_replicas(rollout))
    }

    /// Pods that the candidate's workload asks for now.
    fn has_replicas(&self, rollout: &Rollout) -> i32 {
        self.state(&rollout.workload).map_or(0, |state| state.replicas)
    }

    fn stepping_target(&self, rollout: &Rollout) -> i32 {
        // the first release, and the way straight back, need no steps
        if self.is_straight(rollout) || self.in_place() {
            return self.whole(rollout);
        }
        if let Some(blue_green) = &self.env.spec.strategy.blue_green {
            return blue_green.preview_replicas.unwrap_or_else(|| self.whole(rollout));
        }
        let stable = rollout.stable_replicas.max(1);
        let steps = steps::steps(&self.env.spec);
        let at = usize::try_from(rollout.step).unwrap_or_default();
        let first = if rollout.doing == Doing::Starting {
            match steps.first() {
                Some(Step::Replicas(replicas)) => return parse(replicas, stable),
                _ => at,
            }
        } else {
            at
        };
        let weight = steps
            .iter()
            .take(first + 1)
            .filter_map(|step| match step {
                Step::Weight(weight) => Some(*weight),
                _ => None,
            })
            .max()
            .unwrap_or_default();
        let Some(replicas) = &rollout.replicas else {
            return self.for_weight_here(weight, stable);
        };
        // never fewer than the requests that it has, or that the step brings, need
        let weight = weight.max(rollout.weight).max(rollout.wanted_weight);
        let needed = if weight > 0 {
            self.for_weight_here(weight, stable)
        } else {
            0
        };
        parse(replicas, stable).max(needed)
    }

    /// Pods for a weight, by the way in which traffic is split here.
    pub(super) fn for_weight_here(&self, weight: i32, stable: i32) -> i32 {
        let routed = self
            .env
            .spec
            .traffic
            .as_ref()
            .is_some_and(|traffic| traffic.route.is_some());
        if routed {
            for_weight(weight, stable)
        } else {
            for_share(weight, stable)
        }
    }

    /// Pods that an earlier release should have: `None`: as many as it has.
    pub(super) fn history_target(&self, index: usize) -> Option<i32> {
        let deployed = self.status.history.get(index)?;
        let ready = self
            .env
            .spec
            .history
            .as_ref()
            .and_then(|history| history.ready)
            .unwrap_or(0);
        if i32::try_from(index).is_ok_and(|index| index < ready) && !self.is_elsewhere(deployed) {
            return Some(self.full());
        }
        let emptied = later(deployed.until.unwrap_or(self.now), self.keep());
        (self.now >= emptied).then_some(0)
    }
}

//! Ways out of a rollback that waits: force, and a newer promotion that takes over.

use dcanary_core::time::later;
use dcanary_crds::{Doing, Rollout};

use super::{end::deployed, pass::Pass, routing::SETTLE};
use crate::traffic;

impl Pass<'_> {
    /// Whether requests still go to the candidate of the rollout before, whose place the present one takes.
    pub(super) fn relieves(&self) -> bool {
        self.status
            .relieved
            .as_ref()
            .is_some_and(|relieved| relieved.until.is_none())
    }

    /// The workload that the candidate's Service leads to.
    pub(super) fn carrier<'a>(&'a self, rollout: &'a Rollout) -> &'a str {
        let relieved = self.status.relieved.as_ref();
        let relieved = relieved.filter(|relieved| relieved.until.is_none());
        relieved.map_or(&rollout.workload, |relieved| &relieved.workload)
    }

    /// The stable Service leads to the new candidate first; once its endpoints have followed, all requests go that way. Whether they do.
    pub(super) fn takes_over(&mut self) -> bool {
        if !self.relieves() {
            return true;
        }
        let now = self.now;
        let switched = self.status.relieved.as_ref().and_then(|relieved| relieved.since);
        if switched.is_none() && !self.in_force() {
            return false;
        }
        if let Some(relieved) = &mut self.status.relieved {
            relieved.since.get_or_insert(now);
        }
        if !self.reached(later(switched.unwrap_or(now), SETTLE)) {
            return false;
        }
        if let Some(rollout) = &mut self.status.rollout {
            rollout.wanted_weight = 0;
        }
        let over = self.in_force();
        if over {
            self.relieve();
        }
        over
    }

    /// What takes over goes back itself: the requests stay where they are until the stable release can carry them.
    pub(super) fn keep_requests(&mut self) {
        let Some(relieved) = &mut self.status.relieved else {
            return;
        };
        relieved.since = None;
        let moved = relieved.until.is_some();
        if let Some(rollout) = &mut self.status.rollout {
            if moved {
                rollout.weight = 100;
            }
            rollout.wanted_weight = rollout.weight;
        }
    }

    /// From now on no request goes to what was relieved.
    pub(super) fn relieve(&mut self) {
        let now = self.now;
        if let Some(relieved) = &mut self.status.relieved {
            relieved.until.get_or_insert(now);
        }
    }

    /// Forgets what was relieved once its connections have had time to end.
    pub(super) fn forget_relieved(&mut self) {
        let until = self.status.relieved.as_ref().and_then(|relieved| relieved.until);
        let Some(until) = until else { return };
        // what it stood in for is known by it until all is over
        let forward = self
            .active()
            .is_some_and(|rollout| matches!(rollout.doing, Doing::Promoting | Doing::Verifying));
        if forward {
            return;
        }
        let drained = later(until, self.drain());
        if self.reached(drained) {
            self.status.relieved = None;
        }
    }

    /// Pods that the stable release needs for all requests: as many as it had before the rollout.
    pub(super) fn pods_before(&self, rollout: &Rollout) -> i32 {
        rollout.stable_replicas.max(i32::from(self.full() > 0))
    }

    /// Whether all requests go back now, whatever is ready: a person said so, or a part of the Pods has kept it waiting for too long. Onto no Pods
    /// at all they go only when a person says so, or when the candidate has none either.
    pub(super) fn is_forced(&mut self, rollout: &Rollout) -> bool {
        if rollout.resumed {
            return true;
        }
        let gains = !self.stable_is_away() || self.candidate_available() == 0;
        gains && self.overdue()
    }

    /// Says which Pods the way back waits for, and how it ends.
    pub(super) fn say_what_is_missing(&mut self, rollout: &Rollout, least: i32) {
        let (have, floor) = (self.stable_available(), self.pods_before(rollout));
        let end = if self.stable_is_away() {
            "promote a release that works".to_owned()
        } else {
            format!("it waits for {} s at most", self.deadline())
        };
        self.append(&format!(
            "waits for the stable release: {have} of {floor} Pods are ready, {least} % of the requests stay on the candidate; {end}, or go back now with `dcanary skip {}`",
            rollout.promotion
        ));
    }

    /// Whether the routing as it is written sends nothing to the candidate.
    pub(super) fn leads_nowhere(&self) -> bool {
        // a route of before that is not given back may still lead to it
        if self
            .former_routes()
            .left
            .iter()
            .any(|route| route.given_back_at.is_none())
        {
            return false;
        }
        let traffic = traffic::of(self.env, self.seen, None);
        traffic.is_none_or(|traffic| traffic.weight().is_none_or(|weight| weight == 0))
    }

    /// A newer promotion takes over from a rollback that waits for a stable release without Pods: the requests stay with the old candidate until
    /// the Pods of the new one, which has this identity, are ready. Whether it may begin; then the old rollout has ended.
    pub(super) fn hand_over(&mut self, identity: &str) -> bool {
        let Some(rollout) = self.active().cloned() else {
            return false;
        };
        let drained = self.relieves() || self.status.relieved.is_none();
        let waits = rollout.doing == Doing::RollingBack && rollout.wanted_weight > 0 && self.stable_is_away();
        let stable = self.status.stable.as_ref();
        // what comes is what it goes back to anyway
        let same = stable.is_some_and(|stable| stable.identity == identity);
        if !waits || !drained || same || self.in_place() || !self.has_room() {
            return false;
        }
        if !self.relieves() {
            self.status.relieved = Some(deployed(&rollout));
        }
        self.append("a newer promotion takes over");
        self.end_rollout();
        true
    }

    /// It ends before anything of it was deployed. What it was to relieve is gone back from first.
    pub(super) fn give_up(&mut self) {
        if !self.relieves() || self.status.stable.is_none() {
            self.end_rollout();
            return;
        }
        if let Some(rollout) = &mut self.status.rollout {
            rollout.doing = Doing::RollingBack;
            rollout.since = Some(self.now);
            rollout.gate = None;
        }
        self.go_back();
    }
}

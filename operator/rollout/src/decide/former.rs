//! `traffic.route` was edited: the route of before is given back, whatever comes of the rollout, and what the rollout waits for begins anew when
//! the new one has its weight.

use dcanary_crds::{Doing, Rollout};

use super::pass::Pass;
use crate::{
    analysis::BACKGROUND,
    traffic::{self, Former, InForce},
};

impl Pass<'_> {
    /// Notes which route there is before anything is written to it. The present one is the last.
    pub(super) fn note_route(&mut self) {
        let Some(present) = traffic::present(self.env) else {
            return;
        };
        let routes = &mut self.status.routes;
        if routes.last().is_some_and(|last| traffic::is_same(last, &present)) {
            return;
        }
        let edited = !routes.is_empty();
        routes.retain(|route| !traffic::is_same(route, &present));
        routes.push(present);
        if !edited {
            return;
        }
        // it was about another route
        self.status.contest = None;
        // what goes back, or stands in for a stable release that is away, is about the requests that there are, on whatever way
        let forward = self.active().is_some_and(|rollout| {
            matches!(
                rollout.doing,
                Doing::Stepping | Doing::Promoting | Doing::Verifying
            )
        });
        if forward && !self.relieves() && !self.in_place() {
            self.note_off_its_route();
            if let Some(rollout) = &mut self.status.rollout {
                rollout.weight = 0;
            }
        }
    }

    /// Requests do not go as the steps want it, by no fault of the candidate: neither time nor samples count meanwhile.
    pub(super) fn note_off_its_route(&mut self) {
        let now = self.now;
        let rollout = self.status.rollout.as_mut();
        if let Some(rollout) = rollout.filter(|rollout| rollout.weight > 0) {
            rollout.rerouted_at.get_or_insert(now);
        }
    }

    /// What is left to do about routes of before. Their requests come back to the stable release at once, but for those that it cannot take.
    pub(super) fn former_routes(&self) -> Former {
        let known = &self.status.routes;
        let mut former = traffic::former(self.env, self.seen, known, self.deadline(), self.now);
        if !former.effects.is_empty() && !self.takes_requests_back() {
            former.effects.clear();
            if let Some(InForce::NotYet { message }) = &mut former.waits {
                message.push_str(" once the stable release can take its requests");
            }
        }
        former
    }

    fn takes_requests_back(&self) -> bool {
        let settled = self.settled_at().is_none_or(|at| self.now >= at);
        settled
            && !self.relieves()
            && self
                .active()
                .is_none_or(|rollout| self.least_weight(rollout) == 0)
    }

    /// Forgets routes in which nothing of ours is left.
    pub(super) fn forget_former_routes(&mut self) {
        let Former { left, until, .. } = self.former_routes();
        if let Some(until) = until {
            self.wake_at(until);
        }
        let present = traffic::present(self.env);
        self.status.routes = left.into_iter().chain(present).collect();
    }

    /// Whether the route is the one that the rollout was on, and worked all the time; or it has its weight again by now: then a pause lasts from
    /// now on, and what was measured meanwhile counts no more.
    pub(super) fn is_on_its_route(&mut self, rollout: &Rollout) -> bool {
        if rollout.rerouted_at.is_none() {
            return true;
        }
        if !self.in_force() {
            return false;
        }
        let now = self.now;
        if let Some(rollout) = &mut self.status.rollout {
            rollout.rerouted_at = None;
            rollout.since = Some(now);
        }
        // what is over is not measured again
        let due = self.active().map(|rollout| self.due(rollout)).unwrap_or_default();
        self.measure_anew(|of| due.contains(&of.name) && (of.name != BACKGROUND || of.verdict.is_some()));
        true
    }
}

//! Back: never onto Pods that cannot carry it, never waiting for the chain.

use dcanary_crds::{Doing, RollbackMode, RolloutOutcome};
use jiff::Timestamp;

use super::{hooks::HookOutcome, pass::Pass, replicas::weight_of, steps};
use crate::render::{self, Hook};

/// Begins what a rollback waits for, behind why it goes back.
const WAITS: &str = "; waits for";

impl Pass<'_> {
    /// Begins to go back.
    pub(super) fn turn_back(&mut self, outcome: RolloutOutcome, reason: &str, message: &str) {
        let Some(rollout) = &self.status.rollout else {
            return;
        };
        if matches!(
            rollout.doing,
            Doing::RollingBack | Doing::AfterRollback | Doing::Ended
        ) {
            return;
        }
        let relieves = self.relieves();
        let deployed = relieves || !matches!(rollout.doing, Doing::Waiting | Doing::PreDeploy);
        let starting = rollout.doing == Doing::Starting && !relieves;
        // nobody was stable: who has the requests keeps them until another one takes over
        let spares = relieves
            && self.status.stable.is_none()
            && matches!(rollout.doing, Doing::Waiting | Doing::PreDeploy | Doing::Starting);
        let unserved = (starting && self.status.stable.is_some() && !self.in_place()) || spares;
        self.keep_requests();
        self.break_off_analyses(|_| true);
        self.enter(Doing::RollingBack);
        self.say(reason, message);
        if let Some(rollout) = &mut self.status.rollout {
            rollout.outcome = Some(outcome);
            rollout.paused_by = None;
            rollout.paused_until = None;
            rollout.unready_since = None;
            rollout.unready_weight = None;
            rollout.unverified_since = None;
            rollout.held_up_since = None;
            rollout.rerouted_at = None;
            rollout.mirror = 0;
        }
        self.tell(true, reason, message);
        if unserved {
            self.empty(None);
        } else if deployed {
            self.go_back();
        } else {
            self.end_rollout();
        }
    }

    /// Traffic on its way back.
    pub(super) fn go_back(&mut self) {
        if self.in_place() {
            self.go_back_in_place();
            return;
        }
        if self.status.stable.is_none() {
            // nothing was there before: there is nothing to go back to
            self.empty(Some(self.now));
            return;
        }
        // each weight that is in force already leads to the next lower one
        for _ in 0..=steps::steps(&self.env.spec).len() {
            let Some(rollout) = self.status.rollout.clone() else {
                return;
            };
            let forced = self.is_forced(&rollout);
            let least = if forced { 0 } else { self.least_weight(&rollout) };
            let wanted = self
                .next_weight_back(&rollout)
                .max(least)
                .min(rollout.wanted_weight);
            if let Some(rollout) = &mut self.status.rollout {
                rollout.wanted_weight = wanted;
            }
            if least > 0 {
                self.say_what_is_missing(&rollout, least);
            }
            if !self.in_force() {
                // a person said that it is over, and nothing leads to the candidate any more
                if rollout.resumed && wanted == 0 && self.leads_nowhere() {
                    self.empty(Some(self.now));
                }
                return;
            }
            if wanted == 0 {
                self.empty(Some(self.now));
                return;
            }
            if least >= wanted {
                return;
            }
        }
    }

    /// No request goes to the candidate any more, since this time. `None`: none ever did.
    fn empty(&mut self, since: Option<Timestamp>) {
        let unverified = since.filter(|_| !self.in_place() && self.is_unverified());
        if since.is_some() {
            self.relieve();
        }
        // what it waited for is there by now
        self.forget_waiting();
        let Some(rollout) = &mut self.status.rollout else {
            return;
        };
        rollout.doing = Doing::AfterRollback;
        rollout.since = since;
        rollout.unverified_since = unverified;
        self.after_rollback();
    }

    /// Adds what it waits for to the reason of the rollback.
    pub(super) fn append(&mut self, note: &str) {
        if let Some(rollout) = &mut self.status.rollout {
            let reason = rollout.message.split(WAITS).next().unwrap_or_default();
            rollout.message = dcanary_core::text::cut(&format!("{reason}; {note}"), super::end::MESSAGE);
        }
    }

    /// It waits no more: the reason of the rollback stands alone.
    fn forget_waiting(&mut self) {
        if let Some(rollout) = &mut self.status.rollout
            && let Some(end) = rollout.message.find(WAITS)
        {
            rollout.message.truncate(end);
        }
    }

    /// What the stable release cannot carry yet stays where it is, as long as the candidate can serve at all.
    pub(super) fn least_weight(&self, rollout: &dcanary_crds::Rollout) -> i32 {
        if self.candidate_available() == 0 || rollout.wanted_weight == 0 {
            // nothing is gained by keeping requests on Pods that are not there; but a stable release without any Pod gets none of them
            return if self.stable_is_away() {
                rollout.wanted_weight
            } else {
                0
            };
        }
        // what was enough before the rollout is enough: an autoscaler may ask for more in the middle of the outage
        let carried = weight_of(self.stable_available(), self.pods_before(rollout));
        (100 - carried).min(rollout.wanted_weight)
    }

    /// The next lower weight: 0, or that of the step before.
    fn next_weight_back(&self, rollout: &dcanary_crds::Rollout) -> i32 {
        let mode = self.env.spec.rollback.as_ref().map(|rollback| rollback.mode);
        if mode != Some(RollbackMode::Steps) {
            return 0;
        }
        let in_force = rollout.weight == rollout.wanted_weight;
        if !in_force {
            return rollout.wanted_weight;
        }
        let all = steps::steps(&self.env.spec);
        let passed = steps::passed_weights(&all, all.len());
        passed
            .into_iter()
            .find(|weight| *weight < rollout.wanted_weight)
            .unwrap_or(0)
    }

    fn go_back_in_place(&mut self) {
        let Some(stable) = self.status.stable.clone() else {
            self.empty(Some(self.now));
            return;
        };
        let Some(state) = self.state(&stable.workload) else {
            // the effects bring it back first
            return;
        };
        let is_back = self.carries(&stable.workload, &stable.identity)
            && render::complete(&state, self.stable_target());
        // a newer release goes over whatever is there
        if is_back || (self.is_superseded() && !self.begins_anew()) {
            self.empty(Some(self.now));
            return;
        }
        let resumed = self.active().is_some_and(|rollout| rollout.resumed);
        if resumed || self.overdue() {
            self.empty(Some(self.now));
            self.append("its Pods were not all ready at the end of it");
        } else {
            let (have, all) = (state.available, self.stable_target());
            let problem = self.problem(Some(&state));
            self.append(&format!(
                "waits for {have} of {all} Pods to carry it again{problem}"
            ));
        }
    }

    /// The same release comes again, by another kind of strategy: to the stable release it goes back first.
    fn begins_anew(&self) -> bool {
        let rollout = self.status.rollout.as_ref();
        rollout.is_some_and(|rollout| rollout.reason == super::edits::EDITED)
    }

    fn is_superseded(&self) -> bool {
        let rollout = self.status.rollout.as_ref();
        rollout.is_some_and(|rollout| rollout.outcome == Some(RolloutOutcome::Superseded))
    }

    /// The stages after a rollback; then it is over.
    pub(super) fn after_rollback(&mut self) {
        if !self.is_superseded() {
            match self.hook(Hook::OnRollback) {
                HookOutcome::Over => self.forget_waiting(),
                HookOutcome::Running(message) => {
                    self.append(&format!("waits for its onRollback stages: {message}"));
                    return;
                }
                HookOutcome::Failed(message) => {
                    self.tell(true, "OnRollbackFailed", &message);
                    self.append(&format!("an onRollback stage failed: {message}"));
                }
            }
        }
        self.end_rollout();
    }

    /// When the Pods of a release that went back are taken away.
    pub(super) fn emptied_at(&self) -> Option<Timestamp> {
        self.emptied(self.status.rollout.as_ref()?)
    }
}

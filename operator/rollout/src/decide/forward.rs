//! Forward: hooks, Pods, steps, all traffic, checks afterwards.

use dcanary_core::time::later;
use dcanary_crds::{Doing, Rollout, RolloutOutcome, Verdict};

use super::{
    changed::CHANGED,
    held_up::{Overdue, STORING},
    hooks::HookOutcome,
    pass::Pass,
    replicas::weight_of,
    steps::{self, Step},
};
use crate::{
    analysis::BACKGROUND,
    render::{self, Hook, WorkloadState},
};

impl Pass<'_> {
    /// Waits for the chain to hold what was decided.
    pub(super) fn wait(&mut self) {
        let gate = self.status.rollout.as_ref().and_then(|rollout| rollout.gate);
        if let Some(refused) = gate.and_then(|_| self.refused_by_chain()) {
            self.say(
                "RefusedByLedger",
                format!("the ledger refuses the deploy: {refused}"),
            );
            if let Some(rollout) = &mut self.status.rollout {
                rollout.outcome = Some(RolloutOutcome::Refused);
            }
            self.give_up();
        } else if self.is_outdated() {
            // its release is asked for again
        } else if self.is_certified(gate) || self.is_way_back() {
            if !self.is_frozen() {
                self.enter(Doing::PreDeploy);
            }
        } else {
            let message = self.chain_message();
            self.say("WaitingForLedger", message);
        }
    }

    pub(super) fn pre_deploy(&mut self) {
        if self.lacks_an_analysis() {
            return;
        }
        match self.hook(Hook::PreDeploy) {
            // a window may have opened since it was taken up, and nothing is deployed yet
            HookOutcome::Over if self.is_frozen() => {}
            HookOutcome::Over => self.enter(Doing::Starting),
            HookOutcome::Running(message) => self.say("PreDeploy", message),
            HookOutcome::Failed(message) => {
                self.say(
                    "PreDeployFailed",
                    format!("a preDeploy stage failed, nothing was deployed: {message}"),
                );
                if let Some(rollout) = &mut self.status.rollout {
                    rollout.outcome = Some(RolloutOutcome::Aborted);
                }
                self.give_up();
            }
        }
    }

    /// Waits for the first Pods of the candidate; in place: for all.
    pub(super) fn start(&mut self) {
        if self.is_outdated() {
            return;
        }
        let Some(rollout) = self.status.rollout.clone() else {
            return;
        };
        let wanted = self.candidate_target(&rollout);
        let state = self.state(&rollout.workload);
        let ready = match &state {
            // in place the workload was there before: only its new Pods count
            Some(state) if self.in_place() => {
                // a pause stops it at a higher one
                state.partition <= render::partition(self.env)
                    && render::complete(state, wanted)
                    && self.carries(&rollout.workload, &rollout.identity)
            }
            Some(state) => state.available_now() >= wanted,
            None => false,
        };
        if ready {
            let whole = self.in_place() && render::partition(self.env) == 0;
            let straight = self.is_straight(&rollout) || whole;
            self.enter(if straight {
                Doing::Promoting
            } else {
                Doing::Stepping
            });
        } else {
            let available = state.as_ref().map_or(0, WorkloadState::available_now);
            let missing = format!("{available} of {wanted} Pods are ready");
            self.await_pods(state.as_ref(), "Starting", &missing);
        }
    }

    /// Whether it goes no further until a person has done something.
    fn is_stopped(&mut self, rollout: &Rollout) -> bool {
        if let Some((reason, message)) = self.contested.clone() {
            self.say(&reason, message);
        } else if let Some(message) = self.candidate_changed(&rollout.workload) {
            self.say(CHANGED, message);
        } else if let Some(error) = self.unfollowed(rollout) {
            // steps that cannot be followed are not passed
            self.say(error.reason(), error.to_string());
        } else if let Some((reason, message)) = self.route_problem() {
            // what is measured, and what a person sees in a pause, would be about other requests than those that the step is about
            if !self.in_place() && !self.relieves() {
                self.note_off_its_route();
            }
            self.await_route(&reason, message);
        } else {
            return self.is_paused(rollout);
        }
        true
    }

    /// The present step.
    pub(super) fn step(&mut self) {
        let Some(rollout) = self.status.rollout.clone() else {
            return;
        };
        if !self.is_within_steps(&rollout)
            || self.is_stopped(&rollout)
            || !self.is_on_its_route(&rollout)
            || !self.background_lets_on()
        {
            return;
        }
        let Some(rollout) = self.status.rollout.clone() else {
            return;
        };
        let env = self.env;
        let steps = steps::steps(&env.spec);
        let at = usize::try_from(rollout.step).unwrap_or_default();
        if let Some(obstacle) = self.mirror_problem(at) {
            self.say(obstacle.reason(), obstacle.to_string());
            return;
        }
        match steps.get(at) {
            None if self.awaits_first_sample() => {}
            None => self.enter(Doing::Promoting),
            Some(Step::Weight(weight)) => self.weigh(*weight),
            Some(Step::Pause(None)) if rollout.resumed => self.pass_step(),
            Some(Step::Pause(None)) => {
                let remarks = self.remarks(&rollout);
                let message = format!(
                    "waits for a person: go on with `dcanary resume {}`{remarks}",
                    rollout.promotion
                );
                self.say("PausedByStep", message);
            }
            Some(Step::Pause(Some(seconds))) => {
                let end = later(rollout.since.unwrap_or(self.now), *seconds);
                if rollout.resumed || self.reached(end) {
                    self.pass_step();
                } else {
                    // it goes on by itself: no person is waited for
                    let (number, all) = (at + 1, steps.len());
                    let remarks = self.remarks(&rollout);
                    let message = format!(
                        "step {number} of {all} lasts {seconds} s, until {end}; `dcanary resume {}` ends it{remarks}",
                        rollout.promotion
                    );
                    self.say("TimedPause", message);
                }
            }
            Some(Step::Replicas(replicas)) => {
                if let Some(rollout) = &mut self.status.rollout {
                    rollout.replicas = Some((*replicas).to_owned());
                }
                self.wait_for_pods(Self::pass_step);
            }
            Some(Step::Mirror(percent)) => {
                if let Some(rollout) = &mut self.status.rollout {
                    rollout.mirror = *percent;
                }
                if self.in_force() {
                    self.pass_step();
                }
            }
            Some(Step::Analysis { name, .. }) => self.analysis_step(&name.clone()),
        }
    }

    fn analysis_step(&mut self, name: &str) {
        match self.verdict(name) {
            None if self.is_unmeasured(name) => {}
            None => self.say("Analysis", format!("analysis {name} is measuring")),
            Some((Verdict::Passed, message)) => {
                if self.evidence_is_kept(name) {
                    self.pass_step();
                } else {
                    let message = format!("{message}; its evidence is being stored");
                    self.await_store(message, Overdue::GoesBack);
                }
            }
            Some((Verdict::Failed, message)) => {
                self.turn_back(RolloutOutcome::RolledBack, "AnalysisFailed", &message);
            }
            Some((Verdict::Inconclusive, message)) => {
                if self
                    .status
                    .rollout
                    .as_ref()
                    .is_some_and(|rollout| rollout.resumed)
                {
                    self.pass_step();
                } else {
                    self.ask(&message);
                }
            }
        }
    }

    /// An analysis could not tell: a person has to.
    pub(super) fn ask(&mut self, message: &str) {
        let promotion = self
            .status
            .rollout
            .as_ref()
            .map(|rollout| rollout.promotion.clone());
        let promotion = promotion.unwrap_or_default();
        self.say(
            "AnalysisInconclusive",
            format!(
                "{message}; decide with `dcanary resume {promotion}` (go on), `dcanary retry {promotion}` (measure again) or `dcanary abort {promotion}`"
            ),
        );
    }

    /// Goes on to the next step.
    pub(super) fn pass_step(&mut self) {
        // a person may have skipped one that was measuring
        self.break_off_analyses(|name| name != BACKGROUND);
        if let Some(rollout) = &mut self.status.rollout {
            rollout.step += 1;
        }
        self.enter(Doing::Stepping);
    }

    fn wait_for_pods(&mut self, then: impl FnOnce(&mut Self)) {
        let Some(rollout) = self.status.rollout.clone() else {
            return;
        };
        let wanted = self.candidate_target(&rollout);
        let state = self.state(&rollout.workload);
        let available = state.as_ref().map_or(0, WorkloadState::available_now);
        if available >= wanted {
            then(self);
        } else {
            let missing = format!("{available} of {wanted} Pods are ready");
            self.await_pods(state.as_ref(), "WaitingForPods", &missing);
        }
    }

    /// A weight: first the Pods that can carry it, then the record, then the route.
    fn weigh(&mut self, weight: i32) {
        let Some(rollout) = self.status.rollout.clone() else {
            return;
        };
        if rollout.wanted_weight < weight {
            let state = self.state(&rollout.workload);
            let available = state.as_ref().map_or(0, WorkloadState::available_now);
            let stable = rollout.stable_replicas;
            let most = if self.is_routed() {
                weight_of(available, stable)
            } else {
                100
            };
            let needed = self.for_weight_here(weight, stable.max(1));
            if available < needed || most < weight {
                let missing = format!(
                    "{weight} % of the requests need {needed} ready Pods of the candidate (the stable release has {stable}), {available} are ready"
                );
                self.await_pods(state.as_ref(), "WaitingForPods", &missing);
                return;
            }
            if !self.is_announced(weight) {
                return;
            }
            if let Some(rollout) = &mut self.status.rollout {
                rollout.wanted_weight = weight;
            }
        }
        if self.in_force() {
            self.pass_step();
        }
    }

    pub(super) fn is_routed(&self) -> bool {
        self.env
            .spec
            .traffic
            .as_ref()
            .is_some_and(|traffic| traffic.route.is_some())
    }

    /// All Pods, then all traffic.
    pub(super) fn move_over(&mut self) {
        let Some(rollout) = self.status.rollout.clone() else {
            return;
        };
        if self.is_stopped(&rollout) || !self.is_on_its_route(&rollout) {
            return;
        }
        if rollout.weight < 100 && !self.background_lets_on() {
            return;
        }
        let wanted = self.candidate_target(&rollout);
        let state = self.state(&rollout.workload);
        let available = state.as_ref().map_or(0, WorkloadState::available_now);
        let ready = match &state {
            Some(state) if self.in_place() => {
                state.partition == 0
                    && render::complete(state, wanted)
                    && self.carries(&rollout.workload, &rollout.identity)
            }
            _ => available >= wanted,
        };
        if !ready {
            let missing = format!("{available} of {wanted} Pods are ready for all requests");
            self.await_pods(state.as_ref(), "Promoting", &missing);
            return;
        }
        // the first release has nothing to share with: the stable Service leads to it
        if self.status.relieved.is_some() {
            if !self.takes_over() {
                return;
            }
        } else if self.status.stable.is_some() && rollout.wanted_weight < 100 {
            if !self.is_announced(100) {
                return;
            }
            if let Some(rollout) = &mut self.status.rollout {
                rollout.wanted_weight = 100;
            }
        }
        if !self.in_force() || self.awaits_first_sample() {
            return;
        }
        self.conclude_background();
        match self.verdict(BACKGROUND) {
            Some((Verdict::Failed, message)) => {
                self.turn_back(RolloutOutcome::RolledBack, "AnalysisFailed", &message);
            }
            Some((Verdict::Inconclusive, message)) if !self.is_accepted(BACKGROUND) => self.ask(&message),
            None if self.is_unmeasured(BACKGROUND) => {}
            _ if self.evidence_is_kept(BACKGROUND) => self.enter(Doing::Verifying),
            _ => self.await_store(STORING.to_owned(), Overdue::Stays),
        }
    }

    /// The analysis and the stages after the switch.
    pub(super) fn verify(&mut self) {
        let Some(rollout) = self.status.rollout.clone() else {
            return;
        };
        let watched = steps::post_promotion(&self.env.spec).is_some() && !self.is_straight(&rollout);
        let verdict = watched.then(|| self.verdict(steps::POST_PROMOTION)).flatten();
        if let Some((Verdict::Failed, message)) = verdict {
            return self.turn_back(RolloutOutcome::RolledBack, "AnalysisFailed", &message);
        }
        // what is measured, and what is promoted, has the requests: neither goes on while somebody else gives them elsewhere
        if let Some((reason, message)) = self.contested.clone().filter(|_| self.is_contested()) {
            self.note_off_its_route();
            return self.say(&reason, message);
        }
        if !self.is_on_its_route(&rollout) || !self.in_force() {
            return;
        }
        if rollout.rerouted_at.is_some() {
            // the requests are back: it is measured from now on
            self.measure();
        }
        if self
            .active()
            .is_none_or(|rollout| rollout.doing != Doing::Verifying)
        {
            return;
        }
        if watched {
            match self.verdict(steps::POST_PROMOTION) {
                None if self.is_unmeasured(steps::POST_PROMOTION) => return,
                None => {
                    self.say("Analysis", "the analysis after the switch is measuring");
                    return;
                }
                Some((Verdict::Failed, message)) => {
                    self.turn_back(RolloutOutcome::RolledBack, "AnalysisFailed", &message);
                    return;
                }
                Some((Verdict::Inconclusive, message)) if !self.is_accepted(steps::POST_PROMOTION) => {
                    self.ask(&message);
                    return;
                }
                Some(_) if !self.evidence_is_kept(steps::POST_PROMOTION) => {
                    self.await_store(STORING.to_owned(), Overdue::Stays);
                    return;
                }
                Some(_) => {}
            }
        }
        if !self.watched_enough(&rollout) {
            return;
        }
        if rollout.back {
            return self.end_way_back();
        }
        match self.hook(Hook::PostDeploy) {
            HookOutcome::Over if self.conclude_after_switch(&rollout) => self.promote(None),
            HookOutcome::Over => {}
            HookOutcome::Running(message) => self.say("PostDeploy", message),
            HookOutcome::Failed(message) => {
                let message = format!("a postDeploy stage failed: {message}");
                self.turn_back(RolloutOutcome::RolledBack, "PostDeployFailed", &message);
            }
        }
    }
}

//! Stages that can begin: needs, conditions, limits, the next attempt.

use dcanary_crds::{AttemptOutcome, AttemptStatus, StageState, StageStatus};
use dcanary_expr::condition::{Condition, ConditionError, Status};
use dcanary_types::record::{SkipReason, Transition};
use jiff::Timestamp;

use super::{
    budget::{self, IMAGE_BYTES, STATUS_FULL},
    step::Step,
};
use crate::{
    plan::{self, PlanError, Subject},
    pod::{self, pod_name},
    text::cut,
    time::later,
    values,
};

/// After this time it is shown that stages wait for the server, in seconds.
const SHOW_AWAY: u64 = 10;

/// Whether a stage may begin.
pub(super) enum Gate {
    Open,
    /// Not before it is looked at again by then.
    Wait(Timestamp),
    Skip(SkipReason, String),
    Refuse {
        reason: &'static str,
        message: String,
    },
}

impl Step<'_> {
    /// Starts, repeats or skips every stage that can be, in the order of the definition.
    pub(super) fn start_stages(&mut self) {
        let mut slots = self.slots();
        self.held_up = false;
        for index in 0..self.status.stages.len() {
            if self.full || self.stopping(index).is_some() {
                continue;
            }
            match self.status.stages[index].state {
                StageState::Pending => self.begin(index, &mut slots),
                StageState::Retrying => self.repeat(index, &mut slots),
                StageState::Running
                | StageState::Succeeded
                | StageState::Failed
                | StageState::Skipped
                | StageState::Cancelled => {}
            }
        }
        if let Some(show) = self.held_up_since().filter(|show| self.now < *show) {
            self.wake_at(show);
        }
    }

    /// Whether a stage cannot begin because the server is away: an attempt could report nothing and would be lost.
    fn needs_the_server(&mut self, index: usize) -> bool {
        let away = self.seen.server_away_since.is_some() && !self.deploys(index);
        self.held_up |= away;
        away
    }

    /// From when on people are told that stages wait for the server, if they do. A process that has just started waits for a moment.
    pub(super) fn held_up_since(&self) -> Option<Timestamp> {
        let since = self.seen.server_away_since.filter(|_| self.held_up)?;
        Some(later(since, SHOW_AWAY))
    }

    /// How many further stages may run.
    fn slots(&self) -> usize {
        let running = self
            .status
            .stages
            .iter()
            .filter(|stage| stage.state == StageState::Running)
            .count();
        let limit = self
            .definition
            .parallelism
            .and_then(|limit| usize::try_from(limit).ok());
        let own = limit.map_or(usize::MAX, |limit| limit.saturating_sub(running));
        own.min(self.seen.slots.unwrap_or(usize::MAX))
    }

    fn begin(&mut self, index: usize, slots: &mut usize) {
        if let Some(need) = self.machine.broken_need(index) {
            let need = self
                .status
                .stages
                .get(need)
                .map(|stage| stage.name.clone())
                .unwrap_or_default();
            self.skip(
                index,
                SkipReason::Needs,
                &format!("stage {need} did not end well"),
            );
            return;
        }
        if self.machine.ready(index).is_err() || (self.status.stages[index].finally && self.waits_for_pods())
        {
            return;
        }
        // a gate costs a whole Pod to try, so it is looked at only when there is room behind it
        if *slots == 0 || self.needs_the_server(index) || !self.has_room(1) {
            return;
        }
        match self.gate(index) {
            Gate::Wait(until) => self.wake_at(until),
            Gate::Skip(reason, message) => {
                self.skip(index, reason, &message);
            }
            Gate::Refuse { .. } | Gate::Open if !self.take_room(budget::ATTEMPT_BYTES) => {
                self.crowded_out(index);
            }
            Gate::Refuse { reason, message } => self.refuse(index, reason, &message),
            Gate::Open => {
                if self.start(index) {
                    *slots -= 1;
                }
            }
        }
    }

    /// The status has no room for a further attempt: stages that are under way give some back when they end.
    fn crowded_out(&mut self, index: usize) {
        let busy = |state| matches!(state, StageState::Running | StageState::Retrying);
        if self.status.stages.iter().any(|stage| busy(stage.state)) {
            return;
        }
        if self.skip(index, SkipReason::Ended, "") {
            let stage = &mut self.status.stages[index];
            STATUS_FULL.clone_into(&mut stage.reason);
            let note = format!(
                "stage {} does not begin: there is no room for it in the run's status of 512 KiB",
                stage.name
            );
            self.tell(true, STATUS_FULL, &note);
        }
    }

    fn repeat(&mut self, index: usize, slots: &mut usize) {
        let stage = &self.status.stages[index];
        if let Some(at) = stage.retry_at.filter(|at| self.now < *at) {
            self.wake_at(at);
            return;
        }
        if let Some(until) = stage
            .attempts
            .last()
            .and_then(|attempt| self.still_running(attempt))
        {
            self.wake_at(until);
            return;
        }
        if *slots > 0 && !self.needs_the_server(index) && self.start(index) {
            *slots -= 1;
        }
    }

    /// `finally` stages begin when nothing else of the run is running any more, not even a Pod that is being stopped.
    fn waits_for_pods(&mut self) -> bool {
        let attempts = self
            .status
            .stages
            .iter()
            .filter(|stage| !stage.finally)
            .flat_map(|stage| &stage.attempts);
        let until = attempts.filter_map(|attempt| self.still_running(attempt)).max();
        if let Some(until) = until {
            self.wake_at(until);
        }
        until.is_some()
    }

    pub(super) fn subject(&self, index: usize, attempt: i32) -> Subject<'_> {
        Subject {
            run: self.run,
            definition: self.definition,
            status: &self.status,
            index,
            attempt,
        }
    }

    fn gate(&self, index: usize) -> Gate {
        let when = self
            .definition
            .stages
            .get(index)
            .and_then(|stage| stage.stage.when.as_deref());
        match when.map(|when| self.holds(index, when)) {
            Some(Ok(false)) => return Gate::Skip(SkipReason::Condition, "its condition is false".to_owned()),
            Some(Err(ConditionError::Missing(name))) => return self.without_member(index, when, &name),
            Some(Err(error)) => {
                return Gate::Refuse {
                    reason: "ConditionFailed",
                    message: cut(&format!("when: {error}"), 512),
                };
            }
            Some(Ok(true)) | None => {}
        }
        if self.deploys(index) {
            return self.deployment_gate(index);
        }
        match pod::pod(self.subject(index, 1), &self.seen.settings) {
            Ok(_) => Gate::Open,
            Err(PlanError::Missing { reason, message, of }) => self.without(index, reason, &message, &of),
            Err(PlanError::Refused { reason, message }) => Gate::Refuse {
                reason,
                message: cut(&message, 512),
            },
        }
    }

    /// What becomes of a stage whose condition names something that is not there.
    fn without_member(&self, index: usize, when: Option<&str>, name: &str) -> Gate {
        let parsed = when.and_then(|when| Condition::parse(when).ok());
        let results = parsed.map(|when| when.uses().results).unwrap_or_default();
        let mut of: Vec<String> = results
            .into_iter()
            .filter_map(|(stage, result)| (result == name && !self.gives(&stage, name)).then_some(stage))
            .collect();
        if let Some(stage) = of.iter().find(|stage| plan::is_large(&self.status, stage, name)) {
            return Gate::Refuse {
                reason: plan::RESULT_TOO_LARGE,
                message: format!("result `{name}` of stage `{stage}` is too large for a condition"),
            };
        }
        // one that should have given it tells more than one that could not
        let (should, could_not): (Vec<_>, Vec<_>) = of.drain(..).partition(|stage| self.succeeded(stage));
        of = if should.is_empty() { could_not } else { should };
        let Some(stage) = of.first() else {
            return Gate::Refuse {
                reason: "ConditionFailed",
                message: cut(
                    &format!("when: {}", ConditionError::Missing(name.to_owned())),
                    512,
                ),
            };
        };
        let said = format!(
            "`when` names result `{name}` of stage `{stage}`, which there is not; has(…) asks whether there is one"
        );
        self.without(index, plan::RESULT_MISSING, &said, &of)
    }

    fn status_of(&self, stage: &str) -> Option<&StageStatus> {
        self.status.stages.iter().find(|status| status.name == stage)
    }

    fn succeeded(&self, stage: &str) -> bool {
        self.status_of(stage)
            .is_some_and(|stage| stage.state == StageState::Succeeded)
    }

    fn gives(&self, stage: &str, result: &str) -> bool {
        let stage = self.status_of(stage);
        stage.is_some_and(|stage| {
            stage
                .results
                .iter()
                .any(|one| one.name == result && one.value.is_some())
        })
    }

    /// What becomes of a stage whose input is missing. Nothing is lost when the stage that should have given it was skipped or failed; one
    /// that succeeded has left out what somebody counts on, and a run that passes over that would be green for no reason. Only what is
    /// upstream counts: that has ended, so the answer is the same whenever it is asked for.
    fn without(&self, index: usize, reason: &'static str, said: &str, of: &[String]) -> Gate {
        let upstream = values::upstream(self.definition, index);
        let mut stages = upstream.iter().filter_map(|i| self.status.stages.get(*i));
        let gave_nothing =
            stages.any(|stage| of.contains(&stage.name) && stage.state != StageState::Succeeded);
        if gave_nothing {
            return Gate::Skip(SkipReason::Results, cut(said, 512));
        }
        Gate::Refuse {
            reason,
            message: cut(said, 512),
        }
    }

    fn holds(&self, index: usize, when: &str) -> Result<bool, ConditionError> {
        // only what is upstream counts, so that the answer does not depend on how far other branches are
        let upstream = values::upstream(self.definition, index);
        let failed = upstream
            .iter()
            .filter_map(|i| self.status.stages.get(*i))
            .any(|stage| matches!(stage.state, StageState::Failed | StageState::Cancelled));
        let status = if failed { Status::Failure } else { Status::Success };
        let variables = values::values(self.run, self.definition, &self.status, index).variables();
        Condition::parse(when)?.evaluate(&variables, status)
    }

    /// The next attempt of a stage.
    fn start(&mut self, index: usize) -> bool {
        let Some((name, number, image)) = self.next_attempt(index) else {
            return false;
        };
        let attempt = u64::try_from(number).unwrap_or(1);
        if !self.emit(Transition::StageStarted {
            stage: name.clone(),
            attempt,
            image: cut(&image, 1024),
        }) {
            return false;
        }
        self.add_attempt(index, &name, number, image);
        true
    }

    /// A stage that cannot run as it is written fails with an attempt that has no Pod.
    fn refuse(&mut self, index: usize, reason: &'static str, message: &str) {
        let Some((name, number, image)) = self.next_attempt(index) else {
            return;
        };
        let attempt = u64::try_from(number).unwrap_or(1);
        if !self.has_room(2)
            || !self.emit(Transition::StageStarted {
                stage: name.clone(),
                attempt,
                image: cut(&image, 1024),
            })
        {
            return;
        }
        self.add_attempt(index, &name, number, image);
        if self.emit(Transition::StageFailed {
            stage: name.clone(),
            attempt,
            reason: reason.to_owned(),
        }) {
            let now = self.now;
            let stage = &mut self.status.stages[index];
            stage.state = StageState::Failed;
            reason.clone_into(&mut stage.reason);
            message.clone_into(&mut stage.message);
            stage.finished_at = Some(now);
            if let Some(attempt) = stage.attempts.last_mut() {
                attempt.outcome = Some(AttemptOutcome::Refused);
                attempt.finished_at = Some(now);
                reason.clone_into(&mut attempt.reason);
                message.clone_into(&mut attempt.message);
            }
            self.tell(true, "StageFailed", &format!("stage {name}: {reason} {message}"));
        }
    }

    fn next_attempt(&self, index: usize) -> Option<(String, i32, String)> {
        let stage = self.definition.stages.get(index)?;
        let number = i32::try_from(self.status.stages[index].attempts.len() + 1).ok()?;
        Some((stage.stage.name.clone(), number, stage.image.clone()))
    }

    fn add_attempt(&mut self, index: usize, name: &str, number: i32, image: String) {
        let run = self.run.metadata.name.as_deref().unwrap_or_default();
        let deploys = self.deploys(index);
        let attempt = AttemptStatus {
            number,
            pod: if deploys {
                String::new()
            } else {
                pod_name(run, self.uid, name, number)
            },
            promotion: self.asked(index, number),
            image: (!deploys).then(|| cut(&image, IMAGE_BYTES)),
            created_at: Some(self.now),
            ..AttemptStatus::default()
        };
        let stage = &mut self.status.stages[index];
        stage.state = StageState::Running;
        stage.reason.clear();
        stage.message.clear();
        stage.retry_at = None;
        stage.started_at = stage.started_at.or(Some(self.now));
        stage.attempts.push(attempt);
    }
}

//! A run's records replayed without its graph document, as an export has to.
//!
//! Everything that section 4 of the ledger format says about numbers and attempts holds here too. Needs, the highest
//! attempt and the list of stages are in the graph document, so this machine accepts a little more than the full one,
//! and never less.

use std::collections::BTreeMap;

use dcanary_types::record::{Outcome, Record, SkipReason, Transition};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Retrying,
    Failed,
    /// Succeeded, or skipped for a reason that meets a need.
    Met,
    /// Cancelled, or skipped for a reason that meets no need.
    Unmet,
}

/// A run of which no graph document is at hand.
#[derive(Debug, Default)]
pub(crate) struct LooseRun {
    next: u64,
    over: bool,
    /// State and last attempt of the stages that have a record.
    stages: BTreeMap<String, (State, u64)>,
}

impl LooseRun {
    /// Takes the next record of the run.
    pub(crate) fn apply(&mut self, record: &Record) -> Result<(), &'static str> {
        if self.over {
            return Err("a record follows the end of its run");
        }
        if record.n != self.next {
            return Err("a number of the run is missing or repeated");
        }
        if matches!(record.transition, Transition::RunOpened { .. }) != (record.n == 0) {
            return Err("a run begins with run_opened, and only once");
        }
        self.next += 1;
        match &record.transition {
            Transition::RunOpened { .. } | Transition::RecordRefused { .. } => Ok(()),
            Transition::RunFinished { outcome } => self.finish(*outcome),
            other => self.apply_to_stage(other),
        }
    }

    fn apply_to_stage(&mut self, transition: &Transition) -> Result<(), &'static str> {
        let name = transition.stage().unwrap_or_default();
        let known = self.stages.get(name).copied();
        let last = known.map_or(0, |(_, attempt)| attempt);
        let state = known.map(|(state, _)| state);
        let then = match transition {
            Transition::StageStarted { attempt, .. } => {
                let may = matches!(state, None | Some(State::Retrying));
                (may && Some(*attempt) == last.checked_add(1)).then_some((State::Running, *attempt))
            }
            Transition::StageSucceeded { attempt, .. } => {
                (state == Some(State::Running) && *attempt == last).then_some((State::Met, last))
            }
            Transition::StageFailed { attempt, .. } => {
                let may = matches!(state, Some(State::Running | State::Retrying));
                (may && *attempt == last).then_some((State::Failed, last))
            }
            Transition::StageRetried { attempt, .. } => {
                (state == Some(State::Running) && *attempt == last).then_some((State::Retrying, last))
            }
            Transition::StageDisputed { attempt, .. } => {
                return if *attempt <= last {
                    Ok(())
                } else {
                    Err("an attempt is disputed that does not exist")
                };
            }
            Transition::StageSkipped { reason, .. } => {
                let met = matches!(reason, SkipReason::Condition | SkipReason::Results);
                state
                    .is_none()
                    .then_some((if met { State::Met } else { State::Unmet }, last))
            }
            Transition::StageCancelled { .. } => {
                let may = matches!(state, None | Some(State::Running | State::Retrying));
                may.then_some((State::Unmet, last))
            }
            Transition::RunOpened { .. }
            | Transition::RunFinished { .. }
            | Transition::RecordRefused { .. } => None,
        };
        let then = then.ok_or("a stage's record does not follow its state")?;
        self.stages.insert(name.to_owned(), then);
        Ok(())
    }

    fn finish(&mut self, outcome: Outcome) -> Result<(), &'static str> {
        let has = |wanted: &[State]| self.stages.values().any(|(state, _)| wanted.contains(state));
        if has(&[State::Running, State::Retrying]) {
            return Err("a run is finished while a stage has not ended");
        }
        match outcome {
            Outcome::Succeeded if has(&[State::Unmet]) => {
                return Err("a run succeeded though a stage did not");
            }
            // A failed stage may be optional, which only the graph says.
            Outcome::Failed if !has(&[State::Unmet, State::Failed]) => {
                return Err("a run failed though no stage did");
            }
            _ => {}
        }
        self.over = true;
        self.stages = BTreeMap::new();
        Ok(())
    }
}

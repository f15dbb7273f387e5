//! The state machine of a run: which record may follow which (section 4).
//!
//! ```text
//!            started(1)            succeeded(k) ──► succeeded
//! pending ──────────────► running(k) ── failed(k) ──► failed
//!    │                      ▲    │                      ▲
//!    │         started(k+1) │    │ retried(k)           │ failed(k)
//!    │                      └─ retrying(k) ─────────────┘
//!    ├── skipped ──► skipped        cancelled: from pending, running, retrying
//! ```

mod error;
mod state;

pub use error::{Illegal, IllegalTransition, StateError};
pub use state::{Phase, StageState};

use crate::{
    fields::Fields,
    graph::GraphDoc,
    record::{Outcome, SkipReason, Transition},
    value::{self, Value},
};

/// Version of the saved form.
const VERSION: u64 = 1;

/// One run between its first and its last record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunMachine {
    graph: GraphDoc,
    stages: Vec<StageState>,
    outcome: Option<Outcome>,
}

impl RunMachine {
    /// The state after `dcanary_run_opened`: every stage of the graph is pending.
    pub fn open(graph: GraphDoc) -> Self {
        let stages = vec![StageState::PENDING; graph.stages().len()];
        Self {
            graph,
            stages,
            outcome: None,
        }
    }

    /// The graph.
    pub fn graph(&self) -> &GraphDoc {
        &self.graph
    }

    /// The states of all stages, in the graph's order.
    pub fn stages(&self) -> &[StageState] {
        &self.stages
    }

    /// The state of a stage.
    pub fn stage(&self, name: &str) -> Option<StageState> {
        self.graph.index_of(name).map(|i| self.stages[i])
    }

    /// How the run ended, if it did.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// Whether the run has ended: nothing follows.
    pub fn is_finished(&self) -> bool {
        self.outcome.is_some()
    }

    /// Whether every stage has ended, so that the run may finish.
    pub fn all_ended(&self) -> bool {
        self.stages.iter().all(|stage| stage.has_ended())
    }

    /// `succeeded` or `failed`, as the stages that have ended so far decide it.
    pub fn verdict(&self) -> Outcome {
        if self.spoiler().is_none() {
            Outcome::Succeeded
        } else {
            Outcome::Failed
        }
    }

    /// Whether the first attempt of a stage may start, or the reasons `condition` and `results` may be given for
    /// skipping it: all its needs are met, or for a `finally` stage every other stage has ended.
    ///
    /// # Errors
    /// What it still waits for, or which need will never be met.
    pub fn ready(&self, stage: usize) -> Result<(), Illegal> {
        let Some(spec) = self.graph.stages().get(stage) else {
            return Err(Illegal::UnknownStage);
        };
        if spec.finally {
            let waiting = self
                .graph
                .stages()
                .iter()
                .zip(&self.stages)
                .find(|(other, state)| !other.finally && !state.has_ended());
            return match waiting {
                Some((other, state)) => Err(Illegal::NotEnded {
                    other: other.name.clone(),
                    state: *state,
                }),
                None => Ok(()),
            };
        }
        match self.needs(stage).find(|need| !self.meets(*need)) {
            Some(need) => Err(Illegal::NeedNotMet {
                need: self.graph.stages()[need].name.clone(),
                state: self.stages[need],
            }),
            None => Ok(()),
        }
    }

    /// The first need of a stage that has ended without being met, so that the stage can only be skipped or cancelled.
    pub fn broken_need(&self, stage: usize) -> Option<usize> {
        self.needs(stage)
            .find(|need| self.stages[*need].has_ended() && !self.meets(*need))
    }

    /// Takes the next record of the run, or leaves everything as it is.
    ///
    /// # Errors
    /// What the record would do and why it may not.
    pub fn apply(&mut self, transition: &Transition) -> Result<(), IllegalTransition> {
        self.step(transition).map_err(|why| IllegalTransition {
            what: error::describe(transition),
            why: Box::new(why),
        })
    }

    fn step(&mut self, transition: &Transition) -> Result<(), Illegal> {
        if let Some(outcome) = self.outcome {
            return Err(Illegal::RunEnded(outcome));
        }
        match transition {
            Transition::RunOpened { .. } => Err(Illegal::AlreadyOpen),
            Transition::RecordRefused { .. } => Ok(()),
            Transition::RunFinished { outcome } => self.finish(*outcome),
            Transition::StageStarted { stage, attempt, .. } => {
                let i = self.find(stage)?;
                self.start(i, *attempt)
            }
            Transition::StageSucceeded { stage, attempt, .. } => {
                let i = self.find(stage)?;
                self.end(i, *attempt, &[Phase::Running], Phase::Succeeded)
            }
            Transition::StageFailed { stage, attempt, .. } => {
                let i = self.find(stage)?;
                self.end(i, *attempt, &[Phase::Running, Phase::Retrying], Phase::Failed)
            }
            Transition::StageRetried { stage, attempt, .. } => {
                let i = self.find(stage)?;
                self.end(i, *attempt, &[Phase::Running], Phase::Retrying)
            }
            Transition::StageDisputed { stage, attempt, .. } => {
                let state = self.stages[self.find(stage)?];
                if (1..=state.attempts).contains(attempt) {
                    Ok(())
                } else {
                    Err(Illegal::NoAttempt { last: state.attempts })
                }
            }
            Transition::StageSkipped { stage, reason } => {
                let i = self.find(stage)?;
                self.skip(i, *reason)
            }
            Transition::StageCancelled { stage, .. } => {
                let i = self.find(stage)?;
                let state = &mut self.stages[i];
                if state.has_ended() {
                    return Err(Illegal::State(*state));
                }
                state.phase = Phase::Cancelled;
                Ok(())
            }
        }
    }

    fn start(&mut self, i: usize, attempt: u64) -> Result<(), Illegal> {
        let state = self.stages[i];
        let allowed = self.graph.stages()[i].attempts;
        match state.phase {
            Phase::Pending => self.ready(i)?,
            Phase::Retrying => {}
            _ => return Err(Illegal::State(state)),
        }
        let next = state.attempts + 1;
        if attempt != next {
            return Err(Illegal::Attempt { expected: next });
        }
        if attempt > allowed {
            return Err(Illegal::TooManyAttempts { allowed });
        }
        self.stages[i] = StageState {
            phase: Phase::Running,
            attempts: attempt,
        };
        Ok(())
    }

    fn end(&mut self, i: usize, attempt: u64, from: &[Phase], to: Phase) -> Result<(), Illegal> {
        let state = &mut self.stages[i];
        if !from.contains(&state.phase) {
            return Err(Illegal::State(*state));
        }
        if attempt != state.attempts {
            return Err(Illegal::Attempt {
                expected: state.attempts,
            });
        }
        state.phase = to;
        Ok(())
    }

    fn skip(&mut self, i: usize, reason: SkipReason) -> Result<(), Illegal> {
        if self.stages[i].phase != Phase::Pending {
            return Err(Illegal::State(self.stages[i]));
        }
        match reason {
            SkipReason::Condition | SkipReason::Results => self.ready(i)?,
            SkipReason::Needs if self.broken_need(i).is_none() => return Err(Illegal::NoBrokenNeed),
            SkipReason::Needs | SkipReason::Ended => {}
        }
        self.stages[i].phase = Phase::Skipped(reason);
        Ok(())
    }

    fn finish(&mut self, outcome: Outcome) -> Result<(), Illegal> {
        let named = self.graph.stages().iter().zip(&self.stages);
        if let Some((stage, state)) = named.clone().find(|(_, state)| !state.has_ended()) {
            return Err(Illegal::NotEnded {
                other: stage.name.clone(),
                state: *state,
            });
        }
        match (outcome, self.spoiler()) {
            (Outcome::Succeeded, Some(i)) => Err(Illegal::NotASuccess {
                stage: self.graph.stages()[i].name.clone(),
                state: self.stages[i],
            }),
            (Outcome::Failed, None) => Err(Illegal::NotAFailure),
            _ => {
                self.outcome = Some(outcome);
                Ok(())
            }
        }
    }

    /// The first stage that has ended in a way that a successful run does not have.
    fn spoiler(&self) -> Option<usize> {
        (0..self.stages.len()).find(|i| self.stages[*i].has_ended() && !self.meets(*i))
    }

    /// Whether a stage meets a need: it succeeded, failed and is optional, or was skipped for `condition` or
    /// `results`. The same decides whether it lets the run succeed.
    fn meets(&self, i: usize) -> bool {
        match self.stages[i].phase {
            Phase::Succeeded | Phase::Skipped(SkipReason::Condition | SkipReason::Results) => true,
            Phase::Failed => self.graph.stages()[i].optional,
            _ => false,
        }
    }

    fn needs(&self, stage: usize) -> impl Iterator<Item = usize> {
        let needs = self.graph.stages().get(stage).map_or(&[][..], |spec| &spec.needs);
        needs.iter().filter_map(|need| usize::try_from(*need).ok())
    }

    fn find(&self, stage: &str) -> Result<usize, Illegal> {
        self.graph.index_of(stage).ok_or(Illegal::UnknownStage)
    }

    /// The saved form, without the graph: one number a stage.
    pub fn to_value(&self) -> Value {
        let stages = self.stages.iter().map(|stage| Value::Nat(stage.code())).collect();
        let mut saved = value::map([("v", Value::Nat(VERSION)), ("stages", Value::Array(stages))]);
        if let Some(outcome) = self.outcome {
            saved.insert("outcome".to_owned(), outcome.as_str().into());
        }
        Value::Map(saved)
    }

    /// Reads the saved form.
    ///
    /// # Errors
    /// If it is of another version, or of another graph.
    pub fn restore(graph: GraphDoc, saved: Value) -> Result<Self, StateError> {
        let mut fields = Fields::of("machine", saved)?;
        let version = fields.nat("v")?;
        if version != VERSION {
            return Err(StateError::Version(version));
        }
        let stages = fields.array("stages")?;
        let outcome = fields.optional_text("outcome")?;
        fields.done()?;
        let stages = stages
            .iter()
            .map(|stage| {
                stage
                    .as_nat()
                    .and_then(StageState::from_code)
                    .ok_or(StateError::Stage)
            })
            .collect::<Result<Vec<StageState>, _>>()?;
        let outcome = outcome
            .map(|word| Outcome::parse(&word).ok_or(StateError::Outcome))
            .transpose()?;
        if stages.len() == graph.stages().len() {
            Ok(Self {
                graph,
                stages,
                outcome,
            })
        } else {
            Err(StateError::OtherGraph {
                stages: graph.stages().len(),
                saved: stages.len(),
            })
        }
    }
}

#[cfg(test)]
mod tests;

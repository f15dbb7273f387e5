//! The law of section 4, written a second time from the page: it looks at the list of records that were accepted and
//! keeps no state, so that a mistake in the machine's bookkeeping cannot be repeated here.

use super::*;

pub fn legal(graph: &GraphDoc, before: &[Transition], next: &Transition) -> bool {
    let finished = before.iter().any(|t| matches!(t, Transition::RunFinished { .. }));
    if finished || matches!(next, Transition::RunOpened { .. }) {
        return false;
    }
    let names: Vec<&str> = graph.stages().iter().map(|s| s.name.as_str()).collect();
    if next.stage().is_some_and(|stage| !names.contains(&stage)) {
        return false;
    }
    match next {
        Transition::RunOpened { .. } => false,
        Transition::RecordRefused { .. } => true,
        Transition::RunFinished { outcome } => {
            let good = graph.stages().iter().all(|s| good(s, before));
            names.iter().all(|s| ended(s, before))
                && match outcome {
                    Outcome::Succeeded => good,
                    Outcome::Failed => !good,
                    Outcome::Cancelled | Outcome::TimedOut => true,
                }
        }
        Transition::StageStarted { stage, attempt, .. } => {
            let spec = spec(graph, stage);
            let due = match last(stage, before) {
                None => *attempt == 1 && startable(graph, spec, before),
                Some(Transition::StageRetried { attempt: ended, .. }) => *attempt == ended + 1,
                Some(_) => false,
            };
            due && *attempt <= spec.attempts
        }
        Transition::StageSucceeded { stage, attempt, .. } | Transition::StageRetried { stage, attempt, .. } => {
            matches!(last(stage, before), Some(Transition::StageStarted { attempt: k, .. }) if k == attempt)
        }
        Transition::StageFailed { stage, attempt, .. } => matches!(
            last(stage, before),
            Some(Transition::StageStarted { attempt: k, .. } | Transition::StageRetried { attempt: k, .. })
                if k == attempt
        ),
        Transition::StageDisputed { stage, attempt, .. } => before.iter().any(
            |t| matches!(t, Transition::StageStarted { stage: s, attempt: k, .. } if s == stage && k == attempt),
        ),
        Transition::StageCancelled { stage, .. } => !ended(stage, before),
        Transition::StageSkipped { stage, reason } => {
            let spec = spec(graph, stage);
            last(stage, before).is_none()
                && match reason {
                    SkipReason::Ended => true,
                    SkipReason::Condition | SkipReason::Results => startable(graph, spec, before),
                    SkipReason::Needs => {
                        needs(graph, spec).any(|need| ended(&need.name, before) && !good(need, before))
                    }
                }
        }
    }
}

fn spec<'a>(graph: &'a GraphDoc, stage: &str) -> &'a Stage {
    graph.stages().iter().find(|s| s.name == stage).unwrap()
}

fn needs<'a>(graph: &'a GraphDoc, spec: &'a Stage) -> impl Iterator<Item = &'a Stage> {
    spec.needs
        .iter()
        .map(|i| &graph.stages()[usize::try_from(*i).unwrap()])
}

/// The last record that moved a stage.
fn last<'a>(stage: &str, before: &'a [Transition]) -> Option<&'a Transition> {
    before
        .iter()
        .rev()
        .find(|t| t.stage() == Some(stage) && !matches!(t, Transition::StageDisputed { .. }))
}

fn ended(stage: &str, before: &[Transition]) -> bool {
    !matches!(
        last(stage, before),
        None | Some(Transition::StageStarted { .. } | Transition::StageRetried { .. })
    )
}

fn good(stage: &Stage, before: &[Transition]) -> bool {
    match last(&stage.name, before) {
        Some(Transition::StageSucceeded { .. }) => true,
        Some(Transition::StageFailed { .. }) => stage.optional,
        Some(Transition::StageSkipped { reason, .. }) => {
            [SkipReason::Condition, SkipReason::Results].contains(reason)
        }
        _ => false,
    }
}

fn startable(graph: &GraphDoc, spec: &Stage, before: &[Transition]) -> bool {
    if spec.finally {
        graph
            .stages()
            .iter()
            .filter(|s| !s.finally)
            .all(|s| ended(&s.name, before))
    } else {
        needs(graph, spec).all(|need| good(need, before))
    }
}

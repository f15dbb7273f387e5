//! Runs cases: several at once, each with a time-out.

use crate::case::{Case, Failure};
use crate::client::Network;
use futures::StreamExt;
use futures::stream;
use serde_json::json;
use std::time::{Duration, Instant};

/// How cases are run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many run at once.
    pub parallel: usize,
    /// How long one may take.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            parallel: 8,
            timeout: Duration::from_mins(2),
        }
    }
}

/// What became of a case.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The case.
    pub case: Case,
    /// Why it failed, when it did.
    pub failure: Option<String>,
    /// How long it took.
    pub took: Duration,
}

/// The cases whose clause or law contain a text.
pub fn matching(cases: Vec<Case>, filter: &str) -> Vec<Case> {
    let wanted = filter.to_lowercase();
    let has = |text: &str| text.to_lowercase().contains(&wanted);
    cases
        .into_iter()
        .filter(|case| has(case.clause) || has(case.name) || has(&case.law()))
        .collect()
}

/// Runs cases; `done` hears of each when it ends. The outcomes are in the order of the cases.
pub async fn run(
    network: &Network,
    cases: Vec<Case>,
    options: Options,
    mut done: impl FnMut(&Outcome),
) -> Vec<Outcome> {
    let mut running = stream::iter(cases.into_iter().enumerate())
        .map(|(place, case)| async move { (place, one(network.clone(), case, options.timeout).await) })
        .buffer_unordered(options.parallel);
    let mut outcomes = Vec::new();
    while let Some((place, outcome)) = running.next().await {
        done(&outcome);
        outcomes.push((place, outcome));
    }
    outcomes.sort_by_key(|(place, _)| *place);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

async fn one(network: Network, case: Case, timeout: Duration) -> Outcome {
    let began = Instant::now();
    // In a task of its own, so that a case that panics is a case that fails.
    let mut task = tokio::spawn((case.run)(network));
    let verdict = match tokio::time::timeout(timeout, &mut task).await {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(panic)) => Err(Failure::new(format!("the case broke: {panic}"))),
        Err(_) => {
            task.abort();
            Err(Failure::new(format!("no end after {} s", timeout.as_secs())))
        }
    };
    Outcome {
        case,
        failure: verdict.err().map(|failure| failure.to_string()),
        took: began.elapsed(),
    }
}

/// The line about a case.
pub fn line(outcome: &Outcome) -> String {
    let case = outcome.case;
    match &outcome.failure {
        None => format!("holds   {} [{}]", case.law(), case.clause),
        Some(failure) => format!("broken  {} [{}]\n        {failure}", case.law(), case.clause),
    }
}

/// All outcomes for programs.
pub fn to_json(network: &Network, outcomes: &[Outcome]) -> serde_json::Value {
    let cases: Vec<_> = outcomes
        .iter()
        .map(|outcome| {
            json!({
                "clause": outcome.case.clause,
                "name": outcome.case.name,
                "law": outcome.case.law(),
                "ok": outcome.failure.is_none(),
                "failure": outcome.failure,
                "seconds": outcome.took.as_secs_f64(),
            })
        })
        .collect();
    json!({ "url": network.url(), "cases": cases })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases;

    #[test]
    fn a_filter_finds_laws_and_clauses() {
        assert!(matching(cases::all(), "certified data").len() > 3);
        assert!(matching(cases::all(), "Nonce has at most").len() == 1);
        assert!(matching(cases::all(), "there is no such law").is_empty());
    }
}

//! The steps of a stage in order, and what the final report says about them.

use std::collections::BTreeMap;

use dcanary_protocol::frame::StepEnd;
use dcanary_protocol::limits::{MESSAGE_BYTES, RESULTS, RESULTS_INLINE_BYTES};
use dcanary_protocol::report::{ArtifactReport, FinalReport, Outcome, ResultReport, StepOutcome, StepReport};
use sha2::{Digest, Sha256};

use crate::condition;
use crate::journal::now;
use crate::rejected::{self, Wrote};
use crate::results::StepResult;
use crate::secret_results;
use crate::spool::SpoolError;
use crate::steps::{self, Context, Done};
use crate::stop::StopReason;
use crate::termination;
use crate::text::cut;

/// What the stage has come to so far.
#[derive(Debug, Default)]
struct Progress {
    steps: Vec<StepReport>,
    results: BTreeMap<String, ResultReport>,
    wrote: Vec<Wrote>,
    artifacts: Vec<ArtifactReport>,
    /// Reason and message of the first step that failed the stage.
    failure: Option<(&'static str, String)>,
}

/// A stage after its last step.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) report: FinalReport,
    /// Results in the order of their frames.
    pub(crate) wrote: Vec<Wrote>,
}

/// Runs all steps. `before` is what made them impossible already.
pub(crate) async fn run(
    context: &Context,
    current: &tokio::sync::watch::Sender<u32>,
    before: Option<(&'static str, String)>,
) -> Result<Ended, SpoolError> {
    let mut progress = Progress::default();
    let impossible = before.is_some();
    progress.failure = before;
    // by something that nobody can end
    let mut accompanied = false;
    for (index, step) in (0_u32..).zip(&context.plan.steps) {
        let mut context = context.clone();
        context.index = index;
        context.step = step.clone();
        current.send_replace(index);
        if context.stop.reason().is_some() || impossible || accompanied {
            skip(&context, &mut progress).await?;
            continue;
        }
        if progress.failure.is_none() {
            let rejections = context.journal.rejections();
            let failure = rejected::failure(&context.plan.steps, &progress.wrote, &rejections);
            progress.failure = failure.map(|message| (rejected::REASON, message));
        }
        let started = now();
        let condition = condition::holds(step, &context.plan, &progress.steps, progress.failure.is_some());
        let done = match condition {
            Ok(false) => {
                skip(&context, &mut progress).await?;
                continue;
            }
            Ok(true) => {
                context.journal.started(index, &step.name, &started).await?;
                let masks = context.journal.masks();
                match masks.read_again(&context.plan.masks) {
                    Ok(()) => steps::execute(&context).await,
                    Err(error) => Done::failed("SecretsUnreadable", error.to_string()),
                }
            }
            Err(error) => {
                context.journal.started(index, &step.name, &started).await?;
                Done::failed("ConditionInvalid", format!("its `if` gives no answer: {error}"))
            }
        };
        termination::clear();
        accompanied = done.goes_on;
        take(&context, &mut progress, started, done).await?;
    }
    let wrote = std::mem::take(&mut progress.wrote);
    let report = report(&context.plan.stage, context.stop.reason(), progress);
    Ok(Ended { report, wrote })
}

async fn skip(context: &Context, progress: &mut Progress) -> Result<(), SpoolError> {
    let step = &context.step;
    let end = StepEnd {
        outcome: StepOutcome::Skipped,
        exit_code: None,
        signal: None,
        message: None,
    };
    context
        .journal
        .finished(context.index, &step.name, &now(), end)
        .await?;
    progress.steps.push(StepReport {
        name: step.name.clone(),
        outcome: StepOutcome::Skipped,
        exit_code: None,
        started_at: None,
        finished_at: None,
        message: None,
    });
    Ok(())
}

async fn take(
    context: &Context,
    progress: &mut Progress,
    started: String,
    mut done: Done,
) -> Result<(), SpoolError> {
    let masks = context.journal.masks();
    let sifted = secret_results::sift(masks, std::mem::take(&mut done.results));
    if let Some(refused) = sifted.refused {
        done.fail(secret_results::REASON, &refused.message());
        // what an earlier step wrote under that name is not the result either
        for name in refused.all() {
            progress.results.remove(name);
        }
    }
    for StepResult { name, value, .. } in sifted.kept {
        let result = (name, value);
        if progress.results.len() >= RESULTS && !progress.results.contains_key(&result.0) {
            done.fail(
                "ResultsInvalid",
                &format!("more than {RESULTS} results in this stage"),
            );
            break;
        }
        progress.wrote.push(Wrote {
            number: context.journal.result(&result.0, &result.1).await?,
            step: context.index as usize,
            name: result.0.clone(),
        });
        // A report is no place for many values: the server has them all.
        let others = progress.results.iter().filter(|(name, _)| **name != result.0);
        let used: u64 = others
            .filter_map(|(_, other)| other.value.as_ref().map(|_| other.size))
            .sum();
        let limit = context
            .plan
            .limits
            .result_inline_bytes
            .min(RESULTS_INLINE_BYTES.saturating_sub(used));
        progress.results.insert(result.0.clone(), describe(result, limit));
    }
    progress.artifacts.extend(done.artifact);
    let finished = now();
    let step = &context.step;
    done.end.message = done
        .end
        .message
        .map(|message| cut(&masks.text(&message), MESSAGE_BYTES).to_owned());
    context
        .journal
        .finished(context.index, &step.name, &finished, done.end.clone())
        .await?;
    let counts = !step.continue_on_error || done.goes_on;
    if done.end.outcome != StepOutcome::Succeeded && counts && progress.failure.is_none() {
        let message = done.end.message.clone().unwrap_or_default();
        progress.failure = Some((done.reason, format!("step {}: {message}", step.name)));
    }
    progress.steps.push(StepReport {
        name: step.name.clone(),
        outcome: done.end.outcome,
        exit_code: done.end.exit_code,
        started_at: Some(started),
        finished_at: Some(finished),
        message: done.end.message,
    });
    Ok(())
}

fn describe((name, value): (String, String), inline: u64) -> ResultReport {
    ResultReport {
        name,
        digest: format!("sha256:{}", hex::encode(Sha256::digest(value.as_bytes()))),
        size: value.len() as u64,
        value: (value.len() as u64 <= inline).then_some(value),
    }
}

fn report(stage: &str, stop: Option<StopReason>, progress: Progress) -> FinalReport {
    let (outcome, reason, message) = match (stop, progress.failure) {
        (Some(StopReason::Cancelled), _) => (
            Outcome::Cancelled,
            "Cancelled",
            format!("stage {stage} was cancelled"),
        ),
        (Some(StopReason::StageTimeout), _) => (
            Outcome::TimedOut,
            "StageTimedOut",
            format!("the time of stage {stage} is over"),
        ),
        (Some(StopReason::Refused(message)), _) => (Outcome::Error, "Refused", message),
        (None, Some((reason, message))) => (Outcome::Failed, reason, message),
        (None, None) => (Outcome::Succeeded, "Succeeded", String::new()),
    };
    FinalReport {
        outcome,
        reason: reason.to_owned(),
        message: cut(&message, MESSAGE_BYTES).to_owned(),
        frames: 0,
        steps: progress.steps,
        results: progress.results.into_values().collect(),
        artifacts: progress.artifacts,
        second_trade: false,
    }
}

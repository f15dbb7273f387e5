//! What steps do. Each kind has its own file and its own errors.

mod artifact;
mod checkout;
mod download;
mod image;
pub(crate) mod run;
#[cfg(test)]
mod tests;
mod work;

use std::sync::Arc;
use std::time::Duration;

use dcanary_protocol::frame::StepEnd;
use dcanary_protocol::plan::{Action, Plan, StepPlan};
use dcanary_protocol::report::{ArtifactReport, STEP_TIMED_OUT, StepOutcome};

use crate::environment::Environment;
use crate::journal::Journal;
use crate::process::reaper::Reaper;
use crate::results::StepResult;
use crate::server::Server;
use crate::stop::{Stop, StopReason};
use crate::workspace::Workspace;
use work::Work;

/// How long work that is given up may take to notice; it looks between any two pieces of a file.
const ENDING: Duration = Duration::from_secs(10);

/// Everything a step works with.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) plan: Arc<Plan>,
    pub(crate) index: u32,
    pub(crate) step: StepPlan,
    pub(crate) environment: Environment,
    pub(crate) workspace: Workspace,
    pub(crate) journal: Journal,
    pub(crate) server: Server,
    pub(crate) reaper: Reaper,
    pub(crate) stop: Stop,
}

/// What a step leaves.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) end: StepEnd,
    /// Reason of the final report when this step fails the stage.
    pub(crate) reason: &'static str,
    pub(crate) results: Vec<StepResult>,
    pub(crate) artifact: Option<ArtifactReport>,
    /// Something that the step began goes on and cannot be ended: no step may run beside it, and nothing makes up for it.
    pub(crate) goes_on: bool,
}

impl Done {
    pub(crate) fn succeeded() -> Self {
        Self {
            end: StepEnd {
                outcome: StepOutcome::Succeeded,
                exit_code: None,
                signal: None,
                message: None,
            },
            reason: "",
            results: Vec::new(),
            artifact: None,
            goes_on: false,
        }
    }

    pub(crate) fn failed(reason: &'static str, message: impl Into<String>) -> Self {
        Self::ended(StepOutcome::Failed, reason, message)
    }

    /// Fails a step that succeeded; of one that did not, it says this as well.
    pub(crate) fn fail(&mut self, reason: &'static str, message: &str) {
        if self.end.outcome == StepOutcome::Succeeded {
            self.end.outcome = StepOutcome::Failed;
            self.reason = reason;
            self.end.message = Some(message.to_owned());
        } else {
            let before = self.end.message.take().unwrap_or_default();
            self.end.message = Some(format!("{before}; {message}"));
        }
    }

    fn ended(outcome: StepOutcome, reason: &'static str, message: impl Into<String>) -> Self {
        let end = StepEnd {
            outcome,
            exit_code: None,
            signal: None,
            message: Some(message.into()),
        };
        Self {
            end,
            reason,
            results: Vec::new(),
            artifact: None,
            goes_on: false,
        }
    }
}

impl Context {
    /// Time of everything in reproducible archives.
    fn source_date(&self) -> u64 {
        self.environment
            .of_step(&self.step, "".as_ref())
            .map_or(0, |environment| environment.source_date())
    }
}

/// Carries out a step within its time.
pub(crate) async fn execute(context: &Context) -> Done {
    match &context.step.action {
        Action::Run { script, shell } => run::run(context, script, shell).await,
        Action::Checkout {
            url,
            revision,
            depth,
            submodules,
            path,
            credentials,
        } => {
            let request = checkout::Request {
                url,
                revision,
                depth: *depth,
                submodules: *submodules,
                path,
                credentials: credentials.as_deref(),
            };
            interruptible(context, |work| checkout::run(context, work, request)).await
        }
        Action::Artifact { artifact, paths, raw } => {
            interruptible(context, |work| {
                artifact::run(context, work, artifact, paths, *raw)
            })
            .await
        }
        Action::DownloadArtifact {
            artifact,
            digest,
            kind,
            file_name,
            path,
        } => {
            let wanted = download::Wanted {
                name: artifact,
                digest,
                kind: *kind,
                file_name,
                path,
            };
            interruptible(context, |work| download::run(context, work, wanted)).await
        }
        Action::Image {
            artifact,
            reference,
            base,
            files,
            entrypoint,
            cmd,
            env,
            user,
            working_dir,
            labels,
        } => {
            let image = image::Image {
                artifact,
                reference,
                base: base.as_deref(),
                files,
                entrypoint,
                cmd,
                env,
                user: user.as_deref(),
                working_dir: working_dir.as_deref(),
                labels,
            };
            interruptible(context, |work| image::run(context, work, image)).await
        }
    }
}

/// Ends work of the runner itself when the step's or the stage's time is over.
async fn interruptible<Doing: Future<Output = Done>>(
    context: &Context,
    begin: impl FnOnce(Work) -> Doing,
) -> Done {
    within(context.step.timeout_seconds, &context.stop, begin).await
}

/// The next step may run as soon as this answers, so what a step whose time is over still writes is waited for. After a stop there is no
/// next step, and somebody waits for the report.
async fn within<Doing: Future<Output = Done>>(
    seconds: u64,
    stop: &Stop,
    begin: impl FnOnce(Work) -> Doing,
) -> Done {
    let (work, ending) = work::of_step();
    // When time is over before the work is, the future that does it is gone before its branch is taken, and only threads are left.
    tokio::select! {
        done = begin(work) => done,
        () = step_timeout(seconds) => {
            ending.give_up();
            tokio::select! {
                ended = tokio::time::timeout(ENDING, ending.ended()) => match ended {
                    Ok(()) => timed_out(seconds),
                    Err(_) => going_on(seconds),
                },
                _ = stop.requested() => timed_out(seconds),
            }
        }
        reason = stop.requested() => {
            ending.give_up();
            stopped(&reason)
        }
    }
}

/// A step whose time is over and whose work waits for something that does not come, such as a server that is silent.
fn going_on(seconds: u64) -> Done {
    let mut done = timed_out(seconds);
    done.end.message = Some(format!(
        "its time of {seconds} s is over, and what it began has not ended: no step runs beside it"
    ));
    done.goes_on = true;
    done
}

pub(crate) async fn step_timeout(seconds: u64) {
    if seconds == 0 {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

pub(crate) fn timed_out(seconds: u64) -> Done {
    Done::ended(
        StepOutcome::TimedOut,
        STEP_TIMED_OUT,
        format!("its time of {seconds} s is over"),
    )
}

pub(crate) fn stopped(reason: &StopReason) -> Done {
    match reason {
        StopReason::Cancelled => Done::ended(StepOutcome::Killed, "Cancelled", "the stage was cancelled"),
        StopReason::StageTimeout => {
            Done::ended(StepOutcome::TimedOut, "StageTimedOut", "the stage's time is over")
        }
        StopReason::Refused(message) => Done::ended(StepOutcome::Killed, "Refused", message.clone()),
    }
}

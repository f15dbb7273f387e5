//! One stage attempt from the first moment to the exit code.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dcanary_protocol::exit;
use dcanary_protocol::plan::Plan;
use dcanary_protocol::report::Outcome;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::command_line::with_sources;
use crate::environment::{BadVariable, Environment};
use crate::journal::Journal;
use crate::mask::{MaskError, Masks};
use crate::plan::{self, PlanError};
use crate::process::reaper::Reaper;
use crate::process::signals::{self, Ignored};
use crate::process::{family, guard};
use crate::rejected;
use crate::server::sender::SendError;
use crate::server::session::SessionError;
use crate::server::waiting::Announcer;
use crate::server::{Refusal, Server, final_report, inputs, sender, session};
use crate::settings::{Settings, SettingsError};
use crate::spool::{Spool, SpoolError};
use crate::stage::{self, Ended};
use crate::steps::Context;
use crate::stop::{Stop, StopReason};
use crate::workspace::Workspace;

/// Ignored signals that get a line each.
const NOTED: usize = 20;

/// Why there is no final report; the operator counts the attempt as lost.
#[derive(Debug, Error)]
pub(crate) enum RunError {
    #[error("cannot set up the process: {0}")]
    Process(#[source] nix::errno::Errno),
    #[error("cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("the workspace cannot be used: {0}")]
    Workspace(#[source] std::io::Error),
    #[error(transparent)]
    Masks(#[from] MaskError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("the stream ended: {0}")]
    Stream(#[from] SendError),
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("the final report was not taken: {0}")]
    Final(#[source] Refusal),
    #[error("the plan has no steps")]
    NoSteps,
}

/// Runs the attempt that the environment describes. Answers the exit code, or why there is none, without secrets.
pub(crate) fn run() -> Result<i32, String> {
    let masks = OnceLock::new();
    run_with(&masks).map_err(|error| {
        let text = with_sources(&error);
        masks
            .get()
            .map_or_else(|| text.clone(), |masks: &Masks| masks.text(&text))
    })
}

fn run_with(masks: &OnceLock<Masks>) -> Result<i32, RunError> {
    guard::adopt_orphans().map_err(RunError::Process)?;
    // Before the first thread: they inherit the mask.
    let handled = signals::block().map_err(RunError::Process)?;
    let stop = Stop::new();
    let reaper = Reaper::new();
    let (ignored, notes) = mpsc::channel(NOTED);
    signals::handle(handled, reaper.clone(), stop.clone(), ignored).map_err(RunError::Thread)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(RunError::Thread)?;
    let code = runtime.block_on(attempt(stop, reaper, notes, masks));
    runtime.shutdown_background();
    code
}

async fn attempt(
    stop: Stop,
    reaper: Reaper,
    notes: mpsc::Receiver<Ignored>,
    masks: &OnceLock<Masks>,
) -> Result<i32, RunError> {
    let settings = Settings::from_environment()?;
    let plan = Arc::new(plan::from_environment()?);
    let Some(first) = plan.steps.first().cloned() else {
        return Err(RunError::NoSteps);
    };
    let workspace = Workspace::open(&settings.workspace).map_err(RunError::Workspace)?;
    let (environment, bad) = Environment::of_stage(&plan, &workspace);
    let token = session::read_token(&settings.token_file)?;
    let read = Masks::read(&plan.masks, &[token.clone().into_bytes()])?;
    let masks = masks.get_or_init(|| read).clone();
    watch_time(&plan, stop.clone());

    let spool = Arc::new(Spool::new(workspace.own("spool"), plan.limits.spool_bytes));
    let journal = Journal::new(Arc::clone(&spool), masks).map_err(RunError::Thread)?;
    let current = watch::Sender::new(0);
    let announcer = Announcer::new(journal.clone(), current.subscribe());
    let opened = tokio::select! {
        opened = session::open(&settings, &token, announcer) => opened,
        () = stop.cancelled() => {
            journal.flush().await;
            return Ok(exit::CANCELLED);
        }
    };
    drop(token);
    let server = match opened {
        Ok(server) => server,
        Err(error) => {
            journal.flush().await;
            return Err(error.into());
        }
    };
    let sending = tokio::spawn(send(server.clone(), Arc::clone(&spool), stop.clone()));
    tokio::spawn(write_notes(notes, journal.clone(), current.subscribe()));
    let context = Context {
        plan,
        index: 0,
        step: first,
        environment,
        workspace,
        journal,
        server,
        reaper,
        stop,
    };
    let ended = stage(&context, &current, bad).await;
    family::sweep(&context.reaper, None).await;
    let code = report_end(&context, &spool, sending, ended).await;
    context.journal.flush().await;
    code
}

async fn stage(
    context: &Context,
    current: &watch::Sender<u32>,
    bad: Option<BadVariable>,
) -> Result<Ended, SpoolError> {
    // Every attempt has the same variables: the stage fails, and is not tried again as one that was lost.
    if let Some(bad) = bad {
        return stage::run(context, current, Some(("VariableInvalid", bad.to_string()))).await;
    }
    let plan = &context.plan;
    let provided = inputs::provide(
        &context.server,
        &context.workspace,
        &plan.inputs,
        plan.limits.result_bytes,
    );
    let before = tokio::select! {
        provided = provided => provided.err().map(|message| ("InputFailed", message)),
        _ = context.stop.requested() => None,
    };
    stage::run(context, current, before).await
}

async fn report_end(
    context: &Context,
    spool: &Spool,
    sending: JoinHandle<Result<(), SendError>>,
    ended: Result<Ended, SpoolError>,
) -> Result<i32, RunError> {
    let frames = spool.finish();
    // Why nothing could be sent says more than that nothing could be written.
    if let Ok(Err(error)) = sending.await {
        return Err(error.into());
    }
    let Ended { mut report, wrote } = ended?;
    report.frames = frames;
    rejected::amend(&mut report, &context.plan.steps, &wrote, &spool.rejections());
    final_report::deliver(&context.server, &report)
        .await
        .map_err(RunError::Final)?;
    Ok(match report.outcome {
        Outcome::Succeeded => exit::SUCCEEDED,
        Outcome::Failed => exit::FAILED,
        Outcome::Cancelled => exit::CANCELLED,
        Outcome::TimedOut => exit::TIMED_OUT,
        Outcome::Error => exit::RUNNER_ERROR,
    })
}

/// Sends until the stream is over. When it cannot go on, steps end, and nobody waits for room in the spool any more.
async fn send(server: Server, spool: Arc<Spool>, stop: Stop) -> Result<(), SendError> {
    let sent = sender::run(server, Arc::clone(&spool)).await;
    if let Err(error) = &sent {
        stop.request(StopReason::Refused(with_sources(error)));
        spool.close();
    }
    sent
}

fn watch_time(plan: &Plan, stop: Stop) {
    let seconds = plan.timeout_seconds;
    if seconds > 0 {
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            stop.request(StopReason::StageTimeout);
        });
    }
}

async fn write_notes(mut notes: mpsc::Receiver<Ignored>, journal: Journal, current: watch::Receiver<u32>) {
    for number in 0..=NOTED {
        let Some(Ignored { signal, sender }) = notes.recv().await else {
            return;
        };
        let text = if number < NOTED {
            format!("ignored signal {signal} from process {sender} inside the Pod")
        } else {
            "further signals from inside the Pod are ignored without a note".to_owned()
        };
        let step = *current.borrow();
        if journal.note(step, &text).await.is_err() {
            return;
        }
    }
}

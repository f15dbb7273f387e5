//! One stage attempt from the first moment to the exit code.

use std::sync::Arc;
use std::time::Duration;

use dcanary_protocol::exit;
use dcanary_protocol::plan::Plan;
use dcanary_protocol::report::{FinalReport, Outcome};
use thiserror::Error;
use tokio::sync::{mpsc, watch};

use crate::command_line::with_sources;
use crate::environment::{BadVariable, Environment};
use crate::journal::Journal;
use crate::mask::{MaskError, Masks};
use crate::plan::{self, PlanError};
use crate::process::reaper::Reaper;
use crate::process::signals::{self, Ignored};
use crate::process::{family, guard};
use crate::server::sender::SendError;
use crate::server::session::SessionError;
use crate::server::{Refusal, Server, final_report, inputs, sender, session};
use crate::settings::{Settings, SettingsError};
use crate::spool::{Spool, SpoolError};
use crate::stage;
use crate::steps::Context;
use crate::stop::{Stop, StopReason};
use crate::workspace::Workspace;

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
    Variable(#[from] BadVariable),
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

/// Runs the attempt that the environment describes. Answers the exit code.
pub(crate) fn run() -> Result<i32, RunError> {
    guard::adopt_orphans().map_err(RunError::Process)?;
    // Before the first thread: they inherit the mask.
    let handled = signals::block().map_err(RunError::Process)?;
    let stop = Stop::new();
    let reaper = Reaper::default();
    let (ignored, notes) = mpsc::unbounded_channel();
    signals::handle(handled, reaper.clone(), stop.clone(), ignored).map_err(RunError::Thread)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(RunError::Thread)?;
    let code = runtime.block_on(attempt(stop, reaper, notes));
    runtime.shutdown_background();
    code
}

async fn attempt(
    stop: Stop,
    reaper: Reaper,
    notes: mpsc::UnboundedReceiver<Ignored>,
) -> Result<i32, RunError> {
    let settings = Settings::from_environment()?;
    let plan = Arc::new(plan::from_environment()?);
    let Some(first) = plan.steps.first().cloned() else {
        return Err(RunError::NoSteps);
    };
    let workspace = Workspace::open(&settings.workspace).map_err(RunError::Workspace)?;
    let environment = Environment::of_stage(&plan, &workspace)?;
    let token = session::read_token(&settings.token_file)?;
    let masks = Masks::read(&plan.masks, &[token.clone().into_bytes()])?;
    watch_time(&plan, stop.clone());

    let server = tokio::select! {
        server = session::open(&settings, &token) => server?,
        StopReason::Cancelled = stop.requested() => return Ok(exit::CANCELLED),
    };
    drop(token);
    let spool = Arc::new(Spool::new(workspace.own("spool"), plan.limits.spool_bytes));
    let journal = Journal::new(Arc::clone(&spool), masks).map_err(RunError::Thread)?;
    let sending = tokio::spawn(send(server.clone(), Arc::clone(&spool), stop.clone()));
    let current = watch::Sender::new(0);
    tokio::spawn(write_notes(notes, journal.clone(), current.subscribe()));
    let context = Context {
        plan,
        index: 0,
        step: first,
        environment,
        workspace,
        journal: journal.clone(),
        server: server.clone(),
        reaper,
        stop: stop.clone(),
    };
    let report = tokio::select! {
        report = stage(&context, &current) => Some(report?),
        // Steps may wait for a full spool that nobody drains any more.
        () = given_up(&stop) => None,
    };
    family::sweep(None).await;
    let code = report_end(&server, &spool, sending, report).await;
    journal.flush().await;
    code
}

async fn stage(context: &Context, current: &watch::Sender<u32>) -> Result<FinalReport, SpoolError> {
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
    server: &Server,
    spool: &Spool,
    sending: tokio::task::JoinHandle<Result<(), SendError>>,
    report: Option<FinalReport>,
) -> Result<i32, RunError> {
    let frames = spool.finish();
    if let Ok(Err(error)) = sending.await {
        return Err(error.into());
    }
    let Some(mut report) = report else {
        return Ok(exit::RUNNER_ERROR);
    };
    report.frames = frames;
    final_report::deliver(server, &report)
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

/// Waits for the moment after which nothing can be reported, plus the time that a running step needs to end.
async fn given_up(stop: &Stop) {
    loop {
        if let StopReason::Refused(_) = stop.requested().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn send(server: Server, spool: Arc<Spool>, stop: Stop) -> Result<(), SendError> {
    let sent = sender::run(server, spool).await;
    if let Err(error) = &sent {
        stop.request(StopReason::Refused(with_sources(error)));
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

async fn write_notes(
    mut notes: mpsc::UnboundedReceiver<Ignored>,
    journal: Journal,
    current: watch::Receiver<u32>,
) {
    while let Some(Ignored { signal, sender }) = notes.recv().await {
        let step = *current.borrow();
        let text = format!("ignored signal {signal} from process {sender} inside the Pod");
        if journal.note(step, &text).await.is_err() {
            return;
        }
    }
}

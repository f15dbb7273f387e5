//! Sends the logs of a run to one client.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dcanary_protocol::report::Outcome;
use tokio::sync::mpsc;

use super::tail::Tail;
use crate::attempts::named;
use crate::attempts::record::{Record, RunPlace};
use crate::attempts::registry::Found;
use crate::attempts::run::{Run, RunKey};
use crate::attempts::{Attempt, registry::Progress};
use crate::core::Core;

/// How often Kubernetes is asked about a run that is followed.
const ASK_EVERY: Duration = crate::auth::cached::RUN_LIFETIME;

/// What a client wants.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The run.
    pub key: RunKey,
    /// Name of the run, when the client knows it: then following ends also for a run without attempts.
    pub name: Option<String>,
    /// One stage only.
    pub stage: Option<String>,
    /// Goes on until the end.
    pub follow: bool,
}

struct Reader {
    attempt: Arc<Attempt>,
    place: RunPlace,
    tail: Tail,
    /// Everything was sent and nothing more comes.
    done: bool,
}

/// The logs as a stream of pieces; ends when the receiver goes away.
pub fn start(core: Arc<Core>, wanted: Wanted) -> mpsc::Receiver<io::Result<Bytes>> {
    let (to, pieces) = mpsc::channel(2);
    tokio::spawn(async move {
        let stopping = core.stopping.clone();
        let sent = tokio::select! {
            sent = send(&core, &wanted, &to) => sent,
            () = to.closed() => return,
            () = stopping.cancelled() => Err(io::Error::other("the server is stopping")),
        };
        if let Err(error) = sent {
            drop(to.send(Err(error)).await);
        }
    });
    pieces
}

async fn send(core: &Core, wanted: &Wanted, to: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
    let run = core.attempts.run(&wanted.key).await?;
    let mut changes = run.follow();
    let mut readers: Vec<Reader> = Vec::new();
    let mut known = None;
    let (mut all, mut listed) = (true, Instant::now());
    let mut quiet_since = Instant::now();
    let mut asked: Option<Instant> = None;
    loop {
        changes.mark_unchanged();
        let opened = run.opened.load(Ordering::Acquire);
        if known != Some(opened) || (!all && listed.elapsed() >= ASK_EVERY) {
            all = add_readers(core, wanted, &mut readers).await?;
            (known, listed) = (Some(opened), Instant::now());
        }
        // Asked before the last reading: what was stored before the end is read after it.
        let due = wanted.follow && asked.is_none_or(|at| at.elapsed() >= ASK_EVERY);
        let over = if due {
            asked = Some(Instant::now());
            is_finished(core, wanted, &readers).await
        } else {
            !wanted.follow
        };
        if over && !all {
            all = add_readers(core, wanted, &mut readers).await?;
        }
        let mut sent = false;
        for at in 0..readers.len() {
            sent |= drain(core, &mut readers, at, !wanted.follow || over, to).await?;
        }
        if sent {
            quiet_since = Instant::now();
        }
        if over || (wanted.stage.is_some() && stage_is_over(core, &readers, quiet_since)) {
            return Ok(());
        }
        if !sent {
            // Either something is stored, or it is time to ask again.
            drop(tokio::time::timeout(ASK_EVERY, changes.changed()).await);
        }
    }
}

/// Sends what an attempt has, once the attempts of its stage before it are done.
async fn drain(
    core: &Core,
    readers: &mut [Reader],
    at: usize,
    last_time: bool,
    to: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<bool> {
    let stage = readers[at].place.stage.clone();
    let same = |reader: &Reader| reader.place.stage == stage;
    if readers[at].done || readers[..at].iter().any(|reader| same(reader) && !reader.done) {
        return Ok(false);
    }
    let superseded = readers[at + 1..].iter().any(same);
    let Progress { acked, over } = readers[at].attempt.progress();
    let mut sent = false;
    loop {
        let mut tail = readers[at].tail.clone();
        let limit = core.limits.log_bytes;
        let (tail, piece) = core
            .store
            .blocking(move |disk| {
                let piece = tail.read(disk, acked, limit)?;
                Ok((tail, piece))
            })
            .await?;
        readers[at].tail = tail;
        if piece.is_empty() {
            readers[at].done = over || superseded || last_time;
            return Ok(sent);
        }
        sent = true;
        if to.send(Ok(piece.into())).await.is_err() {
            return Err(io::Error::other("the client went away"));
        }
    }
}

/// Whether all attempts are there. One that the run's status does not name may be named later.
async fn add_readers(core: &Core, wanted: &Wanted, readers: &mut Vec<Reader>) -> io::Result<bool> {
    let records = core
        .attempts
        .records(&wanted.key.namespace, &wanted.key.uid)
        .await?;
    let (all, shown) = match named::only(core, &wanted.key, records).await {
        Ok(named) => named,
        Err(error) if wanted.follow => {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "attempts of a followed run not known"
            );
            return Ok(false);
        }
        Err(error) => return Err(io::Error::other(error)),
    };
    for record in shown {
        let Record {
            attempt: id,
            run: Some(place),
            ..
        } = &record
        else {
            continue;
        };
        let other_stage = wanted.stage.as_ref().is_some_and(|stage| *stage != place.stage);
        if other_stage || readers.iter().any(|reader| reader.attempt.id == *id) {
            continue;
        }
        if let Found::Attempt(attempt) = core.attempts.find(id).await? {
            let tail = Tail::new(&record);
            readers.push(Reader {
                attempt,
                place: place.clone(),
                tail,
                done: false,
            });
        }
    }
    Ok(all)
}

async fn is_finished(core: &Core, wanted: &Wanted, readers: &[Reader]) -> bool {
    let name = readers
        .first()
        .map(|reader| reader.place.name.clone())
        .or_else(|| wanted.name.clone());
    let Some(name) = name else { return false };
    let RunKey { namespace, uid } = &wanted.key;
    let cluster = core.cluster.as_ref();
    match core
        .readers
        .run(cluster, namespace.as_str(), &name, uid.as_str())
        .await
    {
        Ok(run) => run.is_none_or(|run| run.finished),
        Err(error) => {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "end of a followed run not known"
            );
            false
        }
    }
}

fn stage_is_over(core: &Core, readers: &[Reader], quiet_since: Instant) -> bool {
    let Some(newest) = readers.last().filter(|newest| newest.done) else {
        return false;
    };
    let Ok(state) = newest.attempt.state.try_lock() else {
        return false;
    };
    let outcome = state.record.end.as_ref().map(|end| end.report.outcome);
    match outcome {
        Some(Outcome::Succeeded | Outcome::Cancelled) => true,
        _ => quiet_since.elapsed() >= core.settings.retry_wait,
    }
}

impl Run {
    /// An attempt of the run was opened.
    pub fn note_opened(&self) {
        self.opened.fetch_add(1, Ordering::AcqRel);
        self.changed();
    }
}

//! What the recorder tells goes into the memory of the run or Environment, and wakes it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use dcanary_core::observed::{Conflict, JournalSeen, Refusal, Sealing, Waiting};
use dcanary_crds::{JournalStatus, PipelineRun};
use dcanary_ledger::{Outbox, Outcome, RunKey};
use jiff::Timestamp;
use kube::runtime::reflector::Store;
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::warn;

use super::{Journaled, graph, left_behind::LeftBehind, outbox, records, seal};
use crate::context::Context;

/// How often it is looked whether sealed records have to be handed over again while they wait.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Deletions come in crowds: one look for all of them.
const CROWD: Duration = Duration::from_millis(200);
/// Why nothing more of an object is recorded whose earlier records the ledger does not have any more.
const LOST: &str = "RecordsMissing";
/// How often the recorder is told which runs there still are.
const FORGET: Duration = Duration::from_secs(60);

/// Follows until the recorder is gone.
pub async fn follow(ctx: Arc<Context>, runs: Store<PipelineRun>, mut outcomes: UnboundedReceiver<Outcome>) {
    let Some(recorder) = ctx.recorder.get() else {
        return;
    };
    let mut depths = recorder.depths();
    let mut left_behind = LeftBehind::default();
    left_behind.look(&ctx, &runs).await;
    let mut again = tokio::time::interval(LOOK_AGAIN);
    let mut forget = tokio::time::interval(FORGET);
    let mut expected = false;
    loop {
        let outcome = tokio::select! {
            outcome = outcomes.recv() => match outcome {
                Some(outcome) => outcome,
                None => return,
            },
            changed = depths.changed() => {
                if changed.is_err() {
                    return;
                }
                let depth = *depths.borrow_and_update();
                ctx.metrics.journal_pending.set(i64::try_from(depth).unwrap_or(i64::MAX));
                continue;
            }
            () = ctx.left_behind.notified() => {
                if !std::mem::replace(&mut expected, true) {
                    again.reset_after(CROWD);
                }
                continue;
            }
            _ = again.tick() => {
                if std::mem::take(&mut expected) || left_behind.has_to_look() {
                    left_behind.look(&ctx, &runs).await;
                }
                continue;
            }
            _ = forget.tick() => {
                forget_gone(&ctx, &runs, &left_behind);
                continue;
            }
        };
        if left_behind.take(&ctx, &outcome).await {
            continue;
        }
        let key = key(&outcome).clone();
        match outcome {
            Outcome::Missing { from, to, .. } => hand_back(&ctx, &runs, &key, from, to).await,
            Outcome::GraphMissing { .. } => {
                if let Some(subject) = current(&ctx, &runs, &key.run)
                    && let Some(outbox) = outbox(&ctx.config.domain, subject.as_ref())
                {
                    recorder.submit(outbox);
                }
            }
            told => {
                // a run whose records are on the chain hands them over again with every decision until its next status write: what is known
                // already must not lead to another decision, or both go round for ever
                if note(&ctx, told) {
                    ctx.wake_subject(&key.run);
                }
            }
        }
    }
}

/// UIDs of the runs and Environments that there are, those among them that cannot be read.
pub(super) fn live(ctx: &Context, runs: &Store<PipelineRun>) -> HashSet<String> {
    let unreadable = ctx.unreadable_runs.all().into_iter().map(|(_, uid)| uid);
    runs.state()
        .iter()
        .filter_map(|run| run.metadata.uid.clone())
        .chain(unreadable)
        .chain(ctx.environments.live())
        .collect()
}

/// How many records of a run or an Environment the chain is known to hold, as its status in the cache says.
pub(super) fn recorded(ctx: &Context, runs: &Store<PipelineRun>, uid: &str) -> Option<i64> {
    let run = runs.state().into_iter().find(|run| run.uid() == uid);
    let environment = || {
        let all = ctx.environments.stores.environments.state();
        all.into_iter().find(|environment| environment.uid() == uid)
    };
    match run {
        Some(run) => Some(run.journal()?.recorded),
        None => Some(environment()?.journal()?.recorded),
    }
}

/// Runs and Environments in the caches all of whose waiting records are sealed: their outbox is empty, so the recorder knows of none.
pub(super) fn only_sealed(ctx: &Context, runs: &Store<PipelineRun>) -> Vec<Arc<dyn Journaled + Send>> {
    let runs = runs.state().into_iter();
    let environments = ctx.environments.stores.environments.state().into_iter();
    runs.map(|run| run as Arc<dyn Journaled + Send>)
        .chain(environments.map(|environment| environment as Arc<dyn Journaled + Send>))
        .filter(|subject| {
            let journal = subject.journal();
            journal.is_some_and(|journal| journal.pending.is_empty() && !journal.sealed.is_empty())
        })
        .collect()
}

/// What the recorder holds of runs that are gone and can never record is of no use to anybody.
fn forget_gone(ctx: &Context, runs: &Store<PipelineRun>, left_behind: &LeftBehind) {
    if let Some(recorder) = ctx.recorder.get() {
        let mut live = live(ctx, runs);
        live.extend(left_behind.runs());
        recorder.retain(live);
    }
}

pub(super) fn key(outcome: &Outcome) -> &RunKey {
    match outcome {
        Outcome::Recorded { key, .. }
        | Outcome::Refused { key, .. }
        | Outcome::Conflict { key, .. }
        | Outcome::Missing { key, .. }
        | Outcome::Ahead { key, .. }
        | Outcome::GraphMissing { key }
        | Outcome::Waiting { key, .. } => key,
    }
}

/// Takes over what the recorder told. Whether that is news.
fn note(ctx: &Context, outcome: Outcome) -> bool {
    let uid = key(&outcome).run.clone();
    ctx.journal_of(&uid, |journal| {
        let before = journal.clone();
        take(journal, outcome);
        *journal != before
    })
}

fn take(journal: &mut JournalSeen, outcome: Outcome) {
    match outcome {
        Outcome::Recorded { first, blocks, .. } => {
            let count = u64::try_from(blocks.len()).unwrap_or(0);
            journal.recorded = journal.recorded.max(first + count);
            journal.block = blocks.last().copied().max(journal.block);
            journal.waiting = None;
        }
        Outcome::Refused { n, hash, reason, .. } => {
            let refusal = Refusal {
                n,
                hash: hash.unwrap_or_default(),
                reason,
            };
            if !journal.refused.contains(&refusal) {
                journal.refused.push(refusal);
            }
        }
        Outcome::Conflict { n, have, .. } => journal.conflict = Some(Conflict { n, have }),
        Outcome::Ahead { next, .. } => journal.ahead = Some(next),
        Outcome::Waiting {
            since,
            reason,
            message,
            ..
        } => {
            let since = Timestamp::try_from(since).unwrap_or_else(|_| Timestamp::now());
            let hint = match reason {
                "NotAuthorised" => {
                    "; projects besides the default one are listed in the chart's ledger.projects"
                }
                _ => "",
            };
            journal.waiting = Some(Waiting {
                since,
                reason: reason.to_owned(),
                message: message + hint,
            });
        }
        Outcome::Missing { .. } | Outcome::GraphMissing { .. } => {}
    }
}

/// The chain lacks records that were sealed: read them back and hand them over. What cannot be read now is asked for again by the
/// recorder.
async fn hand_back(ctx: &Context, runs: &Store<PipelineRun>, key: &RunKey, from: u64, to: u64) {
    if let Some(subject) = current(ctx, runs, &key.run) {
        if let Some(message) = subject.journal().and_then(|journal| gone(journal, from)) {
            lost(ctx, &key.run, message);
        }
        hand_back_of(ctx, subject.as_ref(), key, from, to).await;
    }
}

/// Why what the chain lacks, from this number on, comes from nowhere: the chain acknowledged it once, so that nobody kept it.
fn gone(journal: &JournalStatus, from: u64) -> Option<String> {
    let number = |n: i64| u64::try_from(n).unwrap_or(0);
    let mut sealed = journal.sealed.iter();
    let kept = sealed.any(|sealed| (number(sealed.first)..=number(sealed.last)).contains(&from));
    let recorded = number(journal.recorded);
    (from < recorded && !kept).then(|| {
        format!(
            "the ledger has {from} records of this object and had {recorded}: an older state of it was restored, or it is another ledger. \
             Nothing more of this object can be recorded; one that is created anew under its name begins anew (docs/ledger.md, \
             \"Going on from an older state\")"
        )
    })
}

/// The recorder asks again and again: people are told once.
fn lost(ctx: &Context, uid: &str, message: String) {
    let news = ctx.journal_of(uid, |journal| {
        let known = |waiting: &Waiting| waiting.reason == LOST && waiting.message == message;
        let news = !journal.waiting.as_ref().is_some_and(known);
        if news {
            journal.waiting = Some(Waiting {
                since: Timestamp::now(),
                reason: LOST.to_owned(),
                message: message.clone(),
            });
        }
        news
    });
    if news {
        warn!(uid, message, "records are gone");
        ctx.wake_subject(uid);
    }
}

/// The same for a run or an Environment that is at hand. Whether all of it could be handed over. Nothing but what was asked for goes: what
/// the chain holds already, or waits in the outbox, may be a note in the place of a sealed record that the journal refused.
pub(super) async fn hand_back_of(
    ctx: &Context,
    subject: &(dyn Journaled + Send),
    key: &RunKey,
    from: u64,
    to: u64,
) -> bool {
    let (Some(journal), Some(recorder)) = (subject.journal(), ctx.recorder.get()) else {
        return false;
    };
    let mut all = true;
    let wanted = |n: i64| u64::try_from(n).unwrap_or(u64::MAX);
    for sealed in journal
        .sealed
        .iter()
        .filter(|sealed| wanted(sealed.first) <= to && wanted(sealed.last) >= from)
    {
        let found = match seal::read(ctx, &sealed.config_map).await {
            Ok(found) => found.unwrap_or_default(),
            Err(failure) => {
                warn!(
                    error = &failure as &dyn std::error::Error,
                    config_map = sealed.config_map,
                    "sealed records cannot be read now; will ask again"
                );
                all = false;
                continue;
            }
        };
        let records = records(&found);
        let hash = dcanary_ledger::record::seal(&records).map(|hash| format!("sha256:{}", hex::encode(hash)));
        if hash.as_deref() == Some(sealed.hash.as_str()) {
            let asked = records
                .into_iter()
                .filter(|record| (from..=to).contains(&record.n));
            recorder.submit(Outbox {
                key: key.clone(),
                records: asked.collect(),
                graph: graph(journal),
            });
        } else {
            swapped(ctx, &key.run, &sealed.config_map);
            all = false;
        }
    }
    all
}

/// The recorder asks for sealed records again and again: people are told once.
fn swapped(ctx: &Context, uid: &str, config_map: &str) {
    let swapped = Sealing::Swapped {
        config_map: config_map.to_owned(),
    };
    let news = ctx.journal_of(uid, |journal| {
        let news = !journal.sealings.contains(&swapped);
        if news {
            journal.sealings.push(swapped);
        }
        news
    });
    if news {
        warn!(config_map, "the ConfigMap does not hold what was sealed");
        ctx.wake_subject(uid);
    }
}

/// The run or Environment of a UID, as far as it is known.
fn current(ctx: &Context, runs: &Store<PipelineRun>, uid: &str) -> Option<Box<dyn Journaled + Send + Sync>> {
    if let Some(environment) = ctx.environments.current(uid) {
        return Some(Box::new(environment));
    }
    let cached = runs.get(&ctx.memory.object(uid)?)?;
    Some(Box::new(ctx.memory.freshest(&cached)))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

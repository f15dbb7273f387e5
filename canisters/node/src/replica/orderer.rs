//! Puts calls into batches and makes the batches durable, while they are executed already.

use super::clock::Clock;
use super::inbox::{Orders, Work};
use super::metrics::Metrics;
use super::{Failure, Logged, Ordered, Pending, Policy, Refused, Waiting};
use crate::cert::view::Views;
use crate::exec::batch::{Batch, Ingress};
use crate::log::codec::Entry;
use crate::log::journal::{AppendError, Journal, Synced};
use crate::wire::hash::Hash;
use rand::TryRngCore;
use rand::rngs::OsRng;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Most calls in a batch.
const MAX_CALLS: usize = 1_000;
/// Most bytes of arguments in a batch, beyond its first call.
const MAX_BYTES: usize = 4 << 20;

pub struct Orderer {
    pub orders: Orders,
    pub clock: Arc<Clock>,
    /// Tells the latest time that readers were shown.
    pub views: Arc<Views>,
    /// The log, and the size at which a segment ends.
    pub journal: Option<(Journal, u64)>,
    pub next: SyncSender<Ordered>,
    /// The state root after the last executed batch, to be logged with the next one.
    pub checked: Arc<Mutex<Option<(u64, Hash)>>>,
    pub round: u64,
    pub time: u64,
    pub policy: Policy,
    pub semantics: Hash,
    pub failure: Failure,
    pub metrics: Metrics,
}

impl Orderer {
    pub fn run(mut self) {
        loop {
            let (certified, clock) = (self.time, self.clock.clone());
            // Time never goes back, not even when the clock does.
            let now = || clock.now(certified).map(|now| now.max(certified + 1));
            // A clock that is not believed makes nothing due.
            let due = || now().unwrap_or(certified);
            let (shown, durable) = (self.views.clone(), self.journal.is_some());
            let ahead = || {
                let ahead = shown.certified().saturating_sub(certified);
                if durable { ahead } else { 0 }
            };
            let Work::Batch(pending) = self.orders.wait(self.round, MAX_CALLS, MAX_BYTES, due, ahead) else {
                // Nobody is answered any more. What readers were shown is not forgotten, whatever the clock says by now. A node that
                // has failed writes nothing any more.
                let shown = self.views.certified();
                if durable && shown > self.time && self.failure.get().is_none() {
                    self.order(shown, Vec::new(), Vec::new());
                }
                return;
            };
            let idle = pending.is_empty();
            let time = match now() {
                Ok(time) => time,
                Err(error) => {
                    refuse(pending, Refused::Clock(error));
                    // calls between canisters wait too
                    self.orders.hold();
                    continue;
                }
            };
            let (pending, expired): (Vec<_>, Vec<_>) = pending
                .into_iter()
                .partition(|pending| pending.message.expiry >= time);
            refuse(expired, Refused::Expired);
            if pending.is_empty() && !idle {
                continue;
            }
            let (messages, waiting): (Vec<_>, Vec<_>) = pending
                .into_iter()
                .map(
                    |Pending {
                         message,
                         room,
                         waiting,
                     }| {
                        drop(room);
                        (message, waiting)
                    },
                )
                .unzip();
            if !self.order(time, messages, waiting) {
                return;
            }
        }
    }

    /// Hands a batch on and makes it durable. Whether the node can go on.
    fn order(&mut self, time: u64, messages: Vec<Ingress>, waiting: Vec<Waiting>) -> bool {
        let mut seed = Hash::default();
        if let Err(error) = OsRng.try_fill_bytes(&mut seed) {
            self.failure
                .set(&format!("the operating system gives no randomness: {error}"));
            return false;
        }
        let batch = Batch {
            round: self.round + 1,
            time,
            memory_limit: self.policy.memory_limit,
            canister_limit: self.policy.canister_limit,
            permissions: self.policy.permissions,
            seed,
            messages,
        };
        let (batch, took) = match self.write(batch) {
            Ok(written) => written,
            Err(AppendError::Full(error)) => {
                tracing::error!(%error, "the storage is full; calls are refused");
                for one in waiting {
                    one.send(Err(Refused::Full));
                }
                self.orders.hold();
                return true;
            }
            Err(error) => {
                self.failure.set(&describe(&error));
                return false;
            }
        };
        (self.round, self.time) = (batch.round, batch.time);
        let (shown, logged) = sync_channel(1);
        let ordered = Ordered {
            batch,
            waiting,
            logged,
        };
        if self.next.send(ordered).is_err() {
            self.failure.set("the executor has ended");
            return false;
        }
        match self.sync(took) {
            // An executor that cannot go on has said why, and nothing more is written.
            Ok(logged) => shown.send(logged).is_ok() && self.failure.get().is_none(),
            Err(error) => {
                self.failure.set(&describe(&error));
                false
            }
        }
    }

    /// Writes a batch. Returns it with the time that this took.
    fn write(&mut self, batch: Batch) -> Result<(Batch, Duration), AppendError> {
        let Some((journal, _)) = &mut self.journal else {
            return Ok((batch, Duration::ZERO));
        };
        let semantics = std::array::from_fn(|at| self.semantics[at]);
        let checked = *self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = Entry {
            semantics,
            checked,
            batch,
        };
        let begun = Instant::now();
        journal.write(&entry)?;
        Ok((entry.batch, begun.elapsed()))
    }

    /// Syncs the batch that was written.
    fn sync(&mut self, writing: Duration) -> Result<Logged, AppendError> {
        let Some((journal, segment_bytes)) = &mut self.journal else {
            return Ok(Logged {
                synced: Synced::nothing_is_kept(),
                checkpoint: false,
            });
        };
        let begun = Instant::now();
        let synced = journal.sync()?;
        self.metrics
            .synced(writing + begun.elapsed(), journal.segment_len());
        let checkpoint = journal.segment_len() >= *segment_bytes;
        if checkpoint {
            journal.rotate();
        }
        Ok(Logged { synced, checkpoint })
    }
}

fn refuse(pending: Vec<Pending>, reason: Refused) {
    for pending in pending {
        pending.waiting.send(Err(reason));
    }
}

fn describe(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

//! The one writer of a domain: drains outboxes into the journal.
//!
//! ```text
//! controller ─ submit(Outbox) ─▶ queue ─ batch ≤ 500 records, 1 MiB ─▶ Ledger::append
//!     ▲                            ▲                                        │
//!     └──────── Outcome ───────────┴──── receipts, head checked ◀───────────┘
//! ```
//! One batch is in flight at a time. The chain's position of a run is read before its first record is sent. When the chain
//! is away, everything waits here (and in the outboxes, which outlive this process) and goes on from the chain's own
//! position when it is back: repeated records give their first receipt, so nothing is recorded twice and no number is
//! left out. A forked chain stops it: nothing is sent until the head extends the checkpoint again.
//!
//! The ledger itself is looked at before the first record, after each failure, and from time to time, also while there is
//! nothing to record: who may change its code, and whether its head still extends the checkpoint.
//!
//! A run that the journal does not take now (no role, say) waits for itself, with a back-off of its own. What a run lacks is asked
//! for again with the same back-off until it comes.

mod queue;
mod run;
mod task;
#[cfg(test)]
mod tests;
mod waits;

use std::{collections::HashSet, sync::Arc, time::Duration, time::SystemTime};

use dcanary_types::Hash;
use tokio::sync::{mpsc, watch};

use crate::{
    error::LedgerError,
    fork::ForkEvidence,
    ledger::Ledger,
    record::{Record, RunKey},
};

/// What a run has to record: its whole outbox, sealed parts included where they are at hand.
///
/// Submitting the same again is harmless; so is submitting parts in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbox {
    /// The run.
    pub key: RunKey,
    /// Records that are not known to be recorded, each with its number.
    pub records: Vec<Record>,
    /// The encoded graph document; needed until record 0 is recorded.
    pub graph: Option<Vec<u8>>,
}

/// What became of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Recorded, and the head that holds them was checked: `blocks[i]` holds record `first + i`.
    Recorded {
        /// Run.
        key: RunKey,
        /// Number of the first.
        first: u64,
        /// Block index of each.
        blocks: Vec<u64>,
    },
    /// The journal will never take the record at `n`. Replace it with `dcanary_record_refused {hash, reason}` and submit again.
    Refused {
        /// Run.
        key: RunKey,
        /// Number.
        n: u64,
        /// Content hash of the refused record; absent when its body cannot be read.
        hash: Option<Hash>,
        /// Why, in one sentence.
        reason: String,
    },
    /// Another content is recorded at `n`: the run is `Stalled: LedgerConflict`.
    Conflict {
        /// Run.
        key: RunKey,
        /// Number.
        n: u64,
        /// Block that holds it.
        have: u64,
    },
    /// The chain stands before the outbox: hand back the sealed records `from..=to`. Told again, ever more rarely, until they come.
    Missing {
        /// Run.
        key: RunKey,
        /// First number that the chain lacks.
        from: u64,
        /// Last number that is not in the outbox either.
        to: u64,
    },
    /// The chain holds more than the outbox: the run's status is older than the journal (a restored etcd).
    Ahead {
        /// Run.
        key: RunKey,
        /// The chain's next number.
        next: u64,
    },
    /// The journal needs the run's graph document: submit again with it. Told again like `Missing`.
    GraphMissing {
        /// Run.
        key: RunKey,
    },
    /// Records wait. Told once for each run and reason, again when the reason changes.
    Waiting {
        /// Run.
        key: RunKey,
        /// Since when nothing could be recorded.
        since: SystemTime,
        /// Short name for a condition: `LedgerUnreachable`, `LedgerForked`, `NotAuthorised`, …
        reason: &'static str,
        /// One sentence.
        message: String,
    },
}

/// Whether the chain can be written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reachability {
    /// Nothing was sent yet.
    Unknown,
    /// The last exchange succeeded and was checked.
    Reachable,
    /// It failed.
    Away {
        /// Since when.
        since: SystemTime,
        /// Short name for a condition.
        reason: &'static str,
        /// One sentence.
        message: String,
    },
    /// The head does not extend the checkpoint. Gates stop; the evidence holds both certificates.
    Forked(Arc<ForkEvidence>),
}

/// How the recorder behaves.
#[derive(Clone, Debug)]
pub struct RecorderOptions {
    /// Most records in a batch.
    pub records: usize,
    /// Most bytes in a batch.
    pub bytes: usize,
    /// First pause after a failure, of the ledger or of a run.
    pub min_pause: Duration,
    /// Longest pause between attempts.
    pub max_pause: Duration,
    /// Positions that are read at once.
    pub readers: usize,
    /// Longest time without a look at the ledger itself: its controllers and its head, also while there is nothing to record.
    pub look_every: Duration,
}

impl Default for RecorderOptions {
    fn default() -> Self {
        Self {
            records: 500,
            // The journal takes 1 MiB of candid; this leaves room for its type table and field headers.
            bytes: 960 * 1024,
            min_pause: Duration::from_millis(250),
            max_pause: Duration::from_secs(15),
            readers: 8,
            look_every: Duration::from_secs(60),
        }
    }
}

pub(crate) enum Command {
    Submit(Outbox),
    Forget(RunKey),
    Retain(HashSet<String>),
}

/// Handle of the recorder. It stops when the last handle is dropped; what was not recorded stays in the outboxes.
#[derive(Clone)]
pub struct Recorder {
    ledger: Arc<dyn Ledger>,
    commands: mpsc::UnboundedSender<Command>,
    reachability: watch::Receiver<Reachability>,
    depth: watch::Receiver<usize>,
}

impl Recorder {
    /// Starts the recorder on the current runtime. Outcomes arrive on the receiver in the order in which they happened for a run.
    pub fn start(
        ledger: Arc<dyn Ledger>,
        options: RecorderOptions,
    ) -> (Self, mpsc::UnboundedReceiver<Outcome>) {
        let (commands, inbox) = mpsc::unbounded_channel();
        let (tell, outcomes) = mpsc::unbounded_channel();
        let (state, reachability) = watch::channel(Reachability::Unknown);
        let (length, depth) = watch::channel(0);
        tokio::spawn(task::Task::new(ledger.clone(), options, inbox, tell, state, length).run());
        (
            Self {
                ledger,
                commands,
                reachability,
                depth,
            },
            outcomes,
        )
    }

    /// Hands over the outbox of a run. Never blocks.
    pub fn submit(&self, outbox: Outbox) {
        // The task ends only when every handle is gone.
        let _ = self.commands.send(Command::Submit(outbox));
    }

    /// Drops what is held for a run: it is deleted, or its outbox was taken over elsewhere.
    pub fn forget(&self, key: RunKey) {
        let _ = self.commands.send(Command::Forget(key));
    }

    /// Whether the chain can be written to; changes can be awaited.
    pub fn reachability(&self) -> watch::Receiver<Reachability> {
        self.reachability.clone()
    }

    /// Drops what is held for runs whose UID is not among `live`, unless the chain may still take something of it.
    pub fn retain(&self, live: HashSet<String>) {
        let _ = self.commands.send(Command::Retain(live));
    }

    /// How many records wait.
    pub fn depth(&self) -> usize {
        *self.depth.borrow()
    }

    /// How many records wait; changes can be awaited.
    pub fn depths(&self) -> watch::Receiver<usize> {
        self.depth.clone()
    }

    /// Writes down what the next start has to remember of the ledger. Waits for no answer of the network.
    ///
    /// # Errors
    /// When the store of checkpoints fails.
    pub async fn keep(&self) -> Result<(), LedgerError> {
        self.ledger.keep().await
    }
}

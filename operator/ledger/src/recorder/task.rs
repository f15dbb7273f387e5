//! The loop around the queue: one exchange with the chain at a time.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use futures::{StreamExt as _, stream};
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};
use tracing::{debug, error, info, warn};

use super::{
    Command, Outcome, Reachability, RecorderOptions,
    queue::{Limits, Queue},
};
use crate::{
    error::LedgerError,
    ledger::Ledger,
    record::{Answer, RunKey, Segment},
};

pub(super) struct Task {
    ledger: Arc<dyn Ledger>,
    options: RecorderOptions,
    inbox: mpsc::UnboundedReceiver<Command>,
    tell: mpsc::UnboundedSender<Outcome>,
    state: watch::Sender<Reachability>,
    depth: watch::Sender<usize>,
    queue: Queue,
    backoff: Option<ExponentialBackoff>,
    /// Check the head before anything is sent: at the start and after each failure.
    check_head: bool,
    since: Option<SystemTime>,
    /// What each run was last told to wait for.
    told: BTreeMap<RunKey, &'static str>,
}

/// What one exchange left to do.
enum Step {
    Idle,
    Again,
    /// The ledger cannot be used now.
    Pause,
    /// The ledger works, but does not take what is there yet (a role is missing, say): new work does not wait for that.
    Parked,
}

impl Task {
    pub(super) fn new(
        ledger: Arc<dyn Ledger>,
        options: RecorderOptions,
        inbox: mpsc::UnboundedReceiver<Command>,
        tell: mpsc::UnboundedSender<Outcome>,
        state: watch::Sender<Reachability>,
        depth: watch::Sender<usize>,
    ) -> Self {
        Self {
            ledger,
            options,
            inbox,
            tell,
            state,
            depth,
            queue: Queue::default(),
            backoff: None,
            check_head: true,
            since: None,
            told: BTreeMap::new(),
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            while let Ok(command) = self.inbox.try_recv() {
                self.take(command);
            }
            let _ = self.depth.send_replace(self.queue.depth());
            let step = match self.exchange().await {
                Ok(step) => step,
                Err(error) => {
                    self.failed(&error);
                    Step::Pause
                }
            };
            let open = match step {
                Step::Again => true,
                Step::Idle => self.wait(None).await,
                Step::Pause => {
                    let pause = self.pause();
                    self.wait(Some(pause)).await
                }
                Step::Parked => {
                    let pause = self.pause();
                    // whatever comes first
                    tokio::time::timeout(pause, self.wait(None)).await.unwrap_or(true)
                }
            };
            if !open {
                return;
            }
        }
    }

    /// Waits for work or until the pause is over; false when every handle is gone.
    async fn wait(&mut self, pause: Option<Duration>) -> bool {
        let Some(pause) = pause else {
            return match self.inbox.recv().await {
                Some(command) => {
                    self.take(command);
                    true
                }
                None => false,
            };
        };
        let over = sleep(pause);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return true,
                command = self.inbox.recv() => match command {
                    Some(command) => self.take(command),
                    None => return false,
                },
            }
        }
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Submit(outbox) => {
                let outcomes = self.queue.submit(outbox);
                self.report(outcomes);
            }
            Command::Forget(key) => {
                self.queue.forget(&key);
                self.told.remove(&key);
            }
        }
    }

    async fn exchange(&mut self) -> Result<Step, LedgerError> {
        if self.check_head {
            self.ledger.ready().await?;
            let head = self.ledger.head().await?;
            debug!(size = head.size, "the head extends the checkpoint");
            self.check_head = false;
        }
        if self.queue.waiting().is_empty() {
            self.reachable();
            return Ok(Step::Idle);
        }
        self.read_positions().await?;
        let limits = Limits {
            records: self.options.records,
            bytes: self.options.bytes,
        };
        let batch = self.queue.batch(limits);
        if batch.is_empty() {
            self.reachable();
            return Ok(Step::Idle);
        }
        let appended = self.ledger.append(&batch).await?;
        if appended.answers.len() != batch.len() {
            return Err(LedgerError::decode(
                "the answer to a batch",
                format!("{} answers to {} segments", appended.answers.len(), batch.len()),
            ));
        }
        Ok(self.settle(&batch, appended.answers))
    }

    fn settle(&mut self, batch: &[Segment], answers: Vec<Answer>) -> Step {
        let mut later = Vec::new();
        let mut progress = false;
        for (segment, answer) in batch.iter().zip(&answers) {
            match answer {
                Answer::Later { reason, message } => {
                    later.push((segment.key.clone(), *reason, message.clone()));
                }
                // An older chain is missing numbers: look at its head before anything else is sent.
                Answer::Gap { .. } => self.check_head = true,
                Answer::Recorded(_) => {
                    self.told.remove(&segment.key);
                    progress = true;
                }
                _ => progress = true,
            }
        }
        let outcomes = self.queue.settle(batch, answers);
        self.report(outcomes);
        let _ = self.depth.send_replace(self.queue.depth());
        if !later.is_empty() {
            let since = *self.since.get_or_insert_with(SystemTime::now);
            for (key, reason, message) in later {
                self.tell_waiting(key, since, reason, &message);
            }
            if !progress {
                return Step::Parked;
            }
        } else if progress {
            self.reachable();
        } else {
            // Only gaps: the position is read again, but never in a tight circle.
            return Step::Pause;
        }
        Step::Again
    }

    async fn read_positions(&mut self) -> Result<(), LedgerError> {
        let unread = self.queue.unread();
        let ledger = &self.ledger;
        let mut positions = stream::iter(unread)
            .map(|key| async move {
                let position = ledger.position(&key).await;
                (key, position)
            })
            .buffer_unordered(self.options.readers.max(1));
        let mut read = Vec::new();
        while let Some((key, position)) = positions.next().await {
            read.push((key, position?));
        }
        drop(positions);
        for (key, position) in read {
            let outcomes = self.queue.place(&key, &position);
            self.report(outcomes);
        }
        Ok(())
    }

    fn reachable(&mut self) {
        self.backoff = None;
        self.since = None;
        let before = self.state.send_replace(Reachability::Reachable);
        if matches!(before, Reachability::Away { .. } | Reachability::Forked(_)) {
            info!("the ledger is back");
            self.told.clear();
        }
    }

    fn failed(&mut self, failure: &LedgerError) {
        let since = *self.since.get_or_insert_with(SystemTime::now);
        let (reason, message) = (failure.reason(), failure.to_string());
        self.check_head = true;
        // What the chain holds may have changed while it was away.
        self.queue.distrust();
        if let LedgerError::Forked(evidence) = failure {
            error!(
                error = failure as &dyn std::error::Error,
                "the ledger forked; nothing more is recorded"
            );
            self.state.send_replace(Reachability::Forked(evidence.clone()));
        } else {
            warn!(
                error = failure as &dyn std::error::Error,
                "cannot record; will retry"
            );
            self.state.send_replace(Reachability::Away {
                since,
                reason,
                message: message.clone(),
            });
        }
        for key in self.queue.waiting() {
            self.tell_waiting(key, since, reason, &message);
        }
    }

    fn tell_waiting(&mut self, key: RunKey, since: SystemTime, reason: &'static str, message: &str) {
        if self.told.get(&key) != Some(&reason) {
            self.told.insert(key.clone(), reason);
            self.report(vec![Outcome::Waiting {
                key,
                since,
                reason,
                message: message.to_owned(),
            }]);
        }
    }

    fn report(&self, outcomes: Vec<Outcome>) {
        for outcome in outcomes {
            // Nobody listens any more when the program stops; the outboxes keep the records.
            let _ = self.tell.send(outcome);
        }
    }

    fn pause(&mut self) -> Duration {
        let (min, max) = (self.options.min_pause, self.options.max_pause);
        let backoff = self.backoff.get_or_insert_with(|| {
            ExponentialBuilder::default()
                .with_min_delay(min)
                .with_max_delay(max)
                .with_jitter()
                .without_max_times()
                .build()
        });
        backoff.next().unwrap_or(max).min(max)
    }
}

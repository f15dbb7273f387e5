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
    time::{Instant, sleep_until},
};
use tracing::{debug, error, info, warn};

use super::{
    Command, Outcome, Reachability, RecorderOptions,
    queue::{Limits, Queue},
    waits::Waits,
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
    /// Runs that wait while the ledger works.
    waits: Waits,
    backoff: Option<ExponentialBackoff>,
    /// Look at the ledger before anything is sent: at the start, after each failure, and when the last look is long ago.
    check_head: bool,
    looked: Option<Instant>,
    since: Option<SystemTime>,
    /// What each run was last told to wait for.
    told: BTreeMap<RunKey, &'static str>,
}

/// Positions that are read before something is sent again.
const READ_AT_ONCE: usize = 64;

/// What one exchange left to do.
enum Step {
    /// Nothing, until something comes or a run is due.
    Idle,
    Again,
    /// The ledger cannot be used now.
    Pause,
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
            waits: Waits::new(options.min_pause, options.max_pause),
            ledger,
            options,
            inbox,
            tell,
            state,
            depth,
            queue: Queue::default(),
            backoff: None,
            check_head: true,
            looked: None,
            since: None,
            told: BTreeMap::new(),
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            while let Ok(command) = self.inbox.try_recv() {
                self.take(command);
            }
            self.tell_depth();
            let step = match self.exchange().await {
                Ok(step) => step,
                Err(error) => {
                    self.failed(&error);
                    Step::Pause
                }
            };
            self.tell_depth();
            let open = match step {
                Step::Again => true,
                Step::Idle => self.wait(self.due()).await,
                Step::Pause => {
                    let over = Instant::now() + self.pause();
                    self.pause_until(over).await
                }
            };
            if !open {
                return;
            }
        }
    }

    /// When something has to be done though nothing comes.
    fn due(&self) -> Option<Instant> {
        let look = self.looked.map(|looked| looked + self.options.look_every);
        self.waits.next().into_iter().chain(look).min()
    }

    /// Waits for work, or until something is due; false when every handle is gone.
    async fn wait(&mut self, due: Option<Instant>) -> bool {
        let command = match due {
            None => self.inbox.recv().await,
            Some(due) => tokio::select! {
                () = sleep_until(due) => return true,
                command = self.inbox.recv() => command,
            },
        };
        command.map(|command| self.take(command)).is_some()
    }

    /// Takes work until the pause is over; false when every handle is gone.
    async fn pause_until(&mut self, over: Instant) -> bool {
        while Instant::now() < over {
            if !self.wait(Some(over)).await {
                return false;
            }
        }
        true
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Submit(outbox) => {
                let outcomes = self.queue.submit(outbox);
                self.report(outcomes);
            }
            Command::Forget(key) => {
                self.queue.forget(&key);
                self.drop_wait(&key);
            }
            Command::Retain(live) => {
                for key in self.queue.retain(&live) {
                    self.drop_wait(&key);
                }
            }
        }
    }

    fn drop_wait(&mut self, key: &RunKey) {
        self.told.remove(key);
        self.waits.over(key);
    }

    async fn exchange(&mut self) -> Result<Step, LedgerError> {
        let long_ago = |looked: Instant| looked.elapsed() >= self.options.look_every;
        if self.check_head || self.looked.is_none_or(long_ago) {
            self.ledger.ready().await?;
            let head = self.ledger.head().await?;
            debug!(size = head.size, "the head extends the checkpoint");
            self.check_head = false;
            self.looked = Some(Instant::now());
        }
        for key in self.waits.due(Instant::now()) {
            let outcomes = self.queue.wake(&key);
            self.report(outcomes);
        }
        if self.queue.is_idle() {
            self.reachable();
            return Ok(Step::Idle);
        }
        let all_read = self.read_positions().await?;
        let limits = Limits {
            records: self.options.records,
            bytes: self.options.bytes,
        };
        let batch = self.queue.batch(limits);
        if batch.is_empty() {
            if all_read {
                self.reachable();
            }
            let more = !self.queue.unread(1).is_empty();
            return Ok(if more { Step::Again } else { Step::Idle });
        }
        let appended = self.ledger.append(&batch).await?;
        if appended.answers.len() != batch.len() {
            return Err(LedgerError::decode(
                "the answer to a batch",
                format!("{} answers to {} segments", appended.answers.len(), batch.len()),
            ));
        }
        self.reachable();
        self.settle(&batch, appended.answers);
        Ok(Step::Again)
    }

    fn settle(&mut self, batch: &[Segment], answers: Vec<Answer>) {
        let now = Instant::now();
        let mut later = Vec::new();
        for (segment, answer) in batch.iter().zip(&answers) {
            let key = &segment.key;
            match answer {
                Answer::Later { reason, message } => {
                    let since = self.waits.later(key, now);
                    later.push((key.clone(), since, *reason, message.clone()));
                }
                Answer::Gap { .. } => {
                    // An older chain is missing numbers: look at its head before anything else is sent.
                    self.check_head = true;
                    self.waits.later(key, now);
                }
                Answer::Recorded(_) => self.drop_wait(key),
                _ => continue,
            }
            if !matches!(answer, Answer::Recorded(_)) {
                self.queue.set_aside(key);
            }
        }
        let outcomes = self.queue.settle(batch, answers);
        self.report(outcomes);
        for (key, since, reason, message) in later {
            self.tell_waiting(key, since, reason, &message);
        }
    }

    /// Reads some positions and takes each over as it comes; whether all could be had. One that cannot waits for itself.
    async fn read_positions(&mut self) -> Result<bool, LedgerError> {
        let unread = self.queue.unread(READ_AT_ONCE);
        let ledger = self.ledger.clone();
        let mut positions = stream::iter(unread)
            .map(|key| {
                let ledger = ledger.clone();
                async move {
                    let position = ledger.position(&key).await;
                    (key, position)
                }
            })
            .buffer_unordered(self.options.readers.max(1));
        let mut all = true;
        while let Some((key, position)) = positions.next().await {
            match position {
                Ok(position) => {
                    let outcomes = self.queue.place(&key, &position);
                    self.report(outcomes);
                }
                Err(refused) if refused.is_of_one_answer() => {
                    all = false;
                    warn!(
                        error = &refused as &dyn std::error::Error,
                        run = key.run,
                        "the position of a run is not proven; will ask again"
                    );
                    self.queue.set_aside(&key);
                    let since = self.waits.later(&key, Instant::now());
                    self.tell_waiting(key, since, refused.reason(), &refused.to_string());
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(all)
    }

    fn reachable(&mut self) {
        self.backoff = None;
        self.since = None;
        let mut back = false;
        self.state.send_if_modified(|state| {
            back = matches!(state, Reachability::Away { .. } | Reachability::Forked(_));
            let news = *state != Reachability::Reachable;
            *state = Reachability::Reachable;
            news
        });
        if back {
            info!("the ledger is back");
            self.told.clear();
        }
    }

    fn failed(&mut self, failure: &LedgerError) {
        let since = *self.since.get_or_insert_with(SystemTime::now);
        let (reason, message) = (failure.reason(), failure.to_string());
        // What was proven stays true of every head that extends the checkpoint: nothing else is sent to.
        self.check_head = true;
        if let LedgerError::Forked(evidence) = failure {
            self.queue.distrust();
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
        for key in self.queue.waiting().clone() {
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

    fn report(&mut self, outcomes: Vec<Outcome>) {
        for outcome in outcomes {
            if let Outcome::Missing { key, .. } | Outcome::GraphMissing { key } = &outcome {
                self.waits.later(key, Instant::now());
            }
            // Nobody listens any more when the program stops; the outboxes keep the records.
            let _ = self.tell.send(outcome);
        }
    }

    fn tell_depth(&self) {
        let now = self.queue.depth();
        self.depth
            .send_if_modified(|depth| std::mem::replace(depth, now) != now);
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

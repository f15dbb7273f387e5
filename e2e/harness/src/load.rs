//! A load generator on this machine: requests at a steady rate, over connections that are kept and over new ones, counted by the version
//! that answers, until it is told to stop.
//!
//! A request is lost when nothing of the application answers it: the connection breaks, it takes too long, or the data plane itself
//! answers (an answer of the application names its version in `x-version`, also when it is a failure). A gRPC call is lost when it ends
//! without a status, too.

mod grpc;
mod tally;
mod target;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::fixtures::LIMIT;

pub use tally::{Answers, Tally};
pub use target::{Outcome, Target};

/// How many requests there are, and how.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Workers that keep their connection.
    pub kept: u32,
    /// Workers that make a new connection for each request.
    pub fresh: u32,
    /// Requests a second, of all workers together.
    pub per_second: u32,
}

impl Default for Shape {
    /// One request in ten milliseconds: what takes no longer may be missed, and with more the gateway takes a third of two cores from all
    /// other tests beside.
    fn default() -> Self {
        Self {
            kept: 3,
            fresh: 1,
            per_second: 100,
        }
    }
}

struct Shared {
    tally: Mutex<Tally>,
    count: watch::Sender<u32>,
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Load that goes on.
pub struct Load {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    workers: JoinSet<()>,
}

impl Load {
    /// Begins as soon as the application answers. From then on every request counts.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub async fn start(target: &Target, shape: Shape) -> Result<Self> {
        target.answers().await?;
        Self::at_once(target, shape)
    }

    /// Begins, whether anything answers or not.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn at_once(target: &Target, shape: Shape) -> Result<Self> {
        let shared = Arc::new(Shared {
            tally: Mutex::default(),
            count: watch::Sender::new(0),
        });
        let stop = watch::Sender::new(false);
        let began = Instant::now();
        let pause = Duration::from_secs(1) * (shape.kept + shape.fresh) / shape.per_second.max(1);
        let mut workers = JoinSet::new();
        for number in 0..shape.kept + shape.fresh {
            let client = target.client(usize::from(number < shape.kept))?;
            let (target, shared, mut stopped) = (target.clone(), shared.clone(), stop.subscribe());
            workers.spawn(async move {
                let mut beat = interval(pause);
                beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    tokio::select! {
                        biased;
                        _ = stopped.changed() => return,
                        _ = beat.tick() => {}
                    }
                    // a request that has begun is waited for, also when it is told to stop
                    let asked = Instant::now();
                    let outcome = target.request(&client).await;
                    let (came, took, at) = (Timestamp::now(), asked.elapsed(), began.elapsed());
                    shared.tally().add(outcome, took, at, came);
                    shared.count.send_modify(|count| *count += 1);
                }
            });
        }
        Ok(Self {
            shared,
            stop,
            workers,
        })
    }

    /// What was counted so far.
    pub fn tally(&self) -> Tally {
        self.shared.tally().clone()
    }

    /// The next so many requests.
    ///
    /// # Errors
    /// When they do not come in time.
    pub async fn next(&self, requests: u32) -> Result<Tally> {
        let before = self.tally();
        let wanted = before.requests() + requests;
        let enough = |tally: &Tally| tally.requests() >= wanted;
        Ok(self.until("the next requests", enough).await?.since(&before))
    }

    /// The first of the next windows of so many requests for which something holds, or the last of them when it holds for none: a gateway has
    /// a change in force some seconds after it says so.
    ///
    /// # Errors
    /// When the requests do not come in time.
    pub async fn window(
        &self,
        requests: u32,
        at_most: u32,
        wanted: impl Fn(&Tally) -> bool,
    ) -> Result<Tally> {
        let mut window = self.next(requests).await?;
        for _ in 1..at_most {
            if wanted(&window) {
                break;
            }
            window = self.next(requests).await?;
        }
        Ok(window)
    }

    /// Waits until something holds for what was counted.
    ///
    /// # Errors
    /// When it does not come to that in time.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Tally) -> bool) -> Result<Tally> {
        let mut count = self.shared.count.subscribe();
        let reached = async {
            loop {
                // copied only when it holds: it is looked at after each request, and grows with each
                let held = {
                    let tally = self.shared.tally();
                    wanted(&tally).then(|| tally.clone())
                };
                if let Some(tally) = held {
                    return Ok(tally);
                }
                count.changed().await.context("the load has ended")?;
            }
        };
        match timeout(LIMIT, reached).await {
            Ok(tally) => tally,
            Err(_) => bail!(
                "{what}: it does not come to that; counted: {:?}",
                self.tally().answers
            ),
        }
    }

    /// Ends, once every request that has begun has its outcome.
    pub async fn stop(mut self) -> Tally {
        let _ = self.stop.send(true);
        while self.workers.join_next().await.is_some() {}
        self.tally()
    }
}

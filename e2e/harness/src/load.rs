//! A load generator on this machine: requests at a steady rate, over connections that are kept and over new ones, counted by the version
//! that answers, until it is told to stop.
//!
//! A request is lost when nothing of the application answers it: the connection breaks, it takes too long, or the data plane itself
//! answers (an answer of the application names its version in `x-version`, also when it is a failure).

use std::{
    collections::BTreeMap,
    error::Error,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::fixtures::LIMIT;

/// Longer than any answer that a user waits for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time between questions whether it answers by now.
const BEAT: Duration = Duration::from_millis(50);
/// How many losses are told in words.
const WORDS: usize = 20;

/// Where requests go.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where connections are made to.
    pub address: SocketAddr,
    /// Name that is asked for.
    pub host: String,
    /// Path with query.
    pub path: String,
    /// Further headers.
    pub headers: Vec<(String, String)>,
}

impl Target {
    /// The root of a host.
    pub fn new(address: SocketAddr, host: impl Into<String>) -> Self {
        Self {
            address,
            host: host.into(),
            path: "/".to_owned(),
            headers: Vec::new(),
        }
    }

    /// With a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Asks once, over a new connection.
    ///
    /// # Errors
    /// When no client can be made.
    pub async fn ask(&self) -> Result<Outcome> {
        Ok(request(&self.client(0)?, self).await)
    }

    /// Waits until the application answers: a data plane has what it was told in force some moments after it says so.
    ///
    /// # Errors
    /// When it does not answer in time, with how it does not.
    pub async fn answers(&self) -> Result<()> {
        let client = self.client(0)?;
        let mut beat = interval(BEAT);
        let mut last = String::new();
        let answered = async {
            loop {
                beat.tick().await;
                match request(&client, self).await {
                    Outcome::Answer { .. } => return,
                    Outcome::Lost(how) => last = how,
                }
            }
        };
        match timeout(LIMIT, answered).await {
            Ok(()) => Ok(()),
            Err(_) => bail!("{} does not answer: {last}", self.host),
        }
    }

    /// A client for one connection, kept or not.
    fn client(&self, kept: usize) -> Result<reqwest::Client> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .http1_only()
            .pool_max_idle_per_host(kept)
            .resolve(&self.host, self.address)
            .timeout(PATIENCE);
        Ok(client.build()?)
    }

    fn url(&self) -> String {
        format!("http://{}:{}{}", self.host, self.address.port(), self.path)
    }
}

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
    /// As many as two cores serve beside everything else that a test does.
    fn default() -> Self {
        Self {
            kept: 6,
            fresh: 2,
            per_second: 200,
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The application answered.
    Answer {
        /// Its version.
        version: String,
        /// Status code.
        code: u16,
        /// Body.
        body: String,
    },
    /// It did not.
    Lost(String),
}

async fn request(client: &reqwest::Client, target: &Target) -> Outcome {
    let mut asked = client.get(target.url());
    for (name, value) in &target.headers {
        asked = asked.header(name, value);
    }
    let answer = match asked.send().await {
        Ok(answer) => answer,
        Err(error) => return Outcome::Lost(words(&error)),
    };
    let code = answer.status().as_u16();
    let version = answer
        .headers()
        .get("x-version")
        .and_then(|value| value.to_str().ok());
    let version = version.map(ToOwned::to_owned);
    match (version, answer.text().await) {
        (Some(version), Ok(body)) => Outcome::Answer { version, code, body },
        (None, Ok(body)) => Outcome::Lost(format!("{code} by the data plane: {}", body.trim())),
        (_, Err(error)) => Outcome::Lost(format!("{code}, then {}", words(&error))),
    }
}

/// An error with its causes.
fn words(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Answers of one version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answers {
    /// With a code below 500.
    pub good: u32,
    /// With 500 or above.
    pub bad: u32,
}

/// What was counted.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Answers by version.
    pub answers: BTreeMap<String, Answers>,
    /// Requests that nothing of the application answered.
    pub lost: u32,
    /// The first of them: when, and how.
    pub losses: Vec<String>,
    times: Vec<Duration>,
}

impl Tally {
    /// All requests.
    pub fn requests(&self) -> u32 {
        let answered: u32 = self.answers.values().map(|one| one.good + one.bad).sum();
        answered + self.lost
    }

    /// Answers of a version.
    pub fn of(&self, version: &str) -> u32 {
        self.answers.get(version).map_or(0, |one| one.good + one.bad)
    }

    /// Percent of all requests that a version answered.
    pub fn percent(&self, version: &str) -> f64 {
        100.0 * f64::from(self.of(version)) / f64::from(self.requests().max(1))
    }

    /// Time in which so many percent of the requests had their answer.
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        let place = times.len().saturating_sub(1) * percent / 100;
        times.get(place).copied().unwrap_or_default()
    }

    /// What came since an earlier moment.
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |version: &String| earlier.answers.get(version).copied().unwrap_or_default();
        let answers = self.answers.iter().map(|(version, now)| {
            let then = before(version);
            let more = Answers {
                good: now.good - then.good,
                bad: now.bad - then.bad,
            };
            (version.clone(), more)
        });
        Self {
            answers: answers.filter(|(_, more)| more.good + more.bad > 0).collect(),
            lost: self.lost - earlier.lost,
            losses: self.losses[earlier.losses.len()..].to_vec(),
            times: self.times[earlier.times.len()..].to_vec(),
        }
    }

    /// Every request must have been answered by the application.
    ///
    /// # Errors
    /// When one was lost, with when and how.
    pub fn none_lost(&self) -> Result<()> {
        if self.lost > 0 {
            bail!(
                "{} of {} requests were lost: {:#?}",
                self.lost,
                self.requests(),
                self.losses
            );
        }
        Ok(())
    }

    /// A version's share of the requests must be a weight, give or take some points.
    ///
    /// # Errors
    /// When it is not.
    pub fn splits(&self, version: &str, weight: u32, points: f64) -> Result<()> {
        let found = self.percent(version);
        if (found - f64::from(weight)).abs() > points {
            bail!(
                "{found:.1} % instead of {weight} % of {} requests: {:?}",
                self.requests(),
                self.answers
            );
        }
        Ok(())
    }

    fn add(&mut self, outcome: Outcome, took: Duration, at: Duration) {
        self.times.push(took);
        match outcome {
            Outcome::Answer { version, code, .. } => {
                let answers = self.answers.entry(version).or_default();
                if code < 500 {
                    answers.good += 1;
                } else {
                    answers.bad += 1;
                }
            }
            Outcome::Lost(how) => {
                self.lost += 1;
                if self.losses.len() < WORDS {
                    self.losses.push(format!("at {:.1} s: {how}", at.as_secs_f64()));
                }
            }
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
                    let outcome = request(&client, &target).await;
                    shared.tally().add(outcome, asked.elapsed(), began.elapsed());
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

    /// Waits until something holds for what was counted.
    ///
    /// # Errors
    /// When it does not come to that in time.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Tally) -> bool) -> Result<Tally> {
        let mut count = self.shared.count.subscribe();
        let reached = async {
            loop {
                let tally = self.tally();
                if wanted(&tally) {
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

//! What a watch has seen of the objects of one kind in the bench's namespace, and when: the clock of every measurement.
//!
//! The watch is open before anything is created. The time of an event is taken when it arrives, not when somebody asks for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use kube::{
    Api, ResourceExt,
    runtime::{WatchStreamExt, watcher, watcher::Event},
};
use serde::de::DeserializeOwned;
use tokio::{sync::watch, task::JoinHandle};

/// Longest wait for anything.
const LIMIT: Duration = Duration::from_mins(5);

/// What one version of an object says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sight {
    /// It ended well.
    pub finished: bool,
    /// Its work is over, though it may not be called finished yet.
    pub exited: bool,
    /// It ended, and nothing is left to be done for it.
    pub settled: bool,
    /// Records that the journal holds of it.
    pub records: u64,
    /// It ended badly.
    pub problem: Option<String>,
}

/// When an object was first seen so.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// It ended well.
    pub finished: Option<Instant>,
    /// Its work was over.
    pub exited: Option<Instant>,
    /// Nothing was left to be done.
    pub settled: Option<Instant>,
    /// The journal held some of its records.
    pub first_record: Option<Instant>,
    /// Records that the journal holds of it.
    pub records: u64,
    problem: Option<String>,
}

#[derive(Default)]
struct Seen {
    listed: bool,
    present: BTreeSet<String>,
    progress: BTreeMap<String, Progress>,
}

impl Seen {
    fn look(&mut self, name: String, sight: Sight, now: Instant) {
        let progress = self.progress.entry(name.clone()).or_default();
        if sight.finished {
            progress.finished.get_or_insert(now);
        }
        if sight.exited {
            progress.exited.get_or_insert(now);
        }
        if sight.settled {
            progress.settled.get_or_insert(now);
        }
        if sight.records > 0 {
            progress.first_record.get_or_insert(now);
        }
        progress.records = sight.records;
        progress.problem = sight.problem;
        self.present.insert(name);
    }
}

/// A running watch. It ends when this is dropped.
pub struct Board {
    seen: watch::Receiver<Seen>,
    task: JoinHandle<()>,
}

impl Drop for Board {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Board {
    /// Opens the watch and waits until it has listed what is there. `look` reads one object.
    ///
    /// # Errors
    /// When the list does not come in time.
    pub async fn open<K>(api: Api<K>, look: fn(&K) -> Sight) -> Result<Self>
    where
        K: kube::Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let (tell, seen) = watch::channel(Seen::default());
        let task = tokio::spawn(follow(api, look, tell));
        let board = Self { seen, task };
        board
            .until("the first list", |seen| seen.listed.then_some(Ok(())))
            .await?;
        Ok(board)
    }

    /// Waits until all of these ended well, and returns how each did.
    ///
    /// # Errors
    /// When one ended badly, with what it says, or did not end in time.
    pub async fn finished(&self, names: &[String]) -> Result<Vec<Progress>> {
        self.all(names, "ends", |progress| progress.finished.is_some())
            .await
    }

    /// Waits until nothing is left to be done for any of these.
    ///
    /// # Errors
    /// As [`Board::finished`].
    pub async fn settled(&self, names: &[String]) -> Result<Vec<Progress>> {
        self.all(names, "is settled", |progress| progress.settled.is_some())
            .await
    }

    /// Waits until no object of the kind is left in the namespace.
    ///
    /// # Errors
    /// When some are left after the time limit, with their names.
    pub async fn empty(&self) -> Result<()> {
        self.until("everything is deleted", |seen| {
            seen.present.is_empty().then_some(Ok(()))
        })
        .await
    }

    async fn all(
        &self,
        names: &[String],
        what: &str,
        wanted: fn(&Progress) -> bool,
    ) -> Result<Vec<Progress>> {
        let title = format!("{} of {} {what}", names.join(", "), names.len());
        self.until(&title, |seen| {
            let mut found = Vec::with_capacity(names.len());
            for name in names {
                let progress = seen.progress.get(name);
                if let Some(problem) = progress.and_then(|progress| progress.problem.as_ref()) {
                    return Some(Err(anyhow::anyhow!("{name} ended badly: {problem}")));
                }
                found.extend(progress.filter(|progress| wanted(progress)).cloned());
            }
            (found.len() == names.len()).then_some(Ok(found))
        })
        .await
    }

    async fn until<T>(&self, what: &str, mut pick: impl FnMut(&Seen) -> Option<Result<T>>) -> Result<T> {
        let mut seen = self.seen.clone();
        let waiting = async {
            loop {
                let found = pick(&seen.borrow_and_update());
                if let Some(found) = found {
                    return found;
                }
                seen.changed().await.context("the watch ended")?;
            }
        };
        if let Ok(found) = tokio::time::timeout(LIMIT, waiting).await {
            return found;
        }
        bail!(
            "waited {} s until {what}; present: {:?}",
            LIMIT.as_secs(),
            self.seen.borrow().present
        )
    }
}

async fn follow<K>(api: Api<K>, look: fn(&K) -> Sight, tell: watch::Sender<Seen>)
where
    K: kube::Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut stream = Box::pin(watcher(api, watcher::Config::default()).default_backoff());
    let mut relisted = BTreeSet::new();
    while let Some(event) = stream.next().await {
        let now = Instant::now();
        match event {
            Ok(Event::Apply(object)) => {
                tell.send_modify(|seen| seen.look(object.name_any(), look(&object), now));
            }
            Ok(Event::Delete(object)) => tell.send_modify(|seen| {
                seen.present.remove(&object.name_any());
            }),
            Ok(Event::Init) => relisted.clear(),
            Ok(Event::InitApply(object)) => {
                relisted.insert(object.name_any());
                tell.send_modify(|seen| seen.look(object.name_any(), look(&object), now));
            }
            Ok(Event::InitDone) => tell.send_modify(|seen| {
                seen.present.retain(|name| relisted.contains(name));
                seen.listed = true;
            }),
            Err(error) => eprintln!("a watch was interrupted, its next times may be late: {error}"),
        }
    }
}

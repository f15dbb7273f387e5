//! Runs that are gone: marked first, removed after the retention.

use std::collections::HashSet;
use std::io;
use std::time::SystemTime;

use super::{SweepError, Swept, Trouble};
use crate::attempts::record::{Pointer, Record, millis, pointer_path};
use crate::attempts::run::RunKey;
use crate::core::Core;
use crate::digest::Digest;
use crate::names::{AttemptId, Namespace, RunUid};
use crate::store::disk::Disk;
use crate::store::op::Op;

/// What is on the volume of a run.
#[derive(Debug)]
pub struct RunFolder {
    /// Its namespace.
    pub namespace: Namespace,
    /// None: attempts that belong to no run.
    uid: Option<RunUid>,
    /// Its path on the volume.
    pub dir: String,
    /// Its attempts.
    pub attempts: Vec<AttemptId>,
    newest: u64,
    gone_since: Option<u64>,
    /// Content that its attempts refer to.
    pub contents: Vec<Digest>,
    /// Manifests of their images, whose content is some tar.
    pub manifests: Vec<Digest>,
    /// Results and artifacts, with their bytes.
    pub sizes: Vec<(Digest, u64)>,
    /// Attempts whose record cannot be read: nobody knows what they refer to.
    pub unreadable: u64,
}

/// What becomes of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Keep,
    Mark,
    Unmark,
    Remove,
}

/// All folders.
///
/// # Errors
/// When a directory cannot be read.
pub fn folders(disk: &dyn Disk) -> io::Result<Vec<RunFolder>> {
    let mut folders = Vec::new();
    for namespace in disk.list("runs")? {
        let Ok(namespace) = namespace.parse::<Namespace>() else {
            continue;
        };
        for name in disk.list(&format!("runs/{namespace}"))? {
            folders.push(folder(disk, &namespace, &name)?);
        }
    }
    Ok(folders)
}

fn folder(disk: &dyn Disk, namespace: &Namespace, name: &str) -> io::Result<RunFolder> {
    let mut folder = RunFolder {
        namespace: namespace.clone(),
        uid: name.parse().ok(),
        dir: format!("runs/{namespace}/{name}"),
        attempts: Vec::new(),
        newest: 0,
        gone_since: None,
        contents: Vec::new(),
        manifests: Vec::new(),
        sizes: Vec::new(),
        unreadable: 0,
    };
    for name in disk.list(&folder.dir)? {
        if name == "gone" {
            let since = disk.read(&format!("{}/gone", folder.dir))?;
            folder.gone_since = std::str::from_utf8(&since)
                .ok()
                .and_then(|text| text.parse().ok());
        } else if let Ok(attempt) = name.parse::<AttemptId>() {
            folder.attempts.push(attempt);
            folder.read(disk, &format!("{}/{name}/attempt.json", folder.dir));
        }
    }
    Ok(folder)
}

fn record(disk: &dyn Disk, path: &str) -> io::Result<Option<Record>> {
    match disk.read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl RunFolder {
    fn read(&mut self, disk: &dyn Disk, path: &str) {
        match record(disk, path) {
            Ok(Some(record)) => {
                let results = record.results.values().map(|result| result.digest);
                let artifacts = record
                    .artifacts
                    .values()
                    .flat_map(|artifact| [Some(artifact.digest), artifact.manifest])
                    .flatten();
                self.contents.extend(results.chain(artifacts));
                let artifacts = record.artifacts.values();
                self.manifests
                    .extend(artifacts.filter_map(|artifact| artifact.manifest));
                let results = record.results.values();
                let results = results.map(|result| (result.digest, result.size));
                let artifacts = record.artifacts.values();
                let artifacts = artifacts.map(|artifact| (artifact.digest, artifact.size));
                self.sizes.extend(results.chain(artifacts));
                let last = record.end.map_or(record.opened, |end| end.at);
                self.newest = self.newest.max(last);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    path,
                    "an attempt cannot be read"
                );
                self.unreadable += 1;
                let changed = disk
                    .stat(path)
                    .ok()
                    .flatten()
                    .map_or(0, |stat| millis(stat.modified));
                self.newest = self.newest.max(changed);
            }
        }
    }

    fn fate(&self, alive: &HashSet<String>, now: u64, retention: u64) -> Fate {
        let is_alive = self.uid.as_ref().is_some_and(|uid| alive.contains(uid.as_str()));
        match (is_alive, self.gone_since) {
            (true, None) => Fate::Keep,
            (true, Some(_)) => Fate::Unmark,
            // Its run may be younger than the list.
            (false, None) if self.newest >= now => Fate::Keep,
            (false, None) if retention > 0 => Fate::Mark,
            (false, Some(since)) if now.saturating_sub(since.max(self.newest)) < retention => Fate::Keep,
            (false, _) => Fate::Remove,
        }
    }
}

/// What is to be written about runs, once there is space for it.
#[derive(Debug, Default)]
pub struct Notes {
    marks: Vec<(RunFolder, Option<u64>)>,
    closed: Vec<AttemptId>,
}

/// Removes runs and says what is to be written about them and about others.
///
/// # Errors
/// When it is not known which runs there are.
pub async fn remove(
    core: &Core,
    now: SystemTime,
    swept: &mut Swept,
    trouble: &mut Trouble,
) -> Result<Notes, SweepError> {
    let now = millis(now);
    let alive = core.cluster.run_uids().await.map_err(SweepError::Runs)?;
    let retention = u64::try_from(core.settings.retention.as_millis()).unwrap_or(u64::MAX);
    let mut notes = Notes::default();
    for folder in core.store.blocking(folders).await? {
        match folder.fate(&alive, now, retention) {
            Fate::Keep => {}
            Fate::Mark => notes.marks.push((folder, Some(now))),
            Fate::Unmark => notes.marks.push((folder, None)),
            Fate::Remove => {
                if trouble.note(remove_one(core, &folder).await).is_some() {
                    swept.runs += 1;
                    notes.closed.extend(folder.attempts);
                }
            }
        }
    }
    Ok(notes)
}

/// Writes notes.
pub async fn write(core: &Core, notes: Notes, trouble: &mut Trouble) {
    for (folder, gone) in notes.marks {
        trouble.note(mark(core, &folder, gone).await);
    }
    for some in notes.closed.chunks(100) {
        trouble.note(close(core, some).await);
    }
}

async fn mark(core: &Core, folder: &RunFolder, gone: Option<u64>) -> Result<(), SweepError> {
    let path = format!("{}/gone", folder.dir);
    let op = match gone {
        Some(since) => Op::Replace {
            path,
            bytes: since.to_string().into_bytes(),
        },
        None => Op::Remove { path },
    };
    let committed = core.store.commits.commit(vec![op]).await;
    committed.map_err(SweepError::Remove)
}

/// Removes the data of a run, and nothing else, so that it needs no space.
async fn remove_one(core: &Core, folder: &RunFolder) -> Result<(), SweepError> {
    for attempt in core.attempts.held(&folder.attempts) {
        // A request that was let in before would write it anew.
        let mut state = attempt.state.lock().await;
        state.record.revoked = true;
        attempt.show(&state);
    }
    let tree = Op::RemoveTree {
        path: folder.dir.clone(),
    };
    let removed = core.store.commits.commit(vec![tree]).await;
    removed.map_err(SweepError::Remove)?;
    let key = folder.uid.clone().map(|uid| RunKey {
        namespace: folder.namespace.clone(),
        uid,
    });
    core.attempts.forget(&folder.attempts, key.as_ref());
    Ok(())
}

/// Closes attempts of a removed run for ever: a Pod that outlives its run gets no second first trade. Until this is
/// written, a pointer to an attempt that is not there says the same.
async fn close(core: &Core, attempts: &[AttemptId]) -> Result<(), SweepError> {
    let closed = attempts.iter().map(|attempt| Op::Replace {
        path: pointer_path(attempt),
        bytes: serde_json::to_vec(&Pointer::Revoked).unwrap_or_default(),
    });
    let committed = core.store.commits.commit(closed.collect()).await;
    committed.map_err(SweepError::Remove)
}

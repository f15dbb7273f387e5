//! Removes what nobody needs any more: runs that are gone for longer than the retention, content without a reference,
//! uploads that were given up.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::attempts::record::{Pointer, Record, now_millis, pointer_path};
use crate::attempts::registry::Found;
use crate::attempts::run::RunKey;
use crate::auth::ClusterError;
use crate::core::{Core, grant_path};
use crate::digest::Digest;
use crate::names::{AttemptId, Namespace, RunUid};
use crate::store::blobs::BlobError;
use crate::store::commit::CommitError;
use crate::store::disk::Disk;
use crate::store::op::Op;

/// Uploads without a change for this long are given up.
const UPLOAD_AGE: Duration = Duration::from_secs(24 * 3600);
/// Content younger than this may be waiting for its reference.
const CONTENT_AGE: Duration = Duration::from_secs(3600);

/// A token of a Pod is not valid for longer.
const TOKEN_AGE: Duration = Duration::from_secs(2 * 24 * 3600);

/// Why a sweep ended early. The next one goes on.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// Kubernetes.
    #[error("cannot list runs")]
    Runs(#[source] ClusterError),
    /// The volume.
    #[error("cannot read the volume")]
    Read(#[from] io::Error),
    /// Removing runs.
    #[error("cannot remove a run")]
    Remove(#[source] CommitError),
    /// Removing content.
    #[error("cannot remove content")]
    Content(#[source] BlobError),
}

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Runs.
    pub runs: u64,
    /// Grants of namespaces.
    pub grants: u64,
    /// Content.
    pub blobs: u64,
}

/// Ages that a sweep goes by; fixed outside tests.
#[derive(Debug, Clone, Copy)]
pub struct Ages {
    /// Of content without a reference.
    pub content: Duration,
    /// Of uploads.
    pub uploads: Duration,
}

impl Default for Ages {
    fn default() -> Self {
        Self {
            content: CONTENT_AGE,
            uploads: UPLOAD_AGE,
        }
    }
}

struct RunFolder {
    namespace: Namespace,
    /// None: attempts that belong to no run.
    uid: Option<RunUid>,
    dir: String,
    attempts: Vec<AttemptId>,
    newest: u64,
    gone_since: Option<u64>,
}

/// Sweeps once.
///
/// # Errors
/// Nothing that is needed was removed then either.
pub async fn sweep(core: &Core, ages: Ages) -> Result<Swept, SweepError> {
    let started = SystemTime::now();
    let now = now_millis();
    let alive = core.cluster.run_uids().await.map_err(SweepError::Runs)?;
    let mut swept = Swept::default();
    for folder in core.store.blocking(folders).await? {
        let is_alive = folder
            .uid
            .as_ref()
            .is_some_and(|uid| alive.contains(uid.as_str()));
        let retention = u64::try_from(core.settings.retention.as_millis()).unwrap_or(u64::MAX);
        match (is_alive, folder.gone_since) {
            (true, None) => {}
            (true, Some(_)) => mark(core, &folder, None).await?,
            // Its run may be younger than the list.
            (false, None) if folder.newest >= now => {}
            (false, None) if retention > 0 => mark(core, &folder, Some(now)).await?,
            (false, Some(since)) if now.saturating_sub(since.max(folder.newest)) < retention => {}
            (false, _) => {
                remove(core, &folder).await?;
                swept.runs += 1;
            }
        }
    }
    let (contents, grants) = core.store.blocking(references).await?;
    let stale = core
        .store
        .blocking(move |disk| stale_grants(disk, &grants))
        .await?;
    for some in stale.chunks(100) {
        let ops = some
            .iter()
            .map(|path| Op::Remove { path: path.clone() })
            .collect();
        core.store.commits.commit(ops).await.map_err(SweepError::Remove)?;
        swept.grants += some.len() as u64;
    }
    let before = started
        .checked_sub(ages.content)
        .unwrap_or(SystemTime::UNIX_EPOCH);
    for digest in core.store.blobs.list().await.map_err(SweepError::Content)? {
        if !contents.contains(&digest)
            && core
                .store
                .blobs
                .delete(&digest, before)
                .await
                .map_err(SweepError::Content)?
        {
            swept.blobs += 1;
        }
    }
    give_up_uploads(core, ages.uploads).await?;
    forget_closed(core).await?;
    Ok(swept)
}

fn folders(disk: &dyn Disk) -> io::Result<Vec<RunFolder>> {
    let mut folders = Vec::new();
    for namespace in disk.list("runs")? {
        let Ok(namespace) = namespace.parse::<Namespace>() else {
            continue;
        };
        for name in disk.list(&format!("runs/{namespace}"))? {
            let dir = format!("runs/{namespace}/{name}");
            let mut folder = RunFolder {
                namespace: namespace.clone(),
                uid: name.parse().ok(),
                attempts: Vec::new(),
                newest: 0,
                gone_since: None,
                dir,
            };
            for name in disk.list(&folder.dir)? {
                if name == "gone" {
                    let since = disk.read(&format!("{}/gone", folder.dir))?;
                    folder.gone_since = std::str::from_utf8(&since)
                        .ok()
                        .and_then(|text| text.parse().ok());
                } else if let Ok(attempt) = name.parse::<AttemptId>() {
                    if let Some(record) = record(disk, &format!("{}/{name}", folder.dir))? {
                        let last = record.end.map_or(record.opened, |end| end.at);
                        folder.newest = folder.newest.max(last);
                    }
                    folder.attempts.push(attempt);
                }
            }
            folders.push(folder);
        }
    }
    Ok(folders)
}

fn record(disk: &dyn Disk, dir: &str) -> io::Result<Option<Record>> {
    match disk.read(&format!("{dir}/attempt.json")) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
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
    core.store
        .commits
        .commit(vec![op])
        .await
        .map_err(SweepError::Remove)
}

async fn remove(core: &Core, folder: &RunFolder) -> Result<(), SweepError> {
    let mut ops = vec![Op::RemoveTree {
        path: folder.dir.clone(),
    }];
    for attempt in &folder.attempts {
        // Closed for ever: a Pod that outlives its run gets no second first trade.
        let revoked = serde_json::to_vec(&Pointer::Revoked).unwrap_or_default();
        ops.push(Op::Replace {
            path: pointer_path(attempt),
            bytes: revoked,
        });
    }
    core.store.commits.commit(ops).await.map_err(SweepError::Remove)?;
    let key = folder.uid.clone().map(|uid| RunKey {
        namespace: folder.namespace.clone(),
        uid,
    });
    core.attempts.forget(&folder.attempts, key.as_ref());
    Ok(())
}

type References = (HashSet<Digest>, HashSet<String>);

/// Contents and grants that some attempt refers to.
fn references(disk: &dyn Disk) -> io::Result<References> {
    let (mut contents, mut grants) = (HashSet::new(), HashSet::new());
    for folder in folders(disk)? {
        for attempt in &folder.attempts {
            let Some(record) = record(disk, &format!("{}/{attempt}", folder.dir))? else {
                continue;
            };
            let results = record.results.values().map(|result| result.digest);
            let artifacts = record
                .artifacts
                .values()
                .flat_map(|a| [Some(a.digest), a.manifest])
                .flatten();
            for digest in results.chain(artifacts) {
                contents.insert(digest);
                grants.insert(grant_path(&folder.namespace, &digest));
            }
        }
    }
    Ok((contents, grants))
}

fn stale_grants(disk: &dyn Disk, live: &HashSet<String>) -> io::Result<Vec<String>> {
    let mut stale = Vec::new();
    for namespace in disk.list("grants")? {
        for name in disk.list(&format!("grants/{namespace}"))? {
            let path = format!("grants/{namespace}/{name}");
            if name.strip_suffix(".json").is_some() && !live.contains(&path) && !is_fresh(disk, &path)? {
                stale.push(path);
            }
        }
    }
    Ok(stale)
}

/// A grant that was committed while the references were read.
fn is_fresh(disk: &dyn Disk, path: &str) -> io::Result<bool> {
    let Some(stat) = disk.stat(path)? else {
        return Ok(false);
    };
    Ok(stat
        .modified
        .elapsed()
        .is_ok_and(|age| age < Duration::from_secs(60)))
}

async fn give_up_uploads(core: &Core, age: Duration) -> Result<(), SweepError> {
    for name in core.store.blobs.uploads().await.map_err(SweepError::Content)? {
        let over = match name.parse::<AttemptId>() {
            Ok(id) => match core.attempts.find(&id).await? {
                Found::Attempt(attempt) => attempt.progress().over,
                Found::Revoked | Found::Unknown => true,
            },
            Err(_) => true,
        };
        let dir = format!("uploads/{name}");
        let old = core
            .store
            .blocking(move |disk| {
                let stat = disk.stat(&dir)?;
                Ok(stat.is_some_and(|stat| stat.modified.elapsed().is_ok_and(|since| since >= age)))
            })
            .await?;
        if over && old {
            core.store
                .blobs
                .upload_discard(&name)
                .await
                .map_err(SweepError::Content)?;
        }
    }
    Ok(())
}

/// Forgets that attempts were closed, once no token of theirs can be valid any more.
async fn forget_closed(core: &Core) -> Result<(), SweepError> {
    let age = core.settings.retention.max(TOKEN_AGE);
    let old = core
        .store
        .blocking(move |disk| {
            let mut old = Vec::new();
            for name in disk.list("attempts")? {
                let path = format!("attempts/{name}");
                let stat = disk.stat(&path)?;
                if stat.is_some_and(|stat| stat.modified.elapsed().is_ok_and(|since| since >= age))
                    && matches!(serde_json::from_slice(&disk.read(&path)?), Ok(Pointer::Revoked))
                {
                    old.push(path);
                }
            }
            Ok(old)
        })
        .await?;
    for some in old.chunks(100) {
        let ops = some
            .iter()
            .map(|path| Op::Remove { path: path.clone() })
            .collect();
        core.store.commits.commit(ops).await.map_err(SweepError::Remove)?;
    }
    Ok(())
}

/// Sweeps every `every` until the server stops.
pub async fn watch(core: Arc<Core>, every: Duration) {
    loop {
        match sweep(&core, Ages::default()).await {
            Ok(swept) => tracing::info!(swept.runs, swept.grants, swept.blobs, "swept"),
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "sweep ended early"),
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = core.stopping.cancelled() => return,
        }
    }
}

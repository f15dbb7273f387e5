//! Uploads that were given up, and pointers to attempts that are gone.

use std::time::{Duration, SystemTime};

use super::{SweepError, Trouble, age};
use crate::attempts::record::{Pointer, dir};
use crate::attempts::registry::Found;
use crate::core::Core;
use crate::names::AttemptId;
use crate::store::disk::Disk;
use crate::store::op::Op;

/// A token of a Pod is not valid for longer.
const TOKEN_AGE: Duration = Duration::from_secs(2 * 24 * 3600);

/// Drops uploads of attempts that are over.
///
/// # Errors
/// The first thing that could not be done.
pub async fn give_up_uploads(core: &Core, least: Duration, now: SystemTime) -> Result<(), SweepError> {
    let mut trouble = Trouble::default();
    for name in core.store.blobs.uploads().await.map_err(SweepError::Content)? {
        let over = match name.parse::<AttemptId>() {
            Ok(id) => match trouble.note(core.attempts.find(&id).await.map_err(SweepError::Read)) {
                Some(Found::Attempt(attempt)) => attempt.progress().over,
                Some(Found::Revoked | Found::Unknown) => true,
                None => false,
            },
            Err(_) => true,
        };
        if !over {
            continue;
        }
        let dir = format!("uploads/{name}");
        let old = core
            .store
            .blocking(move |disk| is_old(disk, &dir, least, now))
            .await;
        if trouble.note(old.map_err(SweepError::Read)) == Some(true) {
            let dropped = core.store.blobs.upload_discard(&name).await;
            trouble.note(dropped.map_err(SweepError::Content));
        }
    }
    trouble.ended()
}

fn is_old(disk: &dyn Disk, path: &str, least: Duration, now: SystemTime) -> std::io::Result<bool> {
    let stat = disk.stat(path)?;
    Ok(stat.is_some_and(|stat| age(stat.modified, now) >= least))
}

/// Forgets that attempts were closed, once no token of theirs can be valid any more. Attempts that were removed without
/// a word about it are closed now.
///
/// # Errors
/// The first thing that could not be done.
pub async fn forget_closed(core: &Core, now: SystemTime) -> Result<(), SweepError> {
    let least = core.settings.retention.max(TOKEN_AGE);
    let ops = core.store.blocking(move |disk| {
        let mut ops = Vec::new();
        for name in disk.list("attempts")? {
            let path = format!("attempts/{name}");
            if !is_old(disk, &path, least, now)? {
                continue;
            }
            match serde_json::from_slice(&disk.read(&path)?) {
                Ok(Pointer::Revoked) => ops.push(Op::Remove { path }),
                Ok(Pointer::At { namespace, run }) => {
                    let id = name.strip_suffix(".json").and_then(|id| id.parse().ok());
                    let record = id.map(|id: AttemptId| dir(&namespace, run.as_ref(), &id) + "/attempt.json");
                    if let Some(record) = record
                        && disk.stat(&record)?.is_none()
                    {
                        let bytes = serde_json::to_vec(&Pointer::Revoked).unwrap_or_default();
                        ops.push(Op::Replace { path, bytes });
                    }
                }
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    path,
                    "a pointer cannot be read"
                ),
            }
        }
        Ok(ops)
    });
    let ops = ops.await?;
    let mut trouble = Trouble::default();
    let (removals, others): (Vec<Op>, Vec<Op>) =
        ops.into_iter().partition(|op| matches!(op, Op::Remove { .. }));
    for some in removals.chunks(100).chain(others.chunks(100)) {
        let committed = core.store.commits.commit(some.to_vec()).await;
        trouble.note(committed.map_err(SweepError::Remove));
    }
    trouble.ended()
}

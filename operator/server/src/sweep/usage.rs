//! Counts what the artifacts of each namespace take.

use std::collections::HashMap;
use std::io;

use super::SweepError;
use super::runs::folders;
use crate::attempts::record::{Pointer, pointer_path};
use crate::core::Core;
use crate::digest::Digest;
use crate::names::{AttemptId, Namespace};
use crate::store::disk::Disk;

/// Bytes by namespace: content that its attempts refer to, each once, and uploads on their way. Blocking.
///
/// # Errors
/// When a directory cannot be read.
pub fn count(disk: &dyn Disk) -> io::Result<HashMap<Namespace, u64>> {
    let mut contents: HashMap<Namespace, HashMap<Digest, u64>> = HashMap::new();
    for folder in folders(disk)? {
        contents
            .entry(folder.namespace)
            .or_default()
            .extend(folder.artifacts);
    }
    let mut taken: HashMap<Namespace, u64> = contents
        .into_iter()
        .map(|(namespace, all)| (namespace, all.into_values().sum()))
        .collect();
    for attempt in disk.list("uploads")? {
        let dir = format!("uploads/{attempt}");
        let Some(namespace) = attempt.parse().ok().and_then(|attempt| owner(disk, &attempt)) else {
            continue;
        };
        let sum = taken.entry(namespace).or_default();
        for name in disk.list(&dir)? {
            let stat = disk.stat(&format!("{dir}/{name}"))?;
            *sum = sum.saturating_add(stat.map_or(0, |stat| stat.len));
        }
    }
    Ok(taken)
}

/// The namespace of an attempt; none of one that was closed, whose uploads go with the next sweep.
fn owner(disk: &dyn Disk, attempt: &AttemptId) -> Option<Namespace> {
    let pointer = disk.read(&pointer_path(attempt)).ok()?;
    match serde_json::from_slice(&pointer).ok()? {
        Pointer::At { namespace, .. } => Some(namespace),
        Pointer::Revoked => None,
    }
}

/// Counts anew, where there is a limit.
///
/// # Errors
/// When a directory cannot be read; the sum of before counts on.
pub async fn recount(core: &Core) -> Result<(), SweepError> {
    if core.limits.namespace_bytes == 0 {
        return Ok(());
    }
    core.usage.count_begins();
    let counted = core.store.blocking(count).await?;
    core.usage.counted(counted);
    Ok(())
}

//! Content and grants that no attempt refers to, and evidence that is too old.

use std::collections::HashSet;
use std::io;
use std::time::{Duration, SystemTime};

use super::runs::{RunFolder, folders};
use super::{SweepError, Swept, Trouble};
use crate::core::Core;
use crate::digest::Digest;
use crate::evidence::EVIDENCE;
use crate::grants::{Grant, grant_path};
use crate::store::disk::Disk;
use crate::store::op::Op;

/// A grant younger than this may have been committed while the references were read.
const GRANT_AGE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct Found {
    /// Content that is needed.
    contents: HashSet<Digest>,
    /// Grants that nobody needs.
    stale: Vec<String>,
    unreadable: u64,
}

/// Deletes content that no attempt and no evidence refers to and that is older than `before`; then takes back grants. Deleting content
/// needs no space at all, so it comes first and goes on behind errors.
///
/// # Errors
/// The first thing that could not be done.
pub async fn sweep(
    core: &Core,
    before: SystemTime,
    evidence: Duration,
    swept: &mut Swept,
) -> Result<(), SweepError> {
    let found = core.store.blocking(move |disk| look(disk, evidence)).await?;
    swept.unreadable = found.unreadable;
    let mut trouble = Trouble::default();
    for digest in core.store.blobs.list().await.map_err(SweepError::Content)? {
        if found.contents.contains(&digest) {
            continue;
        }
        let deleted = core.store.blobs.delete(&digest, before).await;
        if trouble.note(deleted.map_err(SweepError::Content)) == Some(true) {
            swept.blobs += 1;
        }
    }
    for some in found.stale.chunks(100) {
        let ops = some.iter().map(|path| Op::Remove { path: path.clone() });
        let removed = core.store.commits.commit(ops.collect()).await;
        if trouble.note(removed.map_err(SweepError::Remove)).is_some() {
            swept.grants += some.len() as u64;
        }
    }
    trouble.ended()
}

fn look(disk: &dyn Disk, evidence: Duration) -> io::Result<Found> {
    let folders = folders(disk)?;
    let mut found = Found::default();
    let (mut live, mut unsure) = (HashSet::new(), HashSet::new());
    let mut manifests = HashSet::new();
    for folder in &folders {
        found.unreadable += folder.unreadable;
        if folder.unreadable > 0 {
            unsure.insert(folder.namespace.as_str());
        }
        found.contents.extend(&folder.contents);
        live.extend(grants(folder, &folder.contents));
        manifests.extend(grants(folder, &folder.manifests));
    }
    for namespace in disk.list("grants")? {
        for name in disk.list(&format!("grants/{namespace}"))? {
            let path = format!("grants/{namespace}/{name}");
            if unsure.contains(namespace.as_str()) || manifests.contains(&path) {
                // Some attempt of this namespace may be what refers to it; and a manifest may name the tar of another attempt, which
                // stored it first and is gone.
                found.contents.extend(granted(disk, &path));
            } else if name.strip_suffix(".json").is_some() && !live.contains(&path) && !is_fresh(disk, &path)?
            {
                found.stale.push(path);
            }
        }
    }
    for namespace in disk.list(EVIDENCE)? {
        for name in disk.list(&format!("{EVIDENCE}/{namespace}"))? {
            let path = format!("{EVIDENCE}/{namespace}/{name}");
            let Some(digest) = name
                .strip_suffix(".json")
                .and_then(|hex| Digest::from_hex(hex).ok())
            else {
                continue;
            };
            let age = disk.stat(&path)?.and_then(|stat| stat.modified.elapsed().ok());
            if age.is_some_and(|age| age >= evidence) {
                found.stale.push(path);
            } else {
                found.contents.insert(digest);
            }
        }
    }
    Ok(found)
}

fn grants(folder: &RunFolder, of: &[Digest]) -> impl Iterator<Item = String> {
    of.iter().map(|digest| grant_path(&folder.namespace, digest))
}

/// Content of a grant; a grant that cannot be read lets nobody read anything.
fn granted(disk: &dyn Disk, path: &str) -> Option<Digest> {
    let grant: Grant = serde_json::from_slice(&disk.read(path).ok()?).ok()?;
    Some(grant.content)
}

fn is_fresh(disk: &dyn Disk, path: &str) -> io::Result<bool> {
    let Some(stat) = disk.stat(path)? else {
        return Ok(false);
    };
    Ok(stat.modified.elapsed().is_ok_and(|age| age < GRANT_AGE))
}

//! Content and grants that no attempt refers to, and evidence that is too old.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::time::{Duration, SystemTime};

use super::runs::{RunFolder, folders};
use super::{Ages, SweepError, Swept, Trouble, age};
use crate::core::Core;
use crate::digest::Digest;
use crate::evidence::EVIDENCE;
use crate::grants::{Grant, grant_path};
use crate::store::disk::{Disk, Stat};
use crate::store::op::Op;

/// A grant younger than this when the sweep begins, or younger than the sweep, may have been committed while the references were read.
const GRANT_AGE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct Found {
    /// Content that is needed.
    contents: HashSet<Digest>,
    /// Grants that nobody needs, by namespace.
    stale: BTreeMap<String, Vec<Stale>>,
    unreadable: u64,
}

/// A grant that nobody needs, as it was looked at.
#[derive(Debug, Clone)]
struct Stale {
    path: String,
    modified: SystemTime,
}

/// Deletes content that no attempt and no evidence refers to and that is old; then takes back grants. Deleting content needs no space
/// at all, so it comes first and goes on behind errors.
///
/// # Errors
/// The first thing that could not be done.
pub async fn sweep(core: &Core, ages: Ages, now: SystemTime, swept: &mut Swept) -> Result<(), SweepError> {
    let before = now.checked_sub(ages.content).unwrap_or(SystemTime::UNIX_EPOCH);
    let look = move |disk: &dyn Disk| look(disk, ages.evidence, now);
    let found = core.store.blocking(look).await?;
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
    for (namespace, stale) in found.stale {
        for some in stale.chunks(100) {
            let taken = take_back(core, &namespace, some.to_vec()).await;
            swept.grants += trouble.note(taken).unwrap_or_default();
        }
    }
    trouble.ended()
}

/// Takes back grants of a namespace and says how many: one that was written since it was looked at has somebody who refers to it.
async fn take_back(core: &Core, namespace: &str, some: Vec<Stale>) -> Result<u64, SweepError> {
    let _alone = core.deciding(namespace).await;
    let ops = core.store.blocking(move |disk| unchanged(disk, some)).await?;
    let taken = ops.len() as u64;
    if taken > 0 {
        core.store.commits.commit(ops).await.map_err(SweepError::Remove)?;
    }
    Ok(taken)
}

fn unchanged(disk: &dyn Disk, some: Vec<Stale>) -> io::Result<Vec<Op>> {
    let mut ops = Vec::new();
    for Stale { path, modified } in some {
        if disk.stat(&path)?.is_some_and(|stat| stat.modified == modified) {
            ops.push(Op::Remove { path });
        }
    }
    Ok(ops)
}

fn look(disk: &dyn Disk, evidence: Duration, now: SystemTime) -> io::Result<Found> {
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
            } else if name.strip_suffix(".json").is_some() && !live.contains(&path) {
                found.old(disk, &namespace, path, GRANT_AGE, now)?;
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
            if !found.old(disk, &namespace, path, evidence, now)? {
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

impl Found {
    /// Notes a grant that is old enough; says whether it is.
    fn old(
        &mut self,
        disk: &dyn Disk,
        namespace: &str,
        path: String,
        least: Duration,
        now: SystemTime,
    ) -> io::Result<bool> {
        let stat = disk.stat(&path)?;
        let Some(Stat { modified, .. }) = stat.filter(|stat| age(stat.modified, now) >= least) else {
            return Ok(false);
        };
        let stale = self.stale.entry(namespace.to_owned()).or_default();
        stale.push(Stale { path, modified });
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::volume::Volume;

    #[test]
    fn a_grant_that_is_younger_than_the_sweep_is_not_stale_however_long_that_takes() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Volume::open(dir.path()).unwrap();
        let began = SystemTime::now() - Duration::from_secs(3600);
        for (name, age) in [("old.json", 61), ("young.json", 59)] {
            let path = format!("grants/builds/{name}");
            disk.write_at(&path, 0, b"{}").unwrap();
            let file = std::fs::File::options().write(true).open(dir.path().join(&path));
            file.unwrap()
                .set_modified(began - Duration::from_secs(age))
                .unwrap();
        }
        disk.write_at("grants/builds/new.json", 0, b"{}").unwrap();
        let found = look(&disk, Duration::MAX, began).unwrap();
        let stale: Vec<&str> = found.stale["builds"]
            .iter()
            .map(|one| one.path.as_str())
            .collect();
        assert_eq!(stale, ["grants/builds/old.json"]);
    }
}

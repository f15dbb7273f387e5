//! Counts what each namespace takes.

use std::collections::HashMap;
use std::io;

use super::SweepError;
use super::runs::folders;
use crate::attempts::log::segments;
use crate::attempts::record::{Pointer, pointer_path};
use crate::core::Core;
use crate::digest::Digest;
use crate::names::{AttemptId, Namespace};
use crate::store::disk::Disk;

/// Bytes by namespace: results and artifacts of its attempts, the same content once, their kept logs, and uploads on their way. Blocking.
///
/// # Errors
/// When a directory cannot be read.
pub fn count(disk: &dyn Disk) -> io::Result<HashMap<Namespace, u64>> {
    let mut contents: HashMap<Namespace, HashMap<Digest, u64>> = HashMap::new();
    let mut taken: HashMap<Namespace, u64> = HashMap::new();
    for folder in folders(disk)? {
        let logs = taken.entry(folder.namespace.clone()).or_default();
        for attempt in &folder.attempts {
            let kept = segments(disk, &format!("{}/{attempt}", folder.dir))?;
            *logs = kept
                .iter()
                .fold(*logs, |sum, segment| sum.saturating_add(segment.len));
        }
        contents.entry(folder.namespace).or_default().extend(folder.sizes);
    }
    for (namespace, all) in contents {
        let sum = taken.entry(namespace).or_default();
        *sum = all.into_values().fold(*sum, u64::saturating_add);
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::volume::Volume;

    fn digest(of: &str) -> String {
        format!("sha256:{}", Digest::of(of.as_bytes()).hex())
    }

    /// An attempt with a result of 10 bytes, an artifact of 100 and 1,000 bytes of log in two segments.
    fn attempt(disk: &Volume, dir: &str, content: &str) {
        let record = serde_json::json!({
            "attempt": "a", "namespace": "n", "pod": "p", "opened": 1, "key": digest("key"),
            "results": {"version": {"digest": digest(&format!("{content} result")), "size": 10, "value": "0123456789"}},
            "artifacts": {"dist": {"kind": "file", "digest": digest(content), "size": 100,
                "mediaType": "text/plain", "complete": true}},
        });
        let record = serde_json::to_vec(&record).unwrap();
        disk.write_at(&format!("{dir}/attempt.json"), 0, &record).unwrap();
        for (name, len) in [("000001-000000000001", 900), ("000002-000000000009", 100)] {
            let path = format!("{dir}/log/{name}.ndjson");
            disk.write_at(&path, 0, &vec![b'x'; len]).unwrap();
        }
    }

    #[test]
    fn a_namespace_takes_its_results_and_artifacts_once_all_of_its_logs_and_its_uploads_on_their_way() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Volume::open(dir.path()).unwrap();
        attempt(&disk, "runs/builds/r-1/a-1", "same");
        attempt(&disk, "runs/builds/r-1/a-2", "same");
        attempt(&disk, "runs/builds/r-2/a-3", "other");
        attempt(&disk, "runs/elsewhere/r-3/a-4", "same");
        let pointer = br#"{"at": {"namespace": "elsewhere", "run": "r-3"}}"#;
        disk.write_at("attempts/a-4.json", 0, pointer).unwrap();
        disk.write_at("uploads/a-4/dist", 0, &[0; 7]).unwrap();
        let taken = count(&disk).unwrap();
        let of = |name: &str| taken[&name.parse::<Namespace>().unwrap()];
        assert_eq!(of("builds"), 2 * 110 + 3 * 1_000);
        assert_eq!(of("elsewhere"), 110 + 1_000 + 7);
    }
}

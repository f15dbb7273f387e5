//! What the kernel tells about the memory of the container.

use std::path::Path;

const CGROUP: &str = "/sys/fs/cgroup";

/// How many processes of the container were killed for memory; 0 where the kernel does not tell.
pub(crate) fn kills() -> u64 {
    kills_in(Path::new(CGROUP))
}

/// The limit as a Kubernetes quantity, if there is one.
pub(crate) fn limit() -> Option<String> {
    limit_in(Path::new(CGROUP))
}

/// Version 2 of cgroups, else version 1.
fn either(root: &Path, second: &str, first: &str) -> Option<String> {
    let read = |name: &str| std::fs::read_to_string(root.join(name)).ok();
    read(second).or_else(|| read(first))
}

fn kills_in(root: &Path) -> u64 {
    let text = either(root, "memory.events", "memory/memory.oom_control").unwrap_or_default();
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

fn limit_in(root: &Path) -> Option<String> {
    let text = either(root, "memory.max", "memory/memory.limit_in_bytes")?;
    // `max`, and the highest number of pages in version 1, are no limits
    let bytes: u64 = text.trim().parse().ok().filter(|bytes| *bytes < 1 << 60)?;
    let units = [(30, "Gi"), (20, "Mi"), (10, "Ki")];
    let unit = units.iter().find(|(bits, _)| bytes.trailing_zeros() >= *bits);
    Some(unit.map_or_else(
        || bytes.to_string(),
        |(bits, name)| format!("{}{name}", bytes >> bits),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_cgroups_tell_kills_and_the_limit() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path();
        assert_eq!((kills_in(path), limit_in(path)), (0, None));
        std::fs::create_dir(path.join("memory")).unwrap();
        let write = |name: &str, text: &str| std::fs::write(path.join(name), text).unwrap();
        write(
            "memory/memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
        );
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!((kills_in(path), limit_in(path)), (3, None));
        write("memory.events", "low 0\noom 2\noom_kill 1\noom_group_kill 0\n");
        for (written, limit) in [
            ("50331648\n", Some("48Mi")),
            ("1073741824\n", Some("1Gi")),
            ("4096\n", Some("4Ki")),
            ("4097\n", Some("4097")),
            ("max\n", None),
        ] {
            write("memory.max", written);
            assert_eq!((kills_in(path), limit_in(path).as_deref()), (1, limit));
        }
    }
}

//! Where and when a table was measured.

use std::{fs, process::Command, thread::available_parallelism};

use jiff::Timestamp;

/// Date, machine and commit.
pub struct Setting {
    /// UTC, to the minute.
    pub date: String,
    /// Cores, processor, memory, kernel.
    pub machine: String,
    /// Load averages of 1, 5 and 15 minutes at the start: others on the machine show here.
    pub load: String,
    /// Short hash, and whether the work tree differs from it.
    pub commit: String,
}

impl Setting {
    /// As it is now; what cannot be found out is named so.
    pub fn now() -> Self {
        let memory = value(&read("/proc/meminfo"), "MemTotal").map_or_else(
            || "unknown memory".to_owned(),
            |text| {
                let kib: f64 = text.trim_end_matches("kB").trim().parse().unwrap_or_default();
                format!("{:.1} GiB", kib / 1024.0 / 1024.0)
            },
        );
        let processor =
            value(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown processor".into());
        let cores = available_parallelism().map_or_else(|_| "?".to_owned(), |cores| cores.to_string());
        let kernel = read("/proc/sys/kernel/osrelease");
        let load = read("/proc/loadavg");
        let dirty = git(&["status", "--porcelain"]).is_none_or(|changes| !changes.is_empty());
        Self {
            date: Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
            machine: format!("{cores} cores ({processor}), {memory}, Linux {}", kernel.trim()),
            load: load.split_whitespace().take(3).collect::<Vec<_>>().join(" "),
            commit: format!(
                "{}{}",
                git(&["rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "unknown".into()),
                if dirty { " with changes" } else { "" }
            ),
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn value(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .current_dir(dcanary_harness::cluster::repository())
        .args(args)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_key() {
        assert_eq!(value("a: 1\nMemTotal:   24 kB\n", "MemTotal").unwrap(), "24 kB");
        assert_eq!(value("model name\t: A: B\n", "model name").unwrap(), "A: B");
        assert_eq!(value("", "x"), None);
    }

    #[test]
    fn this_machine_is_described() {
        let setting = Setting::now();
        assert!(setting.date.ends_with("UTC"));
        assert!(setting.machine.contains("cores"));
    }
}

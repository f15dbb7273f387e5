//! CPU and memory of a process, from `/proc`: the local cluster's containers are processes of this machine.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

use crate::stats::real;

/// Length of one tick of `/proc/PID/stat`, in milliseconds: Linux shows 100 a second on every machine that it is built for here.
const TICK_MS: f64 = 10.0;

/// A process of a Pod.
pub struct Process {
    folder: PathBuf,
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// User and system time of all threads, in ticks of 10 ms.
    pub ticks: u64,
    /// Resident memory now, in KiB.
    pub resident: u64,
    /// Greatest resident memory since its start, in KiB.
    pub peak: u64,
}

impl Sample {
    /// CPU time between an earlier sample and this one, in milliseconds.
    pub fn cpu_ms_since(&self, earlier: &Self) -> f64 {
        real(self.ticks.saturating_sub(earlier.ticks)) * TICK_MS
    }
}

impl Process {
    /// The process with this number.
    pub fn of(pid: u32) -> Self {
        Self {
            folder: PathBuf::from(format!("/proc/{pid}")),
        }
    }

    /// The process with this program name in the Pod with this UID.
    ///
    /// # Errors
    /// When this machine has no such process: the cluster is elsewhere, or not everything may be seen.
    pub fn of_pod(uid: &str, program: &str) -> Result<Self> {
        let entries = fs::read_dir("/proc").context("read /proc")?;
        entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .find(|folder| {
                let command = fs::read(folder.join("cmdline")).unwrap_or_default();
                let groups = fs::read_to_string(folder.join("cgroup")).unwrap_or_default();
                runs(&command, program) && is_of_pod(&groups, uid)
            })
            .map(|folder| Self { folder })
            .with_context(|| format!("no process {program} of Pod {uid} on this machine"))
    }

    /// What it has used until now.
    ///
    /// # Errors
    /// When the process is gone: it was restarted during the bench.
    pub fn sample(&self) -> Result<Sample> {
        let read = |file: &str| {
            let path = self.folder.join(file);
            fs::read_to_string(&path)
                .with_context(|| format!("read {}: did the program restart?", path.display()))
        };
        let (stat, status) = (read("stat")?, read("status")?);
        Ok(Sample {
            ticks: ticks(&stat).context("no times in /proc/PID/stat")?,
            resident: kib(&status, "VmRSS").context("no VmRSS in /proc/PID/status")?,
            peak: kib(&status, "VmHWM").context("no VmHWM in /proc/PID/status")?,
        })
    }
}

fn runs(command: &[u8], program: &str) -> bool {
    let first = command.split(|byte| *byte == 0).next().unwrap_or_default();
    first.rsplit(|byte| *byte == b'/').next() == Some(program.as_bytes())
}

/// Whether a process is in a Pod's cgroup; systemd's names have underscores for hyphens.
fn is_of_pod(groups: &str, uid: &str) -> bool {
    groups.contains(&format!("pod{uid}")) || groups.contains(&format!("pod{}", uid.replace('-', "_")))
}

/// `utime` + `stime`. The program's name, in brackets, may contain anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn kib(status: &str, key: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 50 11 12 20 0 8 0 99";
        assert_eq!(ticks(stat), Some(300));
        assert_eq!(ticks("7 (a"), None);
    }

    #[test]
    fn memory_is_found_by_its_whole_key() {
        let status = "Name:\tx\nVmHWM:\t   2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(kib(status, "VmRSS"), Some(1024));
        assert_eq!(kib(status, "VmHWM"), Some(2048));
        assert_eq!(kib(status, "Vm"), None);
    }

    #[test]
    fn a_process_is_known_by_program_and_pod() {
        assert!(runs(b"/bin/dcanary-operator\0--x\0", "dcanary-operator"));
        assert!(!runs(b"/bin/sh\0/bin/dcanary-operator\0", "dcanary-operator"));
        assert!(is_of_pod("4:cpu:/kubepods/burstable/pod1a-2b/77\n", "1a-2b"));
        assert!(is_of_pod(
            "0::/kubepods.slice/kubepods-pod1a_2b.slice/x\n",
            "1a-2b"
        ));
        assert!(!is_of_pod("0::/kubepods/pod1a-2c/x\n", "1a-2b"));
    }

    #[test]
    fn this_process_can_be_sampled() {
        let own = Process {
            folder: PathBuf::from("/proc/self"),
        };
        let sample = own.sample().unwrap();
        assert!(sample.resident > 0 && sample.peak >= sample.resident);
        let later = Sample {
            ticks: sample.ticks + 3,
            ..sample
        };
        assert!((later.cpu_ms_since(&sample) - 30.0).abs() < f64::EPSILON);
    }
}

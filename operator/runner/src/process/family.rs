//! All processes that steps started, also those that left their group or session.
//!
//! Orphans become children of the runner (PID 1 or subreaper), so everything a step started is below the runner in `/proc`, and whichever
//! of them ends last is reaped by the runner: waiting for the reaper is enough to see all of them go.

use std::collections::HashMap;
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpid};
use tokio::time::{Instant, timeout_at};

use super::reaper::Reaper;

/// How long killed processes may take to disappear.
const DISAPPEAR: Duration = Duration::from_secs(10);
/// How long processes may go on beginning others before all are killed at once.
const REST: Duration = Duration::from_secs(1);
/// How soon a list that may lack some is made again.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Living descendants of the runner (zombies are not counted).
pub(crate) fn descendants() -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let mut children: HashMap<i32, Vec<(i32, bool)>> = HashMap::new();
    for entry in entries.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<i32>().ok())
        else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        if let Some((alive, parent)) = life_and_parent(&stat) {
            children.entry(parent).or_default().push((pid, alive));
        }
    }
    let mut found = Vec::new();
    let mut open = vec![getpid().as_raw()];
    while let Some(pid) = open.pop() {
        for (child, alive) in children.remove(&pid).unwrap_or_default() {
            if alive {
                found.push(Pid::from_raw(child));
            }
            open.push(child);
        }
    }
    found
}

/// Whether a process lives, and its parent, from `/proc/<pid>/stat`. The second field may hold anything, also parentheses.
///
/// A process whose first thread has ended looks like a zombie while its other threads go on.
fn life_and_parent(stat: &str) -> Option<(bool, i32)> {
    let fields: Vec<&str> = stat
        .get(stat.rfind(')')? + 1..)?
        .split_ascii_whitespace()
        .collect();
    let ended = matches!(*fields.first()?, "Z" | "X");
    let threads: u32 = fields
        .get(17)
        .and_then(|threads| threads.parse().ok())
        .unwrap_or(0);
    Some((!ended || threads > 1, fields.get(1)?.parse().ok()?))
}

/// Sends a signal to the group and to every descendant outside of it.
pub(crate) fn signal_all(group: Pid, signal: Signal) {
    // Gone already is what is wanted.
    let _ = killpg(group, signal);
    for pid in descendants() {
        if nix::unistd::getpgid(Some(pid)) != Ok(group) {
            let _ = kill(pid, signal);
        }
    }
}

/// Asks everything to end, and ends it by force after `grace`.
pub(crate) async fn terminate(reaper: &Reaper, group: Pid, grace: Duration) {
    let deadline = Instant::now() + grace;
    let mut reaped = reaper.watch();
    signal_all(group, Signal::SIGTERM);
    // A stopped process acts on the signal only when it goes on.
    signal_all(group, Signal::SIGCONT);
    while !descendants().is_empty() {
        if timeout_at(deadline, reaped.changed()).await.is_err() {
            let _ = sweep(reaper, Some(group)).await;
            return;
        }
    }
}

/// What a sweep has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Swept {
    /// Processes that there were.
    pub(crate) found: usize,
    /// Those that live on: they have another user by now, or the kernel holds them.
    pub(crate) left: usize,
}

/// Kills whatever a step left behind.
///
/// A process that forks and exits faster than `/proc` is read is in no list. Where the runner has a PID namespace of its own, a list counts
/// only when no process began while it was made; when that does not come to rest, everything else in the container is killed at once, which
/// the kernel does between two forks.
pub(crate) async fn sweep(reaper: &Reaper, group: Option<Pid>) -> Swept {
    let (rest, deadline) = (Instant::now() + REST, Instant::now() + DISAPPEAR);
    let mut reaped = reaper.watch();
    let mut seen = look();
    let found = seen.alive.len();
    if let Some(group) = group {
        let _ = killpg(group, Signal::SIGKILL);
    }
    while !(seen.alive.is_empty() && seen.complete) && Instant::now() < deadline {
        for pid in &seen.alive {
            let _ = kill(*pid, Signal::SIGKILL);
        }
        if is_first() && Instant::now() >= rest {
            let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
        }
        let next = if seen.alive.is_empty() {
            deadline.min(Instant::now() + LOOK_AGAIN)
        } else {
            deadline
        };
        let _ = timeout_at(next, reaped.changed()).await;
        seen = look();
    }
    let left = seen.alive.len();
    Swept { found, left }
}

/// Processes below the runner.
struct Seen {
    alive: Vec<Pid>,
    /// None began while they were listed.
    complete: bool,
}

fn look() -> Seen {
    let before = newest();
    let alive = descendants();
    let complete = !is_first() || before == newest();
    Seen { alive, complete }
}

/// Whether the runner is PID 1, and the container's processes are all that it sees.
fn is_first() -> bool {
    getpid().as_raw() == 1
}

/// The last PID that was given out in this namespace.
fn newest() -> Option<String> {
    let load = std::fs::read_to_string("/proc/loadavg").ok()?;
    load.split_ascii_whitespace().last().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_parentheses_does_not_confuse_the_reader() {
        assert_eq!(life_and_parent("7 (a) R 1 (b) S 42 7 7 0"), Some((true, 42)));
        assert_eq!(life_and_parent("7 (x"), None);
    }

    #[test]
    fn a_process_whose_first_thread_has_ended_lives_as_long_as_another_one() {
        let stat = |state: char, threads: u32| {
            format!("7 (a) {state} 1 7 7 0 -1 4 0 0 0 0 0 0 0 0 20 0 {threads} 0 9")
        };
        let life = |state, threads| life_and_parent(&stat(state, threads)).map(|(alive, _)| alive);
        assert_eq!(life('Z', 1), Some(false));
        assert_eq!(life('Z', 0), Some(false));
        assert_eq!(life('Z', 2), Some(true));
        assert_eq!(life('S', 1), Some(true));
    }
}

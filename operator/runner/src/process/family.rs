//! All processes that steps started, also those that left their group or session.
//!
//! Orphans become children of the runner (PID 1 or subreaper), so everything a step started is below the runner in `/proc`.

use std::collections::HashMap;
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpid};
use tokio::time::{Instant, sleep};

/// How long killed processes may take to disappear.
const DISAPPEAR: Duration = Duration::from_secs(10);

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
        if let Some((state, parent)) = state_and_parent(&stat) {
            children
                .entry(parent)
                .or_default()
                .push((pid, state != 'Z' && state != 'X'));
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

/// The third and fourth field of `/proc/<pid>/stat`; the second one may hold anything, also parentheses.
fn state_and_parent(stat: &str) -> Option<(char, i32)> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?))
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
pub(crate) async fn terminate(group: Pid, grace: Duration) {
    signal_all(group, Signal::SIGTERM);
    // A stopped process acts on the signal only when it goes on.
    signal_all(group, Signal::SIGCONT);
    let deadline = Instant::now() + grace;
    while Instant::now() < deadline {
        if descendants().is_empty() {
            return;
        }
        sleep(Duration::from_millis(25)).await;
    }
    let _ = sweep(Some(group)).await;
}

/// Kills whatever a step left behind. Answers how many processes there were.
pub(crate) async fn sweep(group: Option<Pid>) -> usize {
    let deadline = Instant::now() + DISAPPEAR;
    let mut left = descendants();
    let count = left.len();
    if let Some(group) = group {
        let _ = killpg(group, Signal::SIGKILL);
    }
    while !left.is_empty() && Instant::now() < deadline {
        for pid in left {
            let _ = kill(pid, Signal::SIGKILL);
        }
        sleep(Duration::from_millis(5)).await;
        left = descendants();
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_parentheses_does_not_confuse_the_reader() {
        assert_eq!(state_and_parent("7 (a) R 1 (b) S 42 7 7 0"), Some(('S', 42)));
        assert_eq!(state_and_parent("7 (x"), None);
    }
}

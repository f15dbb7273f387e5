//! SIGTERM counts only when it was sent from outside the Pod's PID namespace.

use std::os::fd::AsFd;
use std::thread;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use tokio::sync::mpsc;

use super::{reaper::Reaper, spawn};
use crate::stop::{Stop, StopReason};

/// `si_code` of `kill(2)`.
const SI_USER: i32 = 0;
/// `si_code` of a signal of the kernel itself.
const SI_KERNEL: i32 = 0x80;

/// A signal that was not obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ignored {
    pub(crate) signal: i32,
    pub(crate) sender: u32,
}

/// Blocks the handled signals, and gives those of faults back to the kernel. Called before any thread exists, because threads inherit the mask.
pub(crate) fn block() -> Result<SigSet, Errno> {
    spawn::default_faults()?;
    let mut handled = SigSet::empty();
    for signal in [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGCHLD,
    ] {
        handled.add(signal);
    }
    handled.thread_block()?;
    Ok(handled)
}

/// Whether a signal came from a process that this PID namespace cannot see, which only the node can have.
///
/// `rt_sigqueueinfo` lets a process choose `si_pid`, but not a `si_code` of zero or above for another process.
fn from_outside(code: i32, sender: u32) -> bool {
    (code == SI_USER || code == SI_KERNEL) && sender == 0
}

/// Starts the thread that handles signals until the process ends.
pub(crate) fn handle(
    handled: SigSet,
    reaper: Reaper,
    stop: Stop,
    ignored: mpsc::Sender<Ignored>,
) -> std::io::Result<()> {
    let descriptor = SignalFd::with_flags(&handled, SfdFlags::SFD_CLOEXEC)?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        loop {
            let info = match descriptor.read_signal() {
                Ok(Some(info)) => info,
                Ok(None) | Err(Errno::EINTR) => continue,
                Err(error) => {
                    eprintln!(
                        "dcanary-runner: signals cannot be read any more: {error} ({:?})",
                        descriptor.as_fd()
                    );
                    return;
                }
            };
            let signal = i32::try_from(info.ssi_signo).unwrap_or_default();
            if signal == Signal::SIGCHLD as i32 {
                reaper.reap();
            } else if from_outside(info.ssi_code, info.ssi_pid) {
                stop.request(StopReason::Cancelled);
            } else {
                // A step can send more of them than anybody wants to read: what finds no room is dropped.
                let sender = info.ssi_pid;
                let _ = ignored.try_send(Ignored { signal, sender });
            }
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Bits of SIGSEGV and SIGBUS among the signals that this process has handlers for.
    fn faults_caught() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let caught = status
            .lines()
            .find_map(|line| line.strip_prefix("SigCgt:"))
            .unwrap();
        let faults = (1 << (Signal::SIGSEGV as i32 - 1)) | (1 << (Signal::SIGBUS as i32 - 1));
        u64::from_str_radix(caught.trim(), 16).unwrap() & faults
    }

    #[test]
    fn no_handler_of_faults_is_left_that_a_step_could_make_run() {
        assert_ne!(faults_caught(), 0, "the standard library has some");
        block().unwrap();
        assert_eq!(faults_caught(), 0);
    }

    #[test]
    fn a_sender_that_forges_its_pid_is_not_taken_for_the_node() {
        assert!(from_outside(SI_USER, 0));
        assert!(from_outside(SI_KERNEL, 0));
        assert!(!from_outside(SI_USER, 7));
        assert!(!from_outside(-1, 0), "SI_QUEUE of rt_sigqueueinfo");
        assert!(!from_outside(-6, 0), "SI_TKILL");
    }
}

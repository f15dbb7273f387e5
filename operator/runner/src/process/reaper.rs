//! Reaps every child: the step's own process, whose end somebody waits for, and orphans.

use std::os::unix::process::CommandExt;
use std::process::{ChildStderr, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tokio::sync::{oneshot, watch};

use super::spawn;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Code(i32),
    Signal(i32),
}

/// A running process of a step, leader of its own group.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) pid: Pid,
    pub(crate) exit: oneshot::Receiver<Exit>,
    pub(crate) stdout: Option<ChildStdout>,
    pub(crate) stderr: Option<ChildStderr>,
}

/// A process whose end somebody waits for.
type Awaited = (Pid, oneshot::Sender<Exit>);

/// The only caller of `waitpid`.
#[derive(Debug, Clone)]
pub(crate) struct Reaper {
    awaited: Arc<Mutex<Vec<Awaited>>>,
    /// Changes whenever a process was reaped.
    reaped: Arc<watch::Sender<()>>,
}

impl Reaper {
    pub(crate) fn new() -> Self {
        Self {
            awaited: Arc::default(),
            reaped: Arc::new(watch::Sender::new(())),
        }
    }

    /// Sees every process that is reaped from now on.
    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.reaped.subscribe()
    }

    /// Starts a process with piped output. The lock is held over the fork, so that its end cannot be seen before it is awaited.
    pub(crate) fn spawn(&self, command: &mut Command) -> std::io::Result<Running> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        spawn::unblock_signals_in_child(command);
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        let mut child = command.spawn()?;
        let pid = Pid::from_raw(i32::try_from(child.id()).map_err(std::io::Error::other)?);
        let (sender, exit) = oneshot::channel();
        awaited.push((pid, sender));
        // `Child` has no destructor that waits, so the process stays ours to reap.
        Ok(Running {
            pid,
            exit,
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
        })
    }

    /// Collects all children that have ended.
    pub(crate) fn reap(&self) {
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reaped = false;
        loop {
            let (pid, exit) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, Exit::Code(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Exit::Signal(signal as i32)),
                Ok(WaitStatus::StillAlive) => break,
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(_) => break,
            };
            reaped = true;
            if let Some(at) = awaited.iter().position(|(known, _)| *known == pid) {
                let (_, sender) = awaited.swap_remove(at);
                // Nobody waits any more: the step was given up.
                let _ = sender.send(exit);
            }
        }
        drop(awaited);
        if reaped {
            self.reaped.send_replace(());
        }
    }
}

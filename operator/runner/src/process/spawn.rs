//! The one place with `unsafe`: what a child does between fork and exec.
#![allow(unsafe_code)]

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};

/// The runner blocks signals for its signalfd; a step starts with none blocked.
pub(super) fn unblock_signals_in_child(command: &mut Command) {
    let none = SigSet::empty();
    // SAFETY: between fork and exec only async-signal-safe functions may run; the closure calls sigprocmask alone,
    // which is one, on a set that was made before the fork, and allocates nothing.
    unsafe {
        command.pre_exec(move || {
            sigprocmask(SigmaskHow::SIG_SETMASK, Some(&none), None).map_err(std::io::Error::from)
        });
    }
}

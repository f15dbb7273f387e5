//! The one place with `unsafe`: what a child does between fork and exec, and what the runner does with signals of faults.
#![allow(unsafe_code)]

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask};

/// Takes back the standard library's handlers of SIGSEGV and SIGBUS, which only name stack overflows. With the default action the kernel drops
/// such a signal when a step sends it to the first process of the container; a handler would run, and it takes locks: a signal at
/// the wrong moment hangs or kills the runner. A real fault still ends it.
pub(super) fn default_faults() -> Result<(), Errno> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGSEGV, Signal::SIGBUS] {
        // SAFETY: the default action runs no code of ours; the handler that is replaced is not called by anything but the kernel.
        unsafe { sigaction(signal, &default) }?;
    }
    Ok(())
}

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

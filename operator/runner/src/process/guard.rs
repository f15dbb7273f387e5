//! What the process does to itself before it reads anything.

use nix::errno::Errno;
use nix::sys::prctl;

/// No process of the same user may read the memory, environment or descriptors of the runner.
pub(crate) fn hide_memory() -> Result<(), Errno> {
    prctl::set_dumpable(false)
}

/// Orphans of steps become children of the runner even when it is not PID 1.
pub(crate) fn adopt_orphans() -> Result<(), Errno> {
    prctl::set_child_subreaper(true)
}

//! Says to blocking work that nobody waits for what it does any more.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use thiserror::Error;

/// The work was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("interrupted")]
pub(crate) struct Interrupted;

/// One flag for everything that a step does. Cheap to clone; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt {
    flag: Arc<AtomicBool>,
}

impl Interrupt {
    /// Asks the work to end.
    pub(crate) fn set(&self) {
        self.flag.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    /// Fails once the work is given up; called between two things that must not be done then.
    pub(crate) fn check(&self) -> Result<(), Interrupted> {
        if self.is_set() { Err(Interrupted) } else { Ok(()) }
    }

    /// The flag itself, for libraries that look at one.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.flag
    }

    /// Reads as long as the work goes on, so that a large copy ends as well.
    pub(crate) fn reader<R: Read>(&self, inner: R) -> Reader<R> {
        Reader {
            inner,
            interrupt: self.clone(),
        }
    }
}

/// A reader that fails once the work is given up.
#[derive(Debug)]
pub(crate) struct Reader<R> {
    inner: R,
    interrupt: Interrupt,
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        // Not `ErrorKind::Interrupted`, after which callers try again.
        self.interrupt.check().map_err(std::io::Error::other)?;
        self.inner.read(buffer)
    }
}

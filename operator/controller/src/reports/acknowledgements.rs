//! Which prefix of the list is persisted.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

#[derive(Default)]
struct Inner {
    open: BTreeSet<u64>,
    highest: u64,
}

/// Cursors that were received and are not persisted yet. The server may forget everything before the first of them.
pub struct Acknowledgements {
    inner: Mutex<Inner>,
    safe: watch::Sender<u64>,
}

impl Default for Acknowledgements {
    fn default() -> Self {
        Self {
            inner: Mutex::default(),
            safe: watch::Sender::new(0),
        }
    }
}

impl Acknowledgements {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, inner: &Inner) {
        let safe = inner.open.first().map_or(inner.highest, |first| first - 1);
        self.safe.send_if_modified(|last| {
            let grown = safe > *last;
            *last = safe.max(*last);
            grown
        });
    }

    /// A report was received and waits for its status write.
    pub fn received(&self, cursor: u64) {
        let mut inner = self.lock();
        inner.highest = inner.highest.max(cursor);
        inner.open.insert(cursor);
    }

    /// Reports are persisted, or of no concern.
    pub fn done(&self, cursors: &[u64]) {
        let mut inner = self.lock();
        for cursor in cursors {
            inner.open.remove(cursor);
            inner.highest = inner.highest.max(*cursor);
        }
        self.tell(&inner);
    }

    /// The highest cursor up to which everything is persisted; changes can be awaited.
    pub fn safe(&self) -> watch::Receiver<u64> {
        self.safe.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_prefix_without_holes_is_acknowledged() {
        let acknowledgements = Acknowledgements::default();
        let safe = acknowledgements.safe();
        for cursor in [3, 4, 5] {
            acknowledgements.received(cursor);
        }
        acknowledgements.done(&[4]);
        assert_eq!(*safe.borrow(), 2);
        acknowledgements.done(&[3]);
        assert_eq!(*safe.borrow(), 4);
        acknowledgements.done(&[5]);
        assert_eq!(*safe.borrow(), 5);
    }
}

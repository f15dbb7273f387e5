//! Counts how many checkpoints are held at once.

use std::cell::Cell;

thread_local! {
    static NOW: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

#[derive(Debug)]
pub struct Held;

impl Held {
    pub fn new() -> Self {
        NOW.set(NOW.get() + 1);
        MOST.set(MOST.get().max(NOW.get()));
        Self
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        NOW.set(NOW.get() - 1);
    }
}

/// The most since the last call.
pub fn most() -> usize {
    MOST.replace(NOW.get())
}

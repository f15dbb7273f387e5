//! Who compiles a large module. Compiling one takes several times its size for a moment, so only one at a time is compiled, whoever
//! asks.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A module of more bytes is large.
const LARGE: u64 = 4 << 20;

#[derive(Debug, Default)]
struct State {
    taken: bool,
    /// Batches that wait.
    batches: usize,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    bell: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.bell.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Turns(Arc<Shared>);

impl Turns {
    /// Waits until a module of so many bytes may be compiled ahead; one that is not large may at once, and takes no turn.
    pub fn ahead(&self, bytes: u64) -> Option<Turn> {
        if bytes <= LARGE {
            return None;
        }
        let mut state = self.0.lock();
        while state.taken || state.batches > 0 {
            state = self.0.wait(state);
        }
        state.taken = true;
        Some(Turn(self.0.clone()))
    }

    /// As [`Turns::ahead`], before all that is compiled ahead: the batch holds up everything.
    pub fn batch(&self, bytes: u64) -> Option<Turn> {
        if bytes <= LARGE {
            return None;
        }
        let mut state = self.0.lock();
        state.batches += 1;
        while state.taken {
            state = self.0.wait(state);
        }
        state.batches -= 1;
        state.taken = true;
        Some(Turn(self.0.clone()))
    }
}

/// The right to compile a large module, until it is dropped.
#[derive(Debug)]
pub struct Turn(Arc<Shared>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.lock().taken = false;
        self.0.bell.notify_all();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::mpsc;
    use std::thread;

    #[test]
    fn one_large_module_is_compiled_at_a_time_and_a_batch_is_next() {
        let turns = Arc::new(Turns::default());
        let first = turns.ahead(LARGE + 1).unwrap();
        let (began, order) = mpsc::channel();
        let compile = |who: &'static str| {
            let (turns, began) = (turns.clone(), began.clone());
            thread::spawn(move || {
                let turn = match who {
                    "batch" => turns.batch(LARGE + 1),
                    _ => turns.ahead(LARGE + 1),
                };
                began.send(who).unwrap();
                drop(turn);
            })
        };
        let threads = [compile("ahead"), compile("batch")];
        let early = loop {
            let early = order.try_recv().ok();
            if early.is_some() || turns.0.lock().batches > 0 {
                break early;
            }
            thread::yield_now();
        };
        assert_eq!(early, None, "it did not wait for the first one");
        // both wait or come to wait, and a small one does not
        assert!(turns.ahead(LARGE).is_none() && turns.batch(LARGE).is_none());
        drop(first);
        assert_eq!([order.recv().unwrap(), order.recv().unwrap()], ["batch", "ahead"]);
        for thread in threads {
            thread.join().unwrap();
        }
    }
}

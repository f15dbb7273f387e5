//! What is compiled ahead of the batch that installs it.
//!
//! Whoever may install code can have the node compile what is never installed, so what is held here is bounded in bytes and goes
//! with the call that it was compiled for.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many are held.
const MOST: usize = 4;
/// Bytes that they take together, beyond the last one.
const MOST_BYTES: u64 = 64 << 20;

struct One<T> {
    number: u64,
    bytes: u64,
    _held: Arc<T>,
}

struct List<T> {
    next: u64,
    all: VecDeque<One<T>>,
}

/// See the module documentation.
pub struct Ahead<T>(Arc<Mutex<List<T>>>);

impl<T> Default for Ahead<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(List {
            next: 0,
            all: VecDeque::new(),
        })))
    }
}

fn lock<T>(list: &Mutex<List<T>>) -> MutexGuard<'_, List<T>> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Ahead<T> {
    /// Holds something of so many bytes until the token is dropped, or until later ones need its place.
    pub fn hold(&self, held: Arc<T>, bytes: u64) -> Held<T> {
        let mut list = lock(&self.0);
        let number = list.next;
        list.next += 1;
        while let Some(first) = list.all.front() {
            let sum = list
                .all
                .iter()
                .fold(bytes, |sum, one| sum.saturating_add(one.bytes));
            if list.all.len() < MOST && sum <= MOST_BYTES {
                break;
            }
            tracing::debug!(
                number = first.number,
                "a module that was compiled ahead gives way"
            );
            list.all.pop_front();
        }
        list.all.push_back(One {
            number,
            bytes,
            _held: held,
        });
        Held {
            list: self.0.clone(),
            number,
        }
    }
}

/// Holds something.
pub struct Held<T> {
    list: Arc<Mutex<List<T>>>,
    number: u64,
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        lock(&self.list).all.retain(|one| one.number != self.number);
    }
}

impl<T> fmt::Debug for Held<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Held")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Weak;

    fn there(all: &[Weak<()>]) -> Vec<bool> {
        all.iter().map(|one| one.strong_count() > 0).collect()
    }

    /// Holds one for each number of bytes.
    fn held(ahead: &Ahead<()>, bytes: &[u64]) -> (Vec<Weak<()>>, Vec<Held<()>>) {
        let one = |bytes: &u64| {
            let held = Arc::new(());
            (Arc::downgrade(&held), ahead.hold(held, *bytes))
        };
        bytes.iter().map(one).unzip()
    }

    #[test]
    fn what_was_compiled_goes_with_the_call_that_it_was_compiled_for() {
        let ahead = Ahead::default();
        let (all, mut tokens) = held(&ahead, &[1, 1, 1]);
        assert_eq!(there(&all), [true, true, true]);
        drop(tokens.remove(1));
        assert_eq!(there(&all), [true, false, true]);
        drop(tokens);
        assert_eq!(there(&all), [false, false, false]);
    }

    #[test]
    fn the_oldest_give_way_to_what_would_be_too_many_or_too_large_and_the_last_one_is_always_held() {
        let ahead = Ahead::default();
        let (all, _tokens) = held(&ahead, &[1; 5]);
        assert_eq!(there(&all), [false, true, true, true, true]);
        let ahead = Ahead::default();
        let (all, _tokens) = held(&ahead, &[MOST_BYTES - 1, 1, 1]);
        assert_eq!(there(&all), [false, true, true]);
        let ahead = Ahead::default();
        let (all, _tokens) = held(&ahead, &[1, 1, MOST_BYTES + 1]);
        assert_eq!(there(&all), [false, false, true]);
    }
}

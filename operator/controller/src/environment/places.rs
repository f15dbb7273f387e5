//! Places for what is asked beside the decisions, shared out by namespace: whoever has slow sources waits for places, not the others.
//!
//! A namespace has at most as many places as are left then: the first one half of all, the second a quarter, and so on. So one that has none yet
//! finds one, however long the others keep theirs. A place that is given back goes to whoever waits in the namespace with the fewest.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// Places.
#[derive(Debug)]
pub struct Places {
    all: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Places that are held, by namespace.
    held: BTreeMap<String, usize>,
    /// Who waits, the first first.
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    namespace: String,
    give: oneshot::Sender<Place>,
}

/// A place. It is given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    namespace: String,
}

impl Places {
    /// So many, all free.
    pub fn new(all: usize) -> Arc<Self> {
        Arc::new(Self {
            all,
            state: Mutex::default(),
        })
    }

    /// A place for a namespace, as soon as it may have one. Whoever does not wait any more drops the future.
    pub async fn place(self: &Arc<Self>, namespace: &str) -> Place {
        loop {
            let (give, given) = oneshot::channel();
            self.lock().waiting.push_back(Waiting {
                namespace: namespace.to_owned(),
                give,
            });
            self.share_out();
            // only a place that is given ends the wait
            if let Ok(place) = given.await {
                return place;
            }
        }
    }

    /// Places that nobody holds.
    pub fn free(&self) -> usize {
        self.lock().free(self.all)
    }

    /// Gives places to whoever waits and may have one.
    fn share_out(self: &Arc<Self>) {
        loop {
            let Some(next) = self.lock().next(self.all) else {
                return;
            };
            let place = Place {
                places: self.clone(),
                namespace: next.namespace,
            };
            // who went away in this moment gives it back: outside of the lock
            drop(next.give.send(place));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn free(&self, all: usize) -> usize {
        all.saturating_sub(self.held.values().sum())
    }

    /// Takes the next one out who may have a place, and counts it as held.
    fn next(&mut self, all: usize) -> Option<Waiting> {
        self.waiting.retain(|waiting| !waiting.give.is_closed());
        let free = self.free(all);
        let held = |waiting: &Waiting| self.held.get(&waiting.namespace).copied().unwrap_or(0);
        let allowed = self.waiting.iter().enumerate();
        let allowed = allowed.filter(|(_, waiting)| held(waiting) < free);
        // of equals the first one
        let (index, _) = allowed.min_by_key(|(_, waiting)| held(waiting))?;
        let next = self.waiting.remove(index)?;
        *self.held.entry(next.namespace.clone()).or_default() += 1;
        Some(next)
    }

    fn give_back(&mut self, namespace: &str) {
        let Some(held) = self.held.get_mut(namespace) else {
            return;
        };
        *held = held.saturating_sub(1);
        if *held == 0 {
            self.held.remove(namespace);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().give_back(&self.namespace);
        self.places.share_out();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures::FutureExt;

    use super::*;

    /// As many places as a namespace gets now.
    fn take(places: &Arc<Places>, namespace: &str) -> Vec<Place> {
        std::iter::from_fn(|| places.place(namespace).now_or_never()).collect()
    }

    #[test]
    fn a_namespace_gets_no_more_places_than_it_leaves_and_one_that_has_none_finds_one() {
        let places = Places::new(64);
        let mut all = Vec::new();
        for (namespace, most) in [("a", 32), ("b", 16), ("c", 8), ("d", 4), ("e", 2), ("f", 1)] {
            let got = take(&places, namespace);
            assert_eq!(got.len(), most, "{namespace}");
            all.extend(got);
        }
        assert_eq!(places.free(), 1);
        drop(all);
        assert_eq!(places.free(), 64);
        assert_eq!(take(&places, "c").len(), 32, "whoever is alone has half of them");
    }

    #[test]
    fn a_place_goes_to_the_namespace_with_the_fewest_whoever_came_first() {
        let places = Places::new(4);
        let mut held = take(&places, "greedy");
        assert_eq!(held.len(), 2);
        held.extend(take(&places, "second"));
        let mut greedy = Box::pin(places.place("greedy"));
        assert!((&mut greedy).now_or_never().is_none());
        let mut last = Box::pin(places.place("other"));
        let other = (&mut last).now_or_never().unwrap();
        assert_eq!(places.free(), 0);
        let mut another = Box::pin(places.place("third"));
        assert!((&mut another).now_or_never().is_none());
        held.truncate(2);
        assert!(
            (&mut another).now_or_never().is_some(),
            "before the one that waits longer"
        );
        assert!((&mut greedy).now_or_never().is_none());
        drop((held, other));
        assert!((&mut greedy).now_or_never().is_some());
    }

    #[test]
    fn whoever_waits_no_more_gets_no_place() {
        let places = Places::new(1);
        let held = take(&places, "a");
        let mut gone = Box::pin(places.place("b"));
        assert!((&mut gone).now_or_never().is_none());
        drop(gone);
        drop(held);
        assert_eq!(places.free(), 1);
    }
}

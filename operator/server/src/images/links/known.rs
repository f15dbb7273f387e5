//! What bases have been found to have, so that the next image on one need not read it again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::fold::Links;
use crate::digest::Digest;

/// Most bases.
const BASES: usize = 1_024;
/// Bytes of one base, which is not kept if it has more.
const EACH: usize = 8 << 20;
/// Bytes of all.
const ALL: usize = 32 << 20;

/// The symlinks of bases, by the digest of their manifest.
#[derive(Debug, Clone, Default)]
pub struct Known {
    bases: Arc<Mutex<VecDeque<One>>>,
    turns: Arc<Mutex<HashMap<(String, Digest), Turn>>>,
}

/// A base.
type One = (Digest, Arc<Links>);

/// Whoever has the lock reads a base. What the one before has found is there for as long as somebody waits.
pub type Turn = Arc<tokio::sync::Mutex<Found>>;

/// What became of reading a base.
#[derive(Debug, Default)]
pub enum Found {
    /// Nobody has read it to an end.
    #[default]
    Nothing,
    /// What it has, for as long as somebody uses it, also when it is not kept.
    Links(Weak<Links>),
    /// It was not read in time.
    TooSlow,
}

impl Known {
    /// Those of a base.
    pub fn get(&self, manifest: &Digest) -> Option<Arc<Links>> {
        let mut known = self.bases.lock().unwrap_or_else(PoisonError::into_inner);
        let at = known.iter().position(|(known, _)| known == manifest)?;
        let found = known.remove(at)?;
        let links = Arc::clone(&found.1);
        known.push_back(found);
        Some(links)
    }

    /// The turn to read a base from a repository: another one may be slower.
    pub fn turn(&self, repository: String, manifest: &Digest) -> Turn {
        let base = (repository, *manifest);
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        // What was found is of those who wait, or use it still: a registry that was too slow once need not be so for ever.
        turns.retain(|_, turn| {
            let used = |found: &Found| matches!(found, Found::Links(links) if links.strong_count() > 0);
            Arc::strong_count(turn) > 1 || turn.try_lock().is_ok_and(|found| used(&found))
        });
        Arc::clone(turns.entry(base).or_default())
    }

    /// Keeps those of a base. What has not been asked for longest goes.
    pub fn put(&self, manifest: Digest, links: &Arc<Links>) {
        if links.bytes() > EACH {
            return;
        }
        let mut known = self.bases.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(known, _)| *known != manifest);
        known.push_back((manifest, Arc::clone(links)));
        let mut all: usize = known.iter().map(|(_, links)| links.bytes()).sum();
        while known.len() > BASES || all > ALL {
            let Some((_, links)) = known.pop_front() else {
                break;
            };
            all -= links.bytes();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::fold::{Entry, Kind};
    use super::super::place::Place;
    use super::*;

    fn links(bytes: usize) -> Arc<Links> {
        let mut links = Links::default();
        for number in 0.. {
            let place = Place::named(format!("{number}").as_bytes()).unwrap();
            let kind = Kind::Link(vec![b'x'; 4_096]);
            links.apply(&Entry { place, kind }).unwrap();
            if links.bytes() >= bytes {
                break;
            }
        }
        Arc::new(links)
    }

    fn digest(number: usize) -> Digest {
        Digest::of(number.to_string().as_bytes())
    }

    #[test]
    fn what_was_not_asked_for_longest_goes_and_what_is_too_large_is_not_kept() {
        let known = Known::default();
        known.put(digest(0), &links(EACH + 1));
        assert!(known.get(&digest(0)).is_none());
        for number in 1..=3 {
            known.put(digest(number), &links(EACH - 8_192));
        }
        assert!(known.get(&digest(1)).is_some());
        known.put(digest(4), &links(EACH - 8_192));
        known.put(digest(5), &links(EACH - 8_192));
        let kept = [1, 2, 3, 4, 5].map(|number| known.get(&digest(number)).is_some());
        assert_eq!(kept, [true, false, true, true, true]);
    }

    #[test]
    fn a_base_has_one_turn_for_as_long_as_somebody_waits_for_it() {
        let known = Known::default();
        let turn = |from: &str, number| known.turn(from.to_owned(), &digest(number));
        let (first, second) = (turn("a", 1), turn("a", 1));
        let mut alone = first.try_lock().unwrap();
        assert!(second.try_lock().is_err());
        assert!(turn("a", 2).try_lock().is_ok(), "another base");
        assert!(turn("b", 1).try_lock().is_ok(), "from another repository");
        *alone = Found::TooSlow;
        drop(alone);
        drop(first);
        assert!(matches!(*second.try_lock().unwrap(), Found::TooSlow));
        drop(second);
        assert!(matches!(*turn("a", 1).try_lock().unwrap(), Found::Nothing));
        let links = links(1);
        *turn("a", 1).try_lock().unwrap() = Found::Links(Arc::downgrade(&links));
        assert!(matches!(*turn("a", 1).try_lock().unwrap(), Found::Links(_)));
        drop(links);
        assert!(matches!(*turn("a", 1).try_lock().unwrap(), Found::Nothing));
        drop(turn("a", 3));
        assert_eq!(known.turns.lock().unwrap().len(), 1);
    }

    #[test]
    fn so_many_bases_are_kept_and_no_more() {
        let known = Known::default();
        let small = links(1);
        for number in 0..=BASES {
            known.put(digest(number), &small);
            known.put(digest(number), &small);
        }
        assert!(known.get(&digest(0)).is_none() && known.get(&digest(1)).is_some());
        assert!(known.get(&digest(BASES)).is_some());
    }
}

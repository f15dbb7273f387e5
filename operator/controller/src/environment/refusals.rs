//! Writes that the API server refused: not repeated before a pause that grows, unless something else is to be written.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use dcanary_rollout::{Key, Write, seen::Refusal};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// First pause, and the longest.
const FIRST: SignedDuration = SignedDuration::from_secs(10);
const LONGEST: SignedDuration = SignedDuration::from_mins(5);
/// First pause when the API server gave no answer that says anything about the object.
const FIRST_UNAVAILABLE: SignedDuration = SignedDuration::from_secs(1);
/// How long it is remembered how often something was tried that nobody asks for any more.
const FORGET: SignedDuration = SignedDuration::from_mins(15);

/// `reason` of a refusal that says nothing about the object.
pub const UNAVAILABLE: &str = "Unavailable";

/// What was refused, in a few bytes: another object, or the same as somebody else, is tried at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Of a write. The version that it replaces does not count: it changes with every status.
    pub fn of_write(write: &Write, user: &str) -> Self {
        let mut object = write.object.clone();
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("resourceVersion");
            metadata.remove("managedFields");
        }
        if let Some(fields) = object.as_object_mut() {
            fields.remove("status");
        }
        let replaces = write.object.pointer("/metadata/resourceVersion").is_some();
        Self::of(&(object.to_string(), replaces, user))
    }

    /// Of a deletion.
    pub fn of_deletion(uid: &str, user: &str) -> Self {
        Self::of(&(uid, user))
    }

    fn of(what: &impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        Self(hasher.finish())
    }
}

#[derive(Debug)]
struct Refused {
    refusal: Refusal,
    fingerprint: Fingerprint,
    tries: i32,
    /// A decision was made after its time without trying again: the next one does not see it.
    over: bool,
}

/// Refusals of one Environment.
#[derive(Debug, Default)]
pub struct Refusals(BTreeMap<Key, Refused>);

impl Refusals {
    /// Notes a refusal.
    pub fn add(
        &mut self,
        key: &Key,
        fingerprint: Fingerprint,
        reason: &str,
        message: String,
        now: Timestamp,
    ) {
        let before = self
            .0
            .get(key)
            .filter(|before| before.refusal.reason == reason && before.fingerprint == fingerprint);
        let tries = before.map_or(0, |before| before.tries.saturating_add(1));
        let first = if reason == UNAVAILABLE {
            FIRST_UNAVAILABLE
        } else {
            FIRST
        };
        let pause = (first * 2_i32.saturating_pow(tries.clamp(0, 16).unsigned_abs())).min(LONGEST);
        let refusal = Refusal {
            reason: reason.to_owned(),
            message,
            retry_at: now.saturating_add(pause).unwrap_or(now),
        };
        let refused = Refused {
            refusal,
            fingerprint,
            tries,
            over: false,
        };
        self.0.insert(key.clone(), refused);
    }

    /// It went well.
    pub fn clear(&mut self, key: &Key) {
        self.0.remove(key);
    }

    /// Whether the same was refused and its pause is not over.
    pub fn holds_back(&self, key: &Key, fingerprint: Fingerprint, now: Timestamp) -> bool {
        self.0
            .get(key)
            .is_some_and(|refused| refused.fingerprint == fingerprint && refused.refusal.retry_at > now)
    }

    /// What decisions see.
    pub fn seen(&self) -> BTreeMap<Key, Refusal> {
        let shown = self.0.iter().filter(|(_, refused)| !refused.over);
        shown
            .map(|(key, refused)| (key.clone(), refused.refusal.clone()))
            .collect()
    }

    /// When the first pause is over.
    pub fn next(&self) -> Option<Timestamp> {
        let shown = self.0.values().filter(|refused| !refused.over);
        shown.map(|refused| refused.refusal.retry_at).min()
    }

    /// After a decision at `decided` that asked for these: refusals whose pause was over by then and that it did not try again are over. Returns
    /// whether any is.
    pub fn tidy(&mut self, asked: &BTreeSet<Key>, decided: Timestamp) -> bool {
        self.0
            .retain(|_, refused| !refused.over || decided.duration_since(refused.refusal.retry_at) < FORGET);
        let mut any = false;
        for (key, refused) in &mut self.0 {
            if !refused.over && refused.refusal.retry_at <= decided && !asked.contains(key) {
                refused.over = true;
                any = true;
            }
        }
        any
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use dcanary_rollout::{Actor, Kind};
    use serde_json::json;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn key() -> Key {
        Key::new(Kind::Deployment, "web")
    }

    fn print(image: &str, version: &str) -> Fingerprint {
        let write = Write {
            key: key(),
            object: json!({
                "metadata": {"name": "web", "resourceVersion": version}, "spec": {"image": image}, "status": {"ready": version},
            }),
            actor: Actor::Environment,
        };
        Fingerprint::of_write(&write, "somebody")
    }

    #[test]
    fn the_same_write_is_held_back_for_a_growing_time_and_another_one_is_not() {
        let mut refusals = Refusals::default();
        let mut pauses = Vec::new();
        let mut now = 0;
        for _ in 0..8 {
            refusals.add(&key(), print("a", "1"), "Forbidden", "no".to_owned(), at(now));
            let retry = refusals.next().unwrap();
            assert!(
                refusals.holds_back(&key(), print("a", "2"), at(now)),
                "whatever version it replaces"
            );
            assert!(!refusals.holds_back(&key(), print("b", "1"), at(now)));
            assert!(!refusals.holds_back(&key(), print("a", "1"), retry));
            pauses.push(retry.duration_since(at(now)).as_secs());
            now += pauses.last().unwrap();
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 300, 300, 300]);
        refusals.clear(&key());
        refusals.add(&key(), print("a", "1"), "Forbidden", "no".to_owned(), at(now));
        assert_eq!(
            refusals.next(),
            Some(at(now + 10)),
            "after a success it begins anew"
        );
        refusals.add(&key(), print("a", "1"), UNAVAILABLE, "away".to_owned(), at(now));
        assert_eq!(refusals.next(), Some(at(now + 1)), "another reason begins anew");
    }

    #[test]
    fn a_refusal_that_a_decision_waits_for_is_taken_away_when_its_time_is_over_and_its_pause_still_grows() {
        let mut refusals = Refusals::default();
        refusals.add(&key(), print("a", "1"), "Forbidden", "no".to_owned(), at(0));
        let none = BTreeSet::new();
        assert!(!refusals.tidy(&none, at(9)));
        assert_eq!(refusals.seen().len(), 1);
        assert!(!refusals.tidy(&BTreeSet::from([key()]), at(10)), "it was tried");
        assert!(refusals.tidy(&none, at(10)));
        assert!(refusals.seen().is_empty() && refusals.next().is_none());
        assert!(!refusals.tidy(&none, at(11)), "once");
        refusals.add(&key(), print("a", "1"), "Forbidden", "no".to_owned(), at(11));
        assert_eq!(refusals.next(), Some(at(31)));
    }
}

//! What this process knows about Environments besides the caches. All of it can be lost.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use dcanary_core::observed::JournalSeen;
use dcanary_crds::{Environment, EnvironmentStatus, Promotion, Rollout};
use dcanary_rollout::{
    Key,
    seen::{Checked, GatewayFeatures, MeasureKey, Measurement},
};
use kube::{ResourceExt, runtime::reflector::ObjectRef};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::{index::Place, refusals::Refusals};
use crate::memory::version;

/// Digests of stored evidence that are kept for each Environment.
const EVIDENCE: usize = 64;
/// Samples that are taken at once for one Environment: fewer than for all of them, so that slow sources of one hold up no other.
const SAMPLES: usize = 8;

/// Something that was read by name.
#[derive(Debug, Clone)]
pub struct Read<T> {
    /// When.
    pub at: Instant,
    /// What it was, or why it could not be read.
    pub answer: Result<Option<T>, String>,
}

/// What is remembered about one Environment.
#[derive(Default)]
pub struct EnvironmentMemory {
    /// Namespace and name.
    pub object: Option<ObjectRef<Environment>>,
    /// What our last write returned; used until the cache has caught up.
    pub written: Option<Environment>,
    /// Reconciles that failed in a row.
    pub failures: u32,
    /// When the last decision wanted to be made again, if an effect of it failed.
    pub due: Option<Instant>,
    /// What the recorder told.
    pub journal: JournalSeen,
    /// Objects that it names and that do not carry its label.
    pub objects: BTreeMap<Key, Read<Arc<Value>>>,
    /// Digests of tracked Secrets.
    pub secrets: BTreeMap<String, Read<String>>,
    /// What its Gateways can do, by namespace and name.
    pub gateways: BTreeMap<Place, Read<GatewayFeatures>>,
    /// Promotions as our last writes left them, by UID; used until the cache has caught up.
    pub promotions: BTreeMap<String, Promotion>,
    /// UIDs of Promotions and Decisions that the status names and that the API server does not have any more: they never come again.
    pub absent: BTreeSet<String>,
    /// Writes that were refused.
    pub refusals: Refusals,
    /// The namespace is being deleted, as the API server said.
    pub terminating: bool,
    measurements: BTreeMap<MeasureKey, Measurement>,
    measuring: BTreeSet<MeasureKey>,
    /// The last answer about a split of the route.
    check: Option<Checked>,
    /// The split that is asked about now.
    checking: Option<String>,
    evidence: Vec<String>,
    /// Digests of documents that are on their way to the store.
    storing: BTreeSet<String>,
    /// Statuses of Promotions that were refused, by UID: when they are tried again.
    unwritten: BTreeMap<String, Instant>,
    samples: Places,
}

/// One permit for each sample that is taken at once for one Environment.
struct Places(Arc<Semaphore>);

impl Default for Places {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(SAMPLES)))
    }
}

impl EnvironmentMemory {
    /// Its own permits for samples.
    pub fn samples(&self) -> Arc<Semaphore> {
        self.samples.0.clone()
    }

    /// Notes that a sample is asked for. `false`: it is already, or the answer is there. Answers to other samples of the same series are over.
    pub fn ask(&mut self, key: &MeasureKey) -> bool {
        self.measurements
            .retain(|other, _| other.sample == key.sample || !same_series(other, key));
        !self.measurements.contains_key(key) && self.measuring.insert(key.clone())
    }

    /// Notes the answer to a sample that was asked for.
    pub fn answered(&mut self, key: &MeasureKey, measurement: Measurement) {
        if self.measuring.remove(key) {
            self.measurements.insert(key.clone(), measurement);
        }
    }

    /// Notes that a sample is not asked for any more, whatever became of it.
    pub fn given_up(&mut self, key: &MeasureKey) {
        self.measuring.remove(key);
    }

    /// Notes that a gateway is asked whether it has a split. `false`: it is being asked, or has shown it. Another split's answer is over.
    pub fn ask_gateway(&mut self, token: &str) -> bool {
        self.check = self.check.take().filter(|check| check.token == token);
        let shown = self.check.as_ref().is_some_and(|check| check.shown.is_ok());
        if shown || self.checking.as_deref() == Some(token) {
            return false;
        }
        self.checking = Some(token.to_owned());
        true
    }

    /// Notes what a gateway answered, if that is still asked.
    pub fn gateway_answered(&mut self, check: Checked) {
        if self.checking.as_ref() == Some(&check.token) {
            self.check = Some(check);
        }
    }

    /// Notes that a gateway is not asked any more, whatever came of it.
    pub fn gateway_given_up(&mut self, token: &str) {
        if self.checking.as_deref() == Some(token) {
            self.checking = None;
        }
    }

    /// What the gateway answered last.
    pub fn check(&self) -> Option<Checked> {
        self.check.clone()
    }

    /// Drops answers whose sample is in the status, and those of other promotions.
    pub fn settle(&mut self, status: &EnvironmentStatus) {
        match &status.rollout {
            Some(rollout) => self
                .measurements
                .retain(|key, _| key.promotion == rollout.promotion_uid && !is_in(rollout, key)),
            None => self.measurements.clear(),
        }
    }

    /// Answers that are not in the status yet.
    pub fn measurements(&self) -> BTreeMap<MeasureKey, Measurement> {
        self.measurements.clone()
    }

    /// Notes that a document is offered to the artifact store. `false`: it is being offered, or is there.
    pub fn store(&mut self, digest: &str) -> bool {
        !self.has(digest) && self.storing.insert(digest.to_owned())
    }

    /// Notes that a document is not offered any more, whatever became of it.
    pub fn offered(&mut self, digest: &str) {
        self.storing.remove(digest);
    }

    /// Notes that the status of a Promotion was refused, and is not to be tried again before this time.
    pub fn refused_status(&mut self, promotion: &str, until: Instant) {
        self.unwritten.insert(promotion.to_owned(), until);
    }

    /// Whether the status of a Promotion was refused and is not tried again yet.
    pub fn holds_status_back(&mut self, promotion: &str) -> bool {
        let now = Instant::now();
        self.unwritten.retain(|_, until| now < *until);
        self.unwritten.contains_key(promotion)
    }

    /// Notes that the artifact store has a document.
    pub fn stored(&mut self, digest: &str) {
        if !self.has(digest) {
            self.evidence.push(digest.to_owned());
            let over = self.evidence.len().saturating_sub(EVIDENCE);
            self.evidence.drain(..over);
        }
    }

    /// Whether the artifact store is known to have a document.
    pub fn has(&self, digest: &str) -> bool {
        self.evidence.iter().any(|known| known == digest)
    }

    /// Documents that the artifact store is known to have.
    pub fn evidence(&self) -> BTreeSet<String> {
        self.evidence.iter().cloned().collect()
    }

    /// A Promotion as we last wrote it when the cache is behind, else as the cache has it.
    pub fn freshest(&mut self, cached: &Promotion) -> Promotion {
        let uid = cached.uid().unwrap_or_default();
        match self.promotions.get(&uid) {
            Some(written) if version(written) > version(cached) => written.clone(),
            _ => {
                self.promotions.remove(&uid);
                cached.clone()
            }
        }
    }
}

fn same_series(one: &MeasureKey, other: &MeasureKey) -> bool {
    (&one.promotion, &one.analysis, &one.metric, one.baseline)
        == (&other.promotion, &other.analysis, &other.metric, other.baseline)
}

/// Whether the status has the sample. Numbers of one metric only grow, also when an analysis begins anew.
fn is_in(rollout: &Rollout, key: &MeasureKey) -> bool {
    let metrics = rollout
        .analyses
        .iter()
        .filter(|analysis| analysis.name == key.analysis)
        .flat_map(|analysis| &analysis.metrics);
    metrics
        .filter(|metric| metric.name == key.metric)
        .any(|metric| key.sample < metric.next)
}

/// All Environments, by UID.
#[derive(Default)]
pub struct Memory(Mutex<HashMap<String, EnvironmentMemory>>);

impl Memory {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, EnvironmentMemory>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads or changes what is known about an Environment. Never held across an await.
    pub fn with<T>(&self, uid: &str, look: impl FnOnce(&mut EnvironmentMemory) -> T) -> T {
        look(self.lock().entry(uid.to_owned()).or_default())
    }

    /// The same for one that may be forgotten meanwhile.
    pub fn if_known<T>(&self, uid: &str, look: impl FnOnce(&mut EnvironmentMemory) -> T) -> Option<T> {
        self.lock().get_mut(uid).map(look)
    }

    /// Whether it is the UID of an Environment.
    pub fn knows(&self, uid: &str) -> bool {
        self.lock().contains_key(uid)
    }

    /// The object of an Environment that has been reconciled before.
    pub fn object(&self, uid: &str) -> Option<ObjectRef<Environment>> {
        self.lock().get(uid).and_then(|known| known.object.clone())
    }

    /// Forgets an Environment.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// Forgets those that are gone.
    pub fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.lock().retain(|uid, _| keep(uid));
    }

    /// A reconcile went well.
    pub fn went_well(&self, uid: &str) {
        if let Some(known) = self.lock().get_mut(uid) {
            known.failures = 0;
        }
    }

    /// The Environment as we last wrote it when the cache is behind, else as the cache has it.
    pub fn freshest(&self, cached: &Environment) -> Environment {
        self.with(&cached.uid().unwrap_or_default(), |known| {
            known.object = Some(ObjectRef::from_obj(cached));
            let newer = known
                .written
                .as_ref()
                .is_some_and(|written| version(written) > version(cached));
            if !newer {
                known.written = None;
            }
            known.written.clone().unwrap_or_else(|| cached.clone())
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use dcanary_rollout::seen::Answer;
    use serde_json::json;

    use super::*;

    fn key(sample: i32) -> MeasureKey {
        MeasureKey {
            promotion: "p".to_owned(),
            analysis: "step-1".to_owned(),
            metric: "errors".to_owned(),
            sample,
            baseline: false,
        }
    }

    fn measured(at: &str) -> Measurement {
        Measurement {
            at: at.parse().unwrap(),
            answer: Answer::NoData,
        }
    }

    fn status(next: i32) -> EnvironmentStatus {
        serde_json::from_value(json!({"rollout": {
            "promotion": "x", "promotionNamespace": "team", "promotionUid": "p", "release": "r", "identity": "i", "workload": "w",
            "analyses": [{"name": "step-1", "metrics": [{"name": "errors", "next": next}]}],
        }}))
        .unwrap()
    }

    #[test]
    fn a_sample_is_asked_for_once_until_its_answer_is_in_the_status() {
        let at = "2026-01-01T00:00:00Z";
        let mut memory = EnvironmentMemory::default();
        assert!(memory.ask(&key(0)));
        assert!(!memory.ask(&key(0)), "it is on its way");
        memory.answered(&key(0), measured(at));
        assert!(!memory.ask(&key(0)), "it is there");
        memory.settle(&status(0));
        assert_eq!(memory.measurements().len(), 1, "not in the status yet");
        memory.settle(&status(1));
        assert!(memory.measurements().is_empty());
        assert!(memory.ask(&key(1)));
    }

    #[test]
    fn an_answer_that_nobody_waits_for_is_dropped() {
        let mut memory = EnvironmentMemory::default();
        memory.answered(&key(0), measured("2026-01-01T00:00:00Z"));
        assert!(memory.measurements().is_empty());
        memory.ask(&key(1));
        memory.given_up(&key(1));
        assert!(memory.ask(&key(1)), "it may be asked for again");
        memory.answered(&key(1), measured("2026-01-01T00:00:00Z"));
        memory.ask(&key(2));
        assert!(
            memory.measurements().is_empty(),
            "an older sample of the series is over"
        );
        memory.answered(&key(2), measured("2026-01-01T00:00:00Z"));
        memory.settle(&EnvironmentStatus::default());
        assert!(memory.measurements().is_empty(), "there is no rollout any more");
    }

    #[test]
    fn a_gateway_is_asked_until_it_has_shown_a_split_and_one_answer_is_kept() {
        let answer = |token: &str, shown: Result<(), String>| Checked {
            token: token.to_owned(),
            at: "2026-01-01T00:00:00Z".parse().unwrap(),
            shown,
        };
        let mut memory = EnvironmentMemory::default();
        assert!(memory.ask_gateway("a"));
        assert!(!memory.ask_gateway("a"), "it is being asked");
        memory.gateway_answered(answer("a", Err("answers 404".to_owned())));
        memory.gateway_given_up("a");
        assert!(memory.ask_gateway("a"), "it has not shown it");
        memory.gateway_answered(answer("a", Ok(())));
        memory.gateway_given_up("a");
        assert!(!memory.ask_gateway("a"), "it has");
        assert!(memory.ask_gateway("b"));
        assert_eq!(memory.check(), None, "another split is another question");
        memory.gateway_answered(answer("a", Ok(())));
        assert_eq!(memory.check(), None, "nobody asks that any more");
        memory.gateway_answered(answer("b", Ok(())));
        memory.gateway_given_up("b");
        assert!(
            memory.ask_gateway("a"),
            "what was shown before another split is not shown now"
        );
    }

    #[test]
    fn of_evidence_only_the_latest_is_remembered() {
        let mut memory = EnvironmentMemory::default();
        for number in 0..EVIDENCE + 5 {
            memory.stored(&number.to_string());
        }
        assert_eq!(memory.evidence().len(), EVIDENCE);
        assert!(!memory.has("0") && memory.has("68"));
    }
}

//! What this process knows about runs besides the cache. All of it can be lost: the API server, the server and the chain have the rest.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use dcanary_core::SeenPod;
use dcanary_core::observed::{CreateAnswer, Creation, JournalSeen, SeenReport};
use dcanary_crds::PipelineRun;
use jiff::Timestamp;
use kube::{ResourceExt, runtime::reflector::ObjectRef};

use crate::backoff::pause;

/// A Promotion that was created so long ago and is not in the cache is gone.
const UNSEEN: Duration = Duration::from_secs(60);
/// Pause before a Pod is asked for again that could not be created then.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// Doublings of the first pause that one begins with that did not get through: 1.6 seconds.
const SLOW_START: u32 = 2;

/// What is remembered about one run.
#[derive(Default)]
pub struct RunMemory {
    /// Namespace and name.
    pub object: Option<ObjectRef<PipelineRun>>,
    /// What our last write returned; used until the cache has caught up.
    pub written: Option<PipelineRun>,
    /// Pods that name the run, by namespace and name. Anybody who may create Pods anywhere can set that label.
    pub pods: BTreeMap<(String, String), SeenPod>,
    /// Answers to `CreatePod` and `Deploy`, and when they came.
    creations: Vec<(Creation, Instant)>,
    /// Reports that are not acknowledged.
    pub reports: Vec<SeenReport>,
    /// UIDs of Pods whose final report came to this process, acknowledged or not.
    pub reported: BTreeSet<String>,
    /// It has not begun: a Pipeline or an executor may be missing.
    pub waits: bool,
    /// Reconciles that failed in a row.
    pub failures: u32,
    /// What the recorder told.
    pub journal: JournalSeen,
}

impl RunMemory {
    /// Pods in a namespace.
    pub fn pods_in(&self, namespace: &str) -> impl Iterator<Item = &SeenPod> {
        self.pods
            .iter()
            .filter(move |((place, _), _)| place == namespace)
            .map(|(_, pod)| pod)
    }

    /// Notes a report, once.
    pub fn reported(&mut self, report: SeenReport) {
        if report.entry.report.is_some() {
            self.reported.insert(report.entry.attempt.clone());
        }
        let cursor = report.entry.cursor;
        if self.reports.iter().all(|seen| seen.entry.cursor != cursor) {
            self.reports.push(report);
        }
    }

    /// Drops reports that are persisted or of no concern.
    pub fn settle(&mut self, cursors: &[u64]) {
        self.reports.retain(|seen| !cursors.contains(&seen.entry.cursor));
    }

    /// Notes the answer to a creation, in place of an earlier one. One that does not get through is tried again after a pause that grows.
    pub fn answered(&mut self, mut creation: Creation, now: Instant) {
        let before = self.creations.iter().find_map(|(old, _)| match old.answer {
            CreateAnswer::Failed { times, .. } if old.pod == creation.pod => Some(times),
            _ => None,
        });
        if let CreateAnswer::Failed { times, retry_at, .. } = &mut creation.answer {
            *times = before.map_or(*times, |before| before.saturating_add(1));
            *retry_at += pause(times.saturating_add(SLOW_START));
        }
        self.creations.retain(|(old, _)| old.pod != creation.pod);
        self.creations.push((creation, now));
    }

    /// Promotions that are not in the cache: what was created a while ago has been deleted since.
    pub fn promotions_missing(&mut self, names: &[String], now: Instant) {
        for (creation, at) in &mut self.creations {
            if let CreateAnswer::Created { gone, .. } = &mut creation.answer
                && names.contains(&creation.pod)
            {
                *gone |= now.duration_since(*at) >= UNSEEN;
            }
        }
    }

    /// The answers that count now: those that another try may change are forgotten after a pause, so that it is made.
    pub fn answers(&mut self, now: Instant) -> Vec<Creation> {
        self.creations.retain(|(creation, at)| {
            let may_change = matches!(
                creation.answer,
                CreateAnswer::Quota { .. } | CreateAnswer::Foreign
            );
            !may_change || now.duration_since(*at) < ASK_AGAIN
        });
        self.creations
            .iter()
            .map(|(creation, _)| creation.clone())
            .collect()
    }
}

/// Something that waits for a run that the cache does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// A Pod with our finalizer.
    Pod {
        /// Its name.
        name: String,
        /// Its UID.
        uid: String,
        /// The run is its controller. Otherwise somebody else made it and only copied our marks.
        ours: bool,
        /// It is being deleted already.
        deleting: bool,
    },
    /// A report.
    Report {
        /// Its cursor.
        cursor: u64,
    },
}

/// All runs, by UID.
#[derive(Default)]
pub struct Memory(Mutex<HashMap<String, RunMemory>>);

impl Memory {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, RunMemory>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads or changes what is known about a run. Never held across an await.
    pub fn with<T>(&self, uid: &str, look: impl FnOnce(&mut RunMemory) -> T) -> T {
        look(self.lock().entry(uid.to_owned()).or_default())
    }

    /// The object of a run that has been reconciled before.
    pub fn object(&self, uid: &str) -> Option<ObjectRef<PipelineRun>> {
        self.lock().get(uid).and_then(|run| run.object.clone())
    }

    /// Runs that have not begun.
    pub fn waiting(&self) -> Vec<ObjectRef<PipelineRun>> {
        let runs = self.lock();
        let waiting = runs.values().filter(|run| run.waits);
        waiting.filter_map(|run| run.object.clone()).collect()
    }

    /// Forgets a run. Returns the cursors of its reports, which nobody else will settle.
    #[must_use]
    pub fn forget(&self, uid: &str) -> Vec<u64> {
        let gone = self.lock().remove(uid);
        let reports = gone.into_iter().flat_map(|run| run.reports);
        reports.map(|seen| seen.entry.cursor).collect()
    }

    /// A reconcile of a run went well.
    pub fn went_well(&self, uid: &str) {
        if let Some(run) = self.lock().get_mut(uid) {
            run.failures = 0;
        }
    }

    /// What waits for runs that are not live, by the namespace and the UID of the run.
    pub fn left(&self, live: impl Fn(&str, &str) -> bool) -> BTreeMap<(String, String), Vec<Left>> {
        let mut left: BTreeMap<(String, String), Vec<Left>> = BTreeMap::new();
        for (uid, run) in self.lock().iter() {
            for ((namespace, name), pod) in &run.pods {
                if pod.held && !live(namespace, uid) {
                    left.entry((namespace.clone(), uid.clone()))
                        .or_default()
                        .push(Left::Pod {
                            name: name.clone(),
                            uid: pod.uid.clone(),
                            ours: pod.controller.as_deref() == Some(uid),
                            deleting: pod.deleting_since.is_some(),
                        });
                }
            }
            for report in &run.reports {
                let namespace = &report.entry.namespace;
                if !live(namespace, uid) {
                    left.entry((namespace.clone(), uid.clone()))
                        .or_default()
                        .push(Left::Report {
                            cursor: report.entry.cursor,
                        });
                }
            }
        }
        left
    }

    /// Reports of a run that came before a time.
    pub fn reports_before(&self, uid: &str, time: Timestamp) -> Vec<u64> {
        let runs = self.lock();
        let reports = runs.get(uid).into_iter().flat_map(|run| &run.reports);
        reports
            .filter(|seen| seen.received < time)
            .map(|seen| seen.entry.cursor)
            .collect()
    }

    /// Forgets runs that are gone, with what only made sense with them.
    pub fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.lock()
            .retain(|uid, run| keep(uid) || !run.pods.is_empty() || !run.reports.is_empty());
    }

    /// The run as we last wrote it when the cache is behind, else as the cache has it.
    pub fn freshest(&self, cached: &PipelineRun) -> PipelineRun {
        let uid = cached.uid().unwrap_or_default();
        self.with(&uid, |run| {
            run.object = Some(ObjectRef::from_obj(cached));
            let newer = run
                .written
                .as_ref()
                .is_some_and(|written| version(written) > version(cached));
            if !newer {
                run.written = None;
            }
            run.written.clone().unwrap_or_else(|| cached.clone())
        })
    }

    /// Notes a Pod as the watch told it.
    pub fn pod_seen(&self, run_uid: &str, namespace: &str, pod: SeenPod) {
        self.with(run_uid, |run| {
            let key = (namespace.to_owned(), pod.name.clone());
            let pod = pod.seen_after(run.pods.get(&key), Timestamp::now());
            run.pods.insert(key, pod);
        });
    }

    /// Notes that a Pod is gone.
    pub fn pod_gone(&self, run_uid: &str, namespace: &str, name: &str, pod_uid: &str) {
        self.with(run_uid, |run| {
            let key = (namespace.to_owned(), name.to_owned());
            if run.pods.get(&key).is_some_and(|pod| pod.uid == pod_uid) {
                run.pods.remove(&key);
            }
            // that somebody else's had the name counts no more
            run.creations
                .retain(|(creation, _)| creation.pod != name || creation.answer != CreateAnswer::Foreign);
            for (creation, _) in &mut run.creations {
                if let CreateAnswer::Created { uid, gone } = &mut creation.answer
                    && uid == pod_uid
                {
                    *gone = true;
                }
            }
        });
    }
}

/// Resource versions of one kind are numbers that grow (KEP-5504); one that is none counts as oldest, so that the cache wins.
pub fn version(object: &impl ResourceExt) -> u64 {
    object
        .resource_version()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(pod: &str, answer: CreateAnswer) -> Creation {
        Creation {
            pod: pod.to_owned(),
            answer,
        }
    }

    #[test]
    fn a_pod_that_the_quota_refused_is_asked_for_again_after_a_pause_and_one_that_was_created_is_not() {
        let start = Instant::now();
        let mut memory = RunMemory::default();
        let quota = CreateAnswer::Quota {
            message: "exceeded quota: small".to_owned(),
        };
        let created = CreateAnswer::Created {
            uid: "1".to_owned(),
            gone: false,
        };
        memory.answered(answer("a", quota), start);
        memory.answered(answer("b", CreateAnswer::Foreign), start);
        memory.answered(answer("c", created.clone()), start);
        assert_eq!(memory.answers(start + ASK_AGAIN / 2).len(), 3);
        assert_eq!(memory.answers(start + ASK_AGAIN), [answer("c", created)]);
    }

    #[test]
    fn a_creation_that_does_not_get_through_is_tried_again_after_pauses_that_grow_and_begin_anew_with_another_answer()
     {
        let start = Instant::now();
        let mut memory = RunMemory::default();
        let mut pause = |given: CreateAnswer| {
            memory.answered(answer("a", given), start);
            match &memory.answers(start)[0].answer {
                CreateAnswer::Failed { times, retry_at, .. } => {
                    Some((*times, retry_at.duration_since(Timestamp::UNIX_EPOCH).as_secs()))
                }
                _ => None,
            }
        };
        let failed = || CreateAnswer::Failed {
            message: "the webhook does not answer".to_owned(),
            times: 1,
            retry_at: Timestamp::UNIX_EPOCH,
        };
        assert!(matches!(pause(failed()), Some((1, 1..=2))));
        assert!(matches!(pause(failed()), Some((2, 3..=4))));
        for _ in 0..10 {
            pause(failed());
        }
        assert!(matches!(pause(failed()), Some((13, 51..=64))));
        assert_eq!(pause(CreateAnswer::Foreign), None);
        assert!(matches!(pause(failed()), Some((1, _))));
    }

    #[test]
    fn a_promotion_is_gone_when_the_cache_has_it_not_a_minute_after_it_was_made() {
        let start = Instant::now();
        let mut memory = RunMemory::default();
        let made = CreateAnswer::Created {
            uid: "1".to_owned(),
            gone: false,
        };
        memory.answered(answer("p", made), start);
        let mut gone = |names: &[String], now: Instant| {
            memory.promotions_missing(names, now);
            let answers = memory.answers(now);
            matches!(answers[0].answer, CreateAnswer::Created { gone: true, .. })
        };
        let missing = ["p".to_owned()];
        assert!(!gone(&missing, start + UNSEEN / 2), "the cache may be behind");
        assert!(!gone(&[], start + UNSEEN * 2), "it is there");
        assert!(gone(&missing, start + UNSEEN));
    }
}

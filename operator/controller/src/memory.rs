//! What this process knows about runs besides the cache. All of it can be lost: the API server, the server and the chain have the rest.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use dcanary_core::SeenPod;
use dcanary_core::observed::{CreateAnswer, Creation, JournalSeen, SeenReport};
use dcanary_crds::PipelineRun;
use kube::{ResourceExt, runtime::reflector::ObjectRef};

/// What is remembered about one run.
#[derive(Default)]
pub struct RunMemory {
    /// Namespace and name.
    pub object: Option<ObjectRef<PipelineRun>>,
    /// What our last write returned; used until the cache has caught up.
    pub written: Option<PipelineRun>,
    /// Pods, by name.
    pub pods: BTreeMap<String, SeenPod>,
    /// Answers to `CreatePod`.
    pub creations: Vec<Creation>,
    /// Reports that are not acknowledged.
    pub reports: Vec<SeenReport>,
    /// Reconciles that failed in a row.
    pub failures: u32,
    /// What the recorder told.
    pub journal: JournalSeen,
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

    /// Forgets a run.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
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
    pub fn pod_seen(&self, run_uid: &str, pod: SeenPod) {
        self.with(run_uid, |run| {
            run.pods.insert(pod.name.clone(), pod);
        });
    }

    /// Notes that a Pod is gone.
    pub fn pod_gone(&self, run_uid: &str, name: &str, pod_uid: &str) {
        self.with(run_uid, |run| {
            if run.pods.get(name).is_some_and(|pod| pod.uid == pod_uid) {
                run.pods.remove(name);
            }
            for creation in &mut run.creations {
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
pub fn version(run: &PipelineRun) -> u64 {
    run.metadata
        .resource_version
        .as_deref()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

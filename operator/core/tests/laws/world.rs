//! A pure model of everything around a decision: API server, kubelet, server, chain. It also watches the laws.

use std::collections::{BTreeMap, BTreeSet};

use dcanary_core::SeenPod;
use dcanary_crds::{PendingRecord, PipelineRun, PipelineRunStatus, Promotion, Release};
use dcanary_protocol::report::ReportEntry;
use jiff::{SignedDuration, Timestamp};

use crate::scenario::Scenario;

pub const UID: &str = "5b1f0f6e-52e2-4a1c-9a37-0d6a5f8f9e11";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Pending,
    Running { reported: bool },
    Ended,
}

#[derive(Debug, Clone)]
pub struct Pod {
    pub stage: String,
    pub attempt: i32,
    pub seen: SeenPod,
    pub phase: Phase,
    /// It was made when its attempt had one already that is gone. Its steps may begin before it is deleted, and count for nothing.
    pub stray: bool,
}

/// A Promotion and who asked for it.
#[derive(Debug, Clone)]
pub struct Promoting {
    pub stage: String,
    pub attempt: i32,
    pub promotion: Promotion,
}

/// The state of the world.
pub struct World {
    pub now: Timestamp,
    pub run: PipelineRun,
    pub version: u64,
    pub run_gone: bool,
    pub pods: BTreeMap<String, Pod>,
    pub pod_count: u32,
    pub promotions: BTreeMap<String, Promoting>,
    pub releases: BTreeMap<String, Release>,
    /// How often each attempt made a Promotion.
    pub promotions_made: BTreeMap<(String, i32), u32>,
    pub gone: BTreeSet<String>,
    pub reports: Vec<ReportEntry>,
    pub acked: BTreeSet<u64>,
    pub chain: Vec<PendingRecord>,
    pub chain_away: bool,
    pub server_away_since: Option<Timestamp>,
    pub namespace_since: Option<Timestamp>,
    /// Processes see that; else they learn it from what they cannot create.
    pub namespace_shown: bool,
    pub config_maps: BTreeMap<String, Vec<PendingRecord>>,
    pub refusals_of_creation: u32,
    pub scenario: Scenario,
    /// How often the steps of an attempt were begun.
    pub executions: BTreeMap<(String, i32), u32>,
    /// Every record that was ever persisted.
    pub log: BTreeMap<i64, PendingRecord>,
    pub writes: u32,
    pub trace: bool,
    /// Views are never stale.
    pub fresh: bool,
    pub ended: Option<PipelineRunStatus>,
    pub graph: Option<Vec<u8>>,
}

impl World {
    pub fn new(scenario: Scenario) -> Self {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        Self {
            now,
            run: scenario.run(now),
            version: 1,
            run_gone: false,
            pods: BTreeMap::new(),
            pod_count: 0,
            promotions: BTreeMap::new(),
            releases: BTreeMap::new(),
            promotions_made: BTreeMap::new(),
            gone: BTreeSet::new(),
            reports: Vec::new(),
            acked: BTreeSet::new(),
            chain: Vec::new(),
            chain_away: scenario.chain_away,
            server_away_since: None,
            namespace_since: None,
            namespace_shown: false,
            config_maps: BTreeMap::new(),
            refusals_of_creation: scenario.quota_refusals,
            scenario,
            executions: BTreeMap::new(),
            log: BTreeMap::new(),
            writes: 0,
            trace: std::env::var_os("DCANARY_TRACE").is_some(),
            fresh: false,
            ended: None,
            graph: None,
        }
    }

    pub fn status(&self) -> PipelineRunStatus {
        self.run.status.clone().unwrap_or_default()
    }

    pub fn finished(&self) -> bool {
        self.status().finished_at.is_some()
    }

    pub fn pass(&mut self, seconds: i64) {
        self.now = self.now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
    }

    /// A status write under a resource version. `false`: conflict.
    pub fn write(&mut self, version: u64, status: &PipelineRunStatus) -> bool {
        if self.run_gone || version != self.version {
            return false;
        }
        if self.run.status.as_ref() == Some(status) {
            return true;
        }
        self.laws_of_a_write(status);
        if self.trace {
            println!(
                "write {}: {}",
                self.writes,
                serde_json::to_string(status).unwrap()
            );
        }
        self.run.status = Some(status.clone());
        self.version += 1;
        self.writes += 1;
        true
    }

    /// The recorder: whatever a status or a sealed ConfigMap holds goes to the chain in order.
    pub fn record(&mut self) {
        if self.chain_away {
            return;
        }
        let Some(journal) = self.status().journal else {
            return;
        };
        let mut all: BTreeMap<i64, PendingRecord> = BTreeMap::new();
        for sealed in &journal.sealed {
            let records = &self.config_maps[&sealed.config_map];
            assert_eq!(dcanary_core::journal::seal_hash(records), sealed.hash);
            all.extend(records.iter().map(|record| (record.n, record.clone())));
        }
        all.extend(journal.pending.iter().map(|record| (record.n, record.clone())));
        while let Some(record) = all.remove(&i64::try_from(self.chain.len()).unwrap()) {
            self.chain.push(record);
        }
    }

    /// Somebody deletes a Pod by hand.
    pub fn delete_pod(&mut self, name: &str) {
        let grace = self.now.checked_add(SignedDuration::from_secs(30)).unwrap();
        if let Some(pod) = self.pods.get_mut(name) {
            pod.seen.deleting_since.get_or_insert(grace);
        }
        self.collect(name);
    }

    /// From now on nothing can be created in the namespace, and everything in it is deleted.
    pub fn delete_namespace(&mut self) {
        self.namespace_since.get_or_insert(self.now);
        for name in self.pods.keys().cloned().collect::<Vec<_>>() {
            self.delete_pod(&name);
        }
        self.delete_run();
    }

    /// Cursors of reports that an operator says to have persisted.
    pub fn acknowledge(&mut self, cursors: &[u64]) {
        let status = self.status();
        let attempts = || status.stages.iter().flat_map(|stage| &stage.attempts);
        for entry in self
            .reports
            .iter()
            .filter(|entry| cursors.contains(&entry.cursor))
        {
            let open = attempts().any(|attempt| {
                let own = attempt.pod_uid.as_ref().is_none_or(|uid| *uid == entry.attempt);
                attempt.pod == entry.pod && own && attempt.outcome.is_none()
            });
            assert!(
                !open || self.run_gone,
                "a report of {} was thrown away before its attempt had an outcome",
                entry.pod
            );
        }
        self.acked.extend(cursors);
    }

    pub fn delete_run(&mut self) {
        use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
        let held = self
            .run
            .metadata
            .finalizers
            .as_ref()
            .is_some_and(|list| !list.is_empty());
        if held {
            self.run.metadata.deletion_timestamp.get_or_insert(Time(self.now));
            self.version += 1;
        } else {
            self.go();
        }
    }

    /// The run's object goes. Whatever it ever recorded is elsewhere.
    pub fn go(&mut self) {
        self.run_gone = true;
        let aside = |n: &i64| self.config_maps.values().flatten().any(|record| record.n == *n);
        let lost: Vec<&i64> = self
            .log
            .keys()
            .filter(|n| usize::try_from(**n).unwrap() >= self.chain.len() && !aside(n))
            .collect();
        assert!(lost.is_empty(), "the run went and with it records {lost:?}");
        // nobody takes the finalizer off a Pod whose run is gone; a process whose view is behind cannot know better
        let held: Vec<&String> = self
            .pods
            .iter()
            .filter(|(_, pod)| self.fresh && pod.seen.held)
            .map(|(name, _)| name)
            .collect();
        assert!(held.is_empty(), "the run went and left {held:?} behind");
    }
}

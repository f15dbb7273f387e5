//! A pure model of everything around a decision: API server, kubelet, server, chain. It also watches the laws.

use std::collections::{BTreeMap, BTreeSet};

use dcanary_core::{SeenPod, seen_pod::Ended, seen_pod::PodWaiting};
use dcanary_crds::{PendingRecord, PipelineRun, PipelineRunStatus, StageState};
use dcanary_protocol::report::{
    ArtifactKind, ArtifactReport, FinalReport, Outcome, ReportEntry, ResultReport, StepOutcome, StepReport,
};
use dcanary_types::machine::RunMachine;
use jiff::{SignedDuration, Timestamp};

use crate::scenario::{Behaviour, Scenario};

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
}

/// The state of the world.
pub struct World {
    pub now: Timestamp,
    pub run: PipelineRun,
    pub version: u64,
    pub run_gone: bool,
    pub pods: BTreeMap<String, Pod>,
    pub pod_count: u32,
    pub gone: BTreeSet<String>,
    pub reports: Vec<ReportEntry>,
    pub acked: BTreeSet<u64>,
    pub chain: Vec<PendingRecord>,
    pub chain_away: bool,
    pub server_away_since: Option<Timestamp>,
    pub config_maps: BTreeMap<String, Vec<PendingRecord>>,
    pub refusals_of_creation: u32,
    pub scenario: Scenario,
    /// How often the steps of an attempt were begun.
    pub executions: BTreeMap<(String, i32), u32>,
    /// Every record that was ever persisted.
    pub log: BTreeMap<i64, PendingRecord>,
    pub writes: u32,
    pub trace: bool,
    ended: Option<PipelineRunStatus>,
    graph: Option<Vec<u8>>,
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
            gone: BTreeSet::new(),
            reports: Vec::new(),
            acked: BTreeSet::new(),
            chain: Vec::new(),
            chain_away: scenario.chain_away,
            server_away_since: None,
            config_maps: BTreeMap::new(),
            refusals_of_creation: scenario.quota_refusals,
            scenario,
            executions: BTreeMap::new(),
            log: BTreeMap::new(),
            writes: 0,
            trace: std::env::var_os("DCANARY_TRACE").is_some(),
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

    fn laws_of_a_write(&mut self, status: &PipelineRunStatus) {
        if let Some(ended) = &self.ended {
            let frozen = |status: &PipelineRunStatus| {
                let mut status = status.clone();
                status.journal = None;
                status
                    .conditions
                    .retain(|c| format!("{:?}", c.kind) != "Recorded");
                status
            };
            assert_eq!(frozen(ended), frozen(status), "a terminal run changed");
        }
        if status.finished_at.is_some() && self.ended.is_none() {
            self.ended = Some(status.clone());
        }
        let old = self.status();
        for (before, after) in old.stages.iter().zip(&status.stages) {
            assert!(
                !before.state.ended() || before.state == after.state,
                "an ended stage changed"
            );
            assert!(
                before.attempts.len() <= after.attempts.len(),
                "an attempt vanished"
            );
            for (a, b) in before.attempts.iter().zip(&after.attempts) {
                assert!(
                    a.outcome.is_none() || a.outcome == b.outcome,
                    "an outcome changed: {a:?} {b:?}"
                );
            }
        }
        let Some(journal) = &status.journal else { return };
        assert!(journal.pending.len() <= 64, "the outbox is too long");
        if let Some(graph) = &journal.graph {
            self.graph = Some(decode(graph));
        }
        for record in &journal.pending {
            let known = self.log.entry(record.n).or_insert_with(|| record.clone());
            if known != record {
                assert_eq!(
                    record.btype, "dcanary_record_refused",
                    "record {} changed",
                    record.n
                );
                *known = record.clone();
            }
        }
        let count = i64::try_from(self.log.len()).unwrap();
        assert_eq!(count, journal.next, "numbers have a gap");
        let held = journal.recorded
            + journal
                .sealed
                .iter()
                .map(|s| s.last - s.first.max(journal.recorded) + 1)
                .sum::<i64>()
            + i64::try_from(journal.pending.len()).unwrap();
        assert_eq!(held, journal.next, "a record is nowhere: {journal:?}");
        let chained = i64::try_from(self.chain.len()).unwrap();
        assert!(journal.recorded <= chained, "recorded before the chain had it");
        assert!(status_json_len(status) < 512 * 1024, "the status is too large");
    }

    /// All records, from the first, through the machine of the journal.
    pub fn check_journal(&self) {
        let Some(graph) = &self.graph else { return };
        let graph = dcanary_types::graph::GraphDoc::decode(graph).unwrap();
        let mut machine = RunMachine::open(graph);
        for (n, record) in &self.log {
            let record = dcanary_core::journal::read(record).unwrap();
            assert_eq!(i64::try_from(record.n).unwrap(), *n);
            assert_eq!(record.run, UID);
            if *n == 0 {
                assert_eq!(record.btype(), "dcanary_run_opened");
            } else {
                machine
                    .apply(&record.transition)
                    .unwrap_or_else(|error| panic!("record {n}: {error}"));
            }
        }
        assert_eq!(
            machine.is_finished(),
            self.finished(),
            "the journal's end is not the run's"
        );
        for (n, record) in self.chain.iter().enumerate() {
            assert_eq!(
                record,
                &self.log[&i64::try_from(n).unwrap()],
                "the chain has another record"
            );
        }
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

    pub fn behaviour(&self, pod: &Pod) -> Behaviour {
        self.scenario.behaviour(&pod.stage, pod.attempt)
    }

    /// The kubelet and the runner take a Pod one step further.
    pub fn advance(&mut self, name: &str) {
        let Some(pod) = self.pods.get(name).cloned() else {
            return;
        };
        let behaviour = self.behaviour(&pod);
        match pod.phase {
            Phase::Pending if pod.seen.deleting_since.is_some() => self.end(name, None, ""),
            Phase::Pending => match behaviour {
                Behaviour::ImageMissing => {
                    self.pods.get_mut(name).unwrap().seen.waiting = Some(PodWaiting {
                        reason: "ImagePullBackOff".into(),
                        message: "manifest unknown".into(),
                    });
                }
                Behaviour::NeverScheduled => {
                    self.pods.get_mut(name).unwrap().seen.waiting = Some(PodWaiting {
                        reason: "Unschedulable".into(),
                        message: "no node".into(),
                    });
                }
                _ => self.execute(name),
            },
            Phase::Running { reported } => self.run_on(name, behaviour, reported),
            Phase::Ended => {}
        }
    }

    /// The runner begins the steps.
    fn execute(&mut self, name: &str) {
        let now = self.now;
        let pod = self.pods.get_mut(name).unwrap();
        pod.phase = Phase::Running { reported: false };
        pod.seen.started_at = Some(now);
        pod.seen.waiting = None;
        let key = (pod.stage.clone(), pod.attempt);
        let (stage, attempt) = key.clone();
        let count = self.executions.entry(key).or_insert(0);
        *count += 1;
        assert_eq!(*count, 1, "attempt {attempt} of {stage} ran its steps twice");
        let live = self
            .pods
            .values()
            .filter(|pod| pod.stage == stage && pod.attempt == attempt && pod.phase != Phase::Ended);
        assert_eq!(live.count(), 1, "two live Pods for one attempt");
        self.check_needs(&stage);
    }

    fn check_needs(&self, stage: &str) {
        let status = self.status();
        for need in self.scenario.needs(stage) {
            let need = status.stages.iter().find(|status| status.name == need).unwrap();
            let met = match need.state {
                StageState::Succeeded => true,
                StageState::Failed => need.optional,
                StageState::Skipped => need.reason == "Condition" || need.reason == "Results",
                StageState::Pending | StageState::Running | StageState::Retrying | StageState::Cancelled => {
                    false
                }
            };
            assert!(
                met,
                "{stage} began before its need {} was met ({:?})",
                need.name, need.state
            );
        }
    }

    fn run_on(&mut self, name: &str, behaviour: Behaviour, reported: bool) {
        let terminated = self.pods[name].seen.deleting_since.is_some();
        if terminated && !reported && behaviour != Behaviour::IgnoresSigterm {
            self.report(name, Outcome::Cancelled, "Cancelled");
            return self.end(name, Some(3), "Error");
        }
        match (behaviour, reported) {
            (Behaviour::Succeed, false) => self.report(name, Outcome::Succeeded, "Succeeded"),
            (Behaviour::Succeed, true) => self.end(name, Some(0), "Completed"),
            (Behaviour::Fail, false) => self.report(name, Outcome::Failed, "StepFailed"),
            (Behaviour::Fail, true) => self.end(name, Some(1), "Error"),
            (Behaviour::RunnerError, false) => self.report(name, Outcome::Error, "Spool"),
            (Behaviour::RunnerError, true) => self.end(name, Some(70), "Error"),
            (Behaviour::Disputed, false) => self.report(name, Outcome::Succeeded, "Succeeded"),
            (Behaviour::Disputed, true) => self.end(name, Some(137), "Error"),
            (Behaviour::SilentZero, _) => self.end(name, Some(0), "Completed"),
            (Behaviour::Killed, _) => self.end(name, Some(137), "Error"),
            (Behaviour::OutOfMemory, _) => self.end(name, Some(137), "OOMKilled"),
            (Behaviour::Evicted, _) => {
                self.pods.get_mut(name).unwrap().seen.disruption = Some("Evicted".into());
                self.end(name, None, "Evicted");
            }
            (Behaviour::SecondTrade, false) => {
                self.report(name, Outcome::Succeeded, "Succeeded");
                if let (None, Some(last)) = (self.server_away_since, self.reports.last_mut()) {
                    last.report.as_mut().unwrap().second_trade = true;
                }
            }
            (Behaviour::SecondTrade, true) => self.end(name, Some(0), "Completed"),
            (Behaviour::NodeGone, _) => {
                // the taint manager deletes it; nobody there ends it
                let now = self.now;
                let pod = self.pods.get_mut(name).unwrap();
                pod.seen.deleting_since.get_or_insert(now);
                pod.seen.disruption = Some("DeletionByTaintManager".into());
            }
            (Behaviour::Hangs, _) => {}
            (Behaviour::IgnoresSigterm, _) => {
                if self.pods[name]
                    .seen
                    .deleting_since
                    .is_some_and(|deadline| self.now >= deadline)
                {
                    self.end(name, Some(137), "Error");
                }
            }
            (Behaviour::ImageMissing | Behaviour::NeverScheduled | Behaviour::Refused, _) => {}
        }
    }

    fn end(&mut self, name: &str, exit_code: Option<i32>, reason: &str) {
        let now = self.now;
        let pod = self.pods.get_mut(name).unwrap();
        pod.phase = Phase::Ended;
        pod.seen.ended = Some(Ended {
            exit_code,
            reason: reason.into(),
            message: String::new(),
            at: Some(now),
        });
        self.collect(name);
    }

    /// The API server removes an object that is deleted, has ended and is held no more.
    pub fn collect(&mut self, name: &str) {
        let Some(pod) = self.pods.get(name) else { return };
        if pod.seen.deleting_since.is_some() && !pod.seen.held && pod.phase == Phase::Ended {
            self.gone.insert(pod.seen.uid.clone());
            self.pods.remove(name);
        }
    }

    pub fn report(&mut self, name: &str, outcome: Outcome, reason: &str) {
        if self.server_away_since.is_some() {
            return;
        }
        let pod = self.pods.get_mut(name).unwrap();
        pod.phase = Phase::Running { reported: true };
        let succeeded = outcome == Outcome::Succeeded;
        let cursor = self.reports.len() as u64 + 1;
        let digest = format!("sha256:{}", "ab".repeat(32));
        self.reports.push(ReportEntry {
            cursor,
            attempt: pod.seen.uid.clone(),
            namespace: "team-a".into(),
            pod: name.into(),
            run: "web-1".into(),
            run_uid: UID.into(),
            report: Some(FinalReport {
                outcome,
                reason: reason.into(),
                message: String::new(),
                frames: 3,
                steps: vec![StepReport {
                    name: "run-1".into(),
                    outcome: if succeeded {
                        StepOutcome::Succeeded
                    } else {
                        StepOutcome::Failed
                    },
                    exit_code: Some(i32::from(!succeeded)),
                    started_at: None,
                    finished_at: None,
                    message: None,
                }],
                results: vec![ResultReport {
                    name: "version".into(),
                    value: Some("1.2".into()),
                    digest: digest.clone(),
                    size: 3,
                }],
                artifacts: vec![ArtifactReport {
                    name: "out".into(),
                    digest,
                    size: 7,
                    kind: ArtifactKind::File,
                    reference: None,
                }],
                second_trade: false,
            }),
            second_trade: false,
        });
    }

    /// Somebody deletes a Pod by hand.
    pub fn delete_pod(&mut self, name: &str) {
        let grace = self.now.checked_add(SignedDuration::from_secs(30)).unwrap();
        if let Some(pod) = self.pods.get_mut(name) {
            pod.seen.deleting_since.get_or_insert(grace);
        }
        self.collect(name);
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
            self.run_gone = true;
        }
    }
}

fn status_json_len(status: &PipelineRunStatus) -> usize {
    serde_json::to_vec(status).unwrap().len()
}

fn decode(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

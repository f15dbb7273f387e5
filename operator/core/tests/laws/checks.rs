//! Laws that the world watches.

use dcanary_crds::{PipelineRunStatus, StageState};
use dcanary_types::machine::RunMachine;

use crate::world::{Phase, Pod, UID, World};

impl World {
    pub fn laws_of_a_write(&mut self, status: &PipelineRunStatus) {
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
        let size = status_json_len(status);
        assert!(size <= 512 * 1024, "the status has {size} bytes");
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
    }

    /// All records, from the first, through the machine of the journal.
    pub fn check_journal(&self) {
        let Some(graph) = &self.graph else { return };
        let graph = dcanary_types::graph::GraphDoc::decode(graph).unwrap();
        let mut machine = RunMachine::open(graph);
        for (n, record) in &self.log {
            let record = dcanary_core::journal::read::<dcanary_types::record::Transition>(record).unwrap();
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

    /// An operator takes its finalizer off a Pod: the status has what it tells.
    pub fn check_release(&self, name: &str) {
        let status = self.status();
        let seen = &self.pods[name].seen;
        if self.pods[name].stray {
            return;
        }
        // in a cache that is behind, its node may not have answered for long
        let stuck = |deadline| self.now.duration_since(deadline).as_secs() >= 60;
        let ended = seen
            .ended
            .as_ref()
            .filter(|_| !seen.deleting_since.is_some_and(stuck));
        let attempt = status
            .stages
            .iter()
            .flat_map(|stage| &stage.attempts)
            .find(|attempt| attempt.pod == name);
        let (Some(attempt), Some(ended)) = (attempt, ended) else {
            return;
        };
        assert!(
            attempt.outcome.is_some(),
            "{name} was released without an outcome"
        );
        assert!(
            ended.exit_code.is_none() || attempt.exit_code.is_some() || self.finished(),
            "{name} was released before its exit code was persisted"
        );
    }

    /// Earlier attempts of a stage have ended, or their nodes have not answered for long.
    pub fn check_predecessors(&self, stage: &str, attempt: i32) {
        let running = |pod: &&Pod| {
            let waited = pod
                .seen
                .deleting_since
                .is_some_and(|deadline| self.now.duration_since(deadline).as_secs() >= 60);
            pod.stage == stage
                && !pod.stray
                && pod.attempt < attempt
                && matches!(pod.phase, Phase::Running { reported: false })
                && !waited
        };
        let found = self.pods.values().find(running);
        assert!(
            found.is_none(),
            "{stage} {attempt} began while {found:?} was running"
        );
    }

    pub fn check_needs(&self, stage: &str) {
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
}

fn status_json_len(status: &PipelineRunStatus) -> usize {
    serde_json::to_vec(status).unwrap().len()
}

fn decode(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

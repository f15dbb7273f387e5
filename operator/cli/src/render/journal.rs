//! The verified journal of a run.

use dcanary_types::record::{Artifact, Transition};
use dcanary_verifier::VerifiedRecord;
use serde_json::{Value, json};

use crate::output::{age::instant, table::table};

/// Bytes of a digest that people compare.
const SHOWN: usize = 6;

/// A line for each record: number, block, time, what happened and to what.
pub fn journal(records: &[VerifiedRecord]) -> String {
    let rows = records
        .iter()
        .map(|one| {
            vec![
                one.record.n.to_string(),
                one.index.to_string(),
                instant(one.ts),
                word(&one.record.transition).to_owned(),
                stage(&one.record.transition),
                detail(&one.record.transition),
            ]
        })
        .collect();
    table(&["N", "BLOCK", "TIME", "RECORD", "STAGE", "DETAIL"], rows)
}

/// What a program reads.
pub fn machine(records: &[VerifiedRecord]) -> Value {
    records
        .iter()
        .map(|one| {
            let transition = &one.record.transition;
            json!({
                "n": one.record.n,
                "block": one.index,
                "time": instant(one.ts),
                "caller": hex::encode(&one.caller),
                "type": transition.btype(),
                "stage": transition.stage(),
                "attempt": attempt(transition),
                "detail": detail(transition),
            })
        })
        .collect()
}

/// The block type without what all of them begin with.
fn word(transition: &Transition) -> &'static str {
    transition
        .btype()
        .strip_prefix("dcanary_")
        .unwrap_or_else(|| transition.btype())
}

fn attempt(transition: &Transition) -> Option<u64> {
    match transition {
        Transition::StageStarted { attempt, .. }
        | Transition::StageSucceeded { attempt, .. }
        | Transition::StageFailed { attempt, .. }
        | Transition::StageRetried { attempt, .. }
        | Transition::StageDisputed { attempt, .. } => Some(*attempt),
        Transition::RunOpened { .. }
        | Transition::StageSkipped { .. }
        | Transition::StageCancelled { .. }
        | Transition::RunFinished { .. }
        | Transition::RecordRefused { .. } => None,
    }
}

fn stage(transition: &Transition) -> String {
    let name = transition.stage().unwrap_or_default();
    match attempt(transition) {
        Some(attempt) if attempt > 1 => format!("{name} #{attempt}"),
        _ => name.to_owned(),
    }
}

fn short(hash: &[u8]) -> String {
    hex::encode(&hash[..SHOWN.min(hash.len())])
}

fn detail(transition: &Transition) -> String {
    match transition {
        Transition::RunOpened {
            name,
            definition,
            source,
            ..
        } => {
            let source = source.as_ref().map_or_else(String::new, |source| {
                format!(", {} {}", source.repo, source.commit)
            });
            format!("{name}, definition {}{source}", short(definition))
        }
        Transition::StageStarted { image, .. } => image.clone(),
        Transition::StageSucceeded {
            outputs, artifacts, ..
        } => {
            let artifacts: Vec<String> = artifacts.iter().flatten().map(artifact).collect();
            if artifacts.is_empty() {
                format!("outputs {}", short(outputs))
            } else {
                artifacts.join(", ")
            }
        }
        Transition::StageFailed { reason, .. }
        | Transition::StageRetried { reason, .. }
        | Transition::StageDisputed { reason, .. }
        | Transition::StageCancelled { reason, .. } => reason.clone(),
        Transition::StageSkipped { reason, .. } => reason.as_str().to_owned(),
        Transition::RunFinished { outcome } => outcome.as_str().to_owned(),
        Transition::RecordRefused { hash, reason } => format!("{}: {reason}", short(hash)),
    }
}

fn artifact(artifact: &Artifact) -> String {
    format!("{} sha256:{}", artifact.name, short(&artifact.digest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dcanary_types::record::{Outcome, Record};

    fn records() -> Vec<VerifiedRecord> {
        let all = [
            Transition::RunOpened {
                name: "team-a/web-1".to_owned(),
                definition: [1; 32],
                graph: [2; 32],
                params: [3; 32],
                source: None,
            },
            Transition::StageStarted {
                stage: "build".to_owned(),
                attempt: 2,
                image: "registry.example/go:1".to_owned(),
            },
            Transition::StageFailed {
                stage: "build".to_owned(),
                attempt: 2,
                reason: "StepFailed".to_owned(),
            },
            Transition::RunFinished {
                outcome: Outcome::Failed,
            },
        ];
        (0..)
            .zip(all)
            .map(|(n, transition)| VerifiedRecord {
                index: n + 40,
                ts: 1_700_000_000_000_000_000,
                caller: vec![4],
                record: Record {
                    run: "uid".to_owned(),
                    n,
                    claimed_ts: 0,
                    transition,
                },
            })
            .collect()
    }

    #[test]
    fn each_record_is_a_line() {
        insta::assert_snapshot!("journal", journal(&records()));
    }

    #[test]
    fn a_program_gets_the_block_type_and_the_attempt() {
        let all = machine(&records());
        assert_eq!(all[1]["type"], "dcanary_stage_started");
        assert_eq!(all[1]["attempt"], 2);
        assert_eq!(all[3]["detail"], "failed");
    }
}

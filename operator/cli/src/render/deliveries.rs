//! The verified journal of an environment.

use dcanary_types::environment::EnvTransition;
use dcanary_verifier::VerifiedRecord;
use serde_json::{Value, json};

use crate::output::{age::instant, table::table};

/// Bytes of a digest that people compare.
const SHOWN: usize = 6;

/// A line for each record: number, block, time, what happened and to what.
pub fn journal(records: &[VerifiedRecord<EnvTransition>]) -> String {
    let rows = records
        .iter()
        .map(|one| {
            let transition = &one.record.transition;
            vec![
                one.record.n.to_string(),
                one.index.to_string(),
                instant(one.ts),
                word(transition).to_owned(),
                transition.promotion().unwrap_or_default().to_owned(),
                detail(transition),
            ]
        })
        .collect();
    table(&["N", "BLOCK", "TIME", "RECORD", "PROMOTION", "DETAIL"], rows)
}

/// What a program reads.
pub fn machine(records: &[VerifiedRecord<EnvTransition>]) -> Value {
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
                "promotion": transition.promotion(),
                "detail": detail(transition),
            })
        })
        .collect()
}

/// The block type without what all of them begin with.
fn word(transition: &EnvTransition) -> &'static str {
    transition
        .btype()
        .strip_prefix("dcanary_")
        .unwrap_or_else(|| transition.btype())
}

fn short(hash: &[u8]) -> String {
    hex::encode(&hash[..SHOWN.min(hash.len())])
}

fn evidence(evidence: Option<&[u8; 32]>) -> String {
    evidence.map_or_else(String::new, |hash| format!(", evidence {}", short(hash)))
}

fn rules(from: Option<&String>, approvals: u64, rules: &[u8]) -> String {
    let from = from.map_or_else(String::new, |uid| format!(", from {uid}"));
    format!("{approvals} approvals{from}, rules {}", short(rules))
}

fn detail(transition: &EnvTransition) -> String {
    match transition {
        EnvTransition::Opened {
            name,
            from,
            approvals,
            rules: digest,
        } => format!("{name}, {}", rules(from.as_ref(), *approvals, digest)),
        EnvTransition::Changed {
            from,
            approvals,
            rules: digest,
        } => rules(from.as_ref(), *approvals, digest),
        EnvTransition::DeployRequested {
            release,
            identity,
            by,
            undo,
            ..
        } => {
            let by = if by.is_empty() {
                String::new()
            } else {
                format!(" by {by}")
            };
            let undo = if *undo { ", undo" } else { "" };
            format!("release {} as {}{by}{undo}", short(release), short(identity))
        }
        EnvTransition::Decided {
            verb, by, identity, ..
        } => {
            let of = identity.map_or_else(String::new, |hash| format!(" of {}", short(&hash)));
            format!("{verb}{of} by {by}")
        }
        EnvTransition::StepReached { step, weight, .. } => format!("step {step}, {weight} %"),
        EnvTransition::AnalysisVerdict {
            analysis,
            verdict,
            evidence: digest,
            ..
        } => format!("{analysis} {}{}", verdict.as_str(), evidence(Some(digest))),
        EnvTransition::Promoted {
            identity,
            evidence: digest,
            ..
        } => format!("{}{}", short(identity), evidence(digest.as_ref())),
        EnvTransition::RolledBack {
            identity,
            to,
            reason,
            evidence: digest,
            ..
        } => {
            let to = to.map_or_else(String::new, |hash| format!(" to {}", short(&hash)));
            format!("{}{to}: {reason}{}", short(identity), evidence(digest.as_ref()))
        }
        EnvTransition::Aborted { reason, .. } => reason.clone(),
        EnvTransition::Held { identity, reason, .. } => format!("{}: {reason}", short(identity)),
        EnvTransition::Released { identity, .. } => short(identity),
        EnvTransition::Frozen { window, .. } => window.clone(),
        EnvTransition::Overridden { by, .. } => format!("by {by}"),
        EnvTransition::DeployStarted { .. } | EnvTransition::Closed => String::new(),
        EnvTransition::RecordRefused { hash, reason } => format!("{}: {reason}", short(hash)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dcanary_types::record::Record;

    fn records() -> Vec<VerifiedRecord<EnvTransition>> {
        let all = [
            EnvTransition::Opened {
                name: "team-a/prod".to_owned(),
                from: Some("staging-uid".to_owned()),
                approvals: 1,
                rules: [1; 32],
            },
            EnvTransition::DeployRequested {
                promotion: "p-uid".to_owned(),
                release: [2; 32],
                identity: [3; 32],
                by: "ann".to_owned(),
                undo: false,
            },
            EnvTransition::RolledBack {
                promotion: "p-uid".to_owned(),
                identity: [3; 32],
                to: Some([4; 32]),
                reason: "AnalysisFailed".to_owned(),
                evidence: Some([5; 32]),
            },
            EnvTransition::Closed,
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
        let shown = journal(&records());
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 5, "{shown}");
        assert!(
            lines[1].contains("env_opened")
                && lines[1].ends_with("team-a/prod, 1 approvals, from staging-uid, rules 010101010101"),
            "{shown}"
        );
        assert!(
            lines[2].contains("p-uid") && lines[2].ends_with("release 020202020202 as 030303030303 by ann"),
            "{shown}"
        );
        assert!(
            lines[3].ends_with("030303030303 to 040404040404: AnalysisFailed, evidence 050505050505"),
            "{shown}"
        );
    }

    #[test]
    fn a_program_gets_the_block_type_and_the_promotion() {
        let all = machine(&records());
        assert_eq!(all[1]["type"], "dcanary_deploy_requested");
        assert_eq!(all[1]["promotion"], "p-uid");
        assert_eq!(all[3]["promotion"], Value::Null);
    }
}

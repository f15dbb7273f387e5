//! Bodies of the records of environments: exactly their fields, and each field's rule.

use super::*;
use crate::{block::Block, record::Record};

fn hashes() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>()
}

fn transitions() -> impl Strategy<Value = EnvTransition> {
    let uid = || "[a-zA-Z0-9-]{1,64}";
    let by = || "[a-zA-Zé:@ ]{1,80}";
    let reason = || "[A-Za-z]{1,64}";
    let maybe_uid = || proptest::option::of("[a-zA-Z0-9-]{1,64}");
    let maybe_hash = || proptest::option::of(hashes());
    prop_oneof![
        ("[a-z]{1,9}/[a-z]{1,9}", maybe_uid(), 0..=MAX_APPROVALS, hashes()).prop_map(
            |(name, from, approvals, rules)| EnvTransition::Opened {
                name,
                from,
                approvals,
                rules
            }
        ),
        (maybe_uid(), 0..=MAX_APPROVALS, hashes()).prop_map(|(from, approvals, rules)| {
            EnvTransition::Changed {
                from,
                approvals,
                rules,
            }
        }),
        (uid(), hashes(), hashes(), "[a-z]{0,9}", any::<bool>()).prop_map(
            |(promotion, release, identity, by, undo)| EnvTransition::DeployRequested {
                promotion,
                release,
                identity,
                by,
                undo
            }
        ),
        (maybe_uid(), uid(), "[a-zA-Z]{1,64}", by(), maybe_hash()).prop_map(
            |(promotion, decision, verb, by, identity)| EnvTransition::Decided {
                promotion,
                decision,
                verb,
                by,
                identity
            }
        ),
        uid().prop_map(|promotion| EnvTransition::DeployStarted { promotion }),
        (uid(), any::<u64>(), 0_u64..=100).prop_map(|(promotion, step, weight)| EnvTransition::StepReached {
            promotion,
            step,
            weight
        }),
        (
            uid(),
            "[a-z0-9-]{1,60}",
            prop::sample::select(Verdict::ALL),
            hashes()
        )
            .prop_map(
                |(promotion, analysis, verdict, evidence)| EnvTransition::AnalysisVerdict {
                    promotion,
                    analysis,
                    verdict,
                    evidence
                }
            ),
        (uid(), hashes(), maybe_hash()).prop_map(|(promotion, identity, evidence)| EnvTransition::Promoted {
            promotion,
            identity,
            evidence
        }),
        (uid(), reason()).prop_map(|(promotion, reason)| EnvTransition::Aborted { promotion, reason }),
        (uid(), hashes(), maybe_hash(), reason(), maybe_hash()).prop_map(
            |(promotion, identity, to, reason, evidence)| EnvTransition::RolledBack {
                promotion,
                identity,
                to,
                reason,
                evidence
            }
        ),
        (hashes(), reason(), maybe_uid()).prop_map(|(identity, reason, decision)| EnvTransition::Held {
            identity,
            reason,
            decision
        }),
        (hashes(), uid()).prop_map(|(identity, decision)| EnvTransition::Released { identity, decision }),
        (uid(), by()).prop_map(|(promotion, window)| EnvTransition::Frozen { promotion, window }),
        (uid(), uid(), by()).prop_map(|(promotion, decision, by)| EnvTransition::Overridden {
            promotion,
            decision,
            by
        }),
        Just(EnvTransition::Closed),
        (hashes(), reason()).prop_map(|(hash, reason)| EnvTransition::RecordRefused { hash, reason }),
    ]
}

fn records() -> impl Strategy<Value = EnvRecord> {
    ("[a-zA-Z0-9-]{1,64}", any::<u64>(), any::<u64>(), transitions()).prop_map(
        |(run, n, claimed_ts, transition)| Record {
            run,
            n,
            claimed_ts,
            transition,
        },
    )
}

fn optional(btype: &str) -> &'static [&'static str] {
    match btype {
        EnvTransition::OPENED | EnvTransition::CHANGED => &["from"],
        EnvTransition::DECIDED => &["promotion", "identity"],
        EnvTransition::PROMOTED => &["evidence"],
        EnvTransition::ROLLED_BACK => &["to", "evidence"],
        EnvTransition::HELD => &["decision"],
        _ => &[],
    }
}

proptest! {
    #[test]
    fn a_record_reads_back_from_its_body_and_from_its_block(record in records()) {
        let sent = EnvRecord::decode(record.btype(), record.claimed_ts, &record.encode_body()).unwrap();
        prop_assert_eq!(&sent, &record);
        prop_assert_eq!(sent.content_hash(), record.content_hash());
        let either = Record::<Entry>::decode(record.btype(), record.claimed_ts, &record.encode_body()).unwrap();
        prop_assert_eq!(either.content_hash(), record.content_hash());
        prop_assert_eq!(either.transition.clone().into_environment(), Some(record.transition.clone()));
        let is_note = record.btype() == Transition::RECORD_REFUSED;
        prop_assert_eq!(either.transition.into_run().is_some(), is_note);
        let block = Block {
            btype: record.btype().to_owned(),
            phash: None,
            ts: 5,
            claimed_ts: record.claimed_ts,
            caller: vec![1],
            project: "shop".to_owned(),
            domain: "east".to_owned(),
            policy: 0,
            body: record.body(),
        };
        prop_assert_eq!(block.content_hash(), record.content_hash());
        match Body::of(&block).unwrap() {
            Body::Environment(read) => prop_assert_eq!(read, record),
            Body::Run(read) => prop_assert!(is_note && read.body() == record.body()),
            Body::Ledger(event) => prop_assert!(false, "{:?}", event),
        }
        for (project, domain) in [("", "east"), ("shop", ""), ("", "")] {
            let other = Block { project: project.to_owned(), domain: domain.to_owned(), ..block.clone() };
            prop_assert_eq!(Body::of(&other), Err(RecordError::Frame));
        }
    }

    #[test]
    fn a_body_with_a_field_missing_added_or_mistyped_is_refused(record in records()) {
        let body = record.body();
        for field in body.keys() {
            let mut bad = body.clone();
            bad.remove(field);
            let read = EnvRecord::from_body(record.btype(), 0, bad);
            prop_assert_eq!(read.is_ok(), optional(record.btype()).contains(&field.as_str()), "{}", field);
            let mut bad = body.clone();
            bad.insert(field.clone(), Value::Array(vec![Value::Nat(0)]));
            prop_assert!(EnvRecord::from_body(record.btype(), 0, bad).is_err(), "{}", field);
        }
        let mut bad = body.clone();
        bad.insert("extra".to_owned(), Value::Nat(1));
        prop_assert!(EnvRecord::from_body(record.btype(), 0, bad).is_err());
    }
}

/// A body of a type with some fields changed.
fn changed_body(one: &EnvTransition, changes: &[(&str, Value)]) -> (&'static str, Map) {
    let mut body = one.fields();
    body.extend(value::map([("run", UID.into()), ("n", Value::Nat(1))]));
    for (field, value) in changes {
        body.insert((*field).to_owned(), value.clone());
    }
    (one.btype(), body)
}

#[test]
fn the_longest_of_each_type_fits_into_a_block() {
    let (uid, name, reason) = ("u".repeat(64), "n".repeat(1_024), "r".repeat(64));
    let all = [
        EnvTransition::DeployRequested {
            promotion: uid.clone(),
            release: R1,
            identity: I1,
            by: name.clone(),
            undo: true,
        },
        EnvTransition::Decided {
            promotion: Some(uid.clone()),
            decision: uid.clone(),
            verb: reason.clone(),
            by: name.clone(),
            identity: Some(I1),
        },
        EnvTransition::Frozen {
            promotion: uid.clone(),
            window: name.clone(),
        },
        EnvTransition::Overridden {
            promotion: uid.clone(),
            decision: uid.clone(),
            by: name,
        },
        EnvTransition::RolledBack {
            promotion: uid.clone(),
            identity: I1,
            to: Some(I2),
            reason,
            evidence: Some(R1),
        },
    ];
    for transition in all {
        let record = Record {
            run: uid.clone(),
            n: u64::MAX,
            claimed_ts: u64::MAX,
            transition,
        };
        assert_eq!(
            EnvRecord::decode(record.btype(), u64::MAX, &record.encode_body()),
            Ok(record)
        );
    }
}

#[test]
fn a_field_that_breaks_its_rule_is_refused_by_name() {
    let long = |n: usize| Value::from("x".repeat(n));
    let cases = [
        (opened(), "from", long(65)),
        (opened(), "from", "".into()),
        (opened(), "approvals", 65.into()),
        (opened(), "rules", vec![0; 31].into()),
        (changed(None, 0), "approvals", 65.into()),
        (requested("p", R1, I1), "promotion", "a b".into()),
        (requested("p", R1, I1), "by", long(1_025)),
        (requested("p", R1, I1), "undo", 2.into()),
        (requested("p", R1, I1), "release", vec![0; 33].into()),
        (decided("p", "approve", "bob", None), "by", "".into()),
        (decided("p", "approve", "bob", None), "by", long(1_025)),
        (decided("p", "approve", "bob", None), "verb", "".into()),
        (decided("p", "approve", "bob", None), "verb", "two words".into()),
        (decided("p", "approve", "bob", None), "verb", long(65)),
        (decided("p", "approve", "bob", None), "decision", "".into()),
        (
            decided("p", "approve", "bob", None),
            "identity",
            vec![0; 3].into(),
        ),
        (step("p", 0, 0), "weight", 101.into()),
        (verdict("p"), "verdict", "good".into()),
        (verdict("p"), "analysis", "a\nb".into()),
        (aborted("p"), "reason", long(65)),
        (rolled_back("p", I1), "reason", "".into()),
        (rolled_back("p", I1), "to", vec![].into()),
        (held(I1), "decision", "".into()),
        (frozen("p"), "window", "".into()),
        (overridden("p"), "by", "".into()),
        (refused(), "reason", "".into()),
    ];
    for (one, field, value) in cases {
        let (btype, good) = changed_body(&one, &[]);
        EnvRecord::from_body(btype, 0, good).unwrap();
        let (btype, bad) = changed_body(&one, &[(field, value)]);
        let said = EnvRecord::from_body(btype, 0, bad).unwrap_err().to_string();
        assert!(said.contains(&format!("`{field}`")), "{btype}: {said}");
    }
}

#[test]
fn a_block_type_of_the_other_kind_is_refused() {
    let foreign = Record::<Transition>::from_body(EnvTransition::CLOSED, 0, Map::new());
    assert!(matches!(foreign, Err(RecordError::NotOfARun(_))));
    let foreign = EnvRecord::from_body(Transition::RUN_FINISHED, 0, Map::new());
    assert!(matches!(foreign, Err(RecordError::NotOfAnEnvironment(_))));
    let foreign = Record::<Entry>::from_body("dcanary_role_granted", 0, Map::new());
    assert!(matches!(foreign, Err(RecordError::NotARecord(_))));
    let unknown = Record::<Entry>::from_body("dcanary_gift", 0, Map::new());
    assert!(matches!(unknown, Err(RecordError::UnknownType(_))));
}

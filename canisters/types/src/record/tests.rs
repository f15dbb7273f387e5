use proptest::prelude::*;

use super::*;
use crate::{
    policy::{RoleBody, RoleKind},
    value,
};

fn hashes() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>()
}

fn transitions() -> impl Strategy<Value = Transition> {
    let stage = || "[a-z✓ ]{1,20}";
    let reason = || "[A-Za-z]{1,64}";
    let attempt = || 1_u64..20;
    let artifact = ("[a-z]{1,9}", hashes(), any::<u64>()).prop_map(|(name, digest, size)| Artifact {
        name,
        digest,
        size,
    });
    let source = (
        "[a-z:/]{1,40}",
        proptest::option::of("[a-z/]{1,20}"),
        "[0-9a-f]{40}",
    )
        .prop_map(|(repo, reference, commit)| Source {
            repo,
            reference,
            commit,
        });
    prop_oneof![
        (
            "[a-z]{1,9}/[a-z]{1,9}",
            hashes(),
            hashes(),
            hashes(),
            proptest::option::of(source)
        )
            .prop_map(
                |(name, definition, graph, params, source)| Transition::RunOpened {
                    name,
                    definition,
                    graph,
                    params,
                    source
                }
            ),
        (stage(), attempt(), "[a-z:/]{0,60}").prop_map(|(stage, attempt, image)| Transition::StageStarted {
            stage,
            attempt,
            image
        }),
        (
            stage(),
            attempt(),
            hashes(),
            proptest::option::of(prop::collection::vec(artifact, 0..5))
        )
            .prop_map(
                |(stage, attempt, outputs, artifacts)| Transition::StageSucceeded {
                    stage,
                    attempt,
                    outputs,
                    artifacts
                }
            ),
        (stage(), attempt(), reason()).prop_map(|(stage, attempt, reason)| Transition::StageFailed {
            stage,
            attempt,
            reason
        }),
        (stage(), attempt(), reason()).prop_map(|(stage, attempt, reason)| Transition::StageRetried {
            stage,
            attempt,
            reason
        }),
        (stage(), attempt(), reason()).prop_map(|(stage, attempt, reason)| Transition::StageDisputed {
            stage,
            attempt,
            reason
        }),
        (stage(), prop::sample::select(SkipReason::ALL))
            .prop_map(|(stage, reason)| Transition::StageSkipped { stage, reason }),
        (stage(), reason()).prop_map(|(stage, reason)| Transition::StageCancelled { stage, reason }),
        prop::sample::select(Outcome::ALL).prop_map(|outcome| Transition::RunFinished { outcome }),
        (hashes(), reason()).prop_map(|(hash, reason)| Transition::RecordRefused { hash, reason }),
    ]
}

fn records() -> impl Strategy<Value = Record> {
    ("[a-zA-Z0-9-]{1,64}", any::<u64>(), any::<u64>(), transitions()).prop_map(
        |(run, n, claimed_ts, transition)| Record {
            run,
            n,
            claimed_ts,
            transition,
        },
    )
}

fn block(btype: &str, project: &str, domain: &str, body: Map) -> Block {
    Block {
        btype: btype.to_owned(),
        phash: None,
        ts: 5,
        claimed_ts: 5,
        caller: vec![1],
        project: project.to_owned(),
        domain: domain.to_owned(),
        policy: 0,
        body,
    }
}

proptest! {
    #[test]
    fn a_record_reads_back_from_its_body_and_from_its_block(record in records()) {
        let sent = Record::decode(record.btype(), record.claimed_ts, &record.encode_body()).unwrap();
        prop_assert_eq!(&sent, &record);
        prop_assert_eq!(sent.content_hash(), record.content_hash());
        let mut block = block(record.btype(), "shop", "east", record.body());
        block.claimed_ts = record.claimed_ts;
        prop_assert_eq!(block.content_hash(), record.content_hash());
        prop_assert_eq!(Body::of(&block).unwrap(), Body::Run(record));
    }

    #[test]
    fn a_body_with_a_field_missing_added_or_mistyped_is_refused(record in records()) {
        let body = record.body();
        let optional = ["source", "artifacts"];
        for field in body.keys() {
            let mut bad = body.clone();
            bad.remove(field);
            let read = Record::<Transition>::from_body(record.btype(), 0, bad);
            prop_assert_eq!(read.is_ok(), optional.contains(&field.as_str()), "{}", field);
            let mut bad = body.clone();
            bad.insert(field.clone(), Value::Array(vec![Value::Nat(0)]));
            prop_assert!(Record::<Transition>::from_body(record.btype(), 0, bad).is_err(), "{}", field);
        }
        let mut bad = body.clone();
        bad.insert("extra".to_owned(), Value::Nat(1));
        prop_assert_eq!(
            Record::<Transition>::from_body(record.btype(), 0, bad),
            Err(FieldError::Unknown("extra".to_owned()).into())
        );
    }

    #[test]
    fn a_body_under_another_block_type_is_refused(record in records(), other in prop::sample::select(&BLOCK_TYPES[..])) {
        // Three types say the same about an attempt; of those only the type tells them apart.
        let alike = [Transition::STAGE_FAILED, Transition::STAGE_RETRIED, Transition::STAGE_DISPUTED];
        let same = other == record.btype() || (alike.contains(&other) && alike.contains(&record.btype()));
        let skip = [Transition::STAGE_CANCELLED, Transition::STAGE_SKIPPED];
        prop_assume!(!(skip.contains(&other) && skip.contains(&record.btype())));
        prop_assert_eq!(Record::<Transition>::from_body(other, 0, record.body()).is_ok(), same);
    }

    #[test]
    fn outputs_read_back_and_ignore_the_order_they_were_given_in(
        artifacts in prop::collection::vec(("[a-z]{1,6}", hashes(), any::<u64>()), 0..8),
        results in prop::collection::btree_map("[a-z]{1,6}", (hashes(), any::<u64>()), 0..8),
    ) {
        let artifacts: Vec<Artifact> = artifacts.into_iter()
            .map(|(name, digest, size)| (name.clone(), Artifact { name, digest, size }))
            .collect::<std::collections::BTreeMap<_, _>>().into_values().collect();
        let results: Vec<_> =
            results.into_iter().map(|(name, (digest, size))| (name, ResultDigest { digest, size })).collect();
        let outputs = Outputs::new(artifacts.clone(), results.clone());
        let turned = Outputs::new(artifacts.into_iter().rev(), results);
        prop_assert_eq!(outputs.encode(), turned.encode());
        prop_assert_eq!(Outputs::decode(&outputs.encode()).unwrap(), outputs);
    }
}

#[test]
fn the_list_of_block_types_is_complete() {
    assert_eq!(BLOCK_TYPES[5..15], Transition::TYPES);
    assert_eq!(BLOCK_TYPES[15..], EnvTransition::TYPES);
}

#[test]
fn ledger_events_read_back_and_fit_only_their_frames() {
    let operator = RoleBody {
        principal: vec![2],
        role: RoleKind::Operator,
        domain: "east".to_owned(),
    };
    let owner = RoleBody {
        principal: vec![2],
        role: RoleKind::Owner,
        domain: String::new(),
    };
    let conflict = LedgerEvent::Conflict {
        run: "r".to_owned(),
        n: 4,
        have: 9,
        offered: [3; 32],
    };
    let cases = [
        (
            LedgerEvent::Opened {
                owner: vec![1],
                incarnation: 0,
            },
            "",
            "",
        ),
        (LedgerEvent::Restored { incarnation: 1 }, "", ""),
        (LedgerEvent::RoleGranted(operator.clone()), "shop", ""),
        (LedgerEvent::RoleRevoked(operator), "shop", ""),
        (LedgerEvent::RoleGranted(owner.clone()), "", ""),
        (LedgerEvent::RoleRevoked(owner), "", ""),
        (conflict, "shop", "east"),
    ];
    for (event, project, domain) in cases {
        let good = block(event.btype(), project, domain, event.body());
        assert_eq!(Body::of(&good), Ok(Body::Ledger(event)));
        let other = if project.is_empty() { "shop" } else { "" };
        assert_eq!(
            Body::of(&Block {
                project: other.to_owned(),
                ..good.clone()
            }),
            Err(RecordError::Frame)
        );
        let other = if domain.is_empty() { "east" } else { "" };
        assert_eq!(
            Body::of(&Block {
                domain: other.to_owned(),
                ..good.clone()
            }),
            Err(RecordError::Frame)
        );
        assert_eq!(
            Body::of(&Block {
                claimed_ts: 6,
                ..good.clone()
            }),
            Err(RecordError::Frame)
        );
        let mut extra = good.clone();
        extra.body.insert("x".to_owned(), Value::Nat(0));
        assert!(matches!(
            Body::of(&extra),
            Err(RecordError::Field(FieldError::Unknown(_)))
        ));
    }
}

#[test]
fn ledger_events_that_break_a_rule_are_refused() {
    let bad = [
        (
            LedgerEvent::OPENED,
            value::map([("owner", vec![0; 30].into()), ("incarnation", Value::Nat(0))]),
        ),
        (
            LedgerEvent::OPENED,
            value::map([("owner", vec![0; 3].into()), ("incarnation", Value::Nat(1))]),
        ),
        (
            LedgerEvent::RESTORED,
            value::map([("incarnation", Value::Nat(0))]),
        ),
        (
            LedgerEvent::ROLE_GRANTED,
            value::map([
                ("principal", vec![1].into()),
                ("role", "owner".into()),
                ("domain", "east".into()),
            ]),
        ),
        (
            LedgerEvent::ROLE_GRANTED,
            value::map([
                ("principal", vec![1].into()),
                ("role", "admin".into()),
                ("domain", "".into()),
            ]),
        ),
    ];
    for (btype, body) in bad {
        assert!(
            matches!(LedgerEvent::from_body(btype, body), Err(RecordError::Field(_))),
            "{btype}"
        );
    }
    assert!(matches!(
        LedgerEvent::from_body("dcanary_gift", Map::new()),
        Err(RecordError::UnknownType(_))
    ));
}

#[test]
fn bodies_that_are_too_long_or_not_deterministic_are_refused() {
    let long = vec![0; MAX_BODY_BYTES + 1];
    assert_eq!(
        Record::<Transition>::decode(Transition::RUN_FINISHED, 0, &long),
        Err(RecordError::TooLong(MAX_BODY_BYTES + 1))
    );
    // {"n": 0} with the number in two bytes
    assert!(matches!(
        Record::<Transition>::decode(Transition::RUN_FINISHED, 0, &[0xa1, 0x61, b'n', 0x18, 0]),
        Err(RecordError::Cbor(_))
    ));
    assert!(matches!(
        Record::<Transition>::decode("dcanary_gift", 0, &[0xa0]),
        Err(RecordError::UnknownType(_))
    ));
    assert!(matches!(
        Record::<Transition>::decode(LedgerEvent::OPENED, 0, &[0xa0]),
        Err(RecordError::NotOfARun(_))
    ));
}

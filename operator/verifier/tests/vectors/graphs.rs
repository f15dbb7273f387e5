//! Graph documents, good and bad: section 4.

use dcanary_types::graph::GraphDoc;
use dcanary_types::value::{map, sha256};
use dcanary_types::{Value, cbor};
use serde_json::{Value as Json, json};

use crate::records::graph;

pub fn make() -> Vec<Json> {
    let stage = |name: &str, needs: &[u64], attempts: u64, flags: u64, gates: &[&str]| {
        let needs = needs.iter().map(|n| Value::Nat(*n)).collect();
        let gates = gates.iter().map(|g| Value::from(*g)).collect();
        Value::Array(vec![
            name.into(),
            Value::Array(needs),
            attempts.into(),
            flags.into(),
            Value::Array(gates),
        ])
    };
    let doc = |v: u64, stages: Vec<Value>| {
        cbor::encode(&map([("v", v.into()), ("stages", Value::Array(stages))]).into())
    };
    let many = || {
        (0..1_200)
            .map(|i| stage(&format!("stage-{i}-{}", "x".repeat(20)), &[], 1, 0, &[]))
            .collect()
    };
    let mut extra = map([("v", 1.into()), ("stages", Value::Array(vec![]))]);
    extra.insert("note".to_owned(), 1.into());
    let cases = [
        ("of the runs here", graph().encode(), true),
        ("no stage", doc(1, vec![]), true),
        ("one stage", doc(1, vec![stage("a", &[], 1, 3, &[])]), true),
        ("another version", doc(2, vec![]), false),
        ("a field too many", cbor::encode(&extra.into()), false),
        (
            "a stage needs itself",
            doc(1, vec![stage("a", &[0], 1, 0, &[])]),
            false,
        ),
        (
            "a stage needs a later one",
            doc(1, vec![stage("a", &[1], 1, 0, &[]), stage("b", &[], 1, 0, &[])]),
            false,
        ),
        (
            "needs repeated",
            doc(
                1,
                vec![stage("a", &[], 1, 0, &[]), stage("b", &[0, 0], 1, 0, &[])],
            ),
            false,
        ),
        ("no attempt", doc(1, vec![stage("a", &[], 0, 0, &[])]), false),
        ("undefined flag", doc(1, vec![stage("a", &[], 1, 4, &[])]), false),
        (
            "a gate",
            doc(1, vec![stage("a", &[], 1, 0, &["approval"])]),
            false,
        ),
        (
            "a name twice",
            doc(1, vec![stage("a", &[], 1, 0, &[]), stage("a", &[], 1, 0, &[])]),
            false,
        ),
        ("an empty name", doc(1, vec![stage("", &[], 1, 0, &[])]), false),
        (
            "a finally stage with needs",
            doc(1, vec![stage("a", &[], 1, 0, &[]), stage("b", &[0], 1, 2, &[])]),
            false,
        ),
        (
            "a stage needs a finally stage",
            doc(1, vec![stage("a", &[], 1, 2, &[]), stage("b", &[0], 1, 0, &[])]),
            false,
        ),
        ("longer than 32,768 bytes", doc(1, many()), false),
        ("a byte behind it", [graph().encode(), vec![0]].concat(), false),
    ];
    cases
        .into_iter()
        .map(|(name, bytes, good)| {
            assert_eq!(GraphDoc::decode(&bytes).is_ok(), good, "{name}");
            json!({"name": name, "document": hex::encode(&bytes), "digest": hex::encode(sha256(&bytes)), "accepted": good})
        })
        .collect()
}

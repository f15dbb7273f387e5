//! Records of environments: section 11.

use std::collections::BTreeSet;

use dcanary_types::block::Block;
use dcanary_types::environment::{EnvTransition, Verdict};
use dcanary_types::record::Body;
use dcanary_types::{Map, Value, cbor};
use serde_json::{Value as Json, json};

use crate::chains;
use crate::deployments::{
    aborted, approved, changed, frozen, held, identity, judged, opened, overridden, release, requested,
    rolled_back, step,
};
use crate::world::World;

pub fn make() -> Json {
    let (blocks, refused) = make_blocks();
    json!({"blocks": blocks, "refused": refused, "chains": chains::make()})
}

/// Fields that may be absent.
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

fn make_blocks() -> (Vec<Json>, Vec<Json>) {
    let world = World::deployed();
    let (mut blocks, mut bad) = (Vec::new(), Vec::new());
    let mut types = BTreeSet::new();
    for value in &world.blocks {
        let block = Block::from_value(value.clone()).unwrap();
        let Body::Environment(record) = Body::of(&block).unwrap() else {
            continue;
        };
        types.insert(record.btype());
        blocks.push(json!({
            "btype": block.btype,
            "encoded": hex::encode(block.encode()),
            "hash": hex::encode(block.hash()),
            "content_hash": hex::encode(block.content_hash()),
        }));
        refuse_changed(value.as_map().unwrap(), &mut bad);
    }
    assert_eq!(types, BTreeSet::from(EnvTransition::TYPES));
    let long = |n: usize| Value::from("x".repeat(n));
    let rules: &[(EnvTransition, &str, Value)] = &[
        (opened("e", None, 0), "approvals", 65.into()),
        (opened("e", None, 0), "from", "".into()),
        (opened("e", None, 0), "rules", vec![0; 31].into()),
        (changed(None, 0), "approvals", 65.into()),
        (changed(None, 0), "from", "a b".into()),
        (requested("p", release(), identity(), false), "undo", 2.into()),
        (requested("p", release(), identity(), false), "by", long(1_025)),
        (
            requested("p", release(), identity(), false),
            "promotion",
            long(65),
        ),
        (approved("p", "bob"), "by", "".into()),
        (approved("p", "bob"), "by", long(1_025)),
        (approved("p", "bob"), "verb", "".into()),
        (approved("p", "bob"), "verb", "two words".into()),
        (approved("p", "bob"), "verb", long(65)),
        (approved("p", "bob"), "promotion", "".into()),
        (step("p", 0, 0), "weight", 101.into()),
        (judged("p", Verdict::Passed), "verdict", "good".into()),
        (judged("p", Verdict::Passed), "analysis", "a\nb".into()),
        (aborted("p"), "reason", long(65)),
        (rolled_back("p", identity(), None), "reason", "".into()),
        (held(identity(), Some("d")), "decision", "".into()),
        (frozen("p"), "window", "".into()),
        (overridden("p"), "by", long(1_025)),
    ];
    for (transition, field, value) in rules {
        let mut world = World::staged();
        world.env_record("e", 1, transition.clone());
        let block = world.blocks.last().unwrap().as_map().unwrap();
        Body::of(&Block::from_value(block.clone().into()).unwrap()).unwrap();
        let body = with(block["body"].as_map().unwrap(), field, value.clone());
        let why = format!("{} with a {field} that breaks its rule", transition.btype());
        add_refused(&mut bad, why, with(block, "body", body.into()));
    }
    (blocks, bad)
}

/// A good block with one field missing, of another kind, or too many.
fn refuse_changed(block: &Map, bad: &mut Vec<Json>) {
    let (btype, body) = (block["btype"].as_text().unwrap(), block["body"].as_map().unwrap());
    for field in body.keys() {
        if !optional(btype).contains(&field.as_str()) {
            let mut less = body.clone();
            less.remove(field);
            add_refused(
                bad,
                format!("{btype} without {field}"),
                with(block, "body", less.into()),
            );
        }
        let other = with(body, field, Value::Array(vec![Value::Array(vec![])]));
        add_refused(
            bad,
            format!("{btype} with {field} of another kind"),
            with(block, "body", other.into()),
        );
    }
    add_refused(
        bad,
        format!("{btype} with one field more"),
        with(block, "body", with(body, "zzz", 1.into()).into()),
    );
    for frame in ["project", "domain"] {
        add_refused(
            bad,
            format!("{btype} without {frame}"),
            with(block, frame, "".into()),
        );
    }
}

/// One of each kind is enough.
fn add_refused(bad: &mut Vec<Json>, why: String, block: Map) {
    let value = Value::Map(block);
    let read = Block::from_value(value.clone()).map_err(|e| e.to_string());
    let read = read.and_then(|b| Body::of(&b).map_err(|e| e.to_string()));
    assert!(read.is_err(), "{why}");
    if !bad.iter().any(|case| case["why"] == why) || why.contains("breaks its rule") {
        bad.push(json!({"why": why, "encoded": hex::encode(cbor::encode(&value))}));
    }
}

fn with(map: &Map, key: &str, value: Value) -> Map {
    let mut map = map.clone();
    map.insert(key.to_owned(), value);
    map
}

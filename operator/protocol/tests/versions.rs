//! Messages of version 1 as they were: they must be understood, and written like this, as long as version 1 or 2 is spoken.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

use dcanary_protocol::frame::{Acked, FramesRequest};
use dcanary_protocol::plan::{Action, Mask, Plan};
use dcanary_protocol::report::{AckRequest, FinalAnswer, FinalReport, Reports, Stored, UploadComplete};
use dcanary_protocol::session::{Problem, RevokeRequest, SessionAnswer, SessionRequest};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Objects whose keys are names, not fields: parameters, labels, and the one key that says which action a step has.
const MAPS: [&str; 4] = ["action", "variables", "params", "labels"];

/// Puts a field that nobody knows into every object.
fn with_novelties(value: &Value, key: &str) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: serde_json::Map<String, Value> = fields
                .iter()
                .map(|(key, value)| (key.clone(), with_novelties(value, key)))
                .collect();
            if !MAPS.contains(&key) {
                fields.insert("novelty".into(), json!({"of": ["a", "later", "version"]}));
            }
            Value::Object(fields)
        }
        Value::Array(values) => values.iter().map(|value| with_novelties(value, "")).collect(),
        other => other.clone(),
    }
}

fn holds<T: DeserializeOwned + Serialize>(name: &str, text: &str) -> Result<(), String> {
    let json: Value = serde_json::from_str(text).map_err(|error| format!("{name}: {error}"))?;
    let read = |json: Value, what: &str| -> Result<Value, String> {
        let message: T = serde_json::from_value(json).map_err(|error| format!("{name}, {what}: {error}"))?;
        serde_json::to_value(message).map_err(|error| format!("{name}, {what}: {error}"))
    };
    let written = read(json.clone(), "as it was")?;
    if written != json {
        return Err(format!("{name} is written as {written}"));
    }
    let written = read(with_novelties(&json, ""), "with unknown fields")?;
    if written != json {
        return Err(format!("{name} with unknown fields is taken for {written}"));
    }
    Ok(())
}

macro_rules! messages {
    ($($name:literal is $type:ty;)*) => {
        const NAMES: &[&str] = &[$($name),*];

        #[test]
        fn every_message_of_version_1_is_understood_also_with_fields_of_a_later_version() {
            let broken: Vec<String> = [
                $(holds::<$type>($name, include_str!(concat!("v1/", $name, ".json")))),*
            ].into_iter().filter_map(Result::err).collect();
            assert!(broken.is_empty(), "{broken:#?}");
        }
    };
}

messages! {
    "plan" is Plan;
    "session" is SessionRequest;
    "session-answer" is SessionAnswer;
    "revoke" is RevokeRequest;
    "problem" is Problem;
    "frames" is FramesRequest;
    "acked" is Acked;
    "complete" is UploadComplete;
    "stored" is Stored;
    "final" is FinalReport;
    "final-answer" is FinalAnswer;
    "reports" is Reports;
    "ack" is AckRequest;
}

#[test]
fn no_message_that_is_kept_is_left_out() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/v1");
    let mut kept: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    kept.sort();
    let mut named = NAMES.to_vec();
    named.sort_unstable();
    assert_eq!(kept, named);
}

#[test]
fn an_action_or_a_kind_of_mask_that_is_not_known_is_an_error() {
    assert!(serde_json::from_value::<Action>(json!({"teleport": {}})).is_err());
    assert!(serde_json::from_value::<Mask>(json!({"from": "vault", "path": "/x"})).is_err());
}

#[test]
fn a_list_of_reports_of_a_server_that_does_not_tell_of_its_store_is_understood() {
    let reports: Reports = serde_json::from_value(json!({"reports": [], "next": 3})).unwrap();
    assert_eq!(reports.store_full_since, None);
    assert_eq!(
        serde_json::to_value(reports).unwrap(),
        json!({"reports": [], "next": 3})
    );
}

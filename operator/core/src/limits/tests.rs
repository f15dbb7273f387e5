//! Each limit, lowered: exactly as many are taken, and one more is refused with a message that names the field and the limit.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use dcanary_crds::PipelineRun;
use dcanary_protocol::report::{FinalReport, Outcome, ResultReport};
use dcanary_types::value::sha256;
use serde_json::{Value, json};

use super::{Limits, bytes};
use crate::{
    Observed, Settings,
    definition::{DefinitionError, text},
    report,
    resolve::{Unresolved, resolve},
    validate,
};

/// Limits with one of them set.
fn lowered(set: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    set(&mut limits);
    limits
}

fn problems(definition: &Value, limits: &Limits) -> Vec<String> {
    let definition = serde_json::from_value(definition.clone()).unwrap();
    let problems = validate::definition(&definition, "spec", limits);
    problems.iter().map(ToString::to_string).collect()
}

/// The first is taken with the limits and the second is refused with this, and both are taken with the defaults.
fn holds(limits: &Limits, most: &Value, beyond: &Value, message: &str) {
    assert_eq!(problems(most, limits), Vec::<String>::new(), "{most}");
    assert_eq!(problems(beyond, limits), [message], "{beyond}");
    assert_eq!(
        problems(beyond, &Limits::default()),
        Vec::<String>::new(),
        "{beyond}"
    );
}

fn stage(name: &str, more: Value) -> Value {
    let mut stage = json!({"name": name, "image": "i", "steps": [{"run": "x"}]});
    let more = more.as_object().unwrap().clone();
    stage.as_object_mut().unwrap().extend(more);
    stage
}

/// A definition of one stage.
fn one(more: Value) -> Value {
    json!({"params": [{"name": "p", "default": ""}], "stages": [stage("a", more)]})
}

#[test]
fn stages_with_those_of_finally() {
    let limits = lowered(|limits| limits.stages = 3);
    let of = |main: usize| {
        let stages: Vec<Value> = (0..main).map(|i| stage(&format!("s{i}"), json!({}))).collect();
        json!({"stages": stages, "finally": [stage("last", json!({}))]})
    };
    let message = "spec.stages: there are 4 stages, at most 3 are allowed";
    holds(&limits, &of(2), &of(3), message);
    // an installation may set more than the default, and gets what the schema takes
    let raised = lowered(|limits| limits.stages = 306);
    assert_eq!(problems(&of(305), &raised), Vec::<String>::new());
    assert_eq!(
        problems(&of(306), &raised),
        ["spec.stages: there are 307 stages, at most 306 are allowed"]
    );
}

#[test]
fn steps_of_a_stage() {
    let limits = lowered(|limits| limits.steps = 2);
    let of = |count: usize| one(json!({"steps": vec![json!({"run": "x"}); count]}));
    let message = "spec.stages[0].steps: there are 3 steps; 1 to 2 are allowed";
    holds(&limits, &of(2), &of(3), message);
}

#[test]
fn variables_of_a_stage_and_of_a_step() {
    let limits = lowered(|limits| limits.env = 2);
    let env = |count: usize| -> Vec<Value> {
        (0..count)
            .map(|i| json!({"name": format!("V{i}"), "value": "x"}))
            .collect()
    };
    let of_stage = |count| one(json!({"env": env(count)}));
    let message = "spec.stages[0].env: there are 3 variables, at most 2 are allowed";
    holds(&limits, &of_stage(2), &of_stage(3), message);
    let of_step = |count| one(json!({"steps": [{"run": "x", "env": env(count)}]}));
    let message = "spec.stages[0].steps[0].env: there are 3 variables, at most 2 are allowed";
    holds(&limits, &of_step(2), &of_step(3), message);
}

#[test]
fn parameters() {
    let limits = lowered(|limits| limits.params = 2);
    let of = |count: usize| {
        let params: Vec<Value> = (0..count).map(|i| json!({"name": format!("p{i}")})).collect();
        json!({"params": params, "stages": [stage("a", json!({}))]})
    };
    let message = "spec.params: there are 3 parameters, at most 2 are allowed";
    holds(&limits, &of(2), &of(3), message);
}

fn run(value: &str, definition: &Value) -> PipelineRun {
    serde_json::from_value(json!({
        "apiVersion": "dcanary.dev/v1alpha1", "kind": "PipelineRun",
        "metadata": {"name": "r", "namespace": "n", "uid": "u", "finalizers": ["dcanary.dev/recorded"]},
        "spec": {"params": [{"name": "p", "value": value}], "pipelineSpec": definition},
    }))
    .unwrap()
}

fn seen(limits: Limits) -> Observed {
    Observed {
        settings: Arc::new(Settings {
            limits,
            ..Settings::default()
        }),
        ..Observed::default()
    }
}

#[test]
fn bytes_of_a_default_and_of_a_value() {
    let limits = lowered(|limits| limits.param_bytes = 10);
    let of = |len: usize| {
        let params = json!([{"name": "p", "default": "x".repeat(len)}]);
        json!({"params": params, "stages": [stage("a", json!({}))]})
    };
    let message = "spec.params[0].default: the value is longer than 10 bytes";
    holds(&limits, &of(10), &of(11), message);
    let resolved = |len| resolve(&run(&"x".repeat(len), &of(0)).spec, &seen(limits));
    assert!(resolved(10).is_ok());
    assert_eq!(
        resolved(11).unwrap_err().to_string(),
        "spec.params[0].value: the value is longer than 10 bytes"
    );
}

#[test]
fn bytes_of_a_script() {
    let limits = lowered(|limits| limits.script_bytes = 2048);
    let of = |len: usize| one(json!({"steps": [{"run": "x".repeat(len)}]}));
    let message = "spec.stages[0].steps[0].run: the script is longer than 2 KiB";
    holds(&limits, &of(2048), &of(2049), message);
}

#[test]
fn retries_of_a_stage() {
    let of = |count: i32| one(json!({"retries": {"count": count}}));
    let limits = lowered(|limits| limits.retries = 2);
    let message = "spec.stages[0].retries.count: must be 0 to 2";
    holds(&limits, &of(2), &of(3), message);
    assert_eq!(problems(&of(-1), &limits), [message]);
    let none = lowered(|limits| limits.retries = 0);
    holds(&none, &of(0), &of(1), "spec.stages[0].retries.count: must be 0");
}

#[test]
fn bytes_of_a_condition_and_of_a_reference() {
    let limits = lowered(|limits| limits.expression_bytes = 20);
    let text = |len: usize| format!("{:<len$}", "params.p == ''");
    for (field, path) in [("when", "when"), ("if", "steps[0].if")] {
        let of = |len| match field {
            "when" => one(json!({"when": text(len)})),
            _ => one(json!({"steps": [{"run": "x", "if": text(len)}]})),
        };
        let message = format!("spec.stages[0].{path}: the expression has 21 bytes; at most 20 are allowed");
        holds(&limits, &of(20), &of(21), &message);
    }
    let of = |len: usize| {
        let name = "p".repeat(len - "params.".len());
        let env = json!([{"name": "V", "value": format!("text around it $(params.{name})")}]);
        json!({"params": [{"name": name}], "stages": [stage("a", json!({"env": env}))]})
    };
    let message = "spec.stages[0].env[0].value: an expression is longer than 20 bytes";
    holds(&limits, &of(20), &of(21), message);
}

/// What is left by value of results of these lengths, when the stages before have `inline` bytes by value.
fn kept(lengths: &[usize], inline: usize, limits: &Limits) -> Vec<bool> {
    let result = |(i, len): (usize, &usize)| {
        let value = "x".repeat(*len);
        ResultReport {
            name: format!("r{i}"),
            digest: text(&sha256(value.as_bytes())),
            size: *len as u64,
            value: Some(value),
        }
    };
    let report = FinalReport {
        outcome: Outcome::Succeeded,
        reason: String::new(),
        message: String::new(),
        frames: 1,
        steps: Vec::new(),
        results: lengths.iter().enumerate().map(result).collect(),
        artifacts: Vec::new(),
        second_trade: false,
    };
    let made = report::outcomes(&report, inline, 0, limits).unwrap();
    let results = made.results.iter();
    results.map(|result| result.value.is_some()).collect()
}

/// Nothing is refused here: a result that is larger is known by digest and reaches later stages as a file.
#[test]
fn bytes_of_a_result_by_value_and_of_all_of_a_run() {
    let limits = lowered(|limits| limits.inline_result_bytes = 10);
    assert_eq!(kept(&[10, 11], 0, &limits), [true, false]);
    assert_eq!(kept(&[4096, 4097], 0, &Limits::default()), [true, false]);
    let limits = lowered(|limits| limits.run_inline_result_bytes = 100);
    assert_eq!(kept(&[60, 40, 1], 0, &limits), [true, true, false]);
    assert_eq!(kept(&[41, 40, 1], 60, &limits), [false, true, false]);
    // lowered while the run was under way
    assert_eq!(kept(&[1], 200, &limits), [false]);
    assert_eq!(kept(&[1, 1], (64 << 10) - 1, &Limits::default()), [true, false]);
}

#[test]
fn bytes_of_the_resolved_definition() {
    let run = run("", &one(json!({})));
    let definition = resolve(&run.spec, &Observed::default()).unwrap();
    let length = definition
        .encode(Limits::CEILINGS.definition_bytes)
        .unwrap()
        .len();
    let ended = |most| {
        let limits = lowered(|limits| limits.definition_bytes = most);
        let status = crate::next(&run, &seen(limits), jiff::Timestamp::UNIX_EPOCH).status;
        let told = status
            .conditions
            .iter()
            .map(|condition| condition.message.clone());
        (status.finished_at.is_some(), told.collect::<String>())
    };
    assert!(!ended(length).0);
    let (bytes, most) = (length, length - 1);
    let message =
        format!("the resolved definition has {bytes} bytes, at most {most} are allowed in a run's status");
    let (over, told) = ended(most);
    assert!(over && told.contains(&message), "{told}");
    let refused = Unresolved::from(DefinitionError::TooLarge { bytes, most });
    assert_eq!(refused.reason(), "DefinitionTooLarge");
}

#[test]
fn no_ceiling_is_above_what_the_schema_takes() {
    let crd = include_str!("../../../../charts/dcanary-crds/yaml/pipelines.yaml");
    let crd: Value = serde_saphyr::from_str(crd).unwrap();
    let at = |path: &str| {
        let whole = format!("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/{path}");
        let number = crd.pointer(&whole).and_then(Value::as_f64);
        assert!(number.is_some(), "{path}");
        number.unwrap()
    };
    let most = Limits::CEILINGS;
    let stage = "stages/items/properties";
    let step = format!("{stage}/steps/items/properties");
    for (limit, path) in [
        (most.steps, format!("{stage}/steps/maxItems")),
        (most.env, format!("{stage}/env/maxItems")),
        (most.env, format!("{step}/env/maxItems")),
        (most.params, "params/maxItems".to_owned()),
        (
            most.param_bytes,
            "params/items/properties/default/maxLength".to_owned(),
        ),
        (most.script_bytes, format!("{step}/run/maxLength")),
        (most.retries, format!("{stage}/retries/properties/count/maximum")),
        (most.expression_bytes, format!("{stage}/when/maxLength")),
        (most.expression_bytes, format!("{step}/if/maxLength")),
    ] {
        let limit = f64::from(u32::try_from(limit).unwrap());
        assert!((limit - at(&path)).abs() < 0.5, "{path}: {limit}");
    }
    // the only ceiling beyond the schema: `charts/dcanary/values.yaml` and `docs/pipelines.md` say 306
    let stages = at("stages/maxItems") + at("finally/maxItems");
    assert!((stages - 306.0).abs() < 0.5, "{stages}");
}

#[test]
fn a_size_is_written_as_people_do() {
    assert_eq!(bytes(32 << 10), "32 KiB");
    assert_eq!(bytes(1000), "1000 bytes");
    assert_eq!(bytes(0), "0 bytes");
}

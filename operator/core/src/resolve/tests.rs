#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use dcanary_crds::{ConditionStatus, ConditionType, PipelineRun};
use serde_json::{Value, json};

use super::{Unresolved, resolve};
use crate::{Observed, Settings, next};

fn run(params: Vec<Value>, definition: Value) -> PipelineRun {
    serde_json::from_value(json!({
        "apiVersion": "dcanary.dev/v1alpha1", "kind": "PipelineRun",
        "metadata": {"name": "web-1", "namespace": "team-a", "uid": "0c9d", "finalizers": ["dcanary.dev/recorded"]},
        "spec": {"params": params, "pipelineSpec": definition},
    }))
    .unwrap()
}

fn stages() -> Value {
    json!([{"name": "a", "image": "i", "steps": [{"run": "true"}]}])
}

fn problems(run: &PipelineRun) -> Vec<String> {
    match resolve(&run.spec, &Observed::default()) {
        Ok(_) => Vec::new(),
        Err(Unresolved::Invalid(problems) | Unresolved::InvalidRun(problems)) => {
            problems.iter().map(ToString::to_string).collect()
        }
        Err(other) => unreachable!("{other}"),
    }
}

#[test]
fn a_hundred_params_of_32_kib_are_taken_and_one_more_of_either_is_refused() {
    let names = |count: usize| -> Vec<Value> {
        (0..count)
            .map(|i| json!({"name": format!("p{i}"), "default": ""}))
            .collect()
    };
    let value = |len: usize| vec![json!({"name": "p0", "value": "x".repeat(len)})];
    let with =
        |params: Vec<Value>, count: usize| run(params, json!({"params": names(count), "stages": stages()}));
    assert_eq!(problems(&with(value(32 * 1024), 100)), Vec::<String>::new());
    let many = problems(&with(Vec::new(), 101));
    assert_eq!(
        many,
        ["spec.pipelineSpec.params: there are 101 parameters, at most 100 are allowed"]
    );
    let long = problems(&with(value(32 * 1024 + 1), 100));
    assert_eq!(long, ["spec.params[0].value: the value is longer than 32 KiB"]);
    let default = run(
        Vec::new(),
        json!({"params": [{"name": "p", "default": "x".repeat(32 * 1024 + 1)}], "stages": stages()}),
    );
    assert_eq!(
        problems(&default),
        ["spec.pipelineSpec.params[0].default: the value is longer than 32 KiB"]
    );
}

#[test]
fn the_timeouts_of_a_run_are_held_to_what_those_of_its_pipeline_are() {
    let with = |timeouts: Value| {
        let mut run = run(Vec::new(), json!({"stages": stages()}));
        run.spec.timeouts = serde_json::from_value(timeouts).unwrap();
        problems(&run)
    };
    assert_eq!(with(json!({"run": "1s", "finally": "1s"})), Vec::<String>::new());
    for name in ["run", "pending", "finally"] {
        let told = with(json!({name: "0s"}));
        assert_eq!(told, [format!("spec.timeouts.{name}: must be longer than 0s")]);
    }
}

#[test]
fn a_run_with_a_thousand_wrong_params_is_told_about_a_hundred_of_them() {
    let params = (0..1000).map(|i| json!({"name": format!("{i}{}", "x".repeat(60)), "value": ""}));
    let wrong = run(params.collect(), json!({"stages": stages()}));
    assert_eq!(problems(&wrong).len(), 100);
}

/// A script of hexadecimal digests: it shrinks to a half at best.
fn noise(seed: u64, len: usize) -> String {
    let mut text = String::new();
    for i in 0.. {
        if text.len() >= len {
            break;
        }
        text.push_str(&hex::encode(dcanary_types::value::sha256(
            format!("{seed} {i}").as_bytes(),
        )));
    }
    text
}

#[test]
fn a_definition_that_does_not_fit_into_a_status_fails_the_run_by_name() {
    let scripts = |count: u64| {
        let stages = (0..count)
            .map(|i| json!({"name": format!("s{i}"), "image": "i", "steps": [{"run": noise(i, 100_000)}]}));
        run(Vec::new(), json!({"stages": stages.collect::<Vec<_>>()}))
    };
    let reason = |run: &PipelineRun| {
        let plan = next(run, &Observed::default(), jiff::Timestamp::UNIX_EPOCH);
        let end = plan
            .status
            .conditions
            .iter()
            .find(|condition| condition.kind == ConditionType::Succeeded);
        (plan.status.finished_at.is_some(), end.unwrap().reason.clone())
    };
    assert_eq!(reason(&scripts(2)), (false, "Running".to_owned()));
    assert_eq!(reason(&scripts(6)), (true, "DefinitionTooLarge".to_owned()));
}

#[test]
fn a_run_that_never_began_has_no_record_and_says_so_to_its_end() {
    let invalid = run(Vec::new(), json!({"stages": []}));
    let mut cancelled = run(Vec::new(), json!({"stages": stages()}));
    cancelled.spec =
        serde_json::from_value(json!({"pipelineRef": {"name": "gone"}, "cancel": true})).unwrap();
    for mut run in [invalid, cancelled] {
        for ledger in [true, false] {
            let seen = Observed {
                settings: Arc::new(Settings {
                    ledger,
                    ..Settings::default()
                }),
                ..Observed::default()
            };
            run.status = None;
            let now = "2026-01-02T03:04:05Z".parse().unwrap();
            let ended = next(&run, &seen, now);
            assert!(ended.journal.is_empty() && ended.status.journal.is_none());
            assert!(ended.status.finished_at.is_some());
            run.status = Some(ended.status.clone());
            let later = next(&run, &seen, "2026-01-02T04:04:05Z".parse().unwrap());
            assert_eq!(later.status, ended.status, "it stays what it is");
            let conditions = ended.status.conditions.iter();
            let recorded: Vec<_> = conditions
                .filter(|condition| condition.kind == ConditionType::Recorded)
                .map(|condition| (condition.status, condition.reason.as_str()))
                .collect();
            // without a ledger nothing is ever recorded, and no run says anything about it
            let expected: &[_] = if ledger {
                &[(ConditionStatus::False, "NeverBegan")]
            } else {
                &[]
            };
            assert_eq!(recorded, expected);
        }
    }
}

#[test]
fn a_run_with_a_token_in_the_address_of_its_source_ends_before_anything_is_recorded_or_repeated() {
    let with = |repo: &str, of_pipeline: bool| {
        let mut run = run(Vec::new(), json!({"stages": stages()}));
        if of_pipeline {
            let definition = json!({"source": {"repo": repo}, "stages": stages()});
            run.spec.pipeline_spec = serde_json::from_value(definition).unwrap();
        }
        let mut source = json!({"commit": "a".repeat(40)});
        if !of_pipeline {
            source["repo"] = json!(repo);
        }
        run.spec.source = serde_json::from_value(source).unwrap();
        next(&run, &Observed::default(), jiff::Timestamp::UNIX_EPOCH)
    };
    for (of_pipeline, field) in [
        (false, "spec.source.repo: "),
        (true, "spec.pipelineSpec.source.repo: "),
    ] {
        for good in ["ssh://git@git.example.com/web.git", "git@git.example.com:web.git"] {
            assert!(!with(good, of_pipeline).journal.is_empty(), "{good}");
        }
        let ended = with("https://ci:s3cr3t@git.example.com/web.git", of_pipeline);
        assert!(ended.journal.is_empty() && ended.status.journal.is_none());
        assert!(ended.status.finished_at.is_some());
        let end = &ended.status.conditions;
        let end = end
            .iter()
            .find(|one| one.kind == ConditionType::Succeeded)
            .unwrap();
        let reason = if of_pipeline {
            "InvalidPipeline"
        } else {
            "InvalidRun"
        };
        assert_eq!(end.reason, reason);
        assert!(
            end.message.contains(field) && end.message.contains("`credentials`"),
            "{}",
            end.message
        );
        assert!(!format!("{ended:?}").contains("s3cr3t"));
    }
}

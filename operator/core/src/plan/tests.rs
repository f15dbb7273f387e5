#![allow(clippy::unwrap_used)]

use dcanary_crds::{PipelineRun, PipelineRunStatus, ResultStatus, StageState, StageStatus};
use dcanary_protocol::plan::Mask;
use serde_json::json;

use super::{PlanError, Subject, plan};
use crate::{Observed, Settings, definition::Definition, pod, resolve::resolve};

fn run(spec: serde_json::Value) -> PipelineRun {
    serde_json::from_value(json!({
        "apiVersion": "dcanary.dev/v1alpha1", "kind": "PipelineRun",
        "metadata": {"name": "web-1", "namespace": "team-a", "uid": "0c9d"},
        "spec": spec,
    }))
    .unwrap()
}

fn definition(run: &PipelineRun) -> Definition {
    resolve(&run.spec, &Observed::default()).unwrap()
}

fn result(name: &str, value: Option<&str>) -> ResultStatus {
    ResultStatus {
        name: name.into(),
        value: value.map(str::to_owned),
        digest: format!("sha256:{}", "00".repeat(32)),
        size: 10,
    }
}

/// A status in which these stages have succeeded with these results.
fn with_results(of: &[(&str, Vec<ResultStatus>)], definition: &Definition) -> PipelineRunStatus {
    let stages = definition.stages.iter().map(|stage| {
        let name = stage.stage.name.clone();
        let made = of.iter().find(|(stage, _)| *stage == name);
        StageStatus {
            state: StageState::Succeeded,
            results: made.map(|(_, results)| results.clone()).unwrap_or_default(),
            name,
            ..StageStatus::default()
        }
    });
    PipelineRunStatus {
        stages: stages.collect(),
        ..PipelineRunStatus::default()
    }
}

fn reason(error: PlanError) -> &'static str {
    match error {
        PlanError::Refused { reason, .. } => reason,
        PlanError::Missing(_) => "Missing",
    }
}

fn two_and_a_reader(env: &serde_json::Value) -> PipelineRun {
    let step = json!([{"run": "true"}]);
    run(json!({"pipelineSpec": {"stages": [
        {"name": "a", "image": "i", "steps": step},
        {"name": "a-b", "image": "i", "steps": step},
        {"name": "read", "image": "i", "dependsOn": ["a", "a-b"], "steps": step, "env": env},
    ]}}))
}

#[test]
fn two_results_that_would_be_one_variable_refuse_the_stage_by_name() {
    let run = two_and_a_reader(&json!([]));
    let definition = definition(&run);
    let plan_of = |results: &[(&str, Vec<ResultStatus>)]| {
        let status = with_results(results, &definition);
        plan(Subject {
            run: &run,
            definition: &definition,
            status: &status,
            index: 2,
            attempt: 1,
        })
    };
    let one = plan_of(&[("a", vec![result("b_c", Some("1"))])]).unwrap();
    assert!(
        one.env
            .iter()
            .any(|var| var.name == "RESULT_a_b_c" && var.value == "1")
    );
    let both = [
        ("a", vec![result("b_c", Some("1"))]),
        ("a-b", vec![result("c", Some("2"))]),
    ];
    let PlanError::Refused { reason, message } = plan_of(&both).unwrap_err() else {
        unreachable!("nothing is missing");
    };
    assert_eq!(reason, "ResultAmbiguous");
    assert!(
        message.contains("stages.a.results.b_c") && message.contains("stages.a-b.results.c"),
        "{message}"
    );
}

#[test]
fn a_result_that_is_too_large_for_a_variable_is_refused_with_the_file_that_has_it() {
    let run = two_and_a_reader(&json!([{"name": "X", "value": "$(stages.a.results.big)"}]));
    let definition = definition(&run);
    let status = with_results(&[("a", vec![result("big", None)])], &definition);
    let error = plan(Subject {
        run: &run,
        definition: &definition,
        status: &status,
        index: 2,
        attempt: 1,
    })
    .unwrap_err();
    assert!(error.to_string().contains("$DCANARY_INPUTS/a/big"), "{error}");
    assert_eq!(reason(error), "ResultTooLarge");
}

/// Text that does not compress: each character follows from a generator with a fixed start.
fn noise(len: usize, seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + (state % 90) as u8)
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn a_plan_that_does_not_fit_into_a_pod_is_refused_by_name() {
    let params = |count: u64| {
        let names = (0..count).map(|i| json!({"name": format!("p{i}")}));
        let values = (0..count).map(|i| json!({"name": format!("p{i}"), "value": noise(32 * 1024, i)}));
        run(json!({
            "params": values.collect::<Vec<_>>(),
            "pipelineSpec": {
                "params": names.collect::<Vec<_>>(),
                "stages": [{"name": "a", "image": "i", "steps": [{"run": "true"}]}],
            },
        }))
    };
    let pod_of = |run: &PipelineRun| {
        let definition = definition(run);
        let subject = Subject {
            run,
            definition: &definition,
            status: &PipelineRunStatus::default(),
            index: 0,
            attempt: 1,
        };
        pod::pod(subject, &Settings::default())
    };
    assert!(pod_of(&params(5)).is_ok());
    assert_eq!(reason(pod_of(&params(60)).unwrap_err()), "PlanTooLarge");
}

#[test]
fn of_credentials_only_what_is_secret_is_masked() {
    let run = run(json!({"pipelineSpec": {
        "source": {"repo": "https://git.example.com/web.git", "credentials": "git-login"},
        "stages": [{"name": "a", "image": "i", "secrets": [{"name": "certs"}], "steps": [{"checkout": {}}]}],
    }}));
    let definition = definition(&run);
    let subject = Subject {
        run: &run,
        definition: &definition,
        status: &PipelineRunStatus::default(),
        index: 0,
        attempt: 1,
    };
    let folders: Vec<String> = plan(subject)
        .unwrap()
        .masks
        .into_iter()
        .map(|mask| match mask {
            Mask::Dir { path } => path,
            Mask::Env { name } => unreachable!("{name}"),
        })
        .collect();
    assert_eq!(
        folders,
        ["/var/run/dcanary/secrets/certs", "/var/run/dcanary/masks/0"]
    );
    let spec = pod::pod(subject, &Settings::default()).unwrap().spec.unwrap();
    let mount = |path: &str| {
        let mounts = spec.containers[0].volume_mounts.iter().flatten();
        let name = mounts
            .clone()
            .find(|mount| mount.mount_path == path)
            .unwrap()
            .name
            .clone();
        let volumes = spec.volumes.iter().flatten();
        volumes
            .clone()
            .find(|volume| volume.name == name)
            .unwrap()
            .secret
            .clone()
            .unwrap()
    };
    // the runner reads all of the Secret, and masks these keys of it as far as they are there
    assert_eq!(
        mount("/var/run/dcanary/credentials/0/git.example.com").items,
        None
    );
    let masked = mount("/var/run/dcanary/masks/0");
    assert_eq!(masked.secret_name.as_deref(), Some("git-login"));
    assert_eq!(masked.optional, Some(true));
    let keys: Vec<String> = masked.items.unwrap().into_iter().map(|item| item.key).collect();
    assert_eq!(keys, ["token", "password", "ssh-privatekey"]);
}

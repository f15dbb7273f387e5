#![allow(clippy::unwrap_used)]

use dcanary_crds::{PipelineRun, PipelineRunStatus, ResultStatus, StageState, StageStatus};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{PlanError, STRING_BYTES, Subject, plan};
use crate::{Observed, Settings, definition::Definition, pod, resolve::resolve};

const LONG: usize = 32 * 1024;

/// A run of one stage with a parameter of 32 KiB.
fn run(stage: &Value) -> PipelineRun {
    with(&json!([{"name": "a", "default": "x".repeat(LONG)}]), stage)
}

fn with(params: &Value, stage: &Value) -> PipelineRun {
    serde_json::from_value(json!({
        "apiVersion": "dcanary.dev/v1alpha1", "kind": "PipelineRun",
        "metadata": {"name": "web-1", "namespace": "team-a", "uid": "0c9d"},
        "spec": {"pipelineSpec": {"params": params, "stages": [stage]}},
    }))
    .unwrap()
}

fn definition(run: &PipelineRun) -> Definition {
    resolve(&run.spec, &Observed::default()).unwrap()
}

fn subject<'a>(
    run: &'a PipelineRun,
    definition: &'a Definition,
    status: &'a PipelineRunStatus,
) -> Subject<'a> {
    Subject {
        run,
        definition,
        status,
        index: definition.stages.len() - 1,
        attempt: 1,
    }
}

fn refusal<T>(made: Result<T, PlanError>) -> (&'static str, String) {
    match made.err().unwrap() {
        PlanError::Refused { reason, message } => (reason, message),
        PlanError::Missing { message, .. } => unreachable!("{message}"),
    }
}

fn planned(run: &PipelineRun) -> Result<dcanary_protocol::plan::Plan, PlanError> {
    plan(subject(run, &definition(run), &PipelineRunStatus::default()))
}

fn podded(run: &PipelineRun) -> Result<(), PlanError> {
    let (definition, status) = (definition(run), PipelineRunStatus::default());
    pod::pod(subject(run, &definition, &status), &Settings::default()).map(|_| ())
}

#[test]
fn a_field_that_names_a_long_value_too_often_refuses_the_stage_by_its_place() {
    let many = "$(params.a)".repeat(4);
    let env = json!([{"name": "X", "value": many}]);
    for (place, stage) in [
        ("env[0].value", json!({"env": env, "steps": [{"run": "true"}]})),
        (
            "steps[0].env[0].value",
            json!({"steps": [{"run": "true", "env": env}]}),
        ),
        (
            "steps[0].checkout.repo",
            json!({"steps": [{"checkout": {"repo": format!("https://h.example.com/{many}")}}]}),
        ),
        (
            "steps[0].checkout.ref",
            json!({"steps": [{"checkout": {"repo": "https://h.example.com/a", "ref": many}}]}),
        ),
        (
            "steps[0].image.push",
            json!({"steps": [{"image": {"name": "a", "push": format!("r.example.com/a:{many}")}}]}),
        ),
        (
            "steps[0].image.base",
            json!({"steps": [{"image": {"push": "r.example.com/a:1", "base": many}}]}),
        ),
        (
            "steps[0].image.env.X",
            json!({"steps": [{"image": {"push": "r.example.com/a:1", "env": {"X": many}}}]}),
        ),
        (
            "steps[0].image.labels.X",
            json!({"steps": [{"image": {"push": "r.example.com/a:1", "labels": {"X": many}}}]}),
        ),
    ] {
        let mut stage = stage;
        stage["name"] = "build".into();
        stage["image"] = "i".into();
        let (reason, message) = refusal(planned(&run(&stage)));
        assert_eq!(reason, "TextTooLarge", "{message}");
        assert!(
            message.starts_with(&format!("{place}: ")) && message.contains("131072"),
            "{message}"
        );
    }
}

#[test]
fn an_executor_is_named_when_it_is_its_variable_that_is_too_long() {
    let run = run(&json!({"name": "build", "image": "i", "steps": [{"run": "true"}]}));
    let mut definition = definition(&run);
    let env = json!([{"name": "X", "value": "$(params.a)".repeat(4)}]);
    definition.stages[0].executor = Some(serde_json::from_value(json!({"image": "i", "env": env})).unwrap());
    let (_, message) = refusal(plan(subject(&run, &definition, &PipelineRunStatus::default())));
    assert!(message.starts_with("executor.env[0].value: "), "{message}");
}

#[test]
fn the_texts_of_a_stage_are_bounded_together_also_those_that_steps_have_from_it() {
    let three = "$(params.a)".repeat(3);
    let env = |count: usize| -> Vec<Value> {
        (0..count)
            .map(|i| json!({"name": format!("X{i}"), "value": three}))
            .collect()
    };
    let checkout = |i: usize| json!({"repo": "https://h.example.com/a", "path": format!("d{i}")});
    let steps = |count: usize| -> Vec<Value> {
        (0..count)
            .map(|i| json!({"checkout": checkout(i), "env": env(10)}))
            .collect()
    };
    let stage = |count: usize| json!({"name": "build", "image": "i", "steps": steps(count)});
    assert!(planned(&run(&stage(4))).is_ok());
    let (reason, message) = refusal(planned(&run(&stage(50))));
    assert_eq!(reason, "TextsTooLarge");
    assert!(
        message.starts_with("steps[4].env[2].value: ") && message.contains("4194304"),
        "{message}"
    );

    // a value of the stage that one step has from a Secret is one of each other step
    let mut steps: Vec<Value> = (0..49).map(|i| json!({"checkout": checkout(i)})).collect();
    let secrets: Vec<Value> = (0..10)
        .map(|i| json!({"name": format!("X{i}"), "secret": {"name": "s", "key": "k"}}))
        .collect();
    steps.push(json!({"run": "true", "env": secrets}));
    let (reason, message) = refusal(planned(&run(&json!({
        "name": "build", "image": "i", "env": env(10), "steps": steps,
    }))));
    assert_eq!(reason, "TextsTooLarge");
    assert!(message.starts_with("steps[3].env: "), "{message}");
}

/// A run with so many parameters of 32 KiB.
fn parameters(count: usize, steps: &Value) -> PipelineRun {
    let params: Vec<Value> = (0..count)
        .map(|i| json!({"name": format!("p{i}"), "default": "x".repeat(LONG)}))
        .collect();
    with(
        &json!(params),
        &json!({"name": "build", "image": "i", "steps": steps}),
    )
}

#[test]
fn variables_that_no_program_can_be_started_with_refuse_a_stage_that_starts_one() {
    let script = json!([{"checkout": {"repo": "https://h.example.com/a"}}, {"run": "true"}]);
    assert!(podded(&parameters(59, &script)).is_ok());
    let (reason, message) = refusal(podded(&parameters(60, &script)));
    assert_eq!(reason, "EnvironmentTooLarge");
    assert!(
        message.starts_with("steps[1].run: ")
            && message.contains("at most 1966080")
            && message.contains("`PARAM_p"),
        "{message}"
    );
    // where no script is started nothing has to take them
    let none = json!([{"checkout": {"repo": "https://h.example.com/a"}}]);
    assert!(podded(&parameters(100, &none)).is_ok());
    // those of the step count too
    let env: Vec<Value> = (0..15)
        .map(|i| json!({"name": format!("X{i}"), "value": "$(params.p0)".repeat(3)}))
        .collect();
    let more = json!([{"run": "true"}, {"run": "true", "env": env}]);
    assert!(podded(&parameters(14, &more)).is_ok());
    let (_, message) = refusal(podded(&parameters(15, &more)));
    assert!(message.starts_with("steps[1].run: "), "{message}");
}

#[test]
fn results_and_what_a_run_names_count_as_the_variables_that_they_become() {
    let run = parameters(59, &json!([{"run": "true"}]));
    let mut definition = definition(&run);
    let mut last = definition.stages[0].clone();
    last.stage.name = "use".into();
    last.needs = vec![0];
    definition.stages.push(last);
    let results = (0..16).map(|i| ResultStatus {
        name: format!("r{i}"),
        value: Some("x".repeat(4 << 10)),
        digest: format!("sha256:{}", "00".repeat(32)),
        size: 4 << 10,
    });
    let first = StageStatus {
        name: "build".into(),
        state: StageState::Succeeded,
        results: results.collect(),
        ..StageStatus::default()
    };
    let without = PipelineRunStatus::default();
    let made = |run: &PipelineRun, status: &PipelineRunStatus| {
        pod::pod(subject(run, &definition, status), &Settings::default()).map(|_| ())
    };
    assert!(made(&run, &without).is_ok());
    let status = PipelineRunStatus {
        stages: vec![first],
        ..PipelineRunStatus::default()
    };
    assert_eq!(refusal(made(&run, &status)).0, "EnvironmentTooLarge");

    let mut of_branch = run.clone();
    of_branch.spec.source =
        serde_json::from_value(json!({"repo": "https://h.example.com/a", "ref": "x".repeat(STRING_BYTES)}))
            .unwrap();
    let (_, message) = refusal(made(&of_branch, &without));
    assert!(message.contains("variable `DCANARY_REF` takes"), "{message}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn no_text_of_a_plan_is_longer_than_a_program_can_have(
        times in prop::collection::vec(0_usize..8, 1..20), name in "[A-Z]{1,9}",
    ) {
        let env = |(i, times): (usize, &usize)| json!({"name": format!("{name}{i}"), "value": "$(params.a)".repeat(*times)});
        let env: Vec<Value> = times.iter().enumerate().map(env).collect();
        let stage = json!({"name": "build", "image": "i", "steps": [{"run": "true", "env": env}]});
        let fits = times.iter().all(|times| *times < 4);
        match planned(&run(&stage)) {
            Ok(plan) => {
                prop_assert!(fits);
                let strings = plan.steps.iter().flat_map(|step| &step.env);
                prop_assert!(strings.clone().all(|var| var.name.len() + var.value.len() + 2 <= STRING_BYTES));
            }
            Err(error) => prop_assert!(!fits, "{error}"),
        }
    }
}

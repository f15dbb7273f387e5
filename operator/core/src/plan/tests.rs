#![allow(clippy::unwrap_used)]

use dcanary_crds::{PipelineRun, PipelineRunStatus, ResultStatus, StageState, StageStatus};
use dcanary_protocol::plan::Mask;
use serde_json::json;

use super::{ARTIFACT_MISSING, PlanError, RESULT_MISSING, Subject, plan};
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
        PlanError::Missing { reason, .. } => reason,
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

#[test]
fn what_is_missing_names_the_stages_that_could_have_given_it() {
    let run = run(json!({"pipelineSpec": {"stages": [
        {"name": "files", "image": "i", "steps": [{"artifact": {"name": "web", "paths": ["web"]}}]},
        {"name": "image", "image": "i", "steps": [{"image": {"push": "r.example.com/app:1"}}]},
        {"name": "other", "image": "i", "steps": [{"run": "true"}]},
        {"name": "a", "image": "i", "dependsOn": ["files", "image", "other"], "steps": [{"downloadArtifact": {"name": "web"}}]},
        {"name": "b", "image": "i", "dependsOn": ["files", "image", "other"], "steps": [{"downloadArtifact": {"name": "app"}}]},
        {"name": "c", "image": "i", "dependsOn": ["other"], "steps": [{"run": "true"}], "env": [{"name": "X", "value": "$(stages.other.results.y)"}]},
    ]}}));
    let definition = definition(&run);
    let status = with_results(&[], &definition);
    for (index, wanted, maker) in [
        (3, ARTIFACT_MISSING, "files"),
        (4, ARTIFACT_MISSING, "image"),
        (5, RESULT_MISSING, "other"),
    ] {
        let subject = Subject {
            run: &run,
            definition: &definition,
            status: &status,
            index,
            attempt: 1,
        };
        let PlanError::Missing { reason, of, .. } = plan(subject).unwrap_err() else {
            unreachable!("nothing is refused");
        };
        assert_eq!((reason, of), (wanted, vec![maker.to_owned()]));
    }
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

#[test]
fn a_secret_of_a_step_wins_over_plain_values_of_stage_and_executor_in_that_step_only() {
    let secret = |name: &str| json!({"name": name, "secret": {"name": "keys", "key": name}});
    let run = run(json!({"pipelineSpec": {"stages": [{
        "name": "a", "image": "i",
        "env": [{"name": "TOKEN", "value": "stage"}, {"name": "LEVEL", "value": "stage"}, secret("KEY")],
        "steps": [
            {"run": "true", "env": [secret("TOKEN"), secret("LOGIN")]},
            {"run": "true"},
            {"run": "true", "env": [{"name": "TOKEN", "value": "step"}, {"name": "KEY", "value": "step"}]},
        ],
    }]}}));
    let mut definition = definition(&run);
    let values = ["TOKEN", "LEVEL", "LOGIN", "KEY"].map(|name| json!({"name": name, "value": "executor"}));
    definition.stages[0].executor =
        Some(serde_json::from_value(json!({"image": "i", "env": values})).unwrap());
    let status = PipelineRunStatus::default();
    let subject = Subject {
        run: &run,
        definition: &definition,
        status: &status,
        index: 0,
        attempt: 1,
    };
    let plan = plan(subject).unwrap();
    // as the runner does it: the container's, over them the plan's, over them the step's
    let seen = |step: usize| {
        ["TOKEN", "LEVEL", "LOGIN", "KEY"].map(|name| {
            let mut vars = plan.env.iter().chain(&plan.steps[step].env);
            vars.rfind(|var| var.name == name)
                .map_or("secret", |var| var.value.as_str())
        })
    };
    assert_eq!(seen(0), ["secret", "stage", "secret", "secret"]);
    assert_eq!(seen(1), ["stage", "stage", "executor", "secret"]);
    assert_eq!(seen(2), ["step", "stage", "executor", "step"]);
    let from_secrets: Vec<String> = super::secret_env(&definition.stages[0]).into_keys().collect();
    assert_eq!(from_secrets, ["KEY", "LOGIN", "TOKEN"]);
}

#[test]
fn a_token_that_a_parameter_brings_into_the_address_of_a_checkout_refuses_the_stage() {
    let with = |repo: &str| {
        run(json!({
            "params": [{"name": "repo", "value": repo}],
            "pipelineSpec": {
                "params": [{"name": "repo"}],
                "stages": [{"name": "a", "image": "i", "steps": [{"checkout": {"repo": "$(params.repo)"}}]}],
            },
        }))
    };
    let plan_of = |run: &PipelineRun| {
        plan(Subject {
            run,
            definition: &definition(run),
            status: &PipelineRunStatus::default(),
            index: 0,
            attempt: 1,
        })
    };
    assert!(plan_of(&with("ssh://git@git.example.com/web.git")).is_ok());
    let error = plan_of(&with("https://ci:s3cr3t@git.example.com/web.git")).unwrap_err();
    let told = error.to_string();
    assert!(
        told.starts_with("steps[0].checkout.repo: ") && !told.contains("s3cr3t"),
        "{told}"
    );
    assert_eq!(reason(error), "RepositoryHoldsSecret");
}

#[test]
fn credentials_that_are_not_for_the_repository_of_the_run_refuse_the_stage_by_name() {
    let inline = run(json!({
        "source": {"repo": "https://other.example.com/web.git"},
        "pipelineSpec": {
            "source": {"repo": "https://git.example.com/web.git"},
            "stages": [{"name": "a", "image": "i", "steps": [{"checkout": {"credentials": "git-token"}}]}],
        },
    }));
    let definition = definition(&inline);
    let plan_of = |run: &PipelineRun| {
        plan(Subject {
            run,
            definition: &definition,
            status: &PipelineRunStatus::default(),
            index: 0,
            attempt: 1,
        })
    };
    assert!(plan_of(&inline).is_ok());
    let mut by_name = inline.clone();
    by_name.spec.pipeline_spec = None;
    by_name.spec.pipeline_ref = Some(dcanary_crds::PipelineRef { name: "web".into() });
    let error = plan_of(&by_name).unwrap_err();
    assert!(
        error.to_string().contains("steps[0].checkout.credentials"),
        "{error}"
    );
    assert_eq!(reason(error), "CredentialsForAnother");
    by_name.spec.source = None;
    assert!(plan_of(&by_name).is_ok());
}

#[test]
fn credentials_without_a_host_that_is_written_out_refuse_the_stage_by_name() {
    // as a definition that was resolved by an operator that did not look
    let plan_of = |definition: &Definition, run: &PipelineRun| {
        plan(Subject {
            run,
            definition,
            status: &PipelineRunStatus::default(),
            index: 0,
            attempt: 1,
        })
    };
    let run = run(json!({"pipelineSpec": {
        "params": [{"name": "host", "default": "git.example.com"}],
        "source": {"repo": "https://git.example.com/web.git", "credentials": "git-token"},
        "stages": [{"name": "a", "image": "i", "steps": [
            {"checkout": {"repo": "https://$(params.host)/a", "path": "a"}},
            {"checkout": {}},
        ]}],
    }}));
    let mut definition = definition(&run);
    assert!(plan_of(&definition, &run).is_ok());
    let first = definition.stages[0].stage.steps[0].checkout.as_mut().unwrap();
    first.credentials = Some("git-token".into());
    let error = plan_of(&definition, &run).unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("steps[0].checkout.credentials: ") && text.contains("written out"),
        "{text}"
    );
    assert_eq!(reason(error), "CredentialsWithoutHost");
    // the Secret of the source likewise
    definition.stages[0].stage.steps.remove(0);
    assert!(plan_of(&definition, &run).is_ok());
    definition.source.as_mut().unwrap().repo = "/srv/web.git".into();
    let error = plan_of(&definition, &run).unwrap_err();
    assert_eq!(reason(error), "CredentialsWithoutHost");
}

#[test]
fn credentials_of_an_ipv6_address_are_mounted_where_the_runner_looks_and_a_mount_may_be() {
    let run = run(json!({"pipelineSpec": {
        "source": {"repo": "https://[2001:DB8::1]:8443/web.git", "credentials": "git-token"},
        "stages": [{"name": "a", "image": "i", "steps": [{"checkout": {}}]}],
    }}));
    let definition = definition(&run);
    let subject = Subject {
        run: &run,
        definition: &definition,
        status: &PipelineRunStatus::default(),
        index: 0,
        attempt: 1,
    };
    let spec = pod::pod(subject, &Settings::default()).unwrap().spec.unwrap();
    let mut mounts = spec.containers[0].volume_mounts.iter().flatten();
    assert!(mounts.any(|mount| mount.mount_path == "/var/run/dcanary/credentials/0/[2001_db8__1]"));
}

use std::collections::BTreeMap;

use dcanary_crds::{Environment, PipelineRun, Rollout, Stage};
use serde_json::{Value, json};

use super::{UID, WEB, environment, put, seen};
use crate::{
    analysis::Vars,
    plan::Actor,
    render::{Hook, HookState, RunState, hook, job, job_state},
    seen::{Key, Kind, Seen},
};

fn hooked() -> Environment {
    let mut env = serde_json::to_value(environment()).unwrap();
    env["spec"]["ledger"] = json!({"mode": "off"});
    env["spec"]["hooks"] = json!({"preDeploy": [{"name": "migrate", "image": "$(params.image_web)", "steps": [{"run": "migrate up"}]}]});
    serde_json::from_value(env).unwrap()
}

fn rollout(images: &[&str]) -> Rollout {
    Rollout {
        promotion: "web-7-prod".into(),
        promotion_uid: "9f3b2c11-aaaa".into(),
        release: "web-7".into(),
        identity: "sha256:0123456789abcdef".into(),
        workload: "web-0123456789".into(),
        images: images
            .iter()
            .map(|name| ((*name).to_owned(), WEB.to_owned()))
            .collect(),
        ..Rollout::default()
    }
}

fn write(env: &Environment, seen: &Seen) -> crate::Write {
    match hook(env, &rollout(&["web"]), Hook::PreDeploy, seen) {
        Some(HookState::Missing(write)) => *write,
        other => panic!("{other:?}"),
    }
}

fn ended(run: &crate::Write, finished: &str, succeeded: &str) -> Value {
    let mut object = run.object.clone();
    object["status"] = json!({"conditions": [
        {"type": "Succeeded", "status": succeeded, "message": "stage migrate failed"},
        {"type": "Finished", "status": finished},
    ]});
    object
}

#[test]
fn the_run_of_a_hook() {
    let write = write(&hooked(), &seen());
    assert_eq!(write.actor, Actor::Operator);
    assert_eq!(write.key, Key::new(Kind::PipelineRun, "web-0123456789-pre-9f3b2"));
    let run: PipelineRun = serde_json::from_value(write.object.clone()).unwrap();
    let spec = run.spec.pipeline_spec.unwrap();
    let declared: Vec<&str> = spec.params.iter().map(|param| param.name.as_str()).collect();
    assert_eq!(declared, ["environment", "release", "image_web"]);
    insta::assert_yaml_snapshot!(write.object);
}

#[test]
fn a_hook_is_as_far_as_its_run() {
    let env = hooked();
    let first = write(&env, &seen());
    let state = |finished: &str, succeeded: &str| {
        let mut seen = seen();
        put(&mut seen, ended(&first, finished, succeeded));
        hook(&env, &rollout(&["web"]), Hook::PreDeploy, &seen).unwrap()
    };
    assert_eq!(
        state("False", "Unknown"),
        HookState::Running(first.key.name.clone())
    );
    // `finally` stages may still run
    assert_eq!(
        state("False", "False"),
        HookState::Running(first.key.name.clone())
    );
    assert_eq!(state("True", "True"), HookState::Succeeded);
    let HookState::Failed(why) = state("True", "False") else {
        panic!()
    };
    assert!(
        why.contains(&first.key.name) && why.contains("stage migrate failed"),
        "{why}"
    );
}

#[test]
fn stages_that_are_not_there_do_not_run() {
    assert_eq!(
        hook(&environment(), &rollout(&["web"]), Hook::PreDeploy, &seen()),
        None
    );
    assert_eq!(
        hook(&hooked(), &rollout(&["web"]), Hook::PostDeploy, &seen()),
        None
    );
    assert_eq!(
        hook(&hooked(), &rollout(&["web"]), Hook::OnRollback, &seen()),
        None
    );
}

#[test]
fn a_run_that_cannot_be_read_is_not_made_again_and_one_of_others_does_not_count() {
    let env = hooked();
    let first = write(&env, &seen());
    let mut unreadable = seen();
    unreadable.unreadable.insert(first.key.clone(), "timeout".into());
    let found = hook(&env, &rollout(&["web"]), Hook::PreDeploy, &unreadable);
    assert_eq!(found, Some(HookState::Running(first.key.name.clone())));

    let mut forged = ended(&first, "True", "True");
    forged["metadata"]["labels"] = json!({});
    let mut seen = seen();
    put(&mut seen, forged);
    let Some(HookState::Failed(why)) = hook(&env, &rollout(&["web"]), Hook::PreDeploy, &seen) else {
        panic!()
    };
    assert!(why.contains(&first.key.name), "{why}");
}

#[test]
fn images_that_would_be_one_parameter_are_refused_with_their_names() {
    let Some(HookState::Failed(why)) = hook(
        &hooked(),
        &rollout(&["web-api", "web.api"]),
        Hook::PreDeploy,
        &seen(),
    ) else {
        panic!()
    };
    assert!(
        why.contains("`web-api`") && why.contains("`web.api`") && why.contains("image_web_api"),
        "{why}"
    );
}

#[test]
fn the_run_of_a_sample_has_a_name_of_its_own() {
    let env = environment();
    let stage: Stage =
        serde_json::from_value(json!({"name": "probe", "image": "curl:8", "steps": [{"run": "true"}]}))
            .unwrap();
    let vars = Vars {
        release: "web-0123456789".into(),
        environment: "web".into(),
        namespace: "team-a".into(),
        images: BTreeMap::from([("web".to_owned(), WEB.to_owned())]),
        ..Vars::default()
    };
    let (key, write) = job(&env, "9f3b2c11-aaaa", "prePromotion", "smoke", 2, &stage, &vars);
    assert_eq!(key.name, "web-prepromotion-smoke-2-9f3b2c11");
    assert_eq!((&write.key, write.actor), (&key, Actor::Operator));
    assert_eq!(write.object["metadata"]["ownerReferences"][0]["uid"], UID);
    let mut seen = seen();
    assert_eq!(job_state(&key, &seen), RunState::Missing);
    put(&mut seen, ended(&write, "True", "True"));
    assert_eq!(job_state(&key, &seen), RunState::Succeeded);
    let others: Vec<String> = [
        ("prePromotion", "smoke", 3),
        ("postPromotion", "smoke", 2),
        ("prePromotion", "load", 2),
    ]
    .into_iter()
    .map(|(analysis, metric, sample)| {
        job(&env, "9f3b2c11-aaaa", analysis, metric, sample, &stage, &vars)
            .0
            .name
    })
    .collect();
    assert!(!others.contains(&key.name) && key.name.len() <= 253);
}

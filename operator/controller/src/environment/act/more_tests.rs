//! Effects other than writes, against an API server that says no.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use dcanary_core::SealOutbox;
use dcanary_crds::{Promotion, labels};
use dcanary_rollout::{
    Effect, Measure, Source, Verify,
    seen::{Answer as Sampled, MeasureKey},
};
use jiff::Timestamp;
use kube::runtime::{reflector, watcher::Event};
use serde_json::json;

use super::{
    ActError, Acted, act,
    tests::{acted, create, taken},
};
use crate::{
    context::Context,
    environment::{Stores, memory::EnvironmentMemory},
    testing::{Answer, ApiServer, Asked, context, context_of, environment, promotion},
};

/// What all parts share, with one Promotion in the cache.
fn with_promotion(api: &ApiServer, cached: Promotion) -> Arc<Context> {
    let (promotions, mut writer) = reflector::store();
    writer.apply_watcher_event(&Event::Apply(cached));
    let stores = Stores {
        promotions,
        ..Stores::empty()
    };
    context_of(api.client(), stores)
}

fn weigh(uid: &str, weight: i32) -> Effect {
    Effect::WritePromotion {
        namespace: "team".to_owned(),
        name: "p-1".to_owned(),
        uid: uid.to_owned(),
        status: Box::new(serde_json::from_value(json!({"weight": weight})).unwrap()),
    }
}

#[tokio::test]
async fn the_status_of_a_promotion_is_written_once_and_an_equal_one_is_not() {
    let api = ApiServer::start(|request| {
        let mut object = request.json();
        object["metadata"]["resourceVersion"] = json!("2");
        Answer::ok(&object)
    });
    let ctx = with_promotion(&api, promotion("p"));
    ctx.environments.memory.with("env-1", |_| ());
    for _ in 0..2 {
        assert_eq!(acted(&ctx, &[weigh("p", 20)]).await, Acted::Done);
    }
    let puts = api.all("PUT");
    assert_eq!(puts.len(), 1, "the cache is behind our own write");
    assert!(puts[0].path.ends_with("/namespaces/team/promotions/p-1/status"));
    assert_eq!(puts[0].json()["metadata"]["resourceVersion"], "1");
    acted(&ctx, &[weigh("p", 40)]).await;
    assert_eq!(api.all("PUT")[1].json()["metadata"]["resourceVersion"], "2");
    acted(&ctx, &[weigh("another", 60)]).await;
    assert_eq!(api.all("PUT").len(), 2, "another one of that name is left alone");
}

#[tokio::test]
async fn a_conflict_at_the_status_of_a_promotion_is_another_decision_and_a_failure_an_error() {
    let api = ApiServer::start(|_| Answer::error(409, "Conflict", "newer"));
    let ctx = with_promotion(&api, promotion("p"));
    assert_eq!(acted(&ctx, &[weigh("p", 20)]).await, Acted::Outdated);
    let api = ApiServer::start(|_| Answer::error(500, "InternalError", "no"));
    let ctx = with_promotion(&api, promotion("p"));
    let effects = [weigh("p", 20), create("a")];
    let error = act(&ctx, &environment("env-1"), &effects, Timestamp::now())
        .await
        .unwrap_err();
    assert!(matches!(error, ActError::Promotion { .. }), "{error}");
    assert_eq!(api.all("POST").len(), 1, "it held up nobody");
}

/// A status that will never be taken: its refusal is none of the other effects' business.
#[tokio::test]
async fn a_status_of_a_promotion_that_is_refused_is_no_failure_and_is_tried_again_after_a_while() {
    for (code, reason) in [
        (413, "RequestEntityTooLarge"),
        (403, "Forbidden"),
        (422, "Invalid"),
        (400, "BadRequest"),
    ] {
        let api = ApiServer::start(move |request| {
            if request.method == "PUT" {
                Answer::error(code, reason, "no")
            } else {
                taken(request)
            }
        });
        let ctx = with_promotion(&api, promotion("p"));
        ctx.environments.memory.with("env-1", |_| ());
        assert_eq!(acted(&ctx, &[weigh("p", 20), create("a")]).await, Acted::Changed);
        assert_eq!(acted(&ctx, &[weigh("p", 40)]).await, Acted::Done);
        assert_eq!(api.all("PUT").len(), 1, "{code}: not again at once");
        let now = std::time::Instant::now();
        ctx.environments
            .memory
            .with("env-1", |memory| memory.refused_status("p", now));
        acted(&ctx, &[weigh("p", 40)]).await;
        assert_eq!(api.all("PUT").len(), 2, "{code}: its time has come");
    }
}

#[tokio::test]
async fn our_finalizer_is_added_and_taken_off_beside_those_of_others_under_the_version_that_was_seen() {
    let api = ApiServer::start(|request| {
        let mut written = serde_json::to_value(environment("env-1")).unwrap();
        written["metadata"]["finalizers"] = request.json()["metadata"]["finalizers"].clone();
        Answer::ok(&written)
    });
    let ctx = context(api.client());
    let mut object = environment("env-1");
    let both = |finalizers: &[&str]| Some(finalizers.iter().map(|&name| name.to_owned()).collect());
    object.metadata.finalizers = both(&["somebody/else"]);
    let held = act(&ctx, &object, &[Effect::HoldEnvironment], Timestamp::now());
    assert_eq!(held.await.unwrap(), Acted::Changed);
    object.metadata.finalizers = both(&[labels::ENVIRONMENT_FINALIZER, "somebody/else"]);
    let released = act(&ctx, &object, &[Effect::ReleaseEnvironment], Timestamp::now());
    assert_eq!(released.await.unwrap(), Acted::Done);
    let patches = api.all("PATCH");
    let finalizers = |patch: &Asked| patch.json()["metadata"]["finalizers"].clone();
    assert_eq!(
        finalizers(&patches[0]),
        json!(["somebody/else", labels::ENVIRONMENT_FINALIZER])
    );
    assert_eq!(finalizers(&patches[1]), json!(["somebody/else"]));
    for patch in &patches {
        assert_eq!(patch.json()["metadata"]["resourceVersion"], "1");
    }
    assert!(!ctx.environments.memory.knows("env-1"));
}

#[tokio::test]
async fn sealed_records_go_into_the_namespace_of_the_operator_and_name_the_environment() {
    let api = ApiServer::start(taken);
    let ctx = context(api.client());
    ctx.environments.memory.freshest(&environment("env-1"));
    let outbox = SealOutbox {
        config_map: "dcanary-journal-env-1-0".to_owned(),
        first: 0,
        last: 0,
        hash: "sha256:1".to_owned(),
        records: Vec::new(),
    };
    assert_eq!(acted(&ctx, &[Effect::SealOutbox(outbox)]).await, Acted::Changed);
    let post = &api.all("POST")[0];
    assert_eq!(post.path, "/api/v1/namespaces/dcanary-system/configmaps");
    let metadata = &post.json()["metadata"];
    assert_eq!(metadata["labels"][labels::RUN_UID], "env-1");
    assert_eq!(
        metadata["labels"].get(labels::ENVIRONMENT),
        None,
        "no watch takes it for one of its objects"
    );
    assert_eq!(metadata["annotations"][labels::ENVIRONMENT], "team/prod");
    let sealings = ctx.journal_of("env-1", |journal| journal.sealings.clone());
    assert_eq!(sealings.len(), 1);
}

#[tokio::test]
async fn a_token_is_read_as_the_service_account_when_the_sample_is_taken_and_a_missing_one_is_told() {
    let api = ApiServer::start(|_| Answer::error(404, "NotFound", "no such Secret"));
    let ctx = context(api.client());
    let key = MeasureKey {
        promotion: "p".to_owned(),
        analysis: "background".to_owned(),
        metric: "errors".to_owned(),
        sample: 0,
        baseline: false,
    };
    let measure = Measure {
        key: key.clone(),
        timeout: 1,
        token: Some(serde_json::from_value(json!({"name": "prometheus", "key": "token"})).unwrap()),
        source: Source::Web {
            url: "http://127.0.0.1:9".to_owned(),
            json_path: None,
        },
    };
    let mut woken = ctx.environments.woken().unwrap();
    ctx.environments.memory.freshest(&environment("env-1"));
    let effect = Effect::Measure(Box::new(measure));
    acted(&ctx, &[effect.clone(), effect]).await;
    assert_eq!(woken.recv().await.unwrap().name, "prod");
    let gets = api.all("GET");
    assert_eq!(gets.len(), 1, "asked for once: {gets:?}");
    assert_eq!(gets[0].path, "/api/v1/namespaces/team/secrets/prometheus");
    assert_eq!(
        gets[0].headers["impersonate-user"],
        "system:serviceaccount:team:deployer"
    );
    let answers = ctx
        .environments
        .memory
        .with("env-1", |memory| memory.measurements());
    let Sampled::Error(problem) = &answers[&key].answer else {
        unreachable!("{answers:?}")
    };
    assert!(
        problem.contains("Secret prometheus has no usable key token"),
        "{problem}"
    );
}

#[tokio::test]
async fn a_gateway_is_asked_once_at_a_time_and_its_answer_wakes_the_environment() {
    let ctx = context(ApiServer::start(|_| Answer::error(404, "NotFound", "nothing")).client());
    let verify = Verify {
        token: "0123456789abcdef".to_owned(),
        // nobody listens there
        url: "http://127.0.0.1:9".to_owned(),
        host: None,
        path: "/.well-known/dcanary/0123456789abcdef".to_owned(),
        leads_to: "0123456789abcdef.dcanary.invalid".to_owned(),
    };
    let mut woken = ctx.environments.woken().unwrap();
    ctx.environments.memory.freshest(&environment("env-1"));
    let effect = Effect::Verify(Box::new(verify));
    acted(&ctx, &[effect.clone(), effect]).await;
    assert_eq!(woken.recv().await.unwrap().name, "prod");
    let known = |memory: &mut EnvironmentMemory| (memory.check(), memory.ask_gateway("0123456789abcdef"));
    let (check, again) = ctx.environments.memory.with("env-1", known);
    let check = check.unwrap();
    assert_eq!(check.token, "0123456789abcdef");
    let problem = check.shown.unwrap_err();
    assert!(problem.starts_with("cannot be reached"), "{problem}");
    assert!(again, "it has not shown the split");
    assert!(woken.try_recv().is_err(), "it was asked once");
}

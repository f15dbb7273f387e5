//! What the status names and the caches lack.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use dcanary_crds::{Decision, Environment, Promotion};
use kube::{
    ResourceExt,
    runtime::{reflector, watcher::Event},
};
use serde_json::{Value, json};

use super::{Stores, missing, observe::observe, reconcile};
use crate::{
    context::Context,
    testing::{Answer, ApiServer, Asked, context_of, environment, promotion},
};

/// A rollout of the Promotion `p-1`, taken up by another operator; `e-1` ended, `u-1` goes back, and two Decisions were carried out.
fn taken_up() -> Environment {
    let mut environment = environment("env-1");
    let named = |name: &str, uid: &str| {
        json!({"promotion": name, "promotionNamespace": "team", "promotionUid": uid, "release": "r-1", "identity": "i", "workload": "w",
            "outcome": "Refused", "reason": "Held"})
    };
    let mut rollout = named("p-1", "p-uid");
    rollout.as_object_mut().unwrap().remove("outcome");
    environment.status = serde_json::from_value(json!({
        "rollout": rollout, "ended": [named("e-1", "e-uid")], "decided": ["d1", "d2"],
        "history": [{"release": "r-0", "namespace": "team", "identity": "i0", "workload": "w0"}],
        "waysBack": [{"decision": "d1", "promotionUid": "u-uid", "identity": "i0"}],
    }))
    .unwrap();
    environment
}

fn decision(uid: &str) -> Value {
    json!({
        "apiVersion": "dcanary.dev/v1alpha1", "kind": "Decision",
        "metadata": {"name": format!("n-{uid}"), "namespace": "team", "uid": uid, "resourceVersion": "1"},
        "spec": {"for": {"kind": "Environment", "name": "prod", "uid": "env-1"}, "verb": "undo", "by": {"username": "ann"}},
    })
}

fn named(name: &str, uid: &str) -> Promotion {
    let mut promotion = promotion(uid);
    promotion.metadata.name = Some(name.to_owned());
    promotion
}

fn list(items: &[Value]) -> Answer {
    Answer::ok(&json!({"apiVersion": "dcanary.dev/v1alpha1", "kind": "List", "metadata": {}, "items": items}))
}

/// What an API server has: Promotions by name, and Decisions.
fn having(
    promotions: Vec<Promotion>,
    decisions: Vec<Value>,
) -> impl FnMut(&Asked) -> Answer + Send + 'static {
    move |request| {
        let path = request.path.as_str();
        if path.ends_with("/namespaces/team/decisions") {
            return list(&decisions);
        }
        assert!(path.ends_with("/namespaces/team/promotions"), "{path}");
        let asked = |promotion: &&Promotion| {
            let wanted = format!("metadata.name%3D{}", promotion.name_any());
            request.query.split('&').any(|part| part.ends_with(&wanted))
        };
        let found = promotions.iter().filter(asked);
        list(
            &found
                .map(|one| serde_json::to_value(one).unwrap())
                .collect::<Vec<_>>(),
        )
    }
}

async fn seen(ctx: &Context, environment: &Environment) -> (Vec<String>, Vec<String>) {
    // as a reconcile does it
    let environment = ctx.environments.memory.freshest(environment);
    let seen = observe(ctx, &environment).await.unwrap().seen;
    let mut promotions: Vec<String> = seen.promotions.iter().filter_map(ResourceExt::uid).collect();
    let mut decisions: Vec<String> = seen.decisions.iter().filter_map(ResourceExt::uid).collect();
    promotions.sort();
    decisions.sort();
    (promotions, decisions)
}

#[tokio::test]
async fn what_the_status_names_and_the_cache_lacks_is_asked_for_and_found() {
    let promotions = vec![
        named("p-1", "p-uid"),
        named("e-1", "e-uid"),
        named("prod-undo-d1", "u-uid"),
    ];
    let decisions = vec![decision("d1"), decision("d2"), decision("somebody-elses")];
    let api = ApiServer::start(having(promotions, decisions));
    let ctx = context_of(api.client(), Stores::empty());
    let (promotions, decisions) = seen(&ctx, &taken_up()).await;
    assert_eq!(promotions, ["e-uid", "p-uid", "u-uid"]);
    assert_eq!(decisions, ["d1", "d2"], "what is new comes by the watch");
    assert_eq!(
        api.all("GET").len(),
        4,
        "one for each Promotion, one for all Decisions"
    );
}

#[tokio::test]
async fn what_the_api_server_does_not_have_is_gone_and_not_asked_for_again() {
    let another = vec![named("p-1", "p-uid-2"), named("prod-undo-d1", "u-uid")];
    let api = ApiServer::start(having(another, vec![decision("d2")]));
    let ctx = context_of(api.client(), Stores::empty());
    let (promotions, decisions) = seen(&ctx, &taken_up()).await;
    assert_eq!(promotions, ["u-uid"], "another one of that name is another one");
    assert_eq!(decisions, ["d2"]);
    assert_eq!(api.all("GET").len(), 4);
    let again = seen(&ctx, &taken_up()).await;
    assert_eq!(again, (vec!["u-uid".to_owned()], vec!["d2".to_owned()]));
    assert_eq!(
        api.all("GET").len(),
        6,
        "only what is there and not in the cache yet"
    );
    // what the status names no more is forgotten
    let mut environment = taken_up();
    environment.status = None;
    assert_eq!(seen(&ctx, &environment).await, (vec![], vec![]));
    assert_eq!(api.all("GET").len(), 6);
    ctx.environments
        .memory
        .with("env-1", |memory| assert!(memory.absent.is_empty()));
}

#[tokio::test]
async fn what_is_in_the_caches_is_not_asked_for() {
    let api = ApiServer::start(|request| unreachable!("{request:?}"));
    let (promotions, mut writer) = reflector::store();
    let (decisions, mut decided) = reflector::store();
    let stores = Stores {
        promotions,
        decisions,
        ..Stores::empty()
    };
    let ctx = context_of(api.client(), stores);
    let indices = &ctx.environments.indices;
    for one in [
        named("p-1", "p-uid"),
        named("e-1", "e-uid"),
        named("prod-undo-d1", "u-uid"),
    ] {
        indices
            .promotions_into
            .add(("team".to_owned(), "prod".to_owned()), &one);
        writer.apply_watcher_event(&Event::Apply(one));
    }
    for uid in ["d1", "d2", "d3"] {
        let one: Decision = serde_json::from_value(decision(uid)).unwrap();
        indices.decisions_in.add(("team".to_owned(), String::new()), &one);
        decided.apply_watcher_event(&Event::Apply(one));
    }
    let (promotions, decisions) = seen(&ctx, &taken_up()).await;
    assert_eq!(promotions, ["e-uid", "p-uid", "u-uid"]);
    assert_eq!(decisions, ["d1", "d2", "d3"]);
    assert_eq!(api.all("GET").len(), 0);
}

#[tokio::test]
async fn while_the_api_server_does_not_say_it_nothing_is_concluded() {
    for kind in ["promotions", "decisions"] {
        let mut there = having(
            vec![
                named("p-1", "p-uid"),
                named("e-1", "e-uid"),
                named("prod-undo-d1", "u-uid"),
            ],
            vec![decision("d1"), decision("d2")],
        );
        let api = ApiServer::start(move |request| {
            if request.path.ends_with(kind) {
                return Answer::error(503, "ServiceUnavailable", "etcd is away");
            }
            there(request)
        });
        let ctx = context_of(api.client(), Stores::empty());
        let error = reconcile(Arc::new(taken_up()), ctx.clone()).await.unwrap_err();
        assert_eq!(error.reason(), "observe");
        for method in ["PUT", "POST", "PATCH", "DELETE"] {
            assert!(api.all(method).is_empty(), "{method}");
        }
        ctx.environments
            .memory
            .with("env-1", |memory| assert!(memory.absent.is_empty()));
    }
}

/// What a decision begins with a Promotion that the status did not name.
async fn begins(there: Vec<Promotion>, cached: Promotion) -> (Arc<Context>, Environment, bool) {
    let api = ApiServer::start(having(there, Vec::new()));
    let ctx = context_of(api.client(), Stores::empty());
    let environment = environment("env-1");
    let _ = ctx.environments.memory.freshest(&environment);
    let begun = dcanary_rollout::named::begun(&environment, taken_up().status.as_ref().unwrap());
    let begun = begun
        .into_iter()
        .filter(|named| Some(&named.uid) == cached.metadata.uid.as_ref())
        .collect();
    let ended = missing::has_ended(&ctx, &environment, begun).await.unwrap();
    assert_eq!(api.all("GET").len(), 1);
    (ctx, environment, ended)
}

#[tokio::test]
async fn nothing_begins_with_a_promotion_that_has_ended_since_the_cache_had_it() {
    let cached = named("p-1", "p-uid");
    let mut ended = cached.clone();
    ended.metadata.resource_version = Some("99".to_owned());
    ended.status = serde_json::from_value(json!({"conditions": [
        {"type": "Finished", "status": "True", "reason": "Aborted", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"},
    ]}))
    .unwrap();
    let (ctx, environment, outdated) = begins(vec![ended], cached.clone()).await;
    assert!(outdated);
    let uid = environment.uid().unwrap();
    let now = ctx
        .environments
        .memory
        .with(&uid, |memory| memory.freshest(&cached));
    assert!(
        dcanary_rollout::named::has_ended(&now),
        "the next decision knows it"
    );
    let (_, _, gone) = begins(vec![named("p-1", "another")], cached.clone()).await;
    assert!(gone);
    let (_, _, as_it_was) = begins(vec![cached.clone()], cached).await;
    assert!(!as_it_was);
}

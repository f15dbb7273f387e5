//! Writes against an API server that says no.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use dcanary_crds::labels;
use dcanary_rollout::{Actor, Effect, Key, Kind, Write};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Acted, act};
use crate::{
    context::Context,
    testing::{Answer, ApiServer, Asked, context, environment},
};

fn service(name: &str, uid: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": name, "namespace": "team",
            "labels": {labels::ENVIRONMENT: "prod", labels::ENVIRONMENT_UID: uid},
        },
        "spec": {"ports": [{"port": 80}]},
    })
}

/// What the API server has.
fn there(mut object: Value, uid: &str, version: &str) -> Value {
    object["metadata"]["uid"] = json!(uid);
    object["metadata"]["resourceVersion"] = json!(version);
    object
}

fn write(object: Value, actor: Actor) -> Effect {
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    Effect::Write(Box::new(Write {
        key: Key::new(Kind::Service, name),
        object,
        actor,
    }))
}

pub(super) fn create(name: &str) -> Effect {
    write(service(name, "env-1"), Actor::Environment)
}

fn replace(name: &str) -> Effect {
    write(there(service(name, "env-1"), "s-1", "5"), Actor::Environment)
}

fn delete(name: &str) -> Effect {
    Effect::Delete {
        key: Key::new(Kind::Service, name),
        uid: format!("uid-{name}"),
        version: Some("5".to_owned()),
        actor: Actor::Environment,
    }
}

fn list(items: &[Value]) -> Answer {
    Answer::ok(&json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}))
}

/// An API server that takes everything under a new version.
pub(super) fn taken(request: &Asked) -> Answer {
    let mut object = request.json();
    if request.method != "DELETE" {
        object["metadata"]["uid"] = json!("made");
        object["metadata"]["resourceVersion"] = json!("100");
    }
    Answer::ok(&object)
}

pub(super) async fn acted(ctx: &Arc<Context>, effects: &[Effect]) -> Acted {
    act(ctx, &environment("env-1"), effects, Timestamp::now())
        .await
        .unwrap()
}

/// Reasons of what was refused, by name.
fn refusals(ctx: &Context) -> Vec<(String, String)> {
    let seen = ctx
        .environments
        .memory
        .with("env-1", |memory| memory.refusals.seen());
    seen.into_iter()
        .map(|(key, refusal)| (key.name, refusal.reason))
        .collect()
}

fn known(ctx: &Context) -> Vec<(String, Value)> {
    let (objects, _) = ctx.environments.objects.of("team", "prod");
    objects
        .into_iter()
        .map(|(key, object)| (key.name, object["metadata"]["resourceVersion"].clone()))
        .collect()
}

#[tokio::test]
async fn objects_are_written_as_the_service_account_alone_and_known_at_once() {
    let api = ApiServer::start(taken);
    let ctx = context(api.client());
    assert_eq!(acted(&ctx, &[create("a"), replace("b")]).await, Acted::Changed);
    let (posts, puts) = (api.all("POST"), api.all("PUT"));
    assert_eq!(posts[0].path, "/api/v1/namespaces/team/services");
    assert_eq!(puts[0].path, "/api/v1/namespaces/team/services/b");
    for asked in [&posts[0], &puts[0]] {
        assert_eq!(
            asked.headers["impersonate-user"],
            "system:serviceaccount:team:deployer"
        );
        assert!(
            asked.headers.get("impersonate-group").is_none(),
            "the API server adds the groups; the right to name some would be the right to be anybody"
        );
        assert!(asked.query.contains("fieldManager=dcanary"), "{}", asked.query);
    }
    assert_eq!(puts[0].json()["metadata"]["resourceVersion"], "5");
    let both = [("a".to_owned(), json!("100")), ("b".to_owned(), json!("100"))];
    assert_eq!(known(&ctx), both, "no watch told it");
}

#[tokio::test]
async fn what_the_operator_writes_for_itself_it_writes_as_itself() {
    let api = ApiServer::start(taken);
    let ctx = context(api.client());
    acted(&ctx, &[write(service("a", "env-1"), Actor::Operator)]).await;
    assert!(api.all("POST")[0].headers.get("impersonate-user").is_none());
}

#[tokio::test]
async fn a_promotion_is_created_in_the_namespace_of_its_release() {
    let api = ApiServer::start(taken);
    let ctx = context(api.client());
    let promotion = Write {
        key: Key::new(Kind::Promotion, "prod-undo-1"),
        object: json!({"metadata": {"name": "prod-undo-1", "namespace": "builds"}, "spec": {}}),
        actor: Actor::Operator,
    };
    acted(&ctx, &[Effect::Write(Box::new(promotion))]).await;
    let path = "/apis/dcanary.dev/v1alpha1/namespaces/builds/promotions";
    assert_eq!(api.all("POST")[0].path, path);
}

#[tokio::test]
async fn a_name_that_no_service_account_has_is_refused_without_asking() {
    let api = ApiServer::start(taken);
    let ctx = context(api.client());
    let mut odd = environment("env-1");
    odd.spec.service_account_name = Some("a:b".to_owned());
    act(&ctx, &odd, &[create("a")], Timestamp::now()).await.unwrap();
    assert!(api.all("POST").is_empty());
    assert_eq!(refusals(&ctx), [("a".to_owned(), "Forbidden".to_owned())]);
}

#[tokio::test]
async fn an_object_of_somebody_else_that_has_the_name_is_told_and_left_alone() {
    for labels in [
        json!({}),
        json!({labels::ENVIRONMENT: "other", labels::ENVIRONMENT_UID: "env-0"}),
    ] {
        let api = ApiServer::start(move |request| match request.method.as_str() {
            "POST" => Answer::error(409, "AlreadyExists", "there"),
            _ => {
                let mut foreign = there(service("a", ""), "s-9", "7");
                foreign["metadata"]["labels"] = labels.clone();
                list(&[foreign])
            }
        });
        let ctx = context(api.client());
        assert_eq!(acted(&ctx, &[create("a")]).await, Acted::Changed);
        assert_eq!(refusals(&ctx), [("a".to_owned(), "Foreign".to_owned())]);
        assert!(api.all("PUT").is_empty() && api.all("DELETE").is_empty());
        assert_eq!(acted(&ctx, &[create("a")]).await, Acted::Done);
        assert_eq!(api.all("POST").len(), 1, "not before its pause is over");
    }
}

#[tokio::test]
async fn our_own_object_that_the_watch_has_not_told_yet_is_known_and_decided_on_anew() {
    // the other one is of an Environment of the same name that is gone
    for uid in ["env-1", "env-0"] {
        let api = ApiServer::start(move |request| match request.method.as_str() {
            "POST" => Answer::error(409, "AlreadyExists", "there"),
            _ => list(&[there(service("a", uid), "s-1", "7")]),
        });
        let ctx = context(api.client());
        assert_eq!(acted(&ctx, &[create("a")]).await, Acted::Outdated);
        assert!(refusals(&ctx).is_empty());
        assert_eq!(known(&ctx), [("a".to_owned(), json!("7"))]);
    }
}

#[tokio::test]
async fn after_a_conflict_no_further_object_is_written_and_the_present_one_is_known() {
    let api = ApiServer::start(|request| match request.method.as_str() {
        "PUT" => Answer::error(409, "Conflict", "newer"),
        "GET" => list(&[there(service("a", "env-1"), "s-1", "9")]),
        _ => taken(request),
    });
    let ctx = context(api.client());
    let effects = [replace("a"), create("b"), delete("c")];
    assert_eq!(acted(&ctx, &effects).await, Acted::Outdated);
    assert!(api.all("POST").is_empty() && api.all("DELETE").is_empty());
    assert_eq!(known(&ctx), [("a".to_owned(), json!("9"))]);
}

#[tokio::test]
async fn a_replacement_of_what_is_gone_is_decided_on_anew() {
    let api = ApiServer::start(|_| Answer::error(404, "NotFound", "gone"));
    let ctx = context(api.client());
    let before = serde_json::from_value(there(service("a", "env-1"), "s-1", "5")).unwrap();
    ctx.environments.objects.take(Kind::Service, before, None);
    assert_eq!(acted(&ctx, &[replace("a")]).await, Acted::Outdated);
    assert!(known(&ctx).is_empty());
}

#[tokio::test]
async fn a_write_that_is_refused_holds_up_no_other_and_its_reason_is_told() {
    let api =
        ApiServer::start(
            |request| match request.json()["metadata"]["name"].as_str().unwrap_or_default() {
                "quota" => Answer::error(
                    403,
                    "Forbidden",
                    "services \"quota\" is forbidden: exceeded quota: small",
                ),
                "rights" => Answer::error(403, "Forbidden", "cannot create resource \"services\""),
                "wrong" => Answer::error(422, "Invalid", "spec.ports: Required value"),
                "away" => Answer::error(503, "ServiceUnavailable", "not now"),
                _ => taken(request),
            },
        );
    let ctx = context(api.client());
    let effects = ["quota", "rights", "wrong", "away", "good"].map(create);
    assert_eq!(acted(&ctx, &effects).await, Acted::Changed);
    let expected = [
        ("away", "Unavailable"),
        ("quota", "QuotaExceeded"),
        ("rights", "Forbidden"),
        ("wrong", "Invalid"),
    ];
    let expected = expected.map(|(name, reason)| (name.to_owned(), reason.to_owned()));
    assert_eq!(refusals(&ctx), expected);
    assert_eq!(known(&ctx).len(), 1);
    let message = ctx.environments.memory.with("env-1", |memory| {
        let seen = memory.refusals.seen();
        seen[&Key::new(Kind::Service, "rights")].message.clone()
    });
    assert!(
        message.contains("system:serviceaccount:team:deployer") && message.contains("cannot create"),
        "{message}"
    );
}

#[tokio::test]
async fn another_content_is_tried_at_once_and_a_success_ends_the_refusal() {
    let api = ApiServer::start(|request| {
        if request.json()["spec"]["ports"][0]["port"] == 80 {
            Answer::error(422, "Invalid", "no")
        } else {
            taken(request)
        }
    });
    let ctx = context(api.client());
    acted(&ctx, &[create("a")]).await;
    let mut other = service("a", "env-1");
    other["spec"]["ports"][0]["port"] = json!(81);
    assert_eq!(
        acted(&ctx, &[write(other, Actor::Environment)]).await,
        Acted::Changed
    );
    assert_eq!(api.all("POST").len(), 2);
    assert!(refusals(&ctx).is_empty());
}

#[tokio::test]
async fn a_replacement_that_changed_nothing_leads_to_no_other_decision() {
    let api = ApiServer::start(|request| Answer::ok(&request.json()));
    let ctx = context(api.client());
    assert_eq!(acted(&ctx, &[replace("a")]).await, Acted::Done);
}

#[tokio::test]
async fn a_namespace_that_is_being_deleted_is_remembered() {
    let api = ApiServer::start(|_| {
        let mut answer = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 403, "reason": "Forbidden",
            "message": "because it is being terminated",
        });
        answer["details"] =
            json!({"causes": [{"reason": "NamespaceTerminating", "message": "", "field": ""}]});
        Answer::with(403, &answer)
    });
    let ctx = context(api.client());
    acted(&ctx, &[create("a")]).await;
    assert_eq!(refusals(&ctx), [("a".to_owned(), "NamespaceMissing".to_owned())]);
    let seen = crate::environment::observe::observe(&ctx, &environment("env-1"))
        .await
        .unwrap()
        .seen;
    assert!(seen.namespace_terminating);
}

#[tokio::test]
async fn exactly_the_object_that_was_seen_is_deleted() {
    for (code, reason) in [(200, ""), (404, "NotFound"), (409, "Conflict")] {
        let api = ApiServer::start(move |request| match request.method.as_str() {
            "GET" => list(&[]),
            _ if code == 200 => Answer::ok(&json!({"kind": "Status", "status": "Success"})),
            _ => Answer::error(code, reason, "no"),
        });
        let ctx = context(api.client());
        assert_eq!(acted(&ctx, &[delete("a")]).await, Acted::Done, "{code}");
        let asked = &api.all("DELETE")[0];
        assert_eq!(asked.json()["preconditions"]["uid"], "uid-a");
        assert_eq!(asked.json()["preconditions"]["resourceVersion"], "5");
        assert_eq!(
            asked.headers["impersonate-user"],
            "system:serviceaccount:team:deployer"
        );
        assert!(refusals(&ctx).is_empty());
    }
    let api = ApiServer::start(|_| Answer::error(403, "Forbidden", "no"));
    let ctx = context(api.client());
    acted(&ctx, &[delete("a")]).await;
    assert_eq!(refusals(&ctx), [("a".to_owned(), "Forbidden".to_owned())]);
}

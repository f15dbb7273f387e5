//! Effects against an API server that says no.
#![allow(clippy::unwrap_used)]

use dcanary_core::{
    CreatePod, Deploy, Effect, PodRef,
    observed::{CreateAnswer, SeenReport},
    pod::PROOF,
    release::Deployment,
};
use dcanary_crds::labels;
use jiff::Timestamp;
use kube::core::response::Status;
use serde_json::{Value, json};

use super::{ActError, Acted, act, pods::refused};
use crate::testing::{Answer, ApiServer, Asked, context, entry, held_pod, run};

fn pod_ref(name: &str) -> PodRef {
    PodRef {
        name: name.into(),
        uid: format!("uid-{name}"),
    }
}

fn revoke() -> Effect {
    Effect::RevokeSession {
        attempt: "pod-1".into(),
    }
}

/// An API server that takes everything.
fn willing() -> ApiServer {
    ApiServer::start(|_| Answer::ok(&json!({"metadata": {"name": "x"}})))
}

fn finalizers(request: &Asked) -> Value {
    request.json()["metadata"]["finalizers"].clone()
}

#[tokio::test]
async fn a_server_that_is_away_keeps_no_pod_from_being_deleted_and_released() {
    let api = willing();
    let ctx = context(api.client());
    let effects = [
        revoke(),
        Effect::DeletePod(pod_ref("p")),
        Effect::ReleasePod(pod_ref("p")),
        Effect::AckReports { cursors: vec![3] },
    ];
    let error = act(&ctx, &run("run-1"), &effects).await.unwrap_err();
    assert!(matches!(error, ActError::Revoke { .. }), "{error}");
    assert_eq!(api.all("DELETE").len(), 1);
    assert_eq!(api.all("PATCH").len(), 1);
    assert_eq!(*ctx.acknowledgements.safe().borrow(), 3);
}

#[tokio::test]
async fn the_first_of_several_failures_is_the_error_and_the_run_is_not_released_after_one() {
    let api = ApiServer::start(|request| match request.path.rsplit('/').next() {
        Some("a" | "b") => Answer::error(500, "InternalError", "no"),
        _ => Answer::ok(&json!({"metadata": {"name": "x"}})),
    });
    let ctx = context(api.client());
    let delete = |name| Effect::DeletePod(pod_ref(name));
    let effects = [delete("a"), delete("b"), delete("c"), Effect::ReleaseRun];
    let error = act(&ctx, &run("run-1"), &effects).await.unwrap_err();
    assert!(
        matches!(&error, ActError::Pod { pod, .. } if pod == "a"),
        "{error}"
    );
    assert_eq!(api.all("DELETE").len(), 3);
    assert!(api.all("PATCH").is_empty(), "the run keeps its finalizer");
}

#[tokio::test]
async fn our_finalizer_is_added_and_taken_off_beside_those_of_others_under_the_version_that_was_seen() {
    let api = ApiServer::start(|request| {
        let mut written = serde_json::to_value(run("run-1")).unwrap();
        written["metadata"]["finalizers"] = finalizers(request);
        Answer::ok(&written)
    });
    let ctx = context(api.client());
    let mut object = run("run-1");
    object.metadata.finalizers = Some(vec!["somebody/else".into()]);
    assert_eq!(act(&ctx, &object, &[Effect::HoldRun]).await.unwrap(), Acted::All);
    object.metadata.finalizers = Some(vec![labels::RECORDED.into(), "somebody/else".into()]);
    assert_eq!(
        act(&ctx, &object, &[Effect::ReleaseRun]).await.unwrap(),
        Acted::All
    );
    let patches = api.all("PATCH");
    assert_eq!(
        finalizers(&patches[0]),
        json!(["somebody/else", labels::RECORDED])
    );
    assert_eq!(finalizers(&patches[1]), json!(["somebody/else"]));
    for patch in &patches {
        assert_eq!(patch.json()["metadata"]["resourceVersion"], "1");
    }
}

#[tokio::test]
async fn a_conflict_at_the_finalizer_is_no_error_but_another_decision() {
    let api = ApiServer::start(|_| Answer::error(409, "Conflict", "newer"));
    let ctx = context(api.client());
    for effect in [Effect::HoldRun, Effect::ReleaseRun] {
        assert_eq!(
            act(&ctx, &run("run-1"), &[effect]).await.unwrap(),
            Acted::Outdated
        );
    }
}

#[tokio::test]
async fn reports_that_came_while_a_run_was_released_do_not_hold_up_the_acknowledgement() {
    let ctx =
        context(ApiServer::start(|_| Answer::ok(&serde_json::to_value(run("run-1")).unwrap())).client());
    ctx.acknowledgements.received(9);
    ctx.memory.with("run-1", |memory| {
        memory.reported(SeenReport {
            entry: entry(9, "run-1"),
            received: Timestamp::now(),
        });
    });
    act(&ctx, &run("run-1"), &[Effect::ReleaseRun]).await.unwrap();
    assert_eq!(*ctx.acknowledgements.safe().borrow(), 9);
}

/// The answer to a creation when this Pod has the name already.
async fn created_beside(there: Value) -> CreateAnswer {
    let api = ApiServer::start(move |request| match request.method.as_str() {
        "POST" => Answer::error(409, "AlreadyExists", "there"),
        _ => Answer::ok(&json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [there]})),
    });
    let ctx = context(api.client());
    let pod = held_pod("team", "p", "", "run-1");
    let create = CreatePod {
        stage: "a".into(),
        attempt: 1,
        pod,
    };
    act(&ctx, &run("run-1"), &[Effect::CreatePod(Box::new(create))])
        .await
        .unwrap();
    let answers = ctx
        .memory
        .with("run-1", |memory| memory.answers(std::time::Instant::now()));
    answers[0].answer.clone()
}

/// The proof of another Pod of the run.
fn pod_with_proof(name: &str) -> Value {
    let other = serde_json::to_value(held_pod("team", name, "pod-2", "run-1")).unwrap();
    other["metadata"]["annotations"][PROOF].clone()
}

#[tokio::test]
async fn a_pod_of_somebody_else_that_has_the_name_is_never_adopted() {
    let ours = serde_json::to_value(held_pod("team", "p", "pod-1", "run-1")).unwrap();
    let created = CreateAnswer::Created {
        uid: "pod-1".into(),
        gone: false,
    };
    assert_eq!(created_beside(ours.clone()).await, created);
    let of_another_run = serde_json::to_value(held_pod("team", "p", "pod-1", "run-2")).unwrap();
    assert_eq!(created_beside(of_another_run).await, CreateAnswer::Foreign);
    let mut not_controlled = ours;
    not_controlled["metadata"]["ownerReferences"][0]["controller"] = json!(false);
    assert_eq!(
        created_beside(not_controlled).await,
        CreateAnswer::Foreign,
        "naming us as an owner is not enough"
    );
    for proof in [json!(""), json!("00"), pod_with_proof("q")] {
        let mut copied = serde_json::to_value(held_pod("team", "p", "pod-1", "run-1")).unwrap();
        copied["metadata"]["annotations"][PROOF] = proof;
        assert_eq!(
            created_beside(copied.clone()).await,
            CreateAnswer::Foreign,
            "{copied}"
        );
    }
}

#[tokio::test]
async fn a_pod_in_another_namespace_that_names_the_run_is_not_taken_for_its_pod() {
    let api = ApiServer::start(|request| match request.method.as_str() {
        "POST" => Answer::error(409, "AlreadyExists", "there"),
        _ => Answer::ok(&json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": []})),
    });
    let ctx = context(api.client());
    crate::pods::note(&ctx, &held_pod("elsewhere", "p", "pod-9", "run-1"));
    let create = CreatePod {
        stage: "a".into(),
        attempt: 1,
        pod: held_pod("team", "p", "", "run-1"),
    };
    let run = run("run-1");
    act(&ctx, &run, &[Effect::CreatePod(Box::new(create))])
        .await
        .unwrap();
    let seen = crate::run::observe::observe(&ctx, &run, Timestamp::now());
    assert!(seen.pods.is_empty());
    assert!(
        matches!(seen.creations[0].answer, CreateAnswer::Failed { .. }),
        "{:?}",
        seen.creations
    );
    crate::pods::note(&ctx, &held_pod("team", "p", "pod-1", "run-1"));
    let seen = crate::run::observe::observe(&ctx, &run, Timestamp::now());
    let uids: Vec<&str> = seen.pods.iter().map(|pod| pod.uid.as_str()).collect();
    assert_eq!(uids, ["pod-1"]);
}

#[test]
fn what_a_refused_creation_means_is_told_by_code_and_by_the_words_of_the_quota() {
    let answer = |code: u16, message: &str, cause: Option<&str>| {
        let mut status = json!({"status": "Failure", "code": code, "message": message, "reason": "x"});
        if let Some(cause) = cause {
            status["details"] = json!({"causes": [{"reason": cause, "message": "", "field": ""}]});
        }
        if message.starts_with("namespaces ") {
            status["details"] = json!({"name": "team", "kind": "namespaces"});
        }
        let status: Status = serde_json::from_value(status).unwrap();
        match refused(&status, "Pod") {
            CreateAnswer::Quota { .. } => "Quota".to_owned(),
            CreateAnswer::NamespaceTerminating => "Terminating".to_owned(),
            CreateAnswer::Refused { reason, .. } => reason,
            CreateAnswer::Failed { .. } => "Failed".to_owned(),
            other => format!("{other:?}"),
        }
    };
    let table = [
        (
            403,
            "pods \"p\" is forbidden: exceeded quota: small, requested: pods=1",
            None,
            "Quota",
        ),
        (
            403,
            "pods \"p\" is forbidden: failed quota: small: must specify cpu",
            None,
            "Quota",
        ),
        (
            403,
            "pods \"p\" is forbidden: status unknown for quota: small",
            None,
            "Quota",
        ),
        (403, "violates PodSecurity \"restricted\"", None, "PodForbidden"),
        (
            403,
            "unable to create new content",
            Some("NamespaceTerminating"),
            "Terminating",
        ),
        (404, "namespaces \"team\" not found", None, "Terminating"),
        (
            404,
            "admission webhook \"w\" denied the request: no such team",
            None,
            "Failed",
        ),
        (
            404,
            "the server could not find the requested resource",
            None,
            "Failed",
        ),
        (422, "spec.containers: Required value", None, "PodInvalid"),
        (400, "cannot be handled as a Pod", None, "PodInvalid"),
        (409, "object is being deleted", None, "Failed"),
        (429, "too many requests", None, "Failed"),
        (500, "etcd is away", None, "Failed"),
        (504, "timeout", None, "Failed"),
    ];
    for (code, message, cause, expected) in table {
        assert_eq!(answer(code, message, cause), expected, "{code} {message}");
    }
}

fn deployment() -> Effect {
    let named = |kind: &str, name: &str| json!({"apiVersion": "dcanary.dev/v1alpha1", "kind": kind, "metadata": {"name": name, "namespace": "team"}});
    let mut release = named("Release", "web-1-abc");
    release["spec"] = json!({"images": {"web": format!("r.example.com/web@sha256:{}", "ab".repeat(32))}});
    let mut promotion = named("Promotion", "web-1-production-1-abc");
    promotion["spec"] = json!({"environmentRef": {"name": "production"}, "releaseRef": {"name": "web-1-abc"}, "requestedBy": "ann"});
    Effect::Deploy(Box::new(Deploy {
        stage: "production".into(),
        attempt: 1,
        deployment: Deployment {
            release: serde_json::from_value(release).unwrap(),
            promotion: serde_json::from_value(promotion).unwrap(),
        },
    }))
}

async fn answer_to_a_deployment(api: &ApiServer) -> CreateAnswer {
    let ctx = context(api.client());
    act(&ctx, &run("run-1"), &[deployment()]).await.unwrap();
    let mut answers = ctx
        .memory
        .with("run-1", |memory| memory.answers(std::time::Instant::now()));
    let answer = answers.pop().unwrap();
    assert_eq!(answer.pod, "web-1-production-1-abc");
    answer.answer
}

#[tokio::test]
async fn a_release_is_made_before_its_promotion_and_without_it_there_is_none() {
    let api = ApiServer::start(|request| {
        let mut made = request.json();
        made["metadata"]["uid"] = json!("made");
        Answer::ok(&made)
    });
    let made = answer_to_a_deployment(&api).await;
    assert_eq!(
        made,
        CreateAnswer::Created {
            uid: "made".into(),
            gone: false
        }
    );
    let kinds: Vec<_> = api
        .all("POST")
        .iter()
        .map(|post| post.json()["kind"].clone())
        .collect();
    assert_eq!(kinds, ["Release", "Promotion"]);

    let api = ApiServer::start(|_| Answer::error(422, "Invalid", "too many images"));
    let CreateAnswer::Refused { reason, .. } = answer_to_a_deployment(&api).await else {
        unreachable!()
    };
    assert_eq!(reason, "ReleaseInvalid");
    assert_eq!(api.all("POST").len(), 1);
}

#[tokio::test]
async fn what_is_there_already_counts_only_when_it_asks_for_the_same() {
    for (by, ours) in [("ann", true), ("mallory", false)] {
        let mut taken = Vec::new();
        let api = ApiServer::start(move |request| match request.method.as_str() {
            "POST" => {
                let mut there = request.json();
                there["metadata"]["uid"] = json!("there");
                if there["kind"] == "Promotion" {
                    there["spec"]["requestedBy"] = json!(by);
                }
                taken.push(there);
                Answer::error(409, "AlreadyExists", "it exists")
            }
            _ => Answer::ok(&json!({
                "apiVersion": "dcanary.dev/v1alpha1", "kind": "List", "metadata": {}, "items": [taken.last()],
            })),
        });
        let expected = if ours {
            CreateAnswer::Created {
                uid: "there".into(),
                gone: false,
            }
        } else {
            CreateAnswer::Foreign
        };
        assert_eq!(answer_to_a_deployment(&api).await, expected, "{by}");
    }
}

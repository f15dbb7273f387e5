//! People's way to environments and decisions: everything is asked of the API server in their own name.

use std::sync::Arc;

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::people_api::{People, serve};
use crate::support::{TestServer, refused};

const ALICE: &str = "reader/alice/shop";

async fn started() -> (TestServer, Arc<People>) {
    let server = TestServer::start().await;
    let people = Arc::<People>::default();
    assert!(server.cluster.api.set(serve(Arc::clone(&people)).await).is_ok());
    (server, people)
}

fn environment(name: &str) -> Value {
    json!({"apiVersion": "dcanary.dev/v1alpha1", "kind": "Environment", "spec": {}, "status": {"observedGeneration": 1},
        "metadata": {"name": name, "namespace": "shop", "managedFields": [{"manager": "kubectl"}]}})
}

fn approval() -> Value {
    json!({"spec": {"for": {"kind": "Promotion", "name": "web-1", "uid": "u-1"}, "verb": "approve"}})
}

async fn decide(server: &TestServer, token: &str, decision: &Value) -> Response {
    server
        .http()
        .post("/v1/decisions?namespace=shop", token, decision)
        .await
}

async fn detail(answer: Response) -> (u16, String, String) {
    let problem: Value = answer.json().await.unwrap();
    let text = |key: &str| problem[key].as_str().unwrap_or_default().to_owned();
    let status = problem["status"].as_u64().unwrap();
    (status.try_into().unwrap(), text("type"), text("detail"))
}

#[tokio::test]
async fn the_api_server_sees_the_callers_token_and_nothing_of_this_server() {
    let (server, people) = started().await;
    let sent = server
        .http()
        .request(
            reqwest::Method::POST,
            "/v1/decisions?namespace=shop",
            &format!("Bearer {ALICE}"),
        )
        .header("impersonate-user", "admin")
        .json(&approval())
        .send()
        .await
        .unwrap();
    assert_eq!(sent.status(), StatusCode::CREATED);
    let made: Value = sent.json().await.unwrap();
    assert_eq!(made["spec"]["by"]["username"], ALICE);
    assert_eq!(made["metadata"]["uid"], "made");
    assert!(made["metadata"]["managedFields"].is_null());
    server.http().get("/v1/environments?namespace=shop", ALICE).await;
    let asked = people.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 2);
    assert!(
        asked[0].uri.contains("fieldValidation=Strict"),
        "{}",
        asked[0].uri
    );
    for one in asked {
        let tokens: Vec<_> = one.headers.get_all("authorization").iter().collect();
        assert_eq!(
            tokens,
            [format!("Bearer {ALICE}").as_str()],
            "{} {}",
            one.method,
            one.uri
        );
        assert!(
            one.headers
                .keys()
                .all(|name| !name.as_str().starts_with("impersonate"))
        );
    }
}

#[tokio::test]
async fn environments_come_by_pages_and_one_by_its_name() {
    let (server, people) = started().await;
    *people.environments.lock().unwrap() = (0..5).map(|n| environment(&format!("web-{n}"))).collect();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/environments?namespace=shop&limit=2&cursor={cursor}");
        let page: Value = server.http().get(&path, ALICE).await.json().await.unwrap();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        assert!(items.iter().all(|one| one["metadata"]["managedFields"].is_null()));
        seen.extend(
            items
                .iter()
                .map(|one| one["metadata"]["name"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(seen, ["web-0", "web-1", "web-2", "web-3", "web-4"]);
    let one = server
        .http()
        .get("/v1/environments/web-3?namespace=shop", ALICE)
        .await;
    assert_eq!(one.json::<Value>().await.unwrap()["metadata"]["name"], "web-3");
    let none = server
        .http()
        .get("/v1/environments/web-9?namespace=shop", ALICE)
        .await;
    assert_eq!(refused(none).await, (404, "not-found".into()));
}

#[tokio::test]
async fn decisions_are_listed_for_one_promotion_or_environment() {
    let (server, people) = started().await;
    for (kind, name, verb) in [
        ("Promotion", "web-1", "pause"),
        ("Environment", "web", "undo"),
        ("Promotion", "web-2", "skip"),
    ] {
        let decision = json!({"metadata": {"namespace": "shop"},
            "spec": {"for": {"kind": kind, "name": name, "uid": "u"}, "verb": verb}});
        assert_eq!(
            decide(&server, ALICE, &decision).await.status(),
            StatusCode::CREATED
        );
    }
    let verbs = async |query: &str| {
        let path = format!("/v1/decisions?namespace=shop{query}");
        let page: Value = server.http().get(&path, ALICE).await.json().await.unwrap();
        let items = page["items"].as_array().unwrap().clone();
        items
            .iter()
            .map(|one| one["spec"]["verb"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(verbs("&promotion=web-1").await, ["pause"]);
    assert_eq!(verbs("&environment=web").await, ["undo"]);
    assert_eq!(verbs("&run=web").await, [""; 0]);
    assert_eq!(verbs("").await, ["pause", "undo", "skip"]);
    assert_eq!(people.decisions.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn what_the_api_server_refuses_is_refused_with_its_words() {
    let (server, people) = started().await;
    let mut anothers = approval();
    anothers["spec"]["by"] = json!({"username": "reader/bob/shop"});
    let (status, kind, text) = detail(decide(&server, ALICE, &anothers).await).await;
    assert_eq!((status, kind.as_str()), (403, "urn:dcanary:forbidden"));
    assert!(text.contains("spec.by.username"), "{text}");
    let (status, _, text) = detail(decide(&server, "reader/dave/shop/pause", &approval()).await).await;
    assert_eq!(status, 403);
    assert!(text.contains("may not"), "{text}");
    let elsewhere = server.http().get("/v1/environments?namespace=bank", ALICE).await;
    assert_eq!(refused(elsewhere).await, (403, "forbidden".into()));
    let mut rejection = approval();
    rejection["spec"]["verb"] = json!("reject");
    let (status, kind, text) = detail(decide(&server, ALICE, &rejection).await).await;
    assert_eq!((status, kind.as_str()), (422, "urn:dcanary:invalid"));
    assert!(text.contains("give a reason"), "{text}");
    assert!(people.decisions.lock().unwrap().is_empty());
}

#[tokio::test]
async fn without_a_token_for_the_api_server_nothing_is_asked_of_it() {
    let (server, people) = started().await;
    for (token, says) in [
        ("nobody", "valid token"),
        ("pod/shop/build/u", "--audience"),
        ("operator", "--audience"),
    ] {
        let (status, kind, text) = detail(decide(&server, token, &approval()).await).await;
        assert_eq!(
            (status, kind.as_str()),
            (401, "urn:dcanary:unauthenticated"),
            "{token}"
        );
        assert!(text.contains(says), "{token}: {text}");
        let list = server.http().get("/v1/environments?namespace=shop", token).await;
        assert_eq!(list.status(), StatusCode::UNAUTHORIZED);
    }
    assert!(people.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn bad_input_names_its_field_and_says_what_to_do() {
    let (server, people) = started().await;
    let with = |pointer: &str, value: Value| {
        let mut given = approval();
        *given.pointer_mut(pointer).unwrap() = value;
        given
    };
    for (field, given) in [
        ("body", json!([])),
        ("spec.verb", json!({})),
        ("status", json!({"status": {}})),
        ("kind", json!({"kind": "Promotion"})),
        ("spec.verb", with("/spec/verb", json!("aprove"))),
        ("spec.for.kind", with("/spec/for/kind", json!("Release"))),
        ("spec.for.uid", with("/spec/for/uid", json!(""))),
        ("spec.for.name", with("/spec/for/name", json!("../secrets"))),
        ("spec.for", with("/spec/for", json!("web-1"))),
        (
            "metadata.namespace",
            json!({"metadata": {"namespace": "bank"}, "spec": approval()["spec"]}),
        ),
    ] {
        let (status, kind, text) = detail(decide(&server, ALICE, &given).await).await;
        assert_eq!(
            (status, kind.as_str()),
            (400, "urn:dcanary:bad-request"),
            "{given}"
        );
        assert!(text.starts_with(&format!("`{field}`")), "{given}: {text}");
    }
    let large = json!({"spec": {"reason": "x".repeat(64 << 10)}});
    assert_eq!(
        refused(decide(&server, ALICE, &large).await).await,
        (413, "too-large".into())
    );
    for (field, path) in [
        ("namespace", "/v1/environments"),
        ("namespace", "/v1/environments?namespace=.."),
        ("name", "/v1/environments/..%2f..%2fsecrets?namespace=shop"),
        ("ns", "/v1/environments?ns=shop"),
        ("limit", "/v1/environments?namespace=shop&limit=1000"),
        (
            "cursor",
            "/v1/environments?namespace=shop&cursor=%26fieldSelector",
        ),
        ("promotion", "/v1/decisions?namespace=shop&promotion=a%2Cb"),
        (
            "environment",
            "/v1/decisions?namespace=shop&promotion=a&environment=b",
        ),
    ] {
        let (status, _, text) = detail(server.http().get(path, ALICE).await).await;
        assert_eq!(status, 400, "{path}");
        assert!(text.starts_with(&format!("`{field}`")), "{path}: {text}");
    }
    assert!(
        people.asked.lock().unwrap().is_empty(),
        "nothing of it reaches the API server"
    );
}

#[tokio::test]
async fn an_api_server_that_answers_nonsense_or_too_much_or_not_is_told_as_that() {
    let (server, people) = started().await;
    let large = format!("{{\"items\": [\"{}\"]}}", "x".repeat(8 << 20));
    for ((status, body), expected) in [
        ((200, "<html>".to_owned()), (503, "api-server")),
        ((200, "[]".to_owned()), (503, "api-server")),
        ((200, "{}".to_owned()), (503, "api-server")),
        ((500, "{}".to_owned()), (503, "api-server")),
        ((429, "{}".to_owned()), (503, "busy")),
        (
            (410, r#"{"reason": "Expired"}"#.to_owned()),
            (410, "cursor-expired"),
        ),
        ((200, large), (422, "too-large")),
    ] {
        *people.instead.lock().unwrap() = Some((status, body));
        let answer = server.http().get("/v1/environments?namespace=shop", ALICE).await;
        let (status, reason) = refused(answer).await;
        assert_eq!((status, reason.as_str()), expected);
    }
    let lone = TestServer::start().await;
    let answer = lone.http().get("/v1/environments?namespace=shop", ALICE).await;
    assert_eq!(refused(answer).await, (503, "api-server".into()));
}

#[tokio::test]
async fn a_decision_that_may_have_been_created_is_not_sent_again() {
    for status in [429, 503, 504] {
        let (server, people) = started().await;
        *people.instead.lock().unwrap() = Some((status, "{}".to_owned()));
        let answer = decide(&server, ALICE, &approval()).await;
        assert_eq!(refused(answer).await.0, 503);
        assert_eq!(people.asked.lock().unwrap().len(), 1, "after {status}");
    }
}

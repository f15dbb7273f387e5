//! One login serves all namespaces, so rules say who may use it for what.

use dcanary_server::images::Registries;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::images::{options, rules};
use crate::layouts::{image, push};
use crate::scripted_registry::ScriptedRegistry;
use crate::support::{Runner, TestServer, refused};

const FORBIDDEN: u16 = 403;

/// A registry with credentials and rules, and a runner in the namespace `builds`.
async fn with(
    given: impl FnOnce(&str) -> Value,
) -> (ScriptedRegistry, TestServer, Runner, tempfile::TempDir) {
    let registry = ScriptedRegistry::holding(Method::TRACE, "").await;
    let logins = tempfile::tempdir().unwrap();
    let login = json!({"auths": {registry.host.clone(): {"username": "user", "password": "secret"}}});
    std::fs::write(logins.path().join("config.json"), login.to_string()).unwrap();
    let registries = Registries {
        credentials: Some(logins.path().to_owned()),
        insecure: vec![registry.host.clone()],
        rules: rules(&given(&registry.host)),
        ..Registries::default()
    };
    let server = TestServer::with(options(registries)).await;
    let runner = server.runner("uid-1").await;
    (registry, server, runner, logins)
}

async fn forbidden(answer: reqwest::Response) {
    assert_eq!(
        refused(answer).await,
        (FORBIDDEN, "repository-forbidden".to_owned())
    );
}

#[tokio::test]
async fn with_credentials_and_without_a_rule_nothing_is_pushed_and_no_login_is_used() {
    let (registry, _server, runner, _logins) = with(|_| json!([])).await;
    let image = image(&[b"a layer"], &json!({}), None);
    let answer = push(&runner, "app", &image, &format!("{}/builds/app:1", registry.host)).await;
    let text = answer.text().await.unwrap();
    for part in ["repository-forbidden", "--registry-rules", "builds"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(registry.untouched());
}

#[tokio::test]
async fn a_namespace_pushes_only_where_its_own_rule_says() {
    let given = |host: &str| {
        json!([{"namespaces": ["builds"], "repositories": [format!("{host}/builds")]},
        {"namespaces": ["other"], "repositories": [format!("{host}/other")]}])
    };
    let (registry, server, runner, _logins) = with(given).await;
    let other = server.runner_of("other", "uid-2", "run-2", "build", 1).await;
    let image = image(&[b"a layer"], &json!({}), None);
    let (to_builds, to_other) = (
        format!("{}/builds/app:1", registry.host),
        format!("{}/other/app:1", registry.host),
    );
    forbidden(push(&runner, "one", &image, &to_other).await).await;
    forbidden(push(&other, "one", &image, &to_builds).await).await;
    assert!(registry.untouched());
    assert_eq!(
        push(&runner, "two", &image, &to_builds).await.status(),
        StatusCode::OK
    );
    assert_eq!(
        push(&other, "two", &image, &to_other).await.status(),
        StatusCode::OK
    );
    assert_eq!(registry.seen(&Method::PUT).len(), 2);
}

#[tokio::test]
async fn a_base_that_no_rule_allows_is_not_pulled_with_the_login_of_the_server() {
    let given = |host: &str| {
        json!([{"namespaces": ["builds"], "repositories": [format!("{host}/builds")]},
        {"namespaces": ["other"], "repositories": [format!("{host}/secret")]}])
    };
    let (registry, _server, runner, _logins) = with(given).await;
    let base = format!("{}/secret/os:12", registry.host);
    let image = image(&[b"a layer"], &json!({}), Some(&base));
    let answer = push(&runner, "app", &image, &format!("{}/builds/app:1", registry.host)).await;
    forbidden(answer).await;
    assert!(registry.untouched());
}

#[tokio::test]
async fn a_base_that_everybody_may_pull_is_pushed_to_by_nobody() {
    let given = |host: &str| {
        json!([{"namespaces": ["builds"], "repositories": [format!("{host}/builds")]},
        {"namespaces": ["*"], "repositories": [format!("{host}/base")], "access": "pull"}])
    };
    let (registry, _server, runner, _logins) = with(given).await;
    let base = format!("{}/base/os:12", registry.host);
    let plain = image(&[b"a layer"], &json!({}), None);
    forbidden(push(&runner, "base", &plain, &base).await).await;
    assert!(registry.untouched());
    let on_base = image(&[b"a layer"], &json!({}), Some(&base));
    let answer = push(
        &runner,
        "app",
        &on_base,
        &format!("{}/builds/app:1", registry.host),
    )
    .await;
    let (_, reason) = refused(answer).await;
    assert_ne!(reason, "repository-forbidden", "this registry has no such base");
    assert!(
        registry
            .seen(&Method::GET)
            .iter()
            .any(|path| path.contains("/base/os/"))
    );
}

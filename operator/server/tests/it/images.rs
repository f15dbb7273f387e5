//! Images: checked, put on their base, pushed to a real registry.

use dcanary_server::digest::Digest;
use dcanary_server::images::Registries;
use dcanary_server::images::rules::Rules;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::layouts::{Image, body_of, image, layer, layer_of, push, tar};
use crate::registry::Registry;
use crate::support::{Options, Runner, TestServer, refused, report};

pub fn options(registries: Registries) -> Options {
    Options {
        registries,
        ..Options::default()
    }
}

pub fn rules(rules: &Value) -> Rules {
    rules.to_string().parse().unwrap()
}

fn plain(registry: &Registry) -> Registries {
    Registries {
        insecure: vec![registry.host.clone()],
        ..Registries::default()
    }
}

#[tokio::test]
async fn an_image_is_pushed_as_it_is_and_named_by_its_manifest() {
    let registry = Registry::start().await;
    let server = TestServer::with(options(plain(&registry))).await;
    let runner = server.runner("uid-1").await;
    let large = layer(1, 9_000_000);
    let image = image(&[&large, b"small layer"], &json!({"Cmd": ["/app"]}), None);
    let reference = format!("{}/team/app:1.0", registry.host);
    let answer = push(&runner, "app", &image, &reference).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let stored: Value = answer.json().await.unwrap();
    assert_eq!(stored["manifest"], image.manifest.to_string());
    assert_eq!(
        stored["reference"],
        format!("{}/team/app@{}", registry.host, image.manifest)
    );
    let (bytes, manifest) = registry.manifest("team/app", "1.0").await.unwrap();
    assert_eq!(Digest::of(&bytes), image.manifest);
    let first = manifest["layers"][0]["digest"].as_str().unwrap();
    assert_eq!(registry.blob("team/app", first).await.unwrap(), large);
    let again: Value = push(&runner, "app", &image, &reference)
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(again, stored, "repeated");
    let mut last = report(0);
    last["artifacts"] =
        json!([{"name": "app", "kind": "image", "digest": stored["manifest"], "size": stored["size"]}]);
    assert_eq!(runner.finish(&last).await.status(), StatusCode::OK);
    let listed = server.http().reports(0).await.reports.remove(0).report.unwrap();
    assert_eq!(
        listed.artifacts[0].reference.as_deref(),
        stored["reference"].as_str(),
        "the operator learns where it is"
    );
}

#[tokio::test]
async fn an_image_on_a_base_has_the_layers_and_settings_of_both() {
    let registry = Registry::start().await;
    let server = TestServer::with(options(plain(&registry))).await;
    let runner = server.runner("uid-1").await;
    let settings =
        json!({"Env": ["PATH=/bin"], "User": "65532", "Entrypoint": ["/base"], "Labels": {"a": "1"}});
    let base_layer = layer(7, 100_000);
    let base = image(&[&base_layer], &settings, None);
    let base_name = format!("{}/base/os:12", registry.host);
    assert_eq!(
        push(&runner, "base", &base, &base_name).await.status(),
        StatusCode::OK
    );
    let own = json!({"Env": ["A=1"], "Entrypoint": ["/own"], "Labels": {"b": "2"}});
    let image = image(&[&layer_of(&["app"])], &own, Some(&base_name));
    let reference = format!("{}/team/app:2.0", registry.host);
    let answer = push(&runner, "app", &image, &reference).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let stored: Value = answer.json().await.unwrap();
    let (bytes, manifest) = registry.manifest("team/app", "2.0").await.unwrap();
    assert_eq!(stored["manifest"], Digest::of(&bytes).to_string());
    assert_eq!(
        manifest["annotations"]["org.opencontainers.image.base.digest"],
        base.manifest.to_string()
    );
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 2);
    let first = manifest["layers"][0]["digest"].as_str().unwrap();
    assert_eq!(
        registry.blob("team/app", first).await.unwrap(),
        base_layer,
        "mounted into our repository"
    );
    let config = registry
        .blob("team/app", manifest["config"]["digest"].as_str().unwrap())
        .await
        .unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(
        config["config"],
        json!({"Env": ["PATH=/bin", "A=1"], "User": "65532", "Entrypoint": ["/own"], "Labels": {"a": "1", "b": "2"}})
    );
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_base_from_another_registry_is_passed_on_with_its_own_login() {
    let (from, to) = tokio::join!(Registry::with_password(), Registry::start());
    let logins = tempfile::tempdir().unwrap();
    let login = json!({"auths": {from.host.clone(): {"username": "user", "password": "secret"}}});
    std::fs::create_dir(logins.path().join("one")).unwrap();
    std::fs::write(logins.path().join("one/.dockerconfigjson"), login.to_string()).unwrap();
    let registries = Registries {
        credentials: Some(logins.path().to_owned()),
        insecure: vec![from.host.clone(), to.host.clone()],
        rules: rules(&json!([{"namespaces": ["builds"], "repositories": [from.host, to.host]}])),
        ..Registries::default()
    };
    let server = TestServer::with(options(registries)).await;
    let runner = server.runner("uid-1").await;
    let base_layer = layer(9, 5_000_000);
    let base = image(&[&base_layer], &json!({}), None);
    let base_name = format!("{}/base/os:12", from.host);
    assert_eq!(
        push(&runner, "base", &base, &base_name).await.status(),
        StatusCode::OK
    );
    let pinned = format!("{}/base/os@{}", from.host, base.manifest);
    let image = image(&[&layer_of(&["app"])], &json!({}), Some(&pinned));
    let answer = push(&runner, "app", &image, &format!("{}/team/app:1", to.host)).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let (_, manifest) = to.manifest("team/app", "1").await.unwrap();
    let first = manifest["layers"][0]["digest"].as_str().unwrap();
    assert_eq!(to.blob("team/app", first).await.unwrap(), base_layer);
    std::fs::remove_file(logins.path().join("one/.dockerconfigjson")).unwrap();
    let denied = push(&runner, "other", &base, &format!("{}/base/os:13", from.host)).await;
    assert_eq!(
        refused(denied).await,
        (422, "registry-refused".into()),
        "no login"
    );
}

#[tokio::test]
async fn a_layout_whose_blob_is_not_what_its_name_says_is_refused() {
    let registry = Registry::start().await;
    let server = TestServer::with(options(plain(&registry))).await;
    let runner = server.runner("uid-1").await;
    let reference = format!("{}/team/app:1", registry.host);
    let mut changed = image(&[b"a layer"], &json!({}), None);
    changed
        .files
        .iter_mut()
        .find(|(_, content)| content == b"a layer")
        .unwrap()
        .1 = b"A layer".to_vec();
    let answer = push(&runner, "changed", &changed, &reference).await;
    assert_eq!(refused(answer).await, (422, "bad-image".into()));
    let mut missing = image(&[b"a layer"], &json!({}), None);
    missing.files.retain(|(_, content)| content != b"a layer");
    let answer = push(&runner, "missing", &missing, &reference).await;
    assert_eq!(refused(answer).await, (422, "bad-image".into()));
    let none = Image {
        files: vec![("readme".into(), b"no layout".to_vec())],
        manifest: Digest::of(b""),
    };
    assert_eq!(
        refused(push(&runner, "none", &none, &reference).await).await,
        (422, "bad-image".into())
    );
    assert!(
        registry.manifest("team/app", "1").await.is_none(),
        "nothing was pushed"
    );
    let unfinished = runner.finish(&report(0)).await;
    assert_eq!(
        unfinished.status(),
        StatusCode::OK,
        "what was not reported need not be complete"
    );
}

#[tokio::test]
async fn a_registry_that_is_away_is_tried_again_and_forbidden_places_are_not_pushed_to() {
    let registry = Registry::start().await;
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let registries = Registries {
        insecure: vec![registry.host.clone(), gone.to_string()],
        rules: rules(&json!([{"namespaces": ["builds"],
            "repositories": [format!("{}/team", registry.host), gone.to_string()]}])),
        ..Registries::default()
    };
    let server = TestServer::with(options(registries)).await;
    let runner = server.runner("uid-1").await;
    let image = image(&[b"a layer"], &json!({}), None);
    let away = push(&runner, "app", &image, &format!("{gone}/team/app:1")).await;
    assert!(away.headers().contains_key("retry-after"));
    assert_eq!(refused(away).await, (503, "registry".into()));
    let elsewhere = push(&runner, "two", &image, &format!("{}/other/app:1", registry.host)).await;
    assert_eq!(refused(elsewhere).await, (403, "repository-forbidden".into()));
    let beside = push(
        &runner,
        "three",
        &image,
        &format!("{}/teamwork/app:1", registry.host),
    )
    .await;
    assert_eq!(refused(beside).await, (403, "repository-forbidden".into()));
    let stored = push(&runner, "four", &image, &format!("{}/team/app:1", registry.host)).await;
    assert_eq!(stored.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_registry_that_stays_away_counts_as_a_refusal() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut options = options(Registries {
        insecure: vec![gone.to_string()],
        ..Registries::default()
    });
    options.settings.registry_patience = std::time::Duration::from_millis(200);
    let server = TestServer::with(options).await;
    let runner = server.runner("uid-1").await;
    let image = image(&[b"a layer"], &json!({}), None);
    let reference = format!("{gone}/team/app:1");
    assert_eq!(
        refused(push(&runner, "app", &image, &reference).await).await,
        (503, "registry".into())
    );
    tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    let bytes = tar(&image);
    let body = body_of(&bytes, &reference);
    assert_eq!(
        refused(runner.complete("app", &body).await).await,
        (422, "registry-refused".into())
    );
}

#[tokio::test]
async fn after_a_failed_push_the_same_bytes_are_not_sent_again() {
    let registry = Registry::start().await;
    let server = TestServer::with(options(plain(&registry))).await;
    let runner = server.runner("uid-1").await;
    let image = image(
        &[b"a layer"],
        &json!({}),
        Some(&format!("{}/base/os:missing", registry.host)),
    );
    let reference = format!("{}/team/app:1", registry.host);
    assert_eq!(
        refused(push(&runner, "app", &image, &reference).await).await,
        (422, "registry-refused".into())
    );
    let server = server.restart(options(plain(&registry))).await;
    let runner = Runner {
        http: server.http(),
        ..runner
    };
    let bytes = tar(&image);
    let body = body_of(&bytes, &reference);
    let again = runner.complete("app", &body).await;
    assert_eq!(
        refused(again).await,
        (422, "registry-refused".into()),
        "asked for again without its bytes"
    );
}

//! What is known of content in a namespace is not for another Pod of it to change.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dcanary_server::digest::Digest;
use dcanary_server::sweep::{Ages, sweep};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::layouts::{Image, body_of, image, tar};
use crate::support::{Options, Runner, TestServer, after, completion, report};

/// Content, file name and media type that a reader of the namespace gets.
async fn served(server: &TestServer, digest: Digest) -> (Vec<u8>, String, String) {
    let path = format!("/v1/namespaces/builds/artifacts/{digest}");
    let answer = server.http().get(&path, "reader/a/builds").await;
    assert_eq!(answer.status(), StatusCode::OK);
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    let (name, kind) = (header("content-disposition"), header("content-type"));
    let name = name.split('"').nth(1).unwrap().to_owned();
    (answer.bytes().await.unwrap().to_vec(), name, kind)
}

async fn input(runner: &Runner, digest: Digest) -> Vec<u8> {
    let request = runner.request(Method::GET, &format!("inputs/{digest}"));
    request.send().await.unwrap().bytes().await.unwrap().to_vec()
}

async fn store(runner: &Runner, name: &str, bytes: &[u8], body: &Value) {
    assert_eq!(runner.put(name, 0, bytes.to_vec()).await.status(), StatusCode::OK);
    assert_eq!(runner.complete(name, body).await.status(), StatusCode::OK);
}

fn called(content: &[u8], name: &str, kind: &str) -> Value {
    let mut body = completion(content);
    body["fileName"] = json!(name);
    body["mediaType"] = json!(kind);
    body
}

fn manifest(image: &Image) -> Vec<u8> {
    let path = format!("blobs/sha256/{}", image.manifest.hex());
    let mut files = image.files.iter();
    files.find(|(name, _)| *name == path).unwrap().1.clone()
}

/// Stores an image that is pushed nowhere; its layout may have a file more.
async fn store_image(runner: &Runner, image: &Image, more: Option<&[u8]>, file_name: &str) -> Vec<u8> {
    let mut files = image.files.clone();
    files.extend(more.map(|content| ("more".to_owned(), content.to_vec())));
    let bytes = tar(&Image {
        files,
        manifest: image.manifest,
    });
    let mut body = body_of(&bytes, "");
    body.as_object_mut().unwrap().remove("reference");
    body["fileName"] = json!(file_name);
    store(runner, "image", &bytes, &body).await;
    bytes
}

#[tokio::test]
async fn the_first_file_name_and_media_type_of_content_stay() {
    let server = TestServer::start().await;
    let first = server.runner("uid-1").await;
    let value = "v".repeat(10_000);
    let content = value.as_bytes();
    store(
        &first,
        "notes",
        content,
        &called(content, "notes.txt", "text/plain"),
    )
    .await;
    let known = served(&server, Digest::of(content)).await;
    assert_eq!(known, (content.to_vec(), "notes.txt".into(), "text/plain".into()));
    let other = server.runner_of("builds", "uid-2", "run-2", "build", 1).await;
    let renamed = called(content, "setup.exe", "application/x-msdownload");
    store(&other, "z", content, &renamed).await;
    assert_eq!(served(&server, Digest::of(content)).await, known);
    let result = json!({"kind": "result", "name": "large", "value": value});
    assert_eq!(other.frames(1, vec![result]).await.status(), StatusCode::OK);
    assert_eq!(served(&server, Digest::of(content)).await, known);
}

#[tokio::test]
async fn a_layout_does_not_hide_content_that_is_its_manifest() {
    let server = TestServer::start().await;
    let image = image(&[b"a layer"], &json!({}), None);
    let content = manifest(&image);
    let evil = server.runner("uid-1").await;
    store_image(&evil, &image, None, "evil.tar").await;
    let first = server.runner_of("builds", "uid-2", "run-1", "test", 1).await;
    store(&first, "m", &content, &called(&content, "m.json", "text/json")).await;
    let known = (content.clone(), "m.json".to_owned(), "text/json".to_owned());
    assert_eq!(
        served(&server, image.manifest).await,
        known,
        "content replaces a tar"
    );
    let again = server.runner_of("builds", "uid-3", "run-1", "build", 2).await;
    store_image(&again, &image, Some(b"evil"), "m.json").await;
    assert_eq!(
        served(&server, image.manifest).await,
        known,
        "a tar replaces nothing"
    );
    assert_eq!(input(&first, image.manifest).await, content);
}

#[tokio::test]
async fn the_first_tar_of_a_manifest_stays_and_outlives_its_run_as_long_as_another_has_that_manifest() {
    let mut options = Options::default();
    options.settings.retention = Duration::ZERO;
    let server = TestServer::with(options).await;
    let image = image(&[b"a layer"], &json!({}), None);
    let first = server.runner("uid-1").await;
    let known = store_image(&first, &image, None, "app.tar").await;
    first.finish(&report(0)).await;
    let other = server.runner_of("builds", "uid-2", "run-2", "build", 1).await;
    store_image(&other, &image, Some(b"evil"), "evil.tar").await;
    server.cluster.runs.lock().unwrap().remove("run-1");
    let ages = Ages {
        content: Duration::ZERO,
        uploads: Duration::ZERO,
        evidence: Duration::from_secs(3600),
    };
    assert_eq!(
        sweep(&server.core, ages, after(Duration::from_secs(1)))
            .await
            .unwrap()
            .runs,
        1
    );
    let (content, name, _) = served(&server, image.manifest).await;
    assert_eq!((content, name.as_str()), (known, "app.tar"));
}

#[tokio::test]
async fn a_tar_that_is_granted_again_by_its_manifest_while_a_sweep_runs_is_not_swept() {
    let mut options = Options::default();
    options.settings.retention = Duration::ZERO;
    let server = TestServer::with(options).await;
    let image = image(&[b"a layer"], &json!({}), None);
    let first = server.runner("uid-1").await;
    let known = store_image(&first, &image, None, "app.tar").await;
    first.finish(&report(0)).await;
    server.cluster.runs.lock().unwrap().remove("run-1");
    let gone = sweep(&server.core, Ages::default(), after(Duration::from_secs(1))).await;
    assert_eq!(gone.unwrap().runs, 1);
    let hex = Digest::of(&known).hex();
    let content = server.dir.join(format!("data/blobs/{}/{hex}", &hex[..2]));
    let long_ago = SystemTime::now() - Ages::default().content * 2;
    let file = std::fs::File::options().write(true).open(&content).unwrap();
    file.set_modified(long_ago).unwrap();
    let other = server.runner_of("builds", "uid-2", "run-2", "build", 1).await;
    // A sweep that has read what is referred to, and deletes next.
    let list = server.blobs.stop_list();
    let core = Arc::clone(&server.core);
    let sweeping = tokio::spawn(async move { sweep(&core, Ages::default(), SystemTime::now()).await });
    list.asked.await.unwrap();
    store_image(&other, &image, Some(b"other"), "other.tar").await;
    list.go_on.send(()).unwrap();
    assert_eq!(sweeping.await.unwrap().unwrap().blobs, 0);
    assert_eq!(served(&server, image.manifest).await.0, known);
}

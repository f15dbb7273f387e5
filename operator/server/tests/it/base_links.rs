//! An image does not hide symlinked directories of its base.

use std::io::Write;
use std::time::Duration;

use dcanary_server::digest::Digest;
use dcanary_server::images::Registries;
use dcanary_server::images::links::{Limits, Looks};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::images::options;
use crate::layouts::{Image, image, image_of, layer_of, push};
use crate::registry::Registry;
use crate::scripted_registry::ScriptedRegistry;
use crate::support::{Runner, TestServer};

const DEBIAN: &[&str] = &[
    "./",
    "./bin -> usr/bin",
    "./lib64 -> usr/lib64",
    "./usr/",
    "./usr/bin/",
    "./usr/bin/sh",
    "./usr/lib64 -> lib",
    "./usr/lib/",
    "./var/run -> /run",
];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn plain(host: &str) -> Registries {
    Registries {
        insecure: vec![host.to_owned()],
        ..Registries::default()
    }
}

fn own(entries: &[&str], base: &str) -> Image {
    image(&[&layer_of(entries)], &json!({}), Some(base))
}

async fn said(answer: reqwest::Response) -> (u16, String) {
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// A registry with bases, and a server that pushes to it.
struct Scene {
    registry: ScriptedRegistry,
    server: TestServer,
    runner: Runner,
    pushed: u32,
}

impl Scene {
    async fn start() -> Self {
        Self::with(Limits::default()).await
    }

    async fn with(limits: Limits) -> Self {
        Self::looking(Looks {
            limits,
            ..Looks::default()
        })
        .await
    }

    async fn looking(looks: Looks) -> Self {
        Self::on(ScriptedRegistry::start().await, looks).await
    }

    /// One whose registry gives no layer of [`DEBIAN`] until it is told to.
    async fn holding(looks: Looks) -> (Self, String) {
        let layer = Digest::of(&gzip(&layer_of(DEBIAN)));
        let part = format!("/base/os/blobs/{layer}").leak();
        let scene = Self::on(ScriptedRegistry::holding(Method::GET, part).await, looks).await;
        let base = scene.base(&[DEBIAN]);
        (scene, base)
    }

    async fn on(registry: ScriptedRegistry, looks: Looks) -> Self {
        let registries = Registries {
            looks,
            ..plain(&registry.host)
        };
        let server = TestServer::with(options(registries)).await;
        let runner = server.runner("uid-1").await;
        Self {
            registry,
            server,
            runner,
            pushed: 0,
        }
    }

    fn base(&self, layers: &[&[&str]]) -> String {
        let layers: Vec<_> = layers.iter().map(|entries| gzip(&layer_of(entries))).collect();
        self.base_of(
            &layers
                .iter()
                .map(|layer| (layer.as_slice(), "tar+gzip"))
                .collect::<Vec<_>>(),
        )
    }

    fn base_of(&self, layers: &[(&[u8], &str)]) -> String {
        let tag = self.registry.seen(&Method::GET).len();
        self.registry
            .base(&format!("{tag}"), &image_of(layers, &json!({}), None))
    }

    /// Begins a push of an image that the base refuses, of an attempt of its own.
    async fn begin(&self, attempt: &str, base: &str) -> JoinHandle<(u16, String)> {
        let (runner, image) = (self.server.runner(attempt).await, own(&["bin/app"], base));
        let reference = format!("{}/team/app:{attempt}", self.registry.host);
        tokio::spawn(async move { said(push(&runner, "app", &image, &reference).await).await })
    }

    async fn push(&mut self, image: &Image) -> (u16, String) {
        self.pushed += 1;
        let name = format!("app-{}", self.pushed);
        let reference = format!("{}/team/app:{}", self.registry.host, self.pushed);
        said(push(&self.runner, &name, image, &reference).await).await
    }

    async fn accepted(&mut self, entries: &[&str], base: &str) {
        let said = self.push(&own(entries, base)).await;
        assert_eq!(said.0, 200, "{entries:?}: {}", said.1);
    }

    async fn refused(&mut self, entries: &[&str], base: &str, why: &str) {
        let (code, text) = self.push(&own(entries, base)).await;
        assert!(code == 422 && text.contains(why), "{entries:?}: {code} {text}");
        let pushed = self.registry.seen(&Method::PUT);
        let tag = format!("/manifests/{}", self.pushed);
        assert!(!pushed.iter().any(|path| path.ends_with(&tag)), "{pushed:?}");
    }

    /// How often layers of bases were read.
    fn layers_read(&self) -> usize {
        let read = self.registry.seen(&Method::GET);
        read.iter()
            .filter(|path| path.contains("/base/os/blobs/"))
            .count()
    }
}

#[tokio::test]
async fn a_file_below_a_symlinked_directory_of_the_base_is_refused_with_the_path_to_write_instead() {
    let registry = Registry::start().await;
    let server = TestServer::with(options(plain(&registry.host))).await;
    let runner = server.runner("uid-1").await;
    let layer = layer_of(DEBIAN);
    let zstd = zstd::encode_all(layer.as_slice(), 3).unwrap();
    for (layer, kind) in [(&layer, "tar"), (&gzip(&layer), "tar+gzip"), (&zstd, "tar+zstd")] {
        let name = kind.replace('+', "-");
        let base_name = format!("{}/base/{name}:13", registry.host);
        let first = layer_of(&["first"]);
        let base = image_of(&[(&first, "tar"), (layer, kind)], &json!({}), None);
        let stored = push(&runner, &format!("base-{name}"), &base, &base_name).await;
        assert_eq!(stored.status(), StatusCode::OK);
        let hides = own(&["bin/", "bin/app"], &base_name);
        let reference = format!("{}/team/{name}:1", registry.host);
        let (code, text) = said(push(&runner, &name, &hides, &reference).await).await;
        assert!(code == 422 && text.contains("bad-image"), "{code} {text}");
        let why = format!(
            "cannot put files on base {base_name}: `/bin/app` goes below `/bin`, \
             which the base has as a symlink to `usr/bin`; write `/usr/bin/app`"
        );
        assert!(text.contains(&why), "{text}");
        let team = format!("team/{name}");
        assert!(registry.manifest(&team, "1").await.is_none());
        for descriptor in &base.files {
            let digest = descriptor.0.replace("blobs/sha256/", "sha256:");
            assert!(
                registry.blob(&team, &digest).await.is_none(),
                "nothing was pushed"
            );
        }
        let follows = own(&["usr/", "usr/bin/", "usr/bin/app"], &base_name);
        let stored = push(&runner, &format!("good-{name}"), &follows, &reference).await;
        assert_eq!(stored.status(), StatusCode::OK);
        assert!(registry.manifest(&team, "1").await.is_some());
    }
}

#[tokio::test]
async fn whatever_makes_a_directory_of_a_symlink_is_refused_and_what_does_not_is_accepted() {
    let mut scene = Scene::start().await;
    let base = scene.base(&[&["etc/hosts"], DEBIAN, &["srv/"]]);
    for (entries, why) in [
        (&["bin/app"] as &[&str], "write `/usr/bin/app`"),
        (&["./bin/"], "`/bin` is a directory in the image"),
        (
            &["etc/x", "lib64/a/", "lib64/a/ld.so"],
            "write `/usr/lib/a/ld.so`",
        ),
        (&["var/run/app -> /x"], "write `/run/app`"),
    ] {
        scene.refused(entries, &base, why).await;
    }
    for entries in [
        &["app"] as &[&str],
        &["opt/bin/app", "usr/", "usr/bin/app"],
        &["bin -> opt/bin"],
        &["x -> bin", "x/", "x/app"],
        &["bin"],
        &[".wh.bin", "bin/", "bin/app"],
    ] {
        scene.accepted(entries, &base).await;
    }
}

#[tokio::test]
async fn what_lies_below_a_symlink_of_the_image_itself_is_refused_with_both_places() {
    let mut scene = Scene::start().await;
    let base = scene.base(&[DEBIAN]);
    let why = "`/x/app` goes below `/x`, which the image itself has as a symlink to `bin`; write it to";
    scene.refused(&["x -> bin", "x/app"], &base, why).await;
    let bin = "`/bin/app` goes below `/bin`, which the image itself has as a symlink to `opt/bin`";
    scene.refused(&["bin -> opt/bin", "bin/app"], &base, bin).await;
    let (first, second) = (layer_of(&["x -> bin"]), layer_of(&["x/app"]));
    let (code, text) = scene
        .push(&image(&[&first, &second], &json!({}), Some(&base)))
        .await;
    assert!(code == 422 && text.contains(why), "{code} {text}");
    let replaced = layer_of(&["x/", "x/app"]);
    let (code, text) = scene
        .push(&image(&[&first, &replaced], &json!({}), Some(&base)))
        .await;
    assert_eq!(code, 200, "{text}");
}

#[tokio::test]
async fn a_base_with_a_real_directory_is_built_on_also_where_it_was_a_symlink_before() {
    let mut scene = Scene::start().await;
    let busybox: &[&str] = &["bin/", "bin/busybox", "bin/sh -> busybox", "lib64 -> lib"];
    let over: [&[&[&str]]; 5] = [
        &[busybox],
        &[DEBIAN, &["bin/", "bin/sh"]],
        &[DEBIAN, &["bin/sh"]],
        &[DEBIAN, &[".wh.bin"]],
        &[DEBIAN, &[".wh..wh..opq", "usr/"]],
    ];
    for layers in over {
        let base = scene.base(layers);
        scene.accepted(&["bin/app"], &base).await;
    }
    let base = scene.base(&[busybox, &[".wh.bin"], DEBIAN]);
    scene.refused(&["bin/app"], &base, "`/bin/app` goes below").await;
}

#[tokio::test]
async fn all_own_layers_are_looked_at_whatever_they_are_compressed_with() {
    let mut scene = Scene::start().await;
    let base = scene.base(&[DEBIAN]);
    let (first, second) = (layer_of(&["usr/app"]), layer_of(&["bin/app"]));
    let zstd = zstd::encode_all(second.as_slice(), 3).unwrap();
    for layer in [
        (&gzip(&second), "tar+gzip"),
        (&zstd, "tar+zstd"),
        (&second, "tar"),
    ] {
        let layers = [(first.as_slice(), "tar"), (layer.0, layer.1)];
        let (code, text) = scene.push(&image_of(&layers, &json!({}), Some(&base))).await;
        assert!(
            code == 422 && text.contains("write `/usr/bin/app`"),
            "{code} {text}"
        );
    }
    let (code, text) = scene.push(&image(&[b"no tar"], &json!({}), Some(&base))).await;
    assert!(code == 422 && text.contains("bad-image"), "{code} {text}");
}

#[tokio::test]
async fn a_base_is_read_once_and_not_at_all_for_files_beside_its_directories() {
    let mut scene = Scene::start().await;
    let base = scene.base(&[DEBIAN, &["bin/", "bin/sh"]]);
    scene.accepted(&["app"], &base).await;
    // Each push reads the config.
    assert_eq!(scene.layers_read(), 1);
    scene.accepted(&["bin/app"], &base).await;
    assert_eq!(scene.layers_read(), 1 + 3);
    scene.accepted(&["opt/another"], &base).await;
    scene.refused(&["lib64/x"], &base, "write `/usr/lib/x`").await;
    assert_eq!(scene.layers_read(), 1 + 3 + 2);
}

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn of_pushes_at_once_on_a_base_that_is_not_known_one_reads_it() {
    let (scene, base) = Scene::holding(Looks::default()).await;
    let mut pushes = Vec::new();
    for attempt in ["uid-2", "uid-3", "uid-4"] {
        pushes.push(scene.begin(attempt, &base).await);
    }
    timeout(SOON, scene.registry.arrived()).await.unwrap();
    let another = timeout(Duration::from_secs(1), scene.registry.arrived()).await;
    assert!(another.is_err(), "the others wait");
    scene.registry.go_on();
    for push in pushes {
        let (code, text) = timeout(SOON, push).await.unwrap().unwrap();
        assert!(
            code == 422 && text.contains("write `/usr/bin/app`"),
            "{code} {text}"
        );
    }
    // The layer once, the config for each.
    assert_eq!(scene.layers_read(), 1 + 3);
}

#[tokio::test]
async fn when_the_push_that_reads_a_base_ends_the_next_one_reads_it() {
    let (scene, base) = Scene::holding(Looks::default()).await;
    let first = scene.begin("uid-2", &base).await;
    timeout(SOON, scene.registry.arrived()).await.unwrap();
    let next = scene.begin("uid-3", &base).await;
    let early = timeout(Duration::from_millis(500), scene.registry.arrived()).await;
    assert!(early.is_err(), "it waits");
    let (http, revoked) = (scene.server.http(), json!({"attempt": "uid-2"}));
    let answer = http.post("/v1/session/revoke", "operator", &revoked).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    let (code, text) = timeout(SOON, first).await.unwrap().unwrap();
    assert_eq!(code, 410, "{text}");
    timeout(SOON, scene.registry.arrived()).await.unwrap();
    // The registry may not have noticed that nobody waits for the first answer.
    scene.registry.go_on();
    scene.registry.go_on();
    let (code, text) = timeout(SOON, next).await.unwrap().unwrap();
    assert!(code == 422 && text.contains("write `/usr/bin/app`"), "{text}");
}

#[tokio::test]
async fn who_has_waited_for_another_has_as_much_time_to_read_a_base() {
    let looks = Looks {
        time: Duration::from_secs(10),
        ..Looks::default()
    };
    let (scene, base) = Scene::holding(looks).await;
    let first = scene.begin("uid-2", &base).await;
    timeout(SOON, scene.registry.arrived()).await.unwrap();
    let next = scene.begin("uid-3", &base).await;
    let early = timeout(Duration::from_secs(6), scene.registry.arrived()).await;
    assert!(early.is_err(), "it waits");
    let (http, revoked) = (scene.server.http(), json!({"attempt": "uid-2"}));
    http.post("/v1/session/revoke", "operator", &revoked).await;
    first.await.unwrap();
    timeout(SOON, scene.registry.arrived()).await.unwrap();
    let more = timeout(Duration::from_secs(5), scene.registry.arrived()).await;
    assert!(more.is_err(), "nothing else is asked for");
    scene.registry.go_on();
    scene.registry.go_on();
    let (code, text) = timeout(SOON, next).await.unwrap().unwrap();
    assert!(
        code == 422 && text.contains("write `/usr/bin/app`"),
        "{code} {text}"
    );
}

#[tokio::test]
async fn nobody_waits_longer_for_another_that_reads_a_base_than_for_the_base() {
    let looks = Looks {
        time: Duration::from_secs(1),
        ..Looks::default()
    };
    let (scene, base) = Scene::holding(looks).await;
    let pushes = [
        scene.begin("uid-2", &base).await,
        scene.begin("uid-3", &base).await,
    ];
    for push in pushes {
        let (code, text) = timeout(SOON, push).await.unwrap().unwrap();
        assert_eq!(code, 200, "{text}");
    }
}

/// A tar with a file of so many zeros, and no more at its end.
fn zeros_of(size: usize) -> Vec<u8> {
    let mut large = tar::Header::new_gnu();
    large.set_path("large").unwrap();
    large.set_size(size as u64);
    large.set_cksum();
    [large.as_bytes().as_slice(), &vec![0; size]].concat()
}

/// A tar whose first record says that it has 1 GiB.
fn huge_record() -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_path("x").unwrap();
    header.set_entry_type(tar::EntryType::XHeader);
    header.set_size(1 << 30);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.resize(4 << 20, b'a');
    bytes
}

#[tokio::test]
async fn a_base_that_cannot_be_read_is_refused_and_its_layer_named() {
    let limits = Limits {
        entries: 100,
        bytes: 1 << 20,
        link_bytes: 10_000,
    };
    let mut scene = Scene::with(limits).await;
    let debian = gzip(&layer_of(DEBIAN));
    let names: Vec<String> = (0..101).map(|number| format!("{number}")).collect();
    let many = layer_of(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let links: Vec<String> = (0..90).map(|number| format!("{number} -> x")).collect();
    let links = layer_of(&links.iter().map(String::as_str).collect::<Vec<_>>());
    let bomb = zeros_of(20 << 20);
    for (layer, kind, why) in [
        (gzip(&huge_record()), "tar+gzip", "more than 1048576 bytes"),
        (gzip(&many), "tar+gzip", "more entries"),
        (gzip(&links), "tar+gzip", "more symlinks"),
        (gzip(&bomb), "tar+gzip", "larger than this server looks at"),
        (
            zstd::encode_all(bomb.as_slice(), 3).unwrap(),
            "tar+zstd",
            "larger than this server looks at",
        ),
        (debian[..debian.len() / 2].to_vec(), "tar+gzip", "layer"),
        (b"no tar at all".to_vec(), "tar", "it ends in the middle"),
        (debian.clone(), "tar+lzma", "the media type"),
    ] {
        let digest = Digest::of(&layer);
        let base = scene.base_of(&[(&debian, "tar+gzip"), (&layer, kind)]);
        for why in [
            "registry-refused",
            "cannot look into base",
            &digest.to_string(),
            why,
        ] {
            scene.refused(&["bin/app"], &base, why).await;
        }
        scene.accepted(&["app"], &base).await;
    }
}

#[tokio::test]
async fn a_base_that_is_too_large_or_comes_too_slowly_is_built_on_without_a_look() {
    for looks in [
        Looks {
            stored: 10,
            ..Looks::default()
        },
        Looks {
            time: Duration::ZERO,
            ..Looks::default()
        },
    ] {
        let mut scene = Scene::looking(looks).await;
        // of which more than a moment is read
        let base = scene.base_of(&[(&layer_of(DEBIAN), "tar"), (&zeros_of(32 << 20), "tar")]);
        scene.accepted(&["bin/app"], &base).await;
    }
}

#[tokio::test]
async fn a_layer_of_a_base_with_another_digest_says_nothing() {
    let mut scene = Scene::start().await;
    let mut base = image(&[&layer_of(DEBIAN)], &json!({}), None);
    let layer = &mut base
        .files
        .iter_mut()
        .find(|(_, content)| content.len() > 4_000)
        .unwrap()
        .1;
    *layer = layer_of(&["bin/", "usr/", "usr/bin/", "usr/lib/", "var/", "v/", "w/", "x/"]);
    let base = scene.registry.base("changed", &base);
    scene
        .refused(&["bin/app"], &base, "what the registry sent has digest")
        .await;
}

//! Artifacts and images on their way to the server and back.

use std::collections::BTreeMap;
use std::io::Read;

use dcanary_protocol::plan::{Action, EnvVar, ImageFile};
use dcanary_protocol::report::{ArtifactKind, StepOutcome};
use serde_json::Value;

use crate::double::{Fault, digest};
use crate::pod::Pod;

fn artifact(name: &str, paths: &[&str]) -> Action {
    Action::Artifact {
        artifact: name.to_owned(),
        paths: paths.iter().map(|&path| path.to_owned()).collect(),
        raw: false,
    }
}

fn download(digest: &str, kind: ArtifactKind, path: &str) -> Action {
    Action::DownloadArtifact {
        artifact: "dist".into(),
        digest: digest.to_owned(),
        kind,
        file_name: "app.bin".into(),
        path: path.to_owned(),
    }
}

#[tokio::test]
async fn a_single_file_is_stored_as_it_is_and_a_folder_as_a_tar() {
    let pod = Pod::new()
        .await
        .run_step("mkdir dist; echo app > dist/app; echo lib > dist/lib")
        .step(artifact("one", &["dist/app"]))
        .step(artifact("all", &["dist"]))
        .step(artifact("missing", &["absent/*"]))
        .with(|step| step.continue_on_error = true);
    let end = pod.run().await;
    assert_eq!(end.code, Some(0), "{:?}", end.report);
    let seen = pod.double.seen();
    assert_eq!(seen.uploads["one"].bytes, b"app\n");
    let complete = seen.uploads["one"].complete.as_ref().unwrap();
    assert_eq!(
        (complete.kind, complete.file_name.as_deref()),
        (ArtifactKind::File, Some("app"))
    );
    assert_eq!(
        seen.uploads["all"].complete.as_ref().unwrap().kind,
        ArtifactKind::Directory
    );
    let reported: Vec<_> = end
        .report()
        .artifacts
        .iter()
        .map(|artifact| (&artifact.name[..], artifact.kind))
        .collect();
    assert_eq!(
        reported,
        [("one", ArtifactKind::File), ("all", ArtifactKind::Directory)]
    );
    assert_eq!(end.report().artifacts[0].digest, digest(b"app\n"));
    assert!(
        end.message(3).contains("`absent/*` matches nothing"),
        "{}",
        end.message(3)
    );
}

#[tokio::test]
async fn equal_builds_in_other_folders_and_under_another_umask_give_equal_digests() {
    let mut digests = Vec::new();
    for (umask, order) in [("022", "a b c"), ("077", "c b a")] {
        let text = format!(
            "umask {umask}; mkdir dist; for f in {order}; do echo $f > dist/$f; done; chmod u+x dist/a; sleep 0.0{umask}"
        );
        let pod = Pod::new().await.run_step(&text).step(artifact("dist", &["dist"]));
        let end = pod.run().await;
        digests.push(end.report().artifacts[0].digest.clone());
    }
    assert_eq!(digests[0], digests[1]);
}

#[tokio::test]
async fn an_upload_goes_on_where_the_server_has_it_after_faults_and_crashes() {
    let pod = Pod::new()
        .await
        .run_step("head -c 40000000 /dev/urandom > big.bin")
        .step(artifact("big", &["big.bin"]));
    pod.double.faults(|kind, count| match (kind, count) {
        ("upload", 1) => Fault::LoseAnswer,
        ("upload", 3) | ("complete", 0) => Fault::Crash,
        ("upload", 4) => Fault::Away,
        ("upload", 6) => Fault::Full,
        ("offset", 1) => Fault::Away,
        ("complete", 1) => Fault::LoseAnswer,
        _ => Fault::None,
    });
    let end = pod.run().await;
    assert_eq!(end.code, Some(0), "{} {:?}", end.stderr, end.report);
    let file = std::fs::read(pod.workspace().join("big.bin")).unwrap();
    assert_eq!(end.report().artifacts[0].digest, digest(&file));
    assert!(pod.double.seen().uploads["big"].bytes == file);
}

#[tokio::test]
async fn an_upload_whose_content_the_server_has_otherwise_fails_the_step() {
    let pod = Pod::new()
        .await
        .run_step("echo x > x")
        .step(artifact("x", &["x"]));
    pod.double.faults(|kind, _| {
        if kind == "complete" {
            Fault::Refuse(409, "digest-mismatch")
        } else {
            Fault::None
        }
    });
    let end = pod.run().await;
    assert_eq!(end.code, Some(1));
    assert_eq!(end.report().reason, "ArtifactFailed");
    assert_eq!(end.message(1), "artifact x: said the double");
}

#[tokio::test]
async fn an_empty_artifact_is_sent_again_only_when_the_server_does_not_know_it() {
    let empty = async |status: u16, reason: &'static str| {
        let pod = Pod::new().await.run_step(": > x").step(artifact("x", &["x"]));
        pod.double.faults(move |kind, count| {
            if kind == "complete" && count < 2 {
                Fault::Refuse(status, reason)
            } else {
                Fault::None
            }
        });
        let end = pod.run().await;
        let completions = pod.double.seen().counts["complete"];
        (end.code, completions, end.message(1).to_owned())
    };
    assert_eq!(empty(404, "unknown-upload").await, (Some(0), 3, String::new()));
    let (code, completions, message) = empty(409, "digest-mismatch").await;
    assert_eq!((code, completions), (Some(1), 1));
    assert_eq!(message, "artifact x: said the double");
}

#[tokio::test]
async fn an_artifact_above_the_limit_is_refused_before_it_is_sent() {
    let mut pod = Pod::new()
        .await
        .run_step("echo 123456789 > x")
        .step(artifact("x", &["x"]));
    pod.plan.limits.artifact_bytes = 9;
    let end = pod.run().await;
    assert!(
        end.message(1).contains("10 bytes; the limit is 9"),
        "{}",
        end.message(1)
    );
    assert!(pod.double.seen().uploads.is_empty());
}

#[tokio::test]
async fn artifacts_never_hold_what_a_link_points_to_outside_of_the_workspace() {
    let pod = Pod::new()
        .await
        .run_step("ln -s ../token stolen; mkdir d; ln -s ../../token d/stolen")
        .step(artifact("direct", &["stolen"]))
        .with(|step| step.continue_on_error = true)
        .step(artifact("folder", &["d"]));
    let end = pod.run().await;
    assert!(
        end.message(1).contains("leads out of the workspace"),
        "{}",
        end.message(1)
    );
    let bytes = pod.double.seen().uploads["folder"].bytes.clone();
    assert!(
        !bytes
            .windows(crate::double::TOKEN.len())
            .any(|part| part == crate::double::TOKEN.as_bytes())
    );
}

#[tokio::test]
async fn artifacts_come_back_in_the_next_stage() {
    let first = Pod::new()
        .await
        .run_step("mkdir dist; echo hi > dist/a; ln -s a dist/b")
        .step(artifact("dist", &["dist"]));
    let end = first.run().await;
    let tar = first.double.seen().uploads["dist"].bytes.clone();
    let mut second = Pod::new().await;
    let (folder, file) = (second.double.store(&tar), second.double.store(b"binary"));
    assert_eq!(folder, end.report().artifacts[0].digest);
    second = second
        .step(download(&folder, ArtifactKind::Directory, "in/here"))
        .step(download(&file, ArtifactKind::File, "."))
        .run_step("cat in/here/dist/b app.bin");
    second.double.faults(|kind, count| {
        if kind == "input" && count % 2 == 0 {
            Fault::Away
        } else {
            Fault::None
        }
    });
    let end = second.run().await;
    assert_eq!(end.code, Some(0), "{:?}", end.report);
    assert_eq!(second.double.output(2), "hi\nbinary\n");
}

#[tokio::test]
async fn downloads_with_a_wrong_digest_or_a_bad_path_fail() {
    let mut pod = Pod::new().await;
    let digest = pod.double.store(b"right");
    pod.double.seen().blobs.insert(digest.clone(), b"wrong".to_vec());
    pod = pod
        .step(download(&digest, ArtifactKind::File, "."))
        .step(download(&digest, ArtifactKind::File, "../out"))
        .with(|step| step.condition = Some("always()".into()));
    let end = pod.run().await;
    assert_eq!(end.report().reason, "DownloadFailed");
    assert!(end.message(0).contains("digest"), "{}", end.message(0));
    assert!(end.message(1).contains("leads out"), "{}", end.message(1));
    assert!(!pod.workspace().join("app.bin").exists());
}

#[tokio::test]
async fn a_downloaded_archive_brings_no_files_of_the_runner() {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o644);
    builder
        .append_data(&mut header, ".dcanary/home/.gitconfig", &b"evil"[..])
        .unwrap();
    let mut pod = Pod::new().await;
    let digest = pod.double.store(&builder.into_inner().unwrap());
    pod = pod
        .step(download(&digest, ArtifactKind::Directory, "elsewhere"))
        .step(download(&digest, ArtifactKind::Directory, "."));
    let end = pod.run().await;
    assert_eq!(end.outcomes(), [StepOutcome::Succeeded, StepOutcome::Failed]);
    assert!(
        end.message(1)
            .contains("`.dcanary/home/.gitconfig` would go into a folder of the runner"),
        "{}",
        end.message(1)
    );
    assert!(!pod.workspace().join(".dcanary/home/.gitconfig").exists());
}

fn image(base: Option<&str>) -> Action {
    Action::Image {
        artifact: "web".into(),
        reference: "registry.example/team/web:1".into(),
        base: base.map(ToOwned::to_owned),
        files: vec![
            ImageFile {
                from: "out/app".into(),
                to: "/usr/bin/app".into(),
            },
            ImageFile {
                from: "out/static".into(),
                to: "/srv".into(),
            },
        ],
        entrypoint: vec!["/usr/bin/app".into()],
        cmd: Vec::new(),
        env: vec![EnvVar {
            name: "PORT".into(),
            value: "80".into(),
        }],
        user: Some("1000".into()),
        working_dir: None,
        labels: BTreeMap::from([("team".into(), "a".into())]),
    }
}

fn files(tar: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (entry.path().unwrap().display().to_string(), content)
    });
    entries.collect()
}

#[tokio::test]
async fn an_image_is_a_reproducible_layout_that_names_its_base_for_the_server() {
    let mut layouts = Vec::new();
    for umask in ["022", "077"] {
        let script = format!(
            "umask {umask}; mkdir -p out/static; echo app > out/app; chmod +x out/app; echo page > out/static/index.html"
        );
        let pod = Pod::new()
            .await
            .run_step(&script)
            .step(image(Some("debian@sha256:00")));
        let end = pod.run().await;
        assert_eq!(end.code, Some(0), "{:?}", end.report);
        let reported = &end.report().artifacts[0];
        assert_eq!(
            (reported.digest.as_str(), reported.kind),
            ("sha256:ab", ArtifactKind::Image)
        );
        assert_eq!(
            reported.reference.as_deref(),
            Some("registry.example/team/web:1@sha256:ab")
        );
        layouts.push(pod.double.seen().uploads["web"].bytes.clone());
    }
    assert!(layouts[0] == layouts[1]);
    let layout = files(&layouts[0]);
    let json = |path: &str| serde_json::from_slice::<Value>(&layout[path]).unwrap();
    assert_eq!(json("oci-layout")["imageLayoutVersion"], "1.0.0");
    let blob = |descriptor: &Value| {
        let name = descriptor["digest"].as_str().unwrap().to_owned();
        let content = layout[&name.replace("sha256:", "blobs/sha256/")].clone();
        assert_eq!(digest(&content), name);
        assert_eq!(descriptor["size"], content.len());
        content
    };
    let manifest: Value = serde_json::from_slice(&blob(&json("index.json")["manifests"][0])).unwrap();
    assert_eq!(
        manifest["annotations"]["org.opencontainers.image.base.name"],
        "debian@sha256:00"
    );
    let config: Value = serde_json::from_slice(&blob(&manifest["config"])).unwrap();
    let layer = blob(&manifest["layers"][0]);
    assert_eq!(config["rootfs"]["diff_ids"][0], digest(&layer));
    assert_eq!(config["config"]["Entrypoint"][0], "/usr/bin/app");
    assert_eq!(config["config"]["Env"][0], "PORT=80");
    assert!(
        config["config"].get("Cmd").is_none(),
        "what is not named stays the base's"
    );
    let layer = files(&layer);
    assert_eq!(layer["usr/bin/app"], b"app\n");
    assert_eq!(layer["srv/index.html"], b"page\n");
}

#[tokio::test]
async fn an_image_step_names_a_missing_file() {
    let pod = Pod::new().await.step(image(None));
    let end = pod.run().await;
    assert_eq!(end.outcomes(), [StepOutcome::Failed]);
    assert_eq!(end.report().reason, "ImageFailed");
    assert!(
        end.message(0).contains("`out/app` matches nothing"),
        "{}",
        end.message(0)
    );
}

#[tokio::test]
async fn a_file_whose_name_deletes_another_one_in_a_layer_is_refused_by_name() {
    for (script, path) in [
        ("echo x > out/static/.wh.passwd", "srv/.wh.passwd"),
        ("mkdir out/static/.wh..wh..opq", "srv/.wh..wh..opq"),
    ] {
        let pod = Pod::new()
            .await
            .run_step(&format!("mkdir -p out/static; echo app > out/app; {script}"))
            .step(image(None));
        let end = pod.run().await;
        assert_eq!(end.report().reason, "ImageFailed");
        assert!(
            end.message(1).contains(&format!("`{path}`")),
            "{}",
            end.message(1)
        );
        assert!(pod.double.seen().uploads.is_empty());
    }
}

//! OCI layouts as image steps make them, and sending one.

use dcanary_server::digest::Digest;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::Runner;

const BASE: &str = "org.opencontainers.image.base.name";

/// An OCI layout in a tar.
pub struct Image {
    pub files: Vec<(String, Vec<u8>)>,
    pub manifest: Digest,
}

pub fn image(layers: &[&[u8]], settings: &Value, base: Option<&str>) -> Image {
    let layers: Vec<_> = layers.iter().map(|layer| (*layer, "tar")).collect();
    image_of(&layers, settings, base)
}

/// Of layers that are compressed, as the ends of their media types say.
pub fn image_of(layers: &[(&[u8], &str)], settings: &Value, base: Option<&str>) -> Image {
    let mut files = vec![(
        "oci-layout".to_owned(),
        br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(),
    )];
    let mut blob = |content: &[u8], kind: &str| {
        let digest = Digest::of(content);
        files.push((format!("blobs/sha256/{}", digest.hex()), content.to_vec()));
        json!({"mediaType": kind, "digest": digest.to_string(), "size": content.len()})
    };
    let diff_ids: Vec<String> = layers
        .iter()
        .map(|(layer, _)| Digest::of(layer).to_string())
        .collect();
    let config = json!({"architecture": "amd64", "os": "linux", "config": settings,
        "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": [{"created_by": "test"}]});
    let config = blob(
        config.to_string().as_bytes(),
        "application/vnd.oci.image.config.v1+json",
    );
    let layers: Vec<Value> = layers
        .iter()
        .map(|(layer, kind)| blob(layer, &format!("application/vnd.oci.image.layer.v1.{kind}")))
        .collect();
    let mut manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": layers});
    if let Some(base) = base {
        manifest["annotations"] = json!({ BASE: base });
    }
    let manifest = manifest.to_string().into_bytes();
    let descriptor = blob(&manifest, "application/vnd.oci.image.manifest.v1+json");
    let index = json!({"schemaVersion": 2, "manifests": [descriptor]});
    files.push(("index.json".to_owned(), index.to_string().into_bytes()));
    Image {
        files,
        manifest: Digest::of(&manifest),
    }
}

pub fn tar(image: &Image) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in &image.files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder
            .append_data(&mut header, path, content.as_slice())
            .unwrap();
    }
    builder.into_inner().unwrap()
}

/// A layer with these entries: `name/` is a directory, `name -> target` a symlink, anything else a file.
pub fn layer_of(entries: &[&str]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        header.set_mode(0o755);
        if let Some((name, target)) = entry.split_once(" -> ") {
            header.set_entry_type(tar::EntryType::Symlink);
            builder.append_link(&mut header, name, target).unwrap();
        } else if entry.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
            builder.append_data(&mut header, entry, std::io::empty()).unwrap();
        } else {
            header.set_size(entry.len() as u64);
            builder.append_data(&mut header, entry, entry.as_bytes()).unwrap();
        }
    }
    builder.into_inner().unwrap()
}

pub async fn push(runner: &Runner, name: &str, image: &Image, reference: &str) -> reqwest::Response {
    let bytes = tar(image);
    let known = runner.complete(name, &body_of(&bytes, reference)).await;
    if known.status() != StatusCode::CONFLICT {
        return known;
    }
    if runner.offset(name).await == 0 {
        assert_eq!(runner.put(name, 0, bytes.clone()).await.status(), StatusCode::OK);
    }
    runner.complete(name, &body_of(&bytes, reference)).await
}

pub fn body_of(bytes: &[u8], reference: &str) -> Value {
    json!({"kind": "image", "size": bytes.len(), "digest": Digest::of(bytes).to_string(),
        "mediaType": "application/x-tar", "reference": reference})
}

pub fn layer(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|n| u8::try_from(n % 241).unwrap() ^ seed).collect()
}

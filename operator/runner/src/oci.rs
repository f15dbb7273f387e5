//! An OCI image layout with one reproducible layer.
//!
//! With a base image the layer holds only the new files and the config only what it changes: the server, which can read registries,
//! puts the base's layers before it. The manifest names the base in `org.opencontainers.image.base.name`.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::interrupt::Interrupt;
use crate::tarball::archive::{Archive, Body, Entry};
use crate::tarball::header::{Kind, Meta};

/// Annotation that names the base image.
const BASE: &str = "org.opencontainers.image.base.name";
const REFERENCE: &str = "org.opencontainers.image.ref.name";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// What the image is besides its files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Description {
    pub(crate) reference: String,
    pub(crate) base: Option<String>,
    /// The changed fields of the config's `config`.
    pub(crate) config: Map<String, Value>,
    /// Time of everything, in seconds.
    pub(crate) created: u64,
}

/// The layout as a tar. Reads all files once for the digest of the layer.
pub(crate) fn layout(
    files: Vec<Entry>,
    description: &Description,
    interrupt: &Interrupt,
) -> std::io::Result<Body> {
    let layer = Body::Archive(Arc::new(Archive::new(files)));
    let layer_digest = layer.digest(interrupt)?;
    let created = i64::try_from(description.created)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_string();
    let config = to_bytes(&json!({
        "architecture": architecture(),
        "os": "linux",
        "created": created,
        "config": description.config,
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_digest}")]},
        "history": [{"created": created, "created_by": "dcanary"}],
    }));
    let config_digest = digest(&config);
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, &config_digest, config.len() as u64),
        "layers": [descriptor(LAYER, &layer_digest, layer.length())],
    });
    if let Some(base) = &description.base {
        manifest["annotations"] = json!({BASE: base});
    }
    let manifest = to_bytes(&manifest);
    let manifest_digest = digest(&manifest);
    let mut descriptor = descriptor(MANIFEST, &manifest_digest, manifest.len() as u64);
    descriptor["annotations"] = json!({REFERENCE: description.reference});
    let index = to_bytes(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [descriptor],
    }));
    let file = |path: String, body| Entry {
        meta: Meta::normalized(path.into_bytes(), Kind::File, false, description.created),
        body,
    };
    let folder = |path: &str| {
        Entry::empty(Meta::normalized(
            path.as_bytes().to_vec(),
            Kind::Directory,
            false,
            description.created,
        ))
    };
    let mut blobs = vec![
        (layer_digest, layer),
        (config_digest, bytes(config)),
        (manifest_digest, bytes(manifest)),
    ];
    blobs.sort_by(|one, other| one.0.cmp(&other.0));
    blobs.dedup_by(|one, other| one.0 == other.0);
    let mut entries = vec![
        file(
            "oci-layout".into(),
            bytes(to_bytes(&json!({"imageLayoutVersion": "1.0.0"}))),
        ),
        file("index.json".into(), bytes(index)),
        folder("blobs"),
        folder("blobs/sha256"),
    ];
    entries.extend(
        blobs
            .into_iter()
            .map(|(digest, body)| file(format!("blobs/sha256/{digest}"), body)),
    );
    Ok(Body::Archive(Arc::new(Archive::new(entries))))
}

fn bytes(bytes: Vec<u8>) -> Body {
    Body::Bytes(bytes.into())
}

fn to_bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn descriptor(media_type: &str, digest: &str, size: u64) -> Value {
    json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": size})
}

/// The architecture as images name it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

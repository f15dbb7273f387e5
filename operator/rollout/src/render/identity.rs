//! Identities: equal ones are the same release in the same configuration.

use std::collections::BTreeMap;

use dcanary_core::definition;
use dcanary_crds::{Release, WorkloadKind};
use dcanary_types::value::sha256;
use serde_json::{Value, json};

use super::object;

/// Version of what an identity is made of.
const VERSION: u64 = 1;

/// What an identity is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    /// Images by name.
    pub images: &'a BTreeMap<String, String>,
    /// Kind of the workload.
    pub kind: WorkloadKind,
    /// The Pod template with the images in it, before anything of ours is.
    pub template: &'a Value,
    /// Digests of tracked ConfigMaps by name.
    pub config_maps: &'a BTreeMap<String, String>,
    /// Digests of tracked Secrets by name.
    pub secrets: &'a BTreeMap<String, String>,
}

/// The identity, `sha256:…`.
pub(super) fn identity(parts: Parts<'_>) -> String {
    digest(&json!({
        "v": VERSION,
        "images": object::json(parts.images),
        "kind": parts.kind,
        "template": parts.template,
        "configMaps": object::json(parts.config_maps),
        "secrets": object::json(parts.secrets),
    }))
}

/// SHA-256 of what moves between environments: images and artifacts.
pub fn release_digest(release: &Release) -> [u8; 32] {
    sha256(
        canonical(&json!({
            "images": object::json(&release.spec.images),
            "artifacts": object::json(&release.spec.artifacts),
        }))
        .as_bytes(),
    )
}

/// `sha256:…` of the canonical form.
pub fn digest(value: &Value) -> String {
    definition::text(&sha256(canonical(value).as_bytes()))
}

/// JSON with sorted keys and no spaces: one text for equal values, in whatever order their keys came.
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            // not left to the map: whether it sorts depends on a feature of serde_json that any crate can switch off
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            text.push('{');
            for (i, (name, value)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write(value, text);
            }
            text.push('}');
        }
        Value::Array(list) => {
            text.push('[');
            for (i, value) in list.iter().enumerate() {
                if i > 0 {
                    text.push(',');
                }
                write(value, text);
            }
            text.push(']');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

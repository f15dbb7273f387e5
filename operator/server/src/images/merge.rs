//! Puts an image on its base: layers, settings and history, as a build on that base would have.

use serde_json::{Map, Value, json};

use super::layout::{BASE_DIGEST, digest_of};
use crate::digest::Digest;

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Manifest and config of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// The manifest, as it is pushed.
    pub manifest: Vec<u8>,
    /// The config, as it is pushed.
    pub config: Vec<u8>,
    /// Digest of the config.
    pub config_digest: Digest,
}

/// Base image.
#[derive(Debug, Clone)]
pub struct Base {
    /// Digest of its manifest.
    pub digest: Digest,
    /// Its manifest.
    pub manifest: Value,
    /// Its config.
    pub config: Value,
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn joined(base: &Value, own: &Value) -> Value {
    list(base).chain(list(own)).cloned().collect()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Variables of the base, replaced or followed by our own.
fn merged_env(base: &Value, own: &Value) -> Value {
    fn name(variable: &Value) -> &str {
        variable
            .as_str()
            .unwrap_or_default()
            .split('=')
            .next()
            .unwrap_or_default()
    }
    let mut env: Vec<Value> = list(base).cloned().collect();
    for variable in list(own) {
        match env.iter_mut().find(|known| name(known) == name(variable)) {
            Some(known) => *known = variable.clone(),
            None => env.push(variable.clone()),
        }
    }
    env.into()
}

fn merged_settings(base: &Value, own: &Value) -> Value {
    let mut settings: Map<String, Value> = base.as_object().cloned().unwrap_or_default();
    if !is_empty(&own["Entrypoint"]) {
        // The arguments of another program are of no use to this one.
        settings.remove("Cmd");
    }
    for (key, value) in own.as_object().into_iter().flatten() {
        if is_empty(value) {
            continue;
        }
        let merged = match (key.as_str(), settings.get(key)) {
            ("Env", Some(known)) => merged_env(known, value),
            ("Labels" | "ExposedPorts" | "Volumes", Some(Value::Object(known))) => {
                let mut known = known.clone();
                known.extend(value.as_object().cloned().unwrap_or_default());
                Value::Object(known)
            }
            _ => value.clone(),
        };
        settings.insert(key.clone(), merged);
    }
    Value::Object(settings)
}

/// OCI's name of a layer's media type.
fn layer(descriptor: &Value) -> Value {
    let mut layer = descriptor.clone();
    let kind = match descriptor["mediaType"].as_str() {
        Some("application/vnd.docker.image.rootfs.diff.tar.gzip") => {
            "application/vnd.oci.image.layer.v1.tar+gzip"
        }
        Some("application/vnd.docker.image.rootfs.diff.tar.zstd") => {
            "application/vnd.oci.image.layer.v1.tar+zstd"
        }
        Some("application/vnd.docker.image.rootfs.diff.tar") => "application/vnd.oci.image.layer.v1.tar",
        _ => return layer,
    };
    layer["mediaType"] = kind.into();
    layer
}

/// Puts an image (manifest and config of a layout) on a base.
///
/// # Errors
/// When the base cannot be one; says why.
pub fn merge(base: &Base, manifest: &Value, config: &Value) -> Result<Merged, String> {
    let layers = list(&base.manifest["layers"]).count();
    let diffs = list(&base.config["rootfs"]["diff_ids"]).count();
    if layers != diffs {
        return Err(format!("the base has {layers} layers but {diffs} diff ids"));
    }
    for layer in list(&base.manifest["layers"]) {
        digest_of(layer).map_err(|error| format!("a layer of the base: {error}"))?;
    }
    let mut merged = base.config.clone();
    merged["config"] = merged_settings(&base.config["config"], &config["config"]);
    merged["rootfs"] = json!({
        "type": "layers",
        "diff_ids": joined(&base.config["rootfs"]["diff_ids"], &config["rootfs"]["diff_ids"]),
    });
    merged["history"] = joined(&base.config["history"], &config["history"]);
    if let Some(fields) = merged.as_object_mut() {
        // Of the base's build alone.
        for key in ["container", "container_config", "docker_version", "id", "parent"] {
            fields.remove(key);
        }
        match &config["created"] {
            Value::Null => fields.remove("created"),
            created => fields.insert("created".to_owned(), created.clone()),
        };
    }
    let config_bytes = merged.to_string().into_bytes();
    let config_digest = Digest::of(&config_bytes);
    let mut annotations = manifest["annotations"].as_object().cloned().unwrap_or_default();
    annotations.insert(BASE_DIGEST.to_owned(), base.digest.to_string().into());
    let layers: Vec<Value> = list(&base.manifest["layers"])
        .map(layer)
        .chain(list(&manifest["layers"]).cloned())
        .collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": config_digest.to_string(), "size": config_bytes.len()},
        "layers": layers,
        "annotations": annotations,
    });
    Ok(Merged {
        manifest: manifest.to_string().into_bytes(),
        config: config_bytes,
        config_digest,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn base() -> Base {
        Base {
            digest: Digest::of(b"base"),
            manifest: json!({"layers": [{
                "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                "digest": Digest::of(b"layer").to_string(), "size": 5}]}),
            config: json!({"architecture": "arm64", "os": "linux", "container": "x", "created": "2020",
                "config": {"Env": ["PATH=/bin", "A=1"], "Entrypoint": ["/old"], "Cmd": ["old"], "User": "7",
                    "Labels": {"a": "1", "b": "1"}},
                "rootfs": {"type": "layers", "diff_ids": ["sha256:base"]}, "history": [{"created_by": "base"}]}),
        }
    }

    #[test]
    fn an_image_on_a_base_has_both_layers_and_our_settings() {
        let own = json!({"config": {"Env": ["A=2", "B=3"], "Entrypoint": ["/new"], "User": "",
            "Labels": {"b": "2"}, "WorkingDir": "/srv"}, "rootfs": {"diff_ids": ["sha256:own"]},
            "history": [{"created_by": "own"}]});
        let manifest = json!({"layers": [{"digest": "sha256:own-layer"}], "annotations": {"k": "v"}});
        let merged = merge(&base(), &manifest, &own).unwrap();
        let config: Value = serde_json::from_slice(&merged.config).unwrap();
        assert_eq!(
            config,
            json!({"architecture": "arm64", "os": "linux",
                "config": {"Env": ["PATH=/bin", "A=2", "B=3"], "Entrypoint": ["/new"], "User": "7",
                    "Labels": {"a": "1", "b": "2"}, "WorkingDir": "/srv"},
                "rootfs": {"type": "layers", "diff_ids": ["sha256:base", "sha256:own"]},
                "history": [{"created_by": "base"}, {"created_by": "own"}]})
        );
        let manifest: Value = serde_json::from_slice(&merged.manifest).unwrap();
        assert_eq!(
            manifest["layers"][0]["mediaType"],
            "application/vnd.oci.image.layer.v1.tar+gzip"
        );
        assert_eq!(manifest["layers"][1]["digest"], "sha256:own-layer");
        assert_eq!(
            manifest["annotations"][BASE_DIGEST],
            Digest::of(b"base").to_string()
        );
        assert_eq!(
            manifest["config"]["digest"],
            Digest::of(&merged.config).to_string()
        );
    }

    #[test]
    fn without_an_entrypoint_of_our_own_the_base_keeps_its_command() {
        let merged = merge(&base(), &json!({}), &json!({"config": {"Env": ["C=1"]}})).unwrap();
        let config: Value = serde_json::from_slice(&merged.config).unwrap();
        assert_eq!(config["config"]["Entrypoint"], json!(["/old"]));
        assert_eq!(config["config"]["Cmd"], json!(["old"]));
    }

    #[test]
    fn a_base_whose_layers_and_diff_ids_differ_is_refused() {
        let mut broken = base();
        broken.config["rootfs"]["diff_ids"] = json!([]);
        assert!(merge(&broken, &json!({}), &json!({})).is_err());
    }
}

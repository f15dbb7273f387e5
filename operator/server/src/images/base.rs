//! Reads what an image is built on.

use oci_client::manifest::OciDescriptor;
use oci_client::{Client, Reference};
use serde_json::Value;

use super::ImageError;
use super::layout::digest_of;
use super::merge::Base;
use super::push::failed;
use crate::digest::Digest;

const ACCEPTED: [&str; 4] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
/// Largest config of a base.
const CONFIG_BYTES: usize = 4 << 20;

/// Manifest and config of a base, for the platform of the image when it is made for several.
///
/// # Errors
/// When the registry refuses or fails, or the image cannot be a base.
pub async fn pull(client: &Client, from: &Reference, config: &Value) -> Result<Base, ImageError> {
    let bad = |why: String| ImageError::Refused {
        what: "use base",
        reference: from.to_string(),
        why,
    };
    let auth = oci_client::secrets::RegistryAuth::Anonymous;
    let pull = async |image: &Reference| {
        let (bytes, _) = client
            .pull_manifest_raw(image, &auth, &ACCEPTED)
            .await
            .map_err(failed("pull base", image))?;
        let manifest: Value = serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
        Ok::<_, ImageError>((Digest::of(&bytes), manifest))
    };
    let (mut digest, mut manifest) = pull(from).await?;
    if let Some(named) = from.digest()
        && named != digest.to_string()
    {
        return Err(bad(format!("the registry answered with {digest}")));
    }
    if let Some(platforms) = manifest["manifests"].as_array() {
        let fits = |entry: &&Value| {
            ["os", "architecture"].iter().all(|key| {
                let wanted = config[*key].as_str();
                entry["platform"][*key].as_str() == wanted
            })
        };
        let entry = platforms.iter().find(fits).ok_or_else(|| {
            bad(format!(
                "not made for {}/{}",
                config["os"], config["architecture"]
            ))
        })?;
        let named = digest_of(entry).map_err(|error| bad(error.to_string()))?;
        let image = Reference::with_digest(
            from.registry().to_owned(),
            from.repository().to_owned(),
            named.to_string(),
        );
        (digest, manifest) = pull(&image).await?;
        if digest != named {
            return Err(bad(format!(
                "the registry answered with {digest} instead of {named}"
            )));
        }
    }
    let named = digest_of(&manifest["config"]).map_err(|error| bad(error.to_string()))?;
    if manifest["config"]["size"]
        .as_u64()
        .is_none_or(|size| size > CONFIG_BYTES as u64)
    {
        return Err(bad("its config is too large".to_owned()));
    }
    let mut bytes = Vec::new();
    let descriptor = OciDescriptor {
        digest: named.to_string(),
        ..OciDescriptor::default()
    };
    client
        .pull_blob(from, &descriptor, &mut bytes)
        .await
        .map_err(failed("pull base", from))?;
    let config = serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
    Ok(Base {
        digest,
        manifest,
        config,
    })
}

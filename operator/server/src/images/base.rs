//! Reads what an image is built on.

use oci_spec::distribution::Reference;
use serde_json::Value;

use super::ImageError;
use super::documents::{DOCUMENT_BYTES, Held};
use super::layout::digest_of;
use super::merge::Base;
use super::push::failed;
use super::registry::Repository;
use crate::digest::Digest;

/// Manifest and config of a base, for the platform of the image when it is made for several.
///
/// # Errors
/// When the registry refuses or fails, or the image cannot be a base.
pub async fn pull(
    source: &Repository,
    from: &Reference,
    config: &Value,
    held: &mut Held,
) -> Result<Base, ImageError> {
    let bad = |why: String| ImageError::Refused {
        what: "use base",
        reference: from.to_string(),
        why,
    };
    let mut pull = async |which: &str| {
        let bytes = source.manifest(which).await.map_err(failed("pull base", from))?;
        held.take(bytes.len() as u64)?;
        let manifest = held.parse(&bytes, |why| bad(format!("its manifest: {why}")))?;
        Ok::<_, ImageError>((Digest::of(&bytes), manifest))
    };
    let (mut digest, mut manifest) = pull(from.digest().or(from.tag()).unwrap_or("latest")).await?;
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
                config["os"].as_str().unwrap_or("any"),
                config["architecture"].as_str().unwrap_or("any")
            ))
        })?;
        let named = digest_of(entry).map_err(|error| bad(error.to_string()))?;
        (digest, manifest) = pull(&named.to_string()).await?;
        if digest != named {
            return Err(bad(format!(
                "the registry answered with {digest} instead of {named}"
            )));
        }
    }
    let named = digest_of(&manifest["config"]).map_err(|error| bad(error.to_string()))?;
    if manifest["config"]["size"]
        .as_u64()
        .is_none_or(|size| size > DOCUMENT_BYTES)
    {
        return Err(bad("its config is too large".to_owned()));
    }
    let bytes = source.document(&named).await.map_err(failed("pull base", from))?;
    let stored = Digest::of(&bytes);
    if stored != named {
        return Err(bad(format!(
            "the registry answered with {stored} instead of {named}"
        )));
    }
    held.take(bytes.len() as u64)?;
    let config = held.parse(&bytes, |why| bad(format!("its config: {why}")))?;
    Ok(Base {
        digest,
        manifest,
        config,
    })
}

//! Pushes a stored layout to a registry, on its base if it names one. Repeating it changes nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::OciDescriptor;
use oci_client::{Client, Reference, RegistryOperation};
use serde_json::Value;

use super::layout::{BASE_NAME, Layout, digest_of, read};
use super::merge::{Base, merge};
use super::{ImageError, Pushed, credentials};
use crate::digest::Digest;
use crate::store::blobs::Blobs;
use crate::store::fault::StoreFault;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const ACCEPTED: [&str; 4] = [
    MANIFEST,
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
/// Largest config of a base.
const CONFIG_BYTES: usize = 4 << 20;

/// Registries as this server reaches them.
#[derive(Debug, Clone, Default)]
pub struct Registries {
    /// Directory with credentials in Docker's format.
    pub credentials: Option<PathBuf>,
    /// `host:port` of registries with plain HTTP.
    pub insecure: Vec<String>,
    /// Prefixes of repositories that may be pushed to; none = all.
    pub allowed: Vec<String>,
    /// PEM of further certificate authorities.
    pub authorities: Vec<Vec<u8>>,
}

fn parse(reference: &str) -> Result<Reference, ImageError> {
    reference
        .parse()
        .map_err(|error: oci_client::ParseError| ImageError::Reference {
            reference: reference.to_owned(),
            why: error.to_string(),
        })
}

/// A refusal that repeating does not change, or something that it may.
fn failed(what: &'static str, reference: &Reference) -> impl FnOnce(OciDistributionError) -> ImageError {
    let reference = reference.to_string();
    move |error| {
        let why = error.to_string();
        match error {
            OciDistributionError::ServerError { code, .. } if code >= 500 || code == 429 => {
                ImageError::Registry { what, reference, why }
            }
            OciDistributionError::RequestError(error)
                if !error.status().is_some_and(|status| status.is_client_error()) =>
            {
                ImageError::Registry {
                    what,
                    reference,
                    why: chain(&error),
                }
            }
            OciDistributionError::IoError(_) => ImageError::Registry { what, reference, why },
            _ => ImageError::Refused { what, reference, why },
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

impl Registries {
    fn client(&self) -> Client {
        let authority = |pem: &Vec<u8>| Certificate {
            encoding: CertificateEncoding::Pem,
            data: pem.clone(),
        };
        Client::new(ClientConfig {
            protocol: ClientProtocol::HttpsExcept(self.insecure.clone()),
            extra_root_certificates: self.authorities.iter().map(authority).collect(),
            read_timeout: Some(Duration::from_secs(60)),
            connect_timeout: Some(Duration::from_secs(10)),
            user_agent: concat!("dcanary-server/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        })
    }

    /// A client that is logged in for one repository.
    async fn login(
        &self,
        what: &'static str,
        image: &Reference,
        operation: RegistryOperation,
    ) -> Result<Client, ImageError> {
        let client = self.client();
        let (dir, key) = (self.credentials.clone(), image.clone());
        let auth = tokio::task::spawn_blocking(move || {
            credentials::find(dir.as_deref(), key.resolve_registry(), key.repository())
        })
        .await
        .map_err(|error| StoreFault::Failed(Box::new(error)))?;
        client
            .auth(image, &auth, operation)
            .await
            .map_err(failed(what, image))?;
        Ok(client)
    }

    fn target(&self, reference: &str) -> Result<Reference, ImageError> {
        let target = parse(reference)?;
        let refused = |why: &str| ImageError::Reference {
            reference: reference.to_owned(),
            why: why.to_owned(),
        };
        if target.digest().is_some() {
            return Err(refused("images are pushed to a tag, not to a digest"));
        }
        let repository = format!("{}/{}/", target.registry(), target.repository());
        let allowed = |prefix: &String| repository.starts_with(&format!("{}/", prefix.trim_end_matches('/')));
        if !self.allowed.is_empty() && !self.allowed.iter().any(allowed) {
            return Err(refused(
                "not below an allowed repository (--allowed-repositories)",
            ));
        }
        Ok(target)
    }

    /// Pushes the layout in a stored tar.
    ///
    /// # Errors
    /// When the layout is wrong, or a registry refuses or fails.
    pub async fn push(
        &self,
        blobs: &Arc<dyn Blobs>,
        tar: &Digest,
        size: u64,
        reference: Option<String>,
    ) -> Result<Pushed, ImageError> {
        let target = reference.map(|reference| self.target(&reference)).transpose()?;
        let layout = read(blobs, tar, size).await?;
        let Some(target) = target else {
            return Ok(Pushed {
                manifest: Digest::of(&layout.manifest_bytes),
                reference: None,
            });
        };
        let client = self.login("push", &target, RegistryOperation::Push).await?;
        let push = Push {
            client,
            target,
            blobs,
            tar,
            layout: &layout,
        };
        let manifest = match layout.manifest["annotations"][BASE_NAME].as_str() {
            None => {
                push.own_blobs(true).await?;
                layout.manifest_bytes.clone()
            }
            Some(base) => {
                let from = parse(base)?;
                let source = self.login("pull base", &from, RegistryOperation::Pull).await?;
                let base = pull_base(&source, &from, &layout.config).await?;
                push.base_layers(&source, &from, &base.manifest).await?;
                push.own_blobs(false).await?;
                let merged = merge(&base, &layout.manifest, &layout.config).map_err(ImageError::Layout)?;
                push.bytes(&merged.config_digest, merged.config).await?;
                merged.manifest
            }
        };
        let digest = Digest::of(&manifest);
        push.manifest(manifest).await?;
        let (registry, repository) = (push.target.registry(), push.target.repository());
        Ok(Pushed {
            manifest: digest,
            reference: Some(format!("{registry}/{repository}@{digest}")),
        })
    }
}

struct Push<'a> {
    client: Client,
    target: Reference,
    blobs: &'a Arc<dyn Blobs>,
    tar: &'a Digest,
    layout: &'a Layout,
}

impl Push<'_> {
    async fn exists(&self, digest: &Digest) -> Result<bool, ImageError> {
        self.client
            .blob_exists(&self.target, &digest.to_string())
            .await
            .map_err(failed("look for a layer of", &self.target))
    }

    /// Layers of the layout that the registry does not have, and the config.
    async fn own_blobs(&self, with_config: bool) -> Result<(), ImageError> {
        let config = with_config.then_some(&self.layout.manifest["config"]);
        for descriptor in self.layout.manifest["layers"]
            .as_array()
            .into_iter()
            .flatten()
            .chain(config)
        {
            let digest = digest_of(descriptor).map_err(|error| ImageError::Layout(error.to_string()))?;
            let Some(range) = self.layout.blobs.get(&digest) else {
                continue;
            };
            if self.exists(&digest).await? {
                continue;
            }
            let size = range.end - range.start;
            let pieces = self
                .blobs
                .get(self.tar, range.clone())
                .await
                .map_err(StoreFault::from)?;
            let pieces = pieces.map_err(|error| std::io::Error::other(error).into());
            self.client
                .push_blob_stream(&self.target, pieces, &digest.to_string(), Some(size))
                .await
                .map_err(failed("push a layer of", &self.target))?;
        }
        Ok(())
    }

    /// Layers of the base: there already, mounted from the same registry, or passed on without being stored here.
    async fn base_layers(&self, source: &Client, from: &Reference, base: &Value) -> Result<(), ImageError> {
        for descriptor in base["layers"].as_array().into_iter().flatten() {
            let digest = digest_of(descriptor).map_err(|error| ImageError::Layout(error.to_string()))?;
            if self.exists(&digest).await? {
                continue;
            }
            if from.resolve_registry() == self.target.resolve_registry()
                && self
                    .client
                    .mount_blob(&self.target, from, &digest.to_string())
                    .await
                    .is_ok()
            {
                continue;
            }
            let layer = OciDescriptor {
                digest: digest.to_string(),
                ..OciDescriptor::default()
            };
            let sized = source
                .pull_blob_stream(from, &layer)
                .await
                .map_err(failed("pull a layer of", from))?;
            let pieces = sized.stream.map_err(OciDistributionError::from).boxed();
            self.client
                .push_blob_stream(
                    &self.target,
                    pieces,
                    &digest.to_string(),
                    descriptor["size"].as_u64(),
                )
                .await
                .map_err(failed("push a layer of", &self.target))?;
        }
        Ok(())
    }

    async fn bytes(&self, digest: &Digest, bytes: Vec<u8>) -> Result<(), ImageError> {
        if !self.exists(digest).await? {
            self.client
                .push_blob(&self.target, bytes, &digest.to_string())
                .await
                .map_err(failed("push the config of", &self.target))?;
        }
        Ok(())
    }

    async fn manifest(&self, bytes: Vec<u8>) -> Result<(), ImageError> {
        let kind = http::HeaderValue::from_static(MANIFEST);
        self.client
            .push_manifest_raw(&self.target, bytes, kind)
            .await
            .map_err(failed("push the manifest of", &self.target))?;
        Ok(())
    }
}

/// Manifest and config of a base, for the platform of the image when it is made for several.
async fn pull_base(client: &Client, from: &Reference, config: &Value) -> Result<Base, ImageError> {
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

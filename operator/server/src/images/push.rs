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
use super::merge::merge;
use super::rules::{Access, Rules};
use super::{Image, ImageError, Pushed, base, credentials};
use crate::digest::Digest;
use crate::store::blobs::Blobs;
use crate::store::fault::StoreFault;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Registries as this server reaches them.
#[derive(Debug, Clone, Default)]
pub struct Registries {
    /// Directory with credentials in Docker's format.
    pub credentials: Option<PathBuf>,
    /// `host:port` of registries with plain HTTP.
    pub insecure: Vec<String>,
    /// Which namespace may use what. Without rules and without credentials there is nothing to protect, and everything
    /// is allowed; with credentials, only what a rule says.
    pub rules: Rules,
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
pub(super) fn failed(
    what: &'static str,
    reference: &Reference,
) -> impl FnOnce(OciDistributionError) -> ImageError {
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

    fn allow(&self, image: &Image<'_>, reference: &Reference, access: Access) -> Result<(), ImageError> {
        let (registry, repository) = (reference.registry(), reference.repository());
        let open = self.rules.is_empty() && self.credentials.is_none();
        if open || self.rules.allow(image.namespace, registry, repository, access) {
            return Ok(());
        }
        Err(ImageError::Forbidden {
            what: match access {
                Access::Push => "push to",
                Access::Pull => "build on",
            },
            repository: format!("{registry}/{repository}"),
            namespace: image.namespace.clone(),
        })
    }

    fn target(&self, image: &Image<'_>, reference: &str) -> Result<Reference, ImageError> {
        let target = parse(reference)?;
        if target.digest().is_some() {
            return Err(ImageError::Reference {
                reference: reference.to_owned(),
                why: "images are pushed to a tag, not to a digest".to_owned(),
            });
        }
        self.allow(image, &target, Access::Push)?;
        Ok(target)
    }

    /// Checks a stored layout and brings everything but its manifest to its registry.
    ///
    /// # Errors
    /// When the layout is wrong, no rule allows its target or its base, or a registry refuses or fails.
    pub async fn prepare(&self, blobs: &Arc<dyn Blobs>, image: Image<'_>) -> Result<Prepared, ImageError> {
        let target = image.reference.as_deref();
        let target = target
            .map(|reference| self.target(&image, reference))
            .transpose()?;
        let layout = read(blobs, image.tar, image.size).await?;
        let Some(target) = target else {
            return Ok(Prepared {
                manifest: layout.manifest_bytes,
                place: None,
            });
        };
        let from = layout.manifest["annotations"][BASE_NAME].as_str();
        let from = from.map(parse).transpose()?;
        if let Some(from) = &from {
            self.allow(&image, from, Access::Pull)?;
        }
        let client = self.login("push", &target, RegistryOperation::Push).await?;
        let push = Push {
            client,
            target,
            blobs,
            tar: image.tar,
            layout: &layout,
        };
        let manifest = match from {
            None => {
                push.own_blobs(true).await?;
                layout.manifest_bytes.clone()
            }
            Some(from) => {
                let source = self.login("pull base", &from, RegistryOperation::Pull).await?;
                let base = base::pull(&source, &from, &layout.config).await?;
                push.base_layers(&source, &from, &base.manifest).await?;
                push.own_blobs(false).await?;
                let merged = merge(&base, &layout.manifest, &layout.config).map_err(ImageError::Layout)?;
                push.bytes(&merged.config_digest, merged.config).await?;
                merged.manifest
            }
        };
        Ok(Prepared {
            manifest,
            place: Some((push.client, push.target)),
        })
    }
}

/// An image of which only the manifest is missing in its registry.
pub struct Prepared {
    manifest: Vec<u8>,
    place: Option<(Client, Reference)>,
}

impl Prepared {
    /// Makes it visible under its tag.
    ///
    /// # Errors
    /// When the registry refuses or fails.
    pub async fn publish(self) -> Result<Pushed, ImageError> {
        let manifest = Digest::of(&self.manifest);
        let Some((client, target)) = self.place else {
            return Ok(Pushed {
                manifest,
                reference: None,
            });
        };
        let kind = http::HeaderValue::from_static(MANIFEST);
        client
            .push_manifest_raw(&target, self.manifest, kind)
            .await
            .map_err(failed("push the manifest of", &target))?;
        let (registry, repository) = (target.registry(), target.repository());
        Ok(Pushed {
            manifest,
            reference: Some(format!("{registry}/{repository}@{manifest}")),
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
}

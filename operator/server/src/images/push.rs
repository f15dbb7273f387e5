//! Pushes a stored layout to a registry, on its base if it names one. Repeating it changes nothing.

use std::path::PathBuf;
use std::sync::Arc;

use dcanary_guard::Guard;
use futures::TryStreamExt;
use oci_spec::distribution::{ParseError, Reference};
use serde_json::Value;

use super::documents::{Documents, Held};
use super::layout::{BASE_NAME, Layout, digest_of, read};
use super::links::{Looks, Own};
use super::merge::merge;
use super::registry::{AnswerTime, Problem, Repository, Way};
use super::rules::{Access, Rules};
use super::{Image, ImageError, Pushed, base, credentials};
use crate::digest::Digest;
use crate::store::blobs::Blobs;
use crate::store::fault::StoreFault;

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
    /// Registries may have link-local addresses.
    pub allow_link_local: bool,
    /// Time for their answers.
    pub answer_time: AnswerTime,
    /// PEM of further certificate authorities.
    pub authorities: Vec<Vec<u8>>,
    /// Memory for manifests and configs.
    pub documents: Documents,
    /// What images may not hide of their bases.
    pub looks: Looks,
}

fn parse(reference: &str) -> Result<Reference, ImageError> {
    reference
        .parse()
        .map_err(|error: ParseError| ImageError::Reference {
            reference: reference.to_owned(),
            why: error.to_string(),
        })
}

pub(super) fn failed(what: &'static str, reference: &Reference) -> impl FnOnce(Problem) -> ImageError {
    let reference = reference.to_string();
    move |problem| problem.of(what, reference)
}

impl Registries {
    /// A repository, with its login.
    async fn login(
        &self,
        what: &'static str,
        image: &Reference,
        access: Access,
    ) -> Result<Repository, ImageError> {
        let (dir, key) = (self.credentials.clone(), image.clone());
        let login = tokio::task::spawn_blocking(move || {
            credentials::find(dir.as_deref(), key.resolve_registry(), key.repository())
        })
        .await
        .map_err(|error| StoreFault::Failed(Box::new(error)))?;
        let way = Way {
            plain: self
                .insecure
                .iter()
                .any(|plain| plain == image.resolve_registry()),
            guard: Guard {
                allow_link_local: self.allow_link_local,
                switch: "server.registryAllowLinkLocal",
            },
            authorities: &self.authorities,
            answer_time: self.answer_time,
        };
        Repository::open(&way, image, login, access)
            .await
            .map_err(failed(what, image))
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
        let mut held = self.documents.hold();
        let layout = read(blobs, image.tar, image.size, &mut held).await?;
        let Some(target) = target else {
            return Ok(Prepared {
                manifest: layout.manifest_bytes,
                place: None,
                _held: held,
            });
        };
        let from = layout.manifest["annotations"][BASE_NAME].as_str();
        let from = from.map(parse).transpose()?;
        if let Some(from) = &from {
            self.allow(&image, from, Access::Pull)?;
        }
        let client = self.login("push", &target, Access::Push).await?;
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
                let source = self.login("pull base", &from, Access::Pull).await?;
                let base = base::pull(&source, &from, &layout.config, &mut held).await?;
                let own = Own {
                    blobs,
                    tar: image.tar,
                    layout: &layout,
                };
                let room = self.documents.hold();
                self.looks.check(&source, &from, &base, &own, room).await?;
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
            _held: held,
        })
    }
}

/// An image of which only the manifest is missing in its registry.
pub struct Prepared {
    manifest: Vec<u8>,
    place: Option<(Repository, Reference)>,
    _held: Held,
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
        client
            .tag(target.tag().unwrap_or("latest"), self.manifest)
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
    client: Repository,
    target: Reference,
    blobs: &'a Arc<dyn Blobs>,
    tar: &'a Digest,
    layout: &'a Layout,
}

impl Push<'_> {
    async fn exists(&self, digest: &Digest) -> Result<bool, ImageError> {
        let found = self.client.has(digest).await;
        found.map_err(failed("look for a layer of", &self.target))
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
            let pieces = self
                .blobs
                .get(self.tar, range.clone())
                .await
                .map_err(StoreFault::from)?;
            let pieces = pieces.map_err(|error| Problem::Store(error.into()));
            self.client
                .push(&digest, pieces)
                .await
                .map_err(failed("push a layer of", &self.target))?;
        }
        Ok(())
    }

    /// Layers of the base: there already, mounted from the same registry, or passed on without being stored here.
    async fn base_layers(
        &self,
        source: &Repository,
        from: &Reference,
        base: &Value,
    ) -> Result<(), ImageError> {
        for descriptor in base["layers"].as_array().into_iter().flatten() {
            let digest = digest_of(descriptor).map_err(|error| ImageError::Layout(error.to_string()))?;
            if self.exists(&digest).await? {
                continue;
            }
            if from.resolve_registry() == self.target.resolve_registry()
                && self
                    .client
                    .mount(&digest, from.repository())
                    .await
                    .is_ok_and(|mounted| mounted)
            {
                continue;
            }
            let size = descriptor["size"].as_u64();
            let size =
                size.ok_or_else(|| ImageError::Layout(format!("layer {digest} of the base has no size")))?;
            let pieces = source
                .layer(&digest, size)
                .await
                .map_err(failed("pull a layer of", from))?;
            self.client
                .push(&digest, pieces)
                .await
                .map_err(failed("push a layer of", &self.target))?;
        }
        Ok(())
    }

    async fn bytes(&self, digest: &Digest, bytes: Vec<u8>) -> Result<(), ImageError> {
        if !self.exists(digest).await? {
            let whole = futures::stream::iter([Ok(bytes.into())]);
            self.client
                .push(digest, whole)
                .await
                .map_err(failed("push the config of", &self.target))?;
        }
        Ok(())
    }
}

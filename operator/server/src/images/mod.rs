//! Images: checks an OCI layout, puts it on its base, pushes it.

pub mod base;
pub mod credentials;
pub mod documents;
pub mod layout;
pub mod links;
pub mod merge;
pub mod push;
pub mod registry;
pub mod rules;
pub mod text;

use tokio::sync::Semaphore;

use crate::digest::Digest;
use crate::names::Namespace;
use crate::store::fault::StoreFault;
pub use push::Registries;

/// Threads that wait for pieces of stored content. Each piece is read by a thread of the same pool: if these had all of them, none would come.
static READERS: Semaphore = Semaphore::const_new(16);

/// Does what may wait on a thread that may, when one of `places` is free.
async fn on_thread<T: Send + 'static>(
    places: &'static Semaphore,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreFault> {
    let place = places.acquire().await;
    let place = place.map_err(|closed| StoreFault::Failed(Box::new(closed)))?;
    let done = tokio::task::spawn_blocking(move || {
        // with the thread, which goes on when nobody waits any more
        let _place = place;
        work()
    });
    done.await.map_err(|error| StoreFault::Failed(Box::new(error)))
}

/// Why an image was not pushed.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The tar is no usable OCI layout.
    #[error("not an OCI image layout: {0}")]
    Layout(String),
    /// A blob of the layout has another digest than its name.
    #[error("blob {named} of the layout has digest {stored}")]
    Blob {
        /// Its name.
        named: Digest,
        /// Its digest.
        stored: Digest,
    },
    /// A reference cannot be read.
    #[error("reference {reference:?}: {why}")]
    Reference {
        /// The reference.
        reference: String,
        /// Why.
        why: String,
    },
    /// No rule lets the namespace do this.
    #[error(
        "namespace {namespace} may not {what} {repository}: no rule of the server allows it (--registry-rules)"
    )]
    Forbidden {
        /// The intention.
        what: &'static str,
        /// The repository.
        repository: String,
        /// Who.
        namespace: Namespace,
    },
    /// A directory would take the place of a symlink of the base.
    #[error("cannot put files on base {base}: {why}")]
    Hides {
        /// The base.
        base: String,
        /// Which entry, which symlink, and what to write instead.
        why: String,
    },
    /// A registry refused for good.
    #[error("cannot {what} {reference}: {why}")]
    Refused {
        /// The intention.
        what: &'static str,
        /// The image.
        reference: String,
        /// The answer of the registry.
        why: String,
    },
    /// A registry did not work; repeating may help.
    #[error("cannot {what} {reference}: {why}")]
    Registry {
        /// The intention.
        what: &'static str,
        /// The image.
        reference: String,
        /// What went wrong.
        why: String,
    },
    /// Other images have all the memory for manifests and configs.
    #[error("too many images are looked at and pushed at once; the request can be repeated")]
    Busy,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

impl ImageError {
    /// HTTP status and reason.
    pub fn reason(&self) -> (u16, &'static str) {
        match self {
            Self::Layout(_) | Self::Blob { .. } | Self::Reference { .. } | Self::Hides { .. } => {
                (422, "bad-image")
            }
            Self::Forbidden { .. } => (403, "repository-forbidden"),
            Self::Refused { .. } => (422, "registry-refused"),
            Self::Registry { .. } => (503, "registry"),
            Self::Busy => (503, "busy"),
            Self::Store(fault) => fault.reason(),
        }
    }
}

/// A stored layout that is to be pushed.
#[derive(Debug)]
pub struct Image<'a> {
    /// Who pushes it.
    pub namespace: &'a Namespace,
    /// The tar.
    pub tar: &'a Digest,
    /// Its size.
    pub size: u64,
    /// Where to; nowhere is checked only.
    pub reference: Option<String>,
}

/// A pushed image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Digest of its manifest.
    pub manifest: Digest,
    /// `repository@sha256:…`, when it was pushed anywhere.
    pub reference: Option<String>,
}

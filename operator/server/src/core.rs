//! What all requests share.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::attempts::Attempts;
use crate::attempts::record::Record;
use crate::auth::Cluster;
use crate::auth::cached::Readers;
use crate::digest::Digest;
use crate::images::Registries;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::names::Namespace;
use crate::reports::Reports;
use crate::session::TRADE_LOCKS;
use crate::store::Store;
use crate::store::fault::StoreFault;
use crate::store::op::Op;
use crate::sweep::usage::count;
use crate::uploads::Uploads;
use crate::usage::Usage;

/// Settings of a server that are no limits.
#[derive(Debug, Clone)]
pub struct Settings {
    /// User name of the operator: `system:serviceaccount:NAMESPACE:NAME`.
    pub operator: String,
    /// Answers about readers are kept this long.
    pub reader_cache: Duration,
    /// Data of runs that are gone are kept this long.
    pub retention: Duration,
    /// A stage whose newest attempt failed counts as over when no other attempt came for this long.
    pub retry_wait: Duration,
    /// A registry that fails for this long counts as one that refuses.
    pub registry_patience: Duration,
}

/// A server without its listeners.
pub struct Core {
    /// Files and content.
    pub store: Arc<Store>,
    /// Attempts.
    pub attempts: Attempts,
    /// The operator's list.
    pub reports: Reports,
    /// Uploads under way.
    pub uploads: Uploads,
    /// What is taken, for the limit on namespaces.
    pub usage: Usage,
    /// Limits.
    pub limits: Limits,
    /// Settings.
    pub settings: Settings,
    /// Metrics.
    pub metrics: Metrics,
    /// Kubernetes.
    pub cluster: Arc<dyn Cluster>,
    /// Reviews of readers.
    pub readers: Readers,
    /// Where images are pushed to.
    pub registries: Registries,
    /// One first trade at a time for an attempt.
    pub trades: Vec<tokio::sync::Mutex<()>>,
    /// The server stops.
    pub stopping: CancellationToken,
}

/// Content that a namespace may read: `grants/<namespace>/<hex>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// The content; another digest than the grant's for images.
    pub content: Digest,
    /// File name for downloads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
    /// Media type.
    pub media_type: String,
}

/// File of a [`Grant`].
pub fn grant_path(namespace: &Namespace, digest: &Digest) -> String {
    format!("grants/{namespace}/{}.json", digest.hex())
}

impl Core {
    /// Puts a server together. Blocking.
    ///
    /// # Errors
    /// When the volume fails.
    pub fn new(
        store: Arc<Store>,
        cluster: Arc<dyn Cluster>,
        registries: Registries,
        limits: Limits,
        settings: Settings,
        metrics: Metrics,
    ) -> std::io::Result<Self> {
        let usage = if limits.namespace_bytes > 0 {
            Usage::new(count(store.disk.as_ref())?)
        } else {
            Usage::default()
        };
        Ok(Self {
            usage,
            attempts: Attempts::new(Arc::clone(&store)),
            reports: Reports::open(Arc::clone(&store), metrics.clone())?,
            uploads: Uploads::default(),
            limits,
            readers: Readers::new(settings.reader_cache),
            settings,
            metrics,
            cluster,
            registries,
            trades: std::iter::repeat_with(tokio::sync::Mutex::default)
                .take(TRADE_LOCKS)
                .collect(),
            stopping: CancellationToken::new(),
            store,
        })
    }

    /// The change that lets a namespace read some content under a digest.
    pub fn grant(
        &self,
        record: &Record,
        digest: &Digest,
        content: &Digest,
        file_name: Option<String>,
        media_type: &str,
    ) -> Op {
        let grant = Grant {
            content: *content,
            file_name,
            media_type: media_type.to_owned(),
        };
        Op::Replace {
            path: grant_path(&record.namespace, digest),
            bytes: serde_json::to_vec(&grant).unwrap_or_default(),
        }
    }

    /// What a namespace may read under a digest.
    ///
    /// # Errors
    /// When the volume fails.
    pub async fn granted(&self, namespace: &Namespace, digest: &Digest) -> Result<Option<Grant>, StoreFault> {
        let found = self.store.read(grant_path(namespace, digest)).await?;
        Ok(found
            .map(|bytes| serde_json::from_slice(&bytes))
            .transpose()
            .map_err(std::io::Error::from)?)
    }
}

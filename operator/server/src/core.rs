//! What all requests share.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::attempts::Attempts;
use crate::auth::Cluster;
use crate::auth::cached::Readers;
use crate::grants::GRANT_LOCKS;
use crate::images::Registries;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::reports::Reports;
use crate::session::TRADE_LOCKS;
use crate::store::Store;
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
    /// One decision at a time on what a namespace may read.
    pub granting: Vec<tokio::sync::Mutex<()>>,
    /// The server stops.
    pub stopping: CancellationToken,
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
            granting: std::iter::repeat_with(tokio::sync::Mutex::default)
                .take(GRANT_LOCKS)
                .collect(),
            stopping: CancellationToken::new(),
            store,
        })
    }
}

//! Metrics, with base units, all beginning with `dcanary_server_`.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::store::disk::Room;

/// Labels of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// Route template.
    pub route: String,
    /// Status code.
    pub status: u16,
}

/// Label for how something went.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResultLabels {
    /// `ok` or the reason of a refusal.
    pub result: String,
}

/// Metrics of the store.
#[derive(Debug, Clone)]
pub struct StoreMetrics {
    commits: Counter,
    commit_changes: Counter,
    commit_seconds: Histogram,
    available: Gauge,
    total: Gauge,
    full: Gauge,
}

impl StoreMetrics {
    /// One group commit.
    pub fn commit(&self, changes: usize, took: Duration) {
        self.commits.inc();
        self.commit_changes.inc_by(changes as u64);
        self.commit_seconds.observe(took.as_secs_f64());
    }

    /// Space of the volume.
    pub fn room(&self, room: Room) {
        self.available
            .set(i64::try_from(room.available).unwrap_or(i64::MAX));
        self.total.set(i64::try_from(room.total).unwrap_or(i64::MAX));
    }

    /// Whether the store refuses what build Pods send.
    pub fn full(&self, full: bool) {
        self.full.set(i64::from(full));
    }

    /// Group commits so far.
    pub fn commits(&self) -> u64 {
        self.commits.get()
    }

    /// Changes committed so far.
    pub fn changes(&self) -> u64 {
        self.commit_changes.get()
    }
}

/// All metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// The store.
    pub store: StoreMetrics,
    /// Frames stored.
    pub frames: Counter,
    /// Bytes of artifacts received.
    pub upload_bytes: Counter,
    /// Final reports stored.
    pub reports: Counter,
    /// Reports that the operator has not acknowledged.
    pub reports_waiting: Gauge,
    /// Times that a stored report could not be decoded.
    pub reports_unreadable: Counter,
    /// Trades of tokens.
    pub sessions: Family<ResultLabels, Counter>,
    /// Images pushed.
    pub image_pushes: Family<ResultLabels, Counter>,
    /// Connections closed for lack of a place.
    pub connections_refused: Counter,
    /// Requests.
    pub requests: Family<RequestLabels, Counter>,
    /// Times of requests until the answer begins.
    pub request_seconds: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("dcanary_server");
        let seconds = || Histogram::new(exponential_buckets(0.000_5, 2.0, 15));
        let store = StoreMetrics {
            commits: Counter::default(),
            commit_changes: Counter::default(),
            commit_seconds: seconds(),
            available: Gauge::default(),
            total: Gauge::default(),
            full: Gauge::default(),
        };
        let metrics = Self {
            registry: Arc::default(),
            store,
            frames: Counter::default(),
            upload_bytes: Counter::default(),
            reports: Counter::default(),
            reports_waiting: Gauge::default(),
            reports_unreadable: Counter::default(),
            sessions: Family::default(),
            image_pushes: Family::default(),
            connections_refused: Counter::default(),
            requests: Family::default(),
            request_seconds: seconds(),
        };
        let s = &metrics.store;
        registry.register("commits", "Group commits", s.commits.clone());
        registry.register(
            "commit_changes",
            "Changes in group commits",
            s.commit_changes.clone(),
        );
        registry.register_with_unit(
            "commit_duration",
            "Time of a group commit",
            Unit::Seconds,
            s.commit_seconds.clone(),
        );
        registry.register_with_unit(
            "volume_available",
            "Free space of the volume",
            Unit::Bytes,
            s.available.clone(),
        );
        registry.register_with_unit("volume_size", "Size of the volume", Unit::Bytes, s.total.clone());
        registry.register(
            "store_full",
            "1 while frames and uploads are refused because the volume is full",
            s.full.clone(),
        );
        registry.register("frames", "Frames stored", metrics.frames.clone());
        registry.register_with_unit(
            "uploads_received",
            "Bytes of artifacts",
            Unit::Bytes,
            metrics.upload_bytes.clone(),
        );
        registry.register("reports", "Final reports stored", metrics.reports.clone());
        registry.register(
            "reports_waiting",
            "Reports not acknowledged",
            metrics.reports_waiting.clone(),
        );
        registry.register(
            "reports_unreadable",
            "Times that a stored report could not be decoded and was left out",
            metrics.reports_unreadable.clone(),
        );
        registry.register("sessions", "Trades of tokens", metrics.sessions.clone());
        registry.register("image_pushes", "Images pushed", metrics.image_pushes.clone());
        registry.register(
            "connections_refused",
            "Connections closed because their address or strangers had all places that they may have",
            metrics.connections_refused.clone(),
        );
        registry.register("requests", "Requests", metrics.requests.clone());
        registry.register_with_unit(
            "request_duration",
            "Time until an answer begins",
            Unit::Seconds,
            metrics.request_seconds.clone(),
        );
        Self {
            registry: Arc::new(registry),
            ..metrics
        }
    }
}

impl Metrics {
    /// The text that Prometheus reads.
    ///
    /// # Errors
    /// When a metric cannot be written.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// Counts how something went.
    pub fn count(family: &Family<ResultLabels, Counter>, result: &str) {
        family
            .get_or_create(&ResultLabels {
                result: result.to_owned(),
            })
            .inc();
    }
}

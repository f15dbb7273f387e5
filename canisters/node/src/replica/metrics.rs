//! Figures of a node, in the text format of Prometheus. Labels never name a canister or a principal: strangers choose those.

use crate::exec::memory::footprint;
use crate::meter;
use crate::state::State;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Labels of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The path with `{id}` for an id; `pages` for what goes to canisters.
    pub endpoint: String,
    /// The status code.
    pub status: u16,
}

/// Label of what canisters executed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

/// Label of a quota.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct QuotaLabels {
    /// `messages` or `pending`.
    pub quota: &'static str,
}

/// Refusals by quota.
pub type Refusals = Family<QuotaLabels, Counter>;

/// For what a canister runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Messages, callbacks and timers in batches.
    Batch,
    /// Queries.
    Query,
    /// Inspections of messages.
    Inspection,
}

/// All figures of a node.
#[derive(Clone)]
pub struct Metrics {
    /// Requests over HTTP.
    pub requests: Family<RequestLabels, Counter>,
    /// Refusals by quota.
    pub refusals: Refusals,
    /// Connections that were closed at once because their peer had its share.
    pub crowded: Counter,
    batches: Counter,
    messages: Counter,
    executions: Family<KindLabels, Counter>,
    instructions: Family<KindLabels, Counter>,
    sync: Histogram,
    log: Gauge,
    state: Gauge,
    canisters: Gauge,
    queries: Gauge,
    registry: Arc<Registry>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("dcanary_node");
        let requests = Family::default();
        registry.register("http_requests", "Requests over HTTP", requests.clone());
        let refusals = Family::default();
        registry.register("quota_refusals", "Refusals by quota", refusals.clone());
        let crowded = Counter::default();
        registry.register(
            "connections_refused",
            "Connections closed at once because their peer had half of all",
            crowded.clone(),
        );
        let batches = Counter::default();
        registry.register("batches", "Batches executed", batches.clone());
        let messages = Counter::default();
        registry.register("messages", "Ingress messages executed", messages.clone());
        let executions = Family::default();
        registry.register("executions", "Times that a canister ran", executions.clone());
        let instructions = Family::default();
        registry.register("instructions", "Instructions executed", instructions.clone());
        let sync = Histogram::new(exponential_buckets(0.000_1, 2.0, 16));
        registry.register_with_unit(
            "sync",
            "Time in which a batch was written and synced",
            Unit::Seconds,
            sync.clone(),
        );
        let [log, state, canisters, queries] = std::array::from_fn(|_| Gauge::default());
        registry.register_with_unit(
            "log",
            "Size of the log segment that is written",
            Unit::Bytes,
            log.clone(),
        );
        registry.register_with_unit(
            "state",
            "What canisters hold, as it counts against the memory limit",
            Unit::Bytes,
            state.clone(),
        );
        registry.register("canisters", "Canisters", canisters.clone());
        registry.register("queries", "Queries under way", queries.clone());
        Self {
            requests,
            refusals,
            crowded,
            batches,
            messages,
            executions,
            instructions,
            sync,
            log,
            state,
            canisters,
            queries,
            registry: Arc::new(registry),
        }
    }
}

fn gauge(gauge: &Gauge, value: u64) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

impl Metrics {
    /// A batch was executed, with so many messages.
    pub fn batch(&self, messages: usize) {
        self.batches.inc();
        self.messages.inc_by(messages as u64);
        self.executed(Kind::Batch);
    }

    /// A batch became durable in so much time, and the log segment has so many bytes now.
    pub fn synced(&self, took: Duration, segment: u64) {
        self.sync.observe(took.as_secs_f64());
        gauge(&self.log, segment);
    }

    /// Counts what the present thread has executed since it was asked last.
    pub fn executed(&self, kind: Kind) {
        let executed = meter::take();
        let labels = KindLabels {
            kind: match kind {
                Kind::Batch => "batch",
                Kind::Query => "query",
                Kind::Inspection => "inspection",
            },
        };
        self.executions.get_or_create(&labels).inc_by(executed.executions);
        self.instructions
            .get_or_create(&labels)
            .inc_by(executed.instructions);
    }

    /// The text that a scrape gets.
    ///
    /// # Errors
    /// When a figure cannot be written.
    pub fn text(&self, state: &State, queries: u64) -> Result<String, fmt::Error> {
        let sizes = || state.canisters.iter().map(|(_, canister)| footprint(canister));
        gauge(&self.state, sizes().fold(0, u64::saturating_add));
        gauge(&self.canisters, sizes().count() as u64);
        gauge(&self.queries, queries);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

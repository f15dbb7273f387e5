//! Figures, in the Prometheus text format. Labels never name a run, a Pod or a release.

use std::sync::Arc;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

/// Labels of reconcile figures.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    /// Kind.
    pub kind: &'static str,
    /// What happened.
    pub reason: &'static str,
}

/// Labels of figures of runs and rollouts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Ended {
    /// `Succeeded`, `Failed`, …
    pub outcome: String,
}

/// Label of the figure that says why nothing can be recorded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Why {
    /// Reason of the ledger's error, as in the condition `Recorded`.
    pub reason: &'static str,
}

/// All figures of the operator.
#[derive(Clone)]
pub struct Metrics {
    /// Time of one reconcile.
    pub reconcile: Histogram,
    /// Errors by kind and reason.
    pub errors: Family<Reason, Counter>,
    /// Ended runs.
    pub runs: Family<Ended, Counter>,
    /// Ended rollouts.
    pub rollouts: Family<Ended, Counter>,
    /// Effects carried out.
    pub effects: Family<Reason, Counter>,
    /// Status writes that met a newer object.
    pub conflicts: Counter,
    /// Journal records that wait.
    pub journal_pending: Gauge,
    /// Contradictions that the ledger showed.
    pub ledger_forks: Counter,
    /// 1 while nothing can be recorded, by reason.
    pub ledger_away: Family<Why, Gauge>,
    registry: Arc<Registry>,
}

impl Metrics {
    /// Registers everything.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("dcanary");
        let reconcile = Histogram::new(exponential_buckets(0.000_1, 2.0, 16));
        let (errors, runs, rollouts, effects) = (
            Family::default(),
            Family::default(),
            Family::default(),
            Family::default(),
        );
        let (conflicts, journal_pending, ledger_forks) =
            (Counter::default(), Gauge::default(), Counter::default());
        registry.register_with_unit(
            "reconcile",
            "Time of one reconcile",
            Unit::Seconds,
            reconcile.clone(),
        );
        registry.register("reconcile_errors", "Reconciles that failed", errors.clone());
        registry.register("runs", "Runs that ended", runs.clone());
        registry.register("rollouts", "Rollouts that ended", rollouts.clone());
        registry.register("effects", "Effects carried out", effects.clone());
        registry.register(
            "status_conflicts",
            "Status writes that met a newer object",
            conflicts.clone(),
        );
        registry.register(
            "journal_pending_records",
            "Records that are not on chain yet",
            journal_pending.clone(),
        );
        registry.register(
            "ledger_forks",
            "Contradictions that the ledger showed",
            ledger_forks.clone(),
        );
        let ledger_away = Family::default();
        registry.register(
            "ledger_away",
            "1 while nothing can be recorded, by reason",
            ledger_away.clone(),
        );
        Self {
            reconcile,
            errors,
            runs,
            rollouts,
            effects,
            conflicts,
            journal_pending,
            ledger_forks,
            ledger_away,
            registry: Arc::new(registry),
        }
    }

    /// The text that a scrape gets.
    pub fn text(&self) -> String {
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(error) => format!("# {error}\n"),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

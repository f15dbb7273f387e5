//! What is measured, and what it says.
//!
//! ```text
//! Analysis ─ resolve ─▶ metrics ─ advance ─▶ Effect::Measure ┄┄ shell ┄┄▶ Seen::measurements
//!                                    │                                        │
//!              verdict ◀─ rules ◀────┴── sample (success, failure) ◀──────────┘
//! status ─ evidence ─▶ one JSON document ─ replay ─▶ the same verdict, from the document alone
//! ```
//! A sample is judged from the text that is kept of its values, never from something that is kept nowhere: so what is judged here and what
//! is judged again from the evidence is the same by construction.

mod advance;
mod definition;
mod error;
mod evidence;
mod replay;
mod resolve;
mod sample;
mod say;
mod validate;
mod verdict;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use advance::{Advance, advance, conclude, enough, restart, shorten, without_a_good_sample};
pub use error::AnalysisError;
pub use evidence::{FORMAT, evidence};
pub use replay::{Difference, ReplayError, Replayed, ReplayedMetric, ReplayedSample, replay};
pub use resolve::metrics;
pub use sample::Judge;
pub use validate::{json_path_shape, validate};
pub use verdict::{Counts, Part, Rules, whole};

/// Name of the analysis of the whole rollout: the only one that is not decided by the number of its samples.
pub const BACKGROUND: &str = "background";
/// Metrics of one analysis, those of its templates included.
pub const METRICS: usize = 20;
/// Samples of a metric that are kept.
pub const SAMPLES: usize = 200;
/// Bytes of the samples of a metric that are kept: a status has to fit into one object.
pub const SAMPLES_BYTES: usize = 32 * 1024;
/// Longest value of a sample as JSON text.
pub const VALUE_BYTES: usize = 1024;

/// What `$(…)` in queries and URLs stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vars {
    /// `$(release)`: the candidate.
    pub release: String,
    /// `$(release)` where the baseline is measured.
    pub stable: Option<String>,
    /// `$(environment)`
    pub environment: String,
    /// `$(namespace)`
    pub namespace: String,
    /// `$(image_<name>)`; `$(image)` when there is one.
    pub images: BTreeMap<String, String>,
}

//! What the schema cannot say about an Environment.

use dcanary_crds::EnvironmentSpec;
use thiserror::Error;

use super::steps::{self, Step};
use crate::{
    analysis::{self, AnalysisError},
    wanted::{FreezeError, validate_freeze},
};

/// A spec that is not followed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SpecError {
    /// Weights that go down.
    #[error(
        "spec.strategy.canary.steps[{step}].weight is {weight}, less than {before} in an earlier step: weights must not go down"
    )]
    Weights {
        /// Index of the step.
        step: usize,
        /// Its weight.
        weight: i32,
        /// The earlier one.
        before: i32,
    },
    /// A freeze window.
    #[error("spec.freeze: {0}")]
    Freeze(#[from] FreezeError),
    /// An analysis.
    #[error("{place}: {source}")]
    Analysis {
        /// Where in the spec.
        place: String,
        /// What is wrong.
        source: AnalysisError,
    },
    /// In place with more than one way.
    #[error(
        "spec.workload.ref takes over a Deployment release by release: give strategy.canary or strategy.blueGreen, or write workload.template"
    )]
    AdoptedInPlace,
}

impl SpecError {
    /// One CamelCase word.
    pub const fn reason(&self) -> &'static str {
        "InvalidSpec"
    }
}

/// Looks through the spec.
///
/// # Errors
/// The first mistake, with its place.
pub fn validate(spec: &EnvironmentSpec) -> Result<(), SpecError> {
    let mut before = 0;
    if let Some(canary) = &spec.strategy.canary {
        for (step, weight) in canary.steps.iter().enumerate() {
            let Some(weight) = weight.weight else { continue };
            if weight < before {
                return Err(SpecError::Weights { step, weight, before });
            }
            before = weight;
        }
    }
    if spec.workload.reference.is_some()
        && spec.strategy.canary.is_none()
        && spec.strategy.blue_green.is_none()
    {
        return Err(SpecError::AdoptedInPlace);
    }
    validate_freeze(&spec.freeze)?;
    let named = steps::steps(spec).into_iter().filter_map(|step| match step {
        Step::Analysis { name, analysis } => Some((format!("spec.strategy, analysis {name}"), analysis)),
        _ => None,
    });
    let background = spec
        .analysis
        .iter()
        .map(|analysis| ("spec.analysis".to_owned(), analysis));
    let post = steps::post_promotion(spec).map(|analysis| {
        (
            "spec.strategy.blueGreen.postPromotionAnalysis".to_owned(),
            analysis,
        )
    });
    for (place, found) in named.chain(background).chain(post) {
        analysis::validate(found).map_err(|source| SpecError::Analysis { place, source })?;
    }
    Ok(())
}

//! The steps of a strategy, in one form.

use dcanary_crds::{Analysis, EnvironmentSpec};

/// Name of the analysis before the switch.
pub const PRE_PROMOTION: &str = "prePromotion";
/// Name of the analysis after the switch.
pub const POST_PROMOTION: &str = "postPromotion";

/// A step between the first ready Pods of the candidate and all traffic.
#[derive(Debug, Clone, PartialEq)]
pub enum Step<'a> {
    /// Percent of requests.
    Weight(i32),
    /// Wait so many seconds, or for a person.
    Pause(Option<u64>),
    /// Measure.
    Analysis {
        /// Name in the status.
        name: String,
        /// What.
        analysis: &'a Analysis,
    },
    /// Pods of the candidate.
    Replicas(&'a str),
    /// Percent of mirrored requests.
    Mirror(i32),
}

/// The steps of an Environment.
pub fn steps(spec: &EnvironmentSpec) -> Vec<Step<'_>> {
    if let Some(canary) = &spec.strategy.canary {
        return canary
            .steps
            .iter()
            .enumerate()
            .filter_map(|(index, step)| {
                if let Some(weight) = step.weight {
                    Some(Step::Weight(weight))
                } else if let Some(pause) = &step.pause {
                    Some(Step::Pause(pause.duration.map(dcanary_crds::Duration::as_secs)))
                } else if let Some(analysis) = &step.analysis {
                    Some(Step::Analysis {
                        name: format!("step-{index}"),
                        analysis,
                    })
                } else if let Some(replicas) = &step.replicas {
                    Some(Step::Replicas(replicas))
                } else {
                    step.mirror.map(Step::Mirror)
                }
            })
            .collect();
    }
    let mut steps = Vec::new();
    if let Some(blue_green) = &spec.strategy.blue_green {
        if let Some(analysis) = &blue_green.pre_promotion_analysis {
            steps.push(Step::Analysis {
                name: PRE_PROMOTION.to_owned(),
                analysis,
            });
        }
        if !blue_green.auto_promote {
            steps.push(Step::Pause(None));
        }
    }
    let partition = spec
        .strategy
        .rolling
        .as_ref()
        .and_then(|rolling| rolling.partition);
    if partition.is_some_and(|partition| partition > 0) {
        steps.push(Step::Pause(None));
    }
    steps
}

/// The analysis after all traffic is on the release.
pub fn post_promotion(spec: &EnvironmentSpec) -> Option<&Analysis> {
    spec.strategy
        .blue_green
        .as_ref()?
        .post_promotion_analysis
        .as_ref()
}

/// Weights of the steps before one, without repeats, the highest first.
pub fn passed_weights(steps: &[Step<'_>], step: usize) -> Vec<i32> {
    let mut weights: Vec<i32> = steps
        .iter()
        .take(step)
        .filter_map(|step| match step {
            Step::Weight(weight) => Some(*weight),
            _ => None,
        })
        .collect();
    weights.sort_unstable_by_key(|weight| std::cmp::Reverse(*weight));
    weights.dedup();
    weights
}

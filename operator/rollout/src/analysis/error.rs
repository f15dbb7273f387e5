//! What is wrong with an analysis.

use dcanary_expr::ConditionError;
use thiserror::Error;

use super::METRICS;

/// An analysis that cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AnalysisError {
    /// A template is not there.
    #[error("{kind} `{name}` is not there: create it, or correct `analysis.templates`")]
    TemplateMissing {
        /// `Template` or `ClusterTemplate`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A template has no metrics.
    #[error("template `{0}` has no metrics")]
    TemplateEmpty(String),
    /// A parameter has neither value nor default.
    #[error("template `{template}` needs a value for its parameter `{param}`: give it in `params`")]
    ParamMissing {
        /// The template.
        template: String,
        /// The parameter.
        param: String,
    },
    /// A value is given for a parameter that the template does not have.
    #[error("template `{template}` has no parameter `{param}`; it has {known}")]
    ParamUnknown {
        /// The template.
        template: String,
        /// The parameter.
        param: String,
        /// Those that it has.
        known: String,
    },
    /// There is nothing to measure.
    #[error("the analysis has no metrics: give `metrics` or `templates`")]
    Empty,
    /// There are too many metrics.
    #[error("the analysis has {0} metrics with those of its templates; at most {METRICS} are measured")]
    TooMany(usize),
    /// Two metrics have one name.
    #[error("two metrics are called `{0}`: names are unique in an analysis, those of its templates included")]
    Duplicate(String),
    /// `$(…)` that stands for nothing.
    #[error(
        "metric `{metric}`, {field}: `$({text})` is not known; known are {known} (`$$(` for a plain `$(`)"
    )]
    Reference {
        /// The metric.
        metric: String,
        /// The field.
        field: &'static str,
        /// What was written.
        text: String,
        /// What may be.
        known: String,
    },
    /// A condition that cannot be evaluated.
    #[error("metric `{metric}`, {field}: {source}")]
    Condition {
        /// The metric.
        metric: String,
        /// `success` or `failure`.
        field: &'static str,
        /// What is wrong.
        source: ConditionError,
    },
    /// Another field is wrong.
    #[error("metric `{metric}`: {problem}")]
    Metric {
        /// The metric.
        metric: String,
        /// What is wrong, and what to write.
        problem: String,
    },
}

impl AnalysisError {
    /// One CamelCase word for conditions and Events.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TemplateMissing { .. } => "TemplateNotFound",
            Self::TemplateEmpty(_) | Self::ParamMissing { .. } | Self::ParamUnknown { .. } => {
                "TemplateInvalid"
            }
            _ => "AnalysisInvalid",
        }
    }

    /// Whether another object may still come that settles it.
    pub fn waits(&self) -> bool {
        matches!(self, Self::TemplateMissing { .. })
    }

    pub(super) fn metric(metric: &str, problem: impl Into<String>) -> Self {
        Self::Metric {
            metric: metric.to_owned(),
            problem: problem.into(),
        }
    }
}

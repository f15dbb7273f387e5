//! Whether a step runs.

use dcanary_protocol::plan::{Plan, StepPlan};
use dcanary_protocol::report::StepReport;
use thiserror::Error;

/// A condition that gives no answer; the step fails.
#[derive(Debug, Error)]
#[error("its `if` cannot be evaluated: {0}")]
pub(crate) struct ConditionError(String);

/// Evaluates `if`; without one a step runs when no earlier step failed.
pub(crate) fn holds(
    step: &StepPlan,
    plan: &Plan,
    earlier: &[StepReport],
    failed: bool,
) -> Result<bool, ConditionError> {
    let Some(expression) = &step.condition else { return Ok(!failed) };
    let _ = (plan, earlier);
    match expression.trim() {
        "always()" => Ok(true),
        "failure()" => Ok(failed),
        "success()" => Ok(!failed),
        other => Err(ConditionError(format!("`{other}` is not understood"))),
    }
}

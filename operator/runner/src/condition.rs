//! Whether a step runs.

use std::collections::BTreeMap;

use dcanary_expr::{Condition, ConditionError, Status};
use dcanary_protocol::plan::{Plan, StepPlan};
use dcanary_protocol::report::StepReport;
use serde_json::{Map, Value, json};

/// Names with which a condition speaks about earlier steps itself.
const ABOUT_STEPS: [&str; 4] = ["always(", "failure(", "success(", "steps"];

/// Evaluates `if`. Without one, or with one that says nothing about earlier steps, a step runs only when none of them failed.
pub(crate) fn holds(
    step: &StepPlan,
    plan: &Plan,
    earlier: &[StepReport],
    failed: bool,
) -> Result<bool, ConditionError> {
    let Some(source) = &step.condition else {
        return Ok(!failed);
    };
    let condition = Condition::parse(source)?;
    let squeezed: String = source
        .chars()
        .filter(|character| !character.is_whitespace())
        .collect();
    if failed && !ABOUT_STEPS.iter().any(|name| squeezed.contains(name)) {
        return Ok(false);
    }
    let mut variables: BTreeMap<String, Value> = plan.variables.clone();
    variables.insert("steps".to_owned(), outcomes(earlier));
    condition.evaluate(&variables, if failed { Status::Failure } else { Status::Success })
}

fn outcomes(earlier: &[StepReport]) -> Value {
    let outcome = |step: &StepReport| (step.name.clone(), json!({"outcome": step.outcome}));
    Value::Object(earlier.iter().map(outcome).collect::<Map<_, _>>())
}

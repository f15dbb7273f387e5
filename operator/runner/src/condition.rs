//! Whether a step runs.

use std::collections::BTreeMap;

use dcanary_expr::{Condition, ConditionError, Status};
use dcanary_protocol::plan::{Plan, StepPlan};
use dcanary_protocol::report::StepReport;
use serde_json::{Map, Value, json};

/// Names with which a condition speaks about earlier steps itself.
const ABOUT_STEPS: [&str; 4] = ["always", "failure", "success", "steps"];

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
    if failed && !is_about_steps(&condition) {
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

/// Whether a condition speaks about earlier steps itself.
fn is_about_steps(condition: &Condition) -> bool {
    let uses = condition.uses();
    let mut names = uses.roots.iter().chain(&uses.functions);
    names.any(|name| ABOUT_STEPS.contains(&name.as_str()))
}

#[cfg(test)]
mod tests {
    use dcanary_expr::typed::STEP_OUTCOMES;

    use super::*;

    #[test]
    fn every_outcome_of_a_step_is_a_word_that_conditions_know() {
        use dcanary_protocol::report::StepOutcome::{Failed, Killed, Skipped, Succeeded, TimedOut};
        for outcome in [Succeeded, Failed, Skipped, TimedOut, Killed] {
            match outcome {
                // one that is new has to be in the list above, too
                Succeeded | Failed | Skipped | TimedOut | Killed => {}
            }
            let word = serde_json::to_value(outcome).unwrap();
            assert!(STEP_OUTCOMES.contains(&word.as_str().unwrap()), "{word}");
        }
    }

    #[test]
    fn names_in_literals_fields_and_comments_say_nothing_about_steps() {
        let about = |source: &str| is_about_steps(&Condition::parse(source).unwrap());
        for source in [
            r#"params.kind == "steps""#,
            r"params.kind == 'failure()'",
            r#"params.steps == "1""#,
            r#"params . steps == "1""#,
            r#"params.a == "\" always() \"""#,
            r#"params.a == r"\" && params.b == "steps""#,
            "params.a == \"\"\"x\n steps \"\"\"",
            "params.a == '1' // steps",
            "mysteps_ == 1",
        ] {
            assert!(!about(source), "{source}");
        }
        for source in [
            "always()",
            "always ( ) && params.a == '1'",
            "params.a == 'x' || failure()",
            r#"steps["build"].outcome == "failed""#,
            r#"params.a == "\\" && steps.b.outcome == "failed""#,
            "!success()",
        ] {
            assert!(about(source), "{source}");
        }
    }
}

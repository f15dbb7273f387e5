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
    if failed && !names(source).iter().any(|name| ABOUT_STEPS.contains(name)) {
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

/// Names that stand for themselves: neither fields behind a dot nor parts of string literals.
fn names(source: &str) -> Vec<&str> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let mut names = Vec::new();
    let mut rest = source;
    let mut behind_dot = false;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|character| !is_part(character)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let raw = word.contains(['r', 'R']);
        if after.starts_with(['"', '\'']) && word.chars().all(|letter| "rRbB".contains(letter)) {
            rest = after_literal(after, raw);
            behind_dot = false;
        } else if end > 0 {
            if !behind_dot {
                names.push(word);
            }
            rest = after;
            behind_dot = false;
        } else if rest.starts_with("//") {
            rest = rest.find('\n').map_or("", |at| &rest[at..]);
        } else {
            if !first.is_whitespace() {
                behind_dot = first == '.';
            }
            rest = &rest[first.len_utf8()..];
        }
    }
    names
}

/// What follows a string literal that begins with its quote. The parser has taken the text already, so the literal ends.
fn after_literal(text: &str, raw: bool) -> &str {
    let mark = &text[..1];
    let triple = mark.repeat(3);
    let mark = if text.starts_with(&triple) {
        triple.as_str()
    } else {
        mark
    };
    let mut rest = &text[mark.len()..];
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(mark) {
            return after;
        }
        let mut characters = rest.chars();
        if characters.next() == Some('\\') && !raw {
            characters.next();
        }
        rest = characters.as_str();
    }
    rest
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
        let about = |source: &str| names(source).iter().any(|name| ABOUT_STEPS.contains(name));
        for source in [
            r#"params.kind == "steps""#,
            r"params.kind == 'failure()'",
            r#"params.steps == "1""#,
            r#"params . steps == "1""#,
            r#"params.a == "\" always() \"""#,
            r#"params.a == r"\" && params.b == "steps""#,
            "params.a == \"\"\"x\" steps \"\"\"",
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

//! What can be told of the values in a condition without evaluating it. All values of a run are text, so that a parameter alone never is
//! true or false, and an outcome is one of few words.

use kube_cel::cel::{
    IdedExpr,
    common::ast::{Expr, LiteralValue, operators},
};

/// Outcomes of a stage as conditions see them; empty while it has not ended.
pub const STAGE_OUTCOMES: [&str; 5] = ["succeeded", "failed", "skipped", "cancelled", ""];
/// Outcomes of a step as conditions of later steps see them.
pub const STEP_OUTCOMES: [&str; 5] = ["succeeded", "failed", "skipped", "timedOut", "killed"];

/// Something in a condition that can never be as it is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mistyped {
    /// Text, a number or a list where true or false is needed.
    NotBoolean {
        /// What is written there, if it is a value with a name.
        written: Option<String>,
        /// What it is.
        kind: &'static str,
    },
    /// A word that no outcome is.
    NoOutcome {
        /// The word.
        word: String,
        /// The words that there are.
        outcomes: &'static [&'static str],
    },
    /// Text that is compared with what is no text.
    NoText {
        /// The text as it is written.
        written: String,
        /// What it is compared with, as text.
        with: String,
    },
}

/// The first mistake in a condition.
pub(crate) fn mistyped(expression: &IdedExpr) -> Option<Mistyped> {
    boolean(expression)
}

/// What is wrong with an expression that has to be true or false.
fn boolean(expression: &IdedExpr) -> Option<Mistyped> {
    if let Expr::Call(call) = &expression.expr {
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT, args) => {
                return args.iter().find_map(boolean);
            }
            (operators::CONDITIONAL, [condition, yes, no]) => {
                return [condition, yes, no].into_iter().find_map(boolean);
            }
            (operators::EQUALS | operators::NOT_EQUALS, [left, right]) => {
                return compared(left, right).or_else(|| compared(right, left));
            }
            (
                operators::GREATER | operators::GREATER_EQUALS | operators::LESS | operators::LESS_EQUALS,
                [left, right],
            ) => {
                return no_text(left, right).or_else(|| no_text(right, left));
            }
            (operators::IN, [outcome, list]) => {
                let Expr::List(list) = &list.expr else { return None };
                return list.elements.iter().find_map(|one| compared(outcome, one));
            }
            _ => {}
        }
    }
    let kind = other_than_boolean(expression)?;
    Some(Mistyped::NotBoolean {
        written: path(expression),
        kind,
    })
}

/// What a value surely is, when it is neither true nor false.
fn other_than_boolean(expression: &IdedExpr) -> Option<&'static str> {
    match &expression.expr {
        Expr::Literal(LiteralValue::String(_)) => Some("text"),
        Expr::Literal(LiteralValue::Int(_) | LiteralValue::UInt(_) | LiteralValue::Double(_)) => {
            Some("a number")
        }
        Expr::Literal(LiteralValue::Null) => Some("null"),
        Expr::List(_) => Some("a list"),
        Expr::Call(call) => match call.func_name.as_str() {
            "string" => Some("text"),
            "int" | "uint" | "double" | "size" => Some("a number"),
            _ => value(expression),
        },
        _ => value(expression),
    }
}

/// Whether it is `has(a.b)`, a selection that tests and is true or false.
fn is_test(expression: &IdedExpr) -> bool {
    matches!(&expression.expr, Expr::Select(select) if select.test)
}

/// What a value of a run is: `params.x`, `source.x` and `run.x` are text, as are outcomes and results of a stage.
fn value(expression: &IdedExpr) -> Option<&'static str> {
    let names = names(expression).filter(|_| !is_test(expression))?;
    match names.as_slice() {
        ["params" | "source" | "run", _]
        | ["stages" | "steps", _, "outcome"]
        | ["stages", _, "results", _] => Some("text"),
        _ => None,
    }
}

/// Text that is compared with a number or a truth value, to which it is never equal.
fn no_text(text: &IdedExpr, with: &IdedExpr) -> Option<Mistyped> {
    value(text)?;
    let with = match &with.expr {
        Expr::Literal(LiteralValue::Boolean(value)) => value.inner().to_string(),
        Expr::Literal(LiteralValue::Int(value)) => value.inner().to_string(),
        Expr::Literal(LiteralValue::UInt(value)) => value.inner().to_string(),
        Expr::Literal(LiteralValue::Double(value)) => value.inner().to_string(),
        _ => return None,
    };
    Some(Mistyped::NoText {
        written: path(text)?,
        with,
    })
}

/// A word that is compared with an outcome, and is none.
fn compared(outcome: &IdedExpr, with: &IdedExpr) -> Option<Mistyped> {
    if let Some(mistyped) = no_text(outcome, with) {
        return Some(mistyped);
    }
    let names = names(outcome)?;
    let outcomes: &'static [&'static str] = match names.as_slice() {
        ["stages", _, "outcome"] => &STAGE_OUTCOMES,
        ["steps", _, "outcome"] => &STEP_OUTCOMES,
        _ => return None,
    };
    let Expr::Literal(LiteralValue::String(word)) = &with.expr else {
        return None;
    };
    let word = word.inner();
    (!outcomes.contains(&word)).then(|| Mistyped::NoOutcome {
        word: word.to_owned(),
        outcomes,
    })
}

/// The names of `a.b["c"]`.
pub(crate) fn names(expression: &IdedExpr) -> Option<Vec<&str>> {
    match &expression.expr {
        Expr::Ident(name) => Some(vec![name]),
        Expr::Select(select) => {
            let mut all = names(&select.operand)?;
            all.push(&select.field);
            Some(all)
        }
        Expr::Call(call) if call.func_name == operators::INDEX => {
            let [operand, index] = call.args.as_slice() else {
                return None;
            };
            let Expr::Literal(LiteralValue::String(key)) = &index.expr else {
                return None;
            };
            let mut all = names(operand)?;
            all.push(key.inner());
            Some(all)
        }
        _ => None,
    }
}

/// The same as it is written.
fn path(expression: &IdedExpr) -> Option<String> {
    let names = names(expression)?;
    let (first, rest) = names.split_first()?;
    let plain = |name: &str| {
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    Some(rest.iter().fold((*first).to_owned(), |text, name| {
        if plain(name) {
            format!("{text}.{name}")
        } else {
            format!("{text}[\"{name}\"]")
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::Mistyped;
    use crate::{Condition, ConditionError};

    fn mistyped(source: &str) -> Result<Option<Mistyped>, ConditionError> {
        Condition::parse(source).map(|condition| condition.mistyped())
    }

    fn not_boolean(written: Option<&str>, kind: &'static str) -> Option<Mistyped> {
        Some(Mistyped::NotBoolean {
            written: written.map(str::to_owned),
            kind,
        })
    }

    #[test]
    fn values_of_a_run_are_text_wherever_true_or_false_is_needed() {
        for (source, written) in [
            ("params.deploy", "params.deploy"),
            ("!params.deploy", "params.deploy"),
            ("success() && params.deploy", "params.deploy"),
            ("params.a == 'x' || params.deploy", "params.deploy"),
            ("params.a == 'x' ? params.deploy : true", "params.deploy"),
            (
                "stages['unit-test'].results.ok",
                "stages[\"unit-test\"].results.ok",
            ),
            ("stages.build.outcome", "stages.build.outcome"),
            ("run.name", "run.name"),
        ] {
            assert_eq!(
                mistyped(source),
                Ok(not_boolean(Some(written), "text")),
                "{source}"
            );
        }
        assert_eq!(mistyped("'yes'"), Ok(not_boolean(None, "text")));
        assert_eq!(mistyped("size(params.a)"), Ok(not_boolean(None, "a number")));
        assert_eq!(mistyped("1"), Ok(not_boolean(None, "a number")));
    }

    #[test]
    fn text_is_never_equal_to_a_number_or_a_truth_value() {
        for (source, written, with) in [
            ("params.deploy == true", "params.deploy", "true"),
            ("3 != params.count", "params.count", "3"),
            ("success() && params.count > 2", "params.count", "2"),
            ("stages.build.results.n <= 2.5", "stages.build.results.n", "2.5"),
        ] {
            let wanted = Mistyped::NoText {
                written: written.to_owned(),
                with: with.to_owned(),
            };
            assert_eq!(mistyped(source), Ok(Some(wanted)), "{source}");
        }
        assert_eq!(mistyped("int(params.count) == 3 && size(params.a) > 2"), Ok(None));
    }

    #[test]
    fn what_may_be_true_or_false_is_left_to_the_evaluation() {
        for source in [
            "params.deploy == 'true'",
            "success() || failure()",
            "has(stages.build.results.ok) && stages.build.results.ok == 'yes'",
            "params.a.startsWith('x')",
            "['a', 'b'].exists(x, x == params.a)",
            "params.a in ['x', 'y']",
            "int(params.count) > 3",
            "params.a == 'x' ? success() : always()",
            "true",
        ] {
            assert_eq!(mistyped(source), Ok(None), "{source}");
        }
    }

    #[test]
    fn a_word_that_no_outcome_is_can_never_be_equal_to_one() {
        for (source, word) in [
            ("stages.build.outcome == 'success'", "success"),
            ("'Failed' != stages['unit-test'].outcome", "Failed"),
            ("always() && steps.push.outcome == 'cancelled'", "cancelled"),
            ("stages.build.outcome in ['failed', 'success']", "success"),
        ] {
            let found = mistyped(source);
            assert!(
                matches!(&found, Ok(Some(Mistyped::NoOutcome { word: found, .. })) if found == word),
                "{source}: {found:?}"
            );
        }
        for source in [
            "stages.build.outcome == 'succeeded'",
            "stages.build.outcome == ''",
            "steps.push.outcome == 'timedOut'",
        ] {
            assert_eq!(mistyped(source), Ok(None), "{source}");
        }
    }
}

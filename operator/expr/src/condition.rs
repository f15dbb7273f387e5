//! CEL conditions.

use std::collections::BTreeMap;

use kube_cel::cel::{Context, ExecutionError, IdedExpr, Program, Value as CelValue, to_value};
use serde_json::Value;
use thiserror::Error;

use crate::{COST, EXPRESSION_BYTES, MEMORY, Mistyped, Uses, advice, cost, shape, text, typed, uses};

/// A parsed condition.
#[derive(Debug)]
pub struct Condition {
    program: Program,
    source: String,
}

/// What is wrong with a condition.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConditionError {
    /// Too long.
    #[error("the expression has {0} bytes; at most {EXPRESSION_BYTES} are allowed")]
    TooLong(usize),
    /// It cannot be parsed.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// From 1.
        line: isize,
        /// From 1.
        column: isize,
        /// What the parser says.
        message: String,
    },
    /// It could take too long.
    #[error("the expression could cost {0} steps; at most {COST} are allowed: make its loops smaller")]
    TooExpensive(u64),
    /// It could take too much memory.
    #[error(
        "the expression could take {0} bytes of memory; at most {MEMORY} are allowed: put fewer or shorter texts and lists together"
    )]
    TooLarge(u64),
    /// A variable cannot be given to CEL.
    #[error("variable `{0}` cannot be used in a condition")]
    Variable(String),
    /// It names a member that is not there, such as a result that was not written.
    #[error("there is no `{0}` among what it names")]
    Missing(String),
    /// It failed.
    #[error("{0}")]
    Evaluation(String),
    /// Its value is no boolean.
    #[error("the expression gives {0}, not true or false")]
    NotBoolean(String),
    /// It reckons with a double and an integer.
    #[error(
        "numbers of an answer are doubles and cannot be added to or multiplied with integers: write 100.0 instead of 100"
    )]
    MixedNumbers,
}

/// Functions that a condition of a run may call: what CEL has, and what tells how the run stands. Those of optional values are left out: what
/// may be missing is asked for with `has`.
pub const FUNCTIONS: [&str; 27] = [
    "always",
    "bytes",
    "contains",
    "double",
    "duration",
    "endsWith",
    "failure",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "int",
    "matches",
    "max",
    "min",
    "size",
    "startsWith",
    "string",
    "success",
    "timestamp",
    "uint",
];

/// What `success()`, `failure()` and `always()` answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Nothing failed before.
    Success,
    /// Something failed before.
    Failure,
}

impl Condition {
    /// Parses a condition.
    ///
    /// # Errors
    /// When it is too long or no CEL.
    pub fn parse(source: &str) -> Result<Self, ConditionError> {
        if source.len() > EXPRESSION_BYTES {
            return Err(ConditionError::TooLong(source.len()));
        }
        let syntax = |(line, column): (isize, isize), message: String| ConditionError::Syntax {
            line,
            column,
            message,
        };
        let code = text::code(source)
            .map_err(|flawed| syntax((flawed.line, flawed.column), flawed.flaw.to_string()))?;
        if let Some(at) = shape::too_nested(&code) {
            return Err(syntax(
                text::place(source, at),
                "the expression is nested too deeply".to_owned(),
            ));
        }
        let program = Program::compile(source).map_err(|errors| {
            let first = errors.errors.first();
            let place = first.map_or((1, 1), |e| (e.pos.0.max(1), e.pos.1.max(1)));
            let own = || first.map_or_else(|| "no valid CEL expression".into(), |e| e.msg.clone());
            syntax(place, advice::on(&code).map_or_else(own, str::to_owned))
        })?;
        if let Some(message) = shape::refusal(program.expression()) {
            return Err(syntax((1, 1), message.to_owned()));
        }
        Ok(Self {
            program,
            source: source.to_owned(),
        })
    }

    /// The text it was parsed from.
    pub fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn expression(&self) -> &IdedExpr {
        self.program.expression()
    }

    /// The first part of a run's condition that can never be as it is meant.
    pub fn mistyped(&self) -> Option<Mistyped> {
        typed::mistyped(self.expression())
    }

    /// What it names.
    pub fn uses(&self) -> Uses {
        uses::of(self.expression())
    }

    /// Evaluates it.
    ///
    /// # Errors
    /// When it could cost too much time or memory, fails, or gives no boolean.
    pub fn evaluate(
        &self,
        variables: &BTreeMap<String, Value>,
        status: Status,
    ) -> Result<bool, ConditionError> {
        cost::check(self.expression(), variables)?;
        let mut context = Context::default();
        for (name, value) in variables {
            let value = to_value(value).map_err(|_| ConditionError::Variable(name.clone()))?;
            context.add_variable_from_value(name.clone(), value);
        }
        context.add_function("always", || true);
        context.add_function("success", move || status == Status::Success);
        context.add_function("failure", move || status == Status::Failure);
        match self.program.execute(&context) {
            Ok(CelValue::Bool(holds)) => Ok(holds),
            Ok(other) => Err(ConditionError::NotBoolean(other.type_of().to_string())),
            Err(ExecutionError::NoSuchKey(name)) => Err(ConditionError::Missing(name.as_ref().clone())),
            Err(error) => Err(ConditionError::Evaluation(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::{Values, reference::StageValues};

    fn variables() -> BTreeMap<String, Value> {
        let mut values = Values::default();
        values.params.insert("env".into(), "prod".into());
        let results = BTreeMap::from([("count".to_owned(), "3".to_owned())]);
        values.stages.insert(
            "unit-test".into(),
            StageValues {
                outcome: "succeeded".into(),
                results,
            },
        );
        values.variables()
    }

    fn holds(source: &str) -> Result<bool, ConditionError> {
        Condition::parse(source).and_then(|c| c.evaluate(&variables(), Status::Failure))
    }

    #[test]
    fn conditions_see_params_stages_and_status_functions() {
        assert_eq!(
            holds(r#"params.env == "prod" && stages["unit-test"].outcome == "succeeded""#),
            Ok(true)
        );
        assert_eq!(holds("int(stages['unit-test'].results.count) > 5"), Ok(false));
        assert_eq!(holds("always() && failure() && !success()"), Ok(true));
    }

    #[test]
    fn every_function_that_a_condition_may_call_is_there() {
        for name in FUNCTIONS {
            for call in [
                format!("{name}() == 1"),
                format!("params.env.{name}() == 1"),
                format!("{name}(params.env) == 1"),
            ] {
                let said = holds(&call)
                    .err()
                    .map(|error| error.to_string())
                    .unwrap_or_default();
                assert!(
                    !said.contains("Undeclared") && !said.contains("not found"),
                    "{call}: {said}"
                );
            }
        }
        let said = holds("lowerAscii(params.env) == 'x'").unwrap_err().to_string();
        assert!(said.contains("Undeclared"), "{said}");
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        let error = Condition::parse("params.env ==").unwrap_err();
        assert!(matches!(error, ConditionError::Syntax { line: 1, .. }), "{error}");
        assert!(matches!(holds("params.env"), Err(ConditionError::NotBoolean(_))));
        assert_eq!(
            holds("params.nothing == 'x'"),
            Err(ConditionError::Missing("nothing".to_owned()))
        );
    }

    #[test]
    fn an_expression_that_could_run_for_long_is_refused_before_it_runs() {
        let list = format!("[{}]", vec!["1"; 100].join(","));
        let nested = format!("{list}.all(a, {list}.all(b, {list}.all(c, a + b + c > 0)))");
        assert!(matches!(holds(&nested), Err(ConditionError::TooExpensive(_))));
        assert!(matches!(
            Condition::parse(&" ".repeat(5_000)),
            Err(ConditionError::TooLong(5_000))
        ));
    }

    #[test]
    fn what_the_cel_crate_would_panic_on_or_recurse_into_is_refused_before_it_runs() {
        assert!(matches!(
            holds("Message{field: 1} == 1"),
            Err(ConditionError::Syntax { .. })
        ));
        assert!(matches!(
            holds("[Message{}].all(x, true)"),
            Err(ConditionError::Syntax { .. })
        ));
        for deep in [
            format!("1{} == 2", "+1".repeat(2_000)),
            format!("{}true{}", "(".repeat(2_000), ")".repeat(2_000)),
            format!("{}true", "!".repeat(4_000)),
            format!("{}1 == 1", "-".repeat(4_000)),
            format!("params{} == 1", ".a".repeat(2_000)),
            format!("params{} == 1", "[0]".repeat(1_300)),
            format!("true{}", "?true:true".repeat(400)),
            format!("{}1{} == []", "[".repeat(2_000), "]".repeat(2_000)),
            format!("{}1{}", "size(".repeat(600), ")".repeat(600)),
            format!("{}1{}", "{1:".repeat(900), "}".repeat(900)),
        ] {
            assert!(holds(&deep).is_err(), "{}", &deep[..40]);
        }
        assert_eq!(holds(&vec!["params.env == 'prod'"; 100].join(" && ")), Ok(true));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_or_the_evaluation_panic(text in ".{0,120}") {
            let _ = holds(&text);
        }
    }
}

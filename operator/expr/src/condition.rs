//! CEL conditions.

use std::collections::{BTreeMap, BTreeSet};

use kube_cel::cel::{
    Context, ExecutionError, IdedExpr, Program, Value as CelValue,
    common::ast::{EntryExpr, Expr, LiteralValue, operators},
    to_value,
};
use serde_json::Value;
use thiserror::Error;

use crate::{COST, EXPRESSION_BYTES, Mistyped, advice, cost, shape, typed};

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

/// What a condition names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uses {
    /// Variables at the root, such as `params`.
    pub roots: BTreeSet<String>,
    /// Functions, such as `size`.
    pub functions: BTreeSet<String>,
    /// `params.NAME`
    pub params: BTreeSet<String>,
    /// `stages.NAME` or `stages["NAME"]`
    pub stages: BTreeSet<String>,
    /// `steps.NAME` or `steps["NAME"]`
    pub steps: BTreeSet<String>,
    /// `stages.NAME.results.RESULT`: stage and result.
    pub results: BTreeSet<(String, String)>,
    /// Other members of what has few: `source.NAME`, `run.NAME`, and `stages.STAGE.NAME` as `stages.STAGE` and its member.
    pub members: BTreeSet<(String, String)>,
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
        if let Some(column) = shape::too_nested(source) {
            return Err(ConditionError::Syntax {
                line: 1,
                column,
                message: "the expression is nested too deeply".to_owned(),
            });
        }
        let program = Program::compile(source).map_err(|errors| {
            let first = errors.errors.first();
            ConditionError::Syntax {
                line: first.map_or(1, |e| e.pos.0.max(1)),
                column: first.map_or(1, |e| e.pos.1.max(1)),
                message: advice::on(source).map_or_else(
                    || first.map_or_else(|| "no valid CEL expression".into(), |e| e.msg.clone()),
                    str::to_owned,
                ),
            }
        })?;
        if let Some(message) = shape::refusal(program.expression()) {
            return Err(ConditionError::Syntax {
                line: 1,
                column: 1,
                message: message.to_owned(),
            });
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
        let mut uses = Uses::default();
        walk(self.program.expression(), &mut uses, &BTreeSet::new());
        uses
    }

    /// Evaluates it.
    ///
    /// # Errors
    /// When it could cost too much, fails, or gives no boolean.
    pub fn evaluate(
        &self,
        variables: &BTreeMap<String, Value>,
        status: Status,
    ) -> Result<bool, ConditionError> {
        let bound = variables.values().map(cost::longest).max().unwrap_or(1);
        let cost = cost::of(self.program.expression(), bound);
        if cost > COST {
            return Err(ConditionError::TooExpensive(cost));
        }
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

fn walk(expression: &IdedExpr, uses: &mut Uses, bound: &BTreeSet<String>) {
    match &expression.expr {
        Expr::Ident(name) => {
            if !bound.contains(name) && !name.starts_with('@') {
                uses.roots.insert(name.clone());
            }
        }
        Expr::Select(select) => {
            member(&select.operand, &select.field, uses, bound);
            path(expression, uses, bound);
            walk(&select.operand, uses, bound);
        }
        Expr::Call(call) => {
            if let (operators::INDEX, [operand, index]) = (call.func_name.as_str(), call.args.as_slice())
                && let Expr::Literal(LiteralValue::String(key)) = &index.expr
            {
                member(operand, key.inner(), uses, bound);
                path(expression, uses, bound);
            }
            // operators have names too, such as `_+_`
            if call.func_name.starts_with(|c: char| c.is_ascii_alphabetic()) {
                uses.functions.insert(call.func_name.clone());
            }
            if let Some(target) = &call.target {
                walk(target, uses, bound);
            }
            call.args.iter().for_each(|arg| walk(arg, uses, bound));
        }
        Expr::Comprehension(c) => {
            walk(&c.iter_range, uses, bound);
            walk(&c.accu_init, uses, bound);
            let mut inner = bound.clone();
            inner.insert(c.iter_var.clone());
            inner.extend(c.iter_var2.clone());
            inner.insert(c.accu_var.clone());
            for part in [&c.loop_cond, &c.loop_step, &c.result] {
                walk(part, uses, &inner);
            }
        }
        Expr::List(list) => list.elements.iter().for_each(|e| walk(e, uses, bound)),
        Expr::Map(map) => map.entries.iter().for_each(|e| entry(&e.expr, uses, bound)),
        Expr::Struct(s) => s.entries.iter().for_each(|e| entry(&e.expr, uses, bound)),
        Expr::Literal(_) | Expr::Unspecified => {}
    }
}

fn entry(entry: &EntryExpr, uses: &mut Uses, bound: &BTreeSet<String>) {
    match entry {
        EntryExpr::StructField(field) => walk(&field.value, uses, bound),
        EntryExpr::MapEntry(entry) => {
            walk(&entry.key, uses, bound);
            walk(&entry.value, uses, bound);
        }
    }
}

/// What a whole path names, where it names something with few members.
fn path(expression: &IdedExpr, uses: &mut Uses, bound: &BTreeSet<String>) {
    let Some(names) = typed::names(expression) else {
        return;
    };
    if bound.contains(names[0]) {
        return;
    }
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    match names.as_slice() {
        [root @ ("source" | "run"), name] => uses.members.insert(pair(root, name)),
        ["stages", stage, "results", result] => uses.results.insert(pair(stage, result)),
        ["stages", stage, name] => uses.members.insert(pair(&format!("stages.{stage}"), name)),
        _ => false,
    };
}

fn member(operand: &IdedExpr, name: &str, uses: &mut Uses, bound: &BTreeSet<String>) {
    if let Expr::Ident(root) = &operand.expr
        && !bound.contains(root)
    {
        match root.as_str() {
            "params" => uses.params.insert(name.to_owned()),
            "stages" => uses.stages.insert(name.to_owned()),
            "steps" => uses.steps.insert(name.to_owned()),
            _ => false,
        };
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
    fn what_a_condition_names_is_known_before_it_is_evaluated() {
        let uses = Condition::parse(
            r#"params.a == "x" && stages["b-c"].outcome != stages.d.outcome && [1].all(i, i > 0)"#,
        )
        .unwrap()
        .uses();
        assert_eq!(uses.params, BTreeSet::from(["a".to_owned()]));
        assert_eq!(uses.stages, BTreeSet::from(["b-c".to_owned(), "d".to_owned()]));
        assert!(!uses.roots.contains("i"));
        let uses = Condition::parse(
            r#"stages["b-c"].results.tag == source.branch && has(stages.d.results.x) && stages.d.reslts.y != run.name"#,
        )
        .unwrap()
        .uses();
        let pairs = |list: &[(&str, &str)]| {
            list.iter()
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(uses.results, pairs(&[("b-c", "tag"), ("d", "x")]));
        assert_eq!(
            uses.members,
            pairs(&[
                ("run", "name"),
                ("source", "branch"),
                ("stages.b-c", "results"),
                ("stages.d", "reslts"),
                ("stages.d", "results")
            ])
        );
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

//! Conditions over values that were measured: `result < 0.01 && result <= 2.0 * baseline`.
//!
//! A number of JSON is a double, as in CEL's own mapping. The CEL crate orders doubles and integers by value but takes `1.0 == 1` for
//! false, against the language; `==`, `!=` and `in` are therefore calls of ours here.

use std::collections::BTreeMap;

use kube_cel::cel::{
    Context, ExecutionError, IdedExpr, Value as CelValue,
    common::ast::{CallExpr, EntryExpr, Expr, operators},
    objects::Key,
    to_value,
};
use serde_json::Value;

use crate::{Condition, ConditionError, cost};

/// Functions that a condition over measured values may call.
pub const FUNCTIONS: &[&str] = &[
    "bytes",
    "contains",
    "double",
    "endsWith",
    "int",
    "matches",
    "max",
    "min",
    "size",
    "startsWith",
    "string",
    "uint",
];

// no text can name them: `@` is no letter of CEL
const EQUAL: &str = "@equal";
const UNEQUAL: &str = "@unequal";
const WITHIN: &str = "@within";

impl Condition {
    /// Evaluates it over named values, and nothing else: no status functions, the same bounds of cost.
    ///
    /// # Errors
    /// When it could cost too much time or memory, fails, or gives no boolean.
    pub fn holds(&self, values: &BTreeMap<String, Value>) -> Result<bool, ConditionError> {
        cost::check(self.expression(), values)?;
        let mut expression = self.expression().clone();
        by_value(&mut expression);
        let mut context = Context::default();
        for (name, value) in values {
            let value = to_value(doubles(value)).map_err(|_| ConditionError::Variable(name.clone()))?;
            context.add_variable_from_value(name.clone(), value);
        }
        context.add_function(EQUAL, |a: CelValue, b: CelValue| a == b);
        context.add_function(UNEQUAL, |a: CelValue, b: CelValue| a != b);
        context.add_function(WITHIN, within);
        match context.resolve(&expression) {
            Ok(CelValue::Bool(holds)) => Ok(holds),
            Ok(other) => Err(ConditionError::NotBoolean(other.type_of().to_string())),
            Err(error) => Err(told(&error)),
        }
    }
}

fn told(error: &ExecutionError) -> ConditionError {
    let whole = |value: &CelValue| matches!(value, CelValue::Int(_) | CelValue::UInt(_));
    let double = |value: &CelValue| matches!(value, CelValue::Float(_));
    match error {
        ExecutionError::UnsupportedBinaryOperator(_, a, b)
            if (whole(a) && double(b)) || (double(a) && whole(b)) =>
        {
            ConditionError::MixedNumbers
        }
        ExecutionError::NoSuchOverload => ConditionError::Evaluation(
            "an operator or function does not take these values, or a division gave no number".to_owned(),
        ),
        other => ConditionError::Evaluation(other.to_string()),
    }
}

/// The value with each number as a double.
fn doubles(value: &Value) -> Value {
    match value {
        Value::Number(number) => number
            .as_f64()
            .and_then(serde_json::Number::from_f64)
            .map_or(Value::Null, Value::Number),
        Value::Array(list) => list.iter().map(doubles).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(name, value)| (name.clone(), doubles(value)))
            .collect(),
        other => other.clone(),
    }
}

fn within(element: CelValue, collection: CelValue) -> Result<bool, ExecutionError> {
    match collection {
        CelValue::List(list) => Ok(list.contains(&element)),
        CelValue::Map(map) => {
            let key: Result<Key, _> = element.try_into();
            Ok(key.is_ok_and(|key| map.map.contains_key(&key)))
        }
        _ => Err(ExecutionError::NoSuchOverload),
    }
}

/// Replaces `==`, `!=` and `in` by calls that compare numbers by value.
fn by_value(expression: &mut IdedExpr) {
    match &mut expression.expr {
        Expr::Call(call) => {
            if let Some(ours) = replacement(call) {
                ours.clone_into(&mut call.func_name);
            }
            call.args.iter_mut().for_each(by_value);
            call.target.as_deref_mut().into_iter().for_each(by_value);
        }
        Expr::Comprehension(c) => {
            let c = c.as_mut();
            for part in [
                &mut c.iter_range,
                &mut c.accu_init,
                &mut c.loop_cond,
                &mut c.loop_step,
                &mut c.result,
            ] {
                by_value(part);
            }
        }
        Expr::List(list) => list.elements.iter_mut().for_each(by_value),
        Expr::Select(select) => by_value(&mut select.operand),
        Expr::Map(map) => map.entries.iter_mut().for_each(|e| entry(&mut e.expr)),
        Expr::Struct(s) => s.entries.iter_mut().for_each(|e| entry(&mut e.expr)),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
}

fn replacement(call: &CallExpr) -> Option<&'static str> {
    if call.target.is_some() || call.args.len() != 2 {
        return None;
    }
    match call.func_name.as_str() {
        operators::EQUALS => Some(EQUAL),
        operators::NOT_EQUALS => Some(UNEQUAL),
        operators::IN => Some(WITHIN),
        _ => None,
    }
}

fn entry(entry: &mut EntryExpr) {
    match entry {
        EntryExpr::StructField(field) => by_value(&mut field.value),
        EntryExpr::MapEntry(entry) => {
            by_value(&mut entry.key);
            by_value(&mut entry.value);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn over(source: &str, result: Value) -> Result<bool, ConditionError> {
        let values = BTreeMap::from([("result".to_owned(), result), ("baseline".to_owned(), json!(0.5))]);
        Condition::parse(source).and_then(|condition| condition.holds(&values))
    }

    #[test]
    fn a_number_is_compared_by_its_value_whether_it_is_written_with_a_point_or_not() {
        for result in [json!(200), json!(200.0), json!(-200), json!(u64::MAX)] {
            let number = result.as_f64().unwrap();
            let is = number.to_bits() == 200.0_f64.to_bits();
            for source in [
                "result == 200",
                "200 == result",
                "result == 200.0",
                "result in [200, 204]",
                "!(result != 200)",
                "[result] == [200]",
                "[result].exists(x, x == 200)",
                "{'a': result}.a == 200",
            ] {
                assert_eq!(over(source, result.clone()), Ok(is), "{source} over {result}");
            }
            assert_eq!(over("result > 100", result.clone()), Ok(number > 100.0));
        }
    }

    #[test]
    fn lists_strings_booleans_and_objects_can_be_judged() {
        assert_eq!(over("result.all(x, x < 0.5)", json!([0.1, 0, 0.4])), Ok(true));
        assert_eq!(over("size(result) == 3", json!([1, 2, 3])), Ok(true));
        assert_eq!(over("max(result) <= 3", json!([1, 2, 3])), Ok(true));
        assert_eq!(over("result == 'ok'", json!("ok")), Ok(true));
        assert_eq!(over("result", json!(true)), Ok(true));
        assert_eq!(
            over("'ok' in result && result.ok == 1", json!({"ok": 1})),
            Ok(true)
        );
        assert_eq!(over("result <= 2.0 * baseline", json!(1)), Ok(true));
    }

    #[test]
    fn what_cannot_be_judged_is_an_error_with_its_fix() {
        let mixed = over("result * 100 < 5", json!(0.01)).unwrap_err();
        assert_eq!(mixed, ConditionError::MixedNumbers);
        assert!(mixed.to_string().contains("100.0"), "{mixed}");
        assert!(matches!(
            over("result < 1", json!("text")),
            Err(ConditionError::Evaluation(_))
        ));
        assert!(matches!(
            over("success()", json!(1)),
            Err(ConditionError::Evaluation(_))
        ));
        assert!(matches!(
            over("result", json!(1)),
            Err(ConditionError::NotBoolean(_))
        ));
    }

    #[test]
    fn the_bound_of_cost_holds_for_measured_values_too() {
        let long = json!(vec![1; 1_000]);
        assert!(matches!(
            over("result.all(a, result.all(b, a == b))", long),
            Err(ConditionError::TooExpensive(_))
        ));
    }

    #[test]
    fn each_function_that_may_be_called_is_there() {
        for name in FUNCTIONS {
            for source in [
                format!("{name}(result) == 1"),
                format!("result.{name}('x') == true"),
            ] {
                let said = over(&source, json!("x"));
                let missing =
                    |error: &ConditionError| error.to_string().contains(&format!("reference to '{name}'"));
                assert!(!said.as_ref().is_err_and(missing), "{source}: {said:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn thresholds_hold_exactly_when_the_numbers_do(result in -1e6_f64..1e6, limit in -1_000_000_i64..1_000_000) {
            #[allow(clippy::cast_precision_loss)] // far below 2^53
            let double = limit as f64;
            prop_assert_eq!(over(&format!("result < {limit}"), json!(result)), Ok(result < double));
            prop_assert_eq!(over(&format!("result >= {double:?}"), json!(result)), Ok(result >= double));
        }

        #[test]
        fn no_text_makes_the_evaluation_panic(text in ".{0,80}") {
            let _ = over(&text, json!([1, "x", {"a": true}]));
        }
    }
}

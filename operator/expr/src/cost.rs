//! An upper bound of what an evaluation costs, computed before it: the CEL crate has no accounting of its own.
//!
//! Each node counts one; the body of a comprehension counts once for each element of its range. A range's length is known for list and
//! map literals, and otherwise bounded by the longest text or collection among the variables.

use kube_cel::cel::{
    IdedExpr,
    common::ast::{EntryExpr, Expr},
};
use serde_json::Value;

/// Length of the longest text, list or map in a value.
pub fn longest(value: &Value) -> u64 {
    let length = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    match value {
        Value::String(text) => length(text.len()),
        Value::Array(list) => list
            .iter()
            .map(longest)
            .max()
            .unwrap_or(0)
            .max(length(list.len())),
        Value::Object(map) => map
            .values()
            .map(longest)
            .max()
            .unwrap_or(0)
            .max(length(map.len())),
        _ => 1,
    }
}

/// Upper bound of the cost of an expression whose variables hold nothing longer than `bound`.
pub fn of(expression: &IdedExpr, bound: u64) -> u64 {
    let each = |list: &[IdedExpr]| list.iter().fold(0_u64, |sum, e| sum.saturating_add(of(e, bound)));
    let inner = match &expression.expr {
        Expr::Call(call) => {
            each(&call.args).saturating_add(call.target.as_deref().map_or(0, |t| of(t, bound)))
        }
        Expr::Comprehension(c) => {
            let times = match &c.iter_range.expr {
                Expr::List(list) => u64::try_from(list.elements.len()).unwrap_or(u64::MAX),
                Expr::Map(map) => u64::try_from(map.entries.len()).unwrap_or(u64::MAX),
                _ => bound,
            };
            let body = of(&c.loop_step, bound).saturating_add(of(&c.loop_cond, bound));
            of(&c.iter_range, bound)
                .saturating_add(of(&c.accu_init, bound))
                .saturating_add(of(&c.result, bound))
                .saturating_add(body.saturating_mul(times.max(1)))
        }
        Expr::List(list) => each(&list.elements),
        Expr::Select(select) => of(&select.operand, bound),
        Expr::Map(map) => entries(map.entries.iter().map(|e| &e.expr), bound),
        Expr::Struct(s) => entries(s.entries.iter().map(|e| &e.expr), bound),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => 0,
    };
    inner.saturating_add(1)
}

fn entries<'a>(list: impl Iterator<Item = &'a EntryExpr>, bound: u64) -> u64 {
    list.fold(0, |sum: u64, entry| {
        sum.saturating_add(match entry {
            EntryExpr::StructField(field) => of(&field.value, bound),
            EntryExpr::MapEntry(entry) => of(&entry.key, bound).saturating_add(of(&entry.value, bound)),
        })
    })
}

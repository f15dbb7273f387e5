//! Shapes of expressions that the CEL crate cannot take: it panics on message literals, and it recurses without bound.

use kube_cel::cel::{
    IdedExpr,
    common::ast::{EntryExpr, Expr},
};

/// Deepest nesting of an expression.
const DEPTH: usize = 64;
/// Most unary operators, selections and indexes in a row.
const RUN: usize = 64;
/// Most operators that join two operands; the parser recurses once for each.
const OPERATORS: usize = 256;

/// Whether code is nested so deeply that not even parsing it is safe; the answer is the number of the character.
pub(crate) fn too_nested(code: &[(usize, char)]) -> Option<usize> {
    let (mut depth, mut run, mut operators) = (0_usize, 0_usize, 0_usize);
    for &(at, character) in code {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match character {
            '!' | '-' | '.' | '[' => run += 1,
            '+' | '*' | '/' | '%' | '?' | '<' | '>' | '=' => operators += 1,
            '&' | '|' | ',' => run = 0,
            _ => {}
        }
        if depth > DEPTH || run > RUN || operators > OPERATORS {
            return Some(at);
        }
    }
    None
}

/// What is wrong with the shape of a parsed expression.
pub(crate) fn refusal(expression: &IdedExpr) -> Option<&'static str> {
    look(expression, 4 * DEPTH)
}

fn look(expression: &IdedExpr, left: usize) -> Option<&'static str> {
    let Some(left) = left.checked_sub(1) else {
        return Some("the expression is nested too deeply");
    };
    let each = |list: &[IdedExpr]| list.iter().find_map(|one| look(one, left));
    match &expression.expr {
        Expr::Struct(_) => Some("message literals are not supported; write a map, such as {\"a\": 1}"),
        Expr::Unspecified => Some("no valid CEL expression"),
        Expr::Call(call) => call
            .target
            .as_deref()
            .and_then(|target| look(target, left))
            .or_else(|| each(&call.args)),
        Expr::Comprehension(c) => [&c.iter_range, &c.accu_init, &c.loop_cond, &c.loop_step, &c.result]
            .into_iter()
            .find_map(|part| look(part, left)),
        Expr::List(list) => each(&list.elements),
        Expr::Select(select) => look(&select.operand, left),
        Expr::Map(map) => map.entries.iter().find_map(|entry| match &entry.expr {
            EntryExpr::StructField(field) => look(&field.value, left),
            EntryExpr::MapEntry(entry) => look(&entry.key, left).or_else(|| look(&entry.value, left)),
        }),
        Expr::Ident(_) | Expr::Literal(_) => None,
    }
}

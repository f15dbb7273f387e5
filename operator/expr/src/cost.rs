//! An upper bound of what an evaluation costs in time and memory, computed before it: the CEL crate has no accounting of its own.
//!
//! Each node counts one step, and one more for each 64 KiB that it copies; the body of a comprehension counts once for each element of its
//! range. What variables hold is known, so every value has a largest size: `+` adds sizes, a comprehension multiplies what it gathers. The
//! memory of a node is that of what is held while it is evaluated, its own value included.

use std::collections::BTreeMap;

use kube_cel::cel::{
    IdedExpr,
    common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, SelectExpr, operators},
};
use serde_json::Value;

use crate::{
    COST, ConditionError, MEMORY,
    size::{Size, long},
};

/// Bytes that are copied in the time of a step.
const STEP: u64 = 64 * 1024;

/// Upper bounds of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cost {
    /// How long it takes.
    steps: u64,
    /// What it holds at the same time.
    bytes: u64,
}

/// Whether an expression over these variables may be evaluated.
///
/// # Errors
/// When it could take too long or too much memory.
pub(crate) fn check(
    expression: &IdedExpr,
    variables: &BTreeMap<String, Value>,
) -> Result<(), ConditionError> {
    let (Cost { steps, bytes }, _) = of(expression, variables);
    // what is large takes long, too, and its size is what has to change
    if bytes > MEMORY {
        return Err(ConditionError::TooLarge(bytes));
    }
    if steps > COST {
        return Err(ConditionError::TooExpensive(steps));
    }
    Ok(())
}

/// Bounds of an evaluation and of the value that it gives.
fn of(expression: &IdedExpr, variables: &BTreeMap<String, Value>) -> (Cost, Size) {
    let mut bounds = Bounds {
        variables,
        locals: Vec::new(),
    };
    let found = bounds.of(expression);
    let size = found.shape.size();
    let bytes = found.cost.bytes.max(size.bytes());
    (Cost { bytes, ..found.cost }, size)
}

/// What is known of a value.
#[derive(Debug, Clone)]
enum Shape<'a> {
    /// A part of a variable, which is as large as it is.
    Known(&'a Value),
    /// Anything else.
    Within(Size),
}

impl Shape<'_> {
    fn size(&self) -> Size {
        match self {
            Self::Known(value) => Size::of(value),
            Self::Within(size) => size.clone(),
        }
    }
}

/// A node, evaluated without knowing more than sizes.
struct Found<'a> {
    cost: Cost,
    shape: Shape<'a>,
}

struct Bounds<'a> {
    variables: &'a BTreeMap<String, Value>,
    /// Variables of comprehensions, the innermost last.
    locals: Vec<(&'a str, Size)>,
}

impl<'a> Bounds<'a> {
    fn of(&mut self, expression: &'a IdedExpr) -> Found<'a> {
        let mut found = match &expression.expr {
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::List(list) => {
                let elements = list.elements.iter().map(|element| self.of(element)).collect();
                gathered(list.elements.len(), elements)
            }
            Expr::Map(map) => {
                let entries = map.entries.iter().map(|entry| &entry.expr);
                gathered(map.entries.len(), self.entries(entries))
            }
            Expr::Struct(message) => {
                let entries = message.entries.iter().map(|entry| &entry.expr);
                gathered(message.entries.len(), self.entries(entries))
            }
            Expr::Select(select) => self.select(select),
            Expr::Ident(name) => free(self.named(name)),
            Expr::Literal(literal) => free(Shape::Within(written(literal))),
            Expr::Unspecified => free(Shape::Within(Size::SCALAR)),
        };
        found.cost.steps = found.cost.steps.saturating_add(1);
        found
    }

    fn named(&self, name: &str) -> Shape<'a> {
        let local = self.locals.iter().rev().find(|(local, _)| *local == name);
        match (local, self.variables.get(name)) {
            (Some((_, size)), _) => Shape::Within(size.clone()),
            (None, Some(value)) => Shape::Known(value),
            // there is none, which ends the evaluation
            (None, None) => Shape::Within(Size::SCALAR),
        }
    }

    fn entries(&mut self, entries: impl Iterator<Item = &'a EntryExpr>) -> Vec<Found<'a>> {
        let mut all = Vec::new();
        for entry in entries {
            match entry {
                EntryExpr::StructField(field) => all.push(self.of(&field.value)),
                EntryExpr::MapEntry(entry) => all.extend([self.of(&entry.key), self.of(&entry.value)]),
            }
        }
        all
    }

    fn select(&mut self, select: &'a SelectExpr) -> Found<'a> {
        let operand = self.of(&select.operand);
        if select.test {
            return Found {
                shape: Shape::Within(Size::SCALAR),
                ..operand
            };
        }
        let shape = member(&operand.shape, Some(&select.field));
        // a variable is only looked into, all else is a copy while its member is copied
        let held = match &select.operand.expr {
            Expr::Ident(_) => 0,
            _ => operand.shape.size().bytes(),
        };
        let bytes = held.saturating_add(shape.size().bytes());
        Found {
            cost: copies(operand.cost, bytes),
            shape,
        }
    }

    fn call(&mut self, call: &'a CallExpr) -> Found<'a> {
        let operands = call.target.as_deref().into_iter().chain(&call.args);
        let operands: Vec<Found<'a>> = operands.map(|operand| self.of(operand)).collect();
        let name = call.func_name.as_str();
        match name {
            // what was looked at is gone before the next one is evaluated
            operators::LOGICAL_AND
            | operators::LOGICAL_OR
            | operators::LOGICAL_NOT
            | operators::NOT_STRICTLY_FALSE => one_by_one(&operands, Size::SCALAR),
            operators::CONDITIONAL => {
                let branches = operands.iter().skip(1).map(|branch| branch.shape.size());
                one_by_one(&operands, branches.reduce(Size::or).unwrap_or(Size::SCALAR))
            }
            operators::INDEX | operators::OPT_INDEX | operators::OPT_SELECT => indexed(call, &operands),
            _ => {
                let (cost, held) = together(&operands);
                let mut sizes = operands.iter().map(|operand| operand.shape.size());
                let size = match name {
                    operators::ADD => sizes.reduce(Size::and).unwrap_or(Size::SCALAR),
                    "string" => sizes.next().unwrap_or(Size::SCALAR).written(),
                    "bytes" => sizes.next().unwrap_or(Size::SCALAR).raw(),
                    "max" | "min" => sizes
                        .flat_map(|size| [size.member(), size])
                        .reduce(Size::or)
                        .unwrap_or(Size::SCALAR),
                    "of" | "ofNonZeroValue" | "or" | "orValue" | "value" => {
                        sizes.reduce(Size::or).unwrap_or(Size::SCALAR)
                    }
                    // true, false, a number or a time
                    _ => Size::SCALAR,
                };
                // functions are given a copy of what the evaluation holds
                let bytes = held.saturating_mul(2).saturating_add(size.bytes());
                Found {
                    cost: copies(cost, bytes),
                    shape: Shape::Within(size),
                }
            }
        }
    }

    /// The step sees what was gathered so far, and adds to it at most what the first step adds: a text of ours cannot name it, only the
    /// macros do.
    fn comprehension(&mut self, c: &'a ComprehensionExpr) -> Found<'a> {
        let range = self.of(&c.iter_range);
        let first = self.of(&c.accu_init);
        let (item, times) = elements(&range.shape);
        let begin = first.shape.size();
        let outer = self.locals.len();
        self.locals.push((&c.iter_var, item.clone()));
        if let Some(second) = &c.iter_var2 {
            self.locals.push((second, item.clone()));
        }
        self.locals.push((&c.accu_var, begin.clone()));
        let step = self.of(&c.loop_step);
        let condition = self.of(&c.loop_cond);
        let end = begin.grown(step.shape.size(), times);
        self.locals.push((&c.accu_var, end.clone()));
        let result = self.of(&c.result);
        self.locals.truncate(outer);

        let body = (step.cost.steps).saturating_add(condition.cost.steps);
        // before and after each step what was gathered is copied; on an average half of it is there
        let body = body
            .saturating_add(end.bytes() / STEP)
            .saturating_mul(times.max(1));
        let steps = [range.cost.steps, first.cost.steps, result.cost.steps]
            .iter()
            .fold(body, |sum, steps| sum.saturating_add(*steps));
        let inner = (step.cost.bytes).max(condition.cost.bytes).max(result.cost.bytes);
        let held = (range.shape.size().bytes())
            .saturating_add(item.bytes())
            .saturating_add(end.bytes().saturating_mul(3))
            .saturating_add(inner);
        Found {
            cost: Cost {
                steps,
                bytes: held.max(range.cost.bytes).max(first.cost.bytes),
            },
            shape: result.shape,
        }
    }
}

/// What evaluates to something that is there already.
fn free(shape: Shape<'_>) -> Found<'_> {
    let cost = Cost { steps: 0, bytes: 0 };
    Found { cost, shape }
}

fn written(literal: &LiteralValue) -> Size {
    match literal {
        LiteralValue::String(text) => Size::text(text.inner().len()),
        LiteralValue::Bytes(bytes) => Size::text(bytes.inner().len()),
        _ => Size::SCALAR,
    }
}

/// The cost, with so many bytes held and copied at last.
fn copies(cost: Cost, bytes: u64) -> Cost {
    Cost {
        steps: cost.steps.saturating_add(bytes / STEP),
        bytes: cost.bytes.max(bytes),
    }
}

fn one_by_one<'a>(operands: &[Found<'a>], size: Size) -> Found<'a> {
    let cost = operands
        .iter()
        .fold(Cost { steps: 0, bytes: 0 }, |sum, operand| Cost {
            steps: sum.steps.saturating_add(operand.cost.steps),
            bytes: sum.bytes.max(operand.cost.bytes),
        });
    Found {
        cost: copies(cost, size.bytes()),
        shape: Shape::Within(size),
    }
}

/// The cost of operands of which each is held while the next ones are evaluated, and the bytes of them all.
fn together(operands: &[Found<'_>]) -> (Cost, u64) {
    let (mut cost, mut held) = (Cost { steps: 0, bytes: 0 }, 0_u64);
    for operand in operands {
        cost.steps = cost.steps.saturating_add(operand.cost.steps);
        cost.bytes = cost.bytes.max(held.saturating_add(operand.cost.bytes));
        held = held.saturating_add(operand.shape.size().bytes());
    }
    (cost, held)
}

/// A list or map of so many.
fn gathered(count: usize, members: Vec<Found<'_>>) -> Found<'_> {
    let (cost, _) = together(&members);
    let size = Size::of_all(count, members.iter().map(|member| member.shape.size()));
    Found {
        cost: copies(cost, size.bytes()),
        shape: Shape::Within(size),
    }
}

fn indexed<'a>(call: &CallExpr, operands: &[Found<'a>]) -> Found<'a> {
    let Some(operand) = operands.first() else {
        return one_by_one(operands, Size::SCALAR);
    };
    let key = call.args.iter().find_map(|arg| match &arg.expr {
        Expr::Literal(LiteralValue::String(key)) => Some(key.inner()),
        _ => None,
    });
    let shape = member(&operand.shape, key);
    let (cost, held) = together(operands);
    let held = match &operand.shape {
        // it is only looked into
        Shape::Known(_) => 0,
        Shape::Within(_) => held,
    };
    Found {
        cost: copies(cost, held.saturating_add(shape.size().bytes())),
        shape,
    }
}

fn member<'a>(of: &Shape<'a>, key: Option<&str>) -> Shape<'a> {
    match (of, key) {
        (Shape::Known(Value::Object(map)), Some(key)) => {
            map.get(key).map_or(Shape::Within(Size::SCALAR), Shape::Known)
        }
        _ => Shape::Within(of.size().member()),
    }
}

/// Any element that a comprehension sees, and how many there are. Those of a map are its keys.
fn elements(range: &Shape<'_>) -> (Size, u64) {
    match range {
        Shape::Known(Value::Object(map)) => {
            let longest = map.keys().map(String::len).max().unwrap_or(0);
            (Size::text(longest), long(map.len()))
        }
        _ => {
            let size = range.size();
            (size.member(), size.count())
        }
    }
}

#[cfg(test)]
#[path = "cost_tests.rs"]
mod tests;

//! What a condition names.

use std::collections::BTreeSet;

use kube_cel::cel::{
    IdedExpr,
    common::ast::{EntryExpr, Expr, LiteralValue, operators},
};

use crate::typed;

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

/// What an expression names.
pub(crate) fn of(expression: &IdedExpr) -> Uses {
    let mut uses = Uses::default();
    walk(expression, &mut uses, &BTreeSet::new());
    uses
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
    use std::collections::BTreeSet;

    use crate::Condition;

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
}

#![allow(clippy::unwrap_used)]
use kube_cel::cel::{Context, Program, Value as CelValue, objects::Key, to_value};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{Condition, Status};

/// Variables of a run with a text of so many bytes.
fn variables(bytes: usize) -> BTreeMap<String, Value> {
    BTreeMap::from([
        (
            "params".to_owned(),
            json!({"a": "x".repeat(bytes), "n": "3", "none": ""}),
        ),
        (
            "stages".to_owned(),
            json!({"build": {"outcome": "succeeded", "results": {"tag": "y".repeat(bytes / 2)}}}),
        ),
        ("result".to_owned(), json!([0.5, 1, 2, [3, 4], "text"])),
    ])
}

fn evaluated(source: &str, bytes: usize) -> Result<bool, ConditionError> {
    Condition::parse(source)?.evaluate(&variables(bytes), Status::Success)
}

fn measured(source: &str, bytes: usize) -> Result<bool, ConditionError> {
    Condition::parse(source)?.holds(&variables(bytes))
}

#[test]
fn texts_and_lists_that_grow_with_each_level_are_refused_before_they_are_made() {
    let mut doubled = "params.a".to_owned();
    let mut copied = "[params.a]".to_owned();
    for level in 0..8 {
        doubled = format!("[{doubled}].map(v{level}, v{level} + v{level})[0]");
        copied = format!("{copied}.map(v{level}, [v{level}, v{level}, v{level}, v{level}])");
    }
    let gathered = "[1, 2, 3, 4].map(a, [1, 2, 3, 4].map(b, [1, 2, 3, 4].map(c, params)))";
    let many = format!("[{}]", vec!["params.a + params.a"; 100].join(", "));
    for large in [doubled.as_str(), &copied, gathered, &many] {
        let source = format!("size({large}) > 0");
        for refused in [evaluated(&source, 32 << 10), measured(&source, 32 << 10)] {
            assert!(
                matches!(
                    refused,
                    Err(ConditionError::TooLarge(_) | ConditionError::TooExpensive(_))
                ),
                "{source}: {refused:?}"
            );
        }
    }
    let said = evaluated(&format!("size({doubled}) > 0"), 32 << 10)
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("bytes of memory") && said.contains("at most 4194304"),
        "{said}"
    );
}

#[test]
fn what_a_run_compares_and_puts_together_is_within_the_bound() {
    let any = vec!["params.a == 'prod'"; 100].join(" || ");
    let whole = vec!["params.a"; 20].join(" + ");
    for (source, holds) in [
        (any.as_str(), false),
        (&format!("size({whole}) > 0"), true),
        ("params.a + 'y' != params.a", true),
        ("size(params) == 3 && 'a' in params", true),
        ("stages.all(s, stages[s].outcome == 'succeeded')", true),
        (
            "size(stages.filter(s, stages[s].results.tag != params.a)) == 1",
            true,
        ),
        ("size([params.a, params.n].map(v, v + v)[1]) == 2", true),
    ] {
        assert_eq!(evaluated(source, 32 << 10), Ok(holds), "{source}");
    }
    let long = BTreeMap::from([("result".to_owned(), json!(vec![0.5; 4_000]))]);
    for source in [
        "result.all(x, x < 1.0)",
        "size(result.filter(x, x < 1.0)) == 4000",
        "max(result.map(x, x * 2.0)) == 1.0",
    ] {
        assert_eq!(
            Condition::parse(source).unwrap().holds(&long),
            Ok(true),
            "{source}"
        );
    }
}

#[test]
fn loops_over_lists_that_were_put_together_count_for_each_element() {
    let list = format!("[{}]", vec!["1"; 50].join(","));
    for source in [
        format!(
            "({list} + {list}).all(a, ({list} + {list}).all(b, ({list} + {list}).all(c, a + b + c > 0)))"
        ),
        format!("[{list}].all(l, l.all(a, l.all(b, l.all(c, a + b + c > 0))))"),
    ] {
        let refused = evaluated(&source, 1);
        assert!(
            matches!(refused, Err(ConditionError::TooExpensive(_))),
            "{refused:?}"
        );
    }
}

/// A value as sizes count it.
fn weight(value: &CelValue) -> u64 {
    const VALUE: u64 = 96;
    let inner = match value {
        CelValue::String(text) => long(text.len()),
        CelValue::Bytes(bytes) => long(bytes.len()),
        CelValue::List(list) => list.iter().map(weight).sum(),
        CelValue::Map(map) => {
            let key = |key: &Key| match key {
                Key::String(text) => VALUE + long(text.len()),
                _ => VALUE,
            };
            map.map.iter().map(|(k, v)| key(k) + weight(v)).sum()
        }
        _ => 0,
    };
    VALUE + inner
}

/// Expressions that put values together in all the ways that there are; most of them can be evaluated.
fn expressions() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "params.a",
        "params['n']",
        "params",
        "stages.build.results",
        "result",
        "result[3]",
        "'é'",
        "b'\\xff'",
        "5e-324",
        "[]",
        "[1, 2, 3]",
        "['a', params.a]",
        "{'k': params.a}",
        "7",
        "v",
        "w",
    ])
    .prop_map(|leaf| leaf.replace("\\xff", &"\\xff".repeat(300)));
    leaf.prop_recursive(6, 24, 2, |inner| {
        let forms = vec![
            "(A + B)",
            "(A + A)",
            "[A, B]",
            "[A].map(v, v + v)[0]",
            "[A, B].map(v, v)",
            "A.map(v, B)",
            "A.map(w, [w, B])",
            "A.map(v, v == v, B)",
            "A.filter(w, w != B)",
            "(A.exists(v, v == B) ? A : B)",
            "A.exists_one(v, true)",
            "{'k': A, 'l': B}",
            "{'k': A}.k",
            "{'k': A}['k']",
            "[A, B][1]",
            "A[0]",
            "string(A)",
            "bytes(A)",
            "string(bytes(A))",
            "max(A, A)",
            "min([A, A])",
            "(size(A) > 1 ? A : B)",
            "optional.of(A).orValue(B)",
            "A.size()",
        ];
        (prop::sample::select(forms), inner.clone(), inner)
            .prop_map(|(form, a, b)| form.replace('A', &a).replace('B', &b))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn no_value_is_larger_than_it_was_said_to_become(source in expressions()) {
        let variables = variables(400);
        let Ok(program) = Program::compile(&source) else { return Ok(()) };
        let (cost, size) = of(program.expression(), &variables);
        if cost.steps > COST || cost.bytes > MEMORY {
            return Ok(());
        }
        let mut context = Context::default();
        for (name, value) in &variables {
            context.add_variable_from_value(name.clone(), to_value(value).unwrap());
        }
        if let Ok(value) = context.resolve(program.expression()) {
            let weight = weight(&value);
            prop_assert!(weight <= size.bytes() && weight <= cost.bytes, "{source}: {weight} bytes, {size:?}, {cost:?}");
        }
    }
}

//! Each limit on modules: what is at it is accepted, what is beyond it is refused by name.
#![allow(clippy::unwrap_used)]

use super::*;

/// Why a module is refused; `None` when it is accepted.
fn refusal(wat: &str) -> Option<String> {
    refusal_of(&wat::parse_str(wat).unwrap())
}

fn refusal_of(wasm: &[u8]) -> Option<String> {
    inspect(wasm).err().map(|error| error.to_string())
}

/// A module made of parts that are numbered from zero.
fn parts(count: usize, part: impl Fn(usize) -> String) -> String {
    format!("(module {})", (0..count).map(part).collect::<String>())
}

fn at_most(limit: usize, what: &str, module: impl Fn(usize) -> String) {
    assert_eq!(refusal(&module(limit)), None, "{what}");
    let refusal = refusal(&module(limit + 1)).unwrap_or_default();
    assert!(
        refusal.contains(what) && refusal.contains(&limit.to_string()),
        "{what}: {refusal}"
    );
}

#[test]
fn a_module_has_at_most_fifty_thousand_functions() {
    at_most(50_000, "functions", |count| parts(count, |_| "(func)".to_owned()));
}

#[test]
fn a_module_has_at_most_a_thousand_globals_whether_they_change_or_not() {
    at_most(1_000, "globals", |count| {
        parts(count, |number| {
            let kind = if number % 2 == 0 { "i32" } else { "(mut i32)" };
            format!("(global {kind} (i32.const 0))")
        })
    });
}

#[test]
fn a_module_exports_at_most_a_thousand_methods_of_all_kinds() {
    at_most(1_000, "methods", |count| {
        parts(count, |number| {
            let kind = ["update", "query", "composite_query"][number % 3];
            format!(r#"(func (export "canister_{kind} {number}"))"#)
        })
    });
    // Other exports do not count.
    let others = parts(1_100, |number| format!(r#"(func (export "other {number}"))"#));
    assert_eq!(refusal(&others), None);
}

#[test]
fn the_names_of_all_methods_have_at_most_twenty_thousand_bytes() {
    at_most(20_000, "characters in names of methods", |total| {
        let (half, rest) = (total / 2, total - total / 2);
        format!(
            r#"(module (func (export "canister_update {}")) (func (export "canister_query {}")))"#,
            "u".repeat(half),
            "q".repeat(rest)
        )
    });
}

#[test]
fn a_module_has_at_most_sixteen_sections_for_the_state_tree() {
    at_most(16, "icp: custom sections", |count| {
        parts(count, |number| {
            let visibility = if number % 2 == 0 { "public" } else { "private" };
            format!(r#"(@custom "icp:{visibility} {number}" "x")"#)
        })
    });
    // Others are not shown and do not count.
    assert_eq!(
        refusal(&parts(40, |number| format!(r#"(@custom "name {number}" "x")"#))),
        None
    );
}

#[test]
fn names_and_contents_of_these_sections_have_at_most_a_mebibyte() {
    at_most(1 << 20, "bytes of icp: custom sections", |total| {
        // The name is what comes after the visibility: three bytes here.
        format!(
            r#"(module (@custom "icp:public abc" "{}") (@custom "icp:private d" "{}"))"#,
            "x".repeat(total / 2 - 3),
            "y".repeat(total - total / 2 - 1)
        )
    });
}

#[test]
fn a_section_for_the_state_tree_says_who_may_see_it_and_has_a_name_of_its_own() {
    for section in ["icp:x", "icp:secret x", "icp:publicx", "icp:"] {
        let refusal = refusal(&format!(r#"(module (@custom "{section}" ""))"#)).unwrap_or_default();
        assert!(refusal.contains(section), "{refusal}");
    }
    let twice = r#"(module (@custom "icp:public x" "") (@custom "icp:private x" ""))"#;
    assert!(refusal(twice).unwrap_or_default().contains("icp:private x"));
    let two = r#"(module (@custom "icp:public x" "") (@custom "icp:private y" ""))"#;
    assert_eq!(refusal(two), None);
}

/// A module whose code section has so many bytes. Instructions are as long as they can be, so that there are few to look at.
fn code_of(bytes: usize) -> Vec<u8> {
    /// `i64.const 0` in eleven bytes, and `drop`.
    const CONSTANT: [u8; 12] = [
        0x42, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0x1a,
    ];
    const NOP: u8 = 1;
    const FUNCTIONS: usize = 7;
    // The section holds the number of functions in a byte, and of each its length in three bytes, the number of its locals
    // and its end in one.
    let body = bytes - 1 - FUNCTIONS * 5;
    let (each, more) = (body / FUNCTIONS, body % FUNCTIONS);
    let mut types = wasm_encoder::TypeSection::new();
    types.ty().function([], []);
    let mut functions = wasm_encoder::FunctionSection::new();
    let mut code = wasm_encoder::CodeSection::new();
    for number in 0..FUNCTIONS {
        functions.function(0);
        let mut function = wasm_encoder::Function::new([]);
        let len = each + usize::from(number < more);
        function.raw(CONSTANT.repeat(len / CONSTANT.len()));
        function.raw(std::iter::repeat_n(NOP, len % CONSTANT.len()));
        function.instruction(&wasm_encoder::Instruction::End);
        code.function(&function);
    }
    let mut module = wasm_encoder::Module::new();
    module.section(&types).section(&functions).section(&code);
    module.finish()
}

#[test]
fn the_code_has_at_most_ten_mebibytes() {
    assert_eq!(refusal_of(&code_of(10 << 20)), None);
    let refusal = refusal_of(&code_of((10 << 20) + 1)).unwrap_or_default();
    assert!(
        refusal.contains("bytes of code") && refusal.contains("10485760"),
        "{refusal}"
    );
}

#[test]
fn a_memory_begins_no_larger_than_one_may_become() {
    for (kind, most) in [("", 65_536), ("i64", 98_304)] {
        assert_eq!(refusal(&format!("(module (memory {kind} {most}))")), None);
    }
    let refusal = refusal("(module (memory i64 98305))").unwrap();
    assert!(
        refusal.contains("98305 pages of 64 KiB, and may have 98304"),
        "{refusal}"
    );
}

#[test]
fn data_that_is_far_apart_fills_no_memory() {
    at_most(1_024, "pages with a little data each", |count| {
        let data = |number| format!("(data (i32.const {}) \"1\")", number * PAGE);
        format!(
            "(module (memory 100) {})",
            (0..count).map(data).collect::<String>()
        )
    });
}

/// What a compiler has to note of a function grows with both, and a small module can have much of both: one of 83 kB took minutes and a GiB.
#[test]
fn a_function_has_a_bounded_number_of_locals_for_all_of_its_blocks() {
    let module = |locals: usize, blocks: usize| {
        format!(
            "(module (func (local {}) {}))",
            "i32 ".repeat(locals),
            "(loop)".repeat(blocks)
        )
    };
    // with the function itself
    assert_eq!(refusal(&module(1_000, 999)), None);
    let refusal_of_more = refusal(&module(1_000, 1_000)).unwrap();
    assert!(
        refusal_of_more.contains("function 0 is too intricate"),
        "{refusal_of_more}"
    );
    let eight = |more: &str| {
        let function = format!("(func (local {}) {})", "i32 ".repeat(1_000), "(loop)".repeat(999));
        format!("(module {} {more})", function.repeat(8))
    };
    assert_eq!(refusal(&eight("")), None);
    let refusal_of_more = refusal(&eight("(func (local i32))")).unwrap();
    assert!(
        refusal_of_more.contains("function 8 is too intricate"),
        "{refusal_of_more}"
    );
}

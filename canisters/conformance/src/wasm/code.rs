//! Steps and expressions.
//!
//! Three sorts of expression, all of them text: *numbers* are i64, *blobs* are an address and a length (two i32), and
//! steps leave nothing. Constants are written as `@[hex]` and functions for callbacks as `#[name]`; [`super::module`] puts
//! addresses and indices in their places.

use std::fmt::Write;

/// A piece of WebAssembly text.
pub type Code = String;

/// Steps one after the other.
pub fn all(steps: impl IntoIterator<Item = Code>) -> Code {
    steps.into_iter().collect::<Vec<_>>().join("\n")
}

// Numbers.

/// A constant.
pub fn int(number: u64) -> Code {
    format!("(i64.const {number})")
}

/// A variable in a mutable global.
pub fn get(variable: &str) -> Code {
    format!("(global.get $v_{variable})")
}

/// A variable on the heap, number 0 to 99.
pub fn cell(number: u32) -> Code {
    format!("(i64.load (i32.const {}))", 1024 + 8 * number)
}

/// A number in stable memory.
pub fn stable(offset: u64) -> Code {
    format!("(call $stable_get (i64.const {offset}))")
}

/// The sum.
pub fn plus(one: impl AsRef<str>, other: impl AsRef<str>) -> Code {
    format!("(i64.add {} {})", one.as_ref(), other.as_ref())
}

/// The difference.
pub fn minus(one: impl AsRef<str>, other: impl AsRef<str>) -> Code {
    format!("(i64.sub {} {})", one.as_ref(), other.as_ref())
}

/// 1 when both are the same, else 0.
pub fn same(one: impl AsRef<str>, other: impl AsRef<str>) -> Code {
    wide(format!("(i64.eq {} {})", one.as_ref(), other.as_ref()))
}

/// A function of the system API without parameters that gives an i64.
pub fn sys(name: &str) -> Code {
    format!("(call ${name})")
}

/// A function of the system API without parameters that gives an i32.
pub fn sys32(name: &str) -> Code {
    wide(format!("(call ${name})"))
}

/// Any i32 as a number.
pub fn wide(code: impl AsRef<str>) -> Code {
    format!("(i64.extend_i32_u {})", code.as_ref())
}

/// A function of the system API that takes a blob and gives an i32.
pub fn ask(name: &str, blob: impl AsRef<str>) -> Code {
    wide(format!("(call ${name} {})", blob.as_ref()))
}

/// The first eight bytes of the argument as a number.
pub fn arg_number() -> Code {
    "(call $arg_number)".to_owned()
}

/// The number that a callback was given.
pub fn env() -> Code {
    "(i64.extend_i32_u (local.get $env))".to_owned()
}

/// The lower 64 bits of a 128-bit result: `canister_cycle_balance128` and such.
pub fn low128(name: &str) -> Code {
    format!("(call $low_{name})")
}

/// Accepts at most so many cycles; how many it were.
pub fn accept_cycles(most: impl AsRef<str>) -> Code {
    format!("(call $accept_cycles {})", most.as_ref())
}

/// Sets the timer; what it was before.
pub fn set_timer(time: impl AsRef<str>) -> Code {
    format!("(call $global_timer_set {})", time.as_ref())
}

/// The heap in pages.
pub fn heap_pages() -> Code {
    wide("(memory.size)")
}

/// Grows the heap; the size before.
pub fn grow_heap(pages: u32) -> Code {
    wide(format!("(memory.grow (i32.const {pages}))"))
}

/// Grows stable memory; the size before.
pub fn grow_stable(pages: u64) -> Code {
    format!("(call $stable64_grow (i64.const {pages}))")
}

// Blobs.

/// A constant.
pub fn bytes(content: impl AsRef<[u8]>) -> Code {
    let mut text = "@[".to_owned();
    for byte in content.as_ref() {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.push(']');
    text
}

/// So many bytes of memory, zero unless somebody wrote there.
pub fn long(length: u32) -> Code {
    format!("(call $long (i32.const {length}))")
}

/// The argument.
pub fn arg() -> Code {
    fetched("msg_arg_data")
}

/// The caller.
pub fn caller() -> Code {
    fetched("msg_caller")
}

/// The canister.
pub fn own_id() -> Code {
    fetched("canister_self")
}

/// A blob that the system API gives with `NAME_size` and `NAME_copy`.
pub fn fetched(name: &str) -> Code {
    format!("(call $get_{name})")
}

/// The eight bytes of a number, little endian.
pub fn number(value: impl AsRef<str>) -> Code {
    format!("(call $number {})", value.as_ref())
}

// Steps.

/// Nothing.
pub fn skip() -> Code {
    "(nop)".to_owned()
}

/// Drops a number.
pub fn drop_it(value: impl AsRef<str>) -> Code {
    format!("(drop {})", value.as_ref())
}

/// Sets a variable in a global.
pub fn set(variable: &str, value: impl AsRef<str>) -> Code {
    format!("(global.set $v_{variable} {})", value.as_ref())
}

/// Adds one to a variable in a global.
pub fn count(variable: &str) -> Code {
    set(variable, plus(get(variable), int(1)))
}

/// Sets a variable on the heap.
pub fn set_cell(number: u32, value: impl AsRef<str>) -> Code {
    format!("(i64.store (i32.const {}) {})", 1024 + 8 * number, value.as_ref())
}

/// Sets a number in stable memory, which is grown to a page when it is empty.
pub fn set_stable(offset: u64, value: impl AsRef<str>) -> Code {
    format!("(call $stable_set (i64.const {offset}) {})", value.as_ref())
}

/// A function of the system API that takes a blob and gives nothing.
pub fn give(name: &str, blob: impl AsRef<str>) -> Code {
    format!("(call ${name} {})", blob.as_ref())
}

/// Adds to the reply.
pub fn append(blob: impl AsRef<str>) -> Code {
    give("msg_reply_data_append", blob)
}

/// Sends the reply.
pub fn reply() -> Code {
    "(call $msg_reply)".to_owned()
}

/// Replies with a blob.
pub fn answer(blob: impl AsRef<str>) -> Code {
    all([append(blob), reply()])
}

/// Replies with numbers.
pub fn answer_numbers<const N: usize>(values: [Code; N]) -> Code {
    let mut steps: Vec<Code> = values.iter().map(|value| append(number(value))).collect();
    steps.push(reply());
    all(steps)
}

/// Rejects.
pub fn reject(message: &str) -> Code {
    give("msg_reject", bytes(message))
}

/// Traps with a message.
pub fn trap(message: &str) -> Code {
    give("trap", bytes(message))
}

/// Certifies data.
pub fn certify(data: impl AsRef<str>) -> Code {
    give("certified_data_set", data)
}

/// Prints into the canister's log.
pub fn print(text: impl AsRef<str>) -> Code {
    give("debug_print", text)
}

/// Does something only when the number is not 0.
pub fn when(condition: impl AsRef<str>, steps: impl IntoIterator<Item = Code>) -> Code {
    format!(
        "(if (i64.ne {} (i64.const 0)) (then {}))",
        condition.as_ref(),
        all(steps)
    )
}

/// Does the first when the number is 0, the second when it is 1, and so on.
pub fn choose(which: impl AsRef<str>, choices: impl IntoIterator<Item = Code>) -> Code {
    let choices = choices
        .into_iter()
        .zip(0_u64..)
        .map(|(step, number)| when(same(which.as_ref(), int(number)), [step]));
    all(choices)
}

/// Counts down from a number, to take a while.
pub fn spin(rounds: u64) -> Code {
    format!("(call $spin (i64.const {rounds}))")
}

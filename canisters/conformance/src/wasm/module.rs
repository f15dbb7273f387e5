//! Puts modules together.

use super::code::{Code, all, append, fetched, int, number, reply, sys32};
use super::imports::Import;
use super::prelude::{FETCHED, function};
use crate::case::Failure;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Where constants begin.
const CONSTANTS: usize = 8_192;

/// A canister module. Two callbacks are there without being defined: `tell_reply` and `tell_reject` answer the present
/// call with a number (0, or the reject code) and the reply or the reject message.
#[derive(Debug, Clone, Default)]
pub struct Module {
    exports: Vec<(String, Code)>,
    callbacks: Vec<(String, Code)>,
    start: Option<Code>,
    custom: Vec<(String, Vec<u8>)>,
    raw: String,
}

impl Module {
    /// A module that does nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Exports a function under any name.
    pub fn export(mut self, name: &str, steps: impl IntoIterator<Item = Code>) -> Self {
        self.exports.push((name.to_owned(), all(steps)));
        self
    }

    /// An update method.
    pub fn update(self, name: &str, steps: impl IntoIterator<Item = Code>) -> Self {
        self.export(&format!("canister_update {name}"), steps)
    }

    /// A query method.
    pub fn query(self, name: &str, steps: impl IntoIterator<Item = Code>) -> Self {
        self.export(&format!("canister_query {name}"), steps)
    }

    /// A composite query method.
    pub fn composite(self, name: &str, steps: impl IntoIterator<Item = Code>) -> Self {
        self.export(&format!("canister_composite_query {name}"), steps)
    }

    /// `canister_init`.
    pub fn init(self, steps: impl IntoIterator<Item = Code>) -> Self {
        self.export("canister_init", steps)
    }

    /// `canister_pre_upgrade`.
    pub fn pre_upgrade(self, steps: impl IntoIterator<Item = Code>) -> Self {
        self.export("canister_pre_upgrade", steps)
    }

    /// `canister_post_upgrade`.
    pub fn post_upgrade(self, steps: impl IntoIterator<Item = Code>) -> Self {
        self.export("canister_post_upgrade", steps)
    }

    /// `canister_inspect_message`.
    pub fn inspect(self, steps: impl IntoIterator<Item = Code>) -> Self {
        self.export("canister_inspect_message", steps)
    }

    /// `canister_global_timer`.
    pub fn timer(self, steps: impl IntoIterator<Item = Code>) -> Self {
        self.export("canister_global_timer", steps)
    }

    /// A callback.
    pub fn callback(mut self, name: &str, steps: impl IntoIterator<Item = Code>) -> Self {
        self.callbacks.push((name.to_owned(), all(steps)));
        self
    }

    /// The start function.
    pub fn start(mut self, steps: impl IntoIterator<Item = Code>) -> Self {
        self.start = Some(all(steps));
        self
    }

    /// A custom section.
    pub fn section(mut self, name: &str, content: &[u8]) -> Self {
        self.custom.push((name.to_owned(), content.to_vec()));
        self
    }

    /// More fields of the module in the text format.
    pub fn raw(mut self, text: &str) -> Self {
        self.raw.push_str(text);
        self
    }

    /// The module in the binary format.
    pub fn build(&self) -> Result<Vec<u8>, Failure> {
        Ok(wat::parse_str(self.text()?)?)
    }

    /// The module in the text format.
    pub fn text(&self) -> Result<String, Failure> {
        let begin = format!("(global.set $free (i32.const {FETCHED}))");
        let mut functions = String::new();
        for (name, body) in &self.exports {
            let _ = writeln!(functions, "(func (export \"{name}\") {begin} {body})");
        }
        if let Some(body) = &self.start {
            let _ = writeln!(functions, "(func $begin {begin} {body}) (start $begin)");
        }
        functions.push_str(&self.raw);
        let mut callbacks = self.callbacks.clone();
        for (name, body) in [("tell_reply", tell_reply()), ("tell_reject", tell_reject())] {
            let used = functions.contains(&format!("#[{name}]"))
                || callbacks
                    .iter()
                    .any(|(_, body)| body.contains(&format!("#[{name}]")));
            if used {
                callbacks.push((name.to_owned(), body));
            }
        }
        for (name, body) in &callbacks {
            let _ = writeln!(functions, "(func $f_{name} (param $env i32) {begin} {body})");
        }
        let (functions, data) = place_constants(&place_callbacks(&functions, &callbacks)?)?;
        let (imports, prelude, variables) = needs(&functions)?;
        let elements: String = callbacks.iter().map(|(name, _)| format!(" $f_{name}")).collect();
        let mut sections = String::new();
        for (name, content) in &self.custom {
            let _ = writeln!(sections, "(@custom \"{name}\" \"{}\")", escaped(content));
        }
        let pages = (FETCHED / 65_536).max(u32::try_from((CONSTANTS + data.len()) / 65_536 + 1)?);
        if CONSTANTS + data.len() > FETCHED as usize {
            return Err(Failure::new("the constants of a module do not fit"));
        }
        Ok(format!(
            "(module\n{imports}(memory (export \"memory\") {})\n(global $free (mut i32) (i32.const 0))\n{variables}\
             (table {} funcref)\n(elem (i32.const 0){elements})\n{prelude}{functions}\
             (data (i32.const {CONSTANTS}) \"{}\")\n{sections})",
            pages + 1,
            callbacks.len(),
            escaped(&data)
        ))
    }
}

fn tell_reply() -> Code {
    all([append(number(int(0))), append(fetched("msg_arg_data")), reply()])
}

fn tell_reject() -> Code {
    all([
        append(number(sys32("msg_reject_code"))),
        append(fetched("msg_reject_msg")),
        reply(),
    ])
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "\\{byte:02x}");
        text
    })
}

/// Replaces what stands between an opening and `]`.
fn replaced(
    text: &str,
    opening: &str,
    mut replace: impl FnMut(&str) -> Result<String, Failure>,
) -> Result<String, Failure> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(opening) {
        let Some((inside, tail)) = after.split_once(']') else {
            return Err(Failure::new("a constant has no end"));
        };
        out.push_str(before);
        out.push_str(&replace(inside)?);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

fn place_callbacks(text: &str, callbacks: &[(String, Code)]) -> Result<String, Failure> {
    replaced(text, "#[", |name| {
        let index = callbacks
            .iter()
            .position(|(callback, _)| callback == name)
            .ok_or_else(|| Failure::new(format!("there is no callback {name}")))?;
        Ok(format!("(i32.const {index})"))
    })
}

/// Gives each constant a place; equal ones share it.
fn place_constants(text: &str) -> Result<(String, Vec<u8>), Failure> {
    let mut data: Vec<u8> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let text = replaced(text, "@[", |digits| {
        let content = hex::decode(digits)?;
        let at = *places.entry(digits.to_owned()).or_insert_with(|| {
            let at = CONSTANTS + data.len();
            data.extend(&content);
            at
        });
        Ok(format!("(i32.const {at}) (i32.const {})", content.len()))
    })?;
    Ok((text, data))
}

/// The names after `$` in a text.
fn names(text: &str) -> BTreeSet<String> {
    text.split('$')
        .skip(1)
        .map(|rest| {
            rest.chars()
                .take_while(|character| character.is_ascii_alphanumeric() || *character == '_')
                .collect()
        })
        .collect()
}

/// The imports, the functions and the variables that a text uses, directly or not.
fn needs(text: &str) -> Result<(String, String, String), Failure> {
    let (mut imports, mut prelude, mut variables) = (String::new(), String::new(), String::new());
    let mut seen = BTreeSet::new();
    let mut open: Vec<String> = names(text).into_iter().collect();
    while let Some(name) = open.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        if name.starts_with("v_") {
            let _ = writeln!(variables, "(global ${name} (mut i64) (i64.const 0))");
        } else if let Some(import) = Import::named(&name) {
            imports.push_str(&import.declaration());
        } else if let Some(code) = function(&name) {
            open.extend(names(&code));
            prelude.push_str(&code);
        }
    }
    Ok((imports, prelude, variables))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::code::*;
    use super::super::imports::{IMPORTS, Import};
    use super::super::{Call, Module};
    use candid::Principal;

    #[test]
    fn a_module_with_everything_is_valid() {
        let module = Module::new()
            .update("a", [count("n"), answer_numbers([get("n"), cell(3), stable(8)])])
            .update(
                "b",
                [Call::to(Principal::anonymous(), "x")
                    .arg(arg())
                    .cycles(int(3))
                    .go()],
            )
            .update("c", [set("code", Call::to(Principal::anonymous(), "x").code())])
            .query("d", [answer(fetched("data_certificate"))])
            .query(
                "e",
                [when(same(arg_number(), int(2)), [trap("two")]), answer(long(9))],
            )
            .init([drop_it(set_timer(int(4))), set_stable(8, int(1)), spin(10)])
            .start([set("n", int(1))])
            .callback(
                "seen",
                [
                    set("seen", env()),
                    answer(number(low128("msg_cycles_refunded128"))),
                ],
            )
            .section("icp:public x", b"hello");
        assert!(module.build().unwrap().starts_with(b"\0asm"));
    }

    #[test]
    fn every_import_can_be_called() {
        let steps = IMPORTS.iter().map(Import::called_with_zeros);
        assert!(Module::new().update("all", steps).build().is_ok());
    }

    #[test]
    fn a_callback_that_is_missing_is_found_out() {
        let call = Call::to(Principal::anonymous(), "x").then("nobody");
        assert!(Module::new().update("a", [call.go()]).build().is_err());
    }
}

//! The text of an expression before it is parsed: what of it is code, and what stands in string literals and comments.
//!
//! Source: the lexical rules of CEL (`CEL.g4`), of which a literal that does not hold leaves the rest of the text without meaning.

use std::fmt;

/// Characters that may follow a backslash as they are.
const PLAIN_ESCAPES: &str = "abfnrtv\"'\\?`";

/// Why a string literal is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// It does not end, or not on its line.
    Open,
    /// CEL knows no such escape.
    Escape(String),
    /// It stands directly behind a number, of which it may seem to be a part.
    BehindNumber,
}

impl fmt::Display for Flaw {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => formatter.write_str("the string that begins here does not end on its line"),
            Self::Escape(escape) => write!(
                formatter,
                "`{escape}` is no escape that CEL knows: double the backslash, or write the string as r'…', in which it stands for itself"
            ),
            Self::BehindNumber => {
                formatter.write_str("a string cannot follow a number without an operator between them")
            }
        }
    }
}

/// A flaw and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flawed {
    /// From 1.
    pub line: isize,
    /// From 1.
    pub column: isize,
    /// What it is.
    pub flaw: Flaw,
}

/// Where a character of the text stands: line and column, from 1.
pub(crate) fn place(source: &str, at: usize) -> (isize, isize) {
    let (mut line, mut column) = (1, 1);
    for character in source.chars().take(at) {
        if character == '\n' {
            (line, column) = (line + 1, 1);
        } else {
            column += 1;
        }
    }
    (line, column)
}

/// The characters that are code, with their numbers from 0; a comment is a space.
///
/// # Errors
/// With the first string literal that is none.
pub(crate) fn code(source: &str) -> Result<Vec<(usize, char)>, Flawed> {
    let text: Vec<char> = source.chars().collect();
    let (mut code, mut at) = (Vec::new(), 0);
    while let Some(&character) = text.get(at) {
        match character {
            '"' | '\'' => {
                let behind = raw(&text, at).and_then(|raw| literal(&text, at, raw));
                at = behind.map_err(|(at, flaw)| {
                    let (line, column) = place(source, at);
                    Flawed { line, column, flaw }
                })?;
            }
            '/' if text.get(at + 1) == Some(&'/') => {
                code.push((at, ' '));
                at = (at..text.len())
                    .find(|at| text[*at] == '\n')
                    .unwrap_or(text.len());
            }
            _ => {
                code.push((at, character));
                at += 1;
            }
        }
    }
    Ok(code)
}

/// Whether what stands directly before a quote makes the literal raw: `r` or `br`, and no longer name.
fn raw(text: &[char], quote: usize) -> Result<bool, (usize, Flaw)> {
    let is_part = |at: usize| text[at].is_ascii_alphanumeric() || text[at] == '_';
    let mut begin = quote;
    while let Some(before) = begin.checked_sub(1).filter(|at| is_part(*at)) {
        begin = before;
    }
    match text[begin..quote] {
        [first, ..] if first.is_ascii_digit() => Err((quote, Flaw::BehindNumber)),
        ['r' | 'R'] | ['b' | 'B', 'r' | 'R'] => Ok(true),
        _ => Ok(false),
    }
}

/// The place behind a literal whose quote is at a place; otherwise that of its flaw.
fn literal(text: &[char], begin: usize, raw: bool) -> Result<usize, (usize, Flaw)> {
    let quote = text[begin];
    let is_quote = |at: usize| text.get(at) == Some(&quote);
    let triple = is_quote(begin + 1) && is_quote(begin + 2);
    let mut at = begin + if triple { 3 } else { 1 };
    while let Some(&character) = text.get(at) {
        match character {
            '\\' if !raw => at += escape(&text[at..]).map_err(|escape| (at, Flaw::Escape(escape)))?,
            _ if is_quote(at) && !triple => return Ok(at + 1),
            _ if is_quote(at) && is_quote(at + 1) && is_quote(at + 2) => return Ok(at + 3),
            '\n' | '\r' if !triple => break,
            _ => at += 1,
        }
    }
    Err((begin, Flaw::Open))
}

/// How long the escape is that begins a text; otherwise what stands in its place.
fn escape(text: &[char]) -> Result<usize, String> {
    let hexadecimal = |count: usize| {
        let digits = text.get(2..2 + count);
        digits.is_some_and(|digits| digits.iter().all(char::is_ascii_hexdigit))
    };
    let octal = |digits: &[char]| digits.iter().all(|digit| ('0'..='7').contains(digit));
    let length = match text.get(1) {
        Some(plain) if PLAIN_ESCAPES.contains(*plain) => Some(2),
        Some('x' | 'X') => hexadecimal(2).then_some(4),
        Some('u') => hexadecimal(4).then_some(6),
        Some('U') => hexadecimal(8).then_some(10),
        Some('0'..='3') => text.get(2..4).filter(|digits| octal(digits)).map(|_| 4),
        _ => None,
    };
    length.ok_or_else(|| text.iter().take(2).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Condition;
    use proptest::prelude::*;

    fn shown(source: &str) -> Result<String, String> {
        match code(source) {
            Ok(code) => Ok(code.into_iter().map(|(_, character)| character).collect()),
            Err(Flawed { line, column, flaw }) => Err(format!("{line}:{column} {flaw}")),
        }
    }

    #[test]
    fn what_stands_in_literals_and_comments_is_no_code() {
        for (source, code) in [
            (r#"a == "(" + b"#, "a ==  + b"),
            (r#"a == "\"(" + b"#, "a ==  + b"),
            (r#"a == r"\" + b"#, "a == r + b"),
            (r#"a == bR"\" + b"#, "a == bR + b"),
            ("a == '''it's (\n''' + b", "a ==  + b"),
            ("a // ' (\n + b", "a  \n + b"),
            (r"a == '\x41é\101\U0001F600' + b", "a ==  + b"),
            ("'' + b", " + b"),
        ] {
            assert_eq!(shown(source).as_deref(), Ok(code), "{source}");
        }
    }

    #[test]
    fn a_literal_that_does_not_end_or_escapes_what_it_cannot_is_told_at_its_place() {
        for (source, said) in [
            ("a == 'it's'", "1:11 the string that begins here"),
            ("a ==\n 'x\n'", "2:2 the string that begins here"),
            (r"a.matches('^v\d')", r"1:14 `\d` is no escape"),
            (r"a == '\x4g'", r"1:7 `\x` is no escape"),
            (r"a == '\400'", r"1:7 `\4` is no escape"),
            (r"a == 'x\", r"1:8 `\` is no escape"),
            // of another name than `r`
            (r#"xr"\" == b"#, "1:3 the string that begins here"),
            (r#"1r"\" == b"#, "1:3 a string cannot follow a number"),
        ] {
            let told = shown(source).unwrap_err();
            assert!(told.starts_with(said), "{source}: {told}");
        }
    }

    proptest! {
        /// What is hidden here is counted nowhere, so it may never be what the parser takes for code.
        #[test]
        fn what_is_a_literal_here_is_one_for_the_parser(
            prefix in prop::sample::select(vec!["", "r"]),
            quote in prop::sample::select(vec!["\"", "'", "\"\"\"", "'''"]),
            parts in prop::collection::vec(prop::sample::select(vec![
                "\"", "'", "\\", "\\n", "\\\"", "\\x41", "\\u00e9", "\\101", "r", "(", "\n", "//", "é", " ",
            ]), 0..8),
        ) {
            let text = format!("{prefix}{quote}{}{quote}", parts.concat());
            let all: Vec<char> = text.chars().collect();
            let ends = literal(&all, prefix.len(), prefix == "r") == Ok(all.len());
            let parsed = Condition::parse(&text).map(drop).map_err(|error| error.to_string());
            if let Err(said) = &parsed {
                // What it refuses behind the lexer is its own affair: it reads a quote in front of three as one too many.
                prop_assert!(!ends || !said.contains("Syntax error"), "{:?}: {}", text, said);
            } else {
                prop_assert!(code(&text).is_ok(), "{:?}", text);
            }
        }
    }
}

//! The file behind `$DCANARY_RESULTS`: `key=value` lines, and `key<<WORD` … `WORD` for values of several lines.

use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use dcanary_protocol::limits::{NAME_BYTES, RESULTS};
use nix::fcntl::OFlag;
use thiserror::Error;

/// Largest file, beyond all results that it could hold within their limits in practice.
const FILE_BYTES: u64 = 64 << 20;

/// Why a results file is refused. A message says the line and the rule and repeats nothing of the line: what looks like a name may be the
/// beginning of a secret (`echo "$KEY" >> "$DCANARY_RESULTS"` with a base64 key that ends in `=`), and masking finds whole secrets only.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum ResultsError {
    #[error("the results file cannot be read: {0}")]
    Read(String),
    #[error("the results file is not a plain file any more")]
    NotAFile,
    #[error("the results file is larger than {FILE_BYTES} bytes")]
    FileTooLarge,
    #[error("line {0} of the results file is not UTF-8")]
    NotText(usize),
    #[error("line {0} of the results file has neither `key=value` nor `key<<WORD`")]
    NoSeparator(usize),
    #[error(
        "line {0} of the results file has no name before its `=` or `<<`; a line is `key=value` or `key<<WORD`, and the key has 1 to {NAME_BYTES} letters, digits, `.`, `_` and `-` and begins with a letter or digit"
    )]
    Name(usize),
    #[error("line {0} of the results file has `<<` without a word after it")]
    NoWord(usize),
    #[error(
        "the value that begins at line {0} of the results file has no end: no line follows that is the word after its `<<`, and nothing else"
    )]
    Unended(usize),
    #[error("the value in line {0} of the results file holds a zero byte")]
    Zero(usize),
    #[error("the value in line {line} of the results file has {size} bytes; the limit is {limit}")]
    TooLarge { line: usize, size: usize, limit: u64 },
    #[error("more than {RESULTS} results")]
    TooMany,
}

/// One result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StepResult {
    pub(crate) name: String,
    pub(crate) value: String,
    /// The word that ended the value, if it was written as `key<<WORD`.
    pub(crate) word: Option<String>,
}

/// Reads a results file. It lies where hostile steps can write, so it may be anything by now.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<StepResult>, ResultsError> {
    let failed = |error: std::io::Error| ResultsError::Read(error.to_string());
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = match std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)
    {
        // A step that removes its file has no results.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened.map_err(failed)?,
    };
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(ResultsError::NotAFile);
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(ResultsError::FileTooLarge);
    }
    parse(&bytes, limit)
}

fn parse(bytes: &[u8], limit: u64) -> Result<Vec<StepResult>, ResultsError> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let mut lines = bytes.split(|&byte| byte == b'\n').enumerate();
    let mut results: Vec<StepResult> = Vec::new();
    while let Some((number, line)) = lines.next() {
        let number = number + 1;
        let line = std::str::from_utf8(line).map_err(|_| ResultsError::NotText(number))?;
        if line.is_empty() {
            continue;
        }
        let (equals, here) = (line.find('='), line.find("<<"));
        let (name, value, word) = match (equals, here) {
            (Some(at), here) if here.is_none_or(|here| at < here) => {
                (&line[..at], line[at + 1..].to_owned(), None)
            }
            (_, Some(at)) => {
                let word = &line[at + 2..];
                if word.trim().is_empty() {
                    return Err(ResultsError::NoWord(number));
                }
                let mut value: Option<String> = None;
                loop {
                    let Some((inner, text)) = lines.next() else {
                        return Err(ResultsError::Unended(number));
                    };
                    let text = std::str::from_utf8(text).map_err(|_| ResultsError::NotText(inner + 1))?;
                    if text == word {
                        break;
                    }
                    match &mut value {
                        None => value = Some(text.to_owned()),
                        Some(value) => {
                            value.push('\n');
                            value.push_str(text);
                        }
                    }
                }
                (&line[..at], value.unwrap_or_default(), Some(word.to_owned()))
            }
            _ => return Err(ResultsError::NoSeparator(number)),
        };
        check(number, name, &value, limit)?;
        // The last one of a name counts.
        results.retain(|result| result.name != name);
        results.push(StepResult {
            name: name.to_owned(),
            value,
            word,
        });
        if results.len() > RESULTS {
            return Err(ResultsError::TooMany);
        }
    }
    Ok(results)
}

fn check(line: usize, name: &str, value: &str, limit: u64) -> Result<(), ResultsError> {
    let begins = name.starts_with(|character: char| character.is_ascii_alphanumeric());
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if !begins || name.len() > NAME_BYTES || !name.bytes().all(allowed) {
        return Err(ResultsError::Name(line));
    }
    if value.contains('\0') {
        return Err(ResultsError::Zero(line));
    }
    if value.len() as u64 > limit {
        return Err(ResultsError::TooLarge {
            line,
            size: value.len(),
            limit,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let results = parse(text.as_bytes(), 1 << 20).unwrap();
        results
            .into_iter()
            .map(|result| (result.name, result.value))
            .collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn values_hold_quotes_semicolons_equals_and_heredoc_marks_as_they_are() {
        assert_eq!(
            pairs("a=b=c<<d; \"x\" '$(touch pwned)'\n\nempty=\n"),
            [pair("a", "b=c<<d; \"x\" '$(touch pwned)'"), pair("empty", "")]
        );
    }

    #[test]
    fn a_value_of_several_lines_ends_at_its_word_only() {
        assert_eq!(
            pairs("notes<<EOF\none\n EOF\n\ntwo=2\nEOF\nnext=1"),
            [pair("notes", "one\n EOF\n\ntwo=2"), pair("next", "1")]
        );
        assert_eq!(pairs("none<<E\nE\n"), [pair("none", "")]);
        assert_eq!(pairs("blank<<E\n\nE\n"), [pair("blank", "")]);
    }

    #[test]
    fn the_last_value_of_a_name_counts() {
        assert_eq!(pairs("a=1\nb=2\na=3\n"), [pair("b", "2"), pair("a", "3")]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let error = |text: &[u8]| parse(text, 8).unwrap_err();
        assert_eq!(error(b"a=1\nnonsense\n"), ResultsError::NoSeparator(2));
        assert_eq!(error(b"a=1\n\xff=\n"), ResultsError::NotText(2));
        assert_eq!(error(b"a<<\n"), ResultsError::NoWord(1));
        assert_eq!(error(b"a<<E\nx\n"), ResultsError::Unended(1));
        for line in [
            "a b=1",
            "=1",
            "../x=1",
            &format!("{}=1", "a".repeat(NAME_BYTES + 1)),
        ] {
            assert_eq!(error(line.as_bytes()), ResultsError::Name(1), "{line}");
        }
        assert_eq!(error(b"ok=1\na=x\0"), ResultsError::Zero(2));
        assert_eq!(
            error(b"a=123456789"),
            ResultsError::TooLarge {
                line: 1,
                size: 9,
                limit: 8
            }
        );
    }

    #[test]
    fn no_message_repeats_a_piece_of_a_line_because_it_may_be_a_piece_of_a_secret() {
        let long = format!("c0rrect{}=1", "x".repeat(NAME_BYTES));
        let cases = [
            "c0rrect/horse+battery==",
            "c0rrect-horse",
            "x<<c0rrect-horse\nvalue",
            "c0rrect<<E\nvalue",
            "c0rrect=horse\0",
            "c0rrect=123456789",
            &long,
        ];
        for text in cases {
            let message = parse(text.as_bytes(), 8).unwrap_err().to_string();
            assert!(
                !message.contains("c0rrect") && !message.contains("horse"),
                "{message}"
            );
            assert!(message.contains("line 1"), "{message}");
        }
    }

    #[test]
    fn a_line_without_a_valid_name_is_told_what_a_right_one_looks_like() {
        let message = parse(b"a b=1", 8).unwrap_err().to_string();
        assert!(
            message.contains("`key=value` or `key<<WORD`") && message.contains("letters, digits"),
            "{message}"
        );
    }

    #[test]
    fn a_results_file_that_became_something_else_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        assert!(matches!(read(&link, 8), Err(ResultsError::Read(_))));
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(read(&fifo, 8), Err(ResultsError::NotAFile));
    }
}

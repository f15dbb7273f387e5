//! How things are printed: colours only on a terminal, machine formats without any.

pub mod age;
pub mod screen;
pub mod table;

use std::{
    ffi::OsString,
    io::{IsTerminal as _, Write as _},
};

use serde::Serialize;

use crate::{
    args::{Format, Global},
    exit::Failure,
};

/// Whether escapes may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Colours.
    pub color: bool,
}

/// What decides about colours besides the flags.
struct Surroundings {
    /// Whether standard output is a terminal.
    terminal: bool,
    /// `$NO_COLOR`; set and not empty, it forbids them (no-color.org)
    no_color: Option<OsString>,
    /// `$TERM`
    term: Option<OsString>,
}

/// A colour with a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Well.
    Good,
    /// Badly.
    Bad,
    /// Look at it.
    Warn,
    /// Under way.
    Busy,
    /// Beside the point.
    Faint,
    /// A heading.
    Strong,
}

impl Style {
    /// Without escapes.
    pub const PLAIN: Self = Self { color: false };

    /// What standard output can show, and what was asked for.
    pub fn detect(global: &Global) -> Self {
        Self::of(
            global,
            &Surroundings {
                terminal: std::io::stdout().is_terminal(),
                no_color: std::env::var_os("NO_COLOR"),
                term: std::env::var_os("TERM"),
            },
        )
    }

    /// Colours on a terminal that has them, unless they are unwanted: pure.
    fn of(global: &Global, around: &Surroundings) -> Self {
        let set = |value: &Option<OsString>| value.as_ref().is_some_and(|value| !value.is_empty());
        let unwanted = global.no_color || set(&around.no_color);
        let dumb = around.term.as_ref().is_some_and(|term| term == "dumb");
        Self {
            color: !unwanted && !dumb && around.terminal,
        }
    }

    /// The text in a tone.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        if !self.color || text.is_empty() {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Warn => "33",
            Tone::Busy => "36",
            Tone::Faint => "2",
            Tone::Strong => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// Prints text; a closed pipe is no error.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints a note for people beside the output.
pub fn note(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "{text}");
}

/// A value as JSON or YAML, for `-o json` and `-o yaml`.
///
/// # Errors
/// When the value has no such form.
pub fn machine(value: &impl Serialize, format: Format) -> Result<String, Failure> {
    let cannot = |source: String| Failure::cannot_tell(format!("cannot print this as asked: {source}"));
    match format {
        Format::Yaml => serde_saphyr::to_string(value)
            .map(|text| text.trim_end().to_owned() + "\n")
            .map_err(|source| cannot(source.to_string())),
        _ => serde_json::to_string_pretty(value)
            .map(|text| text + "\n")
            .map_err(|source| cannot(source.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colour_there_are_no_escapes() {
        assert_eq!(Style::PLAIN.paint(Tone::Bad, "x"), "x");
        assert_eq!(
            Style { color: true }.paint(Tone::Bad, "x"),
            "\u{1b}[31mx\u{1b}[0m"
        );
        assert_eq!(Style { color: true }.paint(Tone::Bad, ""), "");
    }

    #[test]
    fn colours_are_for_terminals_and_only_where_nobody_forbids_them() {
        let color = |flag: bool, terminal: bool, no_color: Option<&str>, term: Option<&str>| {
            let global = Global {
                no_color: flag,
                ..Global::default()
            };
            let around = Surroundings {
                terminal,
                no_color: no_color.map(OsString::from),
                term: term.map(OsString::from),
            };
            Style::of(&global, &around).color
        };
        assert!(color(false, true, None, Some("xterm")));
        assert!(color(false, true, None, None));
        assert!(color(false, true, Some(""), None), "an empty NO_COLOR is none");
        assert!(!color(true, true, None, None), "--no-color");
        assert!(!color(false, true, Some("1"), None), "NO_COLOR");
        assert!(!color(false, true, Some("0"), None), "NO_COLOR with any value");
        assert!(!color(false, true, None, Some("dumb")));
        assert!(!color(false, false, None, Some("xterm")), "a pipe or a file");
    }

    #[test]
    fn machine_formats_end_with_one_newline() {
        let value = serde_json::json!({"a": [1, "x"]});
        for format in [Format::Json, Format::Yaml] {
            let text = machine(&value, format).unwrap();
            assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{text:?}");
        }
    }
}

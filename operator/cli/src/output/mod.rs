//! How things are printed: colours only on a terminal, machine formats without any.

pub mod age;
pub mod table;

use std::io::{IsTerminal as _, Write as _};

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
        let unwanted = global.no_color || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            color: !unwanted && !dumb && std::io::stdout().is_terminal(),
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
    fn machine_formats_end_with_one_newline() {
        let value = serde_json::json!({"a": [1, "x"]});
        for format in [Format::Json, Format::Yaml] {
            let text = machine(&value, format).unwrap();
            assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{text:?}");
        }
    }
}

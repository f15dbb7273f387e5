//! Log lines with the stage before them, and the attempt from the second on.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::output::{Style, Tone};

/// One line as the server sends it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Line {
    /// Stage.
    pub stage: String,
    /// Attempt: its number or UID.
    #[serde(default)]
    pub attempt: serde_json::Value,
    /// Index of the step.
    #[serde(default)]
    pub step: u32,
    /// `stdout` or `stderr`.
    #[serde(default)]
    pub stream: String,
    /// When it was written, RFC 3339.
    #[serde(default)]
    pub time: String,
    /// The line, without the newline.
    pub line: String,
}

impl Line {
    /// A line of a Pod.
    pub fn plain(stage: &str, attempt: &str, line: String) -> Self {
        Self {
            stage: stage.to_owned(),
            attempt: attempt.into(),
            step: 0,
            stream: "stdout".to_owned(),
            time: String::new(),
            line,
        }
    }

    /// What stands before the line: the stage, and the attempt where it is not the first.
    fn origin(&self) -> String {
        // a Pod's label has the number as a text
        let text = self.attempt.as_str().and_then(|text| text.parse().ok());
        match self.attempt.as_u64().or(text) {
            Some(number) if number > 1 => format!("{}#{number}", self.stage),
            _ => self.stage.clone(),
        }
    }
}

const TONES: [Tone; 4] = [Tone::Busy, Tone::Good, Tone::Warn, Tone::Strong];

/// The line to print; each stage keeps its tone. Escapes in the line are left where the terminal takes them, and removed elsewhere.
pub fn line(line: &Line, tones: &mut BTreeMap<String, Tone>, style: Style) -> String {
    let next = TONES[tones.len() % TONES.len()];
    let tone = *tones.entry(line.stage.clone()).or_insert(next);
    let text = if style.color {
        line.line.clone()
    } else {
        without_escapes(&line.line)
    };
    format!("{} {text}\n", style.paint(tone, &format!("{} |", line.origin())))
}

/// Removes `ESC [ … letter` and other control characters but the tabulator.
fn without_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            if chars.next() == Some('[') {
                let _ = chars.by_ref().find(char::is_ascii_alphabetic);
            }
        } else if c == '\t' || !c.is_control() {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_prefixed_by_their_stage_and_plain_output_has_no_escapes() {
        let mut tones = BTreeMap::new();
        let red = Line::plain("build", "1", "\u{1b}[31mred\u{1b}[0m\tend\r".to_owned());
        assert_eq!(line(&red, &mut tones, Style::PLAIN), "build | red\tend\n");
    }

    #[test]
    fn lines_of_a_later_attempt_are_told_from_those_of_the_first() {
        let mut tones = BTreeMap::new();
        let mut said = |attempt: serde_json::Value| {
            let later = Line {
                attempt,
                ..Line::plain("unit", "", "x".to_owned())
            };
            line(&later, &mut tones, Style::PLAIN)
        };
        assert_eq!(said(1.into()), "unit | x\n");
        assert_eq!(said(2.into()), "unit#2 | x\n", "as the server sends it");
        assert_eq!(said("3".into()), "unit#3 | x\n", "as the label of a Pod has it");
    }

    #[test]
    fn each_stage_keeps_its_colour() {
        let mut tones = BTreeMap::new();
        let style = Style { color: true };
        let first = line(&Line::plain("a", "1", "x".to_owned()), &mut tones, style);
        let other = line(&Line::plain("b", "1", "x".to_owned()), &mut tones, style);
        assert_eq!(
            line(&Line::plain("a", "1", "x".to_owned()), &mut tones, style),
            first
        );
        assert_ne!(first.replace('a', "b"), other);
    }
}

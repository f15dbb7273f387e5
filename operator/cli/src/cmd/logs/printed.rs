//! What was printed of a log, so that a stream that is opened again goes on where the last one broke off.
//!
//! The server's stream has no positions, and it always begins at the beginning. The lines of one attempt keep their order, so the
//! fingerprints of those printed are compared with those that come. Counting them would not do: of a long log the server
//! drops the middle, also while nobody is connected.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use crate::render::logs::Line;

/// The lines of all attempts that were printed. Pure.
#[derive(Debug, Default)]
pub struct Printed {
    attempts: BTreeMap<(String, String), Attempt>,
    lines: usize,
}

#[derive(Debug, Default)]
struct Attempt {
    /// Fingerprints of what was printed, in order.
    seen: Vec<u64>,
    /// So many of them have come in the present stream, or were dropped by the server.
    at: usize,
    /// Marks of lines that the server dropped. They count only when what follows was not printed: else the gap was seen whole.
    held: Vec<Line>,
}

impl Printed {
    /// Lines that were printed.
    pub fn lines(&self) -> usize {
        self.lines
    }

    /// A new stream begins, with the first line of each attempt.
    pub fn begin_again(&mut self) {
        for attempt in self.attempts.values_mut() {
            attempt.at = 0;
            attempt.held.clear();
        }
    }

    /// What is to be printed now that this line has come: nothing where it was printed before.
    pub fn take(&mut self, line: Line) -> Vec<Line> {
        let key = (line.stage.clone(), line.attempt.to_string());
        let attempt = self.attempts.entry(key).or_default();
        if is_mark(&line) {
            attempt.held.push(line);
            return Vec::new();
        }
        let print = fingerprint(&line);
        let ahead = attempt.seen.iter().skip(attempt.at);
        if let Some(later) = ahead.copied().position(|seen| seen == print) {
            attempt.at += later + 1;
            attempt.held.clear();
            return Vec::new();
        }
        attempt.seen.push(print);
        attempt.at = attempt.seen.len();
        let mut out = std::mem::take(&mut attempt.held);
        out.push(line);
        self.lines += out.len();
        out
    }

    /// What is still to be printed when the stream has come to its end.
    pub fn rest(&mut self) -> Vec<Line> {
        let held = self
            .attempts
            .values_mut()
            .filter(|attempt| attempt.at == attempt.seen.len());
        let rest: Vec<Line> = held
            .flat_map(|attempt| std::mem::take(&mut attempt.held))
            .collect();
        self.lines += rest.len();
        rest
    }
}

/// Whether the server says with this line that it dropped some. A step can write such a line too; it is then shown with the next one.
fn is_mark(line: &Line) -> bool {
    line.stream == "stderr"
        && line.line.starts_with("[dcanary: ")
        && line.line.contains(" lines were dropped here")
}

fn fingerprint(line: &Line) -> u64 {
    let mut hasher = DefaultHasher::new();
    (line.step, &line.time, &line.stream, &line.line).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(attempt: u32, text: &str) -> Line {
        Line {
            attempt: attempt.into(),
            ..Line::plain("build", "", text.to_owned())
        }
    }

    fn mark(lines: u32) -> Line {
        Line {
            stream: "stderr".to_owned(),
            ..line(
                1,
                &format!(
                    "[dcanary: {lines} lines were dropped here; the kept log of an attempt is limited to 9 bytes]"
                ),
            )
        }
    }

    fn take(printed: &mut Printed, lines: impl IntoIterator<Item = Line>) -> Vec<String> {
        let taken = lines.into_iter().flat_map(|line| printed.take(line));
        taken.map(|line| line.line).collect()
    }

    #[test]
    fn a_stream_that_begins_again_shows_only_what_was_not_printed() {
        let mut printed = Printed::default();
        let first = ["a", "same", "same"].map(|text| line(1, text));
        assert_eq!(take(&mut printed, first), ["a", "same", "same"]);
        printed.begin_again();
        let again = ["a", "same", "same", "same", "b"].map(|text| line(1, text));
        assert_eq!(take(&mut printed, again), ["same", "b"]);
        assert_eq!(printed.lines(), 5);
    }

    #[test]
    fn the_same_text_of_another_attempt_stage_step_or_time_is_another_line() {
        let mut printed = Printed::default();
        assert_eq!(take(&mut printed, [line(1, "a")]), ["a"]);
        printed.begin_again();
        let other_stage = Line {
            stage: "test".to_owned(),
            ..line(1, "a")
        };
        let other_step = Line {
            step: 1,
            ..line(1, "a")
        };
        let other_time = Line {
            time: "2026-01-01T00:00:00.000000001Z".to_owned(),
            ..line(1, "a")
        };
        let lines = [line(1, "a"), line(2, "a"), other_stage, other_step, other_time];
        assert_eq!(take(&mut printed, lines), ["a"; 4]);
    }

    #[test]
    fn a_gap_among_lines_that_were_printed_neither_repeats_nor_loses_any() {
        let mut printed = Printed::default();
        take(&mut printed, ["1", "2", "3", "4"].map(|text| line(1, text)));
        printed.begin_again();
        let again = [line(1, "1"), mark(2), line(1, "4"), line(1, "5")];
        assert_eq!(take(&mut printed, again), ["5"], "2 and 3 had been printed");
        assert!(printed.rest().is_empty());
    }

    #[test]
    fn a_gap_that_was_not_seen_is_shown_before_the_line_after_it() {
        let mut printed = Printed::default();
        take(&mut printed, ["1", "2"].map(|text| line(1, text)));
        printed.begin_again();
        let shown = take(&mut printed, [line(1, "1"), mark(7), line(1, "9")]);
        assert_eq!(shown, [mark(7).line, "9".to_owned()]);
        let mut fresh = Printed::default();
        let shown = take(&mut fresh, [line(1, "1"), mark(7)]);
        assert_eq!(shown, ["1"]);
        assert_eq!(fresh.rest(), [mark(7)], "what the stream ends with is shown too");
    }
}

//! What a canister printed: a ring that forgets the oldest lines.
//!
//! Source: IC interface specification, "IC method `fetch_canister_logs`".

use crate::faults::{Fault, broken};
use std::collections::VecDeque;
use std::sync::Arc;

/// How many bytes are kept when nothing else is set.
pub const DEFAULT_LIMIT: usize = 4_096;

/// What a line takes besides its content: its number and its time.
const LINE: usize = 16;

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it was printed, nanoseconds since 1970.
    pub time: u64,
    /// What was printed.
    pub content: Arc<[u8]>,
}

/// The last lines. Cloning shares them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Logs {
    /// The number of the oldest line that is kept; lines have consecutive numbers.
    first: u64,
    lines: Arc<VecDeque<Line>>,
    bytes: usize,
}

impl Logs {
    /// Those that a checkpoint names.
    pub fn restore(first: u64, lines: VecDeque<Line>) -> Self {
        Self {
            first,
            bytes: lines.iter().map(|line| LINE + line.content.len()).sum(),
            lines: Arc::new(lines),
        }
    }

    /// Adds a line. A long one is cut to what may be kept of `limit` bytes, and the oldest are forgotten.
    pub fn push(&mut self, limit: usize, time: u64, content: &[u8]) {
        if self.bytes + LINE + content.len() > limit && broken(Fault::LogsStopWhenFull) {
            return;
        }
        let fits = limit.saturating_sub(LINE).min(content.len());
        let content: Arc<[u8]> = content.iter().take(fits).copied().collect();
        self.bytes += LINE + content.len();
        Arc::make_mut(&mut self.lines).push_back(Line { time, content });
        self.shrink(limit);
    }

    /// Forgets the oldest lines until the rest takes at most `limit` bytes.
    pub fn shrink(&mut self, limit: usize) {
        while self.bytes > limit {
            let Some(oldest) = Arc::make_mut(&mut self.lines).pop_front() else {
                return;
            };
            self.bytes -= LINE + oldest.content.len();
            self.first += 1;
        }
    }

    /// Adds what an execution printed, in a ring of the same limit.
    pub fn append(&mut self, printed: &Self, limit: usize) {
        if printed.first > 0 {
            // More was printed than fits, so nothing older does.
            self.purge();
            self.first += printed.first;
        }
        for line in printed.lines.iter() {
            self.push(limit, line.time, &line.content);
        }
    }

    /// Forgets every line. Numbers go on.
    pub fn purge(&mut self) {
        self.first = self.next();
        self.lines = Arc::default();
        self.bytes = 0;
    }

    /// The number of the next line.
    pub fn next(&self) -> u64 {
        self.first + self.lines.len() as u64
    }

    /// The number of the oldest line that is kept.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The lines that are kept, with their numbers.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &Line)> + ExactSizeIterator {
        let first = self.first;
        self.lines
            .iter()
            .enumerate()
            .map(move |(at, line)| (first + at as u64, line))
    }

    /// What the kept lines take, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// Whether nothing was ever printed.
    pub fn is_untouched(&self) -> bool {
        self.next() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(logs: &Logs) -> Vec<(u64, Vec<u8>)> {
        logs.iter()
            .map(|(number, line)| (number, line.content.to_vec()))
            .collect()
    }

    #[test]
    fn the_oldest_lines_make_room_and_numbers_go_on() {
        let mut logs = Logs::default();
        for byte in 0..4 {
            logs.push(60, 0, &[byte; 4]);
        }
        assert_eq!(shown(&logs), [(1, vec![1; 4]), (2, vec![2; 4]), (3, vec![3; 4])]);
        assert_eq!(logs.bytes(), 60);
        logs.purge();
        logs.push(60, 0, b"new");
        assert_eq!(shown(&logs), [(4, b"new".to_vec())]);
    }

    #[test]
    fn a_line_that_does_not_fit_is_cut_and_without_room_only_counted() {
        let mut logs = Logs::default();
        logs.push(20, 0, b"longer");
        assert_eq!(shown(&logs), [(0, b"long".to_vec())]);
        let mut none = Logs::default();
        none.push(0, 0, b"x");
        assert_eq!((shown(&none), none.next()), (vec![], 1));
    }

    proptest! {
        /// An execution collects its lines in a ring of its own.
        #[test]
        fn lines_collected_first_and_appended_are_those_appended_one_by_one(
            before in proptest::collection::vec(0_usize..40, 0..6),
            after in proptest::collection::vec(0_usize..40, 0..12),
        ) {
            let (mut one, mut collected) = (Logs::default(), Logs::default());
            for (time, len) in (0..).zip(&before) {
                one.push(100, time, &vec![1; *len]);
            }
            let mut other = one.clone();
            for (time, len) in (10..).zip(&after) {
                one.push(100, time, &vec![2; *len]);
                collected.push(100, time, &vec![2; *len]);
            }
            other.append(&collected, 100);
            prop_assert_eq!(one, other);
        }
    }
}

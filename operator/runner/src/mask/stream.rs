//! Masks a stream of bytes and cuts it into lines.
//!
//! Line breaks are skipped by the search, so a secret that is folded over lines is found as well. What may be the beginning of a
//! secret is held back until it is decided, or until somebody flushes: the time limit is the caller's.

use std::sync::Arc;

use super::MASKED;
use super::automaton::{Automaton, ROOT};

/// Longer lines are cut.
const LINE_BYTES: usize = 64 << 10;
/// A beginning of a secret of at least this length is masked when it is flushed undecided.
const SUSPICIOUS: usize = 8;
/// Line breaks in a row that are held back after the beginning of a secret.
const BREAKS: usize = 1024;

/// One line of masked output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) text: String,
    /// The line goes on in the next one.
    pub(crate) partial: bool,
}

/// Masker of one stream.
#[derive(Debug)]
pub(crate) struct Stream {
    automaton: Arc<Automaton>,
    state: u32,
    held: Vec<u8>,
    /// Whether the byte of `held` at the same place belongs to a secret.
    secret: Vec<bool>,
    /// How many of the bytes that follow belong to a secret of which only the beginning is searched for.
    following: usize,
    /// Line breaks since the last other byte.
    breaks: usize,
    line: Vec<u8>,
    line_ends_masked: bool,
    /// A carriage return at the end of a line stays.
    exact: bool,
}

fn is_break(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

impl Stream {
    pub(super) fn new(automaton: Arc<Automaton>) -> Self {
        Self {
            automaton,
            state: ROOT,
            held: Vec::new(),
            secret: Vec::new(),
            following: 0,
            breaks: 0,
            line: Vec::new(),
            line_ends_masked: false,
            exact: false,
        }
    }

    /// Changes no byte that is not part of a secret.
    pub(super) fn exact(self) -> Self {
        Self { exact: true, ..self }
    }

    /// Takes bytes and appends the lines that are decided.
    pub(crate) fn feed(&mut self, bytes: &[u8], lines: &mut Vec<Line>) {
        if self.automaton.is_empty() {
            self.feed_plain(bytes, lines);
            return;
        }
        for &byte in bytes {
            self.held.push(byte);
            if is_break(byte) {
                self.secret.push(false);
                self.breaks += 1;
                // A value is in memory as a whole already, and no byte of it may change without need.
                if self.breaks > BREAKS && !self.exact {
                    self.give_up_holding(lines);
                }
                continue;
            }
            self.breaks = 0;
            self.secret.push(self.following > 0);
            self.following = self.following.saturating_sub(1);
            self.state = self.automaton.next(self.state, byte);
            let found = self.automaton.found(self.state);
            if found > 0 {
                self.mark(found);
                self.following = self.following.max(self.automaton.following(self.state));
            }
        }
        let decided = self.undecided_from();
        self.release(decided, lines);
    }

    /// Whether a complete line waits for what follows it.
    pub(crate) fn holds_line(&self) -> bool {
        self.held.contains(&b'\n')
    }

    /// Gives out the complete lines that are held back. The search goes on, so the rest of a secret is still masked.
    pub(crate) fn flush_lines(&mut self, lines: &mut Vec<Line>) {
        if let Some(last) = memchr::memrchr(b'\n', &self.held) {
            self.mark_suspicious();
            self.release(last + 1, lines);
        }
    }

    /// Gives out everything; the stream is over.
    pub(crate) fn finish(&mut self, lines: &mut Vec<Line>) {
        self.mark_suspicious();
        self.release(self.held.len(), lines);
        self.state = ROOT;
        self.following = 0;
        self.breaks = 0;
        if !self.line.is_empty() {
            self.emit(false, lines);
        }
    }

    /// Gives out what is held back before very many line breaks, which decide nothing and could come for ever. All that may be the beginning of
    /// a secret is masked, however short: a secret that goes on after the line breaks begins no earlier than the state is deep, so nothing of
    /// it is shown. The search goes on, so its rest is masked as well.
    fn give_up_holding(&mut self, lines: &mut Vec<Line>) {
        self.mark(self.automaton.depth(self.state));
        self.release(self.held.len(), lines);
    }

    /// Marks the last `count` bytes, not counting line breaks.
    fn mark(&mut self, count: usize) {
        let mut left = count;
        for (byte, secret) in self.held.iter().zip(self.secret.iter_mut()).rev() {
            if left == 0 {
                return;
            }
            if !is_break(*byte) {
                *secret = true;
                left -= 1;
            }
        }
    }

    fn mark_suspicious(&mut self) {
        let depth = self.automaton.depth(self.state);
        if depth >= SUSPICIOUS {
            self.mark(depth);
        }
    }

    /// Place of the first byte that may still turn out to belong to a secret.
    fn undecided_from(&self) -> usize {
        let mut left = self.automaton.depth(self.state);
        let mut from = self.held.len();
        for (at, byte) in self.held.iter().enumerate().rev() {
            if left == 0 {
                break;
            }
            if !is_break(*byte) {
                left -= 1;
                if !self.secret[at] {
                    from = at;
                }
            }
        }
        from
    }

    fn release(&mut self, count: usize, lines: &mut Vec<Line>) {
        let held = std::mem::take(&mut self.held);
        let secret = std::mem::take(&mut self.secret);
        for (&byte, &secret) in held[..count].iter().zip(&secret[..count]) {
            if byte == b'\n' {
                self.emit(false, lines);
            } else if !secret {
                self.line.push(byte);
                self.line_ends_masked = false;
            } else if !self.line_ends_masked {
                self.line.extend_from_slice(MASKED.as_bytes());
                self.line_ends_masked = true;
            }
            if self.line.len() >= LINE_BYTES {
                self.emit(true, lines);
            }
        }
        self.held = held;
        self.held.drain(..count);
        self.secret = secret;
        self.secret.drain(..count);
    }

    fn feed_plain(&mut self, bytes: &[u8], lines: &mut Vec<Line>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = LINE_BYTES - self.line.len();
            if let Some(at) = memchr::memchr(b'\n', &rest[..rest.len().min(room)]) {
                self.line.extend_from_slice(&rest[..at]);
                rest = &rest[at + 1..];
                self.emit(false, lines);
            } else {
                let taken = rest.len().min(room);
                self.line.extend_from_slice(&rest[..taken]);
                rest = &rest[taken..];
                if self.line.len() >= LINE_BYTES {
                    self.emit(true, lines);
                }
            }
        }
    }

    fn emit(&mut self, partial: bool, lines: &mut Vec<Line>) {
        let mut rest = Vec::new();
        if partial {
            // A character that is cut goes to the next part.
            let start = self.line.len().saturating_sub(3);
            let cut = (start..self.line.len()).rev().find(|&at| self.line[at] >= 0xc0);
            if let Some(at) = cut.filter(|&at| std::str::from_utf8(&self.line[at..]).is_err()) {
                rest = self.line.split_off(at);
            }
        } else {
            self.line_ends_masked = false;
            if !self.exact && self.line.last() == Some(&b'\r') {
                self.line.pop();
            }
        }
        let text = String::from_utf8_lossy(&self.line).into_owned();
        self.line = rest;
        lines.push(Line { text, partial });
    }
}

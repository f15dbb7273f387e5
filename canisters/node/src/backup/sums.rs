//! The sums of a backup: what shows that it is, byte for byte, what was put into it.
//!
//! The files carry sums of their own for what they hold, but a log whose last record is damaged is one that a crash has cut short.

use crate::wire::hash::Hash;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Read};

/// The entry with the sums, the last one.
pub const SUMS: &str = "SHA256SUMS";

/// SHA-256 of entries by their names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sums(BTreeMap<String, Hash>);

impl Sums {
    /// Passes on what is read of an entry, and takes its sum.
    pub fn of<R: Read>(input: R) -> Summed<R> {
        Summed {
            input,
            hasher: Sha256::new(),
        }
    }

    /// Notes the sum of an entry.
    pub fn note(&mut self, name: &str, sum: Hash) {
        self.0.insert(name.to_owned(), sum);
    }

    /// The first entry whose sum is another one in `others`, or is only on one side.
    pub fn differs<'a>(&'a self, others: &'a Self) -> Option<&'a str> {
        let names = self.0.keys().chain(others.0.keys());
        names
            .filter(|name| self.0.get(*name) != others.0.get(*name))
            .min()
            .map(String::as_str)
    }

    /// A line for each entry, as `sha256sum --check` reads it.
    pub fn text(&self) -> String {
        let lines = self.0.iter();
        lines
            .map(|(name, sum)| format!("{}  {name}\n", hex::encode(sum)))
            .collect()
    }

    /// Reads what [`Self::text`] wrote; `None` when it is something else.
    pub fn read(text: &str) -> Option<Self> {
        let mut sums = Self::default();
        for line in text.lines() {
            let (sum, name) = line.split_once("  ")?;
            sums.note(name, hex::decode(sum).ok()?.try_into().ok()?);
        }
        Some(sums)
    }
}

/// See [`Sums::of`].
pub struct Summed<R> {
    input: R,
    hasher: Sha256,
}

impl<R> Summed<R> {
    /// The sum of what was read.
    pub fn sum(self) -> Hash {
        self.end().1
    }

    /// What was read from, and the sum of what was read.
    pub fn end(self) -> (R, Hash) {
        (self.input, self.hasher.finalize().into())
    }
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.hasher.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

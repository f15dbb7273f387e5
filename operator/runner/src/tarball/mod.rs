//! Tar archives: read at any place without being written anywhere, and unpacked without trusting them.
//!
//! ```text
//! select (paths, globs) ─▶ entries ─▶ Archive ─▶ Reader::read_at ─▶ upload, resumable at any offset
//! ```

pub(crate) mod archive;
pub(crate) mod header;
pub(crate) mod select;
#[cfg(test)]
mod tests;
pub(crate) mod unpack;
#[cfg(test)]
mod unpack_tests;

//! The chunk store of a canister: pieces of modules that are too large for one message.
//!
//! Source: IC interface specification, "IC method `upload_chunk`".

use crate::faults::{Fault, broken};
use crate::wire::hash::{Hash, sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;

/// Most bytes of a chunk. Whatever its size, a chunk counts for this many.
pub const MAX_CHUNK: usize = 1 << 20;
/// Most chunks in a store.
pub const MAX_CHUNKS: usize = 100;

/// Why a chunk is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ChunkError {
    /// It is too large.
    #[error("a chunk has at most {MAX_CHUNK} bytes, and this one has {0}")]
    TooLarge(usize),
    /// There is no room for another one.
    #[error("the chunk store holds {MAX_CHUNKS} chunks already, which is the most; clear it first")]
    Full,
}

/// Chunks by their SHA-256. Cloning shares them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chunks(Arc<BTreeMap<Hash, Arc<[u8]>>>);

impl Chunks {
    /// Stores a chunk and returns its hash. One that is there already is not stored twice.
    pub fn insert(&mut self, chunk: &[u8]) -> Result<Hash, ChunkError> {
        if chunk.len() > MAX_CHUNK && !broken(Fault::CarelessChunks) {
            return Err(ChunkError::TooLarge(chunk.len()));
        }
        let hash = sha256(chunk);
        if self.0.contains_key(&hash) {
            return Ok(hash);
        }
        if self.0.len() >= MAX_CHUNKS {
            return Err(ChunkError::Full);
        }
        Arc::make_mut(&mut self.0).insert(hash, chunk.into());
        Ok(hash)
    }

    /// Puts a chunk back that was stored before, as a checkpoint names it.
    pub fn restore(&mut self, hash: Hash, chunk: Arc<[u8]>) {
        Arc::make_mut(&mut self.0).insert(hash, chunk);
    }

    /// A chunk.
    pub fn get(&self, hash: &Hash) -> Option<&Arc<[u8]>> {
        self.0.get(hash)
    }

    /// All chunks in the order of their hashes.
    pub fn iter(&self) -> impl Iterator<Item = (&Hash, &Arc<[u8]>)> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// What they count for, in bytes.
    pub fn bytes(&self) -> u64 {
        (self.len() * MAX_CHUNK) as u64
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_chunk_of_a_mebibyte_is_stored_and_a_larger_one_is_not() {
        let mut chunks = Chunks::default();
        chunks.insert(&vec![0; MAX_CHUNK]).unwrap();
        let larger = chunks.insert(&vec![0; MAX_CHUNK + 1]);
        assert_eq!(larger, Err(ChunkError::TooLarge(MAX_CHUNK + 1)));
        assert_eq!((chunks.len(), chunks.bytes()), (1, 1 << 20));
    }

    #[test]
    fn a_full_store_takes_what_it_has_and_nothing_else() {
        let mut chunks = Chunks::default();
        for byte in 0..100 {
            chunks.insert(&[byte]).unwrap();
        }
        assert_eq!(chunks.insert(&[100]), Err(ChunkError::Full));
        assert_eq!(chunks.insert(&[7]), Ok(sha256(&[7])));
        assert_eq!(chunks.bytes(), 100 << 20);
    }

    #[test]
    fn an_older_version_keeps_what_it_had() {
        let mut chunks = Chunks::default();
        chunks.insert(b"one").unwrap();
        let before = chunks.clone();
        chunks.insert(b"two").unwrap();
        assert_eq!((before.len(), chunks.len()), (1, 2));
    }
}

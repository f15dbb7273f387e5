//! Bytes on the wire: bounded CBOR, representation-independent hashes, request envelopes.

pub mod cbor;
pub mod envelope;
pub mod hash;

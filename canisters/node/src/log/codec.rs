//! The payload of a log record.
//!
//! Fixed-width little-endian numbers, and byte strings after their length. Whatever is read was written by this program
//! under the same version, and is checked all the same.

use crate::exec::batch::{Batch, Ingress, Permissions};
use crate::wire::hash::Hash;
use ic_principal::Principal;
use thiserror::Error;

/// A payload that was not written by this code.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the record's payload is malformed")]
pub struct Malformed;

/// What a log record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The semantics under which the batch was accepted (first bytes of the fingerprint).
    pub semantics: [u8; 8],
    /// The state root after an earlier batch, to be compared when the log is replayed.
    pub checked: Option<(u64, Hash)>,
    /// The batch.
    pub batch: Batch,
}

impl Entry {
    /// Writes the payload.
    pub fn encode(&self) -> Vec<u8> {
        let size: usize = self
            .batch
            .messages
            .iter()
            .map(|message| message.arg.len() + message.method.len() + 160)
            .sum();
        let mut out = Vec::with_capacity(size + 128);
        out.extend_from_slice(&self.semantics);
        let (round, root) = self.checked.unwrap_or_default();
        out.extend_from_slice(&round.to_le_bytes());
        out.extend_from_slice(&root);
        out.extend_from_slice(&self.batch.round.to_le_bytes());
        out.extend_from_slice(&self.batch.time.to_le_bytes());
        out.extend_from_slice(&self.batch.memory_limit.to_le_bytes());
        out.extend_from_slice(&self.batch.canister_limit.to_le_bytes());
        out.extend_from_slice(&self.batch.permissions.bits().to_le_bytes());
        out.extend_from_slice(&self.batch.seed);
        out.extend_from_slice(&(self.batch.messages.len() as u64).to_le_bytes());
        for message in &self.batch.messages {
            out.extend_from_slice(&message.id);
            out.extend_from_slice(&message.expiry.to_le_bytes());
            let principals = [&message.sender, &message.canister, &message.effective];
            for bytes in principals
                .map(Principal::as_slice)
                .into_iter()
                .chain([message.method.as_bytes(), &message.arg])
            {
                out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
                out.extend_from_slice(bytes);
            }
        }
        out
    }

    /// Reads a payload.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        let semantics = reader.array()?;
        let checked = (reader.number()?, reader.array()?);
        let (round, time) = (reader.number()?, reader.number()?);
        let (memory_limit, canister_limit) = (reader.number()?, reader.number()?);
        let permissions = Permissions::from_bits(reader.number()?).ok_or(Malformed)?;
        let seed = reader.array()?;
        let count = reader.number()?;
        let mut messages = Vec::new();
        for _ in 0..count {
            messages.push(Ingress {
                id: reader.array()?,
                expiry: reader.number()?,
                sender: reader.principal()?,
                canister: reader.principal()?,
                effective: reader.principal()?,
                method: String::from_utf8(reader.bytes()?.to_vec()).map_err(|_| Malformed)?,
                arg: reader.bytes()?.into(),
            });
        }
        if !reader.0.is_empty() {
            return Err(Malformed);
        }
        let checked = (checked.0 != 0).then_some(checked);
        Ok(Self {
            semantics,
            checked,
            batch: Batch {
                round,
                time,
                memory_limit,
                canister_limit,
                permissions,
                seed,
                messages,
            },
        })
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (now, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*now)
    }

    fn number(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        let (now, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(now)
    }

    fn principal(&mut self) -> Result<Principal, Malformed> {
        Principal::try_from_slice(self.bytes()?).map_err(|_| Malformed)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn principal() -> impl Strategy<Value = Principal> {
        proptest::collection::vec(any::<u8>(), 0..=29).prop_map(|bytes| Principal::from_slice(&bytes))
    }

    fn message() -> impl Strategy<Value = Ingress> {
        (
            any::<Hash>(),
            principal(),
            principal(),
            principal(),
            any::<String>(),
            any::<Vec<u8>>(),
            any::<u64>(),
        )
            .prop_map(|(id, sender, canister, effective, method, arg, expiry)| Ingress {
                id,
                sender,
                canister,
                effective,
                method,
                arg: arg.into(),
                expiry,
            })
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let checked = proptest::option::of((1..u64::MAX, any::<Hash>()));
        let messages = proptest::collection::vec(message(), 0..4);
        let permissions =
            any::<[bool; 2]>().prop_map(|[create, provisional]| Permissions { create, provisional });
        let flags = (permissions, any::<Hash>());
        (any::<[u8; 8]>(), checked, any::<[u64; 4]>(), flags, messages).prop_map(
            |(
                semantics,
                checked,
                [round, time, memory_limit, canister_limit],
                (permissions, seed),
                messages,
            )| Entry {
                semantics,
                checked,
                batch: Batch {
                    round,
                    time,
                    memory_limit,
                    canister_limit,
                    permissions,
                    seed,
                    messages,
                },
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(entry in entry()) {
            prop_assert_eq!(Entry::decode(&entry.encode()).unwrap(), entry);
        }

        #[test]
        fn a_cut_payload_is_refused(entry in entry(), cut in 1usize..64) {
            let bytes = entry.encode();
            prop_assert_eq!(Entry::decode(&bytes[..bytes.len().saturating_sub(cut)]), Err(Malformed));
        }

        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = Entry::decode(&bytes);
        }
    }
}

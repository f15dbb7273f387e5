//! `raw_rand`.
//!
//! The rule: each batch carries 32 bytes that the orderer took from the operating system when it made the batch, logged with
//! it and replayed. A call that is executed in batch `n` waits (see [`Calls::draws`]) and is answered at the beginning of the
//! next one, `m`, with `SHA-256("dcanary raw_rand" ‖ seed of m ‖ number)`, where the number counts all draws since the node's first batch. So
//!
//! * nothing in the state, and nothing that was certified, before batch `m` says anything about the bytes,
//! * no two calls get the same bytes, whatever the seeds are,
//! * replaying the log gives every call the bytes that it got.
//!
//! The seed is in no certificate; whoever can read the node's data folder can read it, as everything of an unencrypted node.
//!
//! [`Calls::draws`]: crate::state::calls::Calls::draws

use crate::faults::{Fault, broken};
use crate::state::State;
use crate::wire::hash::Hash;
use sha2::{Digest, Sha256};

/// The bytes of a draw in the batch of the state.
pub fn raw_rand(state: &State, number: u64) -> Hash {
    if broken(Fault::ConstantRandom) {
        return Hash::default();
    }
    let mut hasher = Sha256::new();
    hasher.update(b"dcanary raw_rand");
    hasher.update(state.seed);
    hasher.update(number.to_le_bytes());
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn seeded(seed: u8) -> State {
        State {
            seed: [seed; 32],
            ..State::default()
        }
    }

    #[test]
    fn the_bytes_depend_on_the_seed_and_on_the_number_and_on_nothing_else() {
        let mut later = seeded(1);
        (later.round, later.time) = (7, 8);
        assert_eq!(raw_rand(&seeded(1), 5), raw_rand(&later, 5));
        let all: BTreeSet<Hash> = (0..4)
            .flat_map(|seed| (0..100).map(move |number| raw_rand(&seeded(seed), number)))
            .collect();
        assert_eq!(all.len(), 400);
    }
}

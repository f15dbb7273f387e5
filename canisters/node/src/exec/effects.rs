//! What of a canister no certificate shows, as part of the running hash over everything that happened.

use crate::state::canister::Canister;
use sha2::{Digest, Sha256};

/// Adds what the management canister keeps of a canister, and what it printed. Of what only grows, the new part.
pub fn hash_kept(hasher: &mut Sha256, before: Option<&Canister>, after: &Canister) {
    if before.is_none_or(|before| before.settings != after.settings) {
        hasher.update(candid::encode_one(&after.settings).unwrap_or_default());
    }
    hasher.update((after.chunks.len() as u64).to_le_bytes());
    for (hash, _) in after.chunks.iter() {
        hasher.update(hash);
    }
    let (changes, lines) = before.map_or((0, 0), |before| (before.history.total, before.logs.next()));
    hasher.update(after.history.total.to_le_bytes());
    for change in after.history.last(after.history.total.saturating_sub(changes)) {
        hasher.update(candid::encode_one(&change).unwrap_or_default());
    }
    for number in [after.logs.first(), after.logs.next()] {
        hasher.update(number.to_le_bytes());
    }
    let new = after.logs.iter().filter(|(number, _)| *number >= lines);
    for (_, line) in new {
        hasher.update(line.time.to_le_bytes());
        hasher.update((line.content.len() as u64).to_le_bytes());
        hasher.update(&line.content);
    }
}

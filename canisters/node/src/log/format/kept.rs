//! What the management canister keeps of a canister, in a checkpoint.

use super::FormatError;
use crate::state::canister::Canister;
use crate::state::history::History;
use crate::state::logs::{Line, Logs};
use crate::wire::hash::Hash;
use ic_management_canister_types::Change;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::io;
use std::sync::Arc;

/// Checkpoints from before any of this was kept have none of it.
#[derive(Default, Serialize, Deserialize)]
pub struct Kept {
    created: Option<u64>,
    installed: Option<u64>,
    /// Hashes of the chunks; the chunks are with the modules.
    chunks: Vec<Hash>,
    total_changes: u64,
    /// Candid, because its types are made for it.
    changes: ByteBuf,
    first_line: u64,
    lines: Vec<(u64, ByteBuf)>,
}

impl Kept {
    /// That of a canister.
    pub fn of(canister: &Canister) -> io::Result<Self> {
        Ok(Self {
            created: canister.created,
            installed: canister.installed,
            chunks: canister.chunks.iter().map(|(hash, _)| *hash).collect(),
            total_changes: canister.history.total,
            changes: candid::encode_one(canister.history.recent.as_ref())
                .map_err(io::Error::other)?
                .into(),
            first_line: canister.logs.first(),
            lines: canister
                .logs
                .iter()
                .map(|(_, line)| (line.time, ByteBuf::from(line.content.to_vec())))
                .collect(),
        })
    }

    /// Gives it to a canister; `chunk` finds a chunk by its hash.
    pub fn apply(
        self,
        canister: &mut Canister,
        chunk: impl Fn(&Hash) -> Option<Arc<[u8]>>,
    ) -> Result<(), FormatError> {
        canister.created = self.created;
        canister.installed = self.installed;
        for hash in self.chunks {
            let chunk = chunk(&hash).ok_or(FormatError::Missing("a chunk"))?;
            canister.chunks.restore(hash, chunk);
        }
        let recent: Vec<Change> = if self.changes.is_empty() {
            Vec::new()
        } else {
            candid::decode_one(&self.changes).map_err(|error| FormatError::Description(error.to_string()))?
        };
        canister.history = History {
            total: self.total_changes,
            recent: recent.into(),
        };
        let lines = self.lines.into_iter().map(|(time, content)| Line {
            time,
            content: content.into_vec().into(),
        });
        canister.logs = Logs::restore(self.first_line, lines.collect());
        Ok(())
    }
}

//! The certified head, and the checkpoint that it has to extend.

use std::time::Instant;

use candid::{CandidType, Deserialize};
use dcanary_verifier::{
    checkpoint::Checkpoint,
    head::{CertifiedHead, check_head},
};
use serde_bytes::ByteBuf;
use tracing::info;

use super::{IcLedger, now};
use crate::{
    error::LedgerError,
    ledger::{Head, Ledger as _},
};

/// What this client remembers of the ledger.
#[derive(Default)]
pub(super) struct Memory {
    loaded: bool,
    checkpoint: Option<Checkpoint>,
    saved: Option<(Instant, u64)>,
}

#[derive(CandidType, Deserialize)]
struct Tip {
    certificate: ByteBuf,
    hash_tree: ByteBuf,
}

impl IcLedger {
    pub(super) async fn checked_head(&self) -> Result<Head, LedgerError> {
        // One at a time: two heads that overtake each other would look like a lagging ledger.
        let mut memory = self.memory.lock().await;
        if !memory.loaded {
            memory.checkpoint = self.checkpoints.load(self.ledger).await?;
            memory.loaded = true;
        }
        let head = self.certified_head().await?;
        match &mut memory.checkpoint {
            Some(checkpoint) => {
                let grown = head.size() > checkpoint.size;
                let proof = if grown {
                    self.consistency(checkpoint.size, head.size()).await?
                } else {
                    Vec::new()
                };
                checkpoint
                    .advance(&head, &proof)
                    .map_err(LedgerError::of_advance)?;
            }
            None => {
                info!(
                    size = head.size(),
                    "first look at the ledger: nothing to compare with"
                );
                memory.checkpoint = Some(Checkpoint::of(&head));
            }
        }
        self.save(&mut memory, false).await?;
        Ok(plain(&head))
    }

    /// The head without looking at the checkpoint.
    async fn certified_head(&self) -> Result<CertifiedHead, LedgerError> {
        let tip: Option<Tip> = self.query("icrc3_get_tip_certificate", ()).await?;
        let tip = tip.ok_or_else(|| LedgerError::Labels {
            reason: "the ledger has no certificate".to_owned(),
        })?;
        check_head(&tip.certificate, &tip.hash_tree, &self.anchors, Some(now()))
            .map_err(|source| LedgerError::of_head(source, self.ledger))
    }

    /// Writes the checkpoint down now, whatever the interval.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn save_checkpoint(&self) -> Result<(), LedgerError> {
        let mut memory = self.memory.lock().await;
        self.save(&mut memory, true).await
    }

    async fn save(&self, memory: &mut Memory, now: bool) -> Result<(), LedgerError> {
        let Some(checkpoint) = &memory.checkpoint else {
            return Ok(());
        };
        if let Some((at, size)) = memory.saved
            && (size == checkpoint.size || (!now && at.elapsed() < self.save_every))
        {
            return Ok(());
        }
        self.checkpoints.save(self.ledger, checkpoint).await?;
        memory.saved = Some((Instant::now(), checkpoint.size));
        Ok(())
    }

    /// The head that was checked last, if it holds block `index`; else a fresh one.
    pub(super) async fn head_over(&self, index: u64) -> Result<Head, LedgerError> {
        let known = self
            .memory
            .lock()
            .await
            .checkpoint
            .clone()
            .filter(|known| index < known.size);
        match known {
            Some(known) => Ok(Head {
                size: known.size,
                root: known.root,
                last_hash: [0; 32],
                policy_hash: [0; 32],
                time: known.time,
                certificate: known.certificate,
                hash_tree: known.hash_tree,
            }),
            None => self.checked_head().await,
        }
    }
}

fn plain(head: &CertifiedHead) -> Head {
    Head {
        size: head.size(),
        root: head.root(),
        last_hash: head.last_hash(),
        policy_hash: head.policy_hash(),
        time: head.time(),
        certificate: head.evidence().certificate.clone(),
        hash_tree: head.evidence().hash_tree.clone(),
    }
}

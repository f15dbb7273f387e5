//! The certified head, and the checkpoint that it has to extend.

use std::{
    sync::{MutexGuard, PoisonError},
    time::Instant,
};

use candid::{CandidType, Deserialize};
use dcanary_types::block::Block;
use dcanary_verifier::{
    checkpoint::{AdvanceError, Checkpoint},
    head::{Anchors, CertifiedHead, check_head},
};
use serde_bytes::ByteBuf;
use tracing::info;

use super::{IcLedger, now};
use crate::{
    error::LedgerError,
    fork::{self, PrefixProof},
    ledger::{Head, Ledger as _},
};

/// What this client remembers of the ledger while it looks at a head: held across the whole look, so that two heads that
/// overtake each other do not look like a lagging ledger.
#[derive(Default)]
pub(super) struct Memory {
    loaded: bool,
    checkpoint: Option<Checkpoint>,
}

/// The checkpoint as others may look at it without waiting for a look at the head.
#[derive(Default)]
pub(super) struct Latest {
    checkpoint: Option<Checkpoint>,
    saved: Option<(Instant, u64)>,
}

/// A head and the certificate as it was received: what was checked has no delegation when that was known already.
struct Shown {
    head: CertifiedHead,
    certificate: Vec<u8>,
}

impl Shown {
    fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            certificate: self.certificate.clone(),
            ..Checkpoint::of(&self.head)
        }
    }
}

#[derive(CandidType, Deserialize)]
struct Tip {
    certificate: ByteBuf,
    hash_tree: ByteBuf,
}

impl IcLedger {
    pub(super) async fn checked_head(&self) -> Result<Head, LedgerError> {
        let mut memory = self.memory.lock().await;
        if !memory.loaded {
            memory.checkpoint = self.load().await?;
            memory.loaded = true;
        }
        let shown = self.certified_head().await?;
        let next = match &memory.checkpoint {
            Some(seen) => self.follow(seen, &shown).await?,
            None => {
                info!(
                    size = shown.head.size(),
                    "first look at the ledger: nothing to compare with"
                );
                shown.checkpoint()
            }
        };
        self.latest().checkpoint = Some(next.clone());
        memory.checkpoint = Some(next);
        self.save(false).await?;
        Ok(plain(&shown))
    }

    /// The checkpoint that was kept. It is believed to be a memory only if the ledger certified it: whoever can write where it
    /// is kept could else accuse the ledger of a fork.
    async fn load(&self) -> Result<Option<Checkpoint>, LedgerError> {
        let Some(kept) = self.checkpoints.load(self.ledger).await? else {
            return Ok(None);
        };
        let swapped = |reason: String| LedgerError::CheckpointSwapped {
            ledger: self.ledger,
            reason,
        };
        let head = check_head(&kept.certificate, &kept.hash_tree, &self.anchors, None)
            .map_err(|source| swapped(source.to_string()))?;
        if Checkpoint::of(&head) != kept {
            return Err(swapped(
                "its numbers are not those of its own certificate".to_owned(),
            ));
        }
        Ok(Some(kept))
    }

    /// The next checkpoint, if the head extends the one that was seen.
    async fn follow(&self, seen: &Checkpoint, shown: &Shown) -> Result<Checkpoint, LedgerError> {
        let grown = shown.head.size() > seen.size;
        let proof = if grown {
            self.consistency(seen.size, shown.head.size()).await?
        } else {
            Vec::new()
        };
        match seen.clone().advance(&shown.head, &proof) {
            Ok(()) => Ok(shown.checkpoint()),
            Err(AdvanceError::OtherLedger) => Err(LedgerError::Labels {
                reason: AdvanceError::OtherLedger.to_string(),
            }),
            Err(AdvanceError::Stale { head, checkpoint }) => Err(LedgerError::Lagging {
                head,
                seen: checkpoint,
            }),
            Err(AdvanceError::LedgerForked(_)) => {
                let prefix = if grown {
                    Some(self.prefix(seen.size, shown.head.size()).await?)
                } else {
                    None
                };
                Err(fork::accuse(seen.clone(), shown.checkpoint(), prefix))
            }
        }
    }

    /// What the ledger says that its tree of `size` blocks begins with. Not proven until checked.
    async fn prefix(&self, prefix: u64, size: u64) -> Result<PrefixProof, LedgerError> {
        let what = || format!("block {prefix}");
        let blocks = self.read_blocks(prefix, 1).await?;
        let bytes = blocks
            .first()
            .ok_or_else(|| LedgerError::unproven(what(), "the ledger hands out none"))?;
        let block = Block::decode(bytes).map_err(|source| LedgerError::decode(what(), source))?;
        let path = self.inclusion(prefix, size).await?;
        Ok(PrefixProof::new(block.hash(), &path))
    }

    /// The head without looking at the checkpoint.
    async fn certified_head(&self) -> Result<Shown, LedgerError> {
        let tip: Option<Tip> = self.query("icrc3_get_tip_certificate", ()).await?;
        let tip = tip.ok_or_else(|| LedgerError::Labels {
            reason: "the ledger has no certificate".to_owned(),
        })?;
        let light = self.lighten(&tip.certificate)?;
        let anchors = Anchors {
            root_key: light.key,
            ledger: self.anchors.ledger.clone(),
        };
        let head = check_head(&light.certificate, &tip.hash_tree, &anchors, Some(now()))
            .map_err(|source| LedgerError::of_head(source, self.ledger))?;
        Ok(Shown {
            head,
            certificate: tip.certificate.into_vec(),
        })
    }

    fn latest(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the checkpoint down now, whatever the interval. Waits for no answer of the network.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn save_checkpoint(&self) -> Result<(), LedgerError> {
        self.save(true).await
    }

    async fn save(&self, now: bool) -> Result<(), LedgerError> {
        let (checkpoint, saved) = {
            let latest = self.latest();
            (latest.checkpoint.clone(), latest.saved)
        };
        let Some(checkpoint) = checkpoint else {
            return Ok(());
        };
        if let Some((at, size)) = saved
            && (size == checkpoint.size || (!now && at.elapsed() < self.save_every))
        {
            return Ok(());
        }
        self.checkpoints.save(self.ledger, &checkpoint).await?;
        self.latest().saved = Some((Instant::now(), checkpoint.size));
        Ok(())
    }

    /// The head that was checked last, if it holds block `index`; else a fresh one.
    pub(super) async fn head_over(&self, index: u64) -> Result<Head, LedgerError> {
        let known = self.latest().checkpoint.clone();
        match known.filter(|known| index < known.size) {
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

fn plain(shown: &Shown) -> Head {
    let head = &shown.head;
    Head {
        size: head.size(),
        root: head.root(),
        last_hash: head.last_hash(),
        policy_hash: head.policy_hash(),
        time: head.time(),
        certificate: shown.certificate.clone(),
        hash_tree: head.evidence().hash_tree.clone(),
    }
}

//! Evidence that the artifact store did not take yet. The journal has its digest from the verdict on, so the document is kept as it was then: later
//! the Template may be another one, or the rollout has lost its place in the status.

use dcanary_crds::UnstoredEvidence;

use super::pass::Pass;
use crate::plan::Effect;

/// Most bytes that are kept of rollouts before the present one.
const BYTES: usize = 96 * 1024;
/// Most bytes that are kept at all.
const MOST: usize = 256 * 1024;

impl Pass<'_> {
    /// Keeps what the store lacks of the rollout whose place another one takes. Where it is too much, the oldest is given up.
    pub(super) fn keep_evidence(&mut self) {
        for effect in self.evidence_to_store() {
            let Effect::StoreEvidence { digest, document } = effect else {
                continue;
            };
            if self.status.unstored.iter().all(|kept| kept.digest != digest) {
                self.status.unstored.push(UnstoredEvidence { digest, document });
            }
        }
        self.give_up_over(BYTES);
    }

    /// Keeps the document of a verdict until the store has it. One that is too large for that is made anew as long as it comes out the same.
    pub(super) fn keep_document(&mut self, digest: String, document: String) {
        let stored = self.seen.evidence.contains(&digest);
        if stored || self.is_unstored(&digest) || document.len() > MOST {
            return;
        }
        self.status.unstored.push(UnstoredEvidence { digest, document });
        self.give_up_over(MOST);
    }

    /// Whether a document is kept that the store lacks.
    pub(super) fn is_unstored(&self, digest: &str) -> bool {
        let lacks = !self.seen.evidence.contains(digest);
        lacks && self.status.unstored.iter().any(|kept| kept.digest == digest)
    }

    fn give_up_over(&mut self, most: usize) {
        let bytes = |all: &[UnstoredEvidence]| all.iter().map(|one| one.document.len()).sum::<usize>();
        while bytes(&self.status.unstored) > most {
            let lost = self.status.unstored.remove(0);
            self.tell(
                true,
                "EvidenceLost",
                &format!(
                    "the artifact store did not take evidence {}, and there is no room to keep it any longer",
                    lost.digest
                ),
            );
        }
    }

    /// What is kept, as long as the store lacks it.
    pub(super) fn kept_evidence(&mut self) -> Vec<Effect> {
        let stored = &self.seen.evidence;
        self.status.unstored.retain(|kept| !stored.contains(&kept.digest));
        let store = |kept: &UnstoredEvidence| Effect::StoreEvidence {
            digest: kept.digest.clone(),
            document: kept.document.clone(),
        };
        self.status.unstored.iter().map(store).collect()
    }
}

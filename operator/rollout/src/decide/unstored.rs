//! Evidence of rollouts that have lost their place in the status before the artifact store took it: the record of their end has its digest.

use dcanary_crds::UnstoredEvidence;

use super::pass::Pass;
use crate::plan::Effect;

/// Most bytes that are kept.
const BYTES: usize = 96 * 1024;

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
        let bytes = |all: &[UnstoredEvidence]| all.iter().map(|one| one.document.len()).sum::<usize>();
        while bytes(&self.status.unstored) > BYTES {
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

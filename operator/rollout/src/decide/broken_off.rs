//! Analyses that end before they are decided: what they saw is kept too.

use dcanary_types::environment::{EnvTransition, Verdict as Recorded};

use super::{journal::hash, pass::Pass};

impl Pass<'_> {
    /// Ends analyses that have samples and no verdict: the rollout went back for another reason, or a person skipped the step. Their evidence is
    /// kept and recorded as of one that could not tell.
    pub(super) fn break_off_analyses(&mut self, which: impl Fn(&str) -> bool) {
        let Some(rollout) = self.active().cloned() else {
            return;
        };
        let now = self.now;
        for of in &rollout.analyses {
            let open = of.verdict.is_none() && of.evidence.is_none();
            if !open || !which(&of.name) || of.metrics.iter().all(|metric| metric.taken == 0) {
                continue;
            }
            let current = self.status.rollout.as_mut();
            let current =
                current.and_then(|rollout| rollout.analyses.iter_mut().find(|one| one.name == of.name));
            let Some(current) = current else { continue };
            current.finished_at = Some(now);
            for metric in &mut current.metrics {
                metric.next_at = None;
            }
            "it ended before it was decided".clone_into(&mut current.message);
            let Some((digest, document)) = self.document(&rollout, &of.name) else {
                continue;
            };
            self.note_evidence(&of.name, &digest);
            self.emit(EnvTransition::AnalysisVerdict {
                promotion: rollout.promotion_uid.clone(),
                analysis: of.name.clone(),
                verdict: Recorded::Inconclusive,
                evidence: hash(&digest),
            });
            self.keep_document(digest, document);
        }
    }

    fn note_evidence(&mut self, name: &str, digest: &str) {
        let rollout = self.status.rollout.as_mut();
        if let Some(of) = rollout.and_then(|rollout| rollout.analyses.iter_mut().find(|one| one.name == name))
        {
            of.evidence = Some(digest.to_owned());
        }
    }
}

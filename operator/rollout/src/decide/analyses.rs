//! Analyses of the rollout: begun where a step asks for one, measured until decided, kept as evidence.

use dcanary_crds::{Analysis, AnalysisStatus, Doing, Rollout, RolloutOutcome, Verdict};
use dcanary_types::{
    Hash,
    environment::{EnvTransition, Verdict as Recorded},
};
use sha2::{Digest as _, Sha256};

use super::{
    journal::hash,
    pass::Pass,
    steps::{self, POST_PROMOTION, Step},
};
use crate::{
    analysis::{self, BACKGROUND, Vars},
    plan::Effect,
};

/// Evidence of the analyses that failed: the digest, or the digest over several.
pub(super) fn failing_evidence(rollout: &Rollout) -> Option<Hash> {
    digests(rollout, |analysis| analysis.verdict == Some(Verdict::Failed))
}

/// Evidence of all analyses.
pub(super) fn all_evidence(rollout: &Rollout) -> Option<Hash> {
    digests(rollout, |_| true)
}

fn digests(rollout: &Rollout, of: impl Fn(&AnalysisStatus) -> bool) -> Option<Hash> {
    let found: Vec<Hash> = rollout
        .analyses
        .iter()
        .filter(|analysis| of(analysis))
        .filter_map(|analysis| analysis.evidence.as_deref())
        .map(hash)
        .collect();
    match found.as_slice() {
        [] => None,
        [one] => Some(*one),
        several => Some(Sha256::digest(several.concat()).into()),
    }
}

impl Pass<'_> {
    pub(super) fn vars(&self, rollout: &Rollout) -> Vars {
        Vars {
            release: rollout.workload.clone(),
            stable: self.status.stable.as_ref().map(|stable| stable.workload.clone()),
            environment: self.name.to_owned(),
            namespace: self.namespace.to_owned(),
            images: rollout.images.clone(),
        }
    }

    /// The analysis of the spec under a name.
    pub(super) fn analysis(&self, name: &str) -> Option<Analysis> {
        let spec = &self.env.spec;
        match name {
            BACKGROUND => spec.analysis.clone(),
            POST_PROMOTION => steps::post_promotion(spec).cloned(),
            name => steps::steps(spec).into_iter().find_map(|step| match step {
                Step::Analysis {
                    name: other,
                    analysis,
                } if other == name => Some(analysis.clone()),
                _ => None,
            }),
        }
    }

    /// Which analyses should be measuring now.
    pub(super) fn due(&self, rollout: &Rollout) -> Vec<String> {
        let mut due = Vec::new();
        if self.is_straight(rollout) {
            return due;
        }
        let rerouted = rollout.rerouted_at.is_some();
        let spec = &self.env.spec;
        let moving = match rollout.doing {
            Doing::Stepping | Doing::Promoting => {
                !self.is_watched_after_switch(rollout) && (rollout.weight > 0 || rerouted || self.in_place())
            }
            // in place the new Pods get requests from the first on
            Doing::Starting => self.in_place(),
            // all requests at once: what there is to see comes after the switch
            Doing::Verifying => self.is_watched_after_switch(rollout),
            _ => false,
        };
        if spec.analysis.is_some() && moving {
            due.push(BACKGROUND.to_owned());
        }
        if rerouted {
            return due;
        }
        if rollout.doing == Doing::Stepping
            && let Some(Step::Analysis { name, .. }) =
                steps::steps(spec).get(usize::try_from(rollout.step).unwrap_or_default())
        {
            due.push(name.clone());
        }
        if rollout.doing == Doing::Verifying && steps::post_promotion(spec).is_some() {
            due.push(POST_PROMOTION.to_owned());
        }
        due
    }

    /// Takes samples that came, decides, asks for those that are due.
    pub(super) fn measure(&mut self) {
        self.samples.clear();
        self.unmeasured.clear();
        let Some(rollout) = self.active().cloned() else {
            return;
        };
        self.look_through_analyses(&rollout);
        for name in self.due(&rollout) {
            self.measure_one(&rollout, &name);
        }
        self.background_decides();
    }

    fn measure_one(&mut self, rollout: &Rollout, name: &str) {
        let Some(analysis) = self.analysis(name) else {
            return;
        };
        // one that cannot be carried out holds the rollout, which says so
        let Ok(metrics) = analysis::metrics(&analysis, self.seen) else {
            return;
        };
        let vars = self.vars(rollout);
        let Some(current) = &mut self.status.rollout else {
            return;
        };
        let at = current.analyses.iter().position(|status| status.name == name);
        let at = at.unwrap_or_else(|| {
            current.analyses.push(AnalysisStatus {
                name: name.to_owned(),
                started_at: Some(self.now),
                ..AnalysisStatus::default()
            });
            current.analyses.len() - 1
        });
        let Some(status) = current
            .analyses
            .get_mut(at)
            .filter(|status| status.verdict.is_none())
        else {
            return;
        };
        status.started_at.get_or_insert(self.now);
        let advanced = analysis::advance(
            self.env,
            status,
            &metrics,
            self.seen,
            &rollout.promotion_uid,
            &vars,
            name == BACKGROUND,
            self.now,
        );
        let decided = status.verdict.is_some();
        self.samples.extend(advanced.effects);
        if let Some(at) = advanced.wake {
            self.wake_at(at);
        }
        if decided {
            self.decided(rollout, name);
        }
    }

    /// A verdict is there: its evidence is written down and its hash recorded.
    fn decided(&mut self, rollout: &Rollout, name: &str) {
        let Some((digest, document)) = self.document(rollout, name) else {
            return;
        };
        let Some(current) = &mut self.status.rollout else {
            return;
        };
        let Some(status) = current.analyses.iter_mut().find(|status| status.name == name) else {
            return;
        };
        status.evidence = Some(digest.clone());
        let verdict = match status.verdict {
            Some(Verdict::Passed) => Recorded::Passed,
            Some(Verdict::Failed) => Recorded::Failed,
            _ => Recorded::Inconclusive,
        };
        let (note, failed) = (status.message.clone(), verdict == Recorded::Failed);
        self.emit(EnvTransition::AnalysisVerdict {
            promotion: rollout.promotion_uid.clone(),
            analysis: name.to_owned(),
            verdict,
            evidence: hash(&digest),
        });
        self.keep_document(digest, document);
        let reason = if failed {
            "AnalysisFailed"
        } else {
            "AnalysisDecided"
        };
        self.tell(failed, reason, &format!("analysis {name}: {note}"));
    }

    /// The evidence of an analysis: digest and document.
    pub(super) fn document(&self, rollout: &Rollout, name: &str) -> Option<(String, String)> {
        let metrics = analysis::metrics(&self.analysis(name)?, self.seen).ok()?;
        let current = self.status.rollout.as_ref()?;
        let status = current.analyses.iter().find(|status| status.name == name)?;
        Some(analysis::evidence(status, &metrics, &self.vars(rollout)))
    }

    /// Documents that the artifact store is not known to have and that are not kept. They are made anew: it may have them from before a restart.
    pub(super) fn evidence_to_store(&self) -> Vec<Effect> {
        let Some(rollout) = &self.status.rollout else {
            return Vec::new();
        };
        let lacks = |digest: &String| !self.seen.evidence.contains(digest) && !self.is_unstored(digest);
        rollout
            .analyses
            .iter()
            .filter_map(|status| {
                let digest = status.evidence.as_ref().filter(|digest| lacks(digest))?;
                let (same, document) = self.document(rollout, &status.name)?;
                // a changed Template or fewer samples make another document: this one was stored, or was too large to be kept
                (same == *digest).then_some(Effect::StoreEvidence {
                    digest: same,
                    document,
                })
            })
            .collect()
    }

    /// The verdict of an analysis, and what it says.
    pub(super) fn verdict(&self, name: &str) -> Option<(Verdict, String)> {
        let rollout = self.status.rollout.as_ref()?;
        let status = rollout.analyses.iter().find(|status| status.name == name)?;
        Some((status.verdict?, status.message.clone()))
    }

    /// Whether the document of an analysis is in the store. One that can never get there holds nothing up.
    pub(super) fn evidence_is_kept(&self, name: &str) -> bool {
        let Some(rollout) = &self.status.rollout else {
            return true;
        };
        let status = rollout.analyses.iter().find(|status| status.name == name);
        let Some(digest) = status.and_then(|status| status.evidence.as_ref()) else {
            return true;
        };
        if self.is_unstored(digest) {
            return false;
        }
        self.seen.evidence.contains(digest)
            || self
                .document(rollout, name)
                .is_none_or(|(same, _)| same != *digest)
    }

    /// A failure in the background turns the rollout back at once.
    fn background_decides(&mut self) {
        if let Some((Verdict::Failed, message)) = self.verdict(BACKGROUND) {
            self.turn_back(RolloutOutcome::RolledBack, "AnalysisFailed", &message);
        }
    }

    /// Whether the background analysis lets the rollout go on.
    pub(super) fn background_lets_on(&mut self) -> bool {
        let Some((Verdict::Inconclusive, message)) = self.verdict(BACKGROUND) else {
            return !self.is_unmeasured(BACKGROUND);
        };
        if self.is_accepted(BACKGROUND) {
            return true;
        }
        self.ask(&message);
        false
    }

    /// All traffic is on the candidate: the background analysis ends, unless it did before.
    pub(super) fn conclude_background(&mut self) {
        let Some(rollout) = self.active().cloned() else {
            return;
        };
        let Some(metrics) = self
            .analysis(BACKGROUND)
            .and_then(|analysis| analysis::metrics(&analysis, self.seen).ok())
        else {
            return;
        };
        let now = self.now;
        let open = self.status.rollout.as_mut().and_then(|current| {
            let mut all = current.analyses.iter_mut();
            all.find(|status| status.name == BACKGROUND && status.verdict.is_none())
        });
        let Some(status) = open else { return };
        analysis::conclude(status, &metrics, now);
        self.decided(&rollout, BACKGROUND);
    }

    pub(super) fn restart(&mut self, name: &str) {
        let now = self.now;
        if let Some(rollout) = &mut self.status.rollout
            && let Some(status) = rollout.analyses.iter_mut().find(|status| status.name == name)
        {
            analysis::restart(status, now);
        }
    }

    /// Begins the present step anew: its analysis, its pause, its deadline.
    pub(super) fn measure_again(&mut self) {
        let Some(rollout) = self.active().cloned() else {
            return;
        };
        for name in self.due(&rollout) {
            if self
                .verdict(&name)
                .is_none_or(|(verdict, _)| verdict != Verdict::Passed)
            {
                self.restart(&name);
            }
        }
        let now = self.now;
        if let Some(rollout) = &mut self.status.rollout {
            rollout.since = Some(now);
            rollout.missing_since = None;
            rollout.held_up_since = None;
        }
    }
}

//! What is to be done, given the status that is persisted when it is done. Computed from that status and what was seen alone, so
//! that a crash anywhere leads to the same effects again.

use std::collections::BTreeSet;

use dcanary_crds::{AttemptPromotion, AttemptStatus, PipelineRun, PipelineRunStatus, StageStatus};
use jiff::Timestamp;

use super::step::{Owner, creation_named, creation_of, forged_for, pod_of, strays, uid_of};
use crate::{
    definition::Definition,
    effect::{CreatePod, Deploy, Effect, PodRef},
    journal,
    observed::{CreateAnswer, Observed, SeenReport},
    outcome::{STUCK, UNSEEN},
    plan::Subject,
    pod, release,
    seen_pod::SeenPod,
    time::later,
};

/// How long a Pod whose runner has reported may take to end by itself, in seconds.
const LINGER: u64 = 30;

/// What effects are computed from.
pub(super) struct Scene<'a> {
    pub(super) run: &'a PipelineRun,
    pub(super) uid: &'a str,
    pub(super) owner: Owner<'a>,
    pub(super) seen: &'a Observed,
    pub(super) now: Timestamp,
    /// The status that is persisted before.
    pub(super) status: &'a PipelineRunStatus,
    pub(super) definition: Option<&'a Definition>,
}

/// Effects in order, and whether one of them must not be carried out on a stale view.
pub(super) fn effects(scene: &Scene<'_>, unneeded: Vec<String>) -> (Vec<Effect>, bool) {
    let mut effects = Vec::new();
    let mut revocations = Vec::new();
    let mut fence = false;
    for (index, stage) in scene.status.stages.iter().enumerate() {
        for attempt in &stage.attempts {
            if attempt.outcome.is_none() {
                let create = match &attempt.promotion {
                    Some(asked) => scene.deployment(index, stage, attempt, asked),
                    None => scene.creation(index, stage, attempt),
                };
                if let Some(create) = create {
                    // one that was intended in this very pass is fenced by the write of the intention
                    fence |= !scene.is_new(index, attempt);
                    effects.push(create);
                }
            } else {
                effects.extend(scene.aftermath(attempt));
                revocations.extend(scene.revocation(attempt));
            }
        }
    }
    for pod in strays(scene.seen, scene.owner, scene.status) {
        // one that a stale view takes for a stray may be the Pod of an attempt that it does not have
        fence = true;
        effects.extend(removal(pod, scene.owner.made(scene.seen, pod)));
        revocations.extend(closing(pod));
    }
    let (cursors, unknown) = scene.settled_reports();
    if !cursors.is_empty() {
        // a report of no attempt may be one of an attempt that a stale view does not have
        fence |= unknown;
        effects.push(Effect::AckReports { cursors });
    }
    effects.extend(scene.seal().map(Effect::SealOutbox));
    effects.extend(
        unneeded
            .into_iter()
            .map(|config_map| Effect::DropSealed { config_map }),
    );
    if scene.may_go() {
        let journal = scene.status.journal.as_ref();
        let forgotten = journal.map(|journal| journal::forgotten(journal, &scene.seen.journal, scene.uid));
        effects.extend(
            forgotten
                .into_iter()
                .flatten()
                .map(|config_map| Effect::DropSealed { config_map }),
        );
        effects.push(Effect::ReleaseRun);
    }
    // the server may be away: everything that keeps objects from going comes before what asks it
    effects.extend(revocations);
    (effects, fence)
}

/// Deletes a Pod that counts for nothing, and lets it go. One of ours that has ended goes with its run; another may have a name that is needed.
fn removal(pod: &SeenPod, made: bool) -> Vec<Effect> {
    let reference = || PodRef {
        name: pod.name.clone(),
        uid: pod.uid.clone(),
    };
    let mut effects = Vec::new();
    if (pod.is_live() || !made) && pod.deleting_since.is_none() {
        effects.push(Effect::DeletePod(reference()));
    }
    if pod.held {
        effects.push(Effect::ReleasePod(reference()));
    }
    effects
}

/// Nothing more is taken from a Pod.
fn closing(pod: &SeenPod) -> Option<Effect> {
    // what somebody else made need not have our finalizer
    (pod.held || pod.is_live() && pod.deleting_since.is_none()).then(|| Effect::RevokeSession {
        attempt: pod.uid.clone(),
    })
}

impl Scene<'_> {
    fn finished(&self) -> bool {
        self.status.finished_at.is_some()
    }

    fn deleting(&self) -> bool {
        self.run.metadata.deletion_timestamp.is_some()
    }

    /// Whether an attempt was not in the status that was observed.
    fn is_new(&self, index: usize, attempt: &AttemptStatus) -> bool {
        let before = self
            .run
            .status
            .as_ref()
            .and_then(|status| status.stages.get(index));
        before.is_none_or(|stage| stage.attempts.iter().all(|other| other.number != attempt.number))
    }

    /// Effects for a run whose status cannot be followed any more: when it is being deleted, nothing of it may keep it from going.
    pub(super) fn leave(&self) -> Vec<Effect> {
        let mut effects = Vec::new();
        if !self.deleting() {
            return effects;
        }
        for pod in self.seen.pods.iter().filter(|pod| self.owner.has(pod)) {
            effects.extend(removal(pod, true));
        }
        let sealing = self
            .status
            .journal
            .as_ref()
            .and_then(|journal| journal::to_seal(journal, self.uid, true));
        if effects.is_empty() && sealing.is_none() && self.held() {
            effects.push(Effect::ReleaseRun);
        }
        effects.extend(sealing.map(Effect::SealOutbox));
        effects
    }

    fn held(&self) -> bool {
        self.run
            .metadata
            .finalizers
            .iter()
            .flatten()
            .any(|name| name == dcanary_crds::labels::RECORDED)
    }

    /// Whether an object is to be asked for, as far as the answers go.
    fn is_to_ask(&self, answer: Option<&CreateAnswer>) -> bool {
        match answer {
            None => true,
            Some(CreateAnswer::Failed { retry_at, .. }) => self.now >= *retry_at,
            // the shell forgets these after a pause, then it is asked again
            Some(CreateAnswer::Quota { .. } | CreateAnswer::Foreign | CreateAnswer::NamespaceTerminating) => {
                false
            }
            Some(CreateAnswer::Created { .. } | CreateAnswer::Refused { .. }) => false,
        }
    }

    /// A Promotion is asked for once its Environment is there, until its UID is known.
    fn deployment(
        &self,
        index: usize,
        stage: &StageStatus,
        attempt: &AttemptStatus,
        asked: &AttemptPromotion,
    ) -> Option<Effect> {
        if asked.uid.is_some()
            || self.seen.namespace_terminating
            || !self.seen.environments.contains(&asked.environment)
            || !self.is_to_ask(creation_named(self.seen, &asked.name))
        {
            return None;
        }
        Some(Effect::Deploy(Box::new(Deploy {
            stage: stage.name.clone(),
            attempt: attempt.number,
            deployment: release::deployment(self.subject(index, attempt)?).ok()?,
        })))
    }

    /// The attempt as what is made for it is planned from it.
    fn subject(&self, index: usize, attempt: &AttemptStatus) -> Option<Subject<'_>> {
        Some(Subject {
            run: self.run,
            definition: self.definition?,
            status: self.status,
            index,
            attempt: attempt.number,
        })
    }

    fn creation(&self, index: usize, stage: &StageStatus, attempt: &AttemptStatus) -> Option<Effect> {
        if !self.is_to_ask(creation_of(self.seen, attempt))
            || self.seen.namespace_terminating
            || attempt.pod_uid.is_some()
            || pod_of(self.seen, self.owner, attempt).is_some()
            // its name is free when that one is gone
            || forged_for(self.seen, self.owner, attempt).is_some()
        {
            return None;
        }
        let pod = pod::pod(self.subject(index, attempt)?, &self.seen.settings).ok()?;
        Some(Effect::CreatePod(Box::new(CreatePod {
            stage: stage.name.clone(),
            attempt: attempt.number,
            pod,
        })))
    }

    /// What follows for the Pod of an attempt that has its outcome.
    fn aftermath(&self, attempt: &AttemptStatus) -> Vec<Effect> {
        let mut effects = Vec::new();
        let Some(pod) = pod_of(self.seen, self.owner, attempt) else {
            return effects;
        };
        let reference = || PodRef {
            name: pod.name.clone(),
            uid: pod.uid.clone(),
        };
        let ended_at = attempt.finished_at.unwrap_or(self.now);
        let by_report = attempt.report.is_some();
        if pod.is_live()
            && pod.deleting_since.is_none()
            && (!by_report || self.now >= later(ended_at, LINGER))
        {
            effects.push(Effect::DeletePod(reference()));
        }
        if pod.held && self.may_release(attempt, pod) {
            effects.push(Effect::ReleasePod(reference()));
        }
        effects
    }

    /// Whatever an attempt still says counts no more once its outcome was decided without it.
    fn revocation(&self, attempt: &AttemptStatus) -> Option<Effect> {
        let pod = pod_of(self.seen, self.owner, attempt).filter(|_| attempt.report.is_none())?;
        closing(pod)
    }

    /// A Pod may go when the status has all that it tells.
    fn may_release(&self, attempt: &AttemptStatus, pod: &SeenPod) -> bool {
        match &pod.ended {
            Some(ended) => self.finished() || attempt.exit_code.is_some() || ended.exit_code.is_none(),
            // its node does not answer; the object must not keep a namespace from going
            None => pod
                .deleting_since
                .is_some_and(|deadline| self.now >= later(deadline, STUCK)),
        }
    }

    /// Cursors of reports that the status holds, or that are of no concern; and whether there are some of the latter.
    fn settled_reports(&self) -> (Vec<u64>, bool) {
        let attempts = || self.status.stages.iter().flat_map(|stage| &stage.attempts);
        let known = |attempt: &AttemptStatus| uid_of(self.seen, self.owner, attempt).map(str::to_owned);
        let waiting_unknown = attempts().any(|attempt| {
            attempt.outcome.is_none() && attempt.promotion.is_none() && known(attempt).is_none()
        });
        let mut unknown = false;
        let mut settled = |report: &&SeenReport| {
            let entry = &report.entry;
            if self.finished() {
                return true;
            }
            match attempts().find(|attempt| known(attempt).as_deref() == Some(entry.attempt.as_str())) {
                Some(attempt) if entry.report.is_some() => attempt.outcome.is_some(),
                Some(attempt) => attempt.disputed.is_some(),
                // perhaps of a Pod that the cache does not have yet
                None => {
                    unknown |= !waiting_unknown;
                    !waiting_unknown
                }
            }
        };
        let cursors: BTreeSet<u64> = self
            .seen
            .reports
            .iter()
            .filter(&mut settled)
            .map(|report| report.entry.cursor)
            .collect();
        (cursors.into_iter().collect(), unknown)
    }

    /// Whether a Pod was created that the cache does not have yet: it has our finalizer, and nobody but us takes it off.
    fn makes_pods(&self) -> bool {
        let attempts = self.status.stages.iter().flat_map(|stage| &stage.attempts);
        let coming = |attempt: &AttemptStatus| {
            let created = creation_of(self.seen, attempt);
            matches!(created, Some(CreateAnswer::Created { gone: false, .. }))
                && pod_of(self.seen, self.owner, attempt).is_none()
                && self.now < later(attempt.created_at.unwrap_or(self.now), UNSEEN)
        };
        attempts.into_iter().any(coming)
    }

    fn seal(&self) -> Option<crate::effect::SealOutbox> {
        let journal = self.status.journal.as_ref()?;
        journal::to_seal(journal, self.uid, self.deleting() && self.finished())
    }

    /// Whether nothing of the run can be lost any more: its records are on chain, or put aside when it is being deleted.
    fn may_go(&self) -> bool {
        let never_began = self.deleting() && self.status.started_at.is_none();
        if !self.held()
            || !(self.finished() || never_began)
            || self.seen.pods.iter().any(|pod| pod.held && self.owner.has(pod))
            || self.makes_pods()
        {
            return false;
        }
        self.status.journal.as_ref().is_none_or(|journal| {
            let on_chain = journal.recorded >= journal.next;
            on_chain || (self.deleting() && journal.pending.is_empty())
        })
    }
}

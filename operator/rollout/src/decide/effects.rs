//! Everything that the status wants and that is not there.

use std::collections::BTreeSet;

use dcanary_core::{Wake, journal as outbox};
use dcanary_crds::{DeployedRelease, Doing, Rollout, RolloutOutcome, labels};
use serde_json::Value;

use super::pass::Pass;
use crate::{
    plan::{Actor, Effect, Plan},
    render,
    seen::{Key, Kind},
};

/// Earlier releases that are kept, unless the Environment says otherwise.
const HISTORY: usize = 5;

impl Pass<'_> {
    /// Conditions and effects.
    pub(super) fn close(mut self) -> Plan {
        self.watch_contest();
        self.tell_changed();
        self.trim_history();
        self.hold_size();
        let traffic = self.traffic_effects();
        self.forget_former_routes();
        self.note_unverified();
        self.conclude();
        let mut effects = Vec::new();
        let mut workloads = self.workload_effects();
        // Pods first, then requests to them; but nothing is taken away before the requests have gone elsewhere
        effects.append(&mut workloads);
        effects.extend(traffic);
        effects.append(&mut self.effects);
        effects.append(&mut self.samples);
        effects.extend(self.evidence_to_store());
        effects.append(&mut self.kept_evidence());
        if let Some(workload) = self.serving_workload() {
            effects.extend(render::disruption_budget(self.env, workload, self.seen));
        }
        effects.extend(self.leftovers());
        effects.extend(self.taken_over());
        effects.extend(self.promotion_effects());
        effects.extend(self.outbox_effects());
        self.one_at_a_time(&mut effects);
        self.note_versions(&mut effects);
        let wake = match (self.wake, self.active()) {
            // whatever is overlooked, a rollout is looked at now and then
            (Wake::OnChange, Some(_)) => Wake::At(dcanary_core::time::later(self.now, 30)),
            (wake, _) => wake,
        };
        Plan {
            status: self.status,
            effects,
            events: self.events,
            wake,
        }
    }

    /// The workload that all requests go to, or most of them: whose Pods the disruption budget is about.
    fn serving_workload(&self) -> Option<&str> {
        let stable = self.status.stable.as_ref()?;
        let taken_over = self.active().filter(|rollout| {
            matches!(rollout.doing, Doing::Promoting | Doing::Verifying)
                && rollout.weight == 100
                && !self.in_place()
        });
        Some(taken_over.map_or(&stable.workload, |rollout| &rollout.workload))
    }

    /// What is deleted is deleted as it was seen: another operator may have given it requests since. The status of a Pod changes all the time, and
    /// its UID says enough.
    fn note_versions(&self, effects: &mut [Effect]) {
        for effect in effects {
            if let Effect::Delete { key, version, .. } = effect
                && key.kind != Kind::Pod
            {
                let object = self.seen.objects.get(key);
                let seen = object.and_then(|object| object.pointer("/metadata/resourceVersion"));
                *version = seen.and_then(Value::as_str).map(str::to_owned);
            }
        }
    }

    /// One write or deletion of an object at a time: what comes second here was decided on a version that the first replaces, so it is left to
    /// the next decision. Looks again when what was refused is tried again; until then the shell repeats nothing that is the same.
    fn one_at_a_time(&mut self, effects: &mut Vec<Effect>) {
        let mut asked = BTreeSet::new();
        effects.retain(|effect| written(effect).is_none_or(|key| asked.insert(key.clone())));
        let (refusals, now) = (&self.seen.refusals, self.now);
        let retries = asked.iter().filter_map(|key| Some(refusals.get(key)?.retry_at));
        if let Some(at) = retries.filter(|at| now < *at).min() {
            self.wake_at(at);
        }
    }

    /// Workloads and their configuration.
    fn workload_effects(&mut self) -> Vec<Effect> {
        if self.in_place() {
            return self.in_place_effects();
        }
        let mut effects = self.missing_copies();
        if let Some(stable) = self.status.stable.clone() {
            let claim = render::claim(self.env, self.seen);
            effects.extend(claim.map(|write| Effect::Write(Box::new(write))));
            effects.extend(self.scaled(&stable.workload, self.stable_target()));
            effects.extend(self.brought_back(&stable));
        }
        let stable = self.status.stable.as_ref().map(|stable| &stable.workload);
        if let Some(rollout) = self.status.rollout.clone()
            && rollout.outcome != Some(RolloutOutcome::Promoted)
            // what went back in place, before the strategy was another one, is the stable one's
            && stable != Some(&rollout.workload)
            && self.is_no_earlier_ones(&rollout.workload)
        {
            let target = self.candidate_target(&rollout);
            let begun = !matches!(rollout.doing, Doing::Waiting | Doing::PreDeploy);
            if self.seen.objects.contains_key(&self.workload(&rollout.workload)) {
                effects.extend(begun.then(|| self.scaled(&rollout.workload, target)).flatten());
            } else if matches!(
                rollout.doing,
                Doing::Starting | Doing::Stepping | Doing::Promoting
            ) {
                effects.extend(self.created(
                    &rollout.promotion_namespace,
                    &rollout.release,
                    &rollout.identity,
                    target,
                ));
            }
            if let Some(at) = self.emptied_at().filter(|_| begun) {
                self.reached(at);
            }
        }
        effects.extend(self.history_effects());
        effects
    }

    /// Pods of earlier releases.
    fn history_effects(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        for index in 0..self.status.history.len() {
            let Some(deployed) = self.status.history.get(index).cloned() else {
                continue;
            };
            let relieved = self.status.relieved.as_ref();
            let under_way = self.is_the_rollouts(&deployed.workload)
                || relieved.is_some_and(|relieved| relieved.workload == deployed.workload)
                || self.is_named_before(index, &deployed.workload);
            match self.history_target(index) {
                Some(target) if !under_way => effects.extend(self.scaled(&deployed.workload, target)),
                Some(_) => {}
                None => {
                    let until = deployed.until.unwrap_or(self.now);
                    let keep = self.keep();
                    self.reached(dcanary_core::time::later(until, keep));
                }
            }
        }
        effects
    }

    /// Whether the stable release or a later one of the history has that workload: releases in place have one between them, and it stays
    /// theirs when the strategy becomes another one.
    pub(super) fn is_named_before(&self, index: usize, workload: &str) -> bool {
        let later = self.status.history.iter().take(index);
        let mut all = self.status.stable.iter().chain(later);
        all.any(|deployed| deployed.workload == workload)
    }

    fn in_place_effects(&mut self) -> Vec<Effect> {
        let mut effects = self.missing_copies();
        // under another strategy before, they had Deployments of their own
        effects.extend(self.history_effects());
        let rollout = self.status.rollout.clone();
        let target = self.stable_target();
        if let Some(rollout) = rollout.as_ref().filter(|rollout| rollout.finished_at.is_none()) {
            match rollout.doing {
                Doing::Starting | Doing::Promoting | Doing::Verifying => {
                    if let Some(held) = self.halted_in_place(rollout) {
                        effects.extend(held);
                        return effects;
                    }
                    effects.extend(self.put_in_place(rollout));
                    effects.extend(self.replaced());
                    return effects;
                }
                Doing::RollingBack => {
                    if let Some(stable) = self.status.stable.clone() {
                        effects.extend(self.restored(&stable, target));
                        effects.extend(self.replaced_by(&stable));
                    }
                    return effects;
                }
                // stays as it is at the partition
                Doing::Stepping => return effects,
                Doing::Waiting | Doing::PreDeploy | Doing::AfterRollback | Doing::Ended => {}
            }
        }
        if let Some(stable) = self.status.stable.clone() {
            effects.extend(self.restored(&stable, target));
            // a way back that ended at its deadline, or by a person, may have left some
            effects.extend(self.replaced_by(&stable));
            // beside a stable release with a Deployment of its own
            let beside = |rollout: &Rollout| {
                rollout.outcome != Some(RolloutOutcome::Promoted)
                    && rollout.finished_at.is_some()
                    && rollout.workload != stable.workload
                    && self.is_no_earlier_ones(&rollout.workload)
            };
            if let Some(rollout) = rollout.filter(beside) {
                effects.extend(self.scaled(&rollout.workload, self.candidate_target(&rollout)));
                if let Some(at) = self.emptied_at() {
                    self.reached(at);
                }
            }
        }
        effects
    }

    /// The recorded template of a release again.
    fn restored(&mut self, stable: &DeployedRelease, replicas: i32) -> Vec<Effect> {
        match render::restore(self.env, stable, replicas, self.seen) {
            Ok(write) => writes(write),
            Err(error) => {
                self.contested = Some((error.reason().to_owned(), error.to_string()));
                Vec::new()
            }
        }
    }

    /// Pods of another release that make way for the stable one. Only when the workload has its template: until then it is the stable ones that
    /// are another release's.
    fn replaced_by(&self, stable: &DeployedRelease) -> Vec<Effect> {
        if !self.carries(&stable.workload, &stable.identity) {
            return Vec::new();
        }
        let mut effects = self.broken();
        effects.extend(self.replaced());
        effects
    }

    /// Pods that keep a workload in place from going back.
    fn broken(&self) -> Vec<Effect> {
        let key = self.workload(self.status.stable.as_ref().map_or("", |stable| &stable.workload));
        let Some(object) = self.seen.objects.get(&key) else {
            return Vec::new();
        };
        render::broken_pods(self.env, self.seen, object)
            .into_iter()
            .map(|(key, uid)| deletion(key, uid))
            .collect()
    }

    /// The next Pod of a StatefulSet that is replaced by the operator.
    fn replaced(&self) -> Option<Effect> {
        let object = self.seen.objects.get(&self.workload(self.name))?;
        let (key, uid) = render::next_to_replace(self.env, self.seen, object)?;
        Some(deletion(key, uid))
    }

    /// The candidate as it can be made now, if that is still the one that was decided on.
    pub(super) fn candidate_of(
        &self,
        namespace: &str,
        release: &str,
        identity: &str,
    ) -> Option<render::Candidate> {
        let place = (namespace.to_owned(), release.to_owned());
        let release = self.seen.releases.get(&place)?;
        let candidate = render::candidate(self.env, release, self.seen).ok()?;
        (candidate.identity == identity).then_some(candidate)
    }

    fn created(&mut self, namespace: &str, release: &str, identity: &str, replicas: i32) -> Vec<Effect> {
        let Some(candidate) = self.candidate_of(namespace, release, identity) else {
            return Vec::new();
        };
        let mut effects = writes(render::config_maps(&candidate, self.env, self.seen));
        effects.push(Effect::Write(Box::new(render::deployment(
            self.env, &candidate, replicas,
        ))));
        effects
    }

    /// A stable workload that somebody deleted comes back, as long as it can be made the same.
    fn brought_back(&mut self, stable: &DeployedRelease) -> Vec<Effect> {
        let key = self.workload(&stable.workload);
        if self.seen.objects.contains_key(&key)
            || self.seen.unreadable.contains_key(&key)
            || stable.release.is_empty()
        {
            return Vec::new();
        }
        let target = self.stable_target();
        self.created(&stable.namespace, &stable.release, &stable.identity, target)
    }

    fn scaled(&self, workload: &str, replicas: i32) -> Option<Effect> {
        let key = self.workload(workload);
        let object = self.seen.objects.get(&key)?;
        let back = self.changed(workload).and_then(|changed| changed.back);
        let object = back.as_ref().map_or(object, |write| &write.object);
        let write = render::scale(&key, object, replicas).or(back.clone());
        write.map(|write| Effect::Write(Box::new(write)))
    }

    /// Drops earlier releases beyond the limit, but none that may still have requests.
    fn trim_history(&mut self) {
        let limit = self.env.spec.history.as_ref().and_then(|history| history.limit);
        let limit = limit.map_or(HISTORY, |limit| usize::try_from(limit).unwrap_or(HISTORY));
        let keep = self.keep();
        let now = self.now;
        let mut index = 0;
        let mut history = std::mem::take(&mut self.status.history);
        history.retain(|deployed| {
            index += 1;
            let quiet = dcanary_core::time::later(deployed.until.unwrap_or(now), keep);
            (index <= limit && !self.is_nothing_but_stable(deployed)) || now < quiet
        });
        self.status.history = history;
    }

    /// Objects of releases that nothing names any more.
    fn leftovers(&mut self) -> Vec<Effect> {
        let clears = self.clears_what_was_left();
        self.seen
            .objects
            .iter()
            .filter(|(key, object)| {
                matches!(key.kind, Kind::Deployment | Kind::ConfigMap)
                    && (self.is_ours(object) || (clears && render::is_left(self.env, object)))
                    && !self.is_used(key, object)
            })
            .filter_map(|(key, object)| Some(deletion(key.clone(), uid_of(object)?)))
            .collect()
    }

    /// Whether the status names the release that an object is of. What is of no release is none of ours to take away.
    pub(super) fn is_used(&self, key: &Key, object: &Value) -> bool {
        let deployed = self.status.stable.iter().chain(&self.status.history);
        let rollout = self.status.rollout.as_ref();
        let relieved = self.status.relieved.as_ref();
        let mut all = deployed
            .map(|deployed| (&deployed.workload, &deployed.identity))
            .chain(rollout.map(|rollout| (&rollout.workload, &rollout.identity)))
            .chain(relieved.map(|relieved| (&relieved.workload, &relieved.identity)));
        let Some(identity) = render::identity_of(object) else {
            return true;
        };
        self.is_adopted(&key.name) || all.any(|(workload, other)| *workload == key.name || *other == identity)
    }

    /// Whether a name is that of the Deployment that was there before the Environment.
    pub(super) fn is_adopted(&self, name: &str) -> bool {
        let reference = self.env.spec.workload.reference.as_ref();
        reference.is_some_and(|adopted| adopted.name == name)
    }

    /// Whether an object was made for this Environment.
    pub(super) fn is_ours(&self, object: &Value) -> bool {
        let label = object
            .pointer("/metadata/labels")
            .and_then(|all| all.get(labels::ENVIRONMENT_UID))
            .and_then(Value::as_str);
        label == Some(self.uid)
    }

    /// Records on their way to the chain.
    fn outbox_effects(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        let stuck = self.is_outbox_stuck();
        if let Some(journal) = &self.status.journal {
            effects.extend(outbox::to_seal(journal, self.uid, stuck).map(Effect::SealOutbox));
        }
        let unneeded = std::mem::take(&mut self.unneeded);
        effects.extend(
            unneeded
                .into_iter()
                .map(|config_map| Effect::DropSealed { config_map }),
        );
        effects
    }
}

/// The object that an effect writes or deletes.
pub(super) fn written(effect: &Effect) -> Option<&Key> {
    match effect {
        Effect::Write(write) => Some(&write.key),
        Effect::Delete { key, .. } => Some(key),
        _ => None,
    }
}

/// A deletion as the Environment's service account.
pub(super) fn deletion(key: Key, uid: String) -> Effect {
    Effect::Delete {
        key,
        uid,
        version: None,
        actor: Actor::Environment,
    }
}

/// UID of an object.
pub(super) fn uid_of(object: &Value) -> Option<String> {
    object.pointer("/metadata/uid")?.as_str().map(str::to_owned)
}

/// Writes as effects.
pub(super) fn writes(all: impl IntoIterator<Item = crate::Write>) -> Vec<Effect> {
    all.into_iter()
        .map(|write| Effect::Write(Box::new(write)))
        .collect()
}

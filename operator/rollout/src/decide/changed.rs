//! Workloads of releases that somebody changed by hand: what runs is then not what was recorded.
//!
//! A release's own Deployment never changes but for its Pods' number, so the recorded Pod template is put back where it can still be made. What
//! is updated in place is compared with its record all the time, and what was there before the Environment is its owner's.

use std::collections::BTreeSet;

use super::pass::Pass;
use crate::{plan::Write, render};

/// What is said then.
pub(super) const CHANGED: &str = "WorkloadChanged";

/// Somebody changed a workload.
pub(super) struct Changed {
    /// Its name.
    workload: String,
    /// Field manager that did it.
    by: String,
    /// The recorded template again, where it can still be made.
    pub(super) back: Option<Write>,
}

impl Changed {
    /// For people, with what to do.
    pub(super) fn message(&self) -> String {
        let Self { workload, by, back } = self;
        let what = if back.is_some() {
            "it is put back as it was recorded"
        } else {
            "it cannot be put back, because its release would be another one with the present configuration: promote the release again"
        };
        format!("field manager {by} changed the Pod template of Deployment {workload}: {what}")
    }
}

impl Pass<'_> {
    /// Whether somebody changed the Pod template of a release's own Deployment.
    pub(super) fn changed(&self, workload: &str) -> Option<Changed> {
        if self.in_place() || workload == self.name || self.is_adopted(workload) {
            return None;
        }
        let key = self.workload(workload);
        let object = self
            .seen
            .objects
            .get(&key)
            .filter(|object| self.is_ours(object))?;
        let by = render::changed_by(object)?.to_owned();
        let (_, namespace, release, identity) = self
            .own_workloads()
            .find(|(name, ..)| *name == workload)
            // what an earlier Environment left behind is taken as it is
            .filter(|(_, _, release, _)| !release.is_empty())?;
        let back = match self.candidate_of(namespace, release, identity) {
            Some(candidate) => Some(render::put_back(&key, object, &candidate)?),
            None => None,
        };
        Some(Changed {
            workload: workload.to_owned(),
            by,
            back,
        })
    }

    /// Workload, namespace, release and identity of what there is: the stable release, earlier ones, the candidate.
    fn own_workloads(&self) -> impl Iterator<Item = (&String, &String, &String, &String)> {
        let deployed = self.status.stable.iter().chain(&self.status.history);
        let deployed = deployed.map(|of| (&of.workload, &of.namespace, &of.release, &of.identity));
        let candidate = self.status.rollout.iter();
        deployed.chain(candidate.map(|of| (&of.workload, &of.promotion_namespace, &of.release, &of.identity)))
    }

    /// Why the candidate is not measured and gets no more requests: somebody changed it, or the Pods of what they made of it are still there.
    pub(super) fn candidate_changed(&self, workload: &str) -> Option<String> {
        if let Some(changed) = self.changed(workload) {
            return Some(changed.message());
        }
        let object = self.seen.objects.get(&self.workload(workload))?;
        let state = self.state(workload)?;
        let replaced = !self.in_place()
            && render::was_changed(object)
            && (state.updated < state.total || !state.current);
        replaced.then(|| format!("Pods of Deployment {workload} are being replaced"))
    }

    /// Tells people of each that is put back.
    pub(super) fn tell_changed(&mut self) {
        let names: BTreeSet<String> = self.own_workloads().map(|(name, ..)| name.clone()).collect();
        for name in names {
            // one that is refused is told of as that
            let refused = self.seen.refusals.contains_key(&self.workload(&name));
            if let Some(changed) = self
                .changed(&name)
                .filter(|changed| changed.back.is_some() && !refused)
            {
                self.tell(true, CHANGED, &changed.message());
            }
        }
    }
}

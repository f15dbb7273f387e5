//! Waiting for Pods, and no longer than the deadline.

use dcanary_core::time::later;
use dcanary_crds::{Doing, RolloutOutcome};

use super::{earlier::named, pass::Pass};
use crate::{
    render::{self, RenderError, WorkloadState},
    seen::{Key, Kind},
};

/// How many Pods are ready. Where Pods of the release before are in the same workload nobody says how many of the ready ones are theirs.
fn counted(state: Option<&WorkloadState>) -> String {
    match state {
        None => "there are none".to_owned(),
        Some(state) if state.updated < state.total => format!(
            "{} of {} are, those of the release before among them",
            state.available, state.total
        ),
        Some(state) => format!("{} of {} are", state.available, state.replicas),
    }
}

impl Pass<'_> {
    /// Whether a workload has the Pod template of this release.
    pub(super) fn carries(&self, workload: &str, identity: &str) -> bool {
        let object = self.seen.objects.get(&self.workload(workload));
        object.and_then(render::identity_of) == Some(identity)
    }

    /// Says which Pods are missing and why, or turns back when the deadline has passed.
    pub(super) fn await_pods(&mut self, state: Option<&WorkloadState>, reason: &str, missing: &str) {
        let problem = self.problem(state);
        let since = self.missing_since.take().unwrap_or(self.now);
        if let Some(rollout) = &mut self.status.rollout {
            rollout.missing_since = Some(since);
        }
        if !self.reached(later(since, self.deadline())) {
            // fewer are waited for then
            let emptied = self.active().and_then(|rollout| self.emptying_until(rollout));
            if let Some(at) = emptied {
                self.wake_at(at);
            }
            // what it is made from is gone: waiting alone brings no Pod
            let reason = self.unmade().map_or(reason, |(why, _)| why);
            self.say(reason, format!("{missing}{problem}"));
            return;
        }
        let message = format!(
            "its Pods did not become ready within {} s ({}){problem}",
            self.deadline(),
            counted(state)
        );
        self.turn_back(RolloutOutcome::RolledBack, "ProgressDeadlineExceeded", &message);
    }

    /// What keeps Pods from becoming ready, or a write from being taken: first what is about the workload that is waited for.
    pub(super) fn problem(&self, state: Option<&WorkloadState>) -> String {
        let awaited = self.awaited();
        let pods = || {
            let (reason, message) = state?.problem.as_ref()?;
            Some(format!(": {reason}: {message}"))
        };
        self.unmade()
            .map(|(_, why)| format!(": {why}"))
            .or_else(|| self.refusal(|key| awaited.as_ref() == Some(key)))
            // its Pods need the copies of its ConfigMaps
            .or_else(|| self.refusal(|key| key.kind == Kind::ConfigMap))
            .or_else(pods)
            .or_else(|| self.refusal(|_| true))
            .unwrap_or_default()
    }

    /// What keeps a route from being written.
    pub(super) fn problem_of_route(&self) -> String {
        let routing = [Kind::HttpRoute, Kind::GrpcRoute, Kind::Service];
        self.refusal(|key| routing.contains(&key.kind))
            .or_else(|| self.refusal(|_| true))
            .unwrap_or_default()
    }

    fn refusal(&self, is: impl Fn(&Key) -> bool) -> Option<String> {
        let mut all = self.seen.refusals.iter();
        let (_, refusal) = all.find(|(key, _)| is(key))?;
        Some(format!(": {}: {}", refusal.reason, refusal.message))
    }

    /// The workload whose Pods are waited for.
    fn awaited(&self) -> Option<Key> {
        let rollout = self.active()?;
        let stable = self.status.stable.as_ref();
        let back = stable.filter(|_| rollout.doing == Doing::RollingBack);
        Some(self.workload(back.map_or(&rollout.workload, |stable| &stable.workload)))
    }

    /// Why the workload of the candidate is not there and cannot be made: reason and message. What it is made from went away since it was
    /// taken up.
    fn unmade(&self) -> Option<(&'static str, String)> {
        let rollout = self.active()?;
        let begun = matches!(
            rollout.doing,
            Doing::Starting | Doing::Stepping | Doing::Promoting | Doing::Verifying
        );
        if !begun || self.was_made(rollout) {
            return None;
        }
        let (namespace, name) = (&rollout.promotion_namespace, &rollout.release);
        let Some(release) = self.seen.releases.get(&(namespace.clone(), name.clone())) else {
            return Some((
                "ReleaseMissing",
                format!(
                    "its Pods cannot be made, there is no Release {} in namespace {namespace} any more: create it again, or end this with `dcanary abort {}`",
                    named(name, &rollout.workload),
                    rollout.promotion
                ),
            ));
        };
        match render::candidate(self.env, release, self.seen) {
            Err(error) => Some((error.reason(), format!("its Pods cannot be made: {error}"))),
            Ok(candidate) if candidate.identity != rollout.identity => {
                let gone = RenderError::WorkloadGone(rollout.workload.clone());
                Some((gone.reason(), gone.to_string()))
            }
            Ok(_) => None,
        }
    }
}

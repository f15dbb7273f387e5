//! What an Environment of the same name left behind: marked as ours where it is used, cleared away where it is not.

use dcanary_core::time::later;
use dcanary_crds::{DeployedRelease, Promotion, Release};

use super::pass::Pass;
use crate::{
    plan::Effect,
    render::{self, Candidate},
    seen::Kind,
    traffic::InForce,
    wanted::digest_of,
};

impl Pass<'_> {
    /// Our mark on what is used of it. Services and routes get it with what they say.
    pub(super) fn taken_over(&self) -> Vec<Effect> {
        self.seen
            .objects
            .iter()
            .filter(|(key, object)| match key.kind {
                Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet | Kind::ConfigMap => {
                    render::identity_of(object).is_some() && self.is_used(key, object)
                }
                Kind::PodDisruptionBudget => key.name == self.name,
                _ => false,
            })
            .filter_map(|(key, object)| render::taken_over(self.env, key, object))
            .map(|write| Effect::Write(Box::new(write)))
            .collect()
    }

    /// A promotion of the release that was left behind says which one it is.
    pub(super) fn name_what_was_left(
        &mut self,
        promotion: &Promotion,
        release: &Release,
        candidate: &Candidate,
    ) {
        let stable = self.status.stable.as_mut();
        let unnamed = |stable: &&mut DeployedRelease| {
            stable.release.is_empty() && stable.workload == candidate.workload
        };
        let Some(stable) = stable.filter(unnamed) else {
            return;
        };
        stable.release.clone_from(&candidate.release);
        stable.namespace.clone_from(&candidate.namespace);
        stable.images.clone_from(&candidate.images);
        stable.source.clone_from(&candidate.source);
        stable.digest = Some(digest_of(release));
        stable.promotion.clone_from(&promotion.metadata.uid);
        stable.requested_by.clone_from(&promotion.spec.requested_by);
    }

    /// Whether what is not used of it gets no requests any more: they have gone to the stable release for as long as it takes to end them.
    pub(super) fn clears_what_was_left(&mut self) -> bool {
        let left = |(_, object): (_, &serde_json::Value)| render::is_left(self.env, object);
        let Some(stable) = self
            .status
            .stable
            .as_ref()
            .filter(|_| self.seen.objects.iter().any(left))
        else {
            return false;
        };
        let quiet = later(stable.since.unwrap_or(self.now), self.keep());
        self.reached(quiet) && self.split().is_none_or(|split| split.in_force == InForce::Yes)
    }
}

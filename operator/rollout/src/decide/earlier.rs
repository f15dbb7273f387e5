//! Earlier releases that come again: which one a promotion means, and whether what it was is still there. Its Release need not be: those of
//! Git are pruned when the next one comes.

use dcanary_crds::{DeployedRelease, Promotion, Release, ReleaseSpec};

use super::{pass::Pass, take_up::Prepared};
use crate::{
    render::{self, Candidate},
    wanted::Gate,
};

/// Why a promotion to an earlier release of which nothing is left ends at once.
const GONE: &str = "EarlierReleaseGone";

impl Pass<'_> {
    /// The earlier release that a promotion with `undo` means: the one of its identity, else the latest of its name that is not held.
    pub(super) fn earlier(&self, promotion: &Promotion) -> Option<&DeployedRelease> {
        let spec = &promotion.spec;
        let from = promotion.metadata.namespace.as_deref().unwrap_or_default();
        let all = || {
            self.status.history.iter().filter(|deployed| {
                spec.undo
                    && name_of(deployed) == spec.release_ref.name
                    && self.namespace_of(deployed) == from
                    && spec
                        .identity
                        .as_ref()
                        .is_none_or(|meant| *meant == deployed.identity)
            })
        };
        all()
            .find(|deployed| !self.is_held(&deployed.identity))
            .or_else(|| all().next())
    }

    /// What a promotion with `undo` brings again as it was: images, template and configuration; and its Release, as far as it is known here.
    pub(super) fn again(&self, promotion: &Promotion) -> Option<(Prepared, Release)> {
        let deployed = self
            .earlier(promotion)
            .filter(|deployed| self.leads_back(promotion, deployed))?;
        let workload = self.comes_again_in(deployed)?;
        self.is_whole(deployed, &workload)
            .then(|| self.as_it_was(promotion, deployed, workload))
    }

    /// The stable release, where a promotion with `undo` means that by its identity.
    pub(super) fn is_still(&self, promotion: &Promotion) -> Option<(Prepared, Release)> {
        let spec = &promotion.spec;
        let meant = spec.identity.as_ref().filter(|_| spec.undo)?;
        let stable = self.status.stable.as_ref()?;
        let same = stable.identity == *meant && name_of(stable) == spec.release_ref.name;
        same.then(|| self.as_it_was(promotion, stable, stable.workload.clone()))
    }

    /// What a promotion that names an identity does not bring: another one. Where Pods are replaced in another way than then, what it was may not
    /// be known any more; it is made as a release is made now.
    pub(super) fn is_another(&self, promotion: &Promotion, candidate: &Candidate) -> Option<Gate> {
        let spec = &promotion.spec;
        let meant = spec.identity.as_ref().filter(|_| spec.undo)?;
        let unknown = |deployed| self.comes_again_in(deployed).is_none();
        if *meant == candidate.identity || self.earlier(promotion).is_some_and(unknown) {
            return None;
        }
        let (name, now) = (&spec.release_ref.name, &candidate.identity);
        let message = format!(
            "release {name} is there, but what it was as {meant} is gone: with the present Pod template, ConfigMaps and Secrets it is {now}; set these to what they were, promote it as it is now with `dcanary promote {} {name}`, or go further back",
            self.name
        );
        Some(Gate::refused(GONE, message))
    }

    /// A release as it is deployed here, and its Release, as far as it is known.
    fn as_it_was(
        &self,
        promotion: &Promotion,
        deployed: &DeployedRelease,
        workload: String,
    ) -> (Prepared, Release) {
        let candidate = Candidate {
            release: deployed.release.clone(),
            namespace: deployed.namespace.clone(),
            identity: deployed.identity.clone(),
            workload,
            images: deployed.images.clone(),
            source: deployed.source.clone(),
            ..Candidate::default()
        };
        let mut release = Release::new(
            name_of(deployed),
            ReleaseSpec {
                project: self.env.spec.project.clone(),
                images: deployed.images.clone(),
                source: deployed.source.clone(),
                ..ReleaseSpec::default()
            },
        );
        release
            .metadata
            .namespace
            .clone_from(&promotion.metadata.namespace);
        let prepared = Prepared {
            candidate,
            returning: true,
            digest: deployed.digest.clone(),
            back: true,
        };
        (prepared, release)
    }

    /// Whether all that an earlier release needs is there, or can be made as it was. What cannot be read now may be there.
    fn is_whole(&self, deployed: &DeployedRelease, workload: &str) -> bool {
        if self.in_place() {
            return self.is_recorded_or_made(deployed);
        }
        let key = self.workload(workload);
        if self.seen.unreadable.contains_key(&key) {
            return true;
        }
        match self.seen.objects.get(&key) {
            // its owner may have made another one of it
            Some(_) if self.is_adopted(workload) => {
                let now = render::adopted(self.env, self.seen).and_then(Result::ok);
                now.is_some_and(|now| now.identity == deployed.identity)
            }
            Some(object) => render::identity_of(object) == Some(deployed.identity.as_str()),
            None => self.is_made(deployed),
        }
    }

    /// Why a promotion whose Release is not there can never begin: it means an earlier release, and nothing of that is left. `None`: it waits
    /// for the Release.
    pub(super) fn is_gone(&self, promotion: &Promotion) -> Option<Gate> {
        let spec = &promotion.spec;
        let earlier = self.earlier(promotion);
        // what was taken away comes again from its Release only
        let new = earlier.is_some_and(|deployed| !self.leads_back(promotion, deployed));
        if new || (spec.identity.is_none() && earlier.is_none()) {
            return None;
        }
        let name = &spec.release_ref.name;
        let message = if self.is_adopted_again(promotion) {
            format!(
                "Deployment {name} is gone, or is not what it was: set its Pod template to what it was, or promote a release that is good"
            )
        } else {
            let namespace = promotion.metadata.namespace.as_deref().unwrap_or_default();
            format!(
                "neither the objects of release {name} nor its Release are there any more: create Release {name} in namespace {namespace} again and promote it with `undo: true`, or hold {name} here so that `dcanary undo {}` goes further back",
                self.name
            )
        };
        Some(Gate::refused(GONE, message))
    }

    /// Whether a promotion means what was adopted.
    pub(super) fn is_adopted_again(&self, promotion: &Promotion) -> bool {
        let earlier = self.earlier(promotion);
        earlier.is_some_and(|deployed| deployed.release.is_empty())
    }

    fn is_held(&self, identity: &str) -> bool {
        self.status.held.iter().any(|held| held.identity == identity)
    }

    /// The namespace in which an earlier release is asked for: what was adopted came from none.
    pub(super) fn namespace_of<'b>(&'b self, deployed: &'b DeployedRelease) -> &'b str {
        match deployed.namespace.as_str() {
            "" => self.namespace,
            namespace => namespace,
        }
    }
}

/// What a release is called: one that was adopted has no name but its workload's.
pub(super) fn name_of(deployed: &DeployedRelease) -> &str {
    named(&deployed.release, &deployed.workload)
}

/// The same, for a rollout.
pub(super) fn named<'b>(release: &'b str, workload: &'b str) -> &'b str {
    if release.is_empty() { workload } else { release }
}

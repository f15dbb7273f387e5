//! What is promoted without being asked for: changed configuration of the stable release, and releases of the environment before.

use dcanary_crds::{DeployedRelease, EnvironmentRef, Promotion, PromotionSpec, Release, ReleaseRef};
use serde_json::json;

use super::{
    earlier::name_of,
    effects::written,
    holds::cut_name,
    pass::{Pass, Waiting},
};
use crate::{
    plan::{Actor, Effect, Write},
    render,
    seen::{Key, Kind},
    wanted::{Gate, OWN_NAME, auto_promotion, digest_of, is_recorded, is_same, queue},
};

impl Pass<'_> {
    /// Digest of everything but the images that makes a release's identity. `None` while a part of it is missing or cannot be read: that is no
    /// change.
    pub(super) fn configuration(&self) -> Option<String> {
        render::configuration(self.env, self.seen).ok()
    }

    /// Asks for promotions, by name so that each is asked for once.
    pub(super) fn follow(&mut self) {
        self.abort_of_stable();
        let idle = self.waiting.is_empty() && queue(&self.status, self.seen).is_empty();
        let asked = idle && self.ask_again();
        if asked || self.active().is_some() {
            return;
        }
        // what is about to begin brings the present configuration with it; what waits for something else may do so for long
        let open = queue(&self.status, self.seen);
        let asked = open
            .into_iter()
            .any(|promotion| self.is_for_configuration(promotion));
        if !asked && !self.waiting.iter().any(is_about_to_begin) {
            self.follow_configuration();
        }
        self.follow_source();
    }

    /// Whether a promotion brings nothing but changed configuration to the stable release. It takes no other one's place: any other brings that
    /// with it.
    pub(super) fn is_for_configuration(&self, promotion: &Promotion) -> bool {
        let name = promotion.metadata.name.as_deref().unwrap_or_default();
        promotion.spec.requested_by.as_deref() == Some(&self.own_name())
            && name.starts_with(&format!("{}-config-", cut_name(self.name)))
    }

    /// Whether the release whose configuration it brings is not the stable one any more.
    pub(super) fn is_obsolete(&self, promotion: &Promotion) -> bool {
        let release = &promotion.spec.release_ref.name;
        let stable = self.status.stable.as_ref();
        self.is_for_configuration(promotion) && stable.is_none_or(|stable| stable.release != *release)
    }

    /// Whether a promotion of this release, a way back or one that is about to begin waits already. Any other that waits is older news than the
    /// environment before.
    fn is_on_its_way(&self, next: &DeployedRelease) -> bool {
        if self.waiting.iter().any(is_about_to_begin) {
            return true;
        }
        queue(&self.status, self.seen).into_iter().any(|promotion| {
            let namespace = promotion.metadata.namespace.clone().unwrap_or_default();
            let place = (namespace, promotion.spec.release_ref.name.clone());
            let release = self.seen.releases.get(&place);
            let same = |release: &Release| is_same(next, &release.spec.images, Some(&digest_of(release)));
            promotion.spec.undo || release.is_some_and(same)
        })
    }

    /// Configuration that changed since the last rollout goes the way of a release, with the same steps and approvals.
    fn follow_configuration(&mut self) {
        let Some(stable) = self
            .status
            .stable
            .clone()
            .filter(|stable| !stable.release.is_empty())
        else {
            return;
        };
        // what cannot be read now is no change
        let Some(configuration) = self.configuration() else {
            return;
        };
        if self.status.configuration.as_ref() == Some(&configuration) {
            return;
        }
        let place = (stable.namespace.clone(), stable.release.clone());
        let Some(release) = self.seen.releases.get(&place) else {
            return;
        };
        let Ok(candidate) = render::candidate(self.env, release, self.seen) else {
            return;
        };
        let known = self
            .status
            .held
            .iter()
            .any(|held| held.identity == candidate.identity);
        if candidate.identity == stable.identity || known {
            self.status.configuration = Some(configuration);
            return;
        }
        let name = self.name_for_configuration(&candidate.identity);
        let reason = "the template, a ConfigMap or a Secret of the Environment changed";
        let by = self.own_name();
        self.ask_for(&name, &stable, &by, reason, false);
    }

    /// Releases that have succeeded in the environment before.
    fn follow_source(&mut self) {
        let Some(rule) = self.env.spec.promotes_from.clone().filter(|rule| rule.auto) else {
            return;
        };
        let found = auto_promotion(&rule, self.seen, is_recorded(self.env, self.seen), self.now);
        let next = match found {
            Ok(next) => next.clone(),
            Err(at) => {
                if let Some(at) = at {
                    self.wake_at(at);
                }
                return;
            }
        };
        if self
            .status
            .stable
            .as_ref()
            .is_some_and(|stable| is_same(stable, &next.images, next.digest.as_deref()))
            || self.is_on_its_way(&next)
            || self.withdrawn(&next).is_some()
        {
            return;
        }
        let brought = next.promotion.as_deref().unwrap_or(&next.identity);
        // asked for under the name that it had before, which Environments of one name in two namespaces shared
        let before = format!("{}-auto-{}", cut_name(self.name), short(brought));
        if self.is_asked_for(&before, &next) {
            return;
        }
        let name = self.name_for_source(brought);
        let reason = format!("it succeeded in {}", rule.name);
        let by = self.own_name();
        self.ask_for(&name, &next, &by, &reason, false);
    }

    /// Name of the Promotion that brings a release of the environment before. It is made in the namespace of the Release, where those of other
    /// Environments are too, also of Environments of this name: whose it is, is in the digest.
    fn name_for_source(&self, brought: &str) -> String {
        let unique = render::digest(&json!([self.namespace, self.name, brought]));
        format!("{}-auto-{}", cut_name(self.name), short(&unique))
    }

    /// A promotion that is asked for and cannot be made: reason and message.
    pub(super) fn refused_promotion(&self) -> Option<(String, String)> {
        let asked = self.effects.iter().filter_map(written);
        let mut promotions = asked.filter(|key| key.kind == Kind::Promotion);
        let (key, refusal) = promotions.find_map(|key| Some((key, self.seen.refusals.get(key)?)))?;
        let message = format!(
            "promotion {} cannot be created ({}): {}",
            key.name, refusal.reason, refusal.message
        );
        Some(("PromotionRefused".to_owned(), message))
    }

    /// Name of the Promotion that brings changed configuration. With the rollout that came last in it, configuration that comes back a second
    /// time is asked for a second time.
    fn name_for_configuration(&self, identity: &str) -> String {
        let last = self.status.rollout.as_ref();
        let after = last.map(|rollout| rollout.promotion_uid.as_str());
        let unique = render::digest(&json!([identity, after]));
        format!("{}-config-{}", cut_name(self.name), short(&unique))
    }

    /// Who asks where no person does.
    pub(super) fn own_name(&self) -> String {
        format!("{OWN_NAME}{}:{}", self.namespace, self.name)
    }

    /// Whether there is a Promotion of this name, where the release is.
    pub(super) fn is_asked_for(&self, name: &str, deployed: &DeployedRelease) -> bool {
        self.seen.promotions.iter().any(|promotion| {
            promotion.metadata.name.as_deref() == Some(name)
                && promotion.metadata.namespace.as_deref() == Some(self.namespace_of(deployed))
        })
    }

    /// Asks for a release by a Promotion of this name, unless it was asked for already.
    pub(super) fn ask_for(
        &mut self,
        name: &str,
        deployed: &DeployedRelease,
        by: &str,
        reason: &str,
        undo: bool,
    ) {
        if self.is_asked_for(name, deployed) {
            return;
        }
        let spec = PromotionSpec {
            environment_ref: EnvironmentRef {
                name: self.name.to_owned(),
                namespace: Some(self.namespace.to_owned()),
            },
            release_ref: ReleaseRef {
                name: name_of(deployed).to_owned(),
            },
            requested_by: Some(by.to_owned()),
            reason: Some(reason.to_owned()),
            undo,
            // of the same name there may be several, with other configuration
            identity: Some(deployed.identity.clone()).filter(|identity| undo && !identity.is_empty()),
        };
        let object = json!({
            "apiVersion": Kind::Promotion.api_version(),
            "kind": Kind::Promotion.name(),
            "metadata": {"name": name, "namespace": self.namespace_of(deployed)},
            "spec": spec,
        });
        self.effects.push(Effect::Write(Box::new(Write {
            key: Key::new(Kind::Promotion, name),
            object,
            actor: Actor::Operator,
        })));
    }
}

/// Ten letters and digits of something unique.
pub(super) fn short(unique: &str) -> String {
    unique
        .trim_start_matches("sha256:")
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(10)
        .collect()
}

/// Whether a promotion waits for nothing but room.
fn is_about_to_begin(waiting: &Waiting<'_>) -> bool {
    matches!(waiting.gate, Gate::Waiting { reason, .. } if matches!(reason, "WaitingForRollout" | "WaitingForLedger"))
}

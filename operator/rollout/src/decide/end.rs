//! The end of promotions and rollouts.

use dcanary_crds::{DeployedRelease, Doing, EndedPromotion, Promotion, Rollout, RolloutOutcome};
use dcanary_types::environment::EnvTransition;

use super::{earlier::named, journal::hash, pass::Pass};
use crate::wanted::{OWN_NAME, asked_before, is_same};
use dcanary_core::text::cut;

/// Longest message in the status.
pub(super) const MESSAGE: usize = 1024;

impl Pass<'_> {
    /// Ends a promotion that never became a rollout.
    pub(super) fn end_promotion(
        &mut self,
        promotion: &Promotion,
        outcome: RolloutOutcome,
        reason: &str,
        message: &str,
        identity: Option<String>,
    ) {
        let name = promotion.metadata.name.clone().unwrap_or_default();
        let warning = matches!(outcome, RolloutOutcome::Refused | RolloutOutcome::Aborted);
        self.tell(warning, reason, &format!("promotion {name}: {message}"));
        self.status.ended.push(EndedPromotion {
            promotion: name,
            promotion_namespace: promotion.metadata.namespace.clone().unwrap_or_default(),
            promotion_uid: promotion.metadata.uid.clone().unwrap_or_default(),
            outcome,
            reason: reason.to_owned(),
            message: cut(message, MESSAGE),
            finished_at: Some(self.now),
            identity,
        });
    }

    /// Ends the rollout: what is to be said was said before (`outcome`, `reason`, `message`).
    pub(super) fn end_rollout(&mut self) {
        let now = self.now;
        let Some(rollout) = &mut self.status.rollout else {
            return;
        };
        rollout.doing = Doing::Ended;
        rollout.finished_at = Some(now);
        rollout.gate = None;
        rollout.paused_by = None;
        rollout.paused_until = None;
        let rollout = rollout.clone();
        let outcome = rollout.outcome.unwrap_or(RolloutOutcome::Aborted);
        match outcome {
            RolloutOutcome::Promoted => {}
            RolloutOutcome::RolledBack => {
                let to = self.status.stable.as_ref().map(|stable| hash(&stable.identity));
                let failing = super::analyses::failing_evidence(&rollout);
                let evidence = failing.or_else(|| super::analyses::all_evidence(&rollout));
                self.emit(EnvTransition::RolledBack {
                    promotion: rollout.promotion_uid.clone(),
                    identity: hash(&rollout.identity),
                    to,
                    reason: short(&rollout.reason),
                    evidence,
                });
            }
            RolloutOutcome::Aborted | RolloutOutcome::Superseded | RolloutOutcome::Refused => {
                self.emit(EnvTransition::Aborted {
                    promotion: rollout.promotion_uid.clone(),
                    reason: short(&rollout.reason),
                });
            }
        }
        self.note_taken_back(&rollout);
        let held = matches!(outcome, RolloutOutcome::RolledBack)
            || matches!(rollout.reason.as_str(), "Rejected" | "PreDeployFailed");
        if held {
            let release = Some(rollout.release.clone());
            self.hold(
                &rollout.identity,
                release,
                &rollout.reason,
                &rollout.message,
                None,
            );
        }
        self.tell(
            outcome != RolloutOutcome::Promoted,
            match outcome {
                RolloutOutcome::Promoted => "Promoted",
                RolloutOutcome::RolledBack => "RolledBack",
                RolloutOutcome::Superseded => "Superseded",
                RolloutOutcome::Aborted => "Aborted",
                RolloutOutcome::Refused => "Refused",
            },
            &format!("promotion {}: {}", rollout.promotion, rollout.message),
        );
        self.status.ended.push(EndedPromotion {
            promotion: rollout.promotion,
            promotion_namespace: rollout.promotion_namespace,
            promotion_uid: rollout.promotion_uid,
            outcome,
            reason: rollout.reason,
            message: rollout.message,
            finished_at: Some(now),
            identity: Some(rollout.identity),
        });
    }

    /// Who asked for a release. Where it came by itself, that is who asked for it here or in the environment before.
    fn person_behind(&self, rollout: &Rollout) -> Option<String> {
        let by = rollout.requested_by.as_deref()?;
        if !by.starts_with(OWN_NAME) {
            return Some(by.to_owned());
        }
        let stable = self.status.stable.as_ref();
        let (images, digest) = (&rollout.images, rollout.digest.as_deref());
        let same = stable.filter(|stable| is_same(stable, images, digest));
        let person = same.and_then(|stable| stable.requested_by.as_deref());
        let person = person.or_else(|| asked_before(self.env, Some(by), images, digest, self.seen));
        Some(person.unwrap_or(by).to_owned())
    }

    /// The candidate becomes the stable release; what is to be said besides.
    pub(super) fn promote(&mut self, remark: Option<String>) {
        let now = self.now;
        let Some(rollout) = &mut self.status.rollout else {
            return;
        };
        rollout.outcome = Some(RolloutOutcome::Promoted);
        "Promoted".clone_into(&mut rollout.reason);
        let name = named(&rollout.release, &rollout.workload);
        let message = format!("release {name} is stable");
        let message = remark.map_or(message.clone(), |remark| format!("{message}; {remark}"));
        rollout.message = cut(&message, MESSAGE);
        let rollout = rollout.clone();
        let record = self.emit(EnvTransition::Promoted {
            promotion: rollout.promotion_uid.clone(),
            identity: hash(&rollout.identity),
            evidence: super::analyses::all_evidence(&rollout),
        });
        let new = DeployedRelease {
            new_since: self.new_since(&rollout),
            requested_by: self.person_behind(&rollout),
            record,
            since: Some(now),
            ..deployed(&rollout)
        };
        // one of the same identity in another workload, made by another strategy, stays until its Pods are away
        self.status
            .history
            .retain(|deployed| deployed.identity != new.identity || deployed.workload != new.workload);
        let before = self.status.stable.replace(new);
        self.note_replaced(&rollout, before.as_ref());
        if let Some(mut old) = before {
            old.until = Some(now);
            self.status.history.insert(0, old);
        }
        self.end_rollout();
    }
}

/// What a rollout brings, as it is known once it has requests.
pub(super) fn deployed(rollout: &Rollout) -> DeployedRelease {
    DeployedRelease {
        release: rollout.release.clone(),
        namespace: rollout.promotion_namespace.clone(),
        identity: rollout.identity.clone(),
        workload: rollout.workload.clone(),
        images: rollout.images.clone(),
        source: rollout.source.clone(),
        digest: rollout.digest.clone(),
        promotion: Some(rollout.promotion_uid.clone()),
        ..DeployedRelease::default()
    }
}

/// A reason as the journal takes it: 1 to 64 bytes.
fn short(reason: &str) -> String {
    dcanary_core::text::reason(reason, "Unknown")
}

//! API server and Environments: what becomes of Promotions.

use dcanary_core::{Deploy, conditions, observed::CreateAnswer};
use dcanary_crds::{Condition, ConditionStatus, ConditionType, PromotionStatus};

use crate::{
    scenario::Behaviour,
    world::{Promoting, World},
};

impl World {
    /// The API server takes a Release and a Promotion.
    pub fn deploy(&mut self, deploy: &Deploy) -> CreateAnswer {
        let (mut promotion, release) = (deploy.deployment.promotion.clone(), &deploy.deployment.release);
        if self.namespace_since.is_some() {
            return CreateAnswer::NamespaceTerminating;
        }
        if self.scenario.behaviour(&deploy.stage, deploy.attempt) == Behaviour::Refused {
            return CreateAnswer::Refused {
                reason: "PromotionForbidden".into(),
                message: "denied by policy".into(),
            };
        }
        let name = release.metadata.name.clone().unwrap();
        assert_eq!(promotion.spec.release_ref.name, name);
        let there = self.releases.entry(name).or_insert_with(|| release.clone());
        assert_eq!(there.spec, release.spec, "a name for two releases");
        let name = promotion.metadata.name.clone().unwrap();
        if let Some(there) = self.promotions.get(&name) {
            let uid = there.promotion.metadata.uid.clone().unwrap();
            return if there.promotion.spec == promotion.spec {
                CreateAnswer::Created { uid, gone: false }
            } else {
                CreateAnswer::Foreign
            };
        }
        self.check_needs(&deploy.stage);
        let made = self
            .promotions_made
            .entry((deploy.stage.clone(), deploy.attempt))
            .or_insert(0);
        *made += 1;
        assert_eq!(*made, 1, "two Promotions for {} {}", deploy.stage, deploy.attempt);
        let uid = format!("promotion-{name}");
        promotion.metadata.uid = Some(uid.clone());
        let made = Promoting {
            stage: deploy.stage.clone(),
            attempt: deploy.attempt,
            promotion,
        };
        self.promotions.insert(name, made);
        CreateAnswer::Created { uid, gone: false }
    }

    /// Environments take every Promotion one step further: waiting for approval, then its end.
    pub fn advance_promotions(&mut self) {
        let now = self.now;
        for one in self.promotions.values_mut() {
            let behaviour = self.scenario.behaviour(&one.stage, one.attempt);
            let status = one.promotion.status.get_or_insert_default();
            let told = conditions::find(&status.conditions, ConditionType::Succeeded);
            if told.is_none() {
                tell(
                    status,
                    ConditionStatus::Unknown,
                    "WaitingForApproval",
                    "0 of 2 have approved",
                    now,
                );
            } else if told.is_some_and(|told| told.status == ConditionStatus::Unknown) {
                match behaviour {
                    Behaviour::Hangs => {}
                    Behaviour::Succeed => tell(
                        status,
                        ConditionStatus::True,
                        "Promoted",
                        "release is stable",
                        now,
                    ),
                    _ => tell(
                        status,
                        ConditionStatus::False,
                        "AnalysisFailed",
                        "too many errors",
                        now,
                    ),
                }
            }
        }
    }

    /// Somebody deletes them.
    pub fn delete_promotions(&mut self) {
        for one in std::mem::take(&mut self.promotions).into_values() {
            self.gone.insert(one.promotion.metadata.uid.unwrap());
        }
    }
}

/// What an Environment says about a Promotion.
pub fn tell(
    status: &mut PromotionStatus,
    succeeded: ConditionStatus,
    reason: &str,
    message: &str,
    now: jiff::Timestamp,
) {
    let waits = succeeded == ConditionStatus::Unknown;
    let one = |kind, status| Condition {
        kind,
        status,
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: now,
        observed_generation: 1,
    };
    status.conditions = vec![
        one(ConditionType::Succeeded, succeeded),
        one(ConditionType::Finished, (!waits).into()),
        one(ConditionType::Paused, waits.into()),
    ];
}

//! Attempts that are Promotions: stages with an `environment`.

use dcanary_crds::{AttemptStatus, Promotion, StageState};
use jiff::Timestamp;

use super::{
    budget,
    finish::CONFIRM,
    start::Gate,
    step::{Step, creation_named, pod_of},
};
use crate::{
    observed::CreateAnswer,
    outcome::{self, Verdict, promotion},
    plan::PlanError,
    release, text,
    time::later,
    values,
};

impl<'a> Step<'a> {
    /// Whether a stage is a deployment.
    pub(super) fn deploys(&self, index: usize) -> bool {
        let stage = self.definition.stages.get(index);
        stage.is_some_and(|stage| stage.stage.environment.is_some())
    }

    /// Whether a deployment may begin: what it rests on is confirmed, and there is something to deploy.
    pub(super) fn deployment_gate(&self, index: usize) -> Gate {
        if let Some(gate) = self.unconfirmed(index) {
            return gate;
        }
        match release::deployment(self.subject(index, 1)) {
            Ok(_) => Gate::Open,
            Err(PlanError::Missing { reason, message, .. } | PlanError::Refused { reason, message }) => {
                Gate::Refuse {
                    reason,
                    message: text::cut(&message, 512),
                }
            }
        }
    }

    /// A deployment is a gate: it rests only on attempts of which kubelet and runner say the same.
    fn unconfirmed(&self, index: usize) -> Option<Gate> {
        let mut until: Option<Timestamp> = None;
        for i in values::upstream(self.definition, index) {
            let stage = self.status.stages.get(i)?;
            let Some(last) = stage.attempts.last() else {
                continue;
            };
            if stage.state != StageState::Succeeded || last.promotion.is_some() {
                continue;
            }
            if let Some(why) = &last.disputed {
                return Some(Gate::Refuse {
                    reason: "OutcomeDisputed",
                    message: format!(
                        "what stage {} reported is disputed ({why}), so nothing is deployed",
                        stage.name
                    ),
                });
            }
            if last.confirmed {
                continue;
            }
            let end = later(last.finished_at.unwrap_or(self.now), CONFIRM);
            if self.now >= end || pod_of(self.seen, self.owner, last).is_none_or(|pod| !pod.is_live()) {
                return Some(Gate::Refuse {
                    reason: "OutcomeUnconfirmed",
                    message: format!(
                        "the kubelet has not confirmed what stage {} reported, so nothing is deployed: run it again",
                        stage.name
                    ),
                });
            }
            until = until.max(Some(end));
        }
        until.map(Gate::Wait)
    }

    /// What an attempt asks for, and nothing when it is no deployment.
    pub(super) fn asked(&self, index: usize, number: i32) -> Option<dcanary_crds::AttemptPromotion> {
        let environment = self.definition.stages.get(index)?.stage.environment.clone()?;
        let made = release::deployment(self.subject(index, number)).ok()?;
        Some(dcanary_crds::AttemptPromotion {
            name: made.promotion.metadata.name?,
            uid: None,
            environment,
            release: made.release.metadata.name?,
        })
    }

    /// Looks at the last attempt of a deployment.
    pub(super) fn look_at_promotion(&mut self, index: usize, at: usize) {
        let Some(attempt) = self
            .attempt(index, at)
            .filter(|attempt| attempt.outcome.is_none())
        else {
            return;
        };
        let (attempt, Some(asked)) = (attempt.clone(), attempt.promotion.clone()) else {
            return;
        };
        let found = self.promotion_of(index, &attempt);
        let creation = creation_named(self.seen, &asked.name);
        let created = match creation {
            Some(CreateAnswer::Created { uid, .. }) => Some(uid.clone()),
            _ => None,
        };
        let uid = asked.uid.clone();
        let uid = uid.or_else(|| found.and_then(|found| found.metadata.uid.clone()).or(created));
        if let Some(asked) = self.status.stages[index].attempts[at].promotion.as_mut() {
            asked.uid = uid;
        }
        let timeout = self
            .definition
            .stages
            .get(index)
            .and_then(|stage| stage.stage.timeout);
        let verdict = promotion::decide(promotion::Situation {
            attempt: &attempt,
            asked: &asked,
            promotion: found,
            creation,
            environment: self.seen.environments.contains(&asked.environment),
            stopping: self.stopping(index),
            timeout: timeout.map(dcanary_crds::Duration::as_secs),
            now: self.now,
        });
        match verdict {
            Verdict::Undecided { waiting, wake } => {
                if let Some(wake) = wake {
                    self.wake_at(wake);
                }
                let paused = found.is_some_and(promotion::is_paused);
                self.show_waiting(index, at, waiting, paused);
            }
            Verdict::Decided(decision) => self.settle(index, at, decision),
        }
    }

    fn show_waiting(
        &mut self,
        index: usize,
        at: usize,
        waiting: Option<crate::seen_pod::PodWaiting>,
        paused: bool,
    ) {
        let attempt = &mut self.status.stages[index].attempts[at];
        match waiting {
            Some(waiting) => {
                // what is said of a rollout under way changes with every look; what people are asked for is always shown as it is
                let news = waiting.reason != attempt.reason
                    || paused && !budget::is_shown(&waiting.message, &attempt.message);
                if news {
                    attempt.reason = waiting.reason;
                    attempt.message = waiting.message;
                }
            }
            None if outcome::is_of_creation(&attempt.reason) || attempt.reason == "EnvironmentNotFound" => {
                attempt.reason.clear();
                attempt.message.clear();
            }
            None => {}
        }
    }

    fn attempt(&self, index: usize, at: usize) -> Option<&AttemptStatus> {
        self.status.stages.get(index)?.attempts.get(at)
    }

    /// The Promotion of an attempt: the one that was seen before, or one of its name that asks for the same.
    fn promotion_of(&self, index: usize, attempt: &AttemptStatus) -> Option<&'a Promotion> {
        let asked = attempt.promotion.as_ref()?;
        let named = |found: &&Promotion| {
            found.metadata.name.as_deref() == Some(asked.name.as_str())
                && found.metadata.namespace == self.run.metadata.namespace
        };
        let seen = self.seen;
        let found = seen.promotions.iter().map(AsRef::as_ref).find(named)?;
        let ours = match &asked.uid {
            Some(uid) => found.metadata.uid.as_ref() == Some(uid),
            None => release::deployment(self.subject(index, attempt.number))
                .is_ok_and(|wanted| wanted.promotion.spec == found.spec),
        };
        ours.then_some(found)
    }
}

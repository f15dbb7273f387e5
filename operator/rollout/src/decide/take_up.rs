//! Which promotion is taken up next.

use std::borrow::Cow;

use dcanary_core::time::later;
use dcanary_crds::{Doing, EndedPromotion, Environment, Promotion, Release, Rollout, RolloutOutcome};
use dcanary_types::environment::EnvTransition;

use super::{
    earlier::named,
    journal::hash,
    pass::{Pass, Waiting},
    routing::SETTLE,
    size,
};
use crate::{
    render::{self, Candidate, RenderError},
    wanted::{Gate, digest_of, ended, finished, gate, key, queue},
};

/// What would be deployed, and whether it was stable here before.
pub(super) struct Prepared {
    pub(super) candidate: Candidate,
    pub(super) returning: bool,
    /// Digest of its Release, where that is known from then.
    pub(super) digest: Option<String>,
    /// It comes again as it was.
    pub(super) back: bool,
}

/// A promotion with what it would deploy.
pub(super) type Next<'a> = (
    &'a Promotion,
    Cow<'a, Release>,
    Prepared,
    Vec<dcanary_crds::ApprovalStatus>,
    Option<String>,
);

/// What a promotion asks for is served.
fn already_stable() -> Gate {
    Gate::Over {
        outcome: RolloutOutcome::Promoted,
        reason: "AlreadyStable",
        message: "it is the stable release already".to_owned(),
        hold: None,
    }
}

impl<'a> Pass<'a> {
    /// Drops promotions whose own status says by now that they ended, or that are gone.
    pub(super) fn note_ended(&mut self) {
        let open = |ended: &EndedPromotion| {
            let promotion = self.promotion(&ended.promotion_uid);
            promotion.is_some_and(|promotion| !finished(promotion))
        };
        let kept: Vec<EndedPromotion> = self
            .status
            .ended
            .iter()
            .filter(|ended| open(ended))
            .cloned()
            .collect();
        self.status.ended = kept;
    }

    /// Looks at all promotions that have not ended, the newest first, and takes up the first that may begin.
    pub(super) fn take_up(&mut self) {
        let (seen, env): (_, &'a Environment) = (self.seen, self.env);
        let current = self
            .active()
            .and_then(|rollout| self.promotion(&rollout.promotion_uid));
        let floor = current
            .filter(|current| !self.is_for_configuration(current))
            .map(key);
        let settled = self.is_written();
        let mut next: Option<Next<'a>> = None;
        for promotion in queue(&self.status, seen) {
            // the rest ends when the statuses of these are written: that of the Environment has to fit into one object
            let full = self.status.ended.len() >= size::ENDED;
            let older = floor.as_ref().is_some_and(|floor| key(promotion) < *floor);
            let yields = next
                .as_ref()
                .is_some_and(|(next, ..)| self.is_for_configuration(next))
                && !self.is_for_configuration(promotion);
            if (next.is_some() && !yields) || older || self.is_obsolete(promotion) {
                if full {
                    break;
                }
                let message = "a newer promotion took its place";
                self.end_promotion(promotion, RolloutOutcome::Superseded, "Superseded", message, None);
                continue;
            }
            match self.look_at(env, promotion) {
                Ok(ready) => {
                    if let Some((other, ..)) = next.replace(ready) {
                        let message = "another promotion brings the configuration with it";
                        self.end_promotion(other, RolloutOutcome::Superseded, "Superseded", message, None);
                    }
                }
                Err((Gate::Over { .. }, _)) if full => {}
                Err((gate, identity)) => self.wait_or_end(promotion, gate, identity),
            }
        }
        let Some((promotion, release, prepared, approvals, overridden_by)) = next else {
            return;
        };
        // configuration alone stops no release on its way: it comes with it, or after it
        let yields = self.is_for_configuration(promotion) && floor.is_some();
        if self.active().is_some() && !yields {
            self.make_way(promotion, &prepared.candidate.identity);
        }
        let identity = &prepared.candidate.identity;
        let over = self.hand_over(identity) || (!yields && self.replaces_first(promotion, identity));
        if over {
            // in the same pass: else nothing would hold the requests where they are
            self.begin(promotion, &release, prepared, approvals, overridden_by);
        } else if self.active().is_some() {
            // it waits
        } else if settled
            && !self.kept
            && (self.has_room() || self.is_way_back_of(promotion, &prepared.candidate.identity))
            && self.calm(self.goes_straight(promotion, &prepared.candidate.identity))
        {
            self.tell_unwritten();
            self.begin(promotion, &release, prepared, approvals, overridden_by);
        }
        let uid = promotion.metadata.uid.as_deref().unwrap_or_default();
        let taken = self
            .status
            .rollout
            .as_ref()
            .is_some_and(|rollout| rollout.promotion_uid == uid);
        let ended = self.status.ended.iter().any(|ended| ended.promotion_uid == uid);
        if !taken && !ended {
            let gate = self.in_the_way();
            let waiting = Waiting {
                promotion,
                gate,
                identity: None,
            };
            self.waiting.insert(0, waiting);
        }
    }

    fn look_at(
        &mut self,
        env: &Environment,
        promotion: &'a Promotion,
    ) -> Result<Next<'a>, (Gate, Option<String>)> {
        let found = self.look_into(env, promotion).map_err(|(gate, identity)| {
            // what it would deploy is not known, or is not what was asked for: people may have ended it all the same
            let over = ended(env, promotion, self.seen, self.now);
            (over.filter(|_| identity.is_none()).unwrap_or(gate), identity)
        });
        self.as_the_spec_lets(promotion, found)
    }

    fn look_into(
        &mut self,
        env: &Environment,
        promotion: &'a Promotion,
    ) -> Result<Next<'a>, (Gate, Option<String>)> {
        let waiting = |reason, message| Gate::Waiting {
            reason,
            message,
            approvals: Vec::new(),
            at: None,
        };
        let namespace = promotion.metadata.namespace.clone().unwrap_or_default();
        let name = promotion.spec.release_ref.name.clone();
        let place = (namespace.clone(), name.clone());
        // a Release that has the name of an adopted Deployment is another one
        let there = || {
            self.seen
                .releases
                .get(&place)
                .filter(|_| !self.is_adopted_again(promotion))
        };
        let (prepared, release) = if let Some((prepared, release)) = self.again(promotion) {
            (prepared, Cow::Owned(release))
        } else if let Some((prepared, release)) = self.is_still(promotion) {
            if self.active().is_none() {
                return Err((already_stable(), Some(prepared.candidate.identity)));
            }
            (prepared, Cow::Owned(release))
        } else if let Some(release) = there() {
            let prepared = self.prepare(release).map_err(|error| {
                let gate = if error.waits() {
                    waiting(error.reason(), error.to_string())
                } else {
                    Gate::refused(error.reason(), error.to_string())
                };
                (gate, None)
            })?;
            if let Some(refused) = self.is_another(promotion, &prepared.candidate) {
                return Err((refused, None));
            }
            (prepared, Cow::Borrowed(release))
        } else {
            let message = format!(
                "there is no Release {name} in namespace {namespace}: create it, or delete this promotion"
            );
            let missing = || waiting("ReleaseMissing", message);
            return Err((self.is_gone(promotion).unwrap_or_else(missing), None));
        };
        let identity = prepared.candidate.identity.clone();
        let (status, seen, now) = (&self.status, self.seen, self.now);
        match gate(
            env,
            status,
            promotion,
            &release,
            &prepared.candidate,
            prepared.returning,
            seen,
            now,
        ) {
            Gate::Ready {
                approvals,
                overridden_by,
            } => Ok((promotion, release, prepared, approvals, overridden_by)),
            gate => Err((gate, Some(identity))),
        }
    }

    fn wait_or_end(&mut self, promotion: &'a Promotion, gate: Gate, identity: Option<String>) {
        match gate {
            Gate::Over {
                outcome,
                reason,
                message,
                hold,
            } => {
                if let Some(held) = &hold {
                    self.hold_rejected(held, &promotion.spec.release_ref.name, reason, &message);
                }
                if reason == "Aborted" || (reason == "Rejected" && hold.is_none()) {
                    self.note_ended_waiting(promotion, &message);
                }
                self.end_promotion(promotion, outcome, reason, &message, identity);
            }
            gate => {
                if let Gate::Waiting { at: Some(at), .. } = &gate {
                    self.wake_at(*at);
                }
                if matches!(&gate, Gate::Waiting { reason: "Frozen", .. }) {
                    self.note_freeze(promotion);
                }
                self.waiting.push(Waiting {
                    promotion,
                    gate,
                    identity,
                });
            }
        }
    }

    /// What a promotion of a release would deploy.
    pub(super) fn prepare(&self, release: &Release) -> Result<Prepared, RenderError> {
        let candidate = render::candidate(self.env, release, self.seen)?;
        let mut history = self.status.history.iter();
        let returning = history.any(|deployed| deployed.identity == candidate.identity);
        Ok(Prepared {
            candidate,
            returning,
            digest: None,
            back: false,
        })
    }

    /// Nothing of the last rollout is still moving. With its place in the status go the Pods of a candidate that went back, so these have had
    /// time to end their requests; and a promoted one has got all of its own way, after which the candidate's Service is free: a gateway says
    /// that it has taken a route over before it acts on it. What goes straight back needs no such Service.
    fn calm(&mut self, straight: bool) -> bool {
        let Some(last) = self.status.rollout.clone() else {
            return true;
        };
        if last.outcome == Some(RolloutOutcome::Promoted) {
            let free = self
                .settled_at()
                .map(|at| if straight { at } else { later(at, SETTLE) });
            return free.is_none_or(|at| self.reached(at));
        }
        let has_pods = !self.in_place() && self.state(&last.workload).is_some_and(|state| state.replicas > 0);
        let emptied = self.emptied_at().filter(|_| has_pods);
        emptied.is_none_or(|at| self.reached(at))
    }

    fn begin(
        &mut self,
        promotion: &Promotion,
        release: &Release,
        prepared: Prepared,
        approvals: Vec<dcanary_crds::ApprovalStatus>,
        overridden_by: Option<String>,
    ) {
        let digest = prepared.digest.unwrap_or_else(|| digest_of(release));
        let candidate = prepared.candidate;
        let uid = promotion.metadata.uid.clone().unwrap_or_default();
        let stable = self.status.stable.as_ref();
        if stable.is_some_and(|stable| stable.identity == candidate.identity) {
            self.name_what_was_left(promotion, release, &candidate);
            self.end_promotion(
                promotion,
                RolloutOutcome::Promoted,
                "AlreadyStable",
                "it is the stable release already",
                Some(candidate.identity),
            );
            return;
        }
        let relieves = self.relieves();
        let straight = relieves || self.goes_straight(promotion, &candidate.identity);
        let last = self.status.rollout.as_ref().filter(|_| relieves);
        let (weight, wanted_weight) = last.map_or((0, 0), |last| (last.weight, last.wanted_weight));
        let stable_replicas = stable
            .and_then(|stable| self.state(&stable.workload))
            .map_or(0, |state| state.replicas);
        let changes = (candidate.template != serde_json::Value::Null)
            .then(|| render::changes(self.status.stable.as_ref(), &candidate, self.env, self.seen));
        if let Some(configuration) = self.configuration() {
            self.status.configuration = Some(configuration);
        }
        self.forget_refusal();
        let record = self.record_request(
            promotion,
            &digest,
            &candidate.identity,
            &approvals,
            overridden_by.as_deref(),
        );
        let gate = self.emit(EnvTransition::DeployStarted {
            promotion: uid.clone(),
        });
        let namespace = promotion.metadata.namespace.clone().unwrap_or_default();
        self.tell(
            false,
            "RolloutStarted",
            &format!(
                "{} begins: release {}",
                promotion.metadata.name.as_deref().unwrap_or_default(),
                named(&candidate.release, &candidate.workload)
            ),
        );
        self.keep_evidence();
        self.status.rollout = Some(Rollout {
            promotion: promotion.metadata.name.clone().unwrap_or_default(),
            promotion_namespace: namespace,
            promotion_uid: uid,
            requested_by: promotion.spec.requested_by.clone(),
            release: candidate.release,
            identity: candidate.identity,
            workload: candidate.workload,
            images: candidate.images,
            source: candidate.source,
            digest: Some(digest),
            doing: Doing::Waiting,
            since: Some(self.now),
            started_at: Some(self.now),
            stable_replicas,
            weight,
            wanted_weight,
            overridden_by,
            straight,
            back: prepared.back,
            strategy: Some(super::edits::followed(self.env)),
            approvals,
            changes,
            record,
            gate,
            ..Rollout::default()
        });
        self.forget_decided();
        self.roll();
    }

    fn record_request(
        &mut self,
        promotion: &Promotion,
        digest: &str,
        identity: &str,
        approvals: &[dcanary_crds::ApprovalStatus],
        overridden_by: Option<&str>,
    ) -> Option<i64> {
        let uid = promotion.metadata.uid.clone().unwrap_or_default();
        let record = self.emit(EnvTransition::DeployRequested {
            promotion: uid.clone(),
            release: hash(digest),
            identity: hash(identity),
            by: promotion.spec.requested_by.clone().unwrap_or_default(),
            undo: promotion.spec.undo,
        });
        for approval in approvals {
            self.emit(EnvTransition::Decided {
                promotion: Some(uid.clone()),
                decision: approval.decision.clone(),
                verb: "approve".to_owned(),
                by: approval.by.clone(),
                identity: Some(hash(identity)),
            });
        }
        self.record_windows(&uid);
        if let Some(decision) = overridden_by {
            let by = self
                .seen
                .decisions
                .iter()
                .find(|other| other.metadata.uid.as_deref() == Some(decision));
            let by = by
                .map_or("unknown", |decision| decision.spec.by.username.as_str())
                .to_owned();
            self.emit(EnvTransition::Overridden {
                promotion: uid,
                decision: decision.to_owned(),
                by,
            });
        }
        record
    }
}

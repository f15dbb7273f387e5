//! What people decide about the rollout that is under way, or has just ended.

use dcanary_crds::{Doing, Rollout, RolloutOutcome, Verb, release::DecidedKind};
use dcanary_types::environment::EnvTransition;

use super::pass::Pass;
use crate::wanted::{Counted, counted};

/// Whether nothing goes forward any more.
fn is_over(rollout: &Rollout) -> bool {
    matches!(
        rollout.doing,
        Doing::RollingBack | Doing::AfterRollback | Doing::Ended
    )
}

impl<'a> Pass<'a> {
    /// The Decisions that count for the Promotion of a rollout.
    pub(super) fn decisions_about(&self, rollout: &Rollout) -> Vec<Counted<'a>> {
        counted(
            self.seen,
            DecidedKind::Promotion,
            &rollout.promotion_namespace,
            &rollout.promotion,
            &rollout.promotion_uid,
            self.now,
        )
    }

    /// Carries out Decisions about the rollout, each once, in the order in which they were made.
    pub(super) fn carry_out_decisions(&mut self) {
        let Some(rollout) = self.active().cloned() else {
            return;
        };
        self.end_pause();
        for decision in self.decisions_about(&rollout) {
            // approvals and overrides counted before it began
            if matches!(decision.verb(), Verb::Approve | Verb::Override) || !self.is_new(decision.uid) {
                continue;
            }
            self.emit(EnvTransition::Decided {
                promotion: Some(rollout.promotion_uid.clone()),
                decision: decision.uid.to_owned(),
                verb: decision.verb().word().to_owned(),
                by: decision.by().to_owned(),
                identity: None,
            });
            self.carry_out(&decision);
        }
        if let Some(until) = self.active().and_then(|rollout| rollout.paused_until) {
            self.wake_at(until);
        }
    }

    /// A pause that a person made for a time ends with it, as `resume` would end it.
    fn end_pause(&mut self) {
        let now = self.now;
        let Some(rollout) = self.status.rollout.as_mut() else {
            return;
        };
        if let Some(until) = rollout.paused_until.filter(|until| now >= *until) {
            rollout.paused_by = None;
            rollout.paused_until = None;
            rollout.since = Some(now);
            rollout.missing_since = None;
            rollout.held_up_since = None;
            self.tell(false, "Resumed", &format!("the pause was until {until}"));
        }
    }

    fn carry_out(&mut self, decision: &Counted<'_>) {
        let why = |what: &str| {
            let reason = decision.reason();
            let tail = if reason.is_empty() {
                String::new()
            } else {
                format!(": {reason}")
            };
            format!("{} {what} it{tail}", decision.by())
        };
        let rollout = self
            .active()
            .filter(|rollout| !decision.is_for(&rollout.identity));
        if let Some(rollout) = rollout.cloned() {
            match decision.verb() {
                Verb::Reject => {
                    let message = format!("{} (as it was when it was looked at)", why("rejected"));
                    let looked_at = decision.identity().unwrap_or_default();
                    self.hold_rejected(looked_at, &rollout.release, "Rejected", &message);
                    return self.turn_back(RolloutOutcome::Aborted, "Aborted", &message);
                }
                Verb::Resume | Verb::Skip | Verb::Retry => {
                    let what = format!(
                        "it is about another release: for.digest must be {}",
                        rollout.identity
                    );
                    return self.ignored(decision, &what);
                }
                _ => {}
            }
        }
        match decision.verb() {
            Verb::Abort => self.turn_back(RolloutOutcome::Aborted, "Aborted", &why("aborted")),
            Verb::Reject => self.turn_back(RolloutOutcome::RolledBack, "Rejected", &why("rejected")),
            Verb::Pause if self.active().is_none_or(is_over) => {
                self.ignored(decision, "it goes back already, and nothing holds that up");
            }
            Verb::Pause => {
                self.tell(false, "Paused", &why("paused"));
                if let Some(rollout) = &mut self.status.rollout {
                    rollout.paused_by = Some(decision.uid.to_owned());
                    rollout.paused_until = decision.decision.spec.expires_at;
                }
            }
            Verb::Resume => {
                if self.resume() {
                    self.tell(false, "Resumed", &why("resumed"));
                } else {
                    self.ignored(decision, "nothing waits for a person");
                }
            }
            Verb::Skip => {
                let stepping = self
                    .active()
                    .is_some_and(|rollout| rollout.doing == Doing::Stepping);
                if stepping {
                    self.tell(false, "StepSkipped", &why("skipped a step of"));
                    self.pass_step();
                } else if self.goes_back() {
                    self.tell(true, "RollbackForced", &why("forced the way back of"));
                    if let Some(rollout) = &mut self.status.rollout {
                        rollout.resumed = true;
                    }
                } else {
                    self.ignored(
                        decision,
                        "only a step between the start and all traffic, or the wait of a rollback, can be skipped",
                    );
                }
            }
            Verb::Retry => {
                self.tell(false, "StepRetried", &why("retried a step of"));
                self.measure_again();
            }
            Verb::Approve | Verb::Override => {}
            Verb::Hold | Verb::Unhold | Verb::Undo => {
                self.ignored(decision, "it is about an Environment: name that in `for`");
            }
        }
    }

    fn ignored(&mut self, decision: &Counted<'_>, why: &str) {
        let note = format!(
            "Decision `{}` by {}: {why}",
            decision.verb().word(),
            decision.by()
        );
        self.tell(true, "DecisionIgnored", &note);
    }

    fn goes_back(&self) -> bool {
        self.active()
            .is_some_and(|rollout| rollout.doing == Doing::RollingBack)
    }

    /// Whether there was something that waited.
    fn resume(&mut self) -> bool {
        let now = self.now;
        let contested = self.is_contested();
        let mut answered = true;
        // a way back is not ended by a wish to go on
        if !self.goes_back()
            && let Some(rollout) = &mut self.status.rollout
        {
            // time in which a person held it is not time in which it failed to come on
            rollout.since = Some(now);
            rollout.missing_since = None;
            rollout.held_up_since = None;
            if contested {
                // that is what it says that it waits for
            } else if rollout.paused_by.take().is_some() {
                rollout.paused_until = None;
            } else {
                answered = self.answer();
            }
        }
        self.status.contest = None;
        self.contested = None;
        answered
    }

    /// An abort of the promotion that brought the stable release, made after its end, is a way back too.
    pub(super) fn abort_of_stable(&mut self) {
        for decision in self.aborts_of_stable() {
            self.undo(&decision);
        }
    }

    /// Before promotions are taken up: those that carry out an abort of the stable release wait for no approval.
    pub(super) fn note_aborts_of_stable(&mut self) {
        for decision in self.aborts_of_stable() {
            self.note_asked(&decision);
        }
    }

    fn aborts_of_stable(&self) -> Vec<Counted<'a>> {
        let rollout = self.status.rollout.as_ref();
        let Some(rollout) = rollout.filter(|_| self.active().is_none()) else {
            return Vec::new();
        };
        let brought = self
            .status
            .stable
            .as_ref()
            .and_then(|stable| stable.promotion.clone());
        if rollout.outcome != Some(RolloutOutcome::Promoted)
            || brought.as_ref() != Some(&rollout.promotion_uid)
        {
            return Vec::new();
        }
        // also one that came in the moment in which it ended: the ones before were carried out
        let mut all = self.decisions_about(rollout);
        all.retain(|decision| decision.verb() == Verb::Abort);
        all
    }
}

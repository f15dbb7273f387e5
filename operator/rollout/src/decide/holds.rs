//! Releases that may not come, and the way back: what people decide about an Environment.

use super::{end::MESSAGE, journal::hash, pass::Pass};
use crate::{
    seen::{Key, Kind},
    wanted::{Counted, counted, name_of_undo},
};
use dcanary_core::text::cut;
use dcanary_crds::{Doing, HeldRelease, Rollout, RolloutOutcome, Verb, release::DecidedKind};
use dcanary_types::environment::EnvTransition;

/// Most releases that are held.
const HELD: usize = 200;
/// What the journal has for the Decision that let a release come again, when that was the time of its hold.
const EXPIRED: &str = "expired";

impl Pass<'_> {
    /// Forgets Decisions that are gone, and those about promotions whose place in the status is another's by now: nobody asks for them again.
    pub(super) fn forget_decided(&mut self) {
        let rollout = self.status.rollout.as_ref();
        let promotion = rollout.map(|rollout| rollout.promotion_uid.as_str());
        let there = |uid: &String| {
            self.seen.decisions.iter().any(|decision| {
                let target = &decision.spec.target;
                decision.metadata.uid.as_ref() == Some(uid)
                    && (target.kind == DecidedKind::Environment || promotion == Some(target.uid.as_str()))
            })
        };
        let kept: Vec<String> = self
            .status
            .decided
            .iter()
            .filter(|uid| there(uid))
            .cloned()
            .collect();
        // while none is seen nothing is concluded: the cache may be empty for another reason
        if !self.seen.decisions.is_empty() {
            self.status.decided = kept;
        }
    }

    /// Whether a Decision was carried out.
    pub(super) fn is_decided(&self, decision: &str) -> bool {
        self.status.decided.iter().any(|uid| uid == decision)
    }

    /// Whether a Decision was not carried out yet; then it is noted that it is. Only for what is over with the status alone.
    pub(super) fn is_new(&mut self, decision: &str) -> bool {
        let new = !self.is_decided(decision);
        if new {
            self.status.decided.push(decision.to_owned());
        }
        new
    }

    /// Carries out what was decided about the Environment.
    pub(super) fn carry_out_holds(&mut self) {
        self.end_holds();
        let decisions = counted(
            self.seen,
            DecidedKind::Environment,
            self.namespace,
            self.name,
            self.uid,
            self.now,
        );
        for decision in decisions {
            if decision.verb() == Verb::Undo {
                self.undo(&decision);
                continue;
            }
            if !self.is_new(decision.uid) {
                continue;
            }
            match decision.verb() {
                Verb::Hold => self.held_by(&decision),
                Verb::Unhold => self.let_go(&decision),
                verb => self.tell(
                    true,
                    "DecisionIgnored",
                    &format!("a Decision `{verb:?}` is about a Promotion, not an Environment"),
                ),
            }
        }
        if let Some(until) = self.status.held.iter().filter_map(|held| held.until).min() {
            self.wake_at(until);
        }
    }

    /// A hold that a person made for a time ends with it.
    fn end_holds(&mut self) {
        let now = self.now;
        let all = std::mem::take(&mut self.status.held);
        let is_over = |held: &HeldRelease| held.until.is_some_and(|until| now >= until);
        let (over, held) = all.into_iter().partition(is_over);
        self.status.held = held;
        let over: Vec<HeldRelease> = over;
        for held in over {
            self.tell(
                false,
                "Unheld",
                &format!("{} may come again: its hold was for a time", held.identity),
            );
            self.emit(EnvTransition::Released {
                identity: hash(&held.identity),
                decision: EXPIRED.to_owned(),
            });
        }
    }

    fn held_by(&mut self, decision: &Counted<'_>) {
        let Some(identity) = decision.decision.spec.target.digest.clone() else {
            return;
        };
        let release = self.name_of(&identity);
        let message = format!("{}: {}", decision.by(), decision.reason());
        let until = decision.decision.spec.expires_at;
        let held = &mut self.status.held;
        if let Some(held) = held.iter_mut().find(|held| held.identity == identity) {
            // the later word of a person counts; what is held for good stays so
            if held.until.is_some() {
                held.until = until;
                held.message = cut(&message, MESSAGE);
            }
            return;
        }
        self.hold(&identity, release, "Held", &message, Some(decision.uid));
        if let Some(held) = self.status.held.last_mut() {
            held.until = until;
        }
    }

    fn let_go(&mut self, decision: &Counted<'_>) {
        let Some(identity) = decision.decision.spec.target.digest.as_deref() else {
            return;
        };
        let before = self.status.held.len();
        self.status.held.retain(|held| held.identity != identity);
        if self.status.held.len() < before {
            self.tell(
                false,
                "Unheld",
                &format!("{} let {identity} come again", decision.by()),
            );
            self.emit(EnvTransition::Released {
                identity: hash(identity),
                decision: decision.uid.to_owned(),
            });
        }
    }

    /// Holds a release.
    pub(super) fn hold(
        &mut self,
        identity: &str,
        release: Option<String>,
        reason: &str,
        message: &str,
        decision: Option<&str>,
    ) {
        if self.status.held.iter().any(|held| held.identity == identity) {
            return;
        }
        if self.status.held.len() >= HELD {
            if decision.is_some() {
                self.tell(
                    true,
                    "TooManyHeld",
                    &format!(
                        "{identity} is not held: {HELD} releases are already; let some come again first (`dcanary unhold {} RELEASE`)",
                        self.name
                    ),
                );
                return;
            }
            // what failed just now is held in any case, and what people said longest
            let oldest = self.status.held.iter().position(|held| held.reason != "Held");
            let oldest = self.status.held.remove(oldest.unwrap_or(0));
            self.tell(
                true,
                "TooManyHeld",
                &format!(
                    "{} is held no more: there is room for {HELD}, and it was the oldest",
                    oldest.release.as_deref().unwrap_or(&oldest.identity)
                ),
            );
            self.emit(EnvTransition::Released {
                identity: hash(&oldest.identity),
                decision: "limit".to_owned(),
            });
        }
        self.status.held.push(HeldRelease {
            identity: identity.to_owned(),
            release,
            reason: reason.to_owned(),
            message: cut(message, MESSAGE),
            since: Some(self.now),
            until: None,
        });
        self.emit(EnvTransition::Held {
            identity: hash(identity),
            reason: dcanary_core::text::reason(reason, "Held"),
            decision: decision.map(str::to_owned),
        });
    }

    /// A person rejected a release: what was looked at is held. Not what is known to be of another release than the promotion's: that may only
    /// who may `hold`.
    pub(super) fn hold_rejected(&mut self, identity: &str, release: &str, reason: &str, message: &str) {
        if self.name_of(identity).is_none_or(|known| known == release) {
            self.hold(identity, Some(release.to_owned()), reason, message, None);
        }
    }

    /// Name of the release of an identity, where it is known.
    fn name_of(&self, identity: &str) -> Option<String> {
        let deployed = self.status.stable.iter().chain(&self.status.history);
        let rollout = self.status.rollout.as_ref();
        deployed
            .map(|deployed| (&deployed.identity, &deployed.release))
            .chain(rollout.map(|rollout| (&rollout.identity, &rollout.release)))
            .find(|(other, _)| *other == identity)
            .map(|(_, release)| release.clone())
    }

    /// Asks for the release before the stable one, by a Promotion of its own. Its name comes from the Decision, so that it is created once. The
    /// Decision is carried out when the Promotion is seen, or can never be.
    pub(super) fn undo(&mut self, decision: &Counted<'_>) {
        if self.is_decided(decision.uid) || self.note_asked(decision) {
            return;
        }
        let name = name_of_undo(self.name, decision.uid);
        if let Some(rollout) = self.active().cloned() {
            self.is_new(decision.uid);
            self.undo_under_way(&rollout, decision);
            return;
        }
        let Some(back) = self.leads_to().cloned() else {
            self.is_new(decision.uid);
            self.tell(
                true,
                "NothingToUndo",
                "there is no earlier release to go back to: all are gone or held",
            );
            return;
        };
        if let Some(refused) = self.refused_for_good(&name) {
            self.is_new(decision.uid);
            self.tell(true, "UndoRefused", &format!("Promotion {name}: {refused}"));
            return;
        }
        let reason = match decision.reason() {
            "" => "undo",
            reason => reason,
        };
        self.ask_for(&name, &back, decision.by(), reason, true);
    }

    /// In the middle of a rollout the way back is to the stable release. What goes back already does so.
    fn undo_under_way(&mut self, rollout: &Rollout, decision: &Counted<'_>) {
        let promotion = self.promotion(&rollout.promotion_uid);
        let undoes = promotion.is_some_and(|promotion| promotion.spec.undo);
        let goes_back = (undoes && rollout.straight)
            || matches!(rollout.doing, Doing::RollingBack | Doing::AfterRollback);
        if goes_back {
            let note = format!("Decision `undo` by {}: it goes back already", decision.by());
            self.tell(true, "DecisionIgnored", &note);
            return;
        }
        let message = match decision.reason() {
            "" => format!("{} undid it", decision.by()),
            reason => format!("{} undid it: {reason}", decision.by()),
        };
        self.turn_back(RolloutOutcome::Aborted, "Undone", &message);
    }

    /// Why a Promotion of this name will never be: its name is taken by another one, or the API server finds it wrong.
    fn refused_for_good(&self, name: &str) -> Option<String> {
        let refusal = self.seen.refusals.get(&Key::new(Kind::Promotion, name))?;
        let for_good = matches!(refusal.reason.as_str(), "Foreign" | "Invalid");
        for_good.then(|| refusal.message.clone())
    }
}

/// A name that leaves room for what is put behind it.
pub(super) fn cut_name(name: &str) -> &str {
    let end = name.len().min(40);
    name.get(..end).unwrap_or(name).trim_end_matches(['-', '.'])
}

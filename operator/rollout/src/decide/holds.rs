//! Releases that may not come, and the way back: what people decide about an Environment.

use super::{end::MESSAGE, journal::hash, pass::Pass};
use crate::wanted::{Counted, counted};
use dcanary_core::text::cut;
use dcanary_crds::{HeldRelease, Verb, release::DecidedKind};
use dcanary_types::environment::EnvTransition;

/// Most releases that are held; the oldest is let go of.
const HELD: usize = 200;

impl Pass<'_> {
    /// Forgets Decisions that are gone.
    pub(super) fn forget_decided(&mut self) {
        let there = |uid: &String| {
            self.seen
                .decisions
                .iter()
                .any(|decision| decision.metadata.uid.as_ref() == Some(uid))
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

    /// Whether a Decision was not carried out yet; then it is noted that it is.
    pub(super) fn is_new(&mut self, decision: &str) -> bool {
        if self.status.decided.iter().any(|uid| uid == decision) {
            return false;
        }
        self.status.decided.push(decision.to_owned());
        true
    }

    /// Carries out what was decided about the Environment.
    pub(super) fn carry_out_holds(&mut self) {
        let decisions = counted(
            self.seen,
            DecidedKind::Environment,
            self.namespace,
            self.name,
            self.uid,
            self.now,
        );
        for decision in decisions {
            if self.status.decided.iter().any(|uid| uid == decision.uid) {
                continue;
            }
            match decision.verb() {
                Verb::Hold => self.held_by(&decision),
                Verb::Unhold => self.let_go(&decision),
                Verb::Undo => self.undo(decision.uid, decision.by(), decision.reason()),
                verb => self.tell(
                    true,
                    "DecisionIgnored",
                    &format!("a Decision `{verb:?}` is about a Promotion, not an Environment"),
                ),
            }
            self.is_new(decision.uid);
        }
    }

    fn held_by(&mut self, decision: &Counted<'_>) {
        let Some(identity) = decision.decision.spec.target.digest.clone() else {
            return;
        };
        let release = self.name_of(&identity);
        let message = format!("{}: {}", decision.by(), decision.reason());
        self.hold(&identity, release, "Held", &message, Some(decision.uid));
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
            let oldest = self.status.held.remove(0);
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
        });
        self.emit(EnvTransition::Held {
            identity: hash(identity),
            reason: dcanary_core::text::reason(reason, "Held"),
            decision: decision.map(str::to_owned),
        });
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

    /// Asks for the release before the stable one, by a Promotion of its own. Its name comes from the Decision, so that it is created once.
    pub(super) fn undo(&mut self, decision: &str, by: &str, reason: &str) {
        let back = self.status.history.iter().find(|deployed| {
            !deployed.release.is_empty()
                && self
                    .status
                    .held
                    .iter()
                    .all(|held| held.identity != deployed.identity)
        });
        let Some(back) = back else {
            self.tell(
                true,
                "NothingToUndo",
                "there is no earlier release to go back to: all are gone or held",
            );
            return;
        };
        let short: String = decision
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(8)
            .collect();
        let name = format!("{}-undo-{short}", cut_name(self.name));
        let back = back.clone();
        let reason = if reason.is_empty() { "undo" } else { reason };
        self.ask_for(&name, &back, by, reason, true);
    }
}

/// A name that leaves room for what is put behind it.
pub(super) fn cut_name(name: &str) -> &str {
    let end = name.len().min(40);
    name.get(..end).unwrap_or(name).trim_end_matches(['-', '.'])
}

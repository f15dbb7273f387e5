//! What is recorded of an Environment, and what waits for it.

use dcanary_core::{definition, journal as outbox, time::later};
use dcanary_crds::{JournalStatus, RolloutOutcome};
use dcanary_types::{Hash, environment::EnvTransition, limits::MAX_APPROVALS};
use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::pass::Pass;
use crate::wanted;

/// Records that one forward step may need; what goes back needs less and is never held up.
const ROOM: usize = 16;
/// Time after which a chain that took no record is away, in seconds.
const STUCK: u64 = 30;

/// The bytes of `sha256:…`; zeros for anything else, which never comes from us.
pub(super) fn hash(digest: &str) -> Hash {
    definition::parse_digest(digest).unwrap_or_default()
}

/// What the chain checks.
struct Rules {
    from: Option<String>,
    approvals: u64,
    digest: Hash,
}

impl Pass<'_> {
    fn is_recorded(&self) -> bool {
        wanted::is_recorded(self.env, self.seen)
    }

    /// Takes over what the recorder told.
    pub(super) fn open_journal(&mut self) {
        let project = self
            .env
            .spec
            .project
            .as_ref()
            .unwrap_or(&self.seen.settings.project);
        // the project of a journal that has begun stays: records are numbered within it
        if self.status.project.is_none() {
            self.status.project = Some(project.clone());
        }
        if self.is_recorded() && self.status.journal.is_none() {
            self.status.journal = Some(JournalStatus::default());
        }
        let (uid, seen, now) = (self.uid, &self.seen.journal, self.now);
        let journal = self.status.journal.as_mut();
        self.unneeded = journal
            .map(|journal| outbox::update(journal, seen, uid, now))
            .unwrap_or_default();
    }

    /// Records the rules that the chain checks, when they are new.
    pub(super) fn record_rules(&mut self) {
        let opened = self.is_opened();
        // its gate is shut while the source is not there; until it is, the rules stay what they were
        if opened && self.env.spec.promotes_from.is_some() && self.seen.from.is_none() {
            return;
        }
        let rules = self.rules();
        let text = definition::text(&rules.digest);
        let known = self.status.rules.as_ref() == Some(&text);
        if (known && (opened || self.status.journal.is_none())) || !self.has_room() {
            return;
        }
        if opened {
            self.emit(EnvTransition::Changed {
                from: rules.from,
                approvals: rules.approvals,
                rules: rules.digest,
            });
        } else {
            self.open_record();
        }
        self.status.rules = Some(text);
    }

    /// Whether the journal has begun.
    fn is_opened(&self) -> bool {
        self.status
            .journal
            .as_ref()
            .is_some_and(|journal| journal.next > 0)
    }

    /// The first record. What is not known yet (the source) or cannot be followed is recorded as changed once it can: nothing is deployed
    /// before, and the chain takes no other record first.
    fn open_record(&mut self) {
        let rules = self.rules();
        let opened = EnvTransition::Opened {
            name: format!("{}/{}", self.namespace, self.name),
            from: rules.from,
            approvals: rules.approvals,
            rules: rules.digest,
        };
        self.put(opened);
    }

    fn rules(&self) -> Rules {
        let spec = &self.env.spec;
        let source = self.seen.from.as_ref();
        let from = spec
            .promotes_from
            .as_ref()
            .and_then(|_| source?.metadata.uid.clone());
        let rules = json!({
            "promotesFrom": spec.promotes_from, "approval": spec.approval, "freeze": spec.freeze,
            "strategy": spec.strategy, "analysis": spec.analysis, "from": from,
        });
        let required = spec
            .approval
            .as_ref()
            .map_or(0, |approval| approval.required.unwrap_or(1));
        Rules {
            from,
            // more than that is an invalid spec, which is not followed
            approvals: u64::try_from(required).unwrap_or_default().min(MAX_APPROVALS),
            digest: Sha256::digest(rules.to_string()).into(),
        }
    }

    /// Puts a record into the outbox; its number. `None`: nothing is recorded here.
    pub(super) fn emit(&mut self, transition: EnvTransition) -> Option<i64> {
        if self.status.journal.is_some() && !self.is_opened() {
            self.open_record();
        }
        self.put(transition)
    }

    fn put(&mut self, transition: EnvTransition) -> Option<i64> {
        let (uid, now) = (self.uid, self.now);
        let journal = self.status.journal.as_mut()?;
        let n = journal.next;
        outbox::push(journal, uid, transition, now);
        Some(n)
    }

    /// Whether a forward step can be recorded. What is recorded no more (`ledger.mode: off`) waits for no room either.
    pub(super) fn has_room(&self) -> bool {
        !self.is_recorded() || self.is_outbox_free()
    }

    fn is_outbox_free(&self) -> bool {
        self.status
            .journal
            .as_ref()
            .is_none_or(|journal| outbox::room(journal) >= ROOM)
    }

    /// Whether the outbox has been too full for a forward step for so long that its records are put aside: the chain is away, and the next
    /// rollout is to find room.
    pub(super) fn is_outbox_stuck(&mut self) -> bool {
        let full = !self.is_outbox_free();
        let oldest = self
            .status
            .journal
            .as_ref()
            .and_then(|journal| journal.pending.first());
        let since = oldest.and_then(|record| Timestamp::from_nanosecond(record.claimed_ts.into()).ok());
        since
            .filter(|_| full)
            .is_some_and(|since| self.reached(later(since, STUCK)))
    }

    /// Whether the chain is known to hold a record. Where nothing is recorded any more, nothing waits for it.
    pub(super) fn is_certified(&self, gate: Option<i64>) -> bool {
        if !self.is_recorded() {
            return true;
        }
        let (Some(n), Some(journal)) = (gate, &self.status.journal) else {
            return true;
        };
        journal.recorded > n
    }

    /// Why the chain refused one of the records of the rollout up to its gate, if it did. A refusal of another rollout's is shown, but is none of
    /// this one.
    pub(super) fn refused_by_chain(&self) -> Option<String> {
        let rollout = self.status.rollout.as_ref()?;
        let journal = self.status.journal.as_ref().filter(|_| self.is_recorded())?;
        let gate = rollout.gate?;
        let own = rollout.record.unwrap_or(gate)..=gate;
        own.contains(&journal.refused_record?)
            .then(|| journal.refused.clone())?
    }

    /// What was refused of the rollout before is over when another one begins.
    pub(super) fn forget_refusal(&mut self) {
        // the first record is not replaced: as long as it is refused, that is so
        let journal = self.status.journal.as_mut();
        if let Some(journal) = journal.filter(|journal| journal.refused_record != Some(0)) {
            journal.refused = None;
            journal.refused_record = None;
        }
    }

    /// Records that a weight comes, and whether the chain holds that by now.
    pub(super) fn is_announced(&mut self, weight: i32) -> bool {
        let Some(rollout) = self.status.rollout.clone() else {
            return false;
        };
        let mut gate = rollout.gate;
        let back = self.is_way_back();
        if gate.is_none() {
            if !back && !self.has_room() {
                let message = self.chain_message();
                self.say("WaitingForLedger", message);
                return false;
            }
            gate = self.emit(EnvTransition::StepReached {
                promotion: rollout.promotion_uid,
                step: u64::try_from(rollout.step).unwrap_or_default(),
                weight: u64::try_from(weight).unwrap_or_default(),
            });
            if let Some(rollout) = &mut self.status.rollout {
                rollout.gate = gate;
            }
        }
        // the chain gets to know of a way back, and does not hold it up
        if back {
            return true;
        }
        if gate.is_some()
            && let Some(refused) = self.refused_by_chain()
        {
            self.turn_back(
                RolloutOutcome::RolledBack,
                "RefusedByLedger",
                &format!("the ledger refuses the step: {refused}"),
            );
            return false;
        }
        if self.is_certified(gate) {
            return true;
        }
        let message = self.chain_message();
        self.say("WaitingForLedger", message);
        false
    }

    /// Why a step waits for the chain.
    pub(super) fn chain_message(&self) -> String {
        match &self.seen.journal.waiting {
            Some(waiting) => format!(
                "waits for the ledger to record the step ({}: {}); nothing moves until it answers, a rollback does not wait",
                waiting.reason, waiting.message
            ),
            None => "waits for the ledger to record the step".to_owned(),
        }
    }
}

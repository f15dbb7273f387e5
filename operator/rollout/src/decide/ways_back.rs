//! Ways back that people decided. The operator makes a Promotion of each, once: that one waits for no approval, and not for the chain.

use dcanary_crds::{DeployedRelease, Promotion, WayBack};

use super::{earlier::name_of, pass::Pass};
use crate::wanted::{Counted, finished, name_of_undo};

impl<'a> Pass<'a> {
    /// The earlier release that a Decision to go back leads to.
    pub(super) fn leads_to(&self) -> Option<&DeployedRelease> {
        self.status.history.iter().find(|deployed| {
            !self.is_elsewhere(deployed)
                && self
                    .status
                    .held
                    .iter()
                    .all(|held| held.identity != deployed.identity)
        })
    }

    /// The Promotion of this name, where a release of this Environment is.
    fn asked_by(&self, name: &str) -> Option<&'a Promotion> {
        let deployed: Vec<&DeployedRelease> = self.status.stable.iter().chain(&self.status.history).collect();
        self.seen.promotions.iter().find(|promotion| {
            let namespace = promotion.metadata.namespace.as_deref();
            promotion.metadata.name.as_deref() == Some(name)
                && deployed
                    .iter()
                    .any(|deployed| namespace == Some(self.namespace_of(deployed)))
        })
    }

    /// Notes that a Decision is carried out once its Promotion is there. Whether it is.
    pub(super) fn note_asked(&mut self, decision: &Counted<'_>) -> bool {
        let name = name_of_undo(self.name, decision.uid);
        let promotion = self.asked_by(&name);
        if let Some(promotion) = promotion
            && self.is_new(decision.uid)
        {
            self.note_way_back(decision, promotion);
        }
        promotion.is_some()
    }

    /// The Promotion that carries out a Decision is there. It is known by its UID from now on: another one of its name, made by somebody else
    /// later, carries out nothing. Nor does one of another release than the Decision leads to.
    fn note_way_back(&mut self, decision: &Counted<'_>, promotion: &Promotion) {
        let (spec, metadata) = (&promotion.spec, &promotion.metadata);
        let ours = |to: &&DeployedRelease| {
            spec.undo
                && spec.requested_by.as_deref() == Some(decision.by())
                && spec.release_ref.name == name_of(to)
                && spec
                    .identity
                    .as_ref()
                    .is_none_or(|identity| *identity == to.identity)
                && metadata.namespace.as_deref() == Some(self.namespace_of(to))
        };
        let identity = self.leads_to().filter(ours).map(|to| to.identity.clone());
        let (Some(identity), Some(uid)) = (identity, metadata.uid.clone()) else {
            let name = metadata.name.as_deref().unwrap_or_default();
            let note = format!(
                "Promotion {name} is not the one that the Decision leads to: it needs its approvals; decide again to go back without"
            );
            self.tell(true, "UndoRefused", &note);
            return;
        };
        self.status.ways_back.push(WayBack {
            decision: decision.uid.to_owned(),
            promotion_uid: uid,
            identity,
        });
    }

    /// Drops those whose Promotion has ended or is gone.
    pub(super) fn forget_ways_back(&mut self) {
        let mut all = std::mem::take(&mut self.status.ways_back);
        all.retain(|way| {
            let promotion = self.promotion(&way.promotion_uid);
            promotion.is_some_and(|promotion| !finished(promotion))
        });
        self.status.ways_back = all;
    }

    /// Whether a promotion carries out a Decision to go back, to this identity.
    pub(super) fn is_decided_back(&self, promotion_uid: &str, identity: &str) -> bool {
        let mut ways = self.status.ways_back.iter();
        ways.any(|way| way.promotion_uid == promotion_uid && way.identity == identity)
    }

    /// Whether a promotion is a way back that somebody decided, to a release that this Environment promoted itself: nobody has to vouch for it,
    /// so it does not wait for the chain, which gets its records afterwards.
    pub(super) fn goes_back_at_once(&self, promotion_uid: &str, identity: &str) -> bool {
        let decided = self.is_decided_back(promotion_uid, identity);
        let mut history = self.status.history.iter();
        decided
            && history.any(|deployed| {
                deployed.identity == identity && (self.status.journal.is_none() || deployed.record.is_some())
            })
    }

    /// The same of a promotion that has its turn.
    pub(super) fn is_way_back_of(&self, promotion: &Promotion, identity: &str) -> bool {
        let uid = promotion.metadata.uid.as_deref().unwrap_or_default();
        self.goes_back_at_once(uid, identity)
    }

    /// The same of the rollout that is under way.
    pub(super) fn is_way_back(&self) -> bool {
        let active = self.active();
        active.is_some_and(|rollout| self.goes_back_at_once(&rollout.promotion_uid, &rollout.identity))
    }
}

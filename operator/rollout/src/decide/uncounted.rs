//! Decisions that do not count, because nobody vouches for their author: that they do nothing is told to whoever made them.

use dcanary_crds::{Decision, RolloutOutcome, Verb, release::DecidedKind};

use super::pass::Pass;
use crate::{
    seen::POLICIES_NOT_READ,
    wanted::{finished, is_enforced},
};

/// Most of which it is remembered that they were told: whoever makes more than that while nobody checks them hears of the rest when some are gone.
const TOLD: usize = 50;

impl<'a> Pass<'a> {
    /// An Event for each, once.
    pub(super) fn tell_uncounted(&mut self) {
        let open = self.uncounted();
        let seen = self.seen;
        // while none is seen nothing is concluded: the cache may be empty for another reason
        if !seen.decisions.is_empty() {
            let known = |uid: &String| open.iter().any(|(of, _)| *of == uid);
            self.status.ignored.retain(known);
        }
        let why = match &seen.policies {
            // the operator has just started
            Err(problem) if problem == POLICIES_NOT_READ => return,
            Err(problem) => format!(
                "the admission policies are not in place ({problem}): put them back, then make it again"
            ),
            Ok(since) => format!(
                "it is from before the admission policies were in place as they are now (since {since}): make it again"
            ),
        };
        for (uid, decision) in open {
            if self.status.ignored.len() >= TOLD {
                return;
            }
            if self.status.ignored.iter().any(|told| told == uid) {
                continue;
            }
            self.status.ignored.push(uid.to_owned());
            let note = format!(
                "Decision {} (`{}` by {}) does not count, {why} with `{}`",
                decision.metadata.name.as_deref().unwrap_or_default(),
                decision.spec.verb.word(),
                decision.spec.by.username,
                command(decision),
            );
            self.tell(true, "DecisionIgnored", &note);
        }
    }

    /// Decisions about this Environment and its promotions that would do something if they counted, with their UIDs.
    pub(super) fn uncounted(&self) -> Vec<(&'a str, &'a Decision)> {
        let (seen, now) = (self.seen, self.now);
        let all = seen.decisions.iter();
        let open = all.filter(|decision| {
            let by_its_time = decision.spec.expires_at.is_none_or(|end| now < end);
            by_its_time && !is_enforced(seen, decision) && self.concerns(decision)
        });
        open.filter_map(|decision| Some((decision.metadata.uid.as_deref()?, decision)))
            .collect()
    }

    /// Whether a Decision is about this Environment, or a promotion that it can still do something about, and was not carried out.
    fn concerns(&self, decision: &Decision) -> bool {
        let uid = decision.metadata.uid.as_deref().unwrap_or_default();
        let (target, namespace) = (&decision.spec.target, decision.metadata.namespace.as_deref());
        if self.is_decided(uid) {
            return false;
        }
        if target.kind == DecidedKind::Environment {
            return target.uid == self.uid && target.name == self.name && namespace == Some(self.namespace);
        }
        let rollout = self.status.rollout.as_ref();
        if let Some(rollout) = rollout.filter(|rollout| rollout.promotion_uid == target.uid) {
            let named =
                target.name == rollout.promotion && namespace == Some(rollout.promotion_namespace.as_str());
            return named && self.is_open(rollout, decision.spec.verb);
        }
        let promotion = self.promotion(&target.uid);
        promotion.is_some_and(|promotion| {
            let ended = self.status.ended.iter();
            let mut ended = ended.filter(|ended| ended.promotion_uid == target.uid);
            promotion.metadata.name.as_deref() == Some(target.name.as_str())
                && promotion.metadata.namespace.as_deref() == namespace
                && !finished(promotion)
                && ended.next().is_none()
        })
    }

    /// Whether a Decision of this kind about the last rollout would do something: approvals and overrides did before it began, and after its end
    /// only an abort of what is stable is a way back.
    fn is_open(&self, rollout: &dcanary_crds::Rollout, verb: Verb) -> bool {
        if rollout.finished_at.is_none() {
            return !matches!(verb, Verb::Approve | Verb::Override);
        }
        let stable = self.status.stable.as_ref();
        let brought = stable.and_then(|stable| stable.promotion.as_ref()) == Some(&rollout.promotion_uid);
        verb == Verb::Abort && brought && rollout.outcome == Some(RolloutOutcome::Promoted)
    }
}

/// How a person makes it again.
fn command(decision: &Decision) -> String {
    let (verb, name) = (decision.spec.verb, &decision.spec.target.name);
    let release = if matches!(verb, Verb::Hold | Verb::Unhold) {
        " RELEASE"
    } else {
        ""
    };
    format!("dcanary {} {name}{release}", verb.word())
}

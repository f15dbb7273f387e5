//! What a promotion that may begin still waits for, and how it takes the place of what is in its way.

use dcanary_core::time::later;
use dcanary_crds::{DeployedRelease, Doing, Promotion, Rollout, RolloutOutcome};

use super::{end::deployed, pass::Pass, routing::SETTLE};
use crate::wanted::Gate;

impl Pass<'_> {
    /// A newer promotion, of this identity, is ready: the present candidate makes way, unless all requests go to it already, or are about to go to
    /// what the newer one brings too.
    pub(super) fn make_way(&mut self, newer: &Promotion, identity: &str) {
        let Some(rollout) = self.active() else { return };
        let replaceable = match rollout.doing {
            Doing::Waiting | Doing::PreDeploy | Doing::Starting | Doing::Stepping => true,
            // who takes over from a rollback holds its requests together: it ends by itself, or at its deadline
            Doing::Promoting => {
                rollout.weight < 100 && rollout.identity != identity && self.status.relieved.is_none()
            }
            _ => false,
        };
        if replaceable && self.first_to_spare().is_none() {
            self.turn_back(RolloutOutcome::Superseded, "Superseded", &superseded_by(newer));
            self.roll();
        }
    }

    /// The release that has the requests, if there are any, where none was ever stable: the first of all, once its Services lead to it, or who came
    /// after it. There is nothing to go back to, so that one needs its Pods until those of a newer one are ready.
    fn first_to_spare(&self) -> Option<DeployedRelease> {
        let rollout = self.active()?;
        if self.status.stable.is_some() || self.in_place() {
            return None;
        }
        match rollout.doing {
            Doing::Promoting | Doing::Verifying => Some(deployed(rollout)),
            Doing::Waiting | Doing::PreDeploy | Doing::Starting if self.relieves() => {
                self.status.relieved.clone()
            }
            _ => None,
        }
    }

    /// A newer promotion takes over where no release was ever stable, whatever the present one waits for: a gateway that never answers, say.
    /// Whether it may begin; then the old rollout has ended.
    pub(super) fn replaces_first(&mut self, newer: &Promotion, identity: &str) -> bool {
        let other = self.active().is_some_and(|rollout| rollout.identity != identity);
        let Some(spared) = self.first_to_spare().filter(|_| other) else {
            return false;
        };
        let since = self.active().and_then(|rollout| rollout.since);
        let other = self.status.relieved.as_ref();
        let leaves = other.is_some_and(|relieved| relieved.workload != spared.workload);
        // what the present one took over from has had time to end its requests since the Service left it
        let left = later(since.unwrap_or(self.now), SETTLE + self.drain());
        if !self.has_room() || (leaves && !self.reached(left)) {
            return false;
        }
        self.status.relieved = Some(spared);
        if let Some(rollout) = &mut self.status.rollout {
            rollout.outcome = Some(RolloutOutcome::Superseded);
        }
        let message = superseded_by(newer);
        self.tell(true, "Superseded", &message);
        self.say("Superseded", message);
        self.end_rollout();
        true
    }

    /// Why a promotion that may begin has not begun: which rollout is in its way, what that one is doing, and what to do.
    pub(super) fn in_the_way(&self) -> Gate {
        let (reason, message) = match (self.active(), &self.status.rollout) {
            (Some(rollout), _) => ("WaitingForRollout", self.obstructed_by(rollout)),
            (None, _) if !self.has_room() => (
                "WaitingForLedger",
                "it begins when there is room for its records: those before are on their way to the ledger, or are being put aside"
                    .to_owned(),
            ),
            (None, Some(last)) => (
                "WaitingForRollout",
                format!(
                    "promotion {} has ended; this one begins when the last requests to its Pods have had time to end, and its status is written",
                    last.promotion
                ),
            ),
            (None, None) => (
                "WaitingForRollout",
                "it begins when the statuses of promotions that have ended are written".to_owned(),
            ),
        };
        Gate::Waiting {
            reason,
            message: dcanary_core::text::cut(&message, super::end::MESSAGE),
            approvals: Vec::new(),
            at: None,
        }
    }

    fn obstructed_by(&self, rollout: &Rollout) -> String {
        let name = &rollout.promotion;
        let mut why = rollout.reason.clone();
        if !rollout.message.is_empty() {
            why = format!("{why}: {}", rollout.message);
        }
        let why = if why.is_empty() {
            String::new()
        } else {
            format!(" ({why})")
        };
        let goes_back = matches!(
            rollout.doing,
            Doing::RollingBack | Doing::AfterRollback | Doing::Ended
        );
        if goes_back {
            return format!("it begins when promotion {name} has gone back{why}");
        }
        // what to do comes first: the reason may be long
        let place = if rollout.promotion_namespace == self.namespace {
            String::new()
        } else {
            format!(" -n {}", rollout.promotion_namespace)
        };
        format!(
            "it begins when promotion {name} has ended, or at once after `dcanary abort {name}{place}`: that one {}{why}",
            words(rollout.doing)
        )
    }
}

fn superseded_by(newer: &Promotion) -> String {
    let name = newer.metadata.name.as_deref().unwrap_or_default();
    format!("promotion {name} is newer and takes its place")
}

/// What a rollout is doing.
fn words(doing: Doing) -> &'static str {
    match doing {
        Doing::Waiting => "has not begun yet",
        Doing::PreDeploy => "runs its preDeploy stages",
        Doing::Starting => "waits for its first Pods",
        Doing::Stepping => "takes its steps",
        Doing::Promoting => "is getting all requests",
        Doing::Verifying => "has all requests and is being checked",
        Doing::RollingBack | Doing::AfterRollback => "goes back",
        Doing::Ended => "has ended",
    }
}

//! Conditions of an Environment, so that kstatus and GitOps tools say the right thing: a stable release that serves is healthy, whatever a
//! rollout does.

use dcanary_core::{
    conditions::{Fact, merge},
    recorded,
};
use dcanary_crds::{ConditionStatus, ConditionType, Rollout, RolloutOutcome};

use super::{
    changed::CHANGED,
    earlier::{name_of, named},
    pass::Pass,
};
use crate::wanted::Gate;

/// Whether a rollout waits for a person.
pub(super) fn is_paused(rollout: &Rollout) -> bool {
    let asks = matches!(
        rollout.reason.as_str(),
        "PausedByStep" | "AnalysisInconclusive" | "Paused" | "MirrorUnsupported"
    );
    rollout.finished_at.is_none() && (rollout.paused_by.is_some() || asks)
}

impl Pass<'_> {
    /// Everything that is computed from the rest of the status.
    pub(super) fn conclude(&mut self) {
        self.note_progress();
        let generation = self.env.metadata.generation.unwrap_or_default();
        self.status.observed_generation = generation;
        self.status.selector = Some(self.scale_selector());
        self.status.replicas = self.pods_wanted();
        let mut facts = self.standing();
        facts.extend(self.movement());
        let misses = || self.seen.policies.is_err() && !self.uncounted().is_empty();
        if self.env.spec.approval.is_some() || misses() {
            facts.push(self.enforced());
        }
        if let Some(journal) = &self.status.journal {
            let started = self
                .status
                .rollout
                .as_ref()
                .and_then(|rollout| rollout.started_at);
            let started = started.unwrap_or(self.now);
            let before = &self.status.conditions;
            let (fact, wake) = recorded::condition(journal, before, started, &self.seen.journal, self.now);
            facts.push(fact);
            if let Some(wake) = wake {
                self.wake_at(wake);
            }
        }
        self.status.conditions = merge(&self.status.conditions, facts, generation, self.now);
    }

    /// Pods that stable release and candidate ask for.
    fn pods_wanted(&self) -> i32 {
        let stable = self.status.stable.as_ref().map(|stable| stable.workload.as_str());
        let rollout = self
            .status
            .rollout
            .as_ref()
            .map(|rollout| rollout.workload.as_str());
        let mut names: Vec<&str> = stable.into_iter().chain(rollout).collect();
        names.dedup();
        names
            .into_iter()
            .filter_map(|name| self.state(name))
            .map(|state| state.replicas)
            .sum()
    }

    /// `Ready`, `Reconciling`, `Stalled`.
    fn standing(&self) -> Vec<Fact> {
        use ConditionStatus::{False, True};
        use ConditionType::{Ready, Reconciling, Stalled};
        let stalled = self.stalled();
        if let Some((reason, message)) = stalled {
            return vec![
                Fact::new(Ready, False, &reason, &message),
                Fact::new(Reconciling, False, &reason, ""),
                Fact::new(Stalled, True, &reason, &message),
            ];
        }
        let (ready, reason, message) = self.serving();
        if let Some((why, what)) = &self.stuck {
            return vec![
                Fact::new(Ready, ready.into(), reason, &message),
                Fact::new(Reconciling, False, why, ""),
                Fact::new(Stalled, True, why, what),
            ];
        }
        vec![
            Fact::new(Ready, ready.into(), reason, &message),
            Fact::new(
                Reconciling,
                (!ready).into(),
                reason,
                if ready { "" } else { &message },
            ),
            Fact::new(Stalled, False, reason, ""),
        ]
    }

    /// Why nothing will happen without a person.
    fn stalled(&self) -> Option<(String, String)> {
        if let Some(error) = &self.spec_error {
            return Some((error.reason().to_owned(), error.to_string()));
        }
        // a record that the chain refused ends the rollout that made it, and is no state of the Environment
        let broken = self
            .status
            .journal
            .as_ref()
            .and_then(|journal| recorded::stalled(journal, &self.seen.journal));
        let conflict = broken.filter(|(reason, _)| *reason != "JournalRefused");
        let conflict = conflict.map(|(reason, message)| (reason.to_owned(), message));
        self.contested.clone().or(conflict)
    }

    fn serving(&self) -> (bool, &'static str, String) {
        let Some(stable) = &self.status.stable else {
            let why = self.active().map_or_else(
                || {
                    "no release was promoted yet: create a Promotion, for instance with `dcanary promote`"
                        .to_owned()
                },
                |rollout| rollout.message.clone(),
            );
            return (false, "NoRelease", why);
        };
        let target = self.stable_target();
        let Some(state) = self.state(&stable.workload) else {
            let why = format!(
                "workload {} of the stable release is missing: promote the release again",
                stable.workload
            );
            return (false, "WorkloadMissing", why);
        };
        if let Some(changed) = self.changed(&stable.workload) {
            return (false, CHANGED, changed.message());
        }
        if let Some((_, message)) = self.route_problem().filter(|_| self.active().is_none()) {
            return (false, "RouteProblem", message);
        }
        let serves = target == 0 || state.available > 0;
        let name = name_of(stable);
        if serves {
            return (
                true,
                "Serving",
                format!("release {name} serves with {} of {target} Pods", state.available),
            );
        }
        let problem = state
            .problem
            .map_or_else(String::new, |(reason, message)| format!(": {reason}: {message}"));
        (
            false,
            "StableUnavailable",
            format!("no Pod of the stable release {name} is ready{problem}"),
        )
    }

    /// `Progressing`, `Paused`, `RolledBack`.
    fn movement(&self) -> Vec<Fact> {
        use ConditionStatus::{False, True};
        use ConditionType::{Paused, Progressing, RolledBack};
        let mut facts = Vec::new();
        let rollout = self.status.rollout.as_ref();
        if let Some(active) = self.active() {
            let doing = format!("{:?}", active.doing);
            let reason = if active.reason.is_empty() {
                &doing
            } else {
                &active.reason
            };
            let message = if active.message.is_empty() {
                format!(
                    "release {} is on its way",
                    named(&active.release, &active.workload)
                )
            } else {
                active.message.clone()
            };
            facts.push(Fact::new(Progressing, True, reason, &message));
            let paused = is_paused(active);
            facts.push(Fact::new(
                Paused,
                paused.into(),
                reason,
                if paused { &message } else { "" },
            ));
        } else {
            let waiting = self.waiting.first().and_then(|waiting| match &waiting.gate {
                Gate::Waiting { reason, message, .. } => {
                    let name = waiting.promotion.metadata.name.as_deref().unwrap_or_default();
                    Some(((*reason).to_owned(), format!("promotion {name}: {message}")))
                }
                _ => None,
            });
            let (reason, message) = waiting
                .or_else(|| self.refused_promotion())
                .or_else(|| self.not_promoted())
                .unwrap_or_else(|| {
                    rollout.map_or_else(
                        || ("Idle".to_owned(), String::new()),
                        |rollout| (rollout.reason.clone(), rollout.message.clone()),
                    )
                });
            facts.push(Fact::new(Progressing, False, &reason, &message));
            let approval = reason == "WaitingForApproval";
            facts.push(Fact::new(
                Paused,
                approval.into(),
                &reason,
                if approval { &message } else { "" },
            ));
        }
        let back = rollout.filter(|rollout| rollout.outcome == Some(RolloutOutcome::RolledBack));
        facts.push(match back {
            Some(rollout) => Fact::new(RolledBack, True, &rollout.reason, &rollout.message),
            None => Fact::new(RolledBack, False, "NotRolledBack", ""),
        });
        facts
    }

    fn enforced(&self) -> Fact {
        match &self.seen.policies {
            Ok(_) => Fact::new(
                ConditionType::ApprovalsEnforced,
                ConditionStatus::True,
                "PoliciesInPlace",
                "",
            ),
            Err(problem) => Fact::new(
                ConditionType::ApprovalsEnforced,
                ConditionStatus::False,
                "PoliciesMissing",
                &format!(
                    "{problem}: no Decision counts until the chart's admission policies are in place again"
                ),
            ),
        }
    }
}

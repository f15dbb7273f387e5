//! Edits of the strategy in the middle of a rollout: what was passed under other steps counts no more, and a rollout ends under the kind of
//! strategy under which it began.

use dcanary_core::time::later;
use dcanary_crds::{
    AnalysisStatus, BlueGreen, Canary, Doing, Environment, EnvironmentSpec, FollowedStrategy, Rolling,
    Rollout, RolloutOutcome, Strategy, StrategyKind, Verdict,
};
use jiff::Timestamp;
use serde_json::json;

use super::{
    pass::{DRAIN, Pass},
    routing::SETTLE,
    steps::{self, POST_PROMOTION},
};
use crate::{
    analysis::{self, BACKGROUND},
    render,
    seen::{Key, Kind, Seen},
};

/// Why a rollout began its steps again, or ended to begin anew.
pub(super) const EDITED: &str = "StrategyChanged";

/// The kind of a strategy.
fn kind(spec: &EnvironmentSpec) -> StrategyKind {
    match (&spec.strategy.canary, &spec.strategy.blue_green) {
        (Some(_), _) => StrategyKind::Canary,
        (_, Some(_)) => StrategyKind::BlueGreen,
        _ => StrategyKind::Rolling,
    }
}

/// What a rollout follows of a spec. How many Pods there are, for how long, and who may try the candidate can change at any time.
pub(super) fn followed(env: &Environment) -> FollowedStrategy {
    let spec = &env.spec;
    let steps = match (&spec.strategy.canary, &spec.strategy.blue_green) {
        (Some(canary), _) => json!(canary.steps),
        (_, Some(both)) => json!([both.pre_promotion_analysis, both.auto_promote]),
        _ => json!(render::partition(env)),
    };
    FollowedStrategy {
        kind: kind(spec),
        steps: render::digest(&steps),
        analysis: render::digest(&json!([spec.analysis, steps::post_promotion(spec)])),
        edited_at: None,
    }
}

/// The Environment with a strategy of the kind under which its rollout began, while that moves and the spec has one that replaces Pods in
/// another way (in place, or beside each other), and until when it does so by the clock. Workloads have other names there.
pub(super) fn kept(
    env: &Environment,
    seen: &Seen,
    now: Timestamp,
) -> Option<(Environment, Option<Timestamp>)> {
    let rollout = env.status.as_ref()?.rollout.as_ref()?;
    let began = rollout.strategy.as_ref()?.kind;
    let in_place = |kind| kind == StrategyKind::Rolling;
    if in_place(began) == in_place(kind(&env.spec)) {
        return None;
    }
    let mut until = None;
    if let Some(ended) = rollout.finished_at {
        let traffic = env.spec.traffic.as_ref();
        let drain = traffic.and_then(|traffic| traffic.drain);
        let drain = drain.map_or(DRAIN, dcanary_crds::Duration::as_secs);
        let quiet = later(ended.max(rollout.since.unwrap_or(ended)), drain.max(SETTLE));
        if now >= quiet && !has_pods(env, rollout, seen) {
            return None;
        }
        until = (now < quiet).then_some(quiet);
    }
    let mut env = env.clone();
    env.spec.strategy = match began {
        StrategyKind::Rolling => Strategy {
            rolling: Some(Rolling::default()),
            ..Strategy::default()
        },
        StrategyKind::BlueGreen => Strategy {
            blue_green: Some(BlueGreen::default()),
            ..Strategy::default()
        },
        StrategyKind::Canary => Strategy {
            canary: Some(Canary::default()),
            ..Strategy::default()
        },
    };
    Some((env, until))
}

/// Whether a candidate that went back still has Pods of its own.
fn has_pods(env: &Environment, rollout: &Rollout, seen: &Seen) -> bool {
    let own = rollout.outcome != Some(RolloutOutcome::Promoted)
        && env.metadata.name.as_ref() != Some(&rollout.workload)
        // in history it is what it is there
        && env.status.iter().flat_map(|status| &status.history).all(|deployed| deployed.workload != rollout.workload);
    let state = render::state(&Key::new(Kind::Deployment, &rollout.workload), seen);
    own && state.is_some_and(|state| state.replicas > 0)
}

impl Pass<'_> {
    /// Takes over edits of the strategy. The way straight back has no steps, and ends as it began.
    pub(super) fn take_over_edits(&mut self) {
        let Some(rollout) = self.active().cloned() else {
            return;
        };
        let back = matches!(
            rollout.doing,
            Doing::RollingBack | Doing::AfterRollback | Doing::Ended
        );
        if back || self.spec_error.is_some() {
            return;
        }
        let straight = self.is_straight(&rollout);
        if self.kept {
            if !straight {
                let message =
                    "the strategy became one of another kind: its release begins anew under that one";
                self.turn_back(RolloutOutcome::Superseded, EDITED, message);
            }
            return;
        }
        let mut new = followed(self.env);
        let Some(old) = rollout.strategy.as_ref().filter(|_| !straight) else {
            self.note_strategy(new);
            return;
        };
        new.edited_at = old.edited_at;
        let steps = (old.kind, &old.steps) != (new.kind, &new.steps);
        let analysis = old.analysis != new.analysis;
        self.note_strategy(new);
        if steps {
            self.begin_steps_again(&rollout);
        }
        if analysis {
            for name in [BACKGROUND, POST_PROMOTION] {
                self.measure_anew(|of| of.name == name && of.verdict != Some(Verdict::Passed));
            }
        }
    }

    fn note_strategy(&mut self, strategy: FollowedStrategy) {
        if let Some(rollout) = &mut self.status.rollout {
            rollout.strategy = Some(strategy);
        }
    }

    /// The first step comes again. What was replaced in place stays so; it stops where the strategy says so now, if it was not let on before.
    fn begin_steps_again(&mut self, rollout: &Rollout) {
        let doing = match (rollout.doing, self.in_place()) {
            (Doing::Stepping, true) => Doing::Starting,
            (Doing::Stepping | Doing::Promoting | Doing::Verifying, false) => Doing::Stepping,
            // no step was passed yet, or none is undone
            _ => return,
        };
        self.tell(
            true,
            EDITED,
            &format!(
                "the steps of the strategy were edited: promotion {} begins them again from the first one",
                rollout.promotion
            ),
        );
        let now = self.now;
        self.enter(doing);
        // what was measured counts as long as it is undecided; a verdict was about other steps
        self.measure_anew(|of| of.name != BACKGROUND || of.verdict.is_some());
        if let Some(rollout) = &mut self.status.rollout {
            rollout.step = 0;
            // what is on its way may be in force: it is taken back first, and a pause lasts from then on
            rollout.weight = rollout.weight.max(rollout.wanted_weight);
            rollout.replicas = None;
            rollout.mirror = 0;
            if let Some(strategy) = &mut rollout.strategy {
                strategy.edited_at = Some(now);
            }
        }
    }

    /// These analyses begin anew when it is their turn. Numbers of samples go on: an answer of before is never taken for a new one.
    pub(super) fn measure_anew(&mut self, which: impl Fn(&AnalysisStatus) -> bool) {
        let now = self.now;
        let rollout = self.status.rollout.iter_mut();
        for of in rollout.flat_map(|rollout| &mut rollout.analyses) {
            if which(of) {
                analysis::restart(of, now);
                of.started_at = None;
            }
        }
    }

    /// Whether no more requests go to the candidate than the steps so far ask for. After an edit there may be more, which go back first, as far
    /// as the stable release can carry them.
    pub(super) fn is_within_steps(&mut self, rollout: &Rollout) -> bool {
        if self.in_place() {
            return true;
        }
        let all = steps::steps(&self.env.spec);
        let at = usize::try_from(rollout.step).unwrap_or_default();
        let most = match all.get(at) {
            // all passed: what is there was asked for
            None => return true,
            Some(_) => steps::passed_weights(&all, at + 1).first().copied().unwrap_or(0),
        };
        if rollout.wanted_weight <= most && rollout.weight <= most {
            // before the first edited step is passed, no weight of a step before is still on its way
            let begins = rollout.step == 0 && is_edited(rollout);
            return !begins || self.in_force();
        }
        let wanted = most.max(self.least_weight(rollout)).min(rollout.wanted_weight);
        let lowered = wanted < rollout.wanted_weight;
        if let Some(rollout) = &mut self.status.rollout {
            rollout.wanted_weight = wanted;
        }
        let there = self.in_force();
        if there && (lowered || rollout.weight > wanted) {
            // a pause lasts from then on
            let now = self.now;
            if let Some(rollout) = &mut self.status.rollout {
                rollout.since = Some(now);
            }
        }
        there
    }

    /// Pods that a candidate keeps whose steps began again: it may still have the requests, or their connections, of a later one.
    pub(super) fn pods_kept(&self, rollout: &Rollout) -> i32 {
        if !is_edited(rollout) {
            return 0;
        }
        self.state(&rollout.workload).map_or(0, |state| state.replicas)
    }
}

/// Whether the steps were edited in the middle of a rollout.
fn is_edited(rollout: &Rollout) -> bool {
    let strategy = rollout.strategy.as_ref();
    strategy.is_some_and(|strategy| strategy.edited_at.is_some())
}

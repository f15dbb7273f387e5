//! Where requests should go now, and whether they do.

use dcanary_core::time::later;
use dcanary_crds::{Contest, Doing, Rollout, RolloutOutcome, RouteKind};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    effects::written,
    pass::Pass,
    steps::{self, Step},
};
use crate::{
    plan::Effect,
    seen::{Key, Kind},
    traffic::{self, InForce, Obstacle, Proof, Said, Split, Wanted},
};

/// Time between the switch of the stable Service to the promoted release and the moment in which requests take that way, in seconds: the data
/// plane has to learn of its new endpoints first.
pub(super) const SETTLE: u64 = 5;
/// Time in which three changes by somebody else are a contest, in seconds.
const CONTEST: u64 = 300;
/// So many.
const TIMES: usize = 3;
/// What is said then.
const CONTESTED: &str = "RouteContested";

impl Pass<'_> {
    /// Workload of `<env>`, workload of `<env>-candidate`, weight, mirror, testers.
    fn wanted(&self) -> (Option<String>, Option<String>, i32, i32, bool) {
        if self.in_place() {
            return (self.in_place_workload(), None, 0, 0, false);
        }
        let stable = self.status.stable.as_ref().map(|stable| stable.workload.clone());
        let Some(rollout) = &self.status.rollout else {
            return (stable, None, 0, 0, false);
        };
        let candidate = Some(self.carrier(rollout).to_owned());
        match rollout.doing {
            Doing::Waiting | Doing::PreDeploy | Doing::Starting if self.relieves() => {
                (stable, candidate, rollout.wanted_weight, 0, false)
            }
            Doing::Waiting | Doing::PreDeploy => (stable, None, 0, 0, false),
            // its requests come by the stable Service, which leads to no Pods that are ready: that is the way on which none is lost
            Doing::Promoting | Doing::Verifying if self.status.relieved.is_some() => {
                let weight = if self.relieves() { rollout.wanted_weight } else { 0 };
                (Some(rollout.workload.clone()), candidate, weight, 0, false)
            }
            // the first release: there is nothing to share with
            Doing::Starting | Doing::Promoting | Doing::Verifying if stable.is_none() => {
                (candidate, None, 0, 0, false)
            }
            Doing::Starting => (stable, candidate, 0, 0, false),
            Doing::Stepping => (stable, candidate, rollout.wanted_weight, rollout.mirror, true),
            Doing::Promoting | Doing::Verifying => (stable, candidate, rollout.wanted_weight, 0, false),
            Doing::RollingBack => (stable, candidate, rollout.wanted_weight, 0, false),
            Doing::AfterRollback => (stable, candidate, 0, 0, false),
            Doing::Ended if self.awaits_proof() => (stable, candidate, 0, 0, false),
            Doing::Ended if self.settled_at().is_some_and(|at| self.now < at) => {
                (stable, candidate, 100, 0, false)
            }
            Doing::Ended => (stable, None, 0, 0, false),
        }
    }

    /// When requests may take the way of the stable Service to the release that was promoted last. The first one, and one in place, came that
    /// way from the beginning.
    pub(super) fn settled_at(&self) -> Option<Timestamp> {
        let rollout = self.status.rollout.as_ref()?;
        let switched =
            rollout.outcome == Some(RolloutOutcome::Promoted) && rollout.weight > 0 && !self.in_place();
        let finished = rollout.finished_at.filter(|_| switched)?;
        // the Service may have been switched later than it was to be
        let left = self.status.history.first().and_then(|before| before.until);
        Some(later(left.map_or(finished, |left| left.max(finished)), SETTLE))
    }

    /// The workload that serves where releases follow each other in place. Another one than the candidate's only where the strategy was another
    /// one before.
    fn in_place_workload(&self) -> Option<String> {
        let stable = self.status.stable.as_ref().map(|stable| &stable.workload);
        let active = self.active().filter(|rollout| match rollout.doing {
            Doing::Promoting | Doing::Verifying => true,
            Doing::Starting | Doing::Stepping => stable.is_none(),
            _ => false,
        });
        active.map(|rollout| &rollout.workload).or(stable).cloned()
    }

    /// What is to be written so that requests go where they should, and whether they do.
    pub(super) fn split(&self) -> Option<Split> {
        let split = self.present_split();
        // who takes over from a rollback that waits keeps nobody waiting: where requests of a former route go is up to the end of that
        let waits = self.former_routes().waits.filter(|_| !self.relieves());
        let Some(waits) = waits else {
            return split;
        };
        let mut split = split.unwrap_or_default();
        if !matches!(split.in_force, InForce::Refused { .. }) {
            split.in_force = waits;
        }
        Some(split)
    }

    /// The same without routes of before.
    fn present_split(&self) -> Option<Split> {
        // at rest nothing is known to be in force: the weights are on their way from the candidate's Service to the stable one's
        let last = self.active().map(|rollout| rollout.weight);
        let traffic = traffic::of(self.env, self.seen, last)?;
        let (stable, candidate, weight, mirror, testers) = self.wanted();
        stable.as_ref()?;
        let mut wanted = Wanted {
            stable: stable.as_deref(),
            candidate: candidate.as_deref(),
            weight,
            mirror,
            testers,
            proof: self.proof(),
        };
        let split = traffic.set(&wanted);
        let returns = self.active().is_some_and(|rollout| rollout.straight);
        if returns && wanted.proof == Proof::Needed && matches!(split.in_force, InForce::Refused { .. }) {
            // a route that has no room for the rule keeps nothing back that returns
            wanted.proof = Proof::Asked;
            return Some(traffic.set(&wanted));
        }
        Some(split)
    }

    /// Whether requests go where they should; notes it when they do, else says why not.
    pub(super) fn in_force(&mut self) -> bool {
        let Some(split) = self.split() else {
            self.note_weight();
            return true;
        };
        match split.in_force {
            InForce::Yes => {
                self.note_weight();
                true
            }
            InForce::NotYet { message } => {
                if let Some(shown) = split.unverified.filter(|_| self.proof() == Proof::Needed) {
                    self.wait_for_proof(&shown);
                    return false;
                }
                self.wait_for_route("WaitingForRoute", &message);
                false
            }
            InForce::Refused { reason, message } => {
                self.wait_for_route(&reason, &message);
                false
            }
        }
    }

    /// Why a gateway cannot do a step that is still to come: no request moves before it can.
    pub(super) fn mirror_problem(&self, from: usize) -> Option<Obstacle> {
        let steps = steps::steps(&self.env.spec);
        let to_come = steps.iter().enumerate().skip(from);
        to_come
            .filter_map(|(index, step)| match step {
                Step::Mirror(percent) if *percent > 0 => Some((index, *percent)),
                _ => None,
            })
            .find_map(|(index, percent)| traffic::can_mirror(self.env, self.seen, index, percent).err())
    }

    fn wait_for_route(&mut self, reason: &str, message: &str) {
        let back = self
            .status
            .rollout
            .as_ref()
            .is_some_and(|rollout| matches!(rollout.doing, Doing::RollingBack | Doing::AfterRollback));
        if !back {
            self.await_route(reason, message.to_owned());
            return;
        }
        // while it goes back, why it does so is what people look for first
        let problem = self.problem_of_route();
        let promotion = self
            .status
            .rollout
            .as_ref()
            .map(|rollout| rollout.promotion.clone());
        self.append(&format!(
            "waits for the route: {message}{problem}; if it leads nowhere any more, end this with `dcanary skip {}`",
            promotion.unwrap_or_default()
        ));
    }

    fn note_weight(&mut self) {
        if let Some(rollout) = &mut self.status.rollout {
            rollout.weight = rollout.wanted_weight;
        }
    }

    /// What is known of changes of our weights by somebody else. From the third on nothing is written until it has been quiet, or a person goes on.
    pub(super) fn recall_contest(&mut self) {
        let now = self.now;
        if let Some(contest) = &mut self.status.contest {
            contest.at.retain(|at| now < later(*at, CONTEST));
            if contest.at.is_empty() {
                self.status.contest = None;
            }
        }
        let Some(contest) = self.status.contest.clone() else {
            return;
        };
        if contest.at.len() < TIMES {
            return;
        }
        if let Some(first) = contest.at.first() {
            self.wake_at(later(*first, CONTEST));
        }
        self.contested = Some((
            CONTESTED.to_owned(),
            format!(
                "field manager {} changed the weights of the route three times in five minutes: let it ignore them (see docs/gitops.md), then `dcanary resume`",
                contest.manager
            ),
        ));
    }

    /// Whether somebody else keeps changing our weights.
    pub(super) fn is_contested(&self) -> bool {
        self.contested
            .as_ref()
            .is_some_and(|(reason, _)| reason == CONTESTED)
    }

    /// Counts changes of our weights by somebody else. A rollout that goes forward says so itself.
    pub(super) fn watch_contest(&mut self) {
        let overwritten = self.overwritten();
        let version = self.route_version();
        let counted = self
            .status
            .contest
            .as_ref()
            .is_some_and(|contest| contest.version == version);
        if !self.is_contested()
            && !counted
            && let Some(manager) = overwritten
        {
            let contest = self.status.contest.get_or_insert_with(Contest::default);
            contest.version = version;
            contest.manager.clone_from(&manager);
            contest.at.push(self.now);
            self.tell(
                true,
                "RouteOverwritten",
                &format!("field manager {manager} changed the weights of the route; they are set again"),
            );
            self.recall_contest();
        }
        let forward = self.goes_forward() && self.is_contested();
        if let Some((reason, message)) = self.contested.clone().filter(|_| forward) {
            // what was measured after the switch is measured anew once the requests are back
            if self
                .active()
                .is_some_and(|rollout| rollout.doing == Doing::Verifying)
            {
                self.note_off_its_route();
            }
            self.say(&reason, message);
            // it is not the gateway that keeps it waiting
            if let Some(rollout) = &mut self.status.rollout {
                rollout.held_up_since = None;
            }
        }
    }

    /// Whether requests are being given to a candidate.
    fn goes_forward(&self) -> bool {
        self.active().is_some_and(|rollout| {
            matches!(
                rollout.doing,
                Doing::Stepping | Doing::Promoting | Doing::Verifying
            )
        })
    }

    /// Who changed what we wrote, whether it was in force by then or not: the weights that were, or what the route was seen to say. What it never
    /// was seen to say may still be on its way.
    fn overwritten(&mut self) -> Option<String> {
        let split = self.split()?;
        let said = split.said;
        let rollout = self
            .status
            .rollout
            .as_mut()
            .filter(|rollout| rollout.finished_at.is_none())?;
        let changed = said
            .as_ref()
            .filter(|said| rollout.routed.as_ref() == Some(&said.asked));
        // another route, or rule, never had our weights
        let was = |said: &Said| {
            let routed = rollout.routed.as_ref();
            routed.is_some_and(|routed| routed.split(' ').next() == Some(said.route.as_str()))
        };
        let by = split
            .overwritten
            .filter(|_| said.as_ref().is_none_or(was))
            .or_else(|| changed.and_then(|said| said.manager.clone()));
        if let Some(said) = said.filter(|said| said.so) {
            rollout.routed = Some(said.asked);
        }
        by
    }

    /// The route as it is: what others than its writers say of it is no change.
    fn route_version(&self) -> String {
        let Some(route) = self
            .env
            .spec
            .traffic
            .as_ref()
            .and_then(|traffic| traffic.route.as_ref())
        else {
            return String::new();
        };
        let kind = match route.kind {
            RouteKind::Http => Kind::HttpRoute,
            RouteKind::Grpc => Kind::GrpcRoute,
        };
        let name = route
            .reference
            .as_ref()
            .map_or(self.name, |reference| reference.name.as_str());
        let object = self.seen.objects.get(&Key::new(kind, name));
        let Some(metadata) = object.and_then(|object| object.get("metadata")) else {
            return String::new();
        };
        let uid = metadata.get("uid").and_then(Value::as_str);
        let generation = metadata.get("generation").and_then(Value::as_i64);
        format!("{}/{}", uid.unwrap_or_default(), generation.unwrap_or_default())
    }

    /// Effects on Services and routes.
    pub(super) fn traffic_effects(&mut self) -> Vec<Effect> {
        // the way back is never held up, nor what has to be so for Pods to go
        if self.goes_forward() && self.is_contested() {
            return Vec::new();
        }
        if let Some(at) = self.settled_at() {
            self.reached(at);
        }
        let mut effects = self.split().map(|split| split.effects).unwrap_or_default();
        self.ask_in_time(&mut effects);
        if self.is_first_start() {
            // its Services are there as soon as it has Pods; requests from outside come when these are ready
            effects.retain(|effect| written(effect).is_some_and(|key| key.kind == Kind::Service));
        }
        // requests come back from where they are asked for no more before more go elsewhere
        let mut former = self.former_routes().effects;
        former.append(&mut effects);
        former
    }

    /// The Pods of the first release come up.
    fn is_first_start(&self) -> bool {
        let starting = |rollout: &Rollout| rollout.doing == Doing::Starting;
        self.status.stable.is_none() && self.active().is_some_and(starting)
    }

    /// What keeps requests from going where they should until somebody changes something. What is only on its way serves as before.
    pub(super) fn route_problem(&self) -> Option<(String, String)> {
        match self.split()?.in_force {
            InForce::Yes | InForce::NotYet { .. } => None,
            InForce::Refused { reason, message } => Some((reason, message)),
        }
    }
}

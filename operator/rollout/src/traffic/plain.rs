//! Services alone: a selector that is switched, or a share of Pods.

use dcanary_crds::labels;
use serde_json::Value;

use super::{
    InForce, Split, Traffic, Verified, Wanted,
    gateway::targets,
    leave,
    obstacle::Obstacle,
    path::{at, list, text},
    place::Place,
    selector::{self, Selector, of_service, strings},
    services::Service,
};
use crate::{
    plan::Effect,
    render,
    seen::{Key, Kind},
};

/// Services without a route. blueGreen switches the selector of `<env>`; canary lets it select the Pods of both releases, whose numbers
/// make the share.
pub(super) struct PlainServices<'a> {
    pub(super) place: Place<'a>,
}

impl Traffic for PlainServices<'_> {
    fn set(&self, wanted: &Wanted<'_>) -> Split {
        let step = self.step(wanted);
        step.unwrap_or_else(|obstacle| Split {
            effects: Vec::new(),
            in_force: obstacle.into(),
            overwritten: None,
            said: None,
            unverified: None,
        })
    }

    fn verify(&self) -> Verified {
        Verified::Unasked
    }

    fn weight(&self) -> Option<i32> {
        let place = &self.place;
        let service = place.object(&Key::new(Kind::Service, place.stable)).ok()??;
        let now = of_service(service);
        let status = place.env.status.as_ref()?;
        let leads = |name: &str| now == render::selector(place.env, name, place.seen);
        let candidate = status
            .rollout
            .as_ref()
            .filter(|rollout| rollout.finished_at.is_none());
        if status
            .stable
            .as_ref()
            .is_some_and(|stable| leads(&stable.workload))
        {
            return Some(0);
        }
        let candidate = candidate?.workload.as_str();
        if leads(candidate) {
            return Some(100);
        }
        (now == self.whole()).then(|| self.share(candidate))
    }

    fn remove(&self) -> Vec<Effect> {
        let routes = leave::own_routes(&self.place, None);
        if routes.is_empty() {
            leave::services(&self.place)
        } else {
            routes
        }
    }
}

impl PlainServices<'_> {
    fn step(&self, wanted: &Wanted<'_>) -> Result<Split, Obstacle> {
        let place = &self.place;
        let (stable, candidate) = targets(place, wanted);
        if let (Some(name), true) = (wanted.candidate, wanted.weight > 0) {
            selector::apart(place, &stable, name)?;
        }
        let (target, obstacle) = self.target(wanted, stable, &candidate);
        let mut effects = Vec::new();
        let mut waits = None;
        effects.extend(Service::look(place, place.stable)?.set(&target));
        let second = Service::look(place, &place.candidate);
        if place.splits() {
            effects.extend(second?.set(&candidate));
        }
        if !effects.is_empty() {
            waits = Some("the Services are being written".to_owned());
        }
        let in_force = match (obstacle, waits) {
            (Some(obstacle), _) => obstacle,
            (None, Some(message)) => place.refused(&effects).unwrap_or(InForce::NotYet { message }),
            (None, None) => InForce::Yes,
        };
        if in_force == InForce::Yes {
            effects.extend(leave::own_routes(place, None));
            if !place.splits() {
                let left = Service::look(place, &place.candidate).ok();
                effects.extend(left.and_then(|service| service.remove()));
            }
        }
        Ok(Split {
            effects,
            in_force,
            overwritten: None,
            said: None,
            unverified: None,
        })
    }

    /// What `<env>` should select; and what stands in the way of more.
    fn target(
        &self,
        wanted: &Wanted<'_>,
        stable: Selector,
        candidate: &Selector,
    ) -> (Selector, Option<InForce>) {
        let place = &self.place;
        let more = self.needs_route(wanted).map(InForce::from);
        if !place.splits() || wanted.weight <= 0 {
            return (stable, more);
        }
        if wanted.weight >= 100 {
            return (candidate.clone(), more);
        }
        if !place.canary() || stable == *candidate {
            return (stable, more);
        }
        if !selector::is_ours(&stable) {
            let obstacle = Obstacle::RouteNeeded(format!(
                "the Pods of the adopted Deployment lack the label {}, so that Service {} cannot select them together with the candidate's: give traffic.route, or use strategy.blueGreen for the first release",
                labels::ENVIRONMENT_UID,
                place.stable,
            ));
            return (stable, Some(obstacle.into()));
        }
        if let Some(other) = self.other(wanted) {
            let message = format!(
                "Pods of {other}, an earlier release, are still there and would get requests; Service {} selects the candidate's Pods once they are gone",
                place.stable
            );
            let kept = place
                .env
                .spec
                .history
                .as_ref()
                .and_then(|history| history.ready)
                .unwrap_or(0)
                > 0;
            let state = if kept {
                Obstacle::RouteNeeded(format!(
                    "{message}: set history.ready to 0, or give traffic.route"
                ))
                .into()
            } else {
                InForce::NotYet { message }
            };
            return (stable, Some(state));
        }
        (self.whole(), more)
    }

    /// What selects the Pods of both releases.
    fn whole(&self) -> Selector {
        let place = &self.place;
        let stable = place
            .env
            .status
            .as_ref()
            .and_then(|status| status.stable.as_ref());
        let stable = stable.map(|stable| render::selector(place.env, &stable.workload, place.seen));
        let uid = stable.and_then(|selector| selector.get(labels::ENVIRONMENT_UID).cloned());
        if uid.is_none_or(|uid| uid == place.uid) {
            selector::whole(place.uid)
        } else {
            selector::of_name(place.stable)
        }
    }

    fn needs_route(&self, wanted: &Wanted<'_>) -> Option<Obstacle> {
        let canary = self.place.env.spec.strategy.canary.as_ref();
        let testers = wanted.testers && canary.is_some_and(|canary| !canary.testers.is_empty());
        let what = match (wanted.mirror > 0, testers) {
            (true, _) => "mirror requests",
            (_, true) => "tell testers' requests from others",
            _ => return None,
        };
        Some(Obstacle::RouteNeeded(format!(
            "Services cannot {what}: give traffic.route"
        )))
    }

    /// A workload that is neither of the two and whose Pods get requests when all Pods are selected.
    fn other(&self, wanted: &Wanted<'_>) -> Option<String> {
        self.ready().find_map(|pod| {
            let name = text(pod, &["metadata", "labels", labels::RELEASE]);
            let known = name.is_some() && (name == wanted.stable || name == wanted.candidate);
            (!known).then(|| name.unwrap_or("no release").to_owned())
        })
    }

    fn share(&self, candidate: &str) -> i32 {
        let all = self.ready().count();
        let its = self
            .ready()
            .filter(|pod| text(pod, &["metadata", "labels", labels::RELEASE]) == Some(candidate))
            .count();
        i32::try_from((its * 100 + all / 2).checked_div(all).unwrap_or(0)).unwrap_or(0)
    }

    /// Pods that a Service sends requests to.
    fn ready(&self) -> impl Iterator<Item = &Value> {
        let whole = self.whole();
        self.place.seen.pods.values().filter(move |pod| {
            let ready = list(pod, &["status", "conditions"]).iter().any(|condition| {
                text(condition, &["type"]) == Some("Ready") && text(condition, &["status"]) == Some("True")
            });
            ready
                && at(pod, &["metadata", "deletionTimestamp"]).is_none()
                && selector::selects(&whole, &strings(at(pod, &["metadata", "labels"])))
        })
    }
}

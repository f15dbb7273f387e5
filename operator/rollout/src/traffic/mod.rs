//! Traffic: the Services and the route through which requests reach the stable release and the candidate.
//!
//! ```text
//!                        ┌─ 100 − w ─▶ Service <env> ───────────▶ Pods of the stable release
//! HTTPRoute / GRPCRoute ─┤
//!                        └─ w ───────▶ Service <env>-candidate ─▶ Pods of the candidate (without one: of the stable release)
//! ```
//! `set` takes one step towards what is wanted and says whether it is in force; the caller repeats it on each observation. Two laws hold
//! between any two steps, so that no request is lost whatever the caller asks for and in whatever order:
//! - the selector of a Service is changed under requests only when they are all meant for the new Pods. Where a route is there, the weights
//!   move away first and must be in force;
//! - weight moves only onto a Service that already leads where it should.
//!
//! A promotion is three calls: (old, new, 100), then (new, new, 100), where `<env>` is switched while it gets no request, then
//! (new, none, 0). Nothing here reads EndpointSlices: after a switch they follow within moments, and both releases keep their Pods meanwhile.

mod adopt;
mod covers;
mod former;
mod gateway;
mod in_force;
mod leave;
mod mirror;
mod obstacle;
mod overwritten;
mod owner;
mod path;
mod place;
mod plain;
mod route;
mod rules;
mod selector;
mod services;
mod template;
mod testers;
#[cfg(test)]
mod tests;
mod verify;

use dcanary_crds::Environment;

use crate::{plan::Effect, seen::Seen};
use gateway::GatewayRoute;
use place::Place;
use plain::PlainServices;

pub use former::{Former, former, is_same, key_of, present};
pub use mirror::{can_mirror, gateways};
pub use obstacle::Obstacle;
pub use owner::ADOPT;
pub use place::candidate_service;
pub use verify::{Proof, Verified};

/// Where requests should go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted<'a> {
    /// Workload that `<env>` leads to. `None`: there is none yet, `<env>` leads to the candidate.
    pub stable: Option<&'a str>,
    /// Workload that `<env>-candidate` leads to. `None`: it leads to the stable one.
    pub candidate: Option<&'a str>,
    /// Percent of requests for the candidate.
    pub weight: i32,
    /// Percent of requests that are sent to the candidate as well.
    pub mirror: i32,
    /// The testers' requests go to the candidate.
    pub testers: bool,
    /// What requests are to prove of it.
    pub proof: Proof,
}

/// Whether what is wanted holds for requests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum InForce {
    /// It holds.
    #[default]
    Yes,
    /// It is on its way.
    NotYet {
        /// What is waited for.
        message: String,
    },
    /// It cannot hold until somebody changes something.
    Refused {
        /// One CamelCase word; those of [`Obstacle`], or what the API server answered to a write.
        reason: String,
        /// The same for people, with what to do.
        message: String,
    },
}

/// One step towards what is wanted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Split {
    /// What to do now, in order. Empty once all is as wanted.
    pub effects: Vec<Effect>,
    /// Whether all is as wanted.
    pub in_force: InForce,
    /// Field manager that changed our weights since they were in force.
    pub overwritten: Option<String>,
    /// What the route says; `None`: there is none, or it splits nothing.
    pub said: Option<Said>,
    /// The gateway says that the route is in force, and requests have not shown it yet: what they show.
    pub unverified: Option<String>,
}

/// What a route says beside what it is asked to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The route, and the rule in it: with it `asked` begins.
    pub route: String,
    /// What it is asked, in one line: the same for the same.
    pub asked: String,
    /// Whether it says that.
    pub so: bool,
    /// Field manager that wrote last what is not so, unless that was us.
    pub manager: Option<String>,
}

/// A way to split requests: set weights, verify by requests that they are followed, remove all of it.
pub trait Traffic {
    /// The next step towards `wanted`. Without effect and [`InForce::Yes`] when all is so.
    fn set(&self, wanted: &Wanted<'_>) -> Split;
    /// Whether requests through the data plane have shown that it does what the objects say now. `set` asks for it where [`Proof`] wants it.
    fn verify(&self) -> Verified;
    /// Percent of requests for the candidate, as the objects say it now; `None`: they do not say one.
    fn weight(&self) -> Option<i32>;
    /// The next step towards a world without us: nothing of ours is left in a route that is not ours, what was created is deleted,
    /// what was taken over stays as it is. Empty once all is so.
    fn remove(&self) -> Vec<Effect>;
}

/// The way to split requests of an Environment. `last` is the weight that was last in force. `None`: it has no `traffic`.
pub fn of<'a>(env: &'a Environment, seen: &'a Seen, last: Option<i32>) -> Option<Box<dyn Traffic + 'a>> {
    let place = Place::new(env, seen)?;
    Some(match &place.spec.route {
        Some(route) => Box::new(GatewayRoute { place, route, last }),
        None => Box::new(PlainServices { place }),
    })
}

/// Whether the Service of the stable release leads to the Pods of a workload alone.
pub fn leads_to(env: &Environment, seen: &Seen, workload: &str) -> bool {
    Place::new(env, seen).is_some_and(|place| place.leads_to(place.stable, workload))
}

/// Whether the Service of the candidate leads to the Pods of a workload, and the route gives it requests.
pub fn is_given_requests(env: &Environment, seen: &Seen, workload: &str) -> bool {
    let leads = Place::new(env, seen)
        .is_some_and(|place| place.spec.route.is_some() && place.leads_to(&place.candidate, workload));
    leads && of(env, seen, None).is_some_and(|traffic| traffic.weight().is_some_and(|weight| weight > 0))
}

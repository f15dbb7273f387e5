//! Routes that an Environment does not name any more: what is ours leaves them, and their requests are the stable release's again.

use dcanary_core::time::later;
use dcanary_crds::{Environment, KnownRoute, RouteRef, Traffic};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    InForce, adopt,
    in_force::lags,
    owner::{Ours, owner},
    path::{list, put},
    place::{Place, write},
    route::{self, kind},
    rules, verify,
};
use crate::{
    plan::Effect,
    seen::{Key, Seen},
};

/// What is left to do about such routes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Former {
    /// What to do now, in order.
    pub effects: Vec<Effect>,
    /// What is waited for. `None`: nothing of ours is left in any of them, and their gateways know it.
    pub waits: Option<InForce>,
    /// Routes that are not done with.
    pub left: Vec<KnownRoute>,
    /// When the next of them is waited for no longer.
    pub until: Option<Timestamp>,
}

/// The route of an Environment.
pub fn present(env: &Environment) -> Option<KnownRoute> {
    let route = env.spec.traffic.as_ref()?.route.as_ref()?;
    let reference = route.reference.as_ref();
    let name = reference.map_or(env.metadata.name.as_ref()?, |reference| &reference.name);
    Some(KnownRoute {
        kind: route.kind,
        name: name.clone(),
        rule: reference.and_then(|reference| reference.rule.clone()),
        given_back_at: None,
    })
}

/// Whether two are the same rules of the same route.
pub fn is_same(one: &KnownRoute, other: &KnownRoute) -> bool {
    (one.kind, &one.name, &one.rule) == (other.kind, &other.name, &other.rule)
}

/// Name and kind of a route.
pub fn key_of(route: &KnownRoute) -> Key {
    Key::new(kind(route.kind), &route.name)
}

/// What is left to do about the routes of `known` that the Environment does not name any more. Gateways are waited for for so many seconds at
/// most: one that is gone says nothing any more.
pub fn former(env: &Environment, seen: &Seen, known: &[KnownRoute], patience: u64, now: Timestamp) -> Former {
    let none = Traffic::default();
    let mut former = Former::default();
    let Some(place) = Place::with(env, seen, env.spec.traffic.as_ref().unwrap_or(&none)) else {
        return former;
    };
    let present = present(env);
    let is_present = |route: &&KnownRoute| present.as_ref().is_some_and(|present| is_same(present, route));
    for route in known.iter().filter(|route| !is_present(route)) {
        let shown = format!("{} {}", kind(route.kind).name(), route.name);
        let about = |what: &str| format!("traffic.route does not name {shown} any more: {what}");
        let mut route = route.clone();
        let waits = match step(&place, &route) {
            Step::Done => continue,
            Step::Give(effect) => {
                route.given_back_at = None;
                let message = about("what the operator added is being taken out");
                let refused = place.refused(std::slice::from_ref(&effect));
                former.effects.push(effect);
                refused.unwrap_or(InForce::NotYet { message })
            }
            Step::Lags => {
                let until = later(*route.given_back_at.get_or_insert(now), patience);
                if now >= until {
                    continue;
                }
                former.until = former.until.into_iter().chain([until]).min();
                let message = about(&format!(
                    "its gateway still serves it as it was; where none serves it any more, delete it, or wait until {until}"
                ));
                InForce::NotYet { message }
            }
            Step::Unreadable => InForce::NotYet {
                message: about("it cannot be read now"),
            },
        };
        former.waits.get_or_insert(waits);
        former.left.push(route);
    }
    former
}

enum Step {
    Done,
    Give(Effect),
    Lags,
    Unreadable,
}

fn step(place: &Place<'_>, known: &KnownRoute) -> Step {
    let key = key_of(known);
    let object = match place.object(&key) {
        Ok(Some(object)) => object,
        // with the route its requests are gone
        Ok(None) => return Step::Done,
        Err(_) if !place.seen.gateway_api => return Step::Done,
        Err(_) => return Step::Unreadable,
    };
    let reference = RouteRef {
        name: known.name.clone(),
        rule: known.rule.clone(),
    };
    let now = place
        .spec
        .route
        .as_ref()
        .filter(|now| route::key(place, now) == key);
    if let Some(now) = now {
        // the same route: its gateway is waited for as always
        let there = list(object, &["spec", "rules"]);
        let index = |reference| adopt::weighted(place, known.kind, reference, there).ok();
        let (before, after) = match &now.reference {
            Some(present) => (index(&reference), index(present)),
            // one of our own is written whole
            None if owner(place, &key, object).is_ok() => return Step::Done,
            None => (index(&reference), None),
        };
        let mut given = there.to_vec();
        for (at, rule) in given.iter_mut().enumerate() {
            let both =
                rules::leads_to(rule, place.stable, place) && rules::leads_to(rule, &place.candidate, place);
            // where it can no longer be told, it is one of those that lead to both
            if Some(at) != after && before.map_or(both, |before| before == at) {
                adopt::give_back(place, rule);
            }
        }
        if given == there {
            return Step::Done;
        }
        let mut object = object.clone();
        put(&mut object, &["spec", "rules"], Value::Array(given));
        return Step::Give(write(key, object));
    }
    let given = if owner(place, &key, object) == Ok(Ours::Created) {
        emptied(place, object)
    } else {
        adopt::without(place, known.kind, &reference, object, adopt::Untold::All)
    };
    if given != *object {
        Step::Give(write(key, given))
    } else if lags(object) {
        Step::Lags
    } else {
        Step::Done
    }
}

/// A route of our own in which the candidate gets nothing. It goes once the present way is in force.
fn emptied(place: &Place<'_>, object: &Value) -> Value {
    let before = list(object, &["spec", "rules"]);
    let ours = |rule: &&Value| !rules::is_tester(rule, place) && !verify::is_ours(rule, place);
    let mut given: Vec<Value> = before.iter().filter(ours).cloned().collect();
    for rule in &mut given {
        rules::set_mirror(rule, 0, &Value::Null, place);
        let mut backends = rules::backends(rule).to_vec();
        let is = |backend: &Value, service: &str| rules::is(backend, service, place);
        if !backends.iter().any(|backend| is(backend, &place.candidate)) {
            continue;
        }
        for backend in &mut backends {
            if is(backend, place.stable) {
                rules::weigh(backend, rules::WHOLE);
            } else if is(backend, &place.candidate) {
                rules::weigh(backend, 0);
            }
        }
        put(rule, &["backendRefs"], Value::Array(backends));
    }
    if given == before {
        return object.clone();
    }
    let mut object = object.clone();
    put(&mut object, &["spec", "rules"], Value::Array(given));
    object
}

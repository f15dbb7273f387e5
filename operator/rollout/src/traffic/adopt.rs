//! A route that exists: it is read, modified and replaced.
//!
//! Ours are the weights of our two backends in one rule, the candidate among its backends, our mirror filter in it, the rules of testers, and the
//! rule that answers for the split.
//! All else stays as it is, in its order. Where the rule has other backends with a weight, theirs stay too, and our two share what they had
//! together; else they share 100.

use dcanary_crds::{RouteKind, RouteRef};
use serde_json::{Value, json};

use super::{
    obstacle::Obstacle,
    path::{at, list, put, take},
    place::Place,
    route::{Asked, kind as kind_of},
    rules::{self, Weights, backends, is, is_tester, leads_to, pair, renamed, set_mirror, weigh},
    testers, verify,
};

/// Less than this cannot be split by percent.
const LEAST: i64 = 100;

/// The rule whose backends are weighted.
pub(super) fn weighted(
    place: &Place<'_>,
    kind: RouteKind,
    reference: &RouteRef,
    rules: &[Value],
) -> Result<usize, Obstacle> {
    let route = format!("{} {}", kind_of(kind).name(), reference.name);
    let service = place.stable;
    let found: Vec<usize> = (0..rules.len())
        .filter(|index| match &reference.rule {
            Some(name) => rules::name(&rules[*index]) == Some(name),
            None => !is_tester(&rules[*index], place) && leads_to(&rules[*index], service, place),
        })
        .collect();
    match (found.as_slice(), &reference.rule) {
        ([index], None) => Ok(*index),
        ([index, ..], Some(name)) => {
            if leads_to(&rules[*index], service, place) {
                return Ok(*index);
            }
            Err(Obstacle::BackendNotFound(format!(
                "rule {name} of {route} does not lead to Service {service}: add it to the rule's backendRefs, or correct traffic.route.ref.rule"
            )))
        }
        ([], None) => Err(Obstacle::BackendNotFound(format!(
            "no rule of {route} leads to Service {service}: add it to the backendRefs of the rule whose requests the Environment should split"
        ))),
        (_, None) => Err(Obstacle::RuleNotFound(format!(
            "{} rules of {route} lead to Service {service}: give the one to split a name, and say it in traffic.route.ref.rule",
            found.len(),
        ))),
        ([], Some(name)) => {
            let names: Vec<&str> = rules.iter().filter_map(rules::name).collect();
            Err(Obstacle::RuleNotFound(format!(
                "{route} has no rule named {name} (named are: {}): name the rule, or correct traffic.route.ref.rule",
                if names.is_empty() {
                    "none".to_owned()
                } else {
                    names.join(", ")
                },
            )))
        }
    }
}

/// The route as it should be.
pub(super) fn written(
    place: &Place<'_>,
    kind: RouteKind,
    reference: &RouteRef,
    seen: &Value,
    asked: &Asked<'_>,
) -> Result<Value, Obstacle> {
    if !place.splits() {
        return Ok(without(place, kind, reference, seen, Untold::Kept));
    }
    let mut rules = list(seen, &["spec", "rules"]).to_vec();
    let index = weighted(place, kind, reference, &rules)?;
    if let Some(rule) = rules.get_mut(index) {
        split(place, rule, asked)?;
    }
    let rules = testers::set(place, kind, rules, &[index], asked.testers)?;
    let rules = verify::set(place, rules, asked.token)?;
    let mut object = seen.clone();
    put(&mut object, &["spec", "rules"], Value::Array(rules));
    Ok(object)
}

/// What becomes of rules where the weighted one can no longer be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Untold {
    /// Their backends stay as they are: they may be somebody else's.
    Kept,
    /// It is one of those that lead to both of our Services, and all of these are given back.
    All,
}

/// The route without anything of ours. All weight that our two had is `<env>`'s again.
pub(super) fn without(
    place: &Place<'_>,
    kind: RouteKind,
    reference: &RouteRef,
    seen: &Value,
    untold: Untold,
) -> Value {
    let before = list(seen, &["spec", "rules"]);
    let ours = weighted(place, kind, reference, before).ok();
    let is_ours = |index: usize, rule: &Value| match ours {
        Some(ours) => ours == index,
        None => {
            untold == Untold::All
                && leads_to(rule, place.stable, place)
                && leads_to(rule, &place.candidate, place)
        }
    };
    let rules: Vec<Value> = before
        .iter()
        .enumerate()
        .filter(|(_, rule)| !is_tester(rule, place) && !verify::is_ours(rule, place))
        .map(|(index, rule)| {
            let mut rule = rule.clone();
            if is_ours(index, &rule) {
                give_back(place, &mut rule);
            }
            rule
        })
        .collect();
    if rules == before {
        return seen.clone();
    }
    let mut object = seen.clone();
    put(&mut object, &["spec", "rules"], Value::Array(rules));
    object
}

/// A weighted rule without mirror and candidate: all that our two had is `<env>`'s.
pub(super) fn give_back(place: &Place<'_>, rule: &mut Value) {
    set_mirror(rule, 0, &Value::Null, place);
    if !leads_to(rule, &place.candidate, place) {
        return;
    }
    let weights = Weights::of(rule, place);
    let mut kept: Vec<Value> = backends(rule)
        .iter()
        .filter(|backend| !is(backend, &place.candidate, place))
        .cloned()
        .collect();
    if let Some(stable) = kept.iter_mut().find(|backend| is(backend, place.stable, place)) {
        if weights.others == 0 {
            // The default: alone it gets everything.
            take(stable, "weight");
        } else {
            weigh(stable, weights.stable.saturating_add(weights.candidate));
        }
    }
    put(rule, &["backendRefs"], Value::Array(kept));
}

fn split(place: &Place<'_>, rule: &mut Value, asked: &Asked<'_>) -> Result<(), Obstacle> {
    let weights = Weights::of(rule, place);
    let shared = weights.shared();
    if place.canary() && shared < LEAST {
        return Err(Obstacle::BackendNotFound(format!(
            "Service {} has weight {shared} beside other backends of its rule, which cannot be split by percent: give it a weight of at least {LEAST}, and the others in proportion",
            place.stable,
        )));
    }
    let (stable, candidate) = pair(shared, asked.weight);
    let mut all = backends(rule).to_vec();
    let Some(port) = sole(place, &all)?
        .and_then(|backend| at(backend, &["port"]))
        .cloned()
    else {
        return Err(Obstacle::BackendNotFound(format!(
            "the reference to Service {} in the route names no port: add it",
            place.stable
        )));
    };
    if !place.spec.ports.iter().any(|known| json!(known.port) == port) {
        return Err(Obstacle::BackendNotFound(format!(
            "the route leads to port {port} of Service {}, which traffic.ports lacks: add it there, so that Service {} has it too",
            place.stable, place.candidate,
        )));
    }
    let ours = |name: &str| all.iter().position(|backend| is(backend, name, place));
    let (at_stable, at_candidate) = (ours(place.stable), ours(&place.candidate));
    if let Some(backend) = at_stable.and_then(|index| all.get_mut(index)) {
        weigh(backend, stable);
    }
    match at_candidate {
        Some(index) => {
            if let Some(backend) = all.get_mut(index) {
                weigh(backend, candidate);
            }
        }
        None => {
            if let Some(index) = at_stable {
                let new = renamed(&all[index], &place.candidate, candidate);
                all.insert(index + 1, new);
            }
        }
    }
    put(rule, &["backendRefs"], Value::Array(all));
    set_mirror(rule, asked.mirror, &port, place);
    Ok(())
}

/// The only reference to the stable Service. Neither of the two may be there twice: it would get weight that nobody gave it.
fn sole<'b>(place: &Place<'_>, all: &'b [Value]) -> Result<Option<&'b Value>, Obstacle> {
    for service in [place.stable, &place.candidate] {
        let times = all.iter().filter(|backend| is(backend, service, place)).count();
        if times > 1 {
            return Err(Obstacle::BackendNotFound(format!(
                "the weighted rule leads to Service {service} {times} times: leave one of them"
            )));
        }
    }
    Ok(all.iter().find(|backend| is(backend, place.stable, place)))
}

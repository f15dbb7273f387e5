//! The route: what its rules say about the two Services, and what they should say.

use dcanary_crds::{Route, RouteKind, Tester};
use serde_json::Value;

use super::{
    adopt,
    obstacle::Obstacle,
    path::list,
    place::Place,
    rules::{Weights, is_tester, leads_to, mirrors},
    template,
    verify::{self, Token},
};
use crate::seen::{Key, Kind};

/// What the rules should say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'t> {
    pub(super) weight: i32,
    pub(super) mirror: i32,
    pub(super) testers: &'t [Tester],
    /// Requests are to show it.
    pub(super) token: Option<&'t Token>,
}

/// What the weighted rules say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shares {
    /// Lowest and highest percent for the candidate among the weighted rules.
    pub(super) least: i32,
    pub(super) most: i32,
    /// Testers or a mirror lead to the candidate.
    pub(super) extra: bool,
    /// The candidate is among the backends.
    pub(super) known: bool,
    /// There is a rule that answers for a split.
    pub(super) answers: bool,
}

impl Shares {
    pub(super) fn of<'r>(
        rules: &[Value],
        weighted: impl Iterator<Item = &'r Value>,
        place: &Place<'_>,
    ) -> Self {
        let weighted: Vec<&Value> = weighted.collect();
        let percents: Vec<i32> = weighted
            .iter()
            .map(|rule| Weights::of(rule, place).percent())
            .collect();
        Self {
            least: percents.iter().copied().min().unwrap_or(0),
            most: percents.iter().copied().max().unwrap_or(0),
            extra: rules.iter().any(|rule| is_tester(rule, place))
                || weighted.iter().any(|rule| mirrors(rule, place)),
            known: weighted
                .iter()
                .any(|rule| leads_to(rule, &place.candidate, place)),
            answers: rules.iter().any(|rule| verify::is_ours(rule, place)),
        }
    }
}

/// The kind as an object has it.
pub(super) const fn kind(kind: RouteKind) -> Kind {
    match kind {
        RouteKind::Http => Kind::HttpRoute,
        RouteKind::Grpc => Kind::GrpcRoute,
    }
}

/// Name and kind of the route.
pub(super) fn key(place: &Place<'_>, route: &Route) -> Key {
    let name = route
        .reference
        .as_ref()
        .map_or(place.stable, |reference| &reference.name);
    Key::new(kind(route.kind), name)
}

/// What the rules of a route that is there say.
pub(super) fn shares(place: &Place<'_>, route: &Route, object: &Value) -> Result<Shares, Obstacle> {
    let rules = list(object, &["spec", "rules"]);
    match &route.reference {
        Some(reference) => {
            let index = adopt::weighted(place, route.kind, reference, rules)?;
            Ok(Shares::of(rules, rules.get(index).into_iter(), place))
        }
        None => {
            let ours = |rule: &&Value| {
                !is_tester(rule, place)
                    && (leads_to(rule, place.stable, place) || leads_to(rule, &place.candidate, place))
            };
            Ok(Shares::of(rules, rules.iter().filter(ours), place))
        }
    }
}

/// The route as it should be. `None`: it is so already.
pub(super) fn written(
    place: &Place<'_>,
    route: &Route,
    seen: Option<&Value>,
    asked: &Asked<'_>,
) -> Result<Option<Value>, Obstacle> {
    let object = match (&route.reference, seen) {
        (Some(reference), Some(seen)) => adopt::written(place, route.kind, reference, seen, asked)?,
        (Some(reference), None) => {
            return Err(Obstacle::RouteNotFound {
                kind: kind(route.kind).name(),
                name: reference.name.clone(),
                namespace: place.namespace.to_owned(),
            });
        }
        (None, _) => template::written(place, route, seen, asked)?,
    };
    Ok((seen != Some(&object)).then_some(object))
}

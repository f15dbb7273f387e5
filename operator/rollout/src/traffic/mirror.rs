//! Whether the gateways of a route can mirror requests. One that cannot may take the route all the same, say that it is in force, and answer
//! every request with an error: so what its GatewayClass says is asked first.

use std::collections::BTreeSet;

use dcanary_crds::Environment;
use serde_json::Value;

use super::{
    obstacle::Obstacle,
    path::{list, text},
    place::Place,
    route,
};
use crate::seen::Seen;

/// Names of the Gateway API for what is needed.
const MIRROR: &str = "HTTPRouteRequestMirror";
const PERCENTAGE: &str = "HTTPRouteRequestPercentageMirror";

/// A parent of a route.
enum Parent {
    /// Namespace and name of a Gateway.
    Gateway(String, String),
    /// Kind and name of something else.
    Other(String, String),
}

/// The Gateways of the route of an Environment, by namespace and name.
pub fn gateways(env: &Environment, seen: &Seen) -> BTreeSet<(String, String)> {
    let gateway = |parent| match parent {
        Parent::Gateway(namespace, name) => Some((namespace, name)),
        Parent::Other(..) => None,
    };
    let place = Place::new(env, seen);
    place
        .map(|place| parents(&place).into_iter().filter_map(gateway).collect())
        .unwrap_or_default()
}

/// Whether a step can mirror so many percent of the requests.
///
/// # Errors
/// Why not, and what to do. Then the gateway must not see such a route.
pub fn can_mirror(env: &Environment, seen: &Seen, step: usize, percent: i32) -> Result<(), Obstacle> {
    let what = format!("spec.strategy.canary.steps[{step}].mirror");
    let Some(place) = Place::new(env, seen).filter(|place| place.spec.route.is_some()) else {
        let message =
            format!("{what}: Services cannot mirror requests: give traffic.route, or take the step out");
        return Err(Obstacle::RouteNeeded(message));
    };
    for parent in parents(&place) {
        let (namespace, name) = match parent {
            Parent::Gateway(namespace, name) => (namespace, name),
            Parent::Other(kind, name) => {
                return Err(Obstacle::MirrorUnsupported(format!(
                    "{what}: the route belongs to {kind} {name}, of which no GatewayClass says whether it mirrors requests: give a Gateway, or take the step out"
                )));
            }
        };
        let shown = format!("Gateway {namespace}/{name}");
        let found = match seen.gateways.get(&(namespace, name)) {
            Some(Ok(found)) => found,
            Some(Err(answer)) => {
                return Err(Obstacle::GatewayUnreadable(format!(
                    "{what}: whether {shown} mirrors requests cannot be read ({answer}): the operator needs the verb get on gateways and gatewayclasses"
                )));
            }
            None => {
                return Err(Obstacle::GatewayUnreadable(format!(
                    "{what}: {shown} is being looked at"
                )));
            }
        };
        let needed = [MIRROR, PERCENTAGE];
        // all requests need no percentage
        let needed = needed.iter().take(if percent < 100 { 2 } else { 1 });
        if let Some(missing) = needed.copied().find(|name| !found.features.contains(*name)) {
            return Err(Obstacle::MirrorUnsupported(format!(
                "{what}: GatewayClass {} of {shown} does not list {missing} in status.supportedFeatures, and a gateway without it may fail all requests: give a Gateway of a class that does, or take the step out",
                found.class
            )));
        }
    }
    Ok(())
}

fn parents(place: &Place<'_>) -> Vec<Parent> {
    let Some(spec) = &place.spec.route else {
        return Vec::new();
    };
    let of = |parent: &Value| {
        let field = |key| text(parent, &[key]).filter(|text| !text.is_empty());
        let (kind, name) = (
            field("kind").unwrap_or("Gateway"),
            field("name").unwrap_or_default(),
        );
        let is_gateway =
            kind == "Gateway" && field("group").is_none_or(|group| group == "gateway.networking.k8s.io");
        if is_gateway {
            let namespace = field("namespace").unwrap_or(place.namespace);
            Parent::Gateway(namespace.to_owned(), name.to_owned())
        } else {
            Parent::Other(kind.to_owned(), name.to_owned())
        }
    };
    match &spec.template {
        Some(template) => template
            .parent_refs
            .iter()
            .map(|parent| of(&Value::Object(parent.clone())))
            .collect(),
        None => {
            let object = place.object(&route::key(place, spec)).ok().flatten();
            let refs = object.map_or(&[][..], |object| list(object, &["spec", "parentRefs"]));
            refs.iter().map(of).collect()
        }
    }
}

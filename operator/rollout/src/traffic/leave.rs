//! Going away without a trace, and without a lost request.

use dcanary_crds::Route;

use super::{
    adopt,
    owner::{Ours, owner},
    place::{Place, delete, write},
    route::key,
    services::Service,
};
use crate::{
    plan::Effect,
    seen::{Key, Kind},
};

/// The next step away from a route: what is ours leaves the route; once that is seen, the Services go. Whoever wants no request lost has all
/// weight on the stable release in force before. It waits for no gateway, because there may be none any more.
pub(super) fn route(place: &Place<'_>, route: &Route) -> Vec<Effect> {
    let key = key(place, route);
    if let (Some(reference), Ok(Some(seen))) = (&route.reference, place.object(&key)) {
        let object = adopt::without(place, route.kind, reference, seen, adopt::Untold::Kept);
        if object != *seen {
            return vec![write(key, object)];
        }
    }
    let routes = own_routes(place, None);
    if routes.is_empty() {
        services(place)
    } else {
        routes
    }
}

/// Deletes the routes that were created for the Environment, but for one.
pub(super) fn own_routes(place: &Place<'_>, but: Option<&Key>) -> Vec<Effect> {
    [Kind::HttpRoute, Kind::GrpcRoute]
        .into_iter()
        .map(|kind| Key::new(kind, place.stable))
        .filter(|key| Some(key) != but)
        .filter_map(|key| {
            let object = place.object(&key).ok()??;
            let ours = owner(place, &key, object) == Ok(Ours::Created);
            ours.then(|| delete(key, object))
        })
        .collect()
}

/// Deletes the Services that were created, lets go of those that were taken over.
pub(super) fn services(place: &Place<'_>) -> Vec<Effect> {
    [place.stable, &place.candidate]
        .into_iter()
        .filter_map(|name| Service::look(place, name).ok()?.remove())
        .collect()
}

//! How the API server calls the kinds.

use dcanary_rollout::{Key, Kind};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, ListParams, TypeMeta},
};

/// Kinds that are watched by the label of an Environment, besides routes.
pub const WATCHED: [Kind; 8] = [
    Kind::Deployment,
    Kind::StatefulSet,
    Kind::DaemonSet,
    Kind::Service,
    Kind::ConfigMap,
    Kind::Pod,
    Kind::PodDisruptionBudget,
    Kind::PipelineRun,
];
/// Kinds of the Gateway API, watched where the API server knows them.
pub const ROUTES: [Kind; 2] = [Kind::HttpRoute, Kind::GrpcRoute];

/// Plural of a kind.
pub const fn plural(kind: Kind) -> &'static str {
    match kind {
        Kind::Deployment => "deployments",
        Kind::StatefulSet => "statefulsets",
        Kind::DaemonSet => "daemonsets",
        Kind::Service => "services",
        Kind::ConfigMap => "configmaps",
        Kind::Pod => "pods",
        Kind::PodDisruptionBudget => "poddisruptionbudgets",
        Kind::HttpRoute => "httproutes",
        Kind::GrpcRoute => "grpcroutes",
        Kind::PipelineRun => "pipelineruns",
        Kind::Promotion => "promotions",
    }
}

/// What kube needs to know of a kind.
pub fn resource(kind: Kind) -> ApiResource {
    let api_version = kind.api_version();
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.to_owned(),
        kind: kind.name().to_owned(),
        plural: plural(kind).to_owned(),
    }
}

/// What an object of a kind says that it is; the items of a list do not.
pub fn types(kind: Kind) -> TypeMeta {
    TypeMeta {
        api_version: kind.api_version().to_owned(),
        kind: kind.name().to_owned(),
    }
}

/// Reads one object by name. `None`: there is none, or no such kind.
///
/// # Errors
/// When the API server gives another answer.
pub async fn read(client: &Client, namespace: &str, key: &Key) -> Result<Option<DynamicObject>, kube::Error> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource(key.kind));
    // a list, which the operator may do anyway
    let named = ListParams::default().fields(&format!("metadata.name={}", key.name));
    match api.list(&named).await {
        Ok(found) => Ok(found.items.into_iter().next().map(|mut object| {
            object.types = Some(types(key.kind));
            object
        })),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_asked_for_where_the_api_server_has_them() {
        use kube::Resource;
        let path = |kind| DynamicObject::url_path(&resource(kind), Some("team"));
        assert_eq!(path(Kind::Service), "/api/v1/namespaces/team/services");
        assert_eq!(
            path(Kind::Deployment),
            "/apis/apps/v1/namespaces/team/deployments"
        );
        assert_eq!(
            path(Kind::GrpcRoute),
            "/apis/gateway.networking.k8s.io/v1/namespaces/team/grpcroutes"
        );
        assert_eq!(
            path(Kind::Promotion),
            "/apis/dcanary.dev/v1alpha1/namespaces/team/promotions"
        );
    }
}

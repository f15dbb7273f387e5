//! Objects that tests start from.

use dcanary_crds::{
    Decision, DecisionSpec, DecisionTarget, Environment, EnvironmentRef, EnvironmentSpec, Promotion,
    PromotionSpec, Release, ReleaseRef, ReleaseSpec, Verb, labels, release::DecidedKind,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::{Value, json};

pub const NAMESPACE: &str = "shop";
pub const ENV: &str = "web";
pub const ENV_UID: &str = "e0000000-0000-0000-0000-000000000001";

/// An Environment with a strategy and whatever else is given.
pub fn environment(strategy: Value, more: Value) -> Environment {
    let mut spec = json!({
        "replicas": 4,
        "workload": {"template": {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "$(images.app)"}]}}}}},
        "strategy": strategy,
        "traffic": {"ports": [{"port": 80, "targetPort": 8080}],
            "route": {"template": {"parentRefs": [{"name": "gateway"}]}}, "drain": "10s"},
    });
    if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) {
        for (key, value) in more {
            spec.insert(key.clone(), value.clone());
        }
    }
    let spec: EnvironmentSpec = serde_json::from_value(spec).unwrap();
    let mut env = Environment::new(ENV, spec);
    env.metadata = ObjectMeta {
        name: Some(ENV.to_owned()),
        namespace: Some(NAMESPACE.to_owned()),
        uid: Some(ENV_UID.to_owned()),
        generation: Some(1),
        finalizers: Some(vec![labels::ENVIRONMENT_FINALIZER.to_owned()]),
        ..ObjectMeta::default()
    };
    env
}

pub fn canary(steps: Value) -> Value {
    json!({"canary": {"steps": steps, "scaleDownDelay": "10s"}})
}

/// A release whose image behaves as its name says: `good…`, `crash…` (never ready), `bad…` (fails its metrics).
pub fn release(name: &str) -> Release {
    let digest: String = {
        use sha2::Digest as _;
        hex::encode(sha2::Sha256::digest(name))
    };
    let mut release = Release::new(
        name,
        ReleaseSpec {
            images: [("app".to_owned(), format!("registry/{name}@sha256:{digest}"))].into(),
            ..ReleaseSpec::default()
        },
    );
    release.metadata.namespace = Some(NAMESPACE.to_owned());
    release
}

pub fn promotion(name: &str, release: &str, at: Timestamp, undo: bool) -> Promotion {
    let mut promotion = Promotion::new(
        name,
        PromotionSpec {
            environment_ref: EnvironmentRef {
                name: ENV.to_owned(),
                namespace: None,
            },
            release_ref: ReleaseRef {
                name: release.to_owned(),
            },
            requested_by: Some("ann".to_owned()),
            reason: None,
            undo,
            identity: None,
        },
    );
    promotion.metadata = metadata(name, at);
    promotion
}

pub fn decision(
    name: &str,
    kind: DecidedKind,
    target: (&str, &str),
    digest: Option<String>,
    verb: Verb,
    by: &str,
    at: Timestamp,
) -> Decision {
    let mut decision = Decision::new(
        name,
        DecisionSpec {
            target: DecisionTarget {
                kind,
                name: target.0.to_owned(),
                uid: target.1.to_owned(),
                digest,
            },
            verb,
            by: dcanary_crds::DecidedBy {
                username: by.to_owned(),
                groups: Vec::new(),
            },
            reason: Some("because".to_owned()),
            expires_at: None,
        },
    );
    decision.metadata = metadata(name, at);
    decision
}

fn metadata(name: &str, at: Timestamp) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(NAMESPACE.to_owned()),
        uid: Some(format!("uid-{name}")),
        generation: Some(1),
        creation_timestamp: Some(Time(at)),
        ..ObjectMeta::default()
    }
}

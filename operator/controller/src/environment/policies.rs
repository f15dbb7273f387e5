//! Whether the admission policies that make Decisions trustworthy are in place and as they were shipped.
//!
//! What a Decision says of its author is true only because the API server refuses it otherwise. Whoever may change a policy may make that
//! untrue, so every difference counts, also a field that we do not set: an exception is as good as none.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use dcanary_crds::Environment;
use futures::{StreamExt, stream};
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DynamicObject},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use serde_json::{Value, json};
use tracing::{info, warn};

use crate::{context::Context, ledger::chain};

/// Before the policies were read for the first time.
pub const NOT_READ: &str = "the admission policies have not been read yet";

/// What this version ships; the chart installs the same files.
const SHIPPED: [&str; 2] = [
    include_str!("../../../../charts/dcanary/policies/decisions.yaml"),
    include_str!("../../../../charts/dcanary/policies/requests.yaml"),
];

/// Kind and name.
type Name = (String, String);
/// Specs by kind and name.
type Specs = BTreeMap<Name, Value>;

static EXPECTED: LazyLock<Result<Specs, String>> = LazyLock::new(|| {
    let mut specs = Specs::new();
    for file in SHIPPED {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(file).map_err(|error| format!("a shipped policy: {error}"))?;
        for document in documents {
            let text = |pointer: &str| {
                document
                    .pointer(pointer)
                    .and_then(Value::as_str)
                    .map(str::to_owned)
            };
            let (Some(kind), Some(name)) = (text("/kind"), text("/metadata/name")) else {
                return Err("a shipped policy has no kind or no name".to_owned());
            };
            specs.insert((kind, name), document["spec"].clone());
        }
    }
    Ok(specs)
});

/// What the cluster has of what we ship.
#[derive(Debug, Default)]
struct Cluster {
    specs: Specs,
    listing: Specs,
    /// Kinds whose first list is in, as that.
    listed: Vec<&'static str>,
}

/// Follows policies and bindings for ever.
pub async fn follow(ctx: Arc<Context>) {
    let policies = ApiResource::erase::<ValidatingAdmissionPolicy>(&());
    let bindings = ApiResource::erase::<ValidatingAdmissionPolicyBinding>(&());
    let events = [
        ("ValidatingAdmissionPolicy", policies),
        ("ValidatingAdmissionPolicyBinding", bindings),
    ]
    .into_iter()
    .map(|(kind, resource)| {
        let api: Api<DynamicObject> = Api::all_with(ctx.client.clone(), &resource);
        watcher(api, watcher::Config::default())
            .default_backoff()
            .map(move |event| (kind, event))
            .boxed()
    });
    let mut events = stream::select_all(events);
    let mut cluster = Cluster::default();
    while let Some((kind, event)) = events.next().await {
        match event {
            Ok(event) => cluster.take(kind, event),
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    kind, "the watch on admission policies broke off; it goes on by itself"
                );
                if !cluster.listed.contains(&kind) {
                    let problem = format!("the admission policies cannot be read: {}", chain(&error));
                    tell(&ctx, Err(problem));
                }
                continue;
            }
        }
        if cluster.listed.len() == 2 {
            tell(&ctx, cluster.judge());
        }
    }
}

/// Tells decisions, when it is news.
fn tell(ctx: &Context, now: Result<(), String>) {
    let news = ctx.environments.policies.send_if_modified(|before| {
        let news = *before != now;
        before.clone_from(&now);
        news
    });
    if !news {
        return;
    }
    match now {
        Ok(()) => info!("the admission policies are in place"),
        Err(problem) => warn!(problem, "approvals do not count"),
    }
    let asks = |environment: &Environment| environment.spec.approval.is_some() || has_rollout(environment);
    ctx.environments.wake_where(asks);
}

fn has_rollout(environment: &Environment) -> bool {
    let status = environment.status.as_ref();
    status.is_some_and(|status| status.rollout.is_some())
}

impl Cluster {
    fn take(&mut self, kind: &'static str, event: Event<DynamicObject>) {
        let name = |object: &DynamicObject| (kind.to_owned(), object.name_any());
        match event {
            Event::Init => self.listing.retain(|(of, _), _| of != kind),
            Event::InitApply(object) => {
                if is_shipped(&name(&object)) {
                    self.listing.insert(name(&object), spec(&object));
                }
            }
            Event::InitDone => {
                self.specs.retain(|(of, _), _| of != kind);
                let listed = std::mem::take(&mut self.listing);
                let (these, others): (Specs, Specs) = listed.into_iter().partition(|((of, _), _)| of == kind);
                self.specs.extend(these);
                self.listing = others;
                if !self.listed.contains(&kind) {
                    self.listed.push(kind);
                }
            }
            Event::Apply(object) => {
                if is_shipped(&name(&object)) {
                    self.specs.insert(name(&object), spec(&object));
                }
            }
            Event::Delete(object) => {
                self.specs.remove(&name(&object));
            }
        }
    }

    fn judge(&self) -> Result<(), String> {
        for ((kind, name), ours) in EXPECTED.as_ref().map_err(Clone::clone)? {
            let Some(theirs) = self.specs.get(&(kind.clone(), name.clone())) else {
                return Err(format!(
                    "{kind} {name} is missing: install the chart with policies.install=true"
                ));
            };
            same(ours, theirs, "spec").map_err(|place| {
                format!("{kind} {name} is not the one that this version ships: {place} differs")
            })?;
        }
        Ok(())
    }
}

fn is_shipped(name: &Name) -> bool {
    EXPECTED.as_ref().is_ok_and(|specs| specs.contains_key(name))
}

fn spec(object: &DynamicObject) -> Value {
    object.data.get("spec").cloned().unwrap_or(Value::Null)
}

/// Whether the cluster has what we ship, besides what the API server fills in; else where not.
fn same(ours: &Value, theirs: &Value, place: &str) -> Result<(), String> {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for (field, value) in ours {
                let theirs = theirs.get(field).unwrap_or(&Value::Null);
                let nothing = is_nothing(value) && is_nothing(theirs);
                if !nothing {
                    same(value, theirs, &format!("{place}.{field}"))?;
                }
            }
            let more = theirs
                .iter()
                .find(|(field, value)| !ours.contains_key(*field) && !is_default(field, value));
            more.map_or(Ok(()), |(field, _)| Err(format!("{place}.{field}")))
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                same(ours, theirs, &format!("{place}[{index}]"))?;
            }
            Ok(())
        }
        _ if ours == theirs => Ok(()),
        _ => Err(place.to_owned()),
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// What the API server fills in where nothing is given, and which changes nothing.
fn is_default(field: &str, value: &Value) -> bool {
    let defaults = [
        ("failurePolicy", json!("Fail")),
        ("matchPolicy", json!("Equivalent")),
        ("scope", json!("*")),
    ];
    is_nothing(value)
        || defaults
            .iter()
            .any(|(of, default)| *of == field && default == value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const POLICY: &str = "ValidatingAdmissionPolicy";
    const BINDING: &str = "ValidatingAdmissionPolicyBinding";

    fn object(name: &str, spec: &Value) -> DynamicObject {
        serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap()
    }

    fn shipped(kind: &str, name: &str) -> Value {
        EXPECTED.as_ref().unwrap()[&(kind.to_owned(), name.to_owned())].clone()
    }

    /// A cluster that has what we ship.
    fn installed() -> Cluster {
        let mut cluster = Cluster::default();
        for kind in [POLICY, BINDING] {
            cluster.take(kind, Event::Init);
            for (of, name) in EXPECTED.as_ref().unwrap().keys() {
                if of == kind {
                    cluster.take(kind, Event::InitApply(object(name, &shipped(kind, name))));
                }
            }
            cluster.take(
                kind,
                Event::InitApply(object("of-somebody-else", &json!({"a": 1}))),
            );
            cluster.take(kind, Event::InitDone);
        }
        cluster
    }

    fn with(change: impl FnOnce(&mut Value)) -> Result<(), String> {
        let mut cluster = installed();
        let mut spec = shipped(POLICY, "dcanary-decisions");
        change(&mut spec);
        cluster.take(POLICY, Event::Apply(object("dcanary-decisions", &spec)));
        cluster.judge()
    }

    #[test]
    fn every_shipped_policy_has_its_binding() {
        let expected = EXPECTED.as_ref().unwrap();
        for name in ["dcanary-decisions", "dcanary-requests"] {
            for kind in [POLICY, BINDING] {
                assert!(
                    expected.contains_key(&(kind.to_owned(), name.to_owned())),
                    "{kind} {name}"
                );
            }
            assert_eq!(shipped(BINDING, name)["policyName"], name);
        }
    }

    #[test]
    fn what_is_shipped_counts_as_it_is_and_with_what_the_api_server_fills_in() {
        assert_eq!(installed().judge(), Ok(()));
        let filled = with(|spec| {
            spec["matchConditions"] = json!([]);
            spec["matchConstraints"]["excludeResourceRules"] = json!(null);
            spec["auditAnnotations"] = json!([]);
        });
        assert_eq!(filled, Ok(()));
    }

    #[test]
    fn every_exception_and_every_change_is_named_by_its_place() {
        type Change = fn(&mut Value);
        let changes: [(&str, Change); 6] = [
            ("spec.matchConditions", |spec| {
                spec["matchConditions"] =
                    json!([{"name": "x", "expression": "request.userInfo.username != 'mallory'"}]);
            }),
            ("spec.matchConstraints.excludeResourceRules", |spec| {
                spec["matchConstraints"]["excludeResourceRules"] = json!([{"resources": ["decisions"]}]);
            }),
            ("spec.matchConstraints.namespaceSelector", |spec| {
                spec["matchConstraints"]["namespaceSelector"] = json!({"matchLabels": {"a": "b"}});
            }),
            ("spec.failurePolicy", |spec| {
                spec["failurePolicy"] = json!("Ignore");
            }),
            ("spec.validations", |spec| {
                spec["validations"].as_array_mut().unwrap().pop();
            }),
            ("spec.validations[0].expression", |spec| {
                spec["validations"][0]["expression"] = json!("true");
            }),
        ];
        for (place, change) in changes {
            let problem = with(change).unwrap_err();
            assert!(
                problem.contains(&format!("{place} ")) || problem.contains(place),
                "{problem}"
            );
            assert!(problem.contains("dcanary-decisions"), "{problem}");
        }
    }

    #[test]
    fn a_policy_or_binding_that_goes_is_missing_at_once_and_after_the_next_list() {
        let mut cluster = installed();
        cluster.take(BINDING, Event::Delete(object("dcanary-requests", &json!({}))));
        assert!(
            cluster
                .judge()
                .unwrap_err()
                .contains("dcanary-requests is missing")
        );
        let mut cluster = installed();
        cluster.take(POLICY, Event::Init);
        assert_eq!(cluster.judge(), Ok(()), "the list is only coming in");
        cluster.take(POLICY, Event::InitDone);
        assert!(cluster.judge().unwrap_err().contains("is missing"));
    }
}

//! Whether the admission policies that make Decisions trustworthy are in place and as they were shipped.
//!
//! What a Decision says of its author is true only because the API server refuses it otherwise. Whoever may change a policy may make that
//! untrue, so every difference counts, also a field that we do not set: an exception is as good as none.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use futures::{StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::{
    api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
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

/// A spec as it is in the cluster.
#[derive(Debug)]
struct Found {
    spec: Value,
    /// Since when, at the latest; `None` when the API server does not say.
    since: Option<Timestamp>,
}

/// What the cluster has of what we ship.
#[derive(Debug, Default)]
struct Cluster {
    found: BTreeMap<Name, Found>,
    listing: BTreeMap<Name, Found>,
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
fn tell(ctx: &Context, now: Result<Timestamp, String>) {
    let news = ctx.environments.policies.send_if_modified(|before| {
        let news = *before != now;
        before.clone_from(&now);
        news
    });
    if !news {
        return;
    }
    match now {
        Ok(since) => info!(%since, "the admission policies are in place"),
        Err(problem) => warn!(problem, "approvals do not count"),
    }
    // Decisions may be about any of them, and each says which of these count
    ctx.environments.wake_where(|_| true);
}

impl Cluster {
    fn take(&mut self, kind: &'static str, event: Event<DynamicObject>) {
        let name = |object: &DynamicObject| (kind.to_owned(), object.name_any());
        match event {
            Event::Init => self.listing.retain(|(of, _), _| of != kind),
            Event::InitApply(object) => {
                if is_shipped(&name(&object)) {
                    self.listing.insert(name(&object), Found::of(&object));
                }
            }
            Event::InitDone => {
                self.found.retain(|(of, _), _| of != kind);
                let listed = std::mem::take(&mut self.listing);
                let (these, others): (BTreeMap<_, _>, _) =
                    listed.into_iter().partition(|((of, _), _)| of == kind);
                self.found.extend(these);
                self.listing = others;
                if !self.listed.contains(&kind) {
                    self.listed.push(kind);
                }
            }
            Event::Apply(object) => {
                if is_shipped(&name(&object)) {
                    self.found.insert(name(&object), Found::of(&object));
                }
            }
            Event::Delete(object) => {
                self.found.remove(&name(&object));
            }
        }
    }

    /// Since when all are in place, else what is wrong.
    fn judge(&self) -> Result<Timestamp, String> {
        let mut all_since = Timestamp::MIN;
        for ((kind, name), ours) in EXPECTED.as_ref().map_err(Clone::clone)? {
            let Some(theirs) = self.found.get(&(kind.clone(), name.clone())) else {
                return Err(format!(
                    "{kind} {name} is missing: install the chart with policies.install=true"
                ));
            };
            same(ours, &theirs.spec, "spec").map_err(|place| {
                format!("{kind} {name} is not the one that this version ships: {place} differs")
            })?;
            let since = theirs
                .since
                .ok_or_else(|| format!("{kind} {name} does not say when it was created"))?;
            all_since = all_since.max(since);
        }
        Ok(all_since)
    }
}

impl Found {
    fn of(object: &DynamicObject) -> Self {
        Self {
            spec: object.data.get("spec").cloned().unwrap_or(Value::Null),
            since: since(&object.metadata),
        }
    }
}

/// When an object was created, or somebody last wrote into its spec or labels. A write of the status is none.
fn since(metadata: &ObjectMeta) -> Option<Timestamp> {
    let created = metadata.creation_timestamp.as_ref()?.0;
    let entries = metadata.managed_fields.iter().flatten();
    let written = entries
        .filter(|entry| entry.subresource.as_deref().unwrap_or_default().is_empty())
        .filter_map(|entry| entry.time.as_ref());
    Some(written.map(|time| time.0).fold(created, Timestamp::max))
}

fn is_shipped(name: &Name) -> bool {
    EXPECTED.as_ref().is_ok_and(|specs| specs.contains_key(name))
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
#[path = "policies_tests.rs"]
mod tests;

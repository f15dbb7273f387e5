//! Objects that carry the label of an Environment, as the watches told them and as our own writes left them.
//!
//! A watch may be behind our own write: what was written is known at once, and an older version that comes later changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use dcanary_crds::labels;
use dcanary_rollout::{Key, Kind, render};
use kube::{ResourceExt, api::DynamicObject};
use serde_json::{Map, Value};

use super::{
    index::{Place, place},
    kinds,
};
use crate::memory::version;

/// An object.
struct Kept {
    /// Label of its Environment.
    environment: String,
    uid: String,
    version: u64,
    /// When we wrote it, unless a watch has told it since.
    written: Option<u64>,
    object: Arc<Value>,
}

#[derive(Default)]
struct Inner {
    /// By namespace.
    kept: HashMap<String, BTreeMap<Key, Kept>>,
    clock: u64,
}

/// All of them.
#[derive(Default)]
pub struct Objects(Mutex<Inner>);

/// A list that is coming in.
pub struct Listing {
    kind: Kind,
    begun: u64,
    names: BTreeSet<Place>,
}

/// The Environment that an object says it belongs to: its name, shortened where it fits no label.
fn environment(object: &DynamicObject) -> Option<String> {
    object.labels().get(labels::ENVIRONMENT).cloned()
}

/// An object as decisions see it. Of Pods only what is decided on; who changed what is of interest for routes, and for Deployments whose Pod
/// template somebody else set.
pub fn as_seen(kind: Kind, mut object: DynamicObject) -> Value {
    object.types = Some(kinds::types(kind));
    if kind != Kind::Deployment && !kinds::ROUTES.contains(&kind) {
        object.metadata.managed_fields = None;
    }
    if kind == Kind::Pod {
        let status = object.data.get_mut("status").map(Value::take);
        let fields: Map<String, Value> = status
            .map(|status| ("status".to_owned(), status))
            .into_iter()
            .collect();
        object.data = Value::Object(fields);
    }
    let mut object = serde_json::to_value(object).unwrap_or_default();
    if kind == Kind::Deployment
        && render::changed_by(&object).is_none()
        && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
    {
        metadata.remove("managedFields");
    }
    object
}

impl Objects {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A list begins.
    pub fn begin(&self, kind: Kind) -> Listing {
        let mut inner = self.lock();
        inner.clock += 1;
        Listing {
            kind,
            begun: inner.clock,
            names: BTreeSet::new(),
        }
    }

    /// Takes what a watch told. Returns the Environments that it concerns.
    pub fn take(&self, kind: Kind, object: DynamicObject, listing: Option<&mut Listing>) -> Vec<Place> {
        if let Some(listing) = listing {
            listing.names.insert(place(&object));
        }
        self.put(kind, object, false)
    }

    /// Takes what our own request returned.
    pub fn written(&self, kind: Kind, object: DynamicObject) {
        self.put(kind, object, true);
    }

    fn put(&self, kind: Kind, object: DynamicObject, ours: bool) -> Vec<Place> {
        let (namespace, name) = place(&object);
        let key = Key::new(kind, name);
        let new = version(&object);
        let mut inner = self.lock();
        inner.clock += 1;
        let written = ours.then_some(inner.clock);
        let places = inner.kept.entry(namespace.clone()).or_default();
        let before = places.get(&key).map(|kept| kept.environment.clone());
        if places.get(&key).is_some_and(|kept| kept.version > new) {
            return Vec::new();
        }
        let after = environment(&object);
        match &after {
            Some(environment) => {
                places.insert(
                    key,
                    Kept {
                        environment: environment.clone(),
                        uid: object.uid().unwrap_or_default(),
                        version: new,
                        written,
                        object: Arc::new(as_seen(kind, object)),
                    },
                );
            }
            None => {
                places.remove(&key);
            }
        }
        let concerned: BTreeSet<String> = before.into_iter().chain(after).collect();
        concerned
            .into_iter()
            .map(|environment| (namespace.clone(), environment))
            .collect()
    }

    /// Takes a deletion. Returns the Environment that it concerns.
    pub fn gone(&self, kind: Kind, object: &DynamicObject) -> Option<Place> {
        let (namespace, name) = place(object);
        let key = Key::new(kind, name);
        let mut inner = self.lock();
        let places = inner.kept.get_mut(&namespace)?;
        let kept = places.get(&key)?;
        // another one of that name, which we wrote since, stays
        if kept.version > version(object) && Some(kept.uid.as_str()) != object.uid().as_deref() {
            return None;
        }
        let environment = places.remove(&key)?.environment;
        if places.is_empty() {
            inner.kept.remove(&namespace);
        }
        Some((namespace, environment))
    }

    /// A list has come in: what it does not have is gone, unless we wrote it since it began. Returns the Environments that it concerns.
    pub fn listed(&self, listing: Listing) -> BTreeSet<Place> {
        let mut concerned = BTreeSet::new();
        self.lock().kept.retain(|namespace, places| {
            places.retain(|key, kept| {
                let there = key.kind != listing.kind
                    || listing.names.contains(&(namespace.clone(), key.name.clone()))
                    || kept.written.is_some_and(|at| at > listing.begun);
                if !there {
                    concerned.insert((namespace.clone(), kept.environment.clone()));
                }
                there
            });
            !places.is_empty()
        });
        concerned
    }

    /// Forgets one that turned out to be gone.
    pub fn forget(&self, namespace: &str, key: &Key) {
        if let Some(places) = self.lock().kept.get_mut(namespace) {
            places.remove(key);
        }
    }

    /// Objects and Pods with the label of an Environment.
    pub fn of(&self, namespace: &str, environment: &str) -> (BTreeMap<Key, Value>, BTreeMap<String, Value>) {
        let found: Vec<(Key, Arc<Value>)> = {
            let inner = self.lock();
            let places = inner.kept.get(namespace).into_iter().flatten();
            places
                .filter(|(_, kept)| kept.environment == environment)
                .map(|(key, kept)| (key.clone(), kept.object.clone()))
                .collect()
        };
        let (mut objects, mut pods) = (BTreeMap::new(), BTreeMap::new());
        for (key, object) in found {
            if key.kind == Kind::Pod {
                pods.insert(key.name, (*object).clone());
            } else {
                objects.insert(key, (*object).clone());
            }
        }
        (objects, pods)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn service(name: &str, environment: Option<&str>, uid: &str, version: u64) -> DynamicObject {
        let labels = environment.map_or_else(|| json!({}), |name| json!({labels::ENVIRONMENT: name}));
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "team", "uid": uid, "resourceVersion": version.to_string(), "labels": labels},
            "spec": {"selector": {"version": version.to_string()}},
        }))
        .unwrap()
    }

    fn versions(objects: &Objects, environment: &str) -> Vec<String> {
        let (objects, _) = objects.of("team", environment);
        objects
            .values()
            .map(|object| object["metadata"]["resourceVersion"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn our_own_write_counts_until_the_watch_has_caught_up_and_an_older_version_changes_nothing() {
        let objects = Objects::default();
        objects.take(Kind::Service, service("a", Some("prod"), "1", 5), None);
        objects.written(Kind::Service, service("a", Some("prod"), "1", 9));
        assert_eq!(versions(&objects, "prod"), ["9"]);
        let late = objects.take(Kind::Service, service("a", Some("prod"), "1", 7), None);
        assert!(late.is_empty(), "{late:?}");
        assert_eq!(versions(&objects, "prod"), ["9"]);
        let told = objects.take(Kind::Service, service("a", Some("prod"), "1", 10), None);
        assert_eq!(told, [("team".to_owned(), "prod".to_owned())]);
        assert_eq!(versions(&objects, "prod"), ["10"]);
    }

    #[test]
    fn a_list_takes_away_what_it_does_not_have_but_not_what_was_written_since() {
        let objects = Objects::default();
        objects.take(Kind::Service, service("gone", Some("prod"), "1", 5), None);
        objects.written(Kind::Service, service("old", Some("prod"), "2", 6));
        let mut listing = objects.begin(Kind::Service);
        objects.take(
            Kind::Service,
            service("there", Some("prod"), "3", 7),
            Some(&mut listing),
        );
        objects.written(Kind::Service, service("new", Some("prod"), "4", 8));
        objects.take(Kind::ConfigMap, service("other", Some("prod"), "5", 2), None);
        let concerned = objects.listed(listing);
        assert_eq!(
            concerned.into_iter().collect::<Vec<_>>(),
            [("team".to_owned(), "prod".to_owned())]
        );
        let (left, _) = objects.of("team", "prod");
        let names: Vec<&str> = left.keys().map(|key| key.name.as_str()).collect();
        assert_eq!(names, ["new", "there", "other"]);
    }

    #[test]
    fn an_object_that_changes_its_environment_concerns_both_and_one_without_the_label_none() {
        let objects = Objects::default();
        objects.take(Kind::Service, service("a", Some("prod"), "1", 5), None);
        let both = objects.take(Kind::Service, service("a", Some("test"), "1", 6), None);
        assert_eq!(both.len(), 2);
        assert!(versions(&objects, "prod").is_empty());
        assert_eq!(versions(&objects, "test"), ["6"]);
        objects.take(Kind::Service, service("a", None, "1", 7), None);
        assert!(versions(&objects, "test").is_empty());
    }

    #[test]
    fn a_late_deletion_does_not_take_away_the_one_that_was_created_since() {
        let objects = Objects::default();
        objects.written(Kind::Service, service("a", Some("prod"), "2", 9));
        assert_eq!(
            objects.gone(Kind::Service, &service("a", Some("prod"), "1", 8)),
            None
        );
        assert_eq!(versions(&objects, "prod"), ["9"]);
        assert!(
            objects
                .gone(Kind::Service, &service("a", Some("prod"), "2", 12))
                .is_some()
        );
        assert!(versions(&objects, "prod").is_empty());
    }

    #[test]
    fn of_pods_only_metadata_and_status_are_kept_and_fields_of_managers_only_of_routes() {
        let object = || -> DynamicObject {
            serde_json::from_value(json!({
                "metadata": {"name": "p", "managedFields": [{"manager": "x"}]}, "spec": {"a": 1}, "status": {"phase": "Running"},
            }))
            .unwrap()
        };
        let pod = as_seen(Kind::Pod, object());
        assert_eq!(pod["kind"], "Pod");
        assert_eq!(pod["apiVersion"], "v1");
        assert_eq!(pod.get("spec"), None);
        assert_eq!(pod["status"]["phase"], "Running");
        assert_eq!(pod["metadata"].get("managedFields"), None);
        let route = as_seen(Kind::HttpRoute, object());
        assert_eq!(route["spec"]["a"], 1);
        assert_eq!(route["metadata"]["managedFields"][0]["manager"], "x");
    }
}

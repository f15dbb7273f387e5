//! Which objects of a cache belong together, so that one decision does not look through all of them.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use kube::{
    Resource, ResourceExt,
    runtime::reflector::{ObjectRef, Store},
};

/// A namespace and a name in it.
pub type Place = (String, String);

/// Where an object is.
pub fn place(object: &impl ResourceExt) -> Place {
    (object.namespace().unwrap_or_default(), object.name_any())
}

/// Objects by what they belong to. What is gone from the cache is forgotten when it is asked for.
#[derive(Debug, Default)]
pub struct Index(Mutex<HashMap<Place, BTreeSet<Place>>>);

impl Index {
    /// Notes an object that is in the cache, or was.
    pub fn add(&self, group: Place, object: &impl ResourceExt) {
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        groups.entry(group).or_default().insert(place(object));
    }

    /// The objects of a group that the cache has, and that still belong to it.
    pub fn of<K>(&self, group: &Place, store: &Store<K>, belongs: impl Fn(&K) -> bool) -> Vec<Arc<K>>
    where
        K: Resource + Clone + 'static,
        K::DynamicType: Default + Eq + Hash + Clone,
    {
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(places) = groups.get_mut(group) else {
            return Vec::new();
        };
        let mut found = Vec::with_capacity(places.len());
        places.retain(|(namespace, name)| {
            let mut reference = ObjectRef::<K>::new(name);
            reference.namespace = Some(namespace.clone()).filter(|namespace| !namespace.is_empty());
            let object = store.get(&reference).filter(|object| belongs(object));
            let there = object.is_some();
            found.extend(object);
            there
        });
        if places.is_empty() {
            groups.remove(group);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use dcanary_crds::Promotion;
    use kube::runtime::{reflector, watcher::Event};
    use serde_json::json;

    use super::*;

    fn promotion(name: &str, environment: &str) -> Promotion {
        serde_json::from_value(json!({
            "apiVersion": "dcanary.dev/v1alpha1", "kind": "Promotion",
            "metadata": {"name": name, "namespace": "team", "uid": name},
            "spec": {"environmentRef": {"name": environment}, "releaseRef": {"name": "r"}},
        }))
        .unwrap()
    }

    #[test]
    fn an_object_is_found_in_its_group_until_it_is_gone_or_belongs_elsewhere() {
        let (store, mut writer) = reflector::store();
        let index = Index::default();
        let group = || ("team".to_owned(), "prod".to_owned());
        for name in ["a", "b"] {
            let object = promotion(name, "prod");
            writer.apply_watcher_event(&Event::Apply(object.clone()));
            index.add(group(), &object);
        }
        let names = |belongs: fn(&Promotion) -> bool| -> Vec<String> {
            let found = index.of(&group(), &store, belongs);
            found.iter().map(|found| found.name_any()).collect()
        };
        assert_eq!(names(|_| true), ["a", "b"]);
        writer.apply_watcher_event(&Event::Delete(promotion("a", "prod")));
        assert_eq!(names(|_| true), ["b"]);
        assert!(names(|_| false).is_empty());
        assert!(
            names(|_| true).is_empty(),
            "what belongs elsewhere is noted there"
        );
    }
}

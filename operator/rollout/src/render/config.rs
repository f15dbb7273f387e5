//! Tracked configuration: digests, copies, and the names by which Pods find the copies.

use std::collections::BTreeMap;

use dcanary_crds::{Environment, labels};
use serde_json::{Map, Value, json};

use super::{
    Candidate, RenderError, claim::claimed, identity, in_place, metadata, names, object, record,
    uses_in_place,
};
use crate::{
    plan::{Actor, Write},
    seen::{Key, Kind, Seen},
};

/// What of a ConfigMap is copied.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Content {
    data: Map<String, Value>,
    binary: Map<String, Value>,
}

impl Content {
    pub(super) fn of(config_map: &Value) -> Self {
        let part = |name: &str| {
            config_map
                .get(name)
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default()
        };
        Self {
            data: part("data"),
            binary: part("binaryData"),
        }
    }

    /// Keys with their values; those of bytes too.
    pub(super) fn keys(&self) -> BTreeMap<&str, &Value> {
        self.binary
            .iter()
            .chain(&self.data)
            .map(|(name, value)| (name.as_str(), value))
            .collect()
    }

    fn digest(&self) -> String {
        identity::digest(&json!({"data": self.data, "binaryData": self.binary}))
    }
}

/// The tracked ConfigMaps by name.
///
/// # Errors
/// One that is missing or cannot be read: that is no change of it.
pub(super) fn tracked(env: &Environment, seen: &Seen) -> Result<BTreeMap<String, Content>, RenderError> {
    env.spec
        .workload
        .config_maps
        .iter()
        .map(|name| {
            let key = Key::new(Kind::ConfigMap, name);
            if let Some(answer) = seen.unreadable.get(&key) {
                return Err(RenderError::ConfigMapUnreadable {
                    name: name.clone(),
                    answer: answer.clone(),
                });
            }
            let config_map = seen
                .objects
                .get(&key)
                .filter(|config_map| !object::is_leaving(config_map))
                .ok_or_else(|| RenderError::ConfigMapMissing(name.clone()))?;
            Ok((name.clone(), Content::of(config_map)))
        })
        .collect()
}

/// Digests of ConfigMaps by name.
pub(super) fn digests(contents: &BTreeMap<String, Content>) -> BTreeMap<String, String> {
    contents
        .iter()
        .map(|(name, content)| (name.clone(), content.digest()))
        .collect()
}

/// Digests of the tracked Secrets by name.
///
/// # Errors
/// One that is missing: that is no change of it.
pub(super) fn secrets(env: &Environment, seen: &Seen) -> Result<BTreeMap<String, String>, RenderError> {
    env.spec
        .workload
        .secrets
        .iter()
        .map(|name| match seen.secrets.get(name) {
            Some(digest) => Ok((name.clone(), digest.clone())),
            None => Err(RenderError::SecretMissing(name.clone())),
        })
        .collect()
}

/// The copies of a release: new name → ConfigMap.
pub(super) fn copy(
    env: &Environment,
    contents: BTreeMap<String, Content>,
    workload: &str,
    identity: &str,
    renames: &BTreeMap<String, String>,
) -> BTreeMap<String, Value> {
    let ours = metadata::of_workload(env, workload);
    contents
        .into_iter()
        .map(|(name, content)| {
            let name = renames.get(&name).cloned().unwrap_or(name);
            let mut copy = json!({
                "apiVersion": Kind::ConfigMap.api_version(),
                "kind": Kind::ConfigMap.name(),
                "metadata": metadata::new(env, &name, &BTreeMap::new(), &ours, Some(identity)),
                "immutable": true,
            });
            for (part, content) in [("data", content.data), ("binaryData", content.binary)] {
                if !content.is_empty() {
                    copy[part] = content.into();
                }
            }
            (name, copy)
        })
        .collect()
}

/// Names of the tracked ConfigMaps and of the copies that a release has of them. One whose Pods know its copies by their old names keeps these
/// until it goes: other names would be another Pod template, and replace Pods of a release that has not changed.
pub(super) fn renames(env: &Environment, identity: &str, seen: &Seen) -> BTreeMap<String, String> {
    let tracked = || env.spec.workload.config_maps.iter();
    let old: BTreeMap<String, String> = tracked()
        .map(|name| (name.clone(), names::old_copy_name(name, identity)))
        .collect();
    if templates(env, identity, seen).any(|template| refers_to(template, &old)) {
        return old;
    }
    tracked()
        .map(|name| (name.clone(), names::copy_name(env, name, identity)))
        .collect()
}

/// The Pod templates that a release has: in its workload, and in place in its record.
fn templates<'a>(env: &Environment, identity: &'a str, seen: &'a Seen) -> impl Iterator<Item = Value> + 'a {
    let (own, in_place) = (names::release_name(env, identity), metadata::name(env).to_owned());
    let record = (!env.spec.workload.config_maps.is_empty())
        .then(|| record::read(env, identity, seen).ok())
        .flatten();
    [own, in_place]
        .into_iter()
        .filter_map(|name| in_place::find(&name, seen)?.1.pointer("/spec/template"))
        .filter(move |template| object::annotation(template, labels::IDENTITY) == Some(identity))
        .cloned()
        .chain(record.map(|record| record.template))
}

/// Whether a Pod template refers to one of the copies.
fn refers_to(template: Value, copies: &BTreeMap<String, String>) -> bool {
    let names = copies.iter().map(|(name, copy)| (copy.clone(), name.clone()));
    let mut renamed = template.clone();
    rename(&mut renamed, &names.collect());
    renamed != template
}

/// What each copy is of that a release has or had before.
pub(super) fn original_names(env: &Environment, identity: &str) -> BTreeMap<String, String> {
    let tracked = env.spec.workload.config_maps.iter();
    tracked
        .flat_map(|name| {
            let copies = [
                names::copy_name(env, name, identity),
                names::old_copy_name(name, identity),
            ];
            copies.map(|copy| (copy, name.clone()))
        })
        .collect()
}

/// Replaces names in every reference to a ConfigMap that a Pod template can have.
pub(super) fn rename(template: &mut Value, names: &BTreeMap<String, String>) {
    let replace = |parent: &mut Value, pointer: &str| {
        if let Some(Value::String(name)) = parent.pointer_mut(pointer)
            && let Some(new) = names.get(name)
        {
            new.clone_into(name);
        }
    };
    for volume in each(template, "/spec/volumes") {
        replace(volume, "/configMap/name");
        for source in each(volume, "/projected/sources") {
            replace(source, "/configMap/name");
        }
    }
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for container in each(template, &format!("/spec/{list}")) {
            for variable in each(container, "/env") {
                replace(variable, "/valueFrom/configMapKeyRef/name");
            }
            for variables in each(container, "/envFrom") {
                replace(variables, "/configMapRef/name");
            }
        }
    }
}

fn each<'a>(value: &'a mut Value, pointer: &str) -> std::slice::IterMut<'a, Value> {
    value
        .pointer_mut(pointer)
        .and_then(Value::as_array_mut)
        .map(Vec::as_mut_slice)
        .unwrap_or_default()
        .iter_mut()
}

/// Copies of ConfigMaps, and in place the recorded template, that are not there yet.
pub fn config_maps(candidate: &Candidate, env: &Environment, seen: &Seen) -> Vec<Write> {
    let mut wanted: Vec<Value> = candidate.config.values().cloned().collect();
    if uses_in_place(env) {
        wanted.extend(record::of_adopted(env, seen));
        wanted.push(record::of_candidate(env, candidate));
    }
    wanted
        .into_iter()
        .filter_map(|object| {
            let key = Key::new(Kind::ConfigMap, object::text(&object, "/metadata/name")?);
            // one that is not ours is written too: the refusal says whose it is
            let is_there = seen
                .objects
                .get(&key)
                .is_some_and(|there| claimed(env, there).is_ok() && !object::is_leaving(there));
            (!is_there).then_some(Write {
                key,
                object,
                actor: Actor::Environment,
            })
        })
        .collect()
}

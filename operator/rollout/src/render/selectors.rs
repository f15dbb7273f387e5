//! Pods of releases that were made from an adopted Deployment must not be taken for its own: the Services of the stable release select by
//! its labels until it has been replaced.

use std::collections::BTreeMap;

use dcanary_crds::{Environment, labels};
use serde_json::{Map, Value, json};

use super::{metadata, object};

/// Fields of a Pod's spec with selectors of other Pods, which often mean the Pod's own kin.
const WITH_SELECTORS: [&str; 2] = ["affinity", "topologySpreadConstraints"];

/// Takes the labels of the adopted Deployment's selector off, and lets the template's own selectors follow.
pub(super) fn part(template: &mut Value, selector: &BTreeMap<String, String>, env: &Environment) {
    object::at(template, "metadata", |metadata| {
        object::within(metadata, "labels", |there| {
            there.retain(|name, value| {
                metadata::is_ours(name) || selector.get(name).is_none_or(|own| *value != **own)
            });
        });
    });
    let kin = json!(metadata::uid(env));
    each(template, &|found| {
        let before = found.len();
        object::within(found, "matchLabels", |labels| {
            let own = labels.len();
            labels.retain(|name, value| selector.get(name).is_none_or(|own| *value != **own));
            if labels.len() < own {
                labels.insert(labels::ENVIRONMENT_UID.to_owned(), kin.clone());
            }
        });
        tidy(found, before);
        if let Some(Value::Array(list)) = found.get_mut("matchExpressions") {
            for expression in list {
                let is_own = object::text(expression, "/operator") == Some("In")
                    && object::text(expression, "/key")
                        .and_then(|key| selector.get(key))
                        .is_some_and(|own| {
                            object::list(expression, "/values")
                                .iter()
                                .any(|value| *value == **own)
                        });
                if is_own {
                    *expression =
                        json!({"key": labels::ENVIRONMENT_UID, "operator": "In", "values": [kin.clone()]});
                }
            }
        }
    });
}

/// The other way round: the adopted Deployment's Pods have its labels again.
pub(super) fn join(template: &mut Value, selector: &BTreeMap<String, String>) {
    let put = |labels: &mut Map<String, Value>| {
        labels.extend(
            selector
                .iter()
                .map(|(name, value)| (name.clone(), value.clone().into())),
        );
    };
    object::at(template, "metadata", |metadata| {
        object::within(metadata, "labels", put);
    });
    each(template, &|found| {
        let mut kin = false;
        if let Some(Value::Array(list)) = found.get_mut("matchExpressions") {
            list.retain(|expression| {
                object::text(expression, "/key") != Some(labels::ENVIRONMENT_UID) || {
                    kin = true;
                    false
                }
            });
            if list.is_empty() {
                found.remove("matchExpressions");
            }
        }
        let before = found.len();
        object::within(found, "matchLabels", |labels| {
            if labels.remove(labels::ENVIRONMENT_UID).is_some() || kin {
                put(labels);
            }
        });
        tidy(found, before);
    });
}

/// Takes out an empty `matchLabels` that was only made to look into it.
fn tidy(found: &mut Map<String, Value>, before: usize) {
    if found.len() > before
        && found
            .get("matchLabels")
            .and_then(Value::as_object)
            .is_some_and(Map::is_empty)
    {
        found.remove("matchLabels");
    }
}

/// Every `labelSelector` of the template.
fn each(template: &mut Value, change: &dyn Fn(&mut Map<String, Value>)) {
    for field in WITH_SELECTORS {
        if let Some(value) = template.pointer_mut(&format!("/spec/{field}")) {
            walk(value, change);
        }
    }
}

fn walk(value: &mut Value, change: &dyn Fn(&mut Map<String, Value>)) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                match value {
                    Value::Object(found) if name == "labelSelector" => change(found),
                    other => walk(other, change),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| walk(value, change)),
        _ => {}
    }
}

//! Workloads of releases whose Pod template somebody else set.
//!
//! Who did it stands in the field managers: what the API server fills in, and what admission changes when we write, is ours there.

use serde_json::Value;

use super::{Candidate, object};
use crate::{
    plan::{Actor, FIELD_MANAGER, Write},
    seen::Key,
};

/// What `kubectl rollout restart` sets: the same Pods, made anew.
const RESTARTED: &str = "f:kubectl.kubernetes.io/restartedAt";
/// Annotation: how many Pod templates a Deployment has had.
const REVISION: &str = "deployment.kubernetes.io/revision";

/// Field manager that set something of the Pod template, the latest where there are more, unless that was us.
pub fn changed_by(workload: &Value) -> Option<&str> {
    let theirs = object::list(workload, "/metadata/managedFields")
        .iter()
        .filter(|entry| {
            object::text(entry, "/manager").is_some_and(|manager| manager != FIELD_MANAGER)
                && object::text(entry, "/subresource").unwrap_or_default().is_empty()
                && entry.pointer("/fieldsV1/f:spec/f:template").is_some_and(has_set)
        });
    let latest = theirs.max_by_key(|entry| object::text(entry, "/time"))?;
    object::text(latest, "/manager")
}

fn has_set(fields: &Value) -> bool {
    let mut fields = fields.as_object().into_iter().flatten();
    fields.any(|(name, inner)| {
        let is_leaf = inner.as_object().is_none_or(serde_json::Map::is_empty);
        name != "." && name != RESTARTED && (is_leaf || has_set(inner))
    })
}

/// The workload with the Pod template of its release; `None` when all of that is there.
pub fn put_back(key: &Key, workload: &Value, candidate: &Candidate) -> Option<Write> {
    let mut template = candidate.template.clone();
    object::without_nulls(&mut template);
    let live = workload.pointer("/spec/template").unwrap_or(&Value::Null);
    if object::covers(live, &template) {
        return None;
    }
    let mut workload = workload.clone();
    object::at(&mut workload, "spec", |spec| {
        spec.insert("template".to_owned(), template);
    });
    Some(Write {
        key: key.clone(),
        object: object::with_kind(workload, key.kind),
        actor: Actor::Environment,
    })
}

/// Whether a Deployment has had more than one Pod template.
pub fn was_changed(workload: &Value) -> bool {
    let revision = object::annotation(workload, REVISION).and_then(|text| text.parse::<u64>().ok());
    revision.is_some_and(|revision| revision > 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn by(manager: &str, subresource: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": "Update", "time": "2026-03-01T10:00:00Z", "subresource": subresource,
            "fieldsV1": {"f:spec": fields}})
    }

    #[test]
    fn whoever_set_something_of_the_template_is_named_but_not_who_scaled_or_restarted_it() {
        let named = |entries: Value| {
            let workload = json!({"metadata": {"managedFields": entries}});
            changed_by(&workload).map(str::to_owned)
        };
        let ours = by(
            "dcanary",
            "",
            json!({"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {}}}}),
        );
        let image =
            json!({"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"app\"}": {"f:image": {}}}}}});
        let restarted = json!({"f:template": {"f:metadata": {"f:annotations": {".": {}, RESTARTED: {}}}}});
        assert_eq!(named(json!([ours])), None);
        assert_eq!(
            named(json!([ours, by("kubectl-set", "", image)])).as_deref(),
            Some("kubectl-set")
        );
        assert_eq!(named(json!([ours, by("kubectl-rollout", "", restarted)])), None);
        let scaled = by("kube-controller-manager", "scale", json!({"f:replicas": {}}));
        assert_eq!(named(json!([ours, scaled])), None);
        assert_eq!(named(json!([])), None);
    }
}

//! Who wrote the rules of a route last.

use jiff::Timestamp;
use serde_json::Value;

use super::path::{at, list, text};
use crate::plan::FIELD_MANAGER;

/// Field manager that changed the spec last, unless that was us. Its name is what `managedFieldsManagers` of Argo CD wants.
pub(super) fn manager(object: &Value) -> Option<String> {
    let entries = list(object, &["metadata", "managedFields"]);
    if entries.is_empty() {
        return Some("unknown".to_owned());
    }
    let spec = entries.iter().filter(|entry| {
        matches!(text(entry, &["operation"]), Some("Update" | "Apply"))
            && text(entry, &["subresource"]).unwrap_or_default().is_empty()
            && at(entry, &["fieldsV1", "f:spec"]).is_some()
    });
    let mut ours = None;
    let mut theirs = None;
    for entry in spec {
        let time = text(entry, &["time"]).and_then(|time| time.parse::<Timestamp>().ok());
        match text(entry, &["manager"]).unwrap_or_default() {
            FIELD_MANAGER => ours = ours.max(Some(time)),
            name => theirs = theirs.max(Some((time, name))),
        }
    }
    let (time, name) = theirs?;
    // Times are whole seconds: in the same second it was them, because these are not our weights.
    (ours.is_none_or(|ours| time >= ours)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(manager: &str, time: &str, field: &str, subresource: &str) -> Value {
        json!({"manager": manager, "operation": "Update", "time": time, "fieldsV1": {field: {}}, "subresource": subresource})
    }

    #[test]
    fn the_manager_that_changed_the_spec_last_is_named() {
        let named = |entries: &[Value]| manager(&json!({"metadata": {"managedFields": entries}}));
        let early = "2026-03-01T10:00:00Z";
        let late = "2026-03-01T10:00:07Z";
        let ours = entry("dcanary", early, "f:spec", "");
        assert_eq!(
            named(&[ours.clone(), entry("flux", late, "f:spec", "")]).as_deref(),
            Some("flux")
        );
        assert_eq!(
            named(&[ours.clone(), entry("flux", early, "f:spec", "")]).as_deref(),
            Some("flux")
        );
        assert_eq!(
            named(&[
                entry("dcanary", late, "f:spec", ""),
                entry("flux", early, "f:spec", "")
            ]),
            None
        );
        assert_eq!(
            named(&[ours.clone(), entry("traefik", late, "f:status", "status")]),
            None
        );
        assert_eq!(
            named(&[ours, entry("kubectl-label", late, "f:metadata", "")]),
            None
        );
        assert_eq!(named(&[]).as_deref(), Some("unknown"));
    }
}

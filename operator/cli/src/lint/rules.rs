//! Rules of a schema (`x-kubernetes-validations`), evaluated as the API server does.

use kube_cel::{ErrorKind, Validator};
use serde_json::Value;

/// Paths and sentences of the rules that an object breaks. A rule that cannot be evaluated here is left to the API server.
///
/// Rules about a change, which name `oldSelf`, hold of every new object.
pub fn check(object: &Value, schema: &Value) -> Vec<(String, String)> {
    let broken = Validator::new().validate(schema, &given(object), None);
    let broken = broken
        .err()
        .map(kube_cel::ValidationErrors::into_vec)
        .unwrap_or_default();
    broken
        .into_iter()
        .filter(|one| one.kind == ErrorKind::ValidationFailure)
        .map(|one| {
            (
                one.field_path.clone(),
                format!("{}: {}", one.field_path, one.message),
            )
        })
        .collect()
}

/// The object without fields that are nothing: a rule's `has` says of them that they are not there, whether they may be nothing or not.
fn given(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), given(value)))
            .collect(),
        Value::Array(items) => items.iter().map(given).collect(),
        other => other.clone(),
    }
}

//! Whose an object is.

use dcanary_crds::{Environment, labels};
use serde_json::Value;

use super::{left, metadata, object};

/// Whether an object is the Environment's: it has its UID as label, or that of an Environment of its name, which is gone; or it is the
/// Deployment that `workload.ref` names and no other Environment has it.
///
/// # Errors
/// Whose it is, and what to do.
pub fn claimed(env: &Environment, object: &Value) -> Result<(), String> {
    let kind = object::text(object, "/kind").unwrap_or("object");
    let name = object::text(object, "/metadata/name").unwrap_or_default();
    match object::label(object, labels::ENVIRONMENT_UID) {
        Some(uid) if !uid.is_empty() && uid == metadata::uid(env) => Ok(()),
        Some(_) if left::is_left(env, object) => Ok(()),
        Some(_) => {
            let other = object::label(object, labels::ENVIRONMENT).unwrap_or("another one");
            Err(format!(
                "{kind} `{name}` belongs to Environment `{other}`: one of the two Environments has to let go of it"
            ))
        }
        None if is_reference(env, object) => Ok(()),
        None => Err(format!(
            "{kind} `{name}` is there and was not made by this Environment: delete or rename it, or rename the Environment"
        )),
    }
}

/// It is the Deployment that `workload.ref` names, and not a Service of that name: an object of a list has no kind, but only workloads
/// have a Pod template.
fn is_reference(env: &Environment, object: &Value) -> bool {
    let reference = env.spec.workload.reference.as_ref();
    let named = reference.is_some_and(|reference| {
        object::text(object, "/metadata/name").is_some_and(|name| name == reference.name)
    });
    let is_deployment = match object::text(object, "/kind") {
        Some(kind) => kind == "Deployment",
        None => object.pointer("/spec/template/spec").is_some(),
    };
    named && is_deployment
}

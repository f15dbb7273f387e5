//! Whose an object is.

use dcanary_crds::labels;
use serde_json::Value;

use super::{obstacle::Obstacle, path::text, place::Place};
use crate::seen::Key;

/// Annotation that lets an Environment take over an object that exists: `"true"`.
pub const ADOPT: &str = "dcanary.dev/adopt";

/// How an object is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ours {
    /// It was created for the Environment.
    Created,
    /// It was there before, and was given to us.
    TakenOver,
}

/// How an object is ours.
pub(super) fn owner(place: &Place<'_>, key: &Key, object: &Value) -> Result<Ours, Obstacle> {
    let label = |name| text(object, &["metadata", "labels", name]);
    let given = text(object, &["metadata", "annotations", ADOPT]) == Some("true");
    let uid = label(labels::ENVIRONMENT_UID);
    // An Environment of our name in our namespace that is not this one is gone: there is only one of a name.
    let former = label(labels::ENVIRONMENT) == Some(place.stable);
    match uid {
        Some(uid) if uid == place.uid => Ok(if given { Ours::TakenOver } else { Ours::Created }),
        Some(_) if !former => Err(Obstacle::Foreign(format!(
            "{} {} belongs to Environment {}: give one of the two Environments another name",
            key.kind.name(),
            key.name,
            label(labels::ENVIRONMENT).unwrap_or("of another name"),
        ))),
        _ if given => Ok(Ours::TakenOver),
        // that one left it behind
        Some(_) => Ok(Ours::Created),
        _ => Err(Obstacle::Foreign(format!(
            "{kind} {name} exists and does not belong to this Environment: delete it, or let it be taken over with the annotation {ADOPT}: \"true\" on it",
            kind = key.kind.name(),
            name = key.name,
        ))),
    }
}

//! A workload that is updated in place, stopped in the middle: Pods that were replaced stay so, and no further ones are.

use dcanary_crds::Environment;
use serde_json::{Value, json};

use super::{claim::claimed, in_place, metadata, object};
use crate::{
    plan::{Actor, Write},
    seen::{Kind, Seen},
};

/// The workload stopped where it is; `None` when it is so already, or not there. What goes on in it later is what goes on in any other that is
/// not as it should be: the whole spec is written again.
pub fn halted(env: &Environment, seen: &Seen) -> Option<Write> {
    let (key, live) = in_place::find(metadata::name(env), seen)?;
    claimed(env, live).ok()?;
    let mut object = live.clone();
    object::at(&mut object, "spec", |spec| match key.kind {
        Kind::Deployment => {
            spec.insert("paused".to_owned(), true.into());
        }
        // one of `OnDelete` has its Pods deleted by us alone
        Kind::StatefulSet if type_of(live) != Some("OnDelete") => {
            let all = object::number(live, "/spec/replicas").unwrap_or(1);
            let partition = in_place::stops_at(live).max(all);
            spec.insert(
                "updateStrategy".to_owned(),
                json!({"type": "RollingUpdate", "rollingUpdate": {"partition": partition}}),
            );
        }
        Kind::DaemonSet => {
            spec.insert("updateStrategy".to_owned(), json!({"type": "OnDelete"}));
        }
        _ => {}
    });
    (object != *live).then(|| Write {
        object: object::with_kind(object, key.kind),
        key: key.clone(),
        actor: Actor::Environment,
    })
}

/// Whether a Deployment is stopped that should not be.
pub(super) fn is_stopped(live: &Value, wanted: &Value) -> bool {
    let paused = |object: &Value| object.pointer("/spec/paused").and_then(Value::as_bool) == Some(true);
    paused(live) && !paused(wanted)
}

fn type_of(live: &Value) -> Option<&str> {
    object::text(live, "/spec/updateStrategy/type")
}

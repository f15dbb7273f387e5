//! Objects that cannot be parsed: `Stalled` with the parse error where the kind has a status, and an Event.
//!
//! The API server lets through what its schema allows; a newer version of the CRDs, or a status that somebody wrote by hand, may hold
//! what this program cannot parse. Only conditions are changed in it, everything else stays byte for byte.

mod told;

use std::{collections::HashMap, sync::Arc, time::Duration};

use dcanary_crds::{ConditionType, DeletionPolicy, labels};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Api,
    api::{DynamicObject, ListParams},
    runtime::events::{Event, EventType},
};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tracing::warn;

use crate::{
    backoff,
    cache::{Found, named},
    context::Context,
    metrics::Reason,
    swap::{self, Swapped},
};
use told::Told;

/// Kinds with a status.
const WITH_STATUS: [&str; 4] = ["Pipeline", "PipelineRun", "Environment", "Promotion"];
/// Kinds with the condition `Ready`.
const WITH_READY: [&str; 2] = ["Pipeline", "Environment"];
const REASON: &str = "Unreadable";

/// Follows what the caches tell, until they are gone.
pub async fn follow(ctx: Arc<Context>, again: UnboundedSender<Found>, mut found: UnboundedReceiver<Found>) {
    let mut failures: HashMap<String, u32> = HashMap::new();
    let mut told = Told::default();
    while let Some(found) = found.recv().await {
        let uid = found.metadata.uid.clone().unwrap_or_default();
        match mark(&ctx, &found).await {
            Ok(marked) => {
                failures.remove(&uid);
                if marked || (!has_status(&found) && told.is_news(&uid, &found.error)) {
                    tell(&ctx, &found).await;
                }
            }
            Err(error) => {
                let count = failures.entry(uid).or_default();
                let pause = backoff::pause(*count);
                *count = count.saturating_add(1);
                complain(&ctx, &found, &error, pause);
                let again = again.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(pause).await;
                    // nobody listens only when the program ends
                    let _ = again.send(found);
                });
            }
        }
    }
}

fn has_status(found: &Found) -> bool {
    WITH_STATUS.contains(&found.resource.kind.as_str())
}

fn complain(ctx: &Context, found: &Found, error: &kube::Error, pause: Duration) {
    ctx.metrics
        .errors
        .get_or_create(&Reason {
            kind: "Unreadable",
            reason: "persist",
        })
        .inc();
    warn!(
        kind = found.resource.kind,
        object = named(&found.metadata),
        error = error as &dyn std::error::Error,
        ?pause,
        "its conditions could not be written; will try again"
    );
}

/// Writes the conditions, unless they are there already. Whether something was written.
async fn mark(ctx: &Context, found: &Found) -> Result<bool, kube::Error> {
    if !has_status(found) {
        return Ok(false);
    }
    let (namespace, name) = (
        found.metadata.namespace.as_deref().unwrap_or_default(),
        found.metadata.name.as_deref().unwrap_or_default(),
    );
    let api: Api<DynamicObject> = Api::namespaced_with(ctx.client.clone(), namespace, &found.resource);
    // a list, which the operator may do anyway
    let named = ListParams::default().fields(&format!("metadata.name={name}"));
    let Some(mut object) = api.list(&named).await?.items.into_iter().next() else {
        return Ok(false);
    };
    // it was changed since: the watch tells what it is now
    if object.metadata.resource_version != found.metadata.resource_version {
        return Ok(false);
    }
    if let Some(finalizers) = released(&object) {
        // a newer version is on its way through the watch
        swap::finalizers(&api, &object, &finalizers)
            .await
            .map_err(|error| *error)?;
        return Ok(false);
    }
    // the items of a list do not say what they are
    object.types = Some(kube::api::TypeMeta {
        api_version: found.resource.api_version.clone(),
        kind: found.resource.kind.clone(),
    });
    let generation = object.metadata.generation.unwrap_or_default();
    let ready = WITH_READY.contains(&found.resource.kind.as_str());
    let status = object.data.get("status").cloned().unwrap_or(Value::Null);
    let Some(status) = stalled(&status, &found.error, ready, generation, Timestamp::now()) else {
        return Ok(false);
    };
    object.data["status"] = status;
    // a newer version is on its way through the watch
    let answer = swap::status(&api, object).await.map_err(|error| *error)?;
    Ok(matches!(answer, Swapped::Written(_)))
}

/// The finalizers without ours, when the object is being deleted and none of its records would be lost: they are sealed or recorded. What is
/// sealed is recorded later, and what is left of its Pods is taken away when it is gone. An Environment whose workload is to be deleted or given
/// back stays until it can be read.
fn released(object: &DynamicObject) -> Option<Vec<String>> {
    object.metadata.deletion_timestamp.as_ref()?;
    let all = object.metadata.finalizers.as_ref()?;
    let others: Vec<String> = all
        .iter()
        .filter(|name| *name != labels::RECORDED && *name != labels::ENVIRONMENT_FINALIZER)
        .cloned()
        .collect();
    let policy = object
        .data
        .pointer("/spec/deletionPolicy")
        .unwrap_or(&Value::Null);
    if all.iter().any(|name| name == labels::ENVIRONMENT_FINALIZER)
        && !policy.is_null()
        && *policy != json!(DeletionPolicy::Orphan)
    {
        return None;
    }
    let journal = object.data.pointer("/status/journal");
    let kept = match journal {
        None | Some(Value::Null) => true,
        Some(Value::Object(journal)) => match journal.get("pending") {
            None => true,
            Some(Value::Array(pending)) => pending.is_empty(),
            Some(_) => false,
        },
        Some(_) => false,
    };
    (kept && others.len() < all.len()).then_some(others)
}

/// The status with the conditions; `None` when it has them.
fn stalled(status: &Value, error: &str, ready: bool, generation: i64, now: Timestamp) -> Option<Value> {
    let error: String = error.chars().take(1000).collect();
    let message = format!("the object cannot be read by this version of the operator: {error}");
    let mut status = match status {
        Value::Object(fields) => fields.clone(),
        _ => serde_json::Map::new(),
    };
    let old: Vec<Value> = match status.get("conditions") {
        Some(Value::Array(conditions)) => conditions.clone(),
        _ => Vec::new(),
    };
    let there = old.iter().any(|condition| {
        condition["type"] == json!(ConditionType::Stalled)
            && condition["status"] == "True"
            && condition["reason"] == REASON
            && condition["message"] == message.as_str()
    });
    if there {
        return None;
    }
    let ours = [
        ConditionType::Stalled,
        ConditionType::Reconciling,
        ConditionType::Ready,
    ];
    let mut conditions: Vec<Value> = old
        .into_iter()
        .filter(|condition| ours.iter().all(|kind| condition["type"] != json!(kind)))
        .collect();
    let condition = |kind: ConditionType, holds: &str| {
        json!({
            "type": kind, "status": holds, "reason": REASON, "message": message,
            "lastTransitionTime": now, "observedGeneration": generation,
        })
    };
    if ready {
        conditions.push(condition(ConditionType::Ready, "False"));
    }
    conditions.push(condition(ConditionType::Stalled, "True"));
    status.insert("conditions".into(), Value::Array(conditions));
    Some(Value::Object(status))
}

async fn tell(ctx: &Context, found: &Found) {
    warn!(
        kind = found.resource.kind,
        object = named(&found.metadata),
        error = found.error,
        "it cannot be read"
    );
    let event = Event {
        type_: EventType::Warning,
        reason: REASON.into(),
        note: Some(found.error.chars().take(1000).collect()),
        action: "Parse".into(),
        secondary: None,
    };
    let reference = ObjectReference {
        api_version: Some(found.resource.api_version.clone()),
        kind: Some(found.resource.kind.clone()),
        name: found.metadata.name.clone(),
        namespace: found.metadata.namespace.clone(),
        uid: found.metadata.uid.clone(),
        ..ObjectReference::default()
    };
    if let Err(error) = ctx.events.publish(&event, &reference).await {
        warn!(
            error = &error as &dyn std::error::Error,
            "the Event could not be published"
        );
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::sync::mpsc;

    use super::*;
    use crate::testing::{Answer, ApiServer, context};

    fn found<K: kube::Resource<DynamicType = ()>>() -> Found {
        Found {
            resource: kube::core::ApiResource::erase::<K>(&()),
            metadata: serde_json::from_value(
                json!({"name": "x", "namespace": "team", "uid": "u", "resourceVersion": "7", "generation": 3}),
            )
            .unwrap(),
            error: "invalid type: string \"x\", expected i32".into(),
        }
    }

    #[test]
    fn conditions_are_added_to_a_status_and_nothing_else_of_it_changes() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let before = json!({
            "stages": [{"odd": true}], "startedAt": "not a time",
            "conditions": [{"type": "Reconciling", "status": "True"}, {"type": "Recorded", "status": "True"}],
        });
        let after = stalled(&before, "wrong", false, 3, now).unwrap();
        assert_eq!(after["stages"], before["stages"]);
        assert_eq!(after["startedAt"], before["startedAt"]);
        let kinds: Vec<_> = after["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["type"].clone())
            .collect();
        assert_eq!(
            kinds,
            [json!("Recorded"), json!("Stalled")],
            "Reconciling and Stalled are never both True"
        );
        assert!(
            after["conditions"][1]["message"]
                .as_str()
                .unwrap()
                .contains("wrong")
        );
        assert_eq!(
            stalled(&after, "wrong", false, 3, now),
            None,
            "an equal status is not written"
        );
        assert!(stalled(&Value::Null, "wrong", true, 3, now).is_some());
    }

    #[test]
    fn an_unreadable_run_that_is_being_deleted_goes_only_when_no_record_of_it_would_be_lost() {
        let object = |deleted: bool, journal: Value| -> DynamicObject {
            let mut object = json!({
                "metadata": {"name": "x", "finalizers": ["somebody/else", labels::RECORDED]}, "status": {"journal": journal},
            });
            if deleted {
                object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            }
            serde_json::from_value(object).unwrap()
        };
        let others = Some(vec!["somebody/else".to_owned()]);
        assert_eq!(released(&object(false, json!({"pending": []}))), None);
        assert_eq!(released(&object(true, json!({"pending": []}))), others);
        assert_eq!(released(&object(true, Value::Null)), others);
        assert_eq!(released(&object(true, json!({"sealed": [{}]}))), others);
        assert_eq!(released(&object(true, json!({"pending": [{"n": 3}]}))), None);
        assert_eq!(released(&object(true, json!({"pending": "odd"}))), None);
        assert_eq!(released(&object(true, json!("odd"))), None);
        let mut free = object(true, json!({"pending": []}));
        free.metadata.finalizers = Some(vec!["somebody/else".to_owned()]);
        assert_eq!(released(&free), None, "it is released already");
    }

    #[test]
    fn an_unreadable_environment_goes_only_when_its_workload_is_to_be_left_as_it_is() {
        let object = |policy: Value| -> DynamicObject {
            serde_json::from_value(json!({
                "metadata": {
                    "name": "x", "finalizers": [labels::ENVIRONMENT_FINALIZER], "deletionTimestamp": "2026-01-01T00:00:00Z",
                },
                "spec": {"deletionPolicy": policy},
            }))
            .unwrap()
        };
        assert_eq!(released(&object(json!("Orphan"))), Some(Vec::new()));
        assert_eq!(released(&object(Value::Null)), Some(Vec::new()));
        assert_eq!(released(&object(json!("Delete"))), None);
        assert_eq!(released(&object(json!("GiveBack"))), None);
        assert_eq!(released(&object(json!(7))), None);
    }

    #[tokio::test]
    async fn an_unreadable_run_gets_stalled_and_an_event_and_one_whose_write_is_refused_does_not_stop_the_next()
     {
        let mut first = true;
        let api = ApiServer::start(
            move |request| match (request.method.as_str(), request.path.as_str()) {
                ("GET", _) => Answer::ok(&json!({
                    "kind": "List", "apiVersion": "v1", "metadata": {},
                    "items": [{"metadata": {"name": "x", "namespace": "team", "uid": "u", "resourceVersion": "7"},
                        "spec": {"priority": "x"}, "status": {"progress": "1/2"}}],
                })),
                ("PUT", _) if std::mem::take(&mut first) => Answer::error(500, "InternalError", "no"),
                _ => Answer::ok(&request.json()),
            },
        );
        let ctx = context(api.client());
        let (sender, receiver) = mpsc::unbounded_channel();
        sender.send(found::<dcanary_crds::PipelineRun>()).unwrap();
        sender.send(found::<dcanary_crds::Executor>()).unwrap();
        let following = tokio::spawn(follow(ctx, sender, receiver));
        let put = api.nth("PUT", 2).await;
        assert_eq!(
            put.path,
            "/apis/dcanary.dev/v1alpha1/namespaces/team/pipelineruns/x/status"
        );
        let body = put.json();
        assert_eq!(body["spec"]["priority"], "x");
        assert_eq!(body["status"]["progress"], "1/2");
        assert_eq!(body["metadata"]["resourceVersion"], "7");
        assert_eq!(body["status"]["conditions"][0]["reason"], "Unreadable");
        api.nth("POST", 2).await;
        let events = api.all("POST");
        assert!(
            events
                .iter()
                .all(|event| event.path.contains("/events") && event.json()["reason"] == "Unreadable")
        );
        let kinds: Vec<_> = events
            .iter()
            .map(|event| event.json()["regarding"]["kind"].clone())
            .collect();
        assert_eq!(
            kinds,
            [json!("Executor"), json!("PipelineRun")],
            "the refused write held up nobody"
        );
        following.abort();
    }
}

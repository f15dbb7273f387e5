//! Build Pods: create, delete, release.

use std::time::Instant;

use dcanary_core::{
    CreatePod, PodRef, SeenPod,
    observed::{CreateAnswer, Creation},
};
use dcanary_crds::{PipelineRun, labels};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions},
    core::response::Status,
};
use serde_json::json;

use super::ActError;
use crate::{context::Context, environment::act::answer::is_quota};

/// Creates a Pod and notes the answer for the next decision.
pub async fn create(ctx: &Context, run: &PipelineRun, create: &CreatePod) {
    let api = pods(ctx, &run.namespace().unwrap_or_default());
    let name = create.pod.name_any();
    let answer = match api.create(&PostParams::default(), &create.pod).await {
        Ok(pod) => CreateAnswer::Created {
            uid: pod.uid().unwrap_or_default(),
            gone: false,
        },
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
            existing(ctx, &api, run, &name).await
        }
        Err(kube::Error::Api(status)) => refused(&status, "Pod"),
        Err(error) => later(error.to_string()),
    };
    match &answer {
        CreateAnswer::Failed { message, .. } => tracing::warn!(pod = name, message, "the Pod is not created"),
        _ => tracing::debug!(pod = name, ?answer, "create Pod"),
    }
    ctx.memory.with(&run.uid().unwrap_or_default(), |memory| {
        memory.answered(Creation { pod: name, answer }, Instant::now());
    });
}

/// A Pod of that name is there: ours when it has the proof that we made it, otherwise never adopted.
async fn existing(ctx: &Context, api: &Api<Pod>, run: &PipelineRun, name: &str) -> CreateAnswer {
    let uid = run.uid().unwrap_or_default();
    // the watch may know it already, which saves the request
    let key = (run.namespace().unwrap_or_default(), name.to_owned());
    let known = ctx.memory.with(&uid, |memory| memory.pods.get(&key).cloned());
    let ours = |pod: &SeenPod| pod.made_for(&uid, &ctx.settings.pod_key);
    if let Some(pod) = known.filter(ours) {
        return CreateAnswer::Created {
            uid: pod.uid,
            gone: false,
        };
    }
    // a list, which the operator may do anyway
    let named = ListParams::default().fields(&format!("metadata.name={name}"));
    match api.list(&named).await.map(|found| found.items.into_iter().next()) {
        Ok(Some(pod)) => match SeenPod::of(&pod).filter(ours) {
            Some(pod) => CreateAnswer::Created {
                uid: pod.uid,
                gone: false,
            },
            None => CreateAnswer::Foreign,
        },
        Ok(None) => later("the Pod was there and is gone again".into()),
        Err(error) => later(error.to_string()),
    }
}

/// It did not get through. When it is tried again is for the memory to say, which knows how often that was so.
pub(super) fn later(message: String) -> CreateAnswer {
    CreateAnswer::Failed {
        message,
        times: 1,
        retry_at: Timestamp::now(),
    }
}

/// What it means that an object of a kind is not created.
pub(super) fn refused(status: &Status, kind: &str) -> CreateAnswer {
    let message = status.message.clone();
    let terminating = status.details.as_ref().is_some_and(|details| {
        details
            .causes
            .iter()
            .any(|cause| cause.reason == "NamespaceTerminating")
    });
    // an admission webhook may deny with any code, and a kind may be unserved for a moment
    let no_namespace = status.code == 404
        && status
            .details
            .as_ref()
            .is_some_and(|details| details.kind == "namespaces");
    match (status.code, status.reason.as_str()) {
        (_, _) if terminating || no_namespace => CreateAnswer::NamespaceTerminating,
        (403, _) if is_quota(&message) => CreateAnswer::Quota { message },
        (403, _) => CreateAnswer::Refused {
            reason: format!("{kind}Forbidden"),
            message,
        },
        (400 | 422, _) => CreateAnswer::Refused {
            reason: format!("{kind}Invalid"),
            message,
        },
        _ => later(message),
    }
}

/// Deletes a Pod of exactly that UID.
///
/// # Errors
/// When the API server does not do it.
pub async fn delete(ctx: &Context, namespace: &str, pod: &PodRef) -> Result<(), ActError> {
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(pod.uid.clone()),
            resource_version: None,
        }),
        ..DeleteParams::background()
    };
    match pods(ctx, namespace).delete(&pod.name, &params).await {
        Ok(_) => Ok(()),
        // gone, or another Pod has the name
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(source) => Err(ActError::Pod {
            verb: "delete",
            pod: pod.name.clone(),
            source: Box::new(source),
        }),
    }
}

/// Takes our finalizer off a Pod.
///
/// # Errors
/// When the API server does not do it.
pub async fn release(ctx: &Context, namespace: &str, pod: &PodRef) -> Result<(), ActError> {
    // `$patch: delete` on a list merged by value takes off ours alone; the UID makes the API server refuse another Pod of that name
    let patch =
        json!({"metadata": {"uid": pod.uid, "$deleteFromPrimitiveList/finalizers": [labels::OBSERVED]}});
    match pods(ctx, namespace)
        .patch(&pod.name, &PatchParams::default(), &Patch::Strategic(&patch))
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(source) => Err(ActError::Pod {
            verb: "release",
            pod: pod.name.clone(),
            source: Box::new(source),
        }),
    }
}

fn pods(ctx: &Context, namespace: &str) -> Api<Pod> {
    Api::namespaced(ctx.client.clone(), namespace)
}

//! Tells people: Events and figures, only after the status is persisted.

use dcanary_core::Plan;
use dcanary_crds::{ConditionStatus, ConditionType, PipelineRun};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Resource,
    runtime::events::{Event, EventType},
};
use tracing::{info, warn};

use crate::{context::Context, metrics::Ended};

/// Publishes the plan's Events and counts a run that ended in this step: it had not in what was decided on, and has now.
pub async fn report(ctx: &Context, ended_before: bool, run: &PipelineRun, plan: &Plan) {
    publish(ctx, &run.object_ref(&()), &plan.events).await;
    if let (false, Some(outcome)) = (ended_before, ended(run)) {
        ctx.metrics.runs.get_or_create(&Ended { outcome }).inc();
    }
}

/// Publishes Events about an object.
pub async fn publish(ctx: &Context, reference: &ObjectReference, events: &[dcanary_core::Event]) {
    for event in events {
        if event.warning {
            warn!(reason = event.reason, "{}", event.note);
        } else {
            info!(reason = event.reason, "{}", event.note);
        }
        let published = ctx
            .events
            .publish(
                &Event {
                    type_: if event.warning {
                        EventType::Warning
                    } else {
                        EventType::Normal
                    },
                    reason: event.reason.clone(),
                    note: Some(event.note.clone()),
                    action: "Reconcile".into(),
                    secondary: None,
                },
                reference,
            )
            .await;
        if let Err(error) = published {
            // an Event is a courtesy: the status has the fact, so nothing waits for it
            warn!(
                error = &error as &dyn std::error::Error,
                "the Event could not be published"
            );
        }
    }
}

/// How a run ended, if it has.
pub fn ended(run: &PipelineRun) -> Option<String> {
    let conditions = &run.status.as_ref()?.conditions;
    conditions
        .iter()
        .find(|condition| {
            condition.kind == ConditionType::Finished && condition.status == ConditionStatus::True
        })
        .map(|condition| condition.reason.clone())
}

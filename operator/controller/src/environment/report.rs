//! Tells people: Events and figures, only after the status is persisted.

use dcanary_crds::{Environment, EnvironmentStatus};
use dcanary_rollout::Plan;
use kube::Resource;

use crate::{context::Context, metrics::Ended, run::report::publish};

/// Publishes the plan's Events and counts a rollout that ended in this step: it had not in what was decided on, and has now.
pub async fn report(ctx: &Context, before: Option<&Outcome>, environment: &Environment, plan: &Plan) {
    publish(ctx, &environment.object_ref(&()), &plan.events).await;
    let after = environment.status.as_ref().and_then(outcome);
    if let Some(after) = after.filter(|after| before != Some(after)) {
        ctx.metrics
            .rollouts
            .get_or_create(&Ended {
                outcome: after.outcome,
            })
            .inc();
    }
}

/// How the rollout of a promotion ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    promotion: String,
    outcome: String,
}

/// How the last rollout ended, if it has.
pub fn outcome(status: &EnvironmentStatus) -> Option<Outcome> {
    let rollout = status.rollout.as_ref()?;
    Some(Outcome {
        promotion: rollout.promotion_uid.clone(),
        outcome: format!("{:?}", rollout.outcome?),
    })
}

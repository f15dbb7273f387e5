//! Statuses of Promotions.

use std::time::{Duration, Instant};

use dcanary_crds::{Environment, Promotion, PromotionStatus};
use kube::{Api, ResourceExt, runtime::reflector::ObjectRef};

use tracing::warn;

use super::{
    act::{ActError, Acted},
    index::Place,
};
use crate::{
    context::Context,
    swap::{self, Swapped},
};

/// Namespace and name of the Environment that a Promotion is for.
pub fn target(promotion: &Promotion) -> Place {
    let environment = &promotion.spec.environment_ref;
    let namespace = environment.namespace.clone().or_else(|| promotion.namespace());
    (namespace.unwrap_or_default(), environment.name.clone())
}

/// Time after which a status that was refused is tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// Whether an answer is about the object, so that the same gets the same answer: it is too large, not valid, or an admission policy or a missing
/// right forbids it.
fn is_refused(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 400 | 403 | 413 | 422))
}

/// The Promotion that a status is for.
#[derive(Debug, Clone, Copy)]
pub struct Which<'a> {
    /// Namespace.
    pub namespace: &'a str,
    /// Name.
    pub name: &'a str,
    /// UID: another object of that name is left alone.
    pub uid: &'a str,
}

/// Writes the status of a Promotion, unless it is equal, was refused a moment ago or the Promotion is gone.
///
/// # Errors
/// When the API server gives another answer than success, conflict, not found or a refusal that is about this object.
pub async fn write(
    ctx: &Context,
    environment: &Environment,
    which: Which<'_>,
    status: &PromotionStatus,
) -> Result<Acted, ActError> {
    let object = ObjectRef::new(which.name).within(which.namespace);
    let Some(cached) = ctx.environments.stores.promotions.get(&object) else {
        return Ok(Acted::Done);
    };
    if cached.uid().as_deref() != Some(which.uid) {
        return Ok(Acted::Done);
    }
    let uid = environment.uid().unwrap_or_default();
    let memory = &ctx.environments.memory;
    let mut promotion = memory.with(&uid, |memory| memory.freshest(&cached));
    let held_back = memory.with(&uid, |memory| memory.holds_status_back(which.uid));
    if held_back || promotion.status.as_ref() == Some(status) {
        return Ok(Acted::Done);
    }
    promotion.status = Some(status.clone());
    let api: Api<Promotion> = Api::namespaced(ctx.client.clone(), which.namespace);
    match swap::status(&api, promotion).await {
        Ok(Swapped::Written(written)) => {
            memory.if_known(&uid, |memory| {
                memory.promotions.insert(which.uid.to_owned(), written);
            });
            Ok(Acted::Done)
        }
        Ok(Swapped::Gone) => Ok(Acted::Done),
        Ok(Swapped::Outdated) => {
            memory.if_known(&uid, |memory| memory.promotions.remove(which.uid));
            Ok(Acted::Outdated)
        }
        // it is refused for what it is: that is no failure of the rest, and is tried again after a while
        Err(source) if is_refused(&source) => {
            warn!(
                promotion = format!("{}/{}", which.namespace, which.name),
                error = &*source as &dyn std::error::Error,
                "the status of the Promotion is refused; it is tried again in a minute"
            );
            let until = Instant::now() + AGAIN;
            memory.if_known(&uid, |memory| memory.refused_status(which.uid, until));
            Ok(Acted::Done)
        }
        Err(source) => Err(ActError::Promotion {
            promotion: format!("{}/{}", which.namespace, which.name),
            source,
        }),
    }
}

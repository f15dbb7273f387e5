//! Evidence is stored beside the decisions: a server that does not answer holds up no rollback.

use std::{sync::Arc, time::Duration};

use dcanary_crds::Environment;
use kube::ResourceExt;
use tracing::warn;

use crate::{
    context::Context,
    failpoint::{self, EnvironmentBoundary, Side},
    metrics::Reason,
};

/// Time after which a document is offered again that the server did not take.
const AGAIN: Duration = Duration::from_secs(10);

/// Puts a document into the artifact store, unless it is on its way there. That it is there, or not, wakes the Environment.
pub fn store(ctx: &Arc<Context>, environment: &Environment, digest: &str, document: &str) {
    let uid = environment.uid().unwrap_or_default();
    let memory = &ctx.environments.memory;
    if !memory.with(&uid, |memory| memory.store(digest)) {
        return;
    }
    let under_way = UnderWay {
        ctx: ctx.clone(),
        uid,
        digest: digest.to_owned(),
    };
    let (document, namespace) = (document.to_owned(), environment.namespace().unwrap_or_default());
    tokio::spawn(async move {
        let (ctx, digest) = (&under_way.ctx, &under_way.digest);
        let place = ctx.environments.uploads.place(&namespace).await;
        let stored = ctx.server.store_evidence(&namespace, digest, document).await;
        drop(place);
        match stored {
            Ok(()) => {
                failpoint::hit(Side::After, EnvironmentBoundary::StoreEvidence);
                ctx.environments
                    .memory
                    .if_known(&under_way.uid, |memory| memory.stored(digest));
            }
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    digest, "the evidence is not stored; it is offered again"
                );
                let reason = Reason {
                    kind: "Environment",
                    reason: "evidence",
                };
                ctx.metrics.errors.get_or_create(&reason).inc();
                tokio::time::sleep(AGAIN).await;
            }
        }
    });
}

/// A document on its way; whatever becomes of it, it can be offered again.
struct UnderWay {
    ctx: Arc<Context>,
    uid: String,
    digest: String,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.ctx
            .environments
            .memory
            .if_known(&self.uid, |memory| memory.offered(&self.digest));
        self.ctx.environments.wake_uid(&self.uid);
    }
}

#[cfg(test)]
#[path = "evidence_tests.rs"]
mod tests;

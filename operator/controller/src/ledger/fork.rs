//! A forked ledger: what proves it is kept, and people are told. That nothing more is sent is the recorder's own doing.
//!
//! The evidence goes into an immutable ConfigMap of the operator's namespace, named after the contradiction: the same two histories
//! are kept once, however often the ledger shows them. Nothing here deletes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dcanary_ledger::{ForkEvidence, Reachability};
use ic_agent::export::Principal;
use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, ObjectReference},
};
use kube::{
    Api, Resource, ResourceExt,
    api::PostParams,
    runtime::events::{Event, EventType},
};
use serde_json::json;
use thiserror::Error;
use tokio::sync::watch;
use tracing::{error, warn};

use super::publish;
use crate::context::Context;

/// Key of the evidence in its ConfigMap.
pub const EVIDENCE: &str = "evidence.json";
/// Reason of the Event.
const REASON: &str = "LedgerForked";
/// Contradictions that are kept by one process: a ledger that somebody else goes on writing shows a new one with each block.
const MOST: usize = 16;

/// The evidence could not be kept.
#[derive(Debug, Error)]
pub enum ForkError {
    /// The API server did not take or show the ConfigMap.
    #[error("{verb} ConfigMap {name} with the evidence of a fork")]
    Api {
        /// `create` or `read`.
        verb: &'static str,
        /// The ConfigMap.
        name: String,
        /// What happened.
        #[source]
        source: Box<kube::Error>,
    },
    /// The evidence cannot be written as JSON.
    #[error("write the evidence of a fork")]
    Form(#[from] serde_json::Error),
}

/// Whether the evidence is where it belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// It is.
    There,
    /// Something else has its name.
    Swapped,
}

/// Follows the recorder and keeps the evidence of each fork that it meets, until the recorder is gone. What could not be kept is tried
/// again when the recorder meets the fork again.
pub async fn follow(ctx: Arc<Context>, mut reachability: watch::Receiver<Reachability>) {
    let mut counted = BTreeSet::new();
    let mut kept = BTreeSet::new();
    loop {
        let forked = match &*reachability.borrow_and_update() {
            Reachability::Forked(evidence) => Some(evidence.clone()),
            _ => None,
        };
        if let Some(evidence) = forked {
            let id = evidence.id();
            if counted.insert(id) {
                ctx.metrics.ledger_forks.inc();
            }
            if kept.len() < MOST && !kept.contains(&id) {
                match keep(&ctx, &evidence).await {
                    Ok(()) => {
                        kept.insert(id);
                    }
                    Err(failure) => error!(
                        error = super::chain(&failure),
                        "the evidence of a fork is not kept yet"
                    ),
                }
            }
        }
        if reachability.changed().await.is_err() {
            return;
        }
    }
}

/// Keeps the evidence and tells people.
async fn keep(ctx: &Context, evidence: &ForkEvidence) -> Result<(), ForkError> {
    let map = config_map(ctx, evidence)?;
    let name = map.name_any();
    let (there, reference) = write(ctx, &map, evidence).await?;
    let note = match there {
        Kept::There => {
            format!("{evidence}. Both certificates are kept in ConfigMap {name}; nothing more is recorded")
        }
        Kept::Swapped => {
            error!(
                config_map = name,
                evidence = map.data.as_ref().and_then(|data| data.get(EVIDENCE)),
                "the ConfigMap does not hold the evidence that belongs there: here it is"
            );
            format!(
                "{evidence}. ConfigMap {name} was changed by somebody; the operator's log has the evidence"
            )
        }
    };
    let event = Event {
        type_: EventType::Warning,
        reason: REASON.to_owned(),
        note: Some(note),
        action: "Verify".to_owned(),
        secondary: Some(reference),
    };
    if let Err(failure) = ctx.events.publish(&event, &publish::reference(ctx).await).await {
        // the status of every run that waits says it too, and the evidence is kept
        warn!(
            error = &failure as &dyn std::error::Error,
            "the Event of a fork could not be published"
        );
    }
    Ok(())
}

fn config_map(ctx: &Context, evidence: &ForkEvidence) -> Result<ConfigMap, ForkError> {
    let id = hex::encode(evidence.id());
    let short = id.get(..16).unwrap_or(&id);
    let ledger = Principal::try_from_slice(&evidence.seen.ledger)
        .map_or_else(|_| hex::encode(&evidence.seen.ledger), |id| id.to_text());
    let metadata = json!({
        "name": format!("{}-fork-{short}", ctx.config.installation),
        "namespace": ctx.config.namespace,
        "labels": {
            "app.kubernetes.io/part-of": "dcanary",
            "app.kubernetes.io/instance": ctx.config.installation,
            "app.kubernetes.io/component": "fork-evidence",
        },
    });
    let text = [
        (EVIDENCE, serde_json::to_string_pretty(evidence)?),
        ("message", evidence.to_string()),
        ("ledger", ledger),
        ("seenSize", evidence.seen.size.to_string()),
        ("shownSize", evidence.shown.size.to_string()),
    ];
    let bytes = [
        ("seen.certificate", &evidence.seen.certificate),
        ("seen.witness", &evidence.seen.hash_tree),
        ("shown.certificate", &evidence.shown.certificate),
        ("shown.witness", &evidence.shown.hash_tree),
    ];
    Ok(ConfigMap {
        metadata: serde_json::from_value(metadata)?,
        immutable: Some(true),
        data: Some(text.map(|(key, value)| (key.to_owned(), value)).into()),
        binary_data: Some(BTreeMap::from(
            bytes.map(|(key, value)| (key.to_owned(), ByteString(value.clone()))),
        )),
    })
}

/// Writes the ConfigMap, or looks whether the one that is there shows the same contradiction (at another time, so with another
/// certificate).
async fn write(
    ctx: &Context,
    map: &ConfigMap,
    evidence: &ForkEvidence,
) -> Result<(Kept, ObjectReference), ForkError> {
    let api: Api<ConfigMap> = Api::namespaced(ctx.client.clone(), &ctx.config.namespace);
    let name = map.name_any();
    let failed = |verb, source| ForkError::Api {
        verb,
        name: name.clone(),
        source: Box::new(source),
    };
    match api.create(&PostParams::default(), map).await {
        Ok(written) => Ok((Kept::There, written.object_ref(&()))),
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
            let there = api.get(&name).await.map_err(|source| failed("read", source))?;
            let text = there.data.as_ref().and_then(|data| data.get(EVIDENCE));
            let same = text
                .and_then(|text| serde_json::from_str::<ForkEvidence>(text).ok())
                .is_some_and(|found| found.id() == evidence.id());
            let kept = if same { Kept::There } else { Kept::Swapped };
            Ok((kept, there.object_ref(&())))
        }
        Err(source) => Err(failed("create", source)),
    }
}

#[cfg(test)]
#[path = "fork_tests.rs"]
mod tests;

//! Records that are put aside in immutable ConfigMaps of the operator's namespace.

use dcanary_core::{SealOutbox, observed::Sealing};
use dcanary_crds::{PendingRecord, labels};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde_json::json;
use thiserror::Error;

use super::Journaled;
use crate::context::Context;

/// A ConfigMap with sealed records could not be written, read or deleted.
#[derive(Debug, Error)]
#[error("{verb} ConfigMap {config_map} with sealed records")]
pub struct SealError {
    /// `create`, `read`, `delete`.
    verb: &'static str,
    /// The ConfigMap.
    config_map: String,
    /// What happened.
    #[source]
    source: Box<kube::Error>,
}

/// Key of the records in the ConfigMap.
pub const RECORDS: &str = "records.json";
/// Key of the graph document (base64), which the chain needs with the first record.
pub const GRAPH: &str = "graph";
/// Annotation: the project under which it is recorded.
pub const PROJECT: &str = "dcanary.dev/project";

fn maps(ctx: &Context) -> Api<ConfigMap> {
    Api::namespaced(ctx.client.clone(), &ctx.config.namespace)
}

fn error(verb: &'static str, config_map: &str, source: kube::Error) -> SealError {
    SealError {
        verb,
        config_map: config_map.to_owned(),
        source: Box::new(source),
    }
}

/// Writes the ConfigMap, or compares it with the one that is there, and notes the answer for the next decision.
///
/// # Errors
/// When the API server does not answer.
pub async fn seal(ctx: &Context, subject: &dyn Journaled, seal: &SealOutbox) -> Result<(), SealError> {
    let uid = subject.uid();
    let records = serde_json::to_string(&seal.records).unwrap_or_default();
    let graph = subject.journal().and_then(|journal| journal.graph.clone());
    let (owner, place) = subject.place();
    let map = ConfigMap {
        metadata: serde_json::from_value(json!({
            "name": seal.config_map,
            "labels": {"app.kubernetes.io/part-of": "dcanary", labels::RUN_UID: uid},
            "annotations": {
                owner: place,
                PROJECT: subject.project().unwrap_or_default(),
            },
        }))
        .unwrap_or_default(),
        immutable: Some(true),
        data: Some(
            [(RECORDS.to_owned(), records.clone())]
                .into_iter()
                .chain(graph.map(|graph| (GRAPH.to_owned(), graph)))
                .collect(),
        ),
        ..ConfigMap::default()
    };
    let sealed = Sealing::Sealed {
        first: seal.first,
        last: seal.last,
        hash: seal.hash.clone(),
    };
    let answer = match maps(ctx).create(&PostParams::default(), &map).await {
        Ok(_) => sealed,
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
            let there = maps(ctx)
                .get(&seal.config_map)
                .await
                .map_err(|e| error("read", &seal.config_map, e))?;
            let same = there.data.as_ref().and_then(|data| data.get(RECORDS)) == Some(&records);
            if same {
                sealed
            } else {
                Sealing::Swapped {
                    config_map: seal.config_map.clone(),
                }
            }
        }
        Err(source) => return Err(error("create", &seal.config_map, source)),
    };
    ctx.journal_of(&uid, |journal| {
        journal.sealings.retain(|old| *old != answer);
        journal.sealings.push(answer);
    });
    Ok(())
}

/// Reads sealed records back. `None`: not there or not readable.
///
/// # Errors
/// When the API server does not answer.
pub async fn read(ctx: &Context, config_map: &str) -> Result<Option<Vec<PendingRecord>>, SealError> {
    let map = maps(ctx)
        .get_opt(config_map)
        .await
        .map_err(|source| error("read", config_map, source))?;
    let text = map
        .and_then(|map| map.data)
        .and_then(|mut data| data.remove(RECORDS));
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

/// Deletes the ConfigMap: the chain has the records.
///
/// # Errors
/// When the API server does not answer.
pub async fn drop_sealed(ctx: &Context, config_map: &str) -> Result<(), SealError> {
    match maps(ctx).delete(config_map, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(source) => Err(error("delete", config_map, source)),
    }
}

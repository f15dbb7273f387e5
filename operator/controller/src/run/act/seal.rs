//! Records that are put aside in immutable ConfigMaps of the operator's namespace.

use dcanary_core::{SealOutbox, observed::Sealing};
use dcanary_crds::{PendingRecord, PipelineRun, labels};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, PostParams},
};
use serde_json::json;

use super::ActError;
use crate::context::Context;

/// Key of the records in the ConfigMap.
pub const RECORDS: &str = "records.json";
/// Key of the graph document (base64), which the chain needs with the first record.
pub const GRAPH: &str = "graph";
/// Annotation: the project under which the run is recorded.
pub const PROJECT: &str = "dcanary.dev/project";

fn maps(ctx: &Context) -> Api<ConfigMap> {
    Api::namespaced(ctx.client.clone(), &ctx.config.namespace)
}

fn error(verb: &'static str, config_map: &str, source: kube::Error) -> ActError {
    ActError::Seal {
        verb,
        config_map: config_map.to_owned(),
        source: Box::new(source),
    }
}

/// Writes the ConfigMap, or compares it with the one that is there, and notes the answer for the next decision.
///
/// # Errors
/// When the API server does not answer.
pub async fn seal(ctx: &Context, run: &PipelineRun, seal: &SealOutbox) -> Result<(), ActError> {
    let uid = run.uid().unwrap_or_default();
    let records = serde_json::to_string(&seal.records).unwrap_or_default();
    let status = run.status.as_ref();
    let graph = status.and_then(|status| status.journal.as_ref()?.graph.clone());
    let project = status
        .and_then(|status| status.project.clone())
        .unwrap_or_default();
    let map = ConfigMap {
        metadata: serde_json::from_value(json!({
            "name": seal.config_map,
            "labels": {"app.kubernetes.io/part-of": "dcanary", labels::RUN_UID: uid},
            "annotations": {
                labels::RUN: format!("{}/{}", run.namespace().unwrap_or_default(), run.name_any()),
                PROJECT: project,
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
    ctx.memory.with(&uid, |memory| {
        memory.journal.sealings.retain(|old| *old != answer);
        memory.journal.sealings.push(answer);
    });
    Ok(())
}

/// Reads sealed records back. `None`: not there or not readable.
///
/// # Errors
/// When the API server does not answer.
pub async fn read(ctx: &Context, config_map: &str) -> Result<Option<Vec<PendingRecord>>, ActError> {
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
pub async fn drop_sealed(ctx: &Context, config_map: &str) -> Result<(), ActError> {
    match maps(ctx).delete(config_map, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(source) => Err(error("delete", config_map, source)),
    }
}

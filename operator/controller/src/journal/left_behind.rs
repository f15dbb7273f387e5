//! Sealed records of runs that are gone: a run, or its whole namespace, may be deleted while the chain is away, and its records wait in
//! ConfigMaps of the operator's namespace. They are recorded when the chain is back, by this operator or the next one.

use std::collections::HashMap;

use dcanary_crds::{PendingRecord, PipelineRun, labels};
use dcanary_ledger::{Outbox, Outcome, RunKey};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt, api::ListParams, runtime::reflector::Store};
use tracing::{error, info, warn};

use super::{decode_graph, records};
use crate::{context::Context, run::act::seal};

/// What waits for a run that is gone.
struct Waiting {
    config_maps: Vec<String>,
    /// Number of the last record.
    last: u64,
}

/// Everything that was left behind, by UID of the run.
#[derive(Default)]
pub struct LeftBehind(HashMap<String, Waiting>);

impl LeftBehind {
    /// Whether anything still waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Looks for ConfigMaps whose run is gone, and hands their records to the recorder. A repetition is harmless.
    pub async fn look(&mut self, ctx: &Context, runs: &Store<PipelineRun>) {
        let maps: Api<ConfigMap> = Api::namespaced(ctx.client.clone(), &ctx.config.namespace);
        let found = match maps.list(&ListParams::default().labels(labels::RUN_UID)).await {
            Ok(found) => found.items,
            Err(source) => {
                warn!(
                    error = &source as &dyn std::error::Error,
                    "sealed records cannot be listed now"
                );
                return;
            }
        };
        let known = |uid: &str| {
            runs.state()
                .iter()
                .any(|run| run.metadata.uid.as_deref() == Some(uid))
        };
        let mut gone: HashMap<String, Vec<ConfigMap>> = HashMap::new();
        for map in found {
            if let Some(uid) = map.labels().get(labels::RUN_UID).filter(|uid| !known(uid)) {
                gone.entry(uid.clone()).or_default().push(map);
            }
        }
        self.0.retain(|uid, _| gone.contains_key(uid));
        for (uid, maps) in gone {
            self.hand_over(ctx, uid, &maps);
        }
    }

    fn hand_over(&mut self, ctx: &Context, uid: String, maps: &[ConfigMap]) {
        let Some(recorder) = ctx.recorder.get() else {
            return;
        };
        let named = maps.iter().find_map(|map| map.annotations().get(seal::PROJECT));
        let project = named.unwrap_or(&ctx.config.project);
        let text = |map: &ConfigMap, key: &str| map.data.as_ref().and_then(|data| data.get(key)).cloned();
        let mut pending: Vec<PendingRecord> = maps
            .iter()
            .filter_map(|map| serde_json::from_str::<Vec<PendingRecord>>(&text(map, seal::RECORDS)?).ok())
            .flatten()
            .collect();
        pending.sort_by_key(|record| record.n);
        let records = records(&pending);
        let Some(last) = records.last().map(|record| record.n) else {
            warn!(
                run = uid,
                "a ConfigMap of sealed records cannot be read; it is kept"
            );
            return;
        };
        let graph = maps.iter().find_map(|map| decode_graph(&text(map, seal::GRAPH)?));
        info!(
            run = uid,
            records = records.len(),
            "recording what a deleted run left behind"
        );
        recorder.submit(Outbox {
            key: RunKey::new(project.clone(), ctx.config.domain.clone(), uid.clone()),
            records,
            graph,
        });
        let config_maps = maps.iter().map(ResourceExt::name_any).collect();
        self.0.insert(uid, Waiting { config_maps, last });
    }

    /// Takes an outcome that is about a run that is gone. Returns whether it was.
    pub async fn take(&mut self, ctx: &Context, outcome: &Outcome) -> bool {
        let (key, end) = match outcome {
            Outcome::Recorded { key, first, blocks } => {
                (key, first + u64::try_from(blocks.len()).unwrap_or(0))
            }
            Outcome::Refused { key, n, reason, .. } => {
                if self.0.contains_key(&key.run) {
                    error!(
                        run = key.run,
                        n, reason, "the journal refuses a record of a deleted run; its ConfigMap is kept"
                    );
                }
                (key, 0)
            }
            other => (super::outcomes::key(other), 0),
        };
        let Some(waiting) = self.0.get(&key.run) else {
            return false;
        };
        if end > waiting.last {
            for config_map in &waiting.config_maps {
                if let Err(source) = seal::drop_sealed(ctx, config_map).await {
                    // the next look finds it again, and the chain says again that it has the records
                    warn!(
                        error = &source as &dyn std::error::Error,
                        config_map, "will try again"
                    );
                    return true;
                }
            }
            self.0.remove(&key.run);
        }
        true
    }
}

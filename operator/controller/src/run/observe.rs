//! What a decision may look at, from caches and memory. No request is sent here.

use std::{collections::BTreeMap, time::Instant};

use dcanary_core::{
    Observed, observed,
    observed::{CreateAnswer, SeenExecutor},
};
use dcanary_crds::PipelineRun;
use kube::{ResourceExt, runtime::reflector::ObjectRef};

use crate::context::Context;

/// Collects everything about one run.
pub fn observe(ctx: &Context, run: &PipelineRun) -> Observed {
    let uid = run.uid().unwrap_or_default();
    let namespace = run.namespace().unwrap_or_default();
    let pipeline = run.spec.pipeline_ref.as_ref().and_then(|reference| {
        let object = ObjectRef::new(&reference.name).within(&namespace);
        ctx.stores
            .pipelines
            .get(&object)
            .map(|pipeline| pipeline.spec.clone())
    });
    let waiting = ctx.ledger_waiting.borrow().clone();
    ctx.memory.with(&uid, |memory| {
        let mut journal = memory.journal.clone();
        if journal.waiting.is_none() {
            journal.waiting = waiting;
        }
        let creations = memory.answers(Instant::now());
        memory.waits = run
            .status
            .as_ref()
            .is_none_or(|status| status.started_at.is_none());
        Observed {
            namespace_terminating: creations
                .iter()
                .any(|creation| creation.answer == CreateAnswer::NamespaceTerminating),
            settings: ctx.settings.clone(),
            pipeline,
            executors: executors(ctx, &namespace),
            pods: memory.pods.values().cloned().collect(),
            creations,
            reports: memory.reports.clone(),
            journal,
            server_away_since: *ctx.server_away.borrow(),
            slots: None,
        }
    })
}

fn executors(ctx: &Context, namespace: &str) -> BTreeMap<String, observed::SeenExecutor> {
    let mut found: BTreeMap<_, _> = ctx
        .stores
        .cluster_executors
        .state()
        .iter()
        .map(|executor| {
            (
                executor.name_any(),
                SeenExecutor {
                    spec: executor.spec.executor.clone(),
                    cluster: true,
                },
            )
        })
        .collect();
    let own = ctx
        .stores
        .executors
        .state_filter(|executor| executor.namespace().as_deref() == Some(namespace));
    found.extend(own.iter().map(|executor| {
        (
            executor.name_any(),
            SeenExecutor {
                spec: executor.spec.clone(),
                cluster: false,
            },
        )
    }));
    found
}

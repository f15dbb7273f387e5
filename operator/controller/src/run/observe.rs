//! What a decision may look at, from caches and memory. No request is sent here.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use dcanary_core::{
    Observed, observed,
    observed::{CreateAnswer, SeenExecutor},
    outcome::REPORT_GRACE,
    time::later,
};
use dcanary_crds::{PipelineRun, PipelineSpec, Promotion};
use jiff::Timestamp;
use kube::{ResourceExt, runtime::reflector::ObjectRef};

use crate::context::Context;

/// Collects everything about one run.
pub fn observe(ctx: &Context, run: &PipelineRun, now: Timestamp) -> Observed {
    let uid = run.uid().unwrap_or_default();
    let namespace = run.namespace().unwrap_or_default();
    let begun = run
        .status
        .as_ref()
        .is_some_and(|status| status.started_at.is_some());
    let waiting = ctx.ledger_waiting.borrow().clone();
    // before the memory: what is in memory then is at least as new as this time says
    let reports_as_of = *ctx.reports_as_of.borrow();
    let server_away_since = *ctx.server_away.borrow();
    let deployments = deployments(ctx, run, &namespace);
    let seen = ctx.memory.with(&uid, |memory| {
        memory.promotions_missing(&deployments.missing, Instant::now());
        let mut journal = memory.journal.clone();
        if journal.waiting.is_none() {
            journal.waiting = waiting;
        }
        let creations = memory.answers(Instant::now());
        memory.waits = !begun;
        if memory.pods_in(&namespace).any(|pod| {
            pod.held && !memory.reported.contains(&pod.uid) && needs_a_look(pod.end_seen, reports_as_of, now)
        }) {
            ctx.wanted.ask(&uid);
        }
        Observed {
            namespace_terminating: creations
                .iter()
                .any(|creation| creation.answer == CreateAnswer::NamespaceTerminating),
            settings: ctx.settings.clone(),
            pods: memory.pods_in(&namespace).cloned().collect(),
            promotions: deployments.promotions,
            environments: deployments.environments,
            creations,
            reports: memory.reports.clone(),
            journal,
            server_away_since,
            reports_as_of,
            store_full_since: *ctx.store_full.borrow(),
            ..Observed::default()
        }
    });
    if begun {
        // the definition is resolved: what it came from counts no more
        return seen;
    }
    Observed {
        pipeline: pipeline(ctx, run, &namespace),
        executors: executors(ctx, &namespace),
        ..seen
    }
}

/// What the caches have of what attempts without outcome asked for.
#[derive(Default)]
struct Deployments {
    promotions: Vec<Arc<Promotion>>,
    /// Names of those that the cache does not have.
    missing: Vec<String>,
    environments: BTreeSet<String>,
}

fn deployments(ctx: &Context, run: &PipelineRun, namespace: &str) -> Deployments {
    let mut found = Deployments::default();
    let stores = &ctx.environments.stores;
    let stages = run.status.iter().flat_map(|status| &status.stages);
    let open = stages
        .flat_map(|stage| &stage.attempts)
        .filter(|attempt| attempt.outcome.is_none())
        .filter_map(|attempt| attempt.promotion.as_ref());
    for asked in open {
        match stores
            .promotions
            .get(&ObjectRef::new(&asked.name).within(namespace))
        {
            Some(promotion) => found.promotions.push(promotion),
            None => found.missing.push(asked.name.clone()),
        }
        let environment = ObjectRef::new(&asked.environment).within(namespace);
        let there = stores.environments.get(&environment);
        if there.is_some_and(|there| there.metadata.deletion_timestamp.is_none()) {
            found.environments.insert(asked.environment.clone());
        }
    }
    found
}

/// Whether the list has to be read before it can be said that a Pod that ended did not report.
fn needs_a_look(end_seen: Option<Timestamp>, reports_as_of: Option<Timestamp>, now: Timestamp) -> bool {
    // the core waits as long
    let Some(due) = end_seen.map(|end| later(end, REPORT_GRACE)) else {
        return false;
    };
    now >= due && reports_as_of.is_none_or(|as_of| as_of < due)
}

fn pipeline(ctx: &Context, run: &PipelineRun, namespace: &str) -> Option<PipelineSpec> {
    let reference = run.spec.pipeline_ref.as_ref()?;
    let object = ObjectRef::new(&reference.name).within(namespace);
    let found = ctx.stores.pipelines.get(&object)?;
    Some(found.spec.clone())
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_list_is_read_once_more_only_when_the_grace_is_over_and_it_was_not_read_since() {
        let at = |second: i64| Timestamp::from_second(1_700_000_000 + second).unwrap();
        let end = Some(at(0));
        assert!(!needs_a_look(None, None, at(100)), "it runs");
        assert!(!needs_a_look(end, None, at(9)), "the report may be on its way");
        assert!(needs_a_look(end, None, at(10)));
        assert!(needs_a_look(end, Some(at(9)), at(20)));
        assert!(!needs_a_look(end, Some(at(10)), at(20)), "it was read since");
    }
}

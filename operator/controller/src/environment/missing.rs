//! What the status of an Environment names and the caches lack.
//!
//! There may be several operators, and the watches of each are behind by themselves: the status may name a Promotion or a Decision that is not in
//! the cache yet. Only the API server knows whether it is gone, so it is asked, once for each: what it does not have never comes again.

use std::{collections::BTreeSet, fmt::Debug, sync::Arc};

use dcanary_crds::{Decision, Environment, Promotion};
use dcanary_rollout::named::{self, NamedDecisions, NamedPromotion};
use futures::{StreamExt, TryStreamExt, stream};
use kube::{
    Api, Resource, ResourceExt,
    api::ListParams,
    core::{DeserializeGuard, NamespaceResourceScope},
};
use serde::de::DeserializeOwned;
use thiserror::Error;
use tracing::debug;

use crate::context::Context;

/// Questions at once.
const AT_ONCE: usize = 8;

/// The API server did not say whether something is there.
#[derive(Debug, Error)]
#[error("ask the API server for what the status names and the cache lacks: {what}")]
pub struct MissingError {
    /// What was asked for.
    what: String,
    /// What happened.
    #[source]
    source: Box<kube::Error>,
}

/// Promotions that the status names and that are not among those of the cache, as the API server has them now.
///
/// # Errors
/// When it gives no answer.
pub async fn promotions(
    ctx: &Context,
    environment: &Environment,
    cached: &[Arc<Promotion>],
) -> Result<Vec<Arc<Promotion>>, MissingError> {
    let mut named = named::promotions(environment);
    let decisions = named::decisions(environment).uids;
    let uid = environment.uid().unwrap_or_default();
    ctx.environments.memory.if_known(&uid, |memory| {
        // what is named no more is not asked for any more
        let is_named = |uid: &String| named.iter().any(|named| named.uid == *uid) || decisions.contains(uid);
        memory.absent.retain(is_named);
        named.retain(|named| !memory.absent.contains(&named.uid));
    });
    let known: BTreeSet<String> = cached.iter().filter_map(|promotion| promotion.uid()).collect();
    named.retain(|named| !known.contains(&named.uid));
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let asked: BTreeSet<String> = named.iter().map(|named| named.uid.clone()).collect();
    let found = by_name(ctx, named).await?;
    Ok(those(ctx, &uid, &asked, found)
        .into_iter()
        .map(Arc::new)
        .collect())
}

/// Whether a decision was made on a Promotion that has ended: the cache had it as it was before that. It begins something with those of `begun`.
///
/// # Errors
/// When the API server gives no answer.
pub async fn has_ended(
    ctx: &Context,
    environment: &Environment,
    begun: BTreeSet<NamedPromotion>,
) -> Result<bool, MissingError> {
    if begun.is_empty() {
        return Ok(false);
    }
    let mut asked: BTreeSet<String> = begun.iter().map(|named| named.uid.clone()).collect();
    let mut ended = Vec::new();
    for promotion in by_name(ctx, begun).await?.into_iter().flatten() {
        let uid = promotion.uid().unwrap_or_default();
        if asked.remove(&uid) && named::has_ended(&promotion) {
            ended.push((uid, promotion));
        }
    }
    // those that are gone will leave the cache; the others count from now on as they are
    let outdated = !asked.is_empty() || !ended.is_empty();
    let uid = environment.uid().unwrap_or_default();
    ctx.environments
        .memory
        .if_known(&uid, |memory| memory.promotions.extend(ended));
    Ok(outdated)
}

/// Promotions as the API server has them now.
async fn by_name(
    ctx: &Context,
    named: impl IntoIterator<Item = NamedPromotion>,
) -> Result<Vec<Vec<Promotion>>, MissingError> {
    let questions = named.into_iter().map(|named| async move {
        let NamedPromotion { namespace, name, .. } = named;
        // a list, which the operator may do anyway
        let one = ListParams::default().fields(&format!("metadata.name={name}"));
        list::<Promotion>(ctx, &namespace, &one, &format!("Promotion {namespace}/{name}")).await
    });
    stream::iter(questions)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

/// Decisions that the status names and that are not among those of the cache, as the API server has them now. Their names are not known: one
/// question for each namespace that they can be in.
///
/// # Errors
/// When it gives no answer.
pub async fn decisions(
    ctx: &Context,
    environment: &Environment,
    named: &NamedDecisions,
    cached: &[Decision],
) -> Result<Vec<Decision>, MissingError> {
    let mut asked = named.uids.clone();
    for decision in cached {
        asked.remove(&decision.uid().unwrap_or_default());
    }
    let uid = environment.uid().unwrap_or_default();
    ctx.environments.memory.if_known(&uid, |memory| {
        asked.retain(|uid| !memory.absent.contains(uid));
    });
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for namespace in &named.namespaces {
        let what = format!("Decisions of namespace {namespace}");
        found.push(list::<Decision>(ctx, namespace, &ListParams::default(), &what).await?);
    }
    Ok(those(ctx, &uid, &asked, found))
}

/// Objects as the API server has them now. One that cannot be parsed is left out, as the caches do it.
async fn list<K>(
    ctx: &Context,
    namespace: &str,
    which: &ListParams,
    what: &str,
) -> Result<Vec<K>, MissingError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let api: Api<DeserializeGuard<K>> = Api::namespaced(ctx.client.clone(), namespace);
    let found = api.list(which).await.map_err(|source| MissingError {
        what: what.to_owned(),
        source: Box::new(source),
    })?;
    Ok(found.items.into_iter().filter_map(|guard| guard.0.ok()).collect())
}

/// Of what was found what was asked for. The rest of that is not asked for again: it is gone, or comes by the watch once it can be parsed.
fn those<K: ResourceExt>(
    ctx: &Context,
    environment: &str,
    asked: &BTreeSet<String>,
    found: Vec<Vec<K>>,
) -> Vec<K> {
    let mut absent = asked.clone();
    let mut there: Vec<K> = found.into_iter().flatten().collect();
    there.retain(|object| object.uid().is_some_and(|uid| absent.remove(&uid)));
    debug!(
        asked = asked.len(),
        there = there.len(),
        "the cache lacked what the status names"
    );
    ctx.environments
        .memory
        .if_known(environment, |memory| memory.absent.extend(absent));
    there
}

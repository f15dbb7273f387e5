//! What a decision may look at: caches, memory, and what the Environment names by name.
//!
//! Tracked ConfigMaps and Secrets, an adopted Deployment and an adopted route carry no label of ours, so no watch tells of them: they are read, at
//! most every two seconds, and at least once a minute.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use dcanary_core::pod::label;
use dcanary_crds::{Decision, Doing, Environment, KnownRoute, Promotion, Release, TemplateSpec};
use dcanary_rollout::{Key, Kind, Seen, named::decisions as named_decisions, traffic};
use futures::{StreamExt, stream};
use kube::{ResourceExt, runtime::reflector::ObjectRef};
use serde_json::Value;
use tracing::warn;

use super::{
    gateways,
    index::Place,
    kinds,
    memory::{EnvironmentMemory, Read},
    missing::{self, MissingError},
    namespace,
    objects::as_seen,
    promotions::target,
    secrets,
};
use crate::{context::Context, ledger::chain};

/// What was read a moment ago is not read again.
const FRESH: Duration = Duration::from_secs(2);
/// What is named is read again after this time.
const AGAIN: Duration = Duration::from_secs(60);
/// Reads at once.
const AT_ONCE: usize = 8;
/// Service account of Environments that name none.
const DEFAULT_ACCOUNT: &str = "default";

/// What was observed, and when it has to be observed again although nothing tells.
pub struct Observation {
    /// For the decision.
    pub seen: Seen,
    /// When something that no watch tells of is to be read again.
    pub again: Option<Duration>,
}

/// Service account of an Environment.
pub fn account(environment: &Environment) -> &str {
    let named = environment.spec.service_account_name.as_deref();
    named.unwrap_or(DEFAULT_ACCOUNT)
}

/// Objects that an Environment names and that no watch of ours tells of.
pub fn named(environment: &Environment) -> Vec<Key> {
    let workload = &environment.spec.workload;
    let mut named: Vec<Key> = workload
        .config_maps
        .iter()
        .map(|name| Key::new(Kind::ConfigMap, name))
        .collect();
    if let Some(adopted) = &workload.reference {
        named.push(Key::new(Kind::Deployment, &adopted.name));
    }
    named.extend(routes(environment));
    named
}

/// A route that is adopted, and those from which what is ours has to go. One of our own is watched.
fn routes(environment: &Environment) -> BTreeSet<Key> {
    let route = environment
        .spec
        .traffic
        .as_ref()
        .and_then(|traffic| traffic.route.as_ref());
    let adopts = route.is_some_and(|route| route.reference.is_some());
    let present = traffic::present(environment);
    let is_present = |route: &KnownRoute| present.as_ref().is_some_and(|now| traffic::is_same(now, route));
    let known = environment.status.iter().flat_map(|status| &status.routes);
    known
        .filter(|route| !is_present(route))
        .chain(present.iter().filter(|_| adopts))
        .map(traffic::key_of)
        .collect()
}

/// Collects everything about one Environment.
///
/// # Errors
/// When the API server does not say whether something is there that the status names and the caches lack. Nothing is concluded then.
pub async fn observe(ctx: &Context, environment: &Environment) -> Result<Observation, MissingError> {
    let uid = environment.uid().unwrap_or_default();
    let namespace = environment.namespace().unwrap_or_default();
    let named = named(environment);
    read_objects(ctx, &uid, &namespace, &named).await;
    read_secrets(ctx, &uid, &namespace, environment).await;
    namespace::look(ctx, environment).await;
    let again = again(ctx, &uid, environment);
    let shared = &ctx.environments;
    let mut cached = promotions(ctx, &namespace, environment);
    let missing = missing::promotions(ctx, environment, &cached).await?;
    cached.extend(missing);
    let (mut objects, pods) = shared.objects.of(&namespace, &label(&environment.name_any()));
    let waiting = ctx.ledger_waiting.borrow().clone();
    let mut seen = shared.memory.with(&uid, |memory| {
        let mut journal = memory.journal.clone();
        if journal.waiting.is_none() {
            journal.waiting = waiting;
        }
        let (read, unreadable) = as_read(memory);
        objects.extend(read);
        Seen {
            settings: shared.settings.clone(),
            promotions: cached
                .iter()
                .map(|promotion| memory.freshest(promotion))
                .collect(),
            objects,
            unreadable,
            pods,
            secrets: digests(memory),
            measurements: memory.measurements(),
            check: memory.check(),
            evidence: memory.evidence(),
            refusals: memory.refusals.seen(),
            journal,
            namespace_terminating: memory.terminating,
            policies: shared.policies.borrow().clone(),
            gateway_api: *shared.gateway_api.borrow(),
            ..Seen::default()
        }
    });
    seen.releases = releases(ctx, &seen.promotions, environment);
    let named = named_decisions(environment);
    seen.decisions = decisions(ctx, &named.namespaces, &seen.promotions);
    let missing = missing::decisions(ctx, environment, &named, &seen.decisions).await?;
    seen.decisions.extend(missing);
    seen.from = from(ctx, &namespace, environment);
    seen.templates = templates(ctx, &namespace);
    seen.gateways = gateways::read(ctx, environment, &seen).await;
    Ok(Observation { seen, again })
}

/// Whether it has to be read: never was, or not a moment ago.
fn is_due<T>(read: Option<&Read<T>>) -> bool {
    read.is_none_or(|read| read.at.elapsed() >= FRESH)
}

async fn read_objects(ctx: &Context, uid: &str, namespace: &str, named: &[Key]) {
    let due: Vec<Key> = ctx.environments.memory.with(uid, |memory| {
        memory.objects.retain(|key, _| named.contains(key));
        named
            .iter()
            .filter(|key| is_due(memory.objects.get(key)))
            .cloned()
            .collect()
    });
    let reads = due.into_iter().map(|key| async move {
        let answer = kinds::read(&ctx.client, namespace, &key).await;
        let answer = answer
            .map(|found| found.map(|object| Arc::new(as_seen(key.kind, object))))
            .map_err(|error| chain(&error));
        (key, answer)
    });
    let answers: Vec<_> = stream::iter(reads).buffer_unordered(AT_ONCE).collect().await;
    if answers.is_empty() {
        return;
    }
    let at = Instant::now();
    ctx.environments.memory.with(uid, |memory| {
        for (key, answer) in answers {
            if let Err(error) = &answer {
                warn!(
                    kind = key.kind.name(),
                    name = key.name,
                    error,
                    "it cannot be read now"
                );
            }
            memory.objects.insert(key, Read { at, answer });
        }
    });
}

async fn read_secrets(ctx: &Context, uid: &str, namespace: &str, environment: &Environment) {
    let named = &environment.spec.workload.secrets;
    let due: Vec<String> = ctx.environments.memory.with(uid, |memory| {
        memory.secrets.retain(|name, _| named.contains(name));
        named
            .iter()
            .filter(|name| is_due(memory.secrets.get(*name)))
            .cloned()
            .collect()
    });
    let Some(key) = ctx.environments.identity_key.get().filter(|_| !due.is_empty()) else {
        return;
    };
    let client = ctx.environments.accounts.client(namespace, account(environment));
    let client = client.map_err(|error| error.to_string());
    let reads = due.into_iter().map(|name| {
        let client = client.clone();
        async move {
            let answer = match client {
                Ok(client) => secrets::digest(&client, namespace, &name, key)
                    .await
                    .map_err(|error| chain(&error)),
                Err(error) => Err(error),
            };
            (name, answer)
        }
    });
    let answers: Vec<_> = stream::iter(reads).buffer_unordered(AT_ONCE).collect().await;
    let at = Instant::now();
    ctx.environments.memory.with(uid, |memory| {
        for (name, answer) in answers {
            let answer = match answer {
                Ok(digest) => Ok(digest),
                Err(error) => {
                    warn!(secret = name, error, "it cannot be read now");
                    // nothing is concluded from that: what it was still counts
                    match memory.secrets.remove(&name).map(|before| before.answer) {
                        Some(Ok(Some(digest))) => Ok(Some(digest)),
                        _ => Err(error),
                    }
                }
            };
            memory.secrets.insert(name, Read { at, answer });
        }
    });
}

/// When what is named has to be read again. While a rollout waits for a route or a Deployment that was adopted, that is soon.
fn again(ctx: &Context, uid: &str, environment: &Environment) -> Option<Duration> {
    let oldest = ctx.environments.memory.with(uid, |memory| {
        let objects = memory.objects.values().map(|read| read.at);
        objects.chain(memory.secrets.values().map(|read| read.at)).min()
    })?;
    let adopted = environment.spec.workload.reference.is_some() || !routes(environment).is_empty();
    let pause = if adopted && is_moving(environment) {
        FRESH
    } else {
        AGAIN
    };
    Some(pause.saturating_sub(oldest.elapsed()))
}

/// Whether a rollout is on its way, or the Environment goes.
fn is_moving(environment: &Environment) -> bool {
    let rollout = environment
        .status
        .as_ref()
        .and_then(|status| status.rollout.as_ref());
    let moving = rollout.is_some_and(|rollout| !matches!(rollout.doing, Doing::Waiting | Doing::Ended));
    moving || environment.metadata.deletion_timestamp.is_some()
}

fn as_read(memory: &EnvironmentMemory) -> (BTreeMap<Key, Value>, BTreeMap<Key, String>) {
    let (mut found, mut unreadable) = (BTreeMap::new(), BTreeMap::new());
    for (key, read) in &memory.objects {
        match &read.answer {
            Ok(Some(object)) => {
                found.insert(key.clone(), (**object).clone());
            }
            Ok(None) => {}
            Err(error) => {
                unreadable.insert(key.clone(), error.clone());
            }
        }
    }
    (found, unreadable)
}

fn digests(memory: &EnvironmentMemory) -> BTreeMap<String, String> {
    let known = memory.secrets.iter();
    known
        .filter_map(|(name, read)| Some((name.clone(), read.answer.clone().ok()??)))
        .collect()
}

/// Promotions into an Environment, from allowed namespaces and others: these are refused, and told so.
fn promotions(ctx: &Context, namespace: &str, environment: &Environment) -> Vec<Arc<Promotion>> {
    let place = (namespace.to_owned(), environment.name_any());
    let shared = &ctx.environments;
    let into = &shared.indices.promotions_into;
    into.of(&place, &shared.stores.promotions, |promotion| {
        target(promotion) == place
    })
}

/// Releases that promotions and the status name.
fn releases(ctx: &Context, promotions: &[Promotion], environment: &Environment) -> BTreeMap<Place, Release> {
    let named = promotions.iter().map(|promotion| {
        let namespace = promotion.namespace().unwrap_or_default();
        (namespace, promotion.spec.release_ref.name.clone())
    });
    let status = environment.status.iter();
    let deployed = status.flat_map(|status| status.stable.iter().chain(&status.history));
    let deployed = deployed.map(|deployed| (deployed.namespace.clone(), deployed.release.clone()));
    named
        .chain(deployed)
        .filter_map(|place| {
            let object = ObjectRef::new(&place.1).within(&place.0);
            let found = ctx.environments.stores.releases.get(&object)?;
            Some((place, (*found).clone()))
        })
        .collect()
}

/// Decisions of some namespaces and of those of some promotions.
fn decisions(ctx: &Context, namespaces: &BTreeSet<String>, promotions: &[Promotion]) -> Vec<Decision> {
    let of_promotions = promotions.iter().filter_map(ResourceExt::namespace);
    let namespaces: BTreeSet<String> = of_promotions.chain(namespaces.iter().cloned()).collect();
    let shared = &ctx.environments;
    let all = namespaces.into_iter().flat_map(|namespace| {
        let group = (namespace, String::new());
        shared
            .indices
            .decisions_in
            .of(&group, &shared.stores.decisions, |_| true)
    });
    all.map(|decision| (*decision).clone()).collect()
}

fn from(ctx: &Context, namespace: &str, environment: &Environment) -> Option<Environment> {
    let from = environment.spec.promotes_from.as_ref()?;
    let within = from.namespace.as_deref().unwrap_or(namespace);
    let object = ObjectRef::new(&from.name).within(within);
    let cached = ctx.environments.stores.environments.get(&object)?;
    Some((*cached).clone())
}

fn templates(ctx: &Context, namespace: &str) -> BTreeMap<(bool, String), TemplateSpec> {
    let stores = &ctx.environments.stores;
    let cluster = stores
        .cluster_templates
        .state()
        .into_iter()
        .map(|template| ((true, template.name_any()), template.spec.template.clone()));
    let own = stores
        .templates
        .state_filter(|template| template.namespace().as_deref() == Some(namespace));
    cluster
        .chain(
            own.into_iter()
                .map(|template| ((false, template.name_any()), template.spec.clone())),
        )
        .collect()
}

//! What is followed, and which Environment it wakes.

use std::{sync::Arc, time::Duration};

use dcanary_crds::{
    ClusterTemplate, DecidedKind, Decision, Environment, Promotion, Release, Template, labels,
};
use dcanary_rollout::Kind;
use futures::{Stream, StreamExt, TryStreamExt};
use kube::{
    Api, Client, ResourceExt,
    api::DynamicObject,
    runtime::{
        WatchStreamExt,
        reflector::ObjectRef,
        watcher::{self, Event, watcher},
    },
};
use tokio::sync::{Notify, mpsc, watch};
use tracing::warn;

use super::{
    index::{Place, place},
    kinds, nowhere,
    promotions::target,
    routes,
    state::Stores,
};
use crate::{
    cache::{self, Fed, Found, Unreadable, fed},
    context::Context,
    tasks::Tasks,
};

/// Deletions come in crowds: one look for all of them.
const CROWD: Duration = Duration::from_millis(200);

/// Caches of our kinds, which nobody fills yet.
pub struct Feeds {
    environments: Fed<Environment>,
    promotions: Fed<Promotion>,
    decisions: Fed<Decision>,
    releases: Fed<Release>,
    templates: Fed<Template>,
    cluster_templates: Fed<ClusterTemplate>,
    gone: Arc<Notify>,
}

impl Feeds {
    /// Of the whole cluster. `went` is called when an Environment may have been deleted.
    pub fn new(
        client: &Client,
        told: &mpsc::UnboundedSender<Found>,
        went: impl Fn() + Clone + Send + 'static,
    ) -> Self {
        let gone = Arc::new(Notify::new());
        let notify = gone.clone();
        Self {
            environments: fed(cache::cache(Api::all(client.clone()), told.clone(), move || {
                notify.notify_one();
                went();
            })),
            promotions: fed(cache::cache(Api::all(client.clone()), told.clone(), || {})),
            decisions: fed(cache::cache(Api::all(client.clone()), told.clone(), || {})),
            releases: fed(cache::cache(Api::all(client.clone()), told.clone(), || {})),
            templates: fed(cache::cache(Api::all(client.clone()), told.clone(), || {})),
            cluster_templates: fed(cache::cache(Api::all(client.clone()), told.clone(), || {})),
            gone,
        }
    }

    /// What the caches hold.
    pub fn stores(&self) -> Stores {
        Stores {
            environments: self.environments.0.store.clone(),
            promotions: self.promotions.0.store.clone(),
            decisions: self.decisions.0.store.clone(),
            releases: self.releases.0.store.clone(),
            templates: self.templates.0.store.clone(),
            cluster_templates: self.cluster_templates.0.store.clone(),
        }
    }

    /// Environments that cannot be read.
    pub fn unreadable(&self) -> Unreadable {
        self.environments.0.unreadable.clone()
    }

    /// Told when an Environment is deleted.
    pub fn gone(&self) -> Arc<Notify> {
        self.gone.clone()
    }

    /// Whether the Promotions are in their cache.
    pub fn promotions_listed(&self) -> watch::Receiver<bool> {
        self.promotions.0.listed.clone()
    }

    /// Whether the Environments are in their cache.
    pub fn environments_listed(&self) -> watch::Receiver<bool> {
        self.environments.0.listed.clone()
    }
}

/// What the controller is made of.
pub struct Watched {
    /// Environments as they change.
    pub environments: futures::stream::BoxStream<'static, Result<Environment, watcher::Error>>,
    /// Everything that decisions look at is in the caches.
    pub listed: Vec<watch::Receiver<bool>>,
}

/// Starts to fill the caches.
pub fn start(ctx: &Arc<Context>, feeds: Feeds, tasks: &mut Tasks) -> Watched {
    // the controller itself fills the cache of Environments
    let mut listed = vec![
        feeds.promotions.0.listed,
        feeds.decisions.0.listed,
        feeds.releases.0.listed,
        feeds.templates.0.listed,
        feeds.cluster_templates.0.listed,
    ];
    tasks.start_quiet("promotions", each(ctx.clone(), feeds.promotions.1, promotion));
    tasks.start_quiet("decisions", each(ctx.clone(), feeds.decisions.1, decision));
    tasks.start_quiet("releases", each(ctx.clone(), feeds.releases.1, release));
    tasks.start_quiet("templates", each(ctx.clone(), feeds.templates.1, template));
    tasks.start_quiet(
        "cluster templates",
        each(ctx.clone(), feeds.cluster_templates.1, |ctx, _| {
            ctx.environments.wake_where(|_| true);
        }),
    );
    for kind in kinds::WATCHED {
        let (ready, filled) = watch::channel(false);
        tasks.start_quiet("objects of environments", follow_kind(ctx.clone(), kind, ready));
        listed.push(filled);
    }
    let (ready, filled) = watch::channel(false);
    tasks.start_quiet("routes", routes::follow(ctx.clone(), ready));
    listed.push(filled);
    tasks.start_quiet("admission policies", super::policies::follow(ctx.clone()));
    tasks.start_quiet("gone environments", forget_gone(ctx.clone()));
    tasks.start_quiet(
        "promotions into no environment",
        nowhere::follow(ctx.clone(), feeds.environments.0.listed),
    );
    let own = ctx.clone();
    let environments = feeds
        .environments
        .1
        .inspect_ok(move |changed| environment(&own, changed));
    Watched {
        environments: environments.boxed(),
        listed,
    }
}

/// Does something with each object that changes.
async fn each<K>(
    ctx: Arc<Context>,
    stream: impl Stream<Item = Result<K, watcher::Error>> + Send + 'static,
    wake: fn(&Context, &K),
) {
    stream
        .for_each(|result| {
            match result {
                Ok(object) => wake(&ctx, &object),
                Err(error) => warn!(
                    error = &error as &dyn std::error::Error,
                    "a watch broke off; it goes on by itself"
                ),
            }
            futures::future::ready(())
        })
        .await;
}

/// Those that take releases from an Environment look at it.
fn environment(ctx: &Context, changed: &Environment) {
    let shared = &ctx.environments;
    if let Some(from) = from(changed) {
        shared.indices.environments_after.add(from, changed);
    }
    let place = place(changed);
    let after = shared
        .indices
        .environments_after
        .of(&place, &shared.stores.environments, |next| {
            from(next).as_ref() == Some(&place)
        });
    for next in after {
        wake(ctx, &super::index::place(&*next));
    }
}

/// The Environment that one takes releases from.
fn from(environment: &Environment) -> Option<Place> {
    let from = environment.spec.promotes_from.as_ref()?;
    let namespace = from.namespace.clone().or_else(|| environment.namespace());
    Some((namespace.unwrap_or_default(), from.name.clone()))
}

fn promotion(ctx: &Context, changed: &Promotion) {
    let indices = &ctx.environments.indices;
    let target = target(changed);
    indices.promotions_into.add(target.clone(), changed);
    indices.promotions_of.add(of(changed), changed);
    if nowhere::is_nowhere(ctx, changed) {
        ctx.environments.nowhere.notify_one();
    }
    wake(ctx, &target);
    // the run whose stage waits for it; whoever else wrote that label only has it looked at
    if let Some(run) = changed.labels().get(labels::RUN_UID) {
        ctx.wake(run);
    }
}

/// The Release of a Promotion.
fn of(promotion: &Promotion) -> Place {
    let namespace = promotion.namespace().unwrap_or_default();
    (namespace, promotion.spec.release_ref.name.clone())
}

fn decision(ctx: &Context, changed: &Decision) {
    let namespace = changed.namespace().unwrap_or_default();
    let group = (namespace.clone(), String::new());
    ctx.environments.indices.decisions_in.add(group, changed);
    let about = &changed.spec.target;
    match about.kind {
        DecidedKind::Environment => ctx.environments.wake(&namespace, &about.name),
        DecidedKind::Promotion => {
            let object = ObjectRef::new(&about.name).within(&namespace);
            if let Some(promotion) = ctx.environments.stores.promotions.get(&object) {
                wake(ctx, &target(&promotion));
            }
        }
        DecidedKind::PipelineRun => {}
    }
}

fn release(ctx: &Context, changed: &Release) {
    let shared = &ctx.environments;
    let place = place(changed);
    let promotions = shared
        .indices
        .promotions_of
        .of(&place, &shared.stores.promotions, |promotion| {
            of(promotion) == place
        });
    for promotion in promotions {
        wake(ctx, &target(&promotion));
    }
}

fn template(ctx: &Context, changed: &Template) {
    let namespace = changed.namespace();
    ctx.environments
        .wake_where(|environment| environment.namespace() == namespace);
}

fn wake(ctx: &Context, (namespace, name): &Place) {
    ctx.environments.wake(namespace, name);
}

/// Follows the objects of one kind that carry the label of an Environment, for ever. `ready` turns true after the first list.
pub async fn follow_kind(ctx: Arc<Context>, kind: Kind, ready: watch::Sender<bool>) {
    let api: Api<DynamicObject> = Api::all_with(ctx.client.clone(), &kinds::resource(kind));
    let config = watcher::Config::default().labels(labels::ENVIRONMENT);
    let mut events = watcher(api, config).default_backoff().boxed();
    let objects = &ctx.environments.objects;
    let mut listing = None;
    loop {
        match events.try_next().await {
            Ok(Some(Event::Init)) => listing = Some(objects.begin(kind)),
            Ok(Some(Event::InitApply(object))) => {
                for place in objects.take(kind, object, listing.as_mut()) {
                    ctx.environments.wake_labelled(&place.0, &place.1);
                }
            }
            Ok(Some(Event::InitDone)) => {
                for place in listing
                    .take()
                    .map(|listing| objects.listed(listing))
                    .unwrap_or_default()
                {
                    ctx.environments.wake_labelled(&place.0, &place.1);
                }
                ready.send_replace(true);
            }
            Ok(Some(Event::Apply(object))) => {
                for place in objects.take(kind, object, None) {
                    ctx.environments.wake_labelled(&place.0, &place.1);
                }
            }
            Ok(Some(Event::Delete(object))) => {
                if let Some(place) = objects.gone(kind, &object) {
                    ctx.environments.wake_labelled(&place.0, &place.1);
                }
            }
            Ok(None) => return,
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                kind = kind.name(),
                "the watch on objects of Environments broke off; it goes on by itself"
            ),
        }
    }
}

/// Forgets what is known of Environments that are gone.
async fn forget_gone(ctx: Arc<Context>) {
    loop {
        ctx.environments.gone.notified().await;
        tokio::time::sleep(CROWD).await;
        let live: std::collections::HashSet<String> = ctx.environments.live().into_iter().collect();
        ctx.environments.memory.retain(|uid| live.contains(uid));
        // a Promotion may have come when its Environment was let go of
        ctx.environments.nowhere.notify_one();
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;

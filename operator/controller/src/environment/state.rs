//! What the reconcilers of Environments share.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use dcanary_core::pod::label;
use dcanary_crds::{ClusterTemplate, Decision, Environment, Promotion, Release, Template};
use dcanary_rollout::{Settings, seen::POLICIES_NOT_READ};
use jiff::Timestamp;
use kube::{
    Client, ResourceExt,
    runtime::reflector::{self, ObjectRef, Store},
};
use tokio::sync::{Notify, mpsc, watch};

use super::{
    accounts::Accounts, index::Index, memory::Memory, objects::Objects, places::Places, secrets::IdentityKey,
};
use crate::{cache::Unreadable, measure::Sources};

/// A label of this length may stand for a longer name.
const SHORTENED: usize = 60;
/// Samples that are taken at once, for all Environments.
const SAMPLES: usize = 64;
/// Gateways that are asked at once (`route.verify`).
const GATEWAYS: usize = 32;
/// Documents that are on their way to the artifact store at once.
const UPLOADS: usize = 16;

/// Caches.
#[derive(Clone)]
pub struct Stores {
    /// Environments.
    pub environments: Store<Environment>,
    /// Promotions.
    pub promotions: Store<Promotion>,
    /// Decisions.
    pub decisions: Store<Decision>,
    /// Releases.
    pub releases: Store<Release>,
    /// Templates.
    pub templates: Store<Template>,
    /// Templates of the cluster.
    pub cluster_templates: Store<ClusterTemplate>,
}

impl Stores {
    /// Caches that nobody fills.
    pub fn empty() -> Self {
        Self {
            environments: reflector::store().0,
            promotions: reflector::store().0,
            decisions: reflector::store().0,
            releases: reflector::store().0,
            templates: reflector::store().0,
            cluster_templates: reflector::store().0,
        }
    }
}

/// What belongs to what.
#[derive(Default)]
pub struct Indices {
    /// Promotions by the Environment that they are for.
    pub promotions_into: Index,
    /// Promotions by their Release.
    pub promotions_of: Index,
    /// Decisions by namespace (the name is empty).
    pub decisions_in: Index,
    /// Environments by the one that they take releases from.
    pub environments_after: Index,
}

/// Shared by all reconcilers of Environments.
pub struct Environments {
    /// Settings for decisions.
    pub settings: Arc<Settings>,
    /// Caches.
    pub stores: Stores,
    /// What belongs to what in them.
    pub indices: Indices,
    /// Objects with the label of an Environment.
    pub objects: Objects,
    /// What is known besides.
    pub memory: Memory,
    /// Environments that cannot be read: they exist, whatever the cache says.
    pub unreadable: Unreadable,
    /// Something was deleted.
    pub gone: Arc<Notify>,
    /// A Promotion may be for an Environment that does not exist.
    pub nowhere: Notify,
    /// Clients of service accounts.
    pub accounts: Accounts,
    /// Since when the admission policies are in place as shipped, or why they are not.
    pub policies: watch::Sender<Result<Timestamp, String>>,
    /// The API server knows the kinds of the Gateway API.
    pub gateway_api: watch::Sender<bool>,
    /// Key for digests of Secrets, once it is there.
    pub identity_key: OnceLock<IdentityKey>,
    /// Whom metrics ask.
    pub sources: Sources,
    /// One place for each sample that is taken at once.
    pub samples: Arc<Places>,
    /// One for each gateway that is asked at once: slow metrics hold up no check of a route.
    pub gateways: Arc<Places>,
    /// One for each document on its way to the artifact store.
    pub uploads: Arc<Places>,
    wake: mpsc::UnboundedSender<ObjectRef<Environment>>,
    woken: Mutex<Option<mpsc::UnboundedReceiver<ObjectRef<Environment>>>>,
}

impl Environments {
    /// Nothing is known yet.
    pub fn new(
        client: Client,
        settings: Settings,
        stores: Stores,
        unreadable: Unreadable,
        gone: Arc<Notify>,
        sources: Sources,
    ) -> Self {
        let (wake, woken) = mpsc::unbounded_channel();
        Self {
            settings: Arc::new(settings),
            stores,
            indices: Indices::default(),
            objects: Objects::default(),
            memory: Memory::default(),
            unreadable,
            gone,
            nowhere: Notify::new(),
            accounts: Accounts::new(client),
            policies: watch::Sender::new(Err(POLICIES_NOT_READ.to_owned())),
            gateway_api: watch::Sender::new(false),
            identity_key: OnceLock::new(),
            sources,
            samples: Places::new(SAMPLES),
            gateways: Places::new(GATEWAYS),
            uploads: Places::new(UPLOADS),
            wake,
            woken: Mutex::new(Some(woken)),
        }
    }

    /// Environments that are to be reconciled soon. Only the first caller gets them.
    pub fn woken(&self) -> Option<mpsc::UnboundedReceiver<ObjectRef<Environment>>> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Reconciles an Environment soon, if it is there.
    pub fn wake(&self, namespace: &str, name: &str) {
        // the receiver lives as long as the controller
        let _ = self.wake.send(ObjectRef::new(name).within(namespace));
    }

    /// Reconciles the Environment soon that the label of an object in its namespace names.
    pub fn wake_labelled(&self, namespace: &str, value: &str) {
        self.wake(namespace, value);
        if value.len() >= SHORTENED {
            self.wake_where(|environment| {
                environment.namespace().as_deref() == Some(namespace)
                    && label(&environment.name_any()) == value
            });
        }
    }

    /// Reconciles the Environment of a UID soon. `false`: it is not known.
    pub fn wake_uid(&self, uid: &str) -> bool {
        let object = self.memory.object(uid);
        let known = object.is_some();
        if let Some(object) = object {
            // the receiver lives as long as the controller
            let _ = self.wake.send(object);
        }
        known
    }

    /// Reconciles those that are asked for soon.
    pub fn wake_where(&self, wanted: impl Fn(&Environment) -> bool) {
        for environment in self.stores.environments.state() {
            if wanted(&environment) {
                // the receiver lives as long as the controller
                let _ = self.wake.send(ObjectRef::from_obj(&*environment));
            }
        }
    }

    /// An Environment as it is known now.
    pub fn current(&self, uid: &str) -> Option<Environment> {
        let cached = self.stores.environments.get(&self.memory.object(uid)?)?;
        (cached.uid().as_deref() == Some(uid)).then(|| self.memory.freshest(&cached))
    }

    /// UIDs of the Environments that there are, those among them that cannot be read.
    pub fn live(&self) -> Vec<String> {
        let unreadable = self.unreadable.all().into_iter().map(|(_, uid)| uid);
        let cached = self.stores.environments.state();
        cached
            .iter()
            .filter_map(|environment| environment.uid())
            .chain(unreadable)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use kube::runtime::watcher::Event;

    use super::*;
    use crate::testing::{Answer, ApiServer, context_of, environment};

    #[tokio::test]
    async fn an_environment_with_a_name_that_fits_no_label_is_woken_by_its_shortened_one() {
        let api = ApiServer::start(|_| Answer::error(500, "InternalError", "not asked"));
        let (environments, mut writer) = reflector::store();
        let mut long = environment("env-1");
        let name = "a".repeat(100);
        long.metadata.name = Some(name.clone());
        writer.apply_watcher_event(&Event::Apply(long));
        let stores = Stores {
            environments,
            ..Stores::empty()
        };
        let ctx = context_of(api.client(), stores);
        let mut woken = ctx.environments.woken().unwrap();
        ctx.environments.wake_labelled("team", &label(&name));
        let all: Vec<String> = std::iter::from_fn(|| woken.try_recv().ok())
            .map(|object| object.name)
            .collect();
        assert!(all.contains(&name), "{all:?}");
    }
}

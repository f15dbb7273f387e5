//! Caches of our kinds. An object that cannot be parsed is kept out of the cache and told, and the others go on.

use std::{
    collections::HashMap,
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{Stream, StreamExt, stream::BoxStream};
use kube::{
    Api, Resource,
    api::ApiResource,
    core::{DeserializeGuard, ObjectMeta, error_boundary::InvalidObject},
    runtime::{
        WatchStreamExt,
        reflector::{self, ObjectRef, Store},
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};

/// An object that cannot be parsed.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its kind.
    pub resource: ApiResource,
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// What is wrong with it.
    pub error: String,
}

/// Namespace and name.
type Key = (Option<String>, String);

/// The objects of one kind that cannot be parsed: UIDs by place.
#[derive(Debug, Clone, Default)]
pub struct Unreadable(Arc<Mutex<HashMap<Key, String>>>);

impl Unreadable {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is the place of one.
    pub fn has(&self, namespace: &str, name: &str) -> bool {
        self.lock()
            .contains_key(&(Some(namespace.to_owned()), name.to_owned()))
    }

    /// Namespace and UID of each.
    pub fn all(&self) -> Vec<(String, String)> {
        let known = self.lock();
        let all = known.iter();
        all.map(|((namespace, _), uid)| (namespace.clone().unwrap_or_default(), uid.clone()))
            .collect()
    }
}

/// A cache.
pub struct Cache<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    /// What could be parsed.
    pub store: Store<K>,
    /// What could not.
    pub unreadable: Unreadable,
    /// Whether the first list is in it. `Store::wait_until_ready` wakes only one waiter (kube 5.0), and a controller is one.
    pub listed: watch::Receiver<bool>,
}

/// A cache and the stream that fills it.
pub type Fed<K> = (Cache<K>, BoxStream<'static, Result<K, watcher::Error>>);

/// The same with a stream whose type nobody has to name.
pub fn fed<K>(
    (cache, stream): (
        Cache<K>,
        impl Stream<Item = Result<K, watcher::Error>> + Send + 'static,
    ),
) -> Fed<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    (cache, stream.boxed())
}

/// A cache and the stream that fills it. `gone` is called when something may have been deleted, after the cache has it.
pub fn cache<K>(
    api: Api<DeserializeGuard<K>>,
    told: mpsc::UnboundedSender<Found>,
    gone: impl Fn() + Clone + Send + 'static,
) -> (
    Cache<K>,
    impl Stream<Item = Result<K, watcher::Error>> + Send + 'static,
)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let (first, listed) = watch::channel(false);
    let unreadable = Unreadable::default();
    let mut sieve = Sieve {
        store: store.clone(),
        unreadable: unreadable.clone(),
        listing: HashMap::new(),
        told,
    };
    let unread_gone = gone.clone();
    let stream = watcher(api, watcher::Config::default())
        .default_backoff()
        .filter_map(move |event| {
            let deleted = matches!(event, Ok(Event::Delete(_)));
            let passed = event.map(|event| sieve.pass(event)).transpose();
            // one that could not be parsed is not in the cache: nothing of it goes on from here
            if deleted && passed.is_none() {
                unread_gone();
            }
            futures::future::ready(passed)
        })
        .modify(|object| object.meta_mut().managed_fields = None)
        .reflect(writer)
        .inspect(move |event| {
            if matches!(event, Ok(Event::InitDone)) {
                first.send_replace(true);
            }
            if matches!(event, Ok(Event::InitDone | Event::Delete(_))) {
                gone();
            }
        })
        .touched_objects();
    let cache = Cache {
        store,
        unreadable,
        listed,
    };
    (cache, stream)
}

/// Lets through what can be parsed.
struct Sieve<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store: Store<K>,
    unreadable: Unreadable,
    /// Those of the list that is coming in.
    listing: HashMap<Key, String>,
    told: mpsc::UnboundedSender<Found>,
}

impl<K> Sieve<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    fn pass(&mut self, event: Event<DeserializeGuard<K>>) -> Option<Event<K>> {
        match event {
            Event::Init => {
                self.listing.clear();
                Some(Event::Init)
            }
            Event::InitApply(DeserializeGuard(Ok(object))) => Some(Event::InitApply(object)),
            Event::InitApply(DeserializeGuard(Err(bad))) => {
                self.listing
                    .insert(key(&bad.metadata), bad.metadata.uid.clone().unwrap_or_default());
                self.tell(bad);
                None
            }
            Event::InitDone => {
                *self.unreadable.lock() = std::mem::take(&mut self.listing);
                Some(Event::InitDone)
            }
            Event::Apply(DeserializeGuard(Ok(object))) => {
                self.unreadable.lock().remove(&key(object.meta()));
                Some(Event::Apply(object))
            }
            Event::Apply(DeserializeGuard(Err(bad))) => {
                let key = key(&bad.metadata);
                let uid = bad.metadata.uid.clone().unwrap_or_default();
                self.unreadable.lock().insert(key.clone(), uid);
                self.tell(bad);
                // nobody may decide on what it was before
                self.former(&key)
            }
            Event::Delete(DeserializeGuard(Ok(object))) => {
                self.unreadable.lock().remove(&key(object.meta()));
                Some(Event::Delete(object))
            }
            Event::Delete(DeserializeGuard(Err(bad))) => {
                let key = key(&bad.metadata);
                self.unreadable.lock().remove(&key);
                self.former(&key)
            }
        }
    }

    fn former(&self, (namespace, name): &Key) -> Option<Event<K>> {
        let mut reference = ObjectRef::<K>::new(name);
        reference.namespace.clone_from(namespace);
        let former = self.store.get(&reference)?;
        Some(Event::Delete((*former).clone()))
    }

    fn tell(&self, bad: InvalidObject) {
        // nobody listens only when the program ends
        let _ = self.told.send(Found {
            resource: ApiResource::erase::<K>(&()),
            metadata: bad.metadata,
            error: bad.error,
        });
    }
}

fn key(metadata: &ObjectMeta) -> Key {
    (
        metadata.namespace.clone(),
        metadata.name.clone().unwrap_or_default(),
    )
}

/// Waits until a cache holds its first list. `false`: its stream ended before.
pub async fn filled(mut listed: watch::Receiver<bool>) -> bool {
    listed.wait_for(|listed| *listed).await.is_ok()
}

/// The name of an object for logs.
pub fn named(metadata: &ObjectMeta) -> String {
    let (namespace, name) = key(metadata);
    match namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use dcanary_crds::Pipeline;
    use kube::{ResourceExt, runtime::reflector::store::Writer};
    use serde_json::{Value, json};

    use super::*;

    fn guarded(name: &str, stages: &Value) -> DeserializeGuard<Pipeline> {
        serde_json::from_value(json!({
            "apiVersion": "dcanary.dev/v1alpha1", "kind": "Pipeline",
            "metadata": {"name": name, "namespace": "team", "uid": format!("uid-{name}")},
            "spec": {"stages": stages},
        }))
        .unwrap()
    }

    fn good(name: &str) -> DeserializeGuard<Pipeline> {
        let guarded = guarded(
            name,
            &json!([{"name": "a", "image": "busybox", "steps": [{"run": "true"}]}]),
        );
        assert!(guarded.0.is_ok(), "{:?}", guarded.0);
        guarded
    }

    fn bad(name: &str) -> DeserializeGuard<Pipeline> {
        let guarded = guarded(name, &json!("not a list"));
        assert!(guarded.0.is_err());
        guarded
    }

    struct Double {
        sieve: Sieve<Pipeline>,
        writer: Writer<Pipeline>,
        told: mpsc::UnboundedReceiver<Found>,
    }

    impl Double {
        fn new() -> Self {
            let (store, writer) = reflector::store();
            let (sender, told) = mpsc::unbounded_channel();
            let sieve = Sieve {
                store,
                unreadable: Unreadable::default(),
                listing: HashMap::new(),
                told: sender,
            };
            Self { sieve, writer, told }
        }

        fn happens(&mut self, event: Event<DeserializeGuard<Pipeline>>) {
            if let Some(event) = self.sieve.pass(event) {
                self.writer.apply_watcher_event(&event);
            }
        }

        fn cached(&self) -> Vec<String> {
            let mut names: Vec<_> = self.sieve.store.state().iter().map(|p| p.name_any()).collect();
            names.sort();
            names
        }
    }

    #[test]
    fn one_object_that_cannot_be_parsed_is_told_and_the_others_are_cached() {
        let mut double = Double::new();
        double.happens(Event::Init);
        double.happens(Event::InitApply(good("a")));
        double.happens(Event::InitApply(bad("b")));
        double.happens(Event::InitApply(good("c")));
        double.happens(Event::InitDone);
        assert_eq!(double.cached(), ["a", "c"]);
        let found = double.told.try_recv().unwrap();
        assert_eq!(found.metadata.name.as_deref(), Some("b"));
        assert!(found.error.contains("not a list"), "{}", found.error);
        assert_eq!(
            double.sieve.unreadable.all(),
            [("team".to_owned(), "uid-b".to_owned())]
        );
        double.happens(Event::Apply(good("d")));
        assert_eq!(double.cached(), ["a", "c", "d"]);
    }

    #[test]
    fn an_object_that_becomes_unreadable_leaves_the_cache_and_comes_back_when_it_can_be_read() {
        let mut double = Double::new();
        double.happens(Event::Init);
        double.happens(Event::InitApply(good("a")));
        double.happens(Event::InitDone);
        double.happens(Event::Apply(bad("a")));
        assert!(double.cached().is_empty(), "nobody decides on what it was before");
        assert_eq!(
            double.sieve.unreadable.all().len(),
            1,
            "it still counts as existing"
        );
        double.happens(Event::Apply(good("a")));
        assert_eq!(double.cached(), ["a"]);
        assert!(double.sieve.unreadable.all().is_empty());
        double.happens(Event::Apply(bad("a")));
        double.happens(Event::Delete(bad("a")));
        assert!(double.sieve.unreadable.all().is_empty() && double.cached().is_empty());
    }
}

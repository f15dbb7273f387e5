//! Objects: create, replace, delete, as the service account of the Environment or as the operator.
//!
//! Only conflicts change the course of things; what is refused is remembered, so that decisions can tell people.

use std::{sync::Arc, time::Instant};

use dcanary_core::pod::label;
use dcanary_crds::{Environment, Promotion, labels};
use dcanary_rollout::{Actor, FIELD_MANAGER, Key, Kind, Write};
use jiff::Timestamp;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, DynamicObject, PostParams, Preconditions},
    core::Request,
};
use serde_json::Value;
use tracing::{debug, warn};

use super::{Acted, answer::Answer};
use crate::{
    context::Context,
    environment::{
        accounts, kinds,
        memory::Read,
        objects::as_seen,
        observe::{account, named},
        refusals::{Fingerprint, UNAVAILABLE},
    },
    ledger::chain,
    memory::version,
};

/// Kinds of which a decision takes over what an Environment of the same name left behind.
const TAKEN_OVER: [Kind; 8] = [
    Kind::Deployment,
    Kind::StatefulSet,
    Kind::DaemonSet,
    Kind::Service,
    Kind::ConfigMap,
    Kind::PodDisruptionBudget,
    Kind::HttpRoute,
    Kind::GrpcRoute,
];

/// Who asks, and for which Environment.
struct Asking<'a> {
    ctx: &'a Context,
    environment: &'a Environment,
    uid: String,
    namespace: String,
    user: String,
    client: Result<Client, String>,
}

impl<'a> Asking<'a> {
    fn new(ctx: &'a Context, environment: &'a Environment, actor: Actor) -> Self {
        let namespace = environment.namespace().unwrap_or_default();
        let account = account(environment);
        let (user, client) = match actor {
            Actor::Operator => ("the operator".to_owned(), Ok(ctx.client.clone())),
            Actor::Environment => (
                accounts::user(&namespace, account),
                ctx.environments
                    .accounts
                    .client(&namespace, account)
                    .map_err(|error| error.to_string()),
            ),
        };
        Self {
            ctx,
            environment,
            uid: environment.uid().unwrap_or_default(),
            namespace,
            user,
            client,
        }
    }

    fn is_held_back(&self, key: &Key, fingerprint: Fingerprint) -> bool {
        let now = Timestamp::now();
        self.ctx.environments.memory.with(&self.uid, |memory| {
            memory.refusals.holds_back(key, fingerprint, now)
        })
    }

    /// Remembers a refusal. The next decision sees it.
    fn refuse(
        &self,
        key: &Key,
        fingerprint: Fingerprint,
        reason: &str,
        message: String,
        terminating: bool,
    ) -> Acted {
        warn!(
            kind = key.kind.name(),
            name = key.name,
            user = self.user,
            reason,
            message,
            "it is not done; will try again"
        );
        let now = Timestamp::now();
        self.ctx.environments.memory.with(&self.uid, |memory| {
            memory.terminating |= terminating;
            memory.refusals.add(key, fingerprint, reason, message, now);
        });
        Acted::Changed
    }

    fn clear(&self, key: &Key) {
        self.ctx
            .environments
            .memory
            .with(&self.uid, |memory| memory.refusals.clear(key));
    }

    /// An object as the API server has it now counts for the next decision, whatever the watches told.
    fn note(&self, key: &Key, object: DynamicObject) {
        if key.kind == Kind::Promotion {
            if let (Some(uid), Ok(promotion)) = (object.uid(), object.try_parse::<Promotion>()) {
                self.ctx
                    .environments
                    .memory
                    .with(&self.uid, |memory| memory.promotions.insert(uid, promotion));
            }
            return;
        }
        if named(self.environment).contains(key) {
            let read = Read {
                at: Instant::now(),
                answer: Ok(Some(Arc::new(as_seen(key.kind, object.clone())))),
            };
            self.ctx
                .environments
                .memory
                .with(&self.uid, |memory| memory.objects.insert(key.clone(), read));
        }
        self.ctx.environments.objects.written(key.kind, object);
    }

    /// An object is gone, or may be.
    fn forget(&self, key: &Key) {
        self.ctx
            .environments
            .memory
            .with(&self.uid, |memory| memory.objects.remove(key));
        self.ctx.environments.objects.forget(&self.namespace, key);
    }

    /// Reads an object as the operator.
    async fn read(&self, key: &Key) -> Result<Option<DynamicObject>, kube::Error> {
        kinds::read(&self.ctx.client, &self.namespace, key).await
    }
}

/// Creates or replaces an object.
pub async fn write(ctx: &Context, environment: &Environment, write: &Write) -> Acted {
    let mut asking = Asking::new(ctx, environment, write.actor);
    let key = &write.key;
    if let Some(namespace) = write
        .object
        .pointer("/metadata/namespace")
        .and_then(Value::as_str)
        && key.kind == Kind::Promotion
    {
        // it is where its Release is
        namespace.clone_into(&mut asking.namespace);
    }
    let fingerprint = Fingerprint::of_write(write, &asking.user);
    if asking.is_held_back(key, fingerprint) {
        return Acted::Done;
    }
    let client = match &asking.client {
        Ok(client) => client.clone(),
        Err(error) => return asking.refuse(key, fingerprint, "Forbidden", error.clone(), false),
    };
    let replaces = replaced_version(&write.object);
    match send(&client, &asking.namespace, write, replaces.is_some()).await {
        Ok(written) => {
            asking.clear(key);
            let same = replaces.is_some() && replaces == written.resource_version();
            asking.note(key, written);
            if same {
                debug!(kind = key.kind.name(), name = key.name, "it was so already");
                Acted::Done
            } else {
                Acted::Changed
            }
        }
        Err(error) => match Answer::of(&error, &asking.user, replaces.is_none()) {
            Answer::Conflict => {
                newer(&asking, key).await;
                Acted::Outdated
            }
            Answer::Gone => {
                asking.forget(key);
                Acted::Outdated
            }
            Answer::Exists => existing(&asking, write, fingerprint).await,
            Answer::Refused {
                reason,
                message,
                terminating,
            } => asking.refuse(key, fingerprint, reason, message, terminating),
        },
    }
}

/// The version that a write replaces.
fn replaced_version(object: &Value) -> Option<String> {
    let version = object.pointer("/metadata/resourceVersion")?.as_str()?;
    Some(version.to_owned())
}

async fn send(
    client: &Client,
    namespace: &str,
    write: &Write,
    replaces: bool,
) -> Result<DynamicObject, kube::Error> {
    let key = &write.key;
    let url = DynamicObject::url_path(&kinds::resource(key.kind), Some(namespace));
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    // as it was decided, byte for byte: no type of ours gets between
    let body = serde_json::to_vec(&write.object).map_err(kube::Error::SerdeError)?;
    let request = if replaces {
        Request::new(url).replace(&key.name, &params, body)
    } else {
        Request::new(url).create(&params, body)
    };
    client.request(request.map_err(kube::Error::BuildRequest)?).await
}

/// What is there now, so that the next decision need not wait for the watch.
async fn newer(asking: &Asking<'_>, key: &Key) {
    match asking.read(key).await {
        Ok(Some(object)) => asking.note(key, object),
        Ok(None) => asking.forget(key),
        Err(error) => debug!(
            kind = key.kind.name(),
            name = key.name,
            error = &error as &dyn std::error::Error,
            "it cannot be read now; the watch will tell"
        ),
    }
}

/// An object of that name is there: ours counts, another one is left alone.
async fn existing(asking: &Asking<'_>, write: &Write, fingerprint: Fingerprint) -> Acted {
    let key = &write.key;
    match asking.read(key).await {
        Ok(Some(object)) => match owner(asking, write, &object) {
            None => {
                asking.clear(key);
                asking.note(key, object);
                Acted::Outdated
            }
            Some(by) => {
                let message = format!(
                    "{} {} belongs to {by}: delete or rename it, or give the Environment another name",
                    key.kind.name(),
                    key.name
                );
                asking.refuse(key, fingerprint, "Foreign", message, false)
            }
        },
        // it was there and is gone again
        Ok(None) => Acted::Outdated,
        Err(error) => asking.refuse(key, fingerprint, UNAVAILABLE, chain(&error), false),
    }
}

/// Whose an object is; `None`: ours.
fn owner(asking: &Asking<'_>, write: &Write, object: &DynamicObject) -> Option<String> {
    let uid = object.labels().get(labels::ENVIRONMENT_UID);
    if uid == Some(&asking.uid) {
        return None;
    }
    // a Promotion carries no mark of ours that counts: one that asks for the same is the same
    if key_is_same_promotion(write, object) {
        return None;
    }
    // what an Environment of our name left behind: the next decision takes it over
    let former = object.labels().get(labels::ENVIRONMENT) == Some(&label(&asking.environment.name_any()));
    if former && uid.is_some() && TAKEN_OVER.contains(&write.key.kind) {
        return None;
    }
    Some(match (object.labels().get(labels::ENVIRONMENT), uid) {
        (Some(name), Some(_)) if *name == label(&asking.environment.name_any()) => {
            format!("an earlier Environment {name}")
        }
        (Some(name), _) => format!("Environment {name}"),
        (None, _) => "somebody else".to_owned(),
    })
}

fn key_is_same_promotion(write: &Write, object: &DynamicObject) -> bool {
    write.key.kind == Kind::Promotion && object.data.get("spec") == write.object.get("spec")
}

/// An object to delete.
#[derive(Debug, Clone, Copy)]
pub struct Which<'a> {
    /// The object.
    pub key: &'a Key,
    /// Its UID.
    pub uid: &'a str,
    /// Its version, where another one is not to be deleted.
    pub version: Option<&'a str>,
}

/// Deletes an object of exactly that UID and version.
pub async fn delete(ctx: &Context, environment: &Environment, which: Which<'_>, actor: Actor) -> Acted {
    let Which {
        key,
        uid,
        version: seen,
    } = which;
    let asking = Asking::new(ctx, environment, actor);
    let fingerprint = Fingerprint::of_deletion(uid, &asking.user);
    if asking.is_held_back(key, fingerprint) {
        return Acted::Done;
    }
    let client = match &asking.client {
        Ok(client) => client.clone(),
        Err(error) => return asking.refuse(key, fingerprint, "Forbidden", error.clone(), false),
    };
    let api: Api<DynamicObject> = Api::namespaced_with(client, &asking.namespace, &kinds::resource(key.kind));
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: seen.map(str::to_owned),
        }),
        ..DeleteParams::background()
    };
    match api.delete(&key.name, &params).await {
        Ok(deleted) => {
            asking.clear(key);
            // one that goes slowly comes back with its time of deletion
            if let Some(object) = deleted.left()
                && version(&object) > 0
                && object.metadata.deletion_timestamp.is_some()
            {
                asking.note(key, object);
            }
            Acted::Done
        }
        Err(error) => match Answer::of(&error, &asking.user, false) {
            // gone, or another one has the name: either way the watch may be behind
            Answer::Gone | Answer::Conflict | Answer::Exists => {
                asking.clear(key);
                newer(&asking, key).await;
                Acted::Done
            }
            Answer::Refused {
                reason,
                message,
                terminating,
            } => asking.refuse(key, fingerprint, reason, message, terminating),
        },
    }
}

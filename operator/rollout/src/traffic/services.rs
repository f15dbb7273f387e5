//! The two Services.
//!
//! One that exists is read, modified and replaced: `clusterIP`, node ports and whatever else is in it stays.

use dcanary_crds::{Port, RouteKind, labels};
use serde_json::{Map, Value, json};

use super::{
    obstacle::Obstacle,
    owner::{Ours, owner},
    path::{at, list, put, take, text},
    place::{Place, delete, write},
    selector::{self, Selector},
};
use crate::{
    plan::Effect,
    seen::{Key, Kind},
};

const NAME: &str = "app.kubernetes.io/name";

/// A Service of the Environment.
pub(super) struct Service<'a> {
    place: &'a Place<'a>,
    pub(super) key: Key,
    /// As it is; `None`: it is not there.
    pub(super) seen: Option<&'a Value>,
    ours: Ours,
}

impl<'a> Service<'a> {
    /// Looks at a Service.
    pub(super) fn look(place: &'a Place<'a>, name: &str) -> Result<Self, Obstacle> {
        let key = Key::new(Kind::Service, name);
        let seen = place.object(&key)?;
        let ours = match seen {
            Some(object) => owner(place, &key, object)?,
            None => Ours::Created,
        };
        if seen.and_then(|object| text(object, &["spec", "type"])) == Some("ExternalName") {
            return Err(Obstacle::Foreign(format!(
                "Service {name} is of type ExternalName and can lead to no Pods: change its type, or delete it"
            )));
        }
        Ok(Self {
            place,
            key,
            seen,
            ours,
        })
    }

    /// What it selects now.
    pub(super) fn selector(&self) -> Option<Selector> {
        self.seen.map(selector::of_service)
    }

    /// Whether it selects exactly this.
    pub(super) fn leads_to(&self, target: &Selector) -> bool {
        self.selector().as_ref() == Some(target)
    }

    /// Brings it into being, or up to date. `None`: it is so already.
    pub(super) fn set(&self, target: &Selector) -> Option<Effect> {
        let object = match self.seen {
            Some(seen) => {
                let mut object = self.shaped(seen);
                put(&mut object, &["spec", "selector"], json!(target));
                object
            }
            None => self.created(target),
        };
        (self.seen != Some(&object)).then(|| write(self.key.clone(), object))
    }

    /// Brings all but the selector of an existing one up to date. `None`: it is so already, or not there.
    pub(super) fn keep(&self) -> Option<Effect> {
        let seen = self.seen?;
        let object = self.shaped(seen);
        (object != *seen).then(|| write(self.key.clone(), object))
    }

    /// Deletes it, or lets go of it. `None`: it is not there.
    pub(super) fn remove(&self) -> Option<Effect> {
        let seen = self.seen?;
        if self.ours == Ours::Created {
            return Some(delete(self.key.clone(), seen));
        }
        let mut object = seen.clone();
        if let Some(all) = object.pointer_mut("/metadata/labels") {
            take(all, labels::ENVIRONMENT);
            take(all, labels::ENVIRONMENT_UID);
        }
        (object != *seen).then(|| write(self.key.clone(), object))
    }

    fn created(&self, target: &Selector) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": self.key.name,
                "namespace": self.place.namespace,
                "labels": labels_of(self.place),
            },
            "spec": {"selector": target, "ports": ports(self.place, &[], Ours::Created)},
        })
    }

    fn shaped(&self, seen: &Value) -> Value {
        let mut object = seen.clone();
        for (key, value) in labels_of(self.place) {
            let taken = self.ours == Ours::TakenOver && at(seen, &["metadata", "labels", &key]).is_some();
            if key != NAME || !taken {
                put(&mut object, &["metadata", "labels", &key], value);
            }
        }
        let ports = ports(self.place, list(seen, &["spec", "ports"]), self.ours);
        put(&mut object, &["spec", "ports"], json!(ports));
        object
    }
}

/// Labels of what is created for an Environment.
pub(super) fn labels_of(place: &Place<'_>) -> Map<String, Value> {
    [
        (labels::ENVIRONMENT, place.stable),
        (labels::ENVIRONMENT_UID, place.uid),
        (NAME, place.stable),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), json!(value)))
    .collect()
}

/// Ports as they should be. In a Service that was taken over, what `traffic.ports` does not say stays.
fn ports(place: &Place<'_>, seen: &[Value], ours: Ours) -> Vec<Value> {
    let wanted = &place.spec.ports;
    let is = |entry: &Value, port: &Port| {
        at(entry, &["port"]).and_then(Value::as_i64) == Some(i64::from(port.port))
            && text(entry, &["protocol"]).unwrap_or("TCP") == "TCP"
    };
    let others: Vec<Value> = seen
        .iter()
        .filter(|entry| ours == Ours::TakenOver && !wanted.iter().any(|port| is(entry, port)))
        .cloned()
        .collect();
    let several = wanted.len() + others.len() > 1;
    let grpc = matches!(&place.spec.route, Some(route) if route.kind == RouteKind::Grpc);
    wanted
        .iter()
        .map(|port| {
            let before = seen.iter().find(|entry| is(entry, port));
            port_entry(port, before, several, grpc, ours == Ours::TakenOver)
        })
        .chain(others)
        .collect()
}

fn port_entry(port: &Port, before: Option<&Value>, several: bool, grpc: bool, keep: bool) -> Value {
    let mut entry = before
        .cloned()
        .unwrap_or_else(|| json!({"port": port.port, "protocol": "TCP"}));
    let mut say = |key: &str, value: Option<Value>| match value {
        Some(value) => put(&mut entry, &[key], value),
        None if keep => {}
        None => take(&mut entry, key),
    };
    let named = before.and_then(|entry| text(entry, &["name"])).filter(|_| keep);
    let name = port.name.clone().or_else(|| named.map(str::to_owned));
    say(
        "name",
        name.or_else(|| several.then(|| format!("port-{}", port.port)))
            .map(Value::from),
    );
    let target = port.target_port.map(Value::from);
    let kept = before.and_then(|entry| entry.get("targetPort")).filter(|_| keep);
    say(
        "targetPort",
        target
            .or_else(|| kept.cloned())
            .or_else(|| Some(json!(port.port))),
    );
    let protocol = port.app_protocol.as_deref().or(grpc.then_some("grpc"));
    say(
        "appProtocol",
        protocol.map(|protocol| json!(app_protocol(protocol))),
    );
    entry
}

/// Names of protocols that have no registered one are spelled as Kubernetes does. gRPC is HTTP/2 without TLS to a gateway.
fn app_protocol(name: &str) -> &str {
    match name {
        "h2c" | "grpc" => "kubernetes.io/h2c",
        "ws" => "kubernetes.io/ws",
        "wss" => "kubernetes.io/wss",
        other => other,
    }
}

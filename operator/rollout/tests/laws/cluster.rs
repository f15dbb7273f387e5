//! API server, Deployment controller and gateway, as far as a rollout meets them.

use std::collections::{BTreeMap, BTreeSet};

use dcanary_rollout::{Effect, Key, Kind};
use serde_json::{Value, json};

#[derive(Debug, Clone, Default)]
pub struct Cluster {
    pub objects: BTreeMap<Key, Value>,
    /// Workloads of which no Pod is ready.
    pub lame: BTreeSet<String>,
    /// The gateway answers nothing any more.
    pub silent: bool,
    /// Workloads that no more than so many Pods become ready of.
    pub frozen: BTreeMap<String, i64>,
    /// Routes whose gateway is gone.
    pub deaf: BTreeSet<String>,
    /// Pods of StatefulSets and DaemonSets.
    pub pods: BTreeMap<String, Value>,
    /// How many of them were made.
    pub made: u64,
    version: u64,
}

impl Cluster {
    /// Carries out a write as the API server does: under the version, with a new generation when the spec changes.
    pub fn write(&mut self, key: &Key, object: &Value) -> bool {
        self.version += 1;
        let version = self.version.to_string();
        let there = self.objects.get(key);
        let asked = object
            .pointer("/metadata/resourceVersion")
            .and_then(Value::as_str);
        let mut new = object.clone();
        match (there, asked) {
            (None, None) => {
                new["metadata"]["uid"] = format!("uid-{:?}-{}-{version}", key.kind, key.name).into();
                new["metadata"]["generation"] = 1.into();
            }
            (Some(there), Some(asked)) if there["metadata"]["resourceVersion"] == asked => {
                let generation = there["metadata"]["generation"].as_i64().unwrap_or(1);
                let changed = there.get("spec") != new.get("spec");
                new["metadata"]["uid"] = there["metadata"]["uid"].clone();
                new["metadata"]["generation"] = (generation + i64::from(changed)).into();
                if let Some(status) = there.get("status") {
                    new["status"] = status.clone();
                }
            }
            _ => return false,
        }
        new["metadata"]["resourceVersion"] = version.into();
        self.objects.insert(key.clone(), new);
        true
    }

    pub fn delete(&mut self, key: &Key, uid: &str) {
        if key.kind == Kind::Pod {
            self.pods.retain(|_, pod| pod["metadata"]["uid"] != uid);
        }
        if self
            .objects
            .get(key)
            .is_some_and(|object| object["metadata"]["uid"] == uid)
        {
            self.objects.remove(key);
        }
    }

    /// Lets the controllers of Kubernetes catch up.
    pub fn settle(&mut self) {
        let in_place = |key: &&Key| matches!(key.kind, Kind::StatefulSet | Kind::DaemonSet);
        for key in self.objects.keys().filter(in_place).cloned().collect::<Vec<_>>() {
            self.settle_in_place(&key);
        }
        for (key, object) in &mut self.objects {
            let generation = object["metadata"]["generation"].clone();
            match key.kind {
                Kind::Deployment => {
                    let wanted = object["spec"]["replicas"].as_i64().unwrap_or(1);
                    let image = object
                        .pointer("/spec/template/spec/containers/0/image")
                        .and_then(Value::as_str)
                        .unwrap_or_default();
                    let ready = if image.contains("crash") || self.lame.contains(&key.name) {
                        0
                    } else {
                        self.frozen
                            .get(&key.name)
                            .map_or(wanted, |most| wanted.min(*most))
                    };
                    object["status"] = json!({
                        "observedGeneration": generation, "replicas": wanted, "updatedReplicas": wanted,
                        "readyReplicas": ready, "availableReplicas": ready,
                    });
                }
                Kind::PipelineRun => {
                    object["status"] = json!({"conditions": [
                        {"type": "Finished", "status": "True"}, {"type": "Succeeded", "status": "True"},
                    ]});
                }
                Kind::HttpRoute if !self.silent && !self.deaf.contains(&key.name) => {
                    object["status"] = json!({"parents": [{
                        "parentRef": {"name": "gateway"}, "controllerName": "test",
                        "conditions": [
                            {"type": "Accepted", "status": "True", "observedGeneration": generation},
                            {"type": "ResolvedRefs", "status": "True", "observedGeneration": generation},
                        ],
                    }]});
                }
                _ => {}
            }
        }
    }

    pub fn available(&self, workload: &str) -> i64 {
        let key = Key::new(Kind::Deployment, workload);
        let object = self.objects.get(&key);
        object
            .and_then(|object| object.pointer("/status/availableReplicas")?.as_i64())
            .unwrap_or(0)
    }

    pub fn replicas(&self, workload: &str) -> i64 {
        let object = self.objects.get(&Key::new(Kind::Deployment, workload));
        object
            .and_then(|object| object.pointer("/spec/replicas")?.as_i64())
            .unwrap_or(0)
    }

    /// Workload that a Service leads to.
    pub fn leads_to(&self, service: &str) -> Option<String> {
        let service = self.objects.get(&Key::new(Kind::Service, service))?;
        let release = service.pointer("/spec/selector")?.get("dcanary.dev/release")?;
        release.as_str().map(str::to_owned)
    }

    /// Weights of the route, by Service.
    pub fn weights(&self) -> BTreeMap<String, i64> {
        let route = self.objects.get(&Key::new(Kind::HttpRoute, "web"));
        route.map(weights).unwrap_or_default()
    }

    /// Percent of requests by workload.
    pub fn shares(&self) -> BTreeMap<String, i64> {
        let mut shares = BTreeMap::new();
        for (service, weight) in self.weights() {
            if let Some(workload) = self.leads_to(&service) {
                *shares.entry(workload).or_default() += weight;
            }
        }
        shares
    }

    pub fn carry_out(&mut self, effect: &Effect) -> bool {
        match effect {
            Effect::Write(write) if write.key.kind != Kind::Promotion => {
                self.write(&write.key, &write.object)
            }
            Effect::Delete {
                key, uid, version, ..
            } => {
                let there = self.objects.get(key);
                let now = there.and_then(|object| object["metadata"]["resourceVersion"].as_str());
                // else it is another one by now
                if version.is_none() || version.as_deref() == now {
                    self.delete(key, uid);
                }
                true
            }
            _ => true,
        }
    }
}

/// Weights of the rule of a route that comes last, by Service.
pub fn weights(route: &Value) -> BTreeMap<String, i64> {
    let rules = route.pointer("/spec/rules").and_then(Value::as_array);
    let weighted = rules.and_then(|rules| rules.last()?["backendRefs"].as_array());
    weighted
        .into_iter()
        .flatten()
        .map(|backend| {
            let name = backend["name"].as_str().unwrap_or_default().to_owned();
            (name, backend["weight"].as_i64().unwrap_or(1))
        })
        .collect()
}

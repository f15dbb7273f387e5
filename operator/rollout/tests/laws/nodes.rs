//! StatefulSets and DaemonSets, as far as a rollout meets them: one Pod after another is replaced, from the highest on, and the next one only when
//! all that were replaced are ready.

use std::collections::BTreeMap;

use dcanary_rollout::{Key, Kind};
use serde_json::{Value, json};

use crate::cluster::Cluster;

/// Nodes that a DaemonSet is for.
const NODES: i64 = 3;

impl Cluster {
    /// Lets the controller of a StatefulSet or DaemonSet catch up.
    pub fn settle_in_place(&mut self, key: &Key) {
        let Some(object) = self.objects.get(key).cloned() else {
            return;
        };
        let daemon = key.kind == Kind::DaemonSet;
        let wanted = if daemon {
            NODES
        } else {
            object["spec"]["replicas"].as_i64().unwrap_or(1)
        };
        let uid = object["metadata"]["uid"].clone();
        // gone with the workload that had them
        self.pods
            .retain(|_, pod| pod["metadata"]["ownerReferences"][0]["uid"] == uid);
        for ordinal in 0..wanted {
            let name = format!("{}-{ordinal}", key.name);
            if !self.pods.contains_key(&name) {
                self.place(&object, &name);
            }
        }
        let over = |name: &String| ordinal(name) >= wanted;
        self.pods.retain(|name, _| !over(name));
        if let Some(next) = self.next_of(&object) {
            self.place(&object, &next);
        }
        for pod in self.pods.values_mut() {
            let ready = !image(&pod["spec"]).contains("crash") && !self.lame.contains(&key.name);
            pod["status"] =
                json!({"conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]});
        }
        let present = image(&object["spec"]["template"]["spec"]);
        let count = |test: &dyn Fn(&Value) -> bool| self.pods.values().filter(|pod| test(pod)).count();
        let (ready, updated) = (count(&is_ready), count(&|pod| image(&pod["spec"]) == present));
        let generation = object["metadata"]["generation"].clone();
        let status = if daemon {
            json!({"observedGeneration": generation, "desiredNumberScheduled": wanted, "currentNumberScheduled": wanted,
                "numberReady": ready, "numberAvailable": ready, "updatedNumberScheduled": updated})
        } else {
            json!({"observedGeneration": generation, "replicas": wanted, "readyReplicas": ready,
                "availableReplicas": ready, "updatedReplicas": updated})
        };
        if let Some(object) = self.objects.get_mut(key) {
            object["status"] = status;
        }
    }

    /// The Pod that its controller replaces next.
    fn next_of(&self, object: &Value) -> Option<String> {
        let strategy = &object["spec"]["updateStrategy"];
        if strategy["type"] == "OnDelete" {
            return None;
        }
        let partition = strategy
            .pointer("/rollingUpdate/partition")
            .and_then(Value::as_i64)
            .unwrap_or(0);
        let present = image(&object["spec"]["template"]["spec"]);
        let (mut new, mut old): (Vec<_>, Vec<_>) = self
            .pods
            .iter()
            .filter(|(name, _)| ordinal(name) >= partition)
            .partition(|(_, pod)| image(&pod["spec"]) == present);
        let waits = new.drain(..).any(|(_, pod)| !is_ready(pod)) || old.iter().any(|(_, pod)| !is_ready(pod));
        old.sort_by_key(|(name, _)| ordinal(name));
        old.last().filter(|_| !waits).map(|(name, _)| (*name).clone())
    }

    /// A Pod of the present template.
    fn place(&mut self, object: &Value, name: &str) {
        self.made += 1;
        let template = &object["spec"]["template"];
        let pod = json!({
            "metadata": {
                "name": name, "uid": format!("pod-{name}-{}", self.made),
                "labels": template["metadata"]["labels"], "annotations": template["metadata"]["annotations"],
                "ownerReferences": [{"uid": object["metadata"]["uid"], "controller": true}],
            },
            "spec": template["spec"],
        });
        self.pods.insert(name.to_owned(), pod);
    }

    /// How many Pods have each image, by the name of its release.
    pub fn by_release(&self) -> BTreeMap<String, usize> {
        let mut all = BTreeMap::new();
        for pod in self.pods.values() {
            let name = image(&pod["spec"]).trim_start_matches("registry/");
            let name = name.split('@').next().unwrap_or_default().to_owned();
            *all.entry(name).or_default() += 1;
        }
        all
    }
}

fn image(spec: &Value) -> &str {
    let image = spec.pointer("/containers/0/image");
    image.and_then(Value::as_str).unwrap_or_default()
}

fn is_ready(pod: &Value) -> bool {
    pod.pointer("/status/conditions/0/status")
        .is_some_and(|ready| ready == "True")
}

fn ordinal(name: &str) -> i64 {
    name.rsplit('-')
        .next()
        .and_then(|ordinal| ordinal.parse().ok())
        .unwrap_or(0)
}

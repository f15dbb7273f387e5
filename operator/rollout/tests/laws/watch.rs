//! The laws that are watched at each decision and each write.

use std::collections::{BTreeMap, BTreeSet};

use dcanary_crds::{Doing, EnvironmentStatus};
use dcanary_rollout::{Effect, Key, Kind, Plan, Seen, next};

use serde_json::Value;

use crate::{cluster::weights, world::World};

/// Seconds that a workload keeps its Pods after its last request, as the Environments of the tests have it.
const DRAIN: i64 = 10;
/// Seconds that endpoints have to follow a Service.
const SETTLE: i64 = 5;

impl World {
    /// On its own result, with nothing else changed, a decision changes nothing.
    pub fn idempotent(&self, seen: &Seen, plan: &Plan, changed: bool) {
        let again = next(&self.env, seen, self.now);
        if !changed {
            assert_eq!(plan, &again, "deterministic");
        }
        if again.status == plan.status {
            return;
        }
        let differs = differences("", &json(&plan.status), &json(&again.status));
        assert!(
            differs.is_empty(),
            "not idempotent on its own result: {differs:#?}"
        );
    }

    /// Nothing is taken away that serves requests by weight, or did so until less than the time to drain ago. And requests take the way of a
    /// Service that was switched only after its endpoints have had time to follow.
    pub fn before(&mut self, effect: &Effect) {
        self.note_switched(effect);
        if self.env.metadata.deletion_timestamp.is_some() {
            return;
        }
        self.note_served();
        let (name, after) = match effect {
            Effect::Write(write) if write.key.kind == Kind::Deployment => {
                let replicas = write.object.pointer("/spec/replicas");
                (&write.key.name, replicas.and_then(Value::as_i64).unwrap_or(1))
            }
            Effect::Delete { key, .. } if key.kind == Kind::Deployment => (&key.name, 0),
            Effect::Write(write) if write.key.kind == Kind::HttpRoute => {
                self.settled(&write.object);
                return;
            }
            _ => return,
        };
        let before = self.cluster.replicas(name);
        let drained = self
            .served
            .get(name)
            .is_none_or(|last| self.now.duration_since(*last).as_secs() >= DRAIN);
        assert!(
            drained || after >= before || after >= i64::from(self.env.spec.replicas.unwrap_or(1)),
            "{name} goes from {before} to {after} at {}, it served until {:?}; now serve {:?}",
            self.now,
            self.served.get(name),
            self.cluster.shares()
        );
    }

    fn settled(&self, route: &Value) {
        let share = |weights: &BTreeMap<String, i64>| weights.get("web").copied();
        let (before, after) = (self.cluster.weights(), weights(route));
        let early = self
            .switched
            .is_some_and(|at| self.now.duration_since(at).as_secs() < SETTLE);
        assert!(
            !early || share(&before).is_none() || share(&after) <= share(&before),
            "{before:?} becomes {after:?} at {}, `web` was switched at {:?}",
            self.now,
            self.switched
        );
    }

    /// Notes that the Service of the stable release is to lead elsewhere.
    fn note_switched(&mut self, effect: &Effect) {
        if let Effect::Write(write) = effect
            && write.key == Key::new(Kind::Service, "web")
            && let Some(there) = self.cluster.objects.get(&write.key)
            && there["spec"]["selector"] != write.object["spec"]["selector"]
        {
            self.switched = Some(self.now);
        }
    }

    /// Notes which workloads serve requests now.
    pub fn note_served(&mut self) {
        for (workload, share) in self.cluster.shares().into_iter().chain(self.followed()) {
            if share > 0 {
                self.served.insert(workload, self.now);
            }
        }
    }

    /// What holds at any time.
    pub fn laws(&self) {
        let weights = self.cluster.weights();
        if !weights.is_empty() {
            assert_eq!(
                weights.values().sum::<i64>(),
                100,
                "weights sum to 100: {weights:?}"
            );
        }
        let status = self.status();
        if let (Some(rollout), Some(stable)) = (&status.rollout, &status.stable) {
            let moving =
                rollout.finished_at.is_none() && !matches!(rollout.doing, Doing::Waiting | Doing::PreDeploy);
            if moving
                && self
                    .cluster
                    .objects
                    .contains_key(&Key::new(Kind::Deployment, &stable.workload))
            {
                assert!(
                    self.cluster.replicas(&stable.workload) >= i64::from(rollout.stable_replicas),
                    "the stable release has its Pods until the end"
                );
            }
            let share = self.cluster.shares().get(&rollout.workload).copied().unwrap_or(0);
            self.not_before_its_time(rollout);
            let ready = self.cluster.available(&rollout.workload);
            // Pods that died under their requests are not the doing of a decision
            let died = self.cluster.lame.contains(&rollout.workload);
            if moving && !died && rollout.doing == Doing::Stepping && rollout.stable_replicas > 0 {
                assert!(
                    share <= 100 * ready / i64::from(rollout.stable_replicas),
                    "{share} % on {ready} Pods of {}",
                    rollout.stable_replicas
                );
            }
        }
    }
}

/// No plan writes or deletes an object twice: the second would meet a version that is not there any more, and the answers to both would be
/// taken for each other's.
pub fn one_at_a_time(plan: &Plan) {
    let mut keys = BTreeSet::new();
    for effect in &plan.effects {
        let key = match effect {
            Effect::Write(write) => &write.key,
            Effect::Delete { key, .. } => key,
            _ => continue,
        };
        assert!(keys.insert(key), "{key:?} twice: {:#?}", plan.effects);
    }
}

fn json(status: &EnvironmentStatus) -> Value {
    serde_json::to_value(status).unwrap()
}

/// Where two documents differ.
fn differences(place: &str, one: &Value, other: &Value) -> Vec<String> {
    use Value::{Array, Object};
    match (one, other) {
        (Object(a), Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            keys.into_iter()
                .flat_map(|key| {
                    let null = Value::Null;
                    differences(
                        &format!("{place}/{key}"),
                        a.get(key).unwrap_or(&null),
                        b.get(key).unwrap_or(&null),
                    )
                })
                .collect()
        }
        (Array(a), Array(b)) if a.len() == b.len() => a
            .iter()
            .zip(b)
            .enumerate()
            .flat_map(|(i, (a, b))| differences(&format!("{place}/{i}"), a, b))
            .collect(),
        _ if one == other => Vec::new(),
        _ => vec![format!("{place}: {one} → {other}")],
    }
}

//! The laws that are watched at each decision and each write.

use std::collections::BTreeSet;

use dcanary_crds::{Doing, EnvironmentStatus};
use dcanary_rollout::{Effect, Key, Kind, Plan, Seen, next};

use crate::world::World;

impl World {
    /// On its own result, with nothing else changed, a decision changes nothing.
    pub fn idempotent(&self, seen: &Seen, plan: &Plan) {
        let again = next(&self.env, seen, self.now);
        let differs = differences("", &json(&plan.status), &json(&again.status));
        assert!(
            differs.is_empty(),
            "not idempotent on its own result: {differs:#?}"
        );
    }

    /// Nothing that serves requests is taken away.
    pub fn before(&self, effect: &Effect) {
        if self.env.metadata.deletion_timestamp.is_some() {
            return;
        }
        let shares = self.cluster.shares();
        match effect {
            Effect::Write(write) if write.key.kind == Kind::Deployment => {
                let before = self.cluster.replicas(&write.key.name);
                let after = write
                    .object
                    .pointer("/spec/replicas")
                    .and_then(serde_json::Value::as_i64)
                    .unwrap_or(1);
                let serves = shares.get(&write.key.name).is_some_and(|share| *share > 0);
                assert!(
                    !serves || after >= before || after >= i64::from(self.env.spec.replicas.unwrap_or(1)),
                    "{} serves {shares:?} and goes from {before} to {after}",
                    write.key.name
                );
            }
            Effect::Delete { key, .. } if key.kind == Kind::Deployment => {
                assert!(
                    shares.get(&key.name).is_none_or(|share| *share == 0),
                    "{} serves",
                    key.name
                );
            }
            _ => {}
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
            let ready = self.cluster.available(&rollout.workload);
            if moving && rollout.doing == Doing::Stepping && rollout.stable_replicas > 0 {
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

fn json(status: &EnvironmentStatus) -> serde_json::Value {
    serde_json::to_value(status).unwrap()
}

/// Where two documents differ.
fn differences(place: &str, one: &serde_json::Value, other: &serde_json::Value) -> Vec<String> {
    use serde_json::Value::{Array, Object};
    match (one, other) {
        (Object(a), Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            keys.into_iter()
                .flat_map(|key| {
                    let null = serde_json::Value::Null;
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

//! The objects that `e2e/kstatus` lets the kstatus library judge: what an Environment and a Promotion look like to `helm --wait` and Flux in each of
//! their rows.
//!
//! `DCANARY_GOLDEN=write` writes them anew. The first word of a file's name is what kstatus has to say.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{fs, path::Path, sync::Arc};

use dcanary_crds::{Environment, Promotion, Release, labels};
use dcanary_rollout::{Effect, Key, Kind, Seen, Settings, next};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

const ROUNDS: usize = 60;

/// An Environment and a cluster that does what it is asked at once.
struct World {
    env: Environment,
    seen: Seen,
    now: Timestamp,
    version: u64,
    /// Pods of Deployments become available.
    healthy: bool,
}

impl World {
    fn new(steps: &Value) -> Self {
        let env = serde_json::from_value(json!({
            "apiVersion": "dcanary.dev/v1alpha1", "kind": "Environment",
            "metadata": {"name": "production", "namespace": "shop", "uid": "uid-production", "generation": 1},
            "spec": {
                "replicas": 2,
                "workload": {"template": {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "$(images.web)"}]}}}}},
                "traffic": {"ports": [{"port": 80}], "drain": "1s"},
                "strategy": {"canary": {"steps": steps, "scaleDownDelay": "1s"}},
            },
            "status": {"observedGeneration": -1},
        }))
        .unwrap();
        Self {
            env,
            seen: Seen {
                settings: Arc::new(Settings {
                    project: "shop".to_owned(),
                    ledger: false,
                }),
                ..Seen::default()
            },
            now: "2026-03-01T12:00:00Z".parse().unwrap(),
            version: 1,
            healthy: true,
        }
    }

    /// Asks for a release.
    fn promote(&mut self, release: &str, digit: &str, from: &str) {
        let image = format!("r.example/web@sha256:{}", digit.repeat(64));
        let object: Release = serde_json::from_value(json!({
            "apiVersion": "dcanary.dev/v1alpha1", "kind": "Release",
            "metadata": {"name": release, "namespace": from}, "spec": {"images": {"web": image}},
        }))
        .unwrap();
        self.seen
            .releases
            .insert((from.to_owned(), release.to_owned()), object);
        let promotion: Promotion = serde_json::from_value(json!({
            "apiVersion": "dcanary.dev/v1alpha1", "kind": "Promotion",
            "metadata": {
                "name": format!("{release}-x"), "namespace": from, "uid": format!("uid-{release}"), "generation": 1,
                "creationTimestamp": self.now.to_string(),
            },
            "spec": {
                "environmentRef": {"name": "production", "namespace": "shop"}, "releaseRef": {"name": release},
                "requestedBy": "ada",
            },
            "status": {"observedGeneration": -1},
        }))
        .unwrap();
        self.seen.promotions.push(promotion);
    }

    fn decide(&mut self, verb: &str, release: &str) {
        let decision = serde_json::from_value(json!({
            "apiVersion": "dcanary.dev/v1alpha1", "kind": "Decision",
            "metadata": {
                "name": verb, "namespace": "shop", "uid": format!("uid-{verb}"), "creationTimestamp": self.now.to_string(),
            },
            "spec": {
                "for": {"kind": "Promotion", "name": format!("{release}-x"), "uid": format!("uid-{release}")},
                "verb": verb, "by": {"username": "bo"}, "reason": "a test",
            },
        }))
        .unwrap();
        self.seen.decisions.push(decision);
    }

    /// Some seconds of the operator.
    fn pass(&mut self) {
        for _ in 0..ROUNDS {
            let plan = next(&self.env, &self.seen, self.now);
            self.env.status = Some(plan.status);
            for effect in plan.effects {
                self.carry_out(effect);
            }
            self.now += SignedDuration::from_secs(1);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::HoldEnvironment => {
                self.env.metadata.finalizers = Some(vec![labels::ENVIRONMENT_FINALIZER.to_owned()]);
            }
            Effect::Write(write) => self.store(write.key, write.object),
            Effect::Delete { key, .. } => {
                self.seen.objects.remove(&key);
            }
            Effect::WritePromotion { uid, status, .. } => {
                for promotion in &mut self.seen.promotions {
                    if promotion.metadata.uid.as_deref() == Some(&uid) {
                        promotion.status = Some((*status).clone());
                    }
                }
            }
            Effect::StoreEvidence { digest, .. } => {
                self.seen.evidence.insert(digest);
            }
            _ => {}
        }
    }

    fn store(&mut self, key: Key, mut object: Value) {
        self.version += 1;
        object["metadata"]["uid"] = json!(format!("uid-{}", key.name));
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        object["metadata"]["generation"] = json!(self.version);
        self.seen.objects.insert(key, object);
        self.run_pods();
    }

    /// What the controllers of the cluster write into Deployments.
    fn run_pods(&mut self) {
        for (key, object) in &mut self.seen.objects {
            if key.kind == Kind::Deployment {
                let wanted = object["spec"]["replicas"].as_i64().unwrap_or(1);
                let ready = if self.healthy { wanted } else { 0 };
                object["status"] = json!({
                    "observedGeneration": object["metadata"]["generation"], "replicas": wanted, "updatedReplicas": wanted,
                    "readyReplicas": ready, "availableReplicas": ready,
                });
            }
        }
    }

    fn environment(&self) -> Value {
        let status = self.env.status.as_ref().unwrap();
        shown(
            "Environment",
            "production",
            self.env.metadata.generation,
            status.observed_generation,
            &json!(status.conditions),
        )
    }

    fn promotion(&self, release: &str) -> Value {
        let name = format!("{release}-x");
        let found = self
            .seen
            .promotions
            .iter()
            .find(|one| one.metadata.name.as_deref() == Some(&name))
            .unwrap();
        let status = found.status.as_ref().unwrap();
        shown(
            "Promotion",
            &name,
            found.metadata.generation,
            status.observed_generation,
            &json!(status.conditions),
        )
    }
}

/// What kstatus looks at.
fn shown(kind: &str, name: &str, generation: Option<i64>, observed: i64, conditions: &Value) -> Value {
    json!({
        "apiVersion": "dcanary.dev/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": "shop", "generation": generation},
        "status": {"observedGeneration": observed, "conditions": conditions},
    })
}

/// A first release that serves.
fn serving(steps: &Value) -> World {
    let mut world = World::new(steps);
    world.promote("one", "1", "shop");
    world.pass();
    world
}

/// A second one on its way.
fn rolling_out(steps: &Value) -> World {
    let mut world = serving(steps);
    world.promote("two", "2", "shop");
    world.pass();
    world
}

/// Whether a condition holds.
fn holds(object: &Value, kind: &str) -> bool {
    object["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .any(|condition| condition["type"] == kind && condition["status"] == "True")
}

#[test]
fn the_golden_objects_of_kstatus_are_what_the_operator_writes() {
    let mut fresh = World::new(&json!([{"weight": 50}]));
    let unseen = fresh.environment();
    fresh.pass();
    let served = serving(&json!([{"weight": 50}]));
    let mut under_way = rolling_out(&json!([{"weight": 50}, {"pause": {"duration": "1h"}}]));
    under_way.promote("three", "3", "elsewhere");
    let unseen_promotion = under_way.promotion("three");
    under_way.pass();
    let mut paused = rolling_out(&json!([{"weight": 50}, {"pause": {}}]));
    let stopped = (paused.environment(), paused.promotion("two"));
    paused.decide("reject", "two");
    paused.pass();
    let mut broken = serving(&json!([{"weight": 50}]));
    broken.healthy = false;
    broken.run_pods();
    broken.pass();
    let mut refused = World::new(&json!([{"weight": 50}, {"weight": 10}]));
    refused.pass();

    // the rows are what they are called
    assert!(holds(&under_way.environment(), "Progressing") && holds(&under_way.environment(), "Ready"));
    assert!(holds(&stopped.0, "Paused") && holds(&stopped.0, "Ready"));
    assert!(holds(&paused.environment(), "RolledBack") && holds(&paused.environment(), "Ready"));

    let golden = [
        ("InProgress.environment-that-nobody-has-seen", unseen),
        ("InProgress.environment-without-a-release", fresh.environment()),
        ("Current.environment-that-serves", served.environment()),
        (
            "Current.environment-with-a-rollout-under-way",
            under_way.environment(),
        ),
        ("Current.environment-that-is-paused", stopped.0),
        ("Current.environment-that-was-rolled-back", paused.environment()),
        (
            "InProgress.environment-whose-stable-release-is-not-available",
            broken.environment(),
        ),
        ("Failed.environment-whose-spec-is-refused", refused.environment()),
        ("InProgress.promotion-that-nobody-has-seen", unseen_promotion),
        (
            "InProgress.promotion-that-is-under-way",
            under_way.promotion("two"),
        ),
        ("InProgress.promotion-that-is-paused", stopped.1),
        ("Current.promotion-that-succeeded", served.promotion("one")),
        ("Failed.promotion-that-was-rolled-back", paused.promotion("two")),
        ("Failed.promotion-that-was-refused", under_way.promotion("three")),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/kstatus");
    for (name, object) in golden {
        let file = folder.join(format!("{name}.json"));
        let text = serde_json::to_string_pretty(&object).unwrap() + "\n";
        if std::env::var("DCANARY_GOLDEN").is_ok_and(|value| value == "write") {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&file, &text).unwrap();
        }
        assert_eq!(
            fs::read_to_string(&file).unwrap_or_default(),
            text,
            "{name} is not what the operator writes; DCANARY_GOLDEN=write writes it anew"
        );
    }
}

//! The world around one Environment. It watches the laws at each write.

use std::{collections::BTreeMap, sync::Arc};

use dcanary_core::observed::JournalSeen;
use dcanary_crds::{
    Decision, Doing, Environment, EnvironmentStatus, Promotion, Release, RolloutOutcome, Verb,
    release::DecidedKind,
};
use dcanary_rollout::{
    Effect, Kind, Plan, Seen, Settings, next,
    seen::{Answer, MeasureKey, Measurement},
};
use dcanary_types::environment::{EnvMachine, EnvTransition};
use jiff::{SignedDuration, Timestamp};

use crate::{
    build::{self, ENV, ENV_UID, NAMESPACE},
    cluster::Cluster,
};

pub struct World {
    pub now: Timestamp,
    pub env: Environment,
    pub cluster: Cluster,
    pub promotions: Vec<Promotion>,
    pub releases: BTreeMap<(String, String), Release>,
    pub decisions: Vec<Decision>,
    pub measurements: BTreeMap<MeasureKey, Measurement>,
    pub evidence: std::collections::BTreeSet<String>,
    /// Records that the chain holds, and its machine.
    pub chain: Vec<EnvTransition>,
    pub machine: Option<EnvMachine>,
    pub chain_away: bool,
    /// Value of every metric of a release that is not bad.
    pub metric_away: bool,
    pub from: Option<Environment>,
    pub policies: Result<(), String>,
    made: u32,
}

impl World {
    pub fn new(env: Environment) -> Self {
        let mut world = Self {
            now: "2026-01-02T03:04:05Z".parse().unwrap(),
            env,
            cluster: Cluster::default(),
            promotions: Vec::new(),
            releases: BTreeMap::new(),
            decisions: Vec::new(),
            measurements: BTreeMap::new(),
            evidence: std::collections::BTreeSet::new(),
            chain: Vec::new(),
            machine: None,
            chain_away: false,
            metric_away: false,
            from: None,
            policies: Ok(()),
            made: 0,
        };
        for name in ["good1", "good2", "good3", "crash", "bad"] {
            world
                .releases
                .insert((NAMESPACE.to_owned(), name.to_owned()), build::release(name));
        }
        world
    }

    pub fn status(&self) -> EnvironmentStatus {
        self.env.status.clone().unwrap_or_default()
    }

    pub fn stable(&self) -> Option<String> {
        self.status().stable.map(|stable| stable.release)
    }

    pub fn doing(&self) -> Option<Doing> {
        self.status().rollout.map(|rollout| rollout.doing)
    }

    pub fn outcome(&self) -> Option<RolloutOutcome> {
        let rollout = self.status().rollout?;
        rollout.finished_at?;
        rollout.outcome
    }

    pub fn pass(&mut self, seconds: i64) {
        self.now = self.now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
    }

    /// Asks for a release; the name of the promotion.
    pub fn promote(&mut self, release: &str) -> String {
        self.ask(release, false)
    }

    pub fn ask(&mut self, release: &str, undo: bool) -> String {
        self.made += 1;
        self.pass(1);
        let name = format!("p{}", self.made);
        self.promotions
            .push(build::promotion(&name, release, self.now, undo));
        name
    }

    pub fn decide(&mut self, promotion: &str, verb: Verb, by: &str) {
        let digest = self
            .promotions
            .iter()
            .find(|other| other.metadata.name.as_deref() == Some(promotion))
            .and_then(|promotion| promotion.status.as_ref()?.identity.clone());
        let uid = format!("uid-{promotion}");
        self.add(DecidedKind::Promotion, (promotion, &uid), digest, verb, by);
    }

    pub fn decide_environment(&mut self, verb: Verb, digest: Option<String>) {
        self.add(DecidedKind::Environment, (ENV, ENV_UID), digest, verb, "ann");
    }

    fn add(&mut self, kind: DecidedKind, target: (&str, &str), digest: Option<String>, verb: Verb, by: &str) {
        self.made += 1;
        self.pass(1);
        let name = format!("d{}", self.made);
        self.decisions
            .push(build::decision(&name, kind, target, digest, verb, by, self.now));
    }

    pub fn seen(&self) -> Seen {
        let journal = self.status().journal.unwrap_or_default();
        let recorded = u64::try_from(self.chain.len()).unwrap();
        Seen {
            settings: Arc::new(Settings::default()),
            promotions: self.promotions.clone(),
            releases: self.releases.clone(),
            decisions: self.decisions.clone(),
            policies: self.policies.clone(),
            from: self.from.clone(),
            objects: self.cluster.objects.clone(),
            measurements: self.measurements.clone(),
            evidence: self.evidence.clone(),
            journal: JournalSeen {
                recorded: if journal.next == 0 { 0 } else { recorded },
                ..JournalSeen::default()
            },
            gateway_api: true,
            ..Seen::default()
        }
    }

    /// One decision, carried out as far as `until` effects (a crash after that).
    pub fn decide_once(&mut self, until: usize) -> bool {
        let seen = self.seen();
        let plan = next(&self.env, &seen, self.now);
        assert_eq!(plan, next(&self.env, &seen, self.now), "deterministic");
        let changed = self.env.status.as_ref() != Some(&plan.status);
        self.env.status = Some(plan.status.clone());
        self.idempotent(&seen, &plan);
        let mut acted = false;
        for effect in plan.effects.iter().take(until) {
            acted |= self.carry_out(effect);
        }
        self.laws();
        changed || acted
    }

    /// On its own result, with nothing else changed, a decision changes nothing.
    fn idempotent(&self, seen: &Seen, plan: &Plan) {
        let again = next(&self.env, seen, self.now);
        let differs = differences("", &json(&plan.status), &json(&again.status));
        assert!(
            differs.is_empty(),
            "not idempotent on its own result: {differs:#?}"
        );
    }

    fn carry_out(&mut self, effect: &Effect) -> bool {
        match effect {
            Effect::Write(write) if write.key.kind == Kind::Promotion => {
                let name = write.key.name.clone();
                let there = self
                    .promotions
                    .iter()
                    .any(|promotion| promotion.metadata.name.as_ref() == Some(&name));
                if !there {
                    let mut promotion: Promotion = serde_json::from_value(write.object.clone()).unwrap();
                    let uid = format!("uid-{name}");
                    promotion.metadata.uid = Some(uid);
                    promotion.metadata.creation_timestamp =
                        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(self.now));
                    self.promotions.push(promotion);
                }
                !there
            }
            Effect::WritePromotion { uid, status, .. } => {
                let found = self
                    .promotions
                    .iter_mut()
                    .find(|promotion| promotion.metadata.uid.as_ref() == Some(uid));
                if let Some(promotion) = found {
                    let was = promotion
                        .status
                        .as_ref()
                        .is_some_and(|_| dcanary_rollout::wanted::finished(promotion));
                    assert!(!was, "a finished promotion never changes: {promotion:?}");
                    promotion.status = Some((**status).clone());
                }
                true
            }
            Effect::Measure(measure) => {
                let rollout = self.status().rollout.unwrap_or_default();
                let bad = rollout.release == "bad" && !measure.key.baseline;
                let answer = if self.metric_away {
                    Answer::Error("connection refused".to_owned())
                } else {
                    Answer::Value(if bad { 0.5.into() } else { 0.0.into() })
                };
                let measurement = Measurement { at: self.now, answer };
                self.measurements
                    .insert(measure.key.clone(), measurement)
                    .is_none()
            }
            Effect::StoreEvidence { digest, document } => {
                let replayed = dcanary_rollout::analysis::replay(document).unwrap();
                assert!(replayed.agrees(), "{:?}", replayed.differences);
                self.evidence.insert(digest.clone())
            }
            Effect::HoldEnvironment | Effect::ReleaseEnvironment => true,
            Effect::SealOutbox(_) | Effect::DropSealed { .. } => false,
            effect => {
                self.before(effect);
                let done = self.cluster.carry_out(effect);
                self.laws();
                done
            }
        }
    }

    /// Nothing that serves requests is taken away.
    fn before(&self, effect: &Effect) {
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
    fn laws(&self) {
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
                    .contains_key(&dcanary_rollout::Key::new(Kind::Deployment, &stable.workload))
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

    /// The chain takes what is in the outbox, and refuses what is illegal.
    pub fn record(&mut self) -> bool {
        if self.chain_away {
            return false;
        }
        let journal = self.status().journal.unwrap_or_default();
        let mut taken = false;
        for pending in &journal.pending {
            if usize::try_from(pending.n).unwrap() < self.chain.len() {
                continue;
            }
            let record =
                dcanary_core::journal::read::<EnvTransition>(pending).expect("a record of an environment");
            assert_eq!(
                usize::try_from(record.n).unwrap(),
                self.chain.len(),
                "without gaps"
            );
            let transition = record.transition;
            match &mut self.machine {
                None => {
                    let EnvTransition::Opened { from, approvals, .. } = &transition else {
                        panic!("first comes opened: {transition:?}");
                    };
                    self.machine = Some(EnvMachine::open(ENV_UID, from.as_deref(), *approvals));
                }
                Some(machine) => {
                    let outcome = machine.apply(&transition, &|_, _| Some(true));
                    assert!(outcome.is_ok(), "the chain refuses {transition:?}: {outcome:?}");
                }
            }
            self.chain.push(transition);
            taken = true;
        }
        taken
    }

    /// Everything goes on until nothing does, time included.
    pub fn run(&mut self, seconds: i64) {
        let end = self.now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
        while self.now < end {
            for _ in 0..50 {
                let mut moved = self.decide_once(usize::MAX);
                self.cluster.settle();
                moved |= self.record();
                if !moved {
                    break;
                }
            }
            self.pass(1);
        }
    }

    /// Goes on until the candidate has this weight.
    pub fn run_to(&mut self, weight: i32) {
        for _ in 0..200 {
            if self
                .status()
                .rollout
                .is_some_and(|rollout| rollout.weight == weight)
            {
                return;
            }
            self.run(1);
        }
        panic!("the weight never was {weight}: {:?}", self.status().rollout);
    }

    pub fn finished(&self, promotion: &str) -> Option<(bool, String)> {
        use dcanary_crds::{
            ConditionStatus::True,
            ConditionType::{Finished, Succeeded},
        };
        let found = self
            .promotions
            .iter()
            .find(|other| other.metadata.name.as_deref() == Some(promotion))?;
        let conditions = &found.status.as_ref()?.conditions;
        let find = |kind| conditions.iter().find(|condition| condition.kind == kind);
        let end = find(Finished).filter(|condition| condition.status == True)?;
        Some((find(Succeeded)?.status == True, end.reason.clone()))
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

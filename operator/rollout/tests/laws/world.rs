//! The world around one Environment. It watches the laws at each write.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dcanary_core::observed::{JournalSeen, Sealing};
use dcanary_crds::{
    Decision, Doing, Environment, EnvironmentStatus, PendingRecord, Promotion, Release, Rollout,
    RolloutOutcome, TemplateSpec, Verb, labels, release::DecidedKind,
};
use dcanary_rollout::{
    Effect, Key, Kind, Seen, Settings, Write, next,
    seen::{Answer, Checked, GatewayFeatures, MeasureKey, Measurement, Refusal},
};
use dcanary_types::environment::{EnvMachine, EnvTransition};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    build::{self, ENV, ENV_UID, NAMESPACE},
    cluster::Cluster,
    lagging::Behind,
    plane::Plane,
    watch::one_at_a_time,
};

/// Decisions without a second going by, after which nothing is left to do.
const ROUNDS: usize = 50;

pub struct World {
    pub now: Timestamp,
    pub env: Environment,
    pub cluster: Cluster,
    pub promotions: Vec<Promotion>,
    pub releases: BTreeMap<(String, String), Release>,
    pub decisions: Vec<Decision>,
    pub measurements: BTreeMap<MeasureKey, Measurement>,
    pub check: Option<Checked>,
    pub plane: Plane,
    pub evidence: BTreeSet<String>,
    /// The artifact store takes nothing.
    pub store_away: bool,
    /// Records that the chain holds, and its machine.
    pub chain: Vec<EnvTransition>,
    pub machine: Option<EnvMachine>,
    pub chain_away: bool,
    /// ConfigMaps of records that were put aside, and what was told of them.
    pub sealed: BTreeMap<String, Vec<PendingRecord>>,
    pub sealings: Vec<Sealing>,
    /// Value of every metric of a release that is not bad.
    pub metric_away: bool,
    pub from: Option<Environment>,
    pub templates: BTreeMap<(bool, String), TemplateSpec>,
    pub policies: Result<Timestamp, String>,
    /// Writes that the API server refuses.
    pub refuses: Option<fn(&Write) -> bool>,
    /// Why it does.
    pub refused_as: &'static str,
    /// What it refused, until its time.
    refusals: BTreeMap<Key, Refusal>,
    /// Promotions of which no status can be written.
    pub unwritable: BTreeSet<String>,
    /// Each effect is lost the first time: those that were. A crash between the status and its effects does that.
    pub lost: Option<BTreeSet<String>>,
    /// When requests went to each workload last, by weight.
    pub served: BTreeMap<String, Timestamp>,
    /// When the Service of the stable release was switched last.
    pub switched: Option<Timestamp>,
    /// What the GatewayClass lists, or why it cannot be read.
    pub gateway: Result<Vec<&'static str>, String>,
    /// The namespace is being deleted.
    pub namespace_terminating: bool,
    /// The cache of the operator that decides, when it is behind.
    pub behind: Option<Behind>,
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
            check: None,
            plane: Plane::default(),
            evidence: BTreeSet::new(),
            store_away: false,
            chain: Vec::new(),
            machine: None,
            chain_away: false,
            sealed: BTreeMap::new(),
            sealings: Vec::new(),
            metric_away: false,
            from: None,
            templates: BTreeMap::new(),
            policies: Ok(Timestamp::UNIX_EPOCH),
            refuses: None,
            refused_as: "Forbidden",
            refusals: BTreeMap::new(),
            unwritable: BTreeSet::new(),
            lost: None,
            served: BTreeMap::new(),
            switched: None,
            gateway: Ok(vec!["HTTPRouteRequestMirror", "HTTPRouteRequestPercentageMirror"]),
            namespace_terminating: false,
            behind: None,
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

    /// The rollout that is on its way.
    pub fn under_way(&self) -> Option<Rollout> {
        self.status()
            .rollout
            .filter(|rollout| rollout.finished_at.is_none())
    }

    pub fn outcome(&self) -> Option<RolloutOutcome> {
        let rollout = self.status().rollout?;
        rollout.finished_at?;
        rollout.outcome
    }

    /// Somebody deletes the Environment.
    pub fn delete(&mut self) {
        self.env.metadata.deletion_timestamp = Some(Time(self.now));
    }

    /// Somebody creates one of the same name again, which has another UID and knows nothing.
    pub fn create_again(&mut self) {
        assert!(self.is_gone());
        self.made += 1;
        self.env.metadata.uid = Some(format!("e0000000-0000-0000-0000-0000000001{:02}", self.made));
        self.env.metadata.deletion_timestamp = None;
        self.env.status = None;
        self.chain.clear();
        self.machine = None;
        self.refusals.clear();
    }

    /// The operator let the Environment go.
    pub fn is_gone(&self) -> bool {
        self.env.metadata.deletion_timestamp.is_some() && self.env.metadata.finalizers.is_none()
    }

    pub fn pass(&mut self, seconds: i64) {
        self.note_served();
        self.now = self.now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
        self.follow();
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
        let (promotions, decisions) = match &self.behind {
            Some(behind) => self.seen_behind(behind),
            None => (self.promotions.clone(), self.decisions.clone()),
        };
        let journal = self.status().journal.unwrap_or_default();
        let recorded = u64::try_from(self.chain.len()).unwrap();
        Seen {
            settings: Arc::new(Settings::default()),
            promotions,
            releases: self.releases.clone(),
            decisions,
            policies: self.policies.clone(),
            from: self.from.clone(),
            templates: self.templates.clone(),
            objects: self.cluster.objects.clone(),
            pods: self.cluster.pods.clone(),
            measurements: self.measurements.clone(),
            check: self.check.clone(),
            evidence: self.evidence.clone(),
            refusals: self.refusals.clone(),
            journal: JournalSeen {
                recorded: if journal.next == 0 { 0 } else { recorded },
                sealings: self.sealings.clone(),
                ..JournalSeen::default()
            },
            namespace_terminating: self.namespace_terminating,
            gateway_api: true,
            gateways: [((NAMESPACE.to_owned(), "gateway".to_owned()), self.gateway())].into(),
            ..Seen::default()
        }
    }

    fn gateway(&self) -> Result<GatewayFeatures, String> {
        let listed = self.gateway.clone()?;
        let listed: Vec<_> = listed
            .into_iter()
            .map(|name| serde_json::json!({"name": name}))
            .collect();
        let class =
            serde_json::json!({"metadata": {"name": "class"}, "status": {"supportedFeatures": listed}});
        Ok(GatewayFeatures::of(&class))
    }

    /// One decision, carried out as far as `until` effects (a crash after that).
    pub fn decide_once(&mut self, until: usize) -> bool {
        let seen = self.seen();
        let plan = next(&self.env, &seen, self.now);
        let changed = self.env.status.as_ref() != Some(&plan.status);
        // where nothing changed, the law of idempotence asks the same question
        if changed || self.behind.is_some() {
            assert_eq!(plan, next(&self.env, &seen, self.now), "deterministic");
        }
        self.proven(&plan.status);
        if self.behind.is_some() && self.is_outdated(&plan) {
            return false;
        }
        self.env.status = Some(plan.status.clone());
        // what the new status names is asked for anew by one who is behind
        if self.behind.is_none() {
            self.idempotent(&seen, &plan, changed);
        }
        one_at_a_time(&plan);
        let mut acted = false;
        for effect in plan.effects.iter().take(until) {
            acted |= !self.conflicts(&seen, effect) && self.carry_out(effect);
        }
        self.laws();
        changed || acted
    }

    pub fn carry_out(&mut self, effect: &Effect) -> bool {
        if self
            .lost
            .as_mut()
            .is_some_and(|lost| lost.insert(format!("{effect:?}")))
        {
            return true;
        }
        match effect {
            Effect::Write(write) if self.refuses.is_some_and(|refuses| refuses(write)) => self.refuse(write),
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
                    promotion.metadata.creation_timestamp = Some(Time(self.now));
                    self.promotions.push(promotion);
                }
                !there
            }
            Effect::WritePromotion { name, .. } if self.unwritable.contains(name) => false,
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
            Effect::Verify(verify) => self.verify(verify),
            Effect::StoreEvidence { .. } if self.store_away => false,
            Effect::StoreEvidence { digest, document } => {
                let replayed = dcanary_rollout::analysis::replay(document).unwrap();
                assert!(replayed.agrees(), "{:?}", replayed.differences);
                self.evidence.insert(digest.clone())
            }
            Effect::HoldEnvironment | Effect::ReleaseEnvironment => {
                let held = matches!(effect, Effect::HoldEnvironment);
                self.env.metadata.finalizers = held.then(|| vec![labels::ENVIRONMENT_FINALIZER.to_owned()]);
                true
            }
            Effect::SealOutbox(outbox) => self.seal(outbox),
            Effect::DropSealed { config_map } => self.sealed.remove(config_map).is_some(),
            effect => {
                self.before(effect);
                if let Effect::Write(write) = effect {
                    self.refusals.remove(&write.key);
                }
                let done = self.cluster.carry_out(effect);
                self.laws();
                done
            }
        }
    }

    /// The same is not tried again before its time. Whether it was tried.
    fn refuse(&mut self, write: &Write) -> bool {
        let waits = |refusal: &Refusal| self.now < refusal.retry_at;
        if self.refusals.get(&write.key).is_some_and(waits) {
            return false;
        }
        let refusal = Refusal {
            reason: self.refused_as.to_owned(),
            message: "it is not allowed".to_owned(),
            retry_at: self.now.checked_add(SignedDuration::from_secs(10)).unwrap(),
        };
        self.refusals.insert(write.key.clone(), refusal);
        true
    }

    /// Everything goes on until nothing does, time included.
    pub fn run(&mut self, seconds: i64) {
        let end = self.now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
        while self.now < end {
            let rests = (0..ROUNDS).any(|_| {
                let mut moved = self.decide_once(usize::MAX);
                self.cluster.settle();
                self.follow();
                moved |= self.record();
                !moved
            });
            let asks = || next(&self.env, &self.seen(), self.now).effects;
            assert!(rests, "it never comes to rest: {:#?}", asks());
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

    /// Goes on until the rollout is doing this.
    pub fn run_until(&mut self, doing: Doing) {
        for _ in 0..60 {
            if self.doing() == Some(doing) {
                return;
            }
            self.run(1);
        }
        panic!("it never is {doing:?}: {:?}", self.status().rollout);
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

//! An operator process: caches that may be behind, memory that a crash takes away, and the five steps of a reconcile.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dcanary_core::{
    Effect, Observed, Plan, SeenPod, next,
    observed::{CreateAnswer, Creation, JournalSeen, Sealing, SeenReport},
};
use dcanary_crds::{PipelineRun, Promotion, labels};
use jiff::{SignedDuration, Timestamp};

use crate::world::World;

/// Every kind of effect.
pub const EFFECTS: [&str; 10] = [
    "HoldRun",
    "CreatePod",
    "Deploy",
    "DeletePod",
    "ReleasePod",
    "RevokeSession",
    "SealOutbox",
    "DropSealed",
    "AckReports",
    "ReleaseRun",
];

#[derive(Default)]
pub struct Replica {
    cached: Option<(PipelineRun, u64)>,
    written: Option<(PipelineRun, u64)>,
    pods: Vec<SeenPod>,
    promotions: Vec<Arc<Promotion>>,
    creations: Vec<(Creation, Timestamp)>,
    /// What the last polls brought. A new process knows nothing of what the server has.
    reports: Vec<SeenReport>,
    reports_as_of: Option<Timestamp>,
    away_since: Option<Timestamp>,
    sealings: Vec<Sealing>,
    recorded: u64,
    /// Effects whose status is written and that are still to be carried out.
    stalled: Vec<Effect>,
    /// What a recorder tells besides: conflicts, refusals.
    pub told: JournalSeen,
}

/// Where a replica dies: before or after the n-th thing that it does to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Failpoints {
    pub done: usize,
    pub die_at: Option<usize>,
}

impl Failpoints {
    /// One boundary. `Err`: the process dies here.
    fn pass(&mut self) -> Result<(), Died> {
        let here = self.done;
        self.done += 1;
        if self.die_at == Some(here) {
            Err(Died)
        } else {
            Ok(())
        }
    }
}

#[derive(Debug)]
pub struct Died;

/// What a reconcile did.
#[derive(Debug, Clone, Default)]
pub struct Did {
    pub wake: Option<Timestamp>,
    pub effects: BTreeSet<&'static str>,
    pub conflict: bool,
    pub nothing: bool,
    /// An effect did not get through; those after it were not tried.
    pub failed: bool,
}

impl Replica {
    /// A new process: its first list of objects is up to date, and the server has not answered yet.
    pub fn started(world: &World) -> Self {
        let mut replica = Self {
            away_since: Some(world.now),
            ..Self::default()
        };
        replica.sync_run(world);
        replica.sync_pods(world);
        replica
    }

    pub fn sync_run(&mut self, world: &World) {
        self.cached = Some((world.run.clone(), world.version));
    }

    pub fn sync_pods(&mut self, world: &World) {
        let before = std::mem::take(&mut self.pods);
        let seen = world.pods.values().map(|pod| {
            let known = before.iter().find(|known| known.uid == pod.seen.uid);
            pod.seen.clone().seen_after(known, world.now)
        });
        self.pods = seen.collect();
        let promotions = world.promotions.values();
        self.promotions = promotions.map(|one| Arc::new(one.promotion.clone())).collect();
        for (creation, _) in &mut self.creations {
            if let CreateAnswer::Created { uid, gone } = &mut creation.answer {
                *gone = world.gone.contains(uid);
            }
        }
    }

    pub fn sync_recorder(&mut self, world: &World) {
        self.recorded = world.chain.len() as u64;
    }

    /// Reads the server's list to its end. `true`: something came of it.
    pub fn poll(&mut self, world: &World) -> bool {
        let before = (self.reports.clone(), self.reports_as_of, self.away_since);
        if world.server_away_since.is_some() {
            self.away_since.get_or_insert(world.now);
        } else {
            let known: BTreeMap<u64, Timestamp> = self
                .reports
                .iter()
                .map(|report| (report.entry.cursor, report.received))
                .collect();
            let open = world
                .reports
                .iter()
                .filter(|entry| !world.acked.contains(&entry.cursor));
            self.reports = open
                .map(|entry| SeenReport {
                    received: known.get(&entry.cursor).copied().unwrap_or(world.now),
                    entry: entry.clone(),
                })
                .collect();
            self.reports_as_of = Some(world.now);
            self.away_since = None;
        }
        before != (self.reports.clone(), self.reports_as_of, self.away_since)
    }

    fn freshest(&self) -> Option<(PipelineRun, u64)> {
        match (&self.cached, &self.written) {
            (Some(cached), Some(written)) => Some(if written.1 > cached.1 {
                written.clone()
            } else {
                cached.clone()
            }),
            (one, other) => one.clone().or_else(|| other.clone()),
        }
    }

    pub fn observe(&mut self, world: &World) -> Observed {
        let pause = SignedDuration::from_secs(10);
        self.creations.retain(|(creation, at)| {
            !matches!(
                creation.answer,
                CreateAnswer::Quota { .. } | CreateAnswer::Foreign
            ) || world.now.duration_since(*at) < pause
        });
        Observed {
            pods: self.pods.clone(),
            promotions: self.promotions.clone(),
            environments: (!world.scenario.is_missing_an_environment())
                .then(|| "production".to_owned())
                .into_iter()
                .collect(),
            creations: self
                .creations
                .iter()
                .map(|(creation, _)| creation.clone())
                .collect(),
            reports: self.reports.clone(),
            journal: JournalSeen {
                recorded: self.recorded,
                block: self.recorded.checked_sub(1),
                sealings: self.sealings.iter().chain(&self.told.sealings).cloned().collect(),
                ..self.told.clone()
            },
            server_away_since: self.away_since,
            reports_as_of: self.reports_as_of,
            namespace_terminating: world.namespace_since.is_some() && world.namespace_shown,
            ..Observed::default()
        }
    }

    pub fn plan(&mut self, world: &World) -> Option<(PipelineRun, u64, Plan)> {
        let (run, version) = self.freshest()?;
        let seen = self.observe(world);
        let plan = next(&run, &seen, world.now);
        assert_eq!(
            plan,
            next(&run, &seen, world.now),
            "the same arguments gave another plan"
        );
        // on a stale view nothing comes of a plan: its write is refused
        if version == world.version {
            check_idempotence(&run, &seen, &plan, world.now);
        }
        Some((run, version, plan))
    }

    /// One reconcile. One that stood still goes on first.
    pub fn reconcile(&mut self, world: &mut World, points: &mut Failpoints) -> Result<Did, Died> {
        self.go_on(world, points)?;
        let (mut did, effects) = self.decide(world, points)?;
        self.carry_out(world, points, &effects, &mut did)?;
        Ok(did)
    }

    /// A reconcile that stands still once its status is written: another process may do anything before the effects.
    pub fn stall(&mut self, world: &mut World) {
        self.go_on(world, &mut Failpoints::default()).unwrap();
        let (_, effects) = self.decide(world, &mut Failpoints::default()).unwrap();
        self.stalled = effects;
    }

    /// Carries out the effects before which it stood still.
    pub fn go_on(&mut self, world: &mut World, points: &mut Failpoints) -> Result<(), Died> {
        let effects = std::mem::take(&mut self.stalled);
        self.carry_out(world, points, &effects, &mut Did::default())
    }

    /// Up to the status write.
    fn decide(&mut self, world: &mut World, points: &mut Failpoints) -> Result<(Did, Vec<Effect>), Died> {
        let mut did = Did::default();
        let Some((run, version, plan)) = self.plan(world) else {
            return Ok((did, Vec::new()));
        };
        did.wake = match plan.wake {
            dcanary_core::Wake::OnChange => None,
            dcanary_core::Wake::At(at) => Some(at),
        };
        let changed = run.status.as_ref() != Some(&plan.status);
        if changed || plan.fence {
            points.pass()?;
            if !world.write(version, &plan.status) {
                self.written = None;
                did.conflict = true;
                return Ok((did, Vec::new()));
            }
            self.written = Some((world.run.clone(), world.version));
            points.pass()?;
        }
        // closing a session again is asked for as long as the Pod is there, and changes nothing
        let idle = |effect: &Effect| matches!(effect, Effect::RevokeSession { .. });
        did.nothing = !changed && plan.effects.iter().all(idle);
        Ok((did, plan.effects))
    }

    fn carry_out(
        &mut self,
        world: &mut World,
        points: &mut Failpoints,
        effects: &[Effect],
        did: &mut Did,
    ) -> Result<(), Died> {
        for effect in effects {
            points.pass()?;
            let Some(name) = self.act(world, effect) else {
                // a shell that gives up at the first error is the worst that a plan may meet
                did.failed = true;
                break;
            };
            did.effects.insert(name);
            points.pass()?;
        }
        Ok(())
    }

    /// Carries out one effect; `None`: it did not get through. Exhaustive: a new kind of effect does not compile without a case here,
    /// and one without a name in [`EFFECTS`] is found by the crash test.
    fn act(&mut self, world: &mut World, effect: &Effect) -> Option<&'static str> {
        Some(match effect {
            Effect::HoldRun => {
                let list = world.run.metadata.finalizers.get_or_insert_default();
                // the API server takes no new finalizer on something that is being deleted
                let going = world.run_gone || world.run.metadata.deletion_timestamp.is_some();
                if !going && !list.iter().any(|name| name == labels::RECORDED) {
                    list.push(labels::RECORDED.to_owned());
                    world.version += 1;
                }
                self.written = Some((world.run.clone(), world.version));
                "HoldRun"
            }
            Effect::CreatePod(create) => {
                let name = create.pod.metadata.name.clone().unwrap();
                let answer = world.create_pod(&name, &create.stage, create.attempt);
                self.creations.retain(|(creation, _)| creation.pod != name);
                self.creations.push((Creation { pod: name, answer }, world.now));
                "CreatePod"
            }
            Effect::Deploy(deploy) => {
                let name = deploy.deployment.promotion.metadata.name.clone().unwrap();
                let answer = world.deploy(deploy);
                self.creations.retain(|(creation, _)| creation.pod != name);
                self.creations.push((Creation { pod: name, answer }, world.now));
                "Deploy"
            }
            Effect::DeletePod(pod) => {
                if world
                    .pods
                    .get(&pod.name)
                    .is_some_and(|there| there.seen.uid == pod.uid)
                {
                    world.delete_pod(&pod.name);
                }
                "DeletePod"
            }
            Effect::ReleasePod(pod) => {
                if let Some(there) = world
                    .pods
                    .get_mut(&pod.name)
                    .filter(|there| there.seen.uid == pod.uid)
                {
                    there.seen.held = false;
                    world.check_release(&pod.name);
                }
                world.collect(&pod.name);
                "ReleasePod"
            }
            Effect::RevokeSession { .. } if world.server_away_since.is_some() => return None,
            Effect::RevokeSession { .. } => "RevokeSession",
            Effect::SealOutbox(seal) => {
                let there = world
                    .config_maps
                    .entry(seal.config_map.clone())
                    .or_insert_with(|| seal.records.clone());
                let answer = if *there == seal.records {
                    Sealing::Sealed {
                        first: seal.first,
                        last: seal.last,
                        hash: seal.hash.clone(),
                    }
                } else {
                    Sealing::Swapped {
                        config_map: seal.config_map.clone(),
                    }
                };
                self.sealings.push(answer);
                "SealOutbox"
            }
            Effect::DropSealed { config_map } => {
                world.config_maps.remove(config_map);
                "DropSealed"
            }
            Effect::AckReports { cursors } => {
                world.acknowledge(cursors);
                self.reports
                    .retain(|report| !cursors.contains(&report.entry.cursor));
                "AckReports"
            }
            Effect::ReleaseRun => {
                world.run.metadata.finalizers = None;
                world.version += 1;
                if world.run.metadata.deletion_timestamp.is_some() {
                    world.go();
                }
                self.written = Some((world.run.clone(), world.version));
                "ReleaseRun"
            }
        })
    }
}

/// Deciding again on one's own result, with nothing else changed, changes nothing and records nothing.
fn check_idempotence(run: &PipelineRun, seen: &Observed, plan: &Plan, now: Timestamp) {
    let mut after = run.clone();
    after.status = Some(plan.status.clone());
    let again = next(&after, seen, now);
    assert!(
        again.journal.is_empty(),
        "deciding on its own result records {:?}",
        again.journal
    );
    assert_eq!(again.status, plan.status, "deciding on its own result changes it");
}

//! An operator process: caches that may be behind, memory that a crash takes away, and the five steps of a reconcile.

use std::collections::{BTreeMap, BTreeSet};

use dcanary_core::{
    Effect, Observed, Plan, SeenPod, next,
    observed::{CreateAnswer, Creation, JournalSeen, Sealing, SeenReport},
    seen_pod::SeenPod as Seen,
};
use dcanary_crds::{PipelineRun, labels};
use jiff::{SignedDuration, Timestamp};

use crate::{
    scenario::Behaviour,
    world::{Phase, Pod, UID, World},
};

#[derive(Default)]
pub struct Replica {
    cached: Option<(PipelineRun, u64)>,
    written: Option<(PipelineRun, u64)>,
    pods: Vec<SeenPod>,
    creations: Vec<(Creation, Timestamp)>,
    received: BTreeMap<u64, Timestamp>,
    sealings: Vec<Sealing>,
    recorded: u64,
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
}

impl Replica {
    /// A new process: its first list is up to date.
    pub fn started(world: &World) -> Self {
        let mut replica = Self::default();
        replica.sync_run(world);
        replica.sync_pods(world);
        replica
    }

    pub fn sync_run(&mut self, world: &World) {
        self.cached = Some((world.run.clone(), world.version));
    }

    pub fn sync_pods(&mut self, world: &World) {
        self.pods = world.pods.values().map(|pod| pod.seen.clone()).collect();
        for (creation, _) in &mut self.creations {
            if let CreateAnswer::Created { uid, gone } = &mut creation.answer {
                *gone = world.gone.contains(uid);
            }
        }
    }

    pub fn sync_recorder(&mut self, world: &World) {
        self.recorded = world.chain.len() as u64;
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
        let reports = world
            .reports
            .iter()
            .filter(|entry| !world.acked.contains(&entry.cursor) && world.server_away_since.is_none());
        let reports = reports
            .map(|entry| SeenReport {
                entry: entry.clone(),
                received: *self.received.entry(entry.cursor).or_insert(world.now),
            })
            .collect();
        Observed {
            pods: self.pods.clone(),
            creations: self
                .creations
                .iter()
                .map(|(creation, _)| creation.clone())
                .collect(),
            reports,
            journal: JournalSeen {
                recorded: self.recorded,
                block: self.recorded.checked_sub(1),
                sealings: self.sealings.clone(),
                ..JournalSeen::default()
            },
            server_away_since: world.server_away_since,
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

    /// One reconcile.
    pub fn reconcile(&mut self, world: &mut World, points: &mut Failpoints) -> Result<Did, Died> {
        let mut did = Did::default();
        let Some((run, version, plan)) = self.plan(world) else {
            return Ok(did);
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
                return Ok(did);
            }
            self.written = Some((world.run.clone(), world.version));
            points.pass()?;
        }
        // closing a session again is asked for as long as the Pod is there, and changes nothing
        let idle = |effect: &Effect| matches!(effect, Effect::RevokeSession { .. });
        did.nothing = !changed && plan.effects.iter().all(idle);
        for effect in &plan.effects {
            points.pass()?;
            did.effects.insert(self.act(world, effect));
            points.pass()?;
        }
        Ok(did)
    }

    /// Carries out one effect. Exhaustive: a new kind of effect does not compile without a case here.
    fn act(&mut self, world: &mut World, effect: &Effect) -> &'static str {
        match effect {
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
                let answer = Self::create(world, &name, &create.stage, create.attempt);
                self.creations.retain(|(creation, _)| creation.pod != name);
                self.creations.push((Creation { pod: name, answer }, world.now));
                "CreatePod"
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
        }
    }

    fn create(world: &mut World, name: &str, stage: &str, attempt: i32) -> CreateAnswer {
        if let Some(there) = world.pods.get(name) {
            return CreateAnswer::Created {
                uid: there.seen.uid.clone(),
                gone: false,
            };
        }
        if world.namespace_since.is_some() {
            return CreateAnswer::NamespaceTerminating;
        }
        if world.scenario.behaviour(stage, attempt) == Behaviour::Refused {
            return CreateAnswer::Refused {
                reason: "PodForbidden".into(),
                message: "denied by policy".into(),
            };
        }
        if world.refusals_of_creation > 0 {
            world.refusals_of_creation -= 1;
            return CreateAnswer::Quota {
                message: "exceeded quota".into(),
            };
        }
        world.pod_count += 1;
        let uid = format!("pod-{}", world.pod_count);
        let seen = Seen {
            name: name.to_owned(),
            uid: uid.clone(),
            controller: Some(UID.to_owned()),
            held: true,
            ..Seen::default()
        };
        world.pods.insert(
            name.to_owned(),
            Pod {
                stage: stage.to_owned(),
                attempt,
                seen,
                phase: Phase::Pending,
            },
        );
        CreateAnswer::Created { uid, gone: false }
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

//! One pass over an Environment: the status as it is becoming.

use std::collections::BTreeMap;

use dcanary_core::{Event, Wake, text::cut, time::later};
use dcanary_crds::{Environment, EnvironmentStatus, Promotion, Rollout};
use jiff::Timestamp;

use super::SpecError;
use crate::{
    plan::Effect,
    render,
    seen::{Key, Kind, Seen},
    wanted::Gate,
};

/// Time in which a rollout must come on, in seconds, unless the Environment says otherwise.
const PROGRESS_DEADLINE: u64 = 600;
/// Time that a release keeps its Pods after its last request, in seconds, unless the Environment says otherwise.
pub(super) const DRAIN: u64 = 30;

/// A promotion that waits, and why.
pub(super) struct Waiting<'a> {
    pub(super) promotion: &'a Promotion,
    pub(super) gate: Gate,
    pub(super) identity: Option<String>,
}

/// A pass.
pub(super) struct Pass<'a> {
    pub(super) env: &'a Environment,
    pub(super) uid: &'a str,
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    pub(super) seen: &'a Seen,
    pub(super) now: Timestamp,
    pub(super) status: EnvironmentStatus,
    /// Effects that are found on the way: samples, hooks, promotions.
    pub(super) effects: Vec<Effect>,
    /// Samples that are due, as of the last look.
    pub(super) samples: Vec<Effect>,
    pub(super) events: Vec<Event>,
    pub(super) wake: Wake,
    /// Promotions that wait, the newest first.
    pub(super) waiting: Vec<Waiting<'a>>,
    /// Why the spec is not followed.
    pub(super) spec_error: Option<SpecError>,
    /// Something holds the Environment up that a person has to put right: reason and message.
    pub(super) contested: Option<(String, String)>,
    /// ConfigMaps of sealed records that the chain holds now.
    pub(super) unneeded: Vec<String>,
    /// The spec has a strategy of another kind than the rollout that still moves: this pass is about that one.
    pub(super) kept: bool,
    /// Since when Pods that the step needs were missing, as of the last pass.
    pub(super) missing_since: Option<Timestamp>,
    /// Since when it has waited for something outside, as of the last pass.
    pub(super) held_up_since: Option<Timestamp>,
    /// It has waited for something outside for too long, and goes on doing so: reason and message.
    pub(super) stuck: Option<(String, String)>,
    /// Analyses that cannot be carried out now, by name: reason and message. As of the last look.
    pub(super) unmeasured: BTreeMap<String, (String, String)>,
}

impl<'a> Pass<'a> {
    /// `None`: the object is not one of the API server.
    pub(super) fn new(env: &'a Environment, seen: &'a Seen, now: Timestamp) -> Option<Self> {
        Some(Self {
            env,
            uid: env.metadata.uid.as_deref()?,
            name: env.metadata.name.as_deref()?,
            namespace: env.metadata.namespace.as_deref()?,
            seen,
            now,
            status: env.status.clone().unwrap_or_default(),
            effects: Vec::new(),
            samples: Vec::new(),
            events: Vec::new(),
            wake: Wake::OnChange,
            waiting: Vec::new(),
            spec_error: None,
            contested: None,
            unneeded: Vec::new(),
            kept: false,
            missing_since: None,
            held_up_since: None,
            stuck: None,
            unmeasured: BTreeMap::new(),
        })
    }

    pub(super) fn tell(&mut self, warning: bool, reason: &str, note: &str) {
        self.events.push(Event {
            warning,
            reason: reason.to_owned(),
            note: cut(note, 1000),
        });
    }

    pub(super) fn wake_at(&mut self, at: Timestamp) {
        if at < Timestamp::MAX {
            self.wake = self.wake.earlier(at);
        }
    }

    /// Whether a time has come; else the pass is repeated then.
    pub(super) fn reached(&mut self, at: Timestamp) -> bool {
        if self.now >= at {
            return true;
        }
        self.wake_at(at);
        false
    }

    /// The Promotion of a UID.
    pub(super) fn promotion(&self, uid: &str) -> Option<&'a Promotion> {
        let mut all = self.seen.promotions.iter();
        all.find(|promotion| promotion.metadata.uid.as_deref() == Some(uid))
    }

    /// The rollout that is under way.
    pub(super) fn active(&self) -> Option<&Rollout> {
        self.status
            .rollout
            .as_ref()
            .filter(|rollout| rollout.finished_at.is_none())
    }

    /// The rollout goes without steps and analysis: it is the first one, or goes back to a recent release.
    pub(super) fn is_straight(&self, rollout: &Rollout) -> bool {
        rollout.straight || self.status.stable.is_none()
    }

    /// Pods that the stable release should have.
    pub(super) fn full(&self) -> i32 {
        let adopted = self.status.adopted_replicas;
        self.env.spec.replicas.or(adopted).unwrap_or(1)
    }

    pub(super) fn in_place(&self) -> bool {
        render::uses_in_place(self.env)
    }

    /// The kind of the workloads.
    pub(super) fn kind(&self) -> Kind {
        use dcanary_crds::WorkloadKind::{DaemonSet, Deployment, StatefulSet};
        let template = self.env.spec.workload.template.as_ref();
        match template.map_or(Deployment, |template| template.kind) {
            Deployment => Kind::Deployment,
            StatefulSet => Kind::StatefulSet,
            DaemonSet => Kind::DaemonSet,
        }
    }

    pub(super) fn workload(&self, name: &str) -> Key {
        Key::new(self.kind(), name)
    }

    /// The state of a workload.
    pub(super) fn state(&self, name: &str) -> Option<render::WorkloadState> {
        render::state(&self.workload(name), self.seen)
    }

    /// Pods of the stable release that can serve.
    pub(super) fn stable_available(&self) -> i32 {
        let stable = self.status.stable.as_ref();
        stable
            .and_then(|stable| self.state(&stable.workload))
            .map_or(0, |state| state.available)
    }

    /// Pods of the candidate that can serve.
    pub(super) fn candidate_available(&self) -> i32 {
        let rollout = self.status.rollout.as_ref();
        rollout
            .and_then(|rollout| self.state(self.carrier(rollout)))
            .map_or(0, |state| state.available)
    }

    pub(super) fn deadline(&self) -> u64 {
        self.env
            .spec
            .progress_deadline
            .map_or(PROGRESS_DEADLINE, dcanary_crds::Duration::as_secs)
    }

    /// Seconds that connections have to end.
    pub(super) fn drain(&self) -> u64 {
        let traffic = self.env.spec.traffic.as_ref();
        traffic
            .and_then(|traffic| traffic.drain)
            .map_or(DRAIN, dcanary_crds::Duration::as_secs)
    }

    /// Seconds that an old release keeps its Pods.
    pub(super) fn keep(&self) -> u64 {
        let strategy = &self.env.spec.strategy;
        let delay = match (&strategy.canary, &strategy.blue_green) {
            (Some(canary), _) => canary.scale_down_delay,
            (_, Some(blue_green)) => blue_green.scale_down_delay,
            _ => None,
        };
        delay
            .map_or(DRAIN, dcanary_crds::Duration::as_secs)
            .max(self.drain())
    }

    /// Whether the rollout did not come on for too long since its present step began; else the pass is repeated then.
    pub(super) fn overdue(&mut self) -> bool {
        let since = self
            .status
            .rollout
            .as_ref()
            .and_then(|rollout| rollout.since)
            .unwrap_or(self.now);
        let deadline = self.deadline();
        self.reached(later(since, deadline))
    }
}

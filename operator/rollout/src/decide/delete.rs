//! An Environment that is being deleted: what happens to its workload is `deletionPolicy`.

use dcanary_core::{Wake, journal as outbox};
use dcanary_crds::DeletionPolicy;
use dcanary_types::environment::EnvTransition;
use serde_json::Value;

use super::{
    effects::{deletion, uid_of, writes},
    pass::Pass,
};
use crate::{
    plan::{Effect, Plan},
    render,
    seen::{Key, Kind},
    traffic,
};

impl Pass<'_> {
    /// Carries the policy out, then lets the Environment go. It never waits for the chain, only until its records are in safe keeping.
    pub(super) fn delete(mut self) -> Plan {
        self.open_journal();
        self.note_ended();
        let all_ended = self.end_all();
        let mut effects = self.promotion_effects();
        let (left, waits) = if self.seen.namespace_terminating {
            (Vec::new(), None)
        } else {
            match self.env.spec.deletion_policy {
                DeletionPolicy::Orphan => (Vec::new(), None),
                DeletionPolicy::Delete => (self.taken_away(), None),
                DeletionPolicy::GiveBack => self.given_back(),
            }
        };
        let done = left.is_empty() && waits.is_none() && all_ended;
        if done {
            self.close_record();
        }
        let unneeded = std::mem::take(&mut self.unneeded);
        effects.extend(
            unneeded
                .into_iter()
                .map(|config_map| Effect::DropSealed { config_map }),
        );
        let sealing = self
            .status
            .journal
            .as_ref()
            .and_then(|journal| outbox::to_seal(journal, self.uid, true));
        let sealed = sealing.is_none();
        self.tell_why_it_stays(waits, &left, sealed);
        effects.extend(left);
        effects.extend(sealing.map(Effect::SealOutbox));
        if done && sealed {
            effects.push(Effect::ReleaseEnvironment);
        }
        Plan {
            status: self.status,
            effects,
            events: self.events,
            wake: Wake::At(dcanary_core::time::later(self.now, 10)),
        }
    }

    fn close_record(&mut self) {
        let opened = self
            .status
            .journal
            .as_ref()
            .is_some_and(|journal| journal.next > 0);
        let closed = self.status.decided.iter().any(|uid| uid == CLOSED);
        if opened && !closed {
            self.emit(EnvTransition::Closed);
            self.status.decided.push(CLOSED.to_owned());
        }
    }

    /// Everything that was made for the Environment goes; a route that was there before gets its own rules back.
    fn taken_away(&self) -> Vec<Effect> {
        let mut effects: Vec<Effect> = self.route_back();
        for (key, object) in &self.seen.objects {
            if !self.is_ours(object)
                || (key.kind == Kind::Deployment && self.is_adopted(&key.name))
                || matches!(
                    key.kind,
                    // Services and routes are given up in their order, by `remove`
                    Kind::PipelineRun | Kind::Service | Kind::HttpRoute | Kind::GrpcRoute
                )
            {
                continue;
            }
            if !is_leaving(object) {
                effects.extend(uid_of(object).map(|uid| deletion(key.clone(), uid)));
            }
        }
        effects
    }

    fn route_back(&self) -> Vec<Effect> {
        let former = traffic::former(self.env, self.seen, &self.status.routes, 0, self.now);
        if !former.effects.is_empty() {
            return former.effects;
        }
        traffic::of(self.env, self.seen, None).map_or_else(Vec::new, |traffic| traffic.remove())
    }

    /// The adopted workload first, and only when it is ready the rest. And what there is to wait for.
    fn given_back(&self) -> (Vec<Effect>, Option<String>) {
        let (Some(stable), Some(reference)) = (&self.status.stable, &self.env.spec.workload.reference) else {
            return (self.taken_away(), None);
        };
        let name = reference.name.as_str();
        let key = Key::new(Kind::Deployment, name);
        if let Some(problem) = self.seen.unreadable.get(&key) {
            let why = format!("Deployment `{name}` is to be given back and cannot be read now: {problem}");
            return (Vec::new(), Some(why));
        }
        let there = self.seen.objects.get(&key).filter(|object| !is_leaving(object));
        if there.is_none_or(|object| render::claimed(self.env, object).is_err()) {
            // there is nothing that could be given back; what serves instead of it goes on
            let serves = stable.workload != name;
            return (if serves { Vec::new() } else { self.taken_away() }, None);
        }
        let given = render::give_back(self.env, stable, self.seen);
        if !given.is_empty() {
            return (writes(given), None);
        }
        let state = self.state(name);
        let is_complete = |state: &render::WorkloadState| render::complete(state, self.full());
        if state.as_ref().is_some_and(is_complete) {
            return (self.taken_away(), None);
        }
        let why = format!(
            "Deployment `{name}` is given back, and the rest is removed once its Pods are ready: {} of {} are{}; `deletionPolicy: Orphan` waits for nothing",
            state.as_ref().map_or(0, |state| state.available),
            self.full(),
            state
                .and_then(|state| state.problem)
                .map_or_else(String::new, |(reason, message)| format!(" ({reason}: {message})")),
        );
        (Vec::new(), Some(why))
    }
}

/// It is being deleted itself.
fn is_leaving(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some()
}

/// Marks in `status.decided` that the last record is written.
const CLOSED: &str = "closed";

//! An Environment that is being deleted: what happens to its workload is `deletionPolicy`.

use dcanary_core::{Wake, journal as outbox};
use dcanary_crds::DeletionPolicy;
use dcanary_types::environment::EnvTransition;

use super::{
    effects::{deletion, uid_of, writes},
    pass::Pass,
};
use crate::{
    plan::{Effect, Plan},
    render,
    seen::Kind,
    traffic,
};

impl Pass<'_> {
    /// Carries the policy out, then lets the Environment go. It never waits for the chain, only until its records are in safe keeping.
    pub(super) fn delete(mut self) -> Plan {
        self.open_journal();
        let mut effects = Vec::new();
        let (left, waits) = if self.seen.namespace_terminating {
            (Vec::new(), false)
        } else {
            match self.env.spec.deletion_policy {
                DeletionPolicy::Orphan => (Vec::new(), false),
                DeletionPolicy::Delete => (self.taken_away(), false),
                DeletionPolicy::GiveBack => self.given_back(),
            }
        };
        let done = left.is_empty() && !waits;
        effects.extend(left);
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
            if object.pointer("/metadata/deletionTimestamp").is_none() {
                effects.extend(uid_of(object).map(|uid| deletion(key.clone(), uid)));
            }
        }
        effects
    }

    fn route_back(&self) -> Vec<Effect> {
        traffic::of(self.env, self.seen, None).map_or_else(Vec::new, |traffic| traffic.remove())
    }

    /// The adopted workload first, and only when it is ready the rest. And whether there is something to wait for.
    fn given_back(&self) -> (Vec<Effect>, bool) {
        let Some(stable) = &self.status.stable else {
            return (self.taken_away(), false);
        };
        let given = render::give_back(self.env, stable, self.seen);
        if !given.is_empty() {
            return (writes(given), true);
        }
        let reference = self.env.spec.workload.reference.as_ref();
        let ready = reference.is_none_or(|reference| {
            self.state(&reference.name)
                .is_some_and(|state| render::complete(&state, self.full()))
        });
        if ready {
            (self.taken_away(), false)
        } else {
            (Vec::new(), true)
        }
    }
}

/// Marks in `status.decided` that the last record is written.
const CLOSED: &str = "closed";

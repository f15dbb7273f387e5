//! Applies batches while they are synced, then shows the result and wakes who waits.

use super::checkpointer::Checkpointer;
use super::inbox::Inbox;
use super::metrics::Metrics;
use super::{Failure, Logged, Ordered, Waiting};
use crate::cert::view::{View, Views};
use crate::exec::batch::Ingress;
use crate::exec::machine::Machine;
use crate::log::checkpoint::Checkpoints;
use crate::wire::hash::Hash;
use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

/// The node cannot go on; its [`Failure`] says why.
struct Broken;

pub struct Worker {
    pub machine: Machine,
    pub batches: Receiver<Ordered>,
    pub views: Arc<Views>,
    /// Told what is left to do.
    pub inbox: Inbox,
    /// Who waits for requests that are still processed.
    pub waiting: BTreeMap<Hash, Vec<Waiting>>,
    pub checked: Arc<Mutex<Option<(u64, Hash)>>>,
    pub checkpoints: Option<Checkpoints>,
    pub failure: Failure,
    pub metrics: Metrics,
}

impl Worker {
    pub fn run(mut self) {
        // What had to be replayed is not replayed again, however often the node crashes from now on.
        let replayed = self
            .checkpoints
            .as_ref()
            .is_some_and(|last| last.round() < self.machine.state().round);
        let checkpointer = match self.checkpoints.take() {
            None => None,
            Some(checkpoints) => match Checkpointer::start(checkpoints, self.failure.clone()) {
                Ok(checkpointer) => Some(checkpointer),
                Err(error) => return self.failure.set(&format!("no thread for checkpoints: {error}")),
            },
        };
        if let Some(checkpointer) = checkpointer.as_ref().filter(|_| replayed) {
            checkpointer.offer(self.machine.state().clone());
        }
        let ended = self.work(checkpointer.as_ref());
        if let Some(checkpointer) = checkpointer {
            let last = self.views.latest();
            checkpointer.finish(ended.is_ok().then_some(&last.state));
        }
    }

    /// Works until there are no more batches, or until the node cannot go on.
    fn work(&mut self, checkpointer: Option<&Checkpointer>) -> Result<(), Broken> {
        while let Ok(ordered) = self.batches.recv() {
            let Ordered {
                batch,
                waiting,
                logged,
            } = ordered;
            self.machine.apply(&batch);
            if let Some(why) = self.machine.executor.engine.broken() {
                // Nothing of it is shown; the next start executes the batch again, if it is synced.
                return Err(self.fail(why));
            }
            let state = self.machine.state();
            // If it cannot be signed, the next start executes it again too.
            let view = self
                .views
                .prepare(state.clone())
                .map_err(|error| self.fail(&error.to_string()))?;
            if checkpointer.is_some() {
                *self.checked.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some((state.round, state.root()));
            }
            // Without it the orderer has said why. What was executed is shown to nobody and kept nowhere.
            let Logged { synced, checkpoint } = logged.recv().map_err(|_| Broken)?;
            let view = self
                .views
                .show(view, synced)
                .map_err(|error| self.fail(&error.to_string()))?;
            self.metrics.batch(batch.messages.len());
            self.inbox.report(self.machine.agenda());
            self.wake(&batch.messages, waiting, &view);
            if let Some(checkpointer) = checkpointer.filter(|_| checkpoint) {
                checkpointer.offer(view.state.clone());
            }
        }
        Ok(())
    }

    fn fail(&self, why: &str) -> Broken {
        self.failure.set(why);
        Broken
    }
}

impl Worker {
    /// Wakes who waits for a request that has ended. The others wait on.
    fn wake(&mut self, messages: &[Ingress], waiting: Vec<Waiting>, view: &Arc<View>) {
        for request in self.machine.late() {
            for one in self.waiting.remove(request).into_iter().flatten() {
                one.send(Ok(view.clone()));
            }
        }
        for (message, one) in messages.iter().zip(waiting) {
            let record = view.state.requests.get(&message.id);
            if record.is_some_and(|record| record.outcome.is_none()) {
                let all = self.waiting.entry(message.id).or_default();
                all.retain(|other| !other.is_gone());
                all.push(one);
            } else {
                one.send(Ok(view.clone()));
            }
        }
    }
}

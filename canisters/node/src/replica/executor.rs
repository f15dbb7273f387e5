//! Applies synced batches, shows the result, wakes who waits.

use super::checkpointer::Checkpointer;
use super::inbox::Inbox;
use super::metrics::Metrics;
use super::{Failure, Ordered, Waiting};
use crate::cert::view::{View, Views};
use crate::exec::batch::Ingress;
use crate::exec::machine::Machine;
use crate::log::checkpoint::Checkpoints;
use crate::wire::hash::Hash;
use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

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
        while let Ok(Ordered {
            batch,
            waiting,
            checkpoint,
        }) = self.batches.recv()
        {
            self.machine.apply(&batch);
            if let Some(why) = self.machine.executor.engine.broken() {
                // Nothing of it is shown; the next start executes the batch again.
                return self.failure.set(why);
            }
            self.metrics.batch(batch.messages.len());
            let state = self.machine.state();
            if checkpointer.is_some() {
                *self.checked.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some((state.round, state.root()));
            }
            let view = match self.views.publish(state.clone()) {
                Ok(view) => view,
                // It is synced, and the next start executes it again.
                Err(error) => return self.failure.set(&error.to_string()),
            };
            self.inbox.report(self.machine.agenda());
            self.wake(&batch.messages, waiting, &view);
            let state = self.machine.state();
            if let Some(checkpointer) = checkpointer.as_ref().filter(|_| checkpoint) {
                checkpointer.offer(state.clone());
            }
        }
        if let Some(checkpointer) = checkpointer {
            checkpointer.finish(self.machine.state());
        }
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

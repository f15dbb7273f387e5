//! Applies synced batches, shows the result, wakes who waits.

use super::checkpointer::Checkpointer;
use super::{Failure, Ordered};
use crate::cert::view::Views;
use crate::exec::machine::Machine;
use crate::log::checkpoint::Checkpoints;
use crate::wire::hash::Hash;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

pub struct Worker {
    pub machine: Machine,
    pub batches: Receiver<Ordered>,
    pub views: Arc<Views>,
    pub checked: Arc<Mutex<Option<(u64, Hash)>>>,
    pub checkpoints: Option<Checkpoints>,
    pub failure: Failure,
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
            let state = self.machine.state();
            if checkpointer.is_some() {
                *self.checked.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some((state.round, state.root()));
            }
            let view = self.views.publish(state.clone());
            for done in waiting {
                // A client that went away needs no answer.
                let _ = done.send(Ok(view.clone()));
            }
            if let Some(checkpointer) = checkpointer.as_ref().filter(|_| checkpoint) {
                checkpointer.offer(state.clone());
            }
        }
        if let Some(checkpointer) = checkpointer {
            checkpointer.finish(self.machine.state());
        }
    }
}

//! Writes checkpoints beside execution.

use super::{Failure, start};
use crate::log::checkpoint::{CheckpointError, Checkpoints};
use crate::state::State;
use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

pub struct Checkpointer {
    states: SyncSender<State>,
    thread: JoinHandle<Checkpoints>,
    failure: Failure,
}

impl Checkpointer {
    pub fn start(mut checkpoints: Checkpoints, failure: Failure) -> io::Result<Self> {
        let (states, receiver) = sync_channel::<State>(1);
        let reporting = failure.clone();
        let thread = start("checkpointer", &failure, move || {
            for state in receiver {
                write(&mut checkpoints, &state, &reporting);
            }
            checkpoints
        })?;
        Ok(Self {
            states,
            thread,
            failure,
        })
    }

    /// Asks for a checkpoint. When one is being written and another waits, the log simply stays longer.
    pub fn offer(&self, state: State) {
        let _ = self.states.try_send(state);
    }

    /// Waits for the checkpoint that is being written, and writes the last one, so that nothing is left to replay; none without a state.
    pub fn finish(self, state: Option<&State>) {
        drop(self.states);
        // A panic has been reported by the thread itself.
        if let (Ok(mut checkpoints), Some(state)) = (self.thread.join(), state) {
            write(&mut checkpoints, state, &self.failure);
        }
    }
}

fn write(checkpoints: &mut Checkpoints, state: &State, failure: &Failure) {
    if failure.get().is_some() {
        // After a failed sync nothing is written any more.
        return;
    }
    match checkpoints.write(state) {
        Ok(0) => {}
        Ok(bytes) => tracing::info!(round = state.round, bytes, "checkpoint written"),
        Err(error @ CheckpointError::Sync { .. }) => failure.set(&error.to_string()),
        // The log has everything; the next checkpoint may succeed.
        Err(error) => tracing::error!(
            error = &error as &dyn std::error::Error,
            "no checkpoint could be written"
        ),
    }
}

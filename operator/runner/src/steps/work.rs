//! Blocking work of a step that the runner does itself: it ends with its step.

use tokio::sync::mpsc;
use tokio::task::JoinError;

use crate::interrupt::Interrupt;

/// Starts the blocking work of one step.
#[derive(Debug, Clone)]
pub(super) struct Work {
    interrupt: Interrupt,
    /// Held by all that runs, and nothing is ever sent: it is closed when the last one has ended.
    alive: mpsc::Sender<()>,
}

/// Waits for the blocking work of one step.
#[derive(Debug)]
pub(super) struct Ending {
    interrupt: Interrupt,
    alive: mpsc::Receiver<()>,
}

/// The two sides of the work of one step.
pub(super) fn of_step() -> (Work, Ending) {
    let interrupt = Interrupt::default();
    let (sender, receiver) = mpsc::channel(1);
    let work = Work {
        interrupt: interrupt.clone(),
        alive: sender,
    };
    let ending = Ending {
        interrupt,
        alive: receiver,
    };
    (work, ending)
}

impl Work {
    /// Does something where blocking is allowed. It is told when it is given up, and must look at that between any two files.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Interrupt) -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let Self { interrupt, alive } = self.clone();
        tokio::task::spawn_blocking(move || {
            let done = work(&interrupt);
            drop(alive);
            done
        })
        .await
    }
}

impl Ending {
    /// Gives the work up without waiting for it.
    pub(super) fn give_up(&self) {
        self.interrupt.set();
    }

    /// Waits until nothing of it runs. Whoever started it must be gone.
    pub(super) async fn ended(mut self) {
        while self.alive.recv().await.is_some() {}
    }
}

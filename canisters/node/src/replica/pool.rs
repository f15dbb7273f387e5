//! Threads that run queries. Own threads, because canisters need a larger native stack than async workers have.
//!
//! One canister may take only some of them, so that a canister that loops does not block the queries of others.

use crate::wasm::engine::THREAD_STACK;
use ic_principal::Principal;
use std::collections::HashMap;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use thiserror::Error;
use tokio::sync::{Semaphore, oneshot};

type Task = Box<dyn FnOnce() + Send>;

/// The pool is gone, or the task ended by a panic.
#[derive(Debug, Error)]
#[error("the execution was interrupted")]
pub struct Interrupted;

/// See the module documentation.
#[derive(Debug)]
pub struct Pool {
    tasks: Mutex<Sender<Task>>,
    share: usize,
    shares: Mutex<HashMap<Principal, Arc<Semaphore>>>,
}

impl Pool {
    /// Starts the threads.
    pub fn start() -> io::Result<Self> {
        let threads = thread::available_parallelism().map_or(4, usize::from).max(4);
        let (tasks, receiver) = channel();
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..threads {
            let receiver = receiver.clone();
            thread::Builder::new()
                .name(format!("query-{number}"))
                .stack_size(THREAD_STACK)
                .spawn(move || work(&receiver))?;
        }
        Ok(Self {
            tasks: Mutex::new(tasks),
            share: threads / 2,
            shares: Mutex::default(),
        })
    }

    /// Runs a task for a canister that exists.
    pub async fn run<T: Send + 'static>(
        &self,
        canister: Principal,
        task: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Interrupted> {
        let share = {
            let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
            shares
                .entry(canister)
                .or_insert_with(|| Arc::new(Semaphore::new(self.share)))
                .clone()
        };
        let permit = share.acquire_owned().await.map_err(|_| Interrupted)?;
        let (done, result) = oneshot::channel();
        let task: Task = Box::new(move || {
            // The permit is held until the task ended, also when its client went away.
            let _permit = permit;
            let _ = done.send(task());
        });
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send(task)
            .map_err(|_| Interrupted)?;
        result.await.map_err(|_| Interrupted)
    }
}

fn work(tasks: &Mutex<Receiver<Task>>) {
    loop {
        let task = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(task) = task else {
            return;
        };
        // A panic in one query must not take a thread away from all others.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(task));
    }
}

//! Threads on which canisters run outside of batches. Own threads, because canisters need a larger native stack than async
//! workers have.
//!
//! Tasks wait in a line for each canister, and the lines take turns. A canister may take one more thread only while as many
//! stay free as it then has: half of them when it is alone, and one stays free whatever several have under way. That last one
//! goes to canisters that have none yet and that were not slow a moment ago. So canisters that loop do not keep others waiting.
//!
//! An execution of which nothing is kept may write to all of its heap, in pages of its own. So the larger the heap the fewer of its
//! canister run at once, down to one.

use crate::wasm::engine::THREAD_STACK;
use ic_principal::Principal;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::oneshot;

/// A canister whose last task took so long was slow.
const SLOW: Duration = Duration::from_millis(100);
/// How long that is remembered.
const MEMORY: Duration = Duration::from_mins(1);
/// Bytes of heaps that the tasks of one canister may write to at once, if it has more than one.
const WRITABLE: u64 = 64 << 20;
/// Threads of a pool at least.
const THREADS: usize = 4;
/// Threads of one at most: each keeps the stack that it has once used, which no limit on memory counts.
const MOST_THREADS: usize = 8;

/// The pool is gone, or the task ended by a panic.
#[derive(Debug, Error)]
#[error("the execution was interrupted")]
pub struct Interrupted;

struct Task {
    run: Box<dyn FnOnce() + Send>,
    /// Gone when nobody waits for the result any more.
    asked: Weak<()>,
}

impl fmt::Debug for Task {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Task")
    }
}

impl Task {
    fn is_asked(&self) -> bool {
        self.asked.strong_count() > 0
    }
}

/// What one canister has.
#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<Task>,
    running: usize,
    /// Most that may run, as the heap was when a task was added.
    most: usize,
    /// When a task ended that was slow, if the last one was.
    slow: Option<Instant>,
}

#[derive(Debug)]
struct Lines {
    of: HashMap<Principal, Line>,
    /// Those of which something waits, in the order of their turns.
    turns: VecDeque<Principal>,
    free: usize,
    closed: bool,
}

impl Lines {
    fn add(&mut self, canister: Principal, heap: u64, task: Task) {
        let line = self.of.entry(canister).or_default();
        line.most = usize::try_from(WRITABLE / heap.max(1)).map_or(usize::MAX, |most| most.max(1));
        // They would hold memory until it is their turn.
        line.waiting.retain(Task::is_asked);
        line.waiting.push_back(task);
        if !self.turns.contains(&canister) {
            self.turns.push_back(canister);
        }
    }

    /// The next task that may begin.
    fn begin(&mut self) -> Option<(Principal, Task)> {
        let left = self.free.checked_sub(1)?;
        let (of, now) = (&self.of, Instant::now());
        let at = self.turns.iter().position(|canister| {
            of.get(canister).is_some_and(|line| {
                let is_its_turn = left > line.running || (line.running == 0 && !line.is_slow(now));
                line.running < line.most && is_its_turn
            })
        })?;
        let canister = self.turns.remove(at)?;
        let line = self.of.get_mut(&canister)?;
        let task = line.waiting.pop_front()?;
        line.running += 1;
        self.free = left;
        if !line.waiting.is_empty() {
            self.turns.push_back(canister);
        }
        Some((canister, task))
    }

    fn end(&mut self, canister: Principal, slow: bool) {
        self.free += 1;
        let now = Instant::now();
        if let Some(line) = self.of.get_mut(&canister) {
            line.running -= 1;
            line.slow = slow.then_some(now);
        }
        if slow || self.of.get(&canister).is_some_and(|line| line.is_over(now)) {
            self.of.retain(|_, line| !line.is_over(now));
        }
    }
}

impl Line {
    /// Whether nothing has to be known about it any more.
    fn is_over(&self, now: Instant) -> bool {
        self.running == 0 && self.waiting.is_empty() && !self.is_slow(now)
    }

    fn is_slow(&self, now: Instant) -> bool {
        self.slow
            .is_some_and(|then| now.saturating_duration_since(then) <= MEMORY)
    }
}

#[derive(Debug)]
struct Shared {
    lines: Mutex<Lines>,
    bell: Condvar,
    slow: Duration,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut lines = self.lock();
        while !lines.closed {
            let Some((canister, task)) = lines.begin() else {
                lines = self.bell.wait(lines).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(lines);
            let begun = Instant::now();
            if task.is_asked() {
                // A panic in one query must not take a thread away from all others.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(task.run));
            }
            lines = self.lock();
            lines.end(canister, begun.elapsed() >= self.slow);
            // More than one may begin now: this canister's share has grown, and those of the others.
            if lines.turns.len() > 1 {
                self.bell.notify_all();
            }
        }
    }
}

/// See the module documentation.
#[derive(Debug)]
pub struct Pool(Arc<Shared>);

impl Drop for Pool {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.bell.notify_all();
    }
}

impl Pool {
    /// Starts the threads, one for each processor and four at least.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn start(name: &str) -> io::Result<Self> {
        let threads = thread::available_parallelism().map_or(THREADS, usize::from);
        Self::start_with(name, threads.clamp(THREADS, MOST_THREADS), SLOW)
    }

    /// As [`Pool::start`], for tasks that all take long.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn start_patient(name: &str) -> io::Result<Self> {
        Self::start_with(name, THREADS, Duration::MAX)
    }

    fn start_with(name: &str, threads: usize, slow: Duration) -> io::Result<Self> {
        let pool = Self(Arc::new(Shared {
            lines: Mutex::new(Lines {
                of: HashMap::new(),
                turns: VecDeque::new(),
                free: threads,
                closed: false,
            }),
            bell: Condvar::new(),
            slow,
        }));
        for number in 0..threads {
            let shared = pool.0.clone();
            thread::Builder::new()
                .name(format!("{name}-{number}"))
                .stack_size(THREAD_STACK)
                .spawn(move || shared.work())?;
        }
        Ok(pool)
    }

    /// Runs a task for a canister that exists, which has a heap of so many bytes. One that has not begun when its caller goes away is not
    /// run.
    ///
    /// # Errors
    /// When the task panics, or the pool ends.
    pub async fn run<T: Send + 'static>(
        &self,
        canister: Principal,
        heap: u64,
        task: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Interrupted> {
        let (done, result) = oneshot::channel();
        let asked = Arc::new(());
        let task = Task {
            run: Box::new(move || drop(done.send(task()))),
            asked: Arc::downgrade(&asked),
        };
        self.0.lock().add(canister, heap, task);
        self.0.bell.notify_one();
        let result = result.await.map_err(|_| Interrupted);
        drop(asked);
        result
    }
}

#[cfg(test)]
mod tests;

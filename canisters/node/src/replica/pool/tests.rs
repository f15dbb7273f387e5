#![allow(clippy::unwrap_used)]
use super::*;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Waker};

fn canister(number: u8) -> Principal {
    Principal::from_slice(&[number])
}

type Running<'a, T> = Pin<Box<dyn Future<Output = Result<T, Interrupted>> + 'a>>;

/// Asks for a task, in this order.
fn ask<T: Send + 'static>(pool: &Pool, of: u8, task: impl FnOnce() -> T + Send + 'static) -> Running<'_, T> {
    ask_with(pool, of, 0, task)
}

/// As [`ask`], for a canister with a heap of so many bytes.
fn ask_with<T: Send + 'static>(
    pool: &Pool,
    of: u8,
    heap: u64,
    task: impl FnOnce() -> T + Send + 'static,
) -> Running<'_, T> {
    let mut asked: Running<'_, T> = Box::pin(pool.run(canister(of), heap, task));
    let polled = asked.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    drop(polled);
    asked
}

/// Tasks that say when they begin, and do not end before they may.
struct Gate {
    begun: mpsc::Receiver<u8>,
    begin: mpsc::Sender<u8>,
    open: Arc<(Mutex<bool>, Condvar)>,
}

impl Gate {
    fn new() -> Self {
        let (begin, begun) = mpsc::channel();
        let open = Arc::default();
        Self { begun, begin, open }
    }

    fn task(&self, of: u8) -> impl FnOnce() + Send + 'static {
        let (begin, open) = (self.begin.clone(), self.open.clone());
        move || {
            begin.send(of).unwrap();
            let mut is_open = open.0.lock().unwrap();
            while !*is_open {
                is_open = open.1.wait(is_open).unwrap();
            }
        }
    }

    /// The canisters of those that begin now.
    fn begun(&self) -> Vec<u8> {
        let next = || self.begun.recv_timeout(Duration::from_millis(300)).ok();
        let mut begun: Vec<_> = std::iter::from_fn(next).collect();
        begun.sort_unstable();
        begun
    }

    fn open(&self) {
        *self.open.0.lock().unwrap() = true;
        self.open.1.notify_all();
    }
}

#[tokio::test]
async fn a_canister_has_half_of_the_threads_and_two_leave_one_to_a_third() {
    let pool = Pool::start_with("test", 4, Duration::MAX).unwrap();
    let gate = Gate::new();
    let one: Vec<_> = (0..5).map(|_| ask(&pool, 1, gate.task(1))).collect();
    assert_eq!(gate.begun(), [1, 1]);
    let two: Vec<_> = (0..5).map(|_| ask(&pool, 2, gate.task(2))).collect();
    assert_eq!(gate.begun(), [2]);
    assert_eq!(pool.run(canister(3), 0, || 7).await.unwrap(), 7);
    gate.open();
    for task in one.into_iter().chain(two) {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn the_last_thread_is_for_those_that_were_not_slow() {
    let pool = Pool::start_with("test", 4, Duration::ZERO).unwrap();
    for slow in 1..=6 {
        pool.run(canister(slow), 0, || ()).await.unwrap();
    }
    let gate = Gate::new();
    let slow: Vec<_> = (1..=6).map(|of| ask(&pool, of, gate.task(of))).collect();
    assert_eq!(gate.begun(), [1, 2, 3]);
    pool.run(canister(7), 0, || ()).await.unwrap();
    gate.open();
    for task in slow {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn canisters_take_turns_however_many_tasks_one_of_them_has() {
    let pool = Pool::start_with("test", 1, Duration::MAX).unwrap();
    let gate = Gate::new();
    let busy = ask(&pool, 9, gate.task(9));
    assert_eq!(gate.begun(), [9]);
    let (begin, begun) = mpsc::channel();
    let tasks = [1, 1, 1, 2, 2].map(|of| {
        let begin = begin.clone();
        ask(&pool, of, move || begin.send(of).unwrap())
    });
    gate.open();
    busy.await.unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(begun.try_iter().collect::<Vec<_>>(), [1, 2, 1, 2, 1]);
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_not_run_and_nothing_is_left_of_it() {
    let pool = Pool::start_with("test", 1, Duration::MAX).unwrap();
    let gate = Gate::new();
    let busy = ask(&pool, 9, gate.task(9));
    assert_eq!(gate.begun(), [9]);
    let (ran, run) = mpsc::channel();
    drop(ask(&pool, 1, move || ran.send(()).unwrap()));
    gate.open();
    busy.await.unwrap();
    // It has its turn behind the one that was dropped.
    pool.run(canister(2), 0, || ()).await.unwrap();
    assert!(run.try_recv().is_err(), "it was run");
    while !pool.0.lock().of.is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_task_that_panics_is_interrupted_and_its_thread_goes_on() {
    let pool = Pool::start_with("test", 1, Duration::MAX).unwrap();
    let panicking = pool.run(canister(1), 0, || -> () {
        std::panic::resume_unwind(Box::new(()))
    });
    panicking.await.unwrap_err();
    assert_eq!(pool.run(canister(1), 0, || 1).await.unwrap(), 1);
}

#[tokio::test]
async fn of_a_canister_with_a_large_heap_as_many_run_as_its_pages_leave_room_for() {
    let gate = Gate::new();
    let pool = Pool::start_with("test", 8, SLOW).unwrap();
    let mut asked = Vec::new();
    for of in [1, 1, 1, 2, 2, 2] {
        let heap = if of == 1 { WRITABLE + 1 } else { WRITABLE / 2 };
        asked.push(ask_with(&pool, of, heap, gate.task(of)));
    }
    assert_eq!(gate.begun(), [1, 2, 2]);
    gate.open();
    for one in asked {
        one.await.unwrap();
    }
}

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dcanary_protocol::report::{STEP_TIMED_OUT, StepOutcome};

use super::{Done, within};
use crate::interrupt::Interrupt;
use crate::stop::{Stop, StopReason};

/// Blocking work that takes a while until it notices that it was given up, and says when it has ended.
async fn slow(work: super::Work, ended: Arc<AtomicBool>, pause: Duration) -> Done {
    let _ = work
        .blocking(move |interrupt| {
            while !interrupt.is_set() {
                std::thread::sleep(Duration::from_millis(5));
            }
            std::thread::sleep(pause);
            ended.store(true, Ordering::SeqCst);
        })
        .await;
    Done::succeeded()
}

#[tokio::test]
async fn what_a_step_whose_time_is_over_was_doing_has_ended_before_the_next_one_begins() {
    let ended = Arc::new(AtomicBool::new(false));
    let pause = Duration::from_millis(300);
    let done = within(1, &Stop::new(), |work| slow(work, Arc::clone(&ended), pause)).await;
    assert!(ended.load(Ordering::SeqCst));
    assert_eq!(done.end.outcome, StepOutcome::TimedOut);
    assert_eq!((done.reason, done.goes_on), (STEP_TIMED_OUT, false));
}

#[tokio::test]
async fn work_that_does_not_end_after_its_time_lets_no_step_run_beside_it() {
    let done = within(1, &Stop::new(), |work| async move {
        // Stands for a thread that waits for a silent server.
        tokio::spawn(async move {
            let _work = work;
            std::future::pending::<()>().await;
        });
        std::future::pending().await
    })
    .await;
    assert_eq!((done.reason, done.goes_on), (STEP_TIMED_OUT, true));
    let message = done.end.message.unwrap();
    assert!(message.contains("no step runs beside it"), "{message}");
}

#[tokio::test]
async fn a_stop_gives_the_work_up_and_does_not_wait_for_its_end() {
    let (stop, ended) = (Stop::new(), Arc::new(AtomicBool::new(false)));
    let pause = Duration::from_secs(3);
    let doing = within(0, &stop, |work| slow(work, Arc::clone(&ended), pause));
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stop.request(StopReason::Cancelled);
    };
    let (done, ()) = tokio::join!(doing, stopping);
    assert!(!ended.load(Ordering::SeqCst));
    assert_eq!(done.end.outcome, StepOutcome::Killed);
    let given_up = async {
        while !ended.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let given_up = tokio::time::timeout(Duration::from_secs(30), given_up).await;
    assert!(given_up.is_ok());
}

#[tokio::test]
async fn work_that_is_done_in_time_counts() {
    let done = within(60, &Stop::new(), |work| async move {
        match work.blocking(Interrupt::is_set).await {
            Ok(false) => Done::succeeded(),
            _ => Done::failed("Test", "it was given up"),
        }
    })
    .await;
    assert_eq!(done.end.outcome, StepOutcome::Succeeded);
}

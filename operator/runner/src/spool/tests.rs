use std::path::Path;
use std::sync::Arc;

use dcanary_protocol::frame::{Frame, Stream};
use proptest::prelude::*;

use super::{Rejection, Spool, SpoolError};

fn line(text: &str) -> Frame {
    Frame::Log {
        step: 0,
        stream: Stream::Stdout,
        time: "now".into(),
        line: text.into(),
        partial: false,
    }
}

fn texts(spool: &Spool, count: usize) -> Vec<String> {
    let batch = spool.batch(usize::MAX, count).unwrap();
    let frames = batch.map(|batch| batch.frames).unwrap_or_default();
    frames
        .iter()
        .map(|json| match serde_json::from_slice(json).unwrap() {
            Frame::Log { line, .. } => line,
            other => panic!("{other:?}"),
        })
        .collect()
}

/// A folder in which no file can be made.
fn nowhere() -> &'static Path {
    Path::new("/dev/null/spool")
}

#[tokio::test]
async fn frames_go_to_memory_in_order_when_the_disk_takes_nothing() {
    let spool = Spool::new(nowhere().to_owned(), 1 << 20);
    for number in 0..100 {
        spool.push(&line(&number.to_string())).await.unwrap();
    }
    spool.acknowledge(40).unwrap();
    let left: Vec<String> = (40..100).map(|number| number.to_string()).collect();
    assert_eq!(texts(&spool, usize::MAX), left);
}

#[tokio::test]
async fn memory_is_bounded_also_when_the_spool_may_be_larger() {
    let spool = Arc::new(Spool::new(nowhere().to_owned(), 1 << 40));
    let piece = "x".repeat(1 << 20);
    let filling = async {
        for _ in 0..64 {
            spool.push(&line(&piece)).await.unwrap();
        }
    };
    let filled = tokio::time::timeout(std::time::Duration::from_millis(500), filling).await;
    assert!(filled.is_err(), "64 MiB went into memory");
    assert!(spool.waiting().bytes <= 32 << 20, "{}", spool.waiting().bytes);
}

#[tokio::test]
async fn whoever_waits_for_room_learns_that_nothing_is_sent_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Arc::new(Spool::new(folder.path().to_owned(), 1));
    spool.push(&line("first")).await.unwrap();
    let other = Arc::clone(&spool);
    let waiting = tokio::spawn(async move { other.push(&line("second")).await });
    tokio::task::yield_now().await;
    spool.close();
    assert!(matches!(waiting.await.unwrap(), Err(SpoolError::Closed)));
    assert!(matches!(
        spool.push(&line("third")).await,
        Err(SpoolError::Closed)
    ));
}

#[tokio::test]
async fn what_is_offered_never_waits() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::new(folder.path().to_owned(), 1);
    spool.offer(&line("first"));
    spool.offer(&line("second"));
    assert_eq!(texts(&spool, usize::MAX), ["first"]);
}

proptest! {
    #[test]
    fn a_rejected_frame_is_replaced_in_its_place_and_all_others_stay(
        lengths in proptest::collection::vec(0_usize..40, 1..30),
        refused in proptest::collection::btree_set(0_usize..30, 0..8),
        count in 1_usize..9,
        disk in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let directory = if disk { folder.path() } else { nowhere() };
        let spool = Spool::new(directory.to_owned(), 1 << 20);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let pushed: Vec<String> = lengths.iter().enumerate().map(|(n, length)| format!("{n}{}", "x".repeat(*length))).collect();
        for text in &pushed {
            runtime.block_on(spool.push(&line(text))).unwrap();
        }
        let mut received = Vec::new();
        let mut rejected = Vec::new();
        while spool.waiting().bytes > 0 {
            let at = received.len();
            if refused.contains(&at) && rejected.last() != Some(&at) {
                spool.reject_first(&line("not taken"), "too many").unwrap();
                rejected.push(at);
            }
            let taken = texts(&spool, count);
            prop_assert!(taken.len() <= count);
            let next = refused.range(at + 1..).next().map_or(usize::MAX, |next| next - at);
            let taken: Vec<String> = taken.into_iter().take(next).collect();
            received.extend(taken);
            spool.acknowledge(received.len() as u64).unwrap();
        }
        let expected: Vec<String> = pushed
            .iter()
            .enumerate()
            .map(|(at, text)| if refused.contains(&at) { "not taken".to_owned() } else { text.clone() })
            .collect();
        prop_assert_eq!(received, expected);
        let numbers: Vec<Rejection> = rejected
            .iter()
            .map(|at| Rejection { number: *at as u64 + 1, detail: "too many".into() })
            .collect();
        prop_assert_eq!(spool.rejections(), numbers);
    }
}

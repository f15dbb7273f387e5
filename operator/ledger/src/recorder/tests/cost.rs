//! What one exchange costs while many runs wait.

use std::time::Instant;

use super::{
    super::queue::{Limits, Queue},
    *,
};
use crate::{ledger::Position, record::Answer};

const LIMITS: Limits = Limits {
    records: 500,
    bytes: 960 * 1024,
};

/// A queue in which `parked` runs wait that cannot be sent: set aside, halted, or without numbers that go first.
fn queue(parked: usize) -> Queue {
    let mut queue = Queue::default();
    for n in 0..parked {
        let run = format!("parked-{n}");
        let first = if n % 3 == 0 { 5 } else { 0 };
        queue.submit(outbox(&run, records(first..first + 2)));
        queue.place(&key(&run), &Position::default());
        match n % 3 {
            1 => queue.set_aside(&key(&run)),
            2 => {
                let segment = crate::Segment {
                    key: key(&run),
                    graph: None,
                    records: records(0..2),
                };
                let refused = Answer::Refused {
                    n: 0,
                    reason: "malformed".to_owned(),
                };
                queue.settle(&[segment], vec![refused]);
            }
            _ => {}
        }
    }
    queue
}

/// The shortest of some rounds of 200 exchanges of one busy run.
fn exchanges(queue: &mut Queue) -> Duration {
    let busy = key("busy");
    let mut next = 0;
    let mut round = || {
        let start = Instant::now();
        for _ in 0..200 {
            queue.submit(outbox("busy", records(next..next + 1)));
            for key in queue.unread(64) {
                queue.place(&key, &Position { next, last: None });
            }
            let batch = queue.batch(LIMITS);
            assert_eq!(batch.len(), 1);
            assert_eq!(batch[0].key, busy);
            queue.settle(&batch, vec![Answer::Recorded(vec![next])]);
            let _ = (queue.depth(), queue.is_idle());
            next += 1;
        }
        start.elapsed()
    };
    (0..5).map(|_| round()).min().unwrap()
}

#[test]
fn an_exchange_does_not_cost_more_when_many_runs_wait() {
    let alone = exchanges(&mut queue(0));
    let crowded = exchanges(&mut queue(30_000));
    println!("200 exchanges: {alone:?} alone, {crowded:?} beside 30,000 runs that wait");
    // Looking at each of them once would cost some hundred times as much.
    assert!(
        crowded < alone * 8,
        "{alone:?} alone, {crowded:?} beside the others"
    );
}

//! The law: whatever order and however often requests arrive, the same log is stored.

use std::collections::BTreeMap;

use dcanary_protocol::frame::{Frame, FramesRequest};
use dcanary_server::attempts::State;
use dcanary_server::attempts::log::LogTail;
use dcanary_server::frames::{FramesError, accept};
use dcanary_server::limits::Limits;
use dcanary_server::store::op::Op;
use proptest::prelude::*;
use serde_json::{Value, json};

fn frame(n: u64, kind: u8) -> Frame {
    let value = match kind {
        0 => json!({"kind": "stepStarted", "step": n % 5, "name": format!("s{n}"), "time": "t"}),
        1 => json!({"kind": "stepFinished", "step": n % 5, "name": "s", "time": "t", "outcome": "failed"}),
        2 => {
            json!({"kind": "result", "name": format!("r{}", n % 3), "value": "v".repeat(usize::try_from(n).unwrap())})
        }
        _ => json!({"kind": "log", "step": 0, "stream": "stdout", "time": "t", "line": format!("line {n}")}),
    };
    serde_json::from_value(value).unwrap()
}

struct Stored {
    state: State,
    files: BTreeMap<String, Vec<u8>>,
}

impl Stored {
    fn new() -> Self {
        let record: Value = json!({"attempt": "a", "namespace": "n", "pod": "p", "run": null, "opened": 0,
            "key": format!("sha256:{}", "0".repeat(64))});
        let record = serde_json::from_value(record).unwrap();
        Self {
            state: State {
                record,
                log: LogTail::default(),
            },
            files: BTreeMap::new(),
        }
    }

    fn send(&mut self, all: &[Frame], first: u64, len: u64, limits: &Limits) {
        let from = usize::try_from(first - 1).unwrap().min(all.len());
        let to = (from + usize::try_from(len).unwrap()).min(all.len());
        let before = self.state.acked();
        let request = FramesRequest {
            first,
            frames: all[from..to].to_vec(),
        };
        match accept(&self.state, "d", request, limits) {
            Ok(None) => {}
            Ok(Some(accepted)) => {
                for op in accepted.ops {
                    match op {
                        Op::Write { path, offset, bytes } => {
                            let file = self.files.entry(path).or_default();
                            assert_eq!(file.len() as u64, offset, "files grow at their end");
                            file.extend(bytes);
                        }
                        Op::Remove { path } => assert!(self.files.remove(&path).is_some()),
                        other => panic!("{other:?}"),
                    }
                }
                self.state = accepted.state;
            }
            Err(FramesError::Gap { acked, .. }) => assert!(acked == before && first > acked + 1),
            Err(other) => panic!("{other}"),
        }
        assert!(self.state.acked() >= before, "never goes back");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_order_and_repetition_of_requests_stores_the_same_log(
        kinds in prop::collection::vec(0..12_u8, 1..300),
        requests in prop::collection::vec((1..320_u64, 0..40_u64), 0..60),
        limit in prop::sample::select(vec![64 * 70_u64, 64 * 300, 64 << 20]),
    ) {
        let limits = Limits { log_bytes: limit, ..Limits::default() };
        let all: Vec<Frame> = (1..).zip(&kinds).map(|(n, kind)| frame(n, *kind)).collect();
        let len = all.len() as u64;
        let mut once = Stored::new();
        once.send(&all, 1, len, &limits);
        let mut often = Stored::new();
        for (first, some) in requests {
            often.send(&all, first, some, &limits);
        }
        let mut first = 1;
        while often.state.acked() < len {
            often.send(&all, first, 7, &limits);
            first = often.state.acked() + 1;
        }
        often.send(&all, 1, len, &limits);
        prop_assert_eq!(&once.files, &often.files);
        prop_assert_eq!(&once.state.log, &often.state.log);
        prop_assert_eq!(&once.state.record.results, &often.state.record.results);
        prop_assert_eq!(&once.state.record.steps, &often.state.record.steps);
        prop_assert_eq!(once.state.record.dropped_bytes, often.state.record.dropped_bytes);
        prop_assert_eq!(once.state.acked(), len);
    }
}

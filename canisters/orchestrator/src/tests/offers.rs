//! Batches that may be anything.

use dcanary_types::{
    api::{Record, Segment},
    record::{BLOCK_TYPES, Transition},
};
use proptest::prelude::*;
use serde_bytes::ByteBuf;

use super::story::*;

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80),
        // A good body with one byte changed.
        (0..6_usize, any::<prop::sample::Index>(), any::<u8>()).prop_map(|(n, at, byte)| {
            let mut body = segment("r", 0, &story()).records[n].body.to_vec();
            let at = at.index(body.len());
            body[at] = byte;
            body
        }),
        (0..6_usize).prop_map(|n| segment("r", 0, &story()).records[n].body.to_vec()),
    ]
}

/// A segment of which nothing need be right.
pub fn garbage() -> impl Strategy<Value = Segment> {
    let btype = prop_oneof![
        prop::sample::select(&BLOCK_TYPES[..]).prop_map(str::to_owned),
        ".{0,20}"
    ];
    let record = (prop_oneof![0_u64..8, any::<u64>()], btype, any::<u64>(), bodies()).prop_map(
        |(n, btype, claimed_ts, body)| Record {
            n,
            btype,
            claimed_ts,
            body: ByteBuf::from(body),
        },
    );
    let graph = prop_oneof![
        Just(Some(ByteBuf::from(graph().encode()))),
        Just(None),
        prop::collection::vec(any::<u8>(), 0..50).prop_map(|bytes| Some(ByteBuf::from(bytes))),
    ];
    let project = prop_oneof![Just("shop".to_owned()), Just("bank".to_owned()), ".{0,10}"];
    (
        project,
        prop_oneof![Just("r".to_owned()), ".{0,10}"],
        graph,
        prop::collection::vec(record, 0..8),
    )
        .prop_map(|(project, run, graph, records)| Segment {
            project,
            run,
            graph,
            records,
        })
}

/// A step of a run's story, whether its time has come or not.
pub fn steps() -> impl Strategy<Value = Segment> {
    let transitions: Vec<Transition> = story()
        .into_iter()
        .chain([
            retried("build", 1),
            started("build", 2),
            succeeded("build", 2),
            started("ghost", 1),
        ])
        .collect();
    (
        prop::sample::select(vec!["r", "s"]),
        0_u64..7,
        prop::collection::vec(prop::sample::select(transitions), 1..4),
    )
        .prop_map(|(run, first, transitions)| segment(run, first, &transitions))
}

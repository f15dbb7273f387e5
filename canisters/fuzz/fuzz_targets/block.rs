#![no_main]

use dcanary_types::{block::Block, graph::GraphDoc, policy::Policy, record::Body};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(block) = Block::decode(bytes) {
        assert_eq!(block.encode(), bytes, "two encodings of one block");
        let _ = Body::of(&block);
        block.hash();
    }
    if let Ok(graph) = GraphDoc::decode(bytes) {
        assert_eq!(graph.encode(), bytes, "two encodings of one graph");
    }
    if let Ok(policy) = Policy::decode(bytes) {
        assert_eq!(policy.encode(), bytes, "two encodings of one policy");
    }
});

//! Networks that hold the right keys and lie, and networks that hold the wrong ones: each lie has its own error.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod chunks;
mod forks;
mod heads;
#[path = "../support/network.rs"]
mod network;

use std::sync::Arc;

use candid::{CandidType, Encode, Principal};
use dcanary_ledger::{
    Checkpoint, CheckpointStore, Fork, IcLedger, IcLedgerConfig, Ledger as _, LedgerError, MemoryCheckpoints,
    Record, RunKey, Segment, key,
};
use dcanary_types::{api, block::Block, labels::Labels, tree::Accumulator, value};
use ic_certification::{Delegation, hash_tree::leaf};
use network::{LEDGER, Network, Signer, certified, encode, node, now, ranges, text, time};
use serde_bytes::ByteBuf;

const MINUTE: u64 = 60 * 1_000_000_000;

#[derive(CandidType)]
struct Tip {
    certificate: ByteBuf,
    hash_tree: ByteBuf,
}

fn client(network: &Network) -> IcLedger {
    client_with(network, Arc::new(MemoryCheckpoints::default()))
}

fn client_with(network: &Network, store: Arc<dyn CheckpointStore>) -> IcLedger {
    IcLedger::connect(config(network, store)).unwrap()
}

fn config(network: &Network, store: Arc<dyn CheckpointStore>) -> IcLedgerConfig {
    let identity = Arc::new(key::parse(&key::generate().unwrap(), "a test").unwrap());
    let url = format!("http://{}", network.address);
    IcLedgerConfig::new(url, network.root.der(), LEDGER, identity, store)
}

/// What the network says of a subnet and the canister ids that it speaks for.
fn delegation(network: &Network, subnet: &Signer, low: u8, high: u8) -> Delegation {
    let id = vec![1, 2, 3];
    let end = |n: u8| Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, n, 1, 1]);
    let key = node(vec![text("public_key", leaf(subnet.der()))]);
    let speaks_for = node(vec![(vec![], leaf(ranges(end(low), end(high))))]);
    let tree = node(vec![
        time(now()),
        text("subnet", node(vec![(id.clone(), key)])),
        text("canister_ranges", node(vec![(id.clone(), speaks_for)])),
    ]);
    Delegation {
        subnet_id: id,
        certificate: network.root.certify(tree, None),
    }
}

/// Blocks that a network shows, as their hashes, and what it certifies of them.
fn labels(blocks: &[[u8; 32]]) -> Labels {
    let mut tree = Accumulator::new();
    for block in blocks {
        tree.append(block);
    }
    let last = blocks.last().copied().unwrap_or_default();
    Labels::new([5; 32], tree.root(), blocks.len() as u64, last)
}

fn witness(labels: &Labels) -> network::Tree {
    node(
        labels
            .leaves()
            .into_iter()
            .map(|(name, bytes)| text(name, leaf(bytes)))
            .collect(),
    )
}

fn tip(
    signer: &Signer,
    labels: &Labels,
    at: u64,
    canister: Principal,
    delegation: Option<Delegation>,
) -> Vec<u8> {
    let witness = witness(labels);
    let tree = node(vec![time(at), certified(canister, witness.digest())]);
    answer(signer.certify(tree, delegation), encode(&witness))
}

fn answer(certificate: Vec<u8>, hash_tree: Vec<u8>) -> Vec<u8> {
    Encode!(&Some(Tip {
        certificate: certificate.into(),
        hash_tree: hash_tree.into()
    }))
    .unwrap()
}

fn proof(hashes: &[[u8; 32]]) -> Vec<u8> {
    let hashes: Vec<ByteBuf> = hashes.iter().map(|hash| ByteBuf::from(hash.to_vec())).collect();
    Encode!(&api::ProofResult::Ok(hashes)).unwrap()
}

const TIP: &str = "icrc3_get_tip_certificate";

/// Shows a head over these blocks, certified now.
fn shows(network: &Network, blocks: &[[u8; 32]]) {
    network.says(TIP, tip(&network.root, &labels(blocks), now(), LEDGER, None));
}

fn root(blocks: &[[u8; 32]]) -> [u8; 32] {
    labels(blocks).root
}

fn segment() -> Segment {
    Segment {
        key: RunKey::new("shop", "east", "run-1"),
        graph: None,
        records: vec![record()],
    }
}

fn record() -> Record {
    let typed = dcanary_types::record::Record {
        run: "run-1".to_owned(),
        n: 0,
        claimed_ts: 1,
        transition: dcanary_types::record::Transition::RecordRefused {
            hash: [1; 32],
            reason: "x".to_owned(),
        },
    };
    (&typed).into()
}

fn block(run: &str, n: u64) -> Block {
    Block {
        btype: "dcanary_record_refused".to_owned(),
        phash: Some([1; 32]),
        ts: 1,
        claimed_ts: 1,
        caller: vec![1],
        project: "shop".to_owned(),
        domain: "east".to_owned(),
        policy: 1,
        body: value::map([("run", run.into()), ("n", n.into())]),
    }
}

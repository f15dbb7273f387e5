//! What a record costs on the Internet Computer: the figures that docs/ledger.md reckons with.

use candid::Encode;
use dcanary_ledger::IcLedger;
use dcanary_types::api;
use serde_bytes::ByteBuf;

use super::*;

/// Bytes of a message besides its argument: sender, key, signature, names, times.
const ENVELOPE: u64 = 400;

/// Cycles on a subnet of 13 nodes: a message and each of its bytes, its execution and each instruction.
fn cycles(bytes: u64, instructions: u64) -> u64 {
    1_200_000 + 2_000 * bytes + 5_000_000 + instructions
}

/// Bytes of the message and instructions of one append.
async fn append(client: &IcLedger, run: &str, records: &[dcanary_ledger::Record]) -> (u64, u64) {
    let first = records[0].n == 0;
    let segment = Segment {
        key: key_of(run),
        graph: first.then(|| graph().encode()),
        records: records.to_vec(),
    };
    let candid = api::Batch {
        segments: vec![api::Segment {
            project: segment.key.project.clone(),
            run: run.to_owned(),
            graph: segment.graph.clone().map(ByteBuf::from),
            records: records
                .iter()
                .map(|record| api::Record {
                    n: record.n,
                    btype: record.btype.clone(),
                    claimed_ts: record.claimed_ts,
                    body: ByteBuf::from(record.body.clone()),
                })
                .collect(),
        }],
    };
    let bytes = ENVELOPE + Encode!(&candid).unwrap().len() as u64;
    let appended = client.append(&[segment]).await.unwrap();
    assert!(matches!(appended.answers[0], Answer::Recorded(_)));
    (bytes, client.stats().await.unwrap().append_instructions)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_costs_no_more_than_the_documents_reckon_with() {
    let world = World::new().await;
    let client = world.client(memory());
    let before = client.stats().await.unwrap();
    let run = "0b7f6a52-6f0e-4d0f-9a60-0d2a5f0c9c11";
    let mut alone = 0;
    for record in whole_run(run) {
        let (bytes, instructions) = append(&client, run, std::slice::from_ref(&record)).await;
        println!(
            "{} alone: {bytes} bytes, {instructions} instructions",
            record.btype
        );
        alone = alone.max(cycles(bytes, instructions));
    }
    let after = client.stats().await.unwrap();
    let block = (after.bytes - before.bytes) / 4;
    let many = long_run("another", 100);
    let (bytes, instructions) = append(&client, "another", &many).await;
    let together = cycles(bytes, instructions) / 100;
    println!("alone {alone} cycles, of 100 together {together} each; {block} bytes a block");
    assert!(alone <= MESSAGE + RECORD, "a record in a message of its own");
    assert!(
        together <= (MESSAGE + 100 * RECORD) / 100,
        "100 records in one message"
    );
    assert!(block <= BLOCK);
}

/// `f` of the documents: cycles of a message, whatever is in it.
const MESSAGE: u64 = 8_500_000;
/// `v` of the documents: cycles of a record in a message.
const RECORD: u64 = 1_200_000;
/// Bytes of an encoded block, a part of `g` of the documents.
const BLOCK: u64 = 400;

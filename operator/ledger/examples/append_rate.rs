//! How many records a second the client appends to an embedded node: `append_rate [SECONDS]`.
//!
//! Each append waits for its certified answer and for the checked head behind it, as the recorder does.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_precision_loss)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use dcanary_ledger::{Answer, Ledger as _, Segment};
use support::{World, graph, key_of, long_run, memory};

#[tokio::main]
async fn main() {
    let seconds = std::env::args().nth(1).map_or(5, |text| text.parse().unwrap());
    let world = World::new().await;
    let client = world.client(memory());
    println!("batch   appends   records   records/s   ms/append");
    for size in [1u64, 50, 500] {
        // One run for each append, so that every record is new: 50 records a run at most.
        let start = Instant::now();
        let (mut appends, mut records) = (0u64, 0u64);
        while start.elapsed() < Duration::from_secs(seconds) {
            let runs = size.div_ceil(50);
            let batch: Vec<Segment> = (0..runs)
                .map(|i| {
                    let run = format!("b{size}-{appends}-{i}");
                    let records = long_run(&run, size.min(50));
                    Segment {
                        key: key_of(&run),
                        graph: Some(graph().encode()),
                        records,
                    }
                })
                .collect();
            let appended = client.append(&batch).await.unwrap();
            for answer in &appended.answers {
                let Answer::Recorded(blocks) = answer else {
                    panic!("{answer:?}")
                };
                records += blocks.len() as u64;
            }
            appends += 1;
        }
        let took = start.elapsed().as_secs_f64();
        println!(
            "{size:>5}   {appends:>7}   {records:>7}   {:>9.0}   {:>9.1}",
            records as f64 / took,
            took * 1_000.0 / appends as f64
        );
    }
}

//! Modules that are few bytes on their way and many when they are unpacked.

use crate::network::*;
use crate::process::Program;
use candid::Principal;
use flate2::Compression;
use flate2::write::GzEncoder;
use ic_agent::identity::AnonymousIdentity;
use ic_agent::{Agent, AgentError};
use ic_management_canister_types::CanisterInstallMode;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Memory of the process in bytes, of which canisters may take half. A module as large as may be counts for 200 MiB.
const MEMORY: u64 = 640 << 20;
/// How much data the modules have.
const DATA: usize = (100 << 20) - 1_000;

/// A module with data that no memory begins with, compressed. Each number gives another one.
fn module(number: u8) -> Vec<u8> {
    let mut wasm = wat::parse_str(r#"(module (func (export "canister_query q")))"#).unwrap();
    // one passive segment: number of segments, kind, bytes
    let mut segment = vec![1, 1];
    leb128::write::unsigned(&mut segment, DATA as u64).unwrap();
    wasm.push(11);
    leb128::write::unsigned(&mut wasm, (segment.len() + DATA) as u64).unwrap();
    wasm.extend(segment);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&wasm).unwrap();
    gzip.write_all(&vec![number; DATA]).unwrap();
    gzip.finish().unwrap()
}

/// The most memory that a process has had, in bytes.
fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes: u64 = line.unwrap().trim().trim_end_matches(" kB").parse().unwrap();
    kilobytes << 10
}

/// Installs, however long it takes; the code of the refusal.
async fn outcome(agent: &Agent, canister: Principal, module: &[u8]) -> Result<(), String> {
    match install(agent, canister, module, CanisterInstallMode::Install).await {
        Ok(_) => Ok(()),
        Err(AgentError::CertifiedReject { reject, .. } | AgentError::UncertifiedReject { reject, .. }) => {
            Err(reject.error_code.unwrap())
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn modules_of_100_mib_that_are_compressed_are_refused_where_they_do_not_fit_and_others_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        Program::start_with(folder.path(), |command| {
            command.args(["--memory-limit", &MEMORY.to_string()]);
        })
    };
    let program = start();
    let client = agent(&program.url, &program.root_key, AnonymousIdentity);
    let counter = deploy(&client).await;
    let over = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn({
        let (client, over) = (client.clone(), over.clone());
        async move {
            let (mut slowest, mut asked) = (Duration::ZERO, 0);
            while !over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                query(&client, counter, "get").await.unwrap();
                slowest = slowest.max(begun.elapsed());
                asked += 1;
            }
            (slowest, asked)
        }
    });
    let mut installs = Vec::new();
    for number in 0..3 {
        let (client, canister) = (client.clone(), create(&client).await);
        let module = module(number);
        assert!(module.len() < 1 << 20, "{}", module.len());
        installs.push(tokio::spawn(
            async move { outcome(&client, canister, &module).await },
        ));
    }
    let mut outcomes = Vec::new();
    for install in installs {
        outcomes.push(install.await.unwrap());
    }
    over.store(true, Ordering::Relaxed);
    let (slowest, asked) = reader.await.unwrap();
    let most = peak(program.id());
    println!(
        "{asked} queries meanwhile, the slowest {slowest:?}; {} MiB at most",
        most >> 20
    );
    outcomes.sort();
    let refused = Err("IC0101".to_owned());
    assert_eq!(outcomes, [Ok(()), refused.clone(), refused]);
    assert!(
        asked > 0 && slowest < Duration::from_secs(5),
        "{asked}, {slowest:?}"
    );
    assert!(most < MEMORY, "{most}");
    program.terminate();

    // and it starts again with what it has
    let program = start();
    let client = agent(&program.url, &program.root_key, AnonymousIdentity);
    assert_eq!(counts(&query(&client, counter, "get").await.unwrap()), [0, 0, 0]);
    assert!(peak(program.id()) < MEMORY);
    program.kill();
}

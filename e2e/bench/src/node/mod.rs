//! What the embedded node costs: updates, queries, large heaps, memory, starting and replaying.
//!
//! ```text
//! program: the node as a process      client: signed requests      figures: the rows
//! ```

mod client;
mod figures;
pub mod program;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use candid::Encode;
use clap::Args;
use dcanary_types::api::InitArg;

use self::{client::Client, figures::Figures, program::Program};
use crate::{folder, report::Row, stats::real};

/// Connections of the load.
const CONNECTIONS: usize = 64;
/// Canisters of a node that does nothing.
const CANISTERS: usize = 5;
/// Pages of 64 KiB of a small heap, and of one of 1 GiB.
const HEAPS: [u32; 2] = [16, 16_384];

/// Where the parts are, and how often what is measured.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// A tenth of everything: whether everything works, not a measurement.
    #[arg(long)]
    quick: bool,
    /// Program of the embedded node. Default: beside this program.
    #[arg(long, env = "DCANARY_NODE_PROGRAM")]
    node: Option<PathBuf>,
    /// Folder with orchestrator.wasm. Default: where `make build` puts it.
    #[arg(long, env = "DCANARY_CANISTERS")]
    canisters: Option<PathBuf>,
}

/// The node's program, as named or beside this one.
///
/// # Errors
/// When this program does not know where it is.
pub fn program(named: Option<&PathBuf>) -> Result<PathBuf> {
    match named {
        Some(program) => Ok(program.clone()),
        None => Ok(std::env::current_exe()
            .context("where this program is")?
            .with_file_name("dcanary-node")),
    }
}

/// The ledger's module, in the named folder or where it is built.
pub fn ledger_wasm(named: Option<&PathBuf>) -> PathBuf {
    let built = || folder("DCANARY_CACHE", ".cache").join("out/canisters");
    named.cloned().unwrap_or_else(built).join("orchestrator.wasm")
}

/// A time and the CPU that the node's process took meanwhile.
#[derive(Debug, Clone, Copy)]
struct Load {
    requests: usize,
    took: Duration,
    /// In milliseconds.
    cpu: f64,
}

/// Measures, and returns the rows of the table.
///
/// # Errors
/// When the node cannot be started, or refuses a request.
pub async fn rows(arguments: Arguments) -> Result<Vec<Row>> {
    // whoever comes second finds it done
    let _ = rustls::crypto::ring::default_provider().install_default();
    let part = if arguments.quick { 10 } else { 1 };
    let program = program(arguments.node.as_ref())?;
    let ledger = std::fs::read(ledger_wasm(arguments.canisters.as_ref())).context("the ledger's module")?;

    eprintln!("updates and queries");
    let mut node = Program::start(&program).await?;
    let client = Client::of(&node)?;
    let canister = client.deploy(&canister(HEAPS[0])?, &[]).await?;
    // warms up, and does not count
    client.in_a_row(client.updates(canister, "empty", 100)?).await?;
    let alone = client
        .in_a_row(client.updates(canister, "empty", 5_000 / part)?)
        .await?;
    let requests = client.updates(canister, "empty", 30_000 / part)?;
    let updates = load(&node, &client, requests).await?;
    let requests = client.queries(canister, "nothing", 50_000 / part)?;
    let queries = load(&node, &client, requests).await?;
    let peak = node.process()?.sample()?.peak;

    eprintln!("starting again");
    let executed = 100 + alone.len() + updates.requests;
    let replayed = node.restart("-KILL").await?;
    let clean = node.restart("-TERM").await?;

    eprintln!("heaps");
    let client = Client::of(&node)?;
    let mut heaps = Vec::new();
    for pages in HEAPS {
        let canister = client.deploy(&self::canister(pages)?, &[]).await?;
        client.in_a_row(client.updates(canister, "fill", 1)?).await?;
        client.in_a_row(client.updates(canister, "touch", 20)?).await?;
        heaps.push(
            client
                .in_a_row(client.updates(canister, "touch", 1_000 / part)?)
                .await?,
        );
    }
    drop(node);

    eprintln!("at rest");
    let mut node = Program::start(&program).await?;
    let client = Client::of(&node)?;
    let owner = client.principal()?;
    let argument = Encode!(&InitArg::Init { owner })?;
    for _ in 0..CANISTERS {
        client.deploy(&ledger, &argument).await?;
    }
    let mut starts = Vec::new();
    for _ in 0..10 / part.min(5) {
        starts.push(node.restart("-TERM").await?);
    }
    let idle = node.process()?.sample()?.resident;
    Ok(Figures {
        alone,
        updates,
        queries,
        peak,
        replay: (executed, replayed.saturating_sub(clean)),
        heaps,
        starts,
        idle,
    }
    .rows())
}

async fn load(node: &Program, client: &Client, requests: Vec<client::Request>) -> Result<Load> {
    let number = requests.len();
    let process = node.process()?;
    let before = process.sample()?;
    let took = client.together(CONNECTIONS, requests).await?;
    let cpu = process.sample()?.cpu_ms_since(&before);
    eprintln!(
        "{number} requests: {:.0} a second",
        real(number) / took.as_secs_f64()
    );
    Ok(Load {
        requests: number,
        took,
        cpu,
    })
}

/// The bench's canister with a heap of so many pages of 64 KiB.
fn canister(pages: u32) -> Result<Vec<u8>> {
    let text = include_str!("canister.wat").replace(
        "(export \"memory\") PAGES",
        &format!("(export \"memory\") {pages}"),
    );
    wat::parse_str(text).context("the bench's canister")
}

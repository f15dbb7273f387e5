//! `dcanary-bench`: what the product costs and what it keeps to, as tables in Markdown.
//!
//! ```text
//! runs      a run against bare Pods        board: a watch      audit, calls: API calls
//! delivery  releases on their way          usage: CPU, memory  report: the table
//! node      the embedded node, no cluster
//! ```

mod audit;
mod board;
mod calls;
mod delivery;
mod machine;
mod node;
mod product;
mod report;
mod runs;
mod stats;
mod usage;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use dcanary_harness::cluster::repository;

use crate::{machine::Setting, report::Block};

/// Measures on the cluster of KUBECONFIG and prints a table in Markdown.
#[derive(Debug, Clone, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    what: What,
    /// Puts the table into docs/performance.md too.
    #[arg(long, global = true)]
    write: bool,
    /// Audit log of the API server. Default: that of the local cluster.
    #[arg(long, global = true, env = "DCANARY_AUDIT_LOG")]
    audit_log: Option<PathBuf>,
}

/// What is measured.
#[derive(Debug, Clone, Subcommand)]
enum What {
    /// Runs against bare Pods.
    Runs(runs::Arguments),
    /// Deliveries: lost requests, splits, the way back, many rollouts.
    Delivery(delivery::Arguments),
    /// The embedded node: updates, queries, heaps, memory, starts. Needs no cluster.
    Node(node::Arguments),
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let setting = Setting::now();
    let audit_log = arguments
        .audit_log
        .unwrap_or_else(|| folder("DCANARY_STATE", ".local/state").join("cluster/audit/audit.log"));
    let (block, rows) = match arguments.what {
        What::Runs(arguments) => (Block::RUNS, runs::rows(arguments, &audit_log).await?),
        What::Delivery(arguments) => (Block::DELIVERY, delivery::rows(arguments, &audit_log).await?),
        What::Node(arguments) => (Block::NODE, node::rows(arguments).await?),
    };
    let text = report::markdown(&setting, &rows);
    println!("{text}");
    if arguments.write {
        let document = repository().join("docs/performance.md");
        report::write(&document, block, &text)?;
        eprintln!("written into docs/performance.md");
    }
    Ok(())
}

/// A folder of ours, as `scripts/env.sh` says.
fn folder(variable: &str, below_home: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(
        || {
            let home = std::env::var_os("HOME").unwrap_or_else(|| "/root".into());
            PathBuf::from(home).join(below_home).join("dcanary")
        },
        PathBuf::from,
    )
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}

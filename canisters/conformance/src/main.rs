//! `conformance`: tries the laws of the IC interface specification on a network.

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use dcanary_conformance::matrix::Plan;
use dcanary_conformance::run::{Options, line, matching, run, to_json};
use dcanary_conformance::{Network, all, matrix};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Tries the laws of the IC interface specification on a network where everybody may create canisters.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Where the network is, such as `http://127.0.0.1:8080`.
    #[arg(long, required_unless_present = "list")]
    url: Option<String>,
    /// Only the cases whose law or clause has this text.
    #[arg(long, default_value = "")]
    filter: String,
    /// A file to write the outcomes to.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How many cases run at once.
    #[arg(long, default_value_t = 8)]
    parallel: usize,
    /// How long a case may take, in seconds.
    #[arg(long, default_value_t = 120)]
    timeout: u64,
    /// Only print the laws.
    #[arg(long)]
    list: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Breaks the rules of a node one at a time, and shows which cases notice.
    Matrix(MatrixArguments),
}

#[derive(Debug, clap::Args)]
struct MatrixArguments {
    /// A node that was built with the feature `faults`.
    #[arg(long)]
    node: PathBuf,
    /// Only the faults whose name has this text.
    #[arg(long, default_value = "")]
    faults: String,
    /// All laws with each fault, which also tells which laws notice none; takes a quarter of an hour. Without it: the laws
    /// that are meant to notice the fault.
    #[arg(long)]
    whole: bool,
    /// How many nodes run at once.
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// A file to write the matrix to.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How many cases run at once.
    #[arg(long, default_value_t = 8)]
    parallel: usize,
    /// How long a case may take, in seconds.
    #[arg(long, default_value_t = 20)]
    timeout: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let good = match &arguments.command {
        Some(Command::Matrix(matrix)) => broken(matrix).await?,
        None => laws(&arguments).await?,
    };
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn laws(arguments: &Arguments) -> anyhow::Result<bool> {
    let cases = matching(all(), &arguments.filter);
    if arguments.list {
        for case in &cases {
            let idle = if case.notices.is_empty() {
                " (notices no fault yet)"
            } else {
                ""
            };
            println!("{} [{}]{idle}", case.law(), case.clause);
        }
        return Ok(true);
    }
    if cases.is_empty() {
        bail!("no law has the text `{}`", arguments.filter);
    }
    let url = arguments.url.as_deref().context("--url is missing")?;
    let network = Network::connect(url)
        .await
        .map_err(|failure| anyhow::anyhow!("{url} is no IC network: {failure}"))?;
    let options = Options {
        parallel: arguments.parallel,
        timeout: Duration::from_secs(arguments.timeout),
    };
    let outcomes = run(&network, cases, options, |outcome| println!("{}", line(outcome))).await;
    if let Some(file) = &arguments.json {
        std::fs::write(file, format!("{:#}\n", to_json(&network, &outcomes)))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    let failed = outcomes
        .iter()
        .filter(|outcome| outcome.failure.is_some())
        .count();
    println!("{}", result(outcomes.len() - failed, failed));
    Ok(failed == 0)
}

async fn broken(arguments: &MatrixArguments) -> anyhow::Result<bool> {
    let options = Options {
        parallel: arguments.parallel,
        timeout: Duration::from_secs(arguments.timeout),
    };
    let plan = Plan {
        node: &arguments.node,
        only: &arguments.faults,
        whole: arguments.whole,
        nodes: arguments.nodes,
        options,
    };
    let matrix = matrix::run(plan, |text| println!("{text}"))
        .await
        .map_err(|failure| anyhow::anyhow!("{failure}"))?;
    if let Some(file) = &arguments.json {
        std::fs::write(file, format!("{:#}\n", matrix.to_json()))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    print!("{}", matrix.report());
    let (noticed, missed) = matrix.counts();
    println!("{}", result(noticed, missed));
    Ok(matrix.is_good())
}

/// The last line, as Cargo's tests have it, so that whoever adds up tests need not know this program.
fn result(good: usize, bad: usize) -> String {
    let word = if bad == 0 { "ok" } else { "FAILED" };
    format!("test result: {word}. {good} passed; {bad} failed; 0 ignored")
}

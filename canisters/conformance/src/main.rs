//! `conformance`: tries the laws of the IC interface specification on a network.

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
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
    /// Only the faults whose name has this text; then cases without a fault are no failure.
    #[arg(long, default_value = "")]
    faults: String,
    /// A file to write the matrix to.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How many cases run at once.
    #[arg(long, default_value_t = 8)]
    parallel: usize,
    /// How long a case may take, in seconds.
    #[arg(long, default_value_t = 60)]
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
            println!("{} [{}]", case.law(), case.clause);
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
    println!("{} laws hold, {failed} do not", outcomes.len() - failed);
    Ok(failed == 0)
}

async fn broken(arguments: &MatrixArguments) -> anyhow::Result<bool> {
    let options = Options {
        parallel: arguments.parallel,
        timeout: Duration::from_secs(arguments.timeout),
    };
    let matrix = matrix::run(&arguments.node, &arguments.faults, options, |text| {
        println!("{text}");
    })
    .await
    .map_err(|failure| anyhow::anyhow!("{failure}"))?;
    if let Some(file) = &arguments.json {
        std::fs::write(file, format!("{:#}\n", matrix.to_json()))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    println!("{}", matrix.report());
    Ok(matrix.is_complete())
}

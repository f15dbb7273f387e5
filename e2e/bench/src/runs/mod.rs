//! What a run costs, as ratios of interleaved pairs against bare Pods of the same image.
//!
//! ```text
//! pairs ─┬─ bare           Pods that are created directly  ─┐
//!        └─ pipeline_runs  PipelineRuns                    ─┴─ board: a watch, its events are the clock
//! journal ─ ledger: the recorder alone     figures: the rows
//! ```

mod bare;
mod figures;
mod journal;
mod ledger;
mod pairs;
mod pipeline_runs;

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use clap::{Args, value_parser};
use dcanary_harness::{Namespace, scenario};

use self::{
    bare::Bare,
    figures::Figures,
    pairs::{Series, interleave, phase},
    pipeline_runs::{Life, Runs},
};
use crate::{audit, board::Board, node, product, report::Row, usage::Process};

/// The image of both sides.
const IMAGE: &str = "registry.local:5000/busybox:1";
/// Runs of a burst at once.
const TWENTY: u32 = 20;
/// Runs of a burst of the journal alone, four records each.
const BURST: u32 = 250;

/// How often what is measured.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Pairs of a one-stage run and a bare Pod.
    #[arg(long, default_value_t = 30, value_parser = value_parser!(u32).range(..=1000))]
    one: u32,
    /// Pairs of a run with three stages in a chain and three bare Pods in a row.
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u32).range(..=1000))]
    three: u32,
    /// Pairs of twenty one-stage runs at once and twenty bare Pods at once.
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u32).range(..=1000))]
    twenty: u32,
    /// Bursts into the journal alone.
    #[arg(long, default_value_t = 5, value_parser = value_parser!(u32).range(..=1000))]
    bursts: u32,
    /// 3, 2 and 1 pairs and 3 bursts: whether everything works, not a measurement.
    #[arg(long, conflicts_with_all = ["one", "three", "twenty", "bursts"])]
    quick: bool,
    /// Program of the embedded node. Default: beside this program.
    #[arg(long, env = "DCANARY_NODE_PROGRAM")]
    node: Option<PathBuf>,
    /// Folder with orchestrator.wasm. Default: where `make build` puts it.
    #[arg(long, env = "DCANARY_CANISTERS")]
    canisters: Option<PathBuf>,
}

/// What is measured on the cluster.
#[derive(Default)]
struct Measured {
    one: Series,
    three: Series,
    twenty: Series,
    one_lives: Vec<Life>,
    twenty_lives: Vec<Life>,
    calls: Option<Result<audit::Calls, String>>,
    process: Option<Result<(), String>>,
}

/// Measures, and returns the rows of the table.
///
/// # Errors
/// When a side of a pair fails: a series with holes would not be one.
pub async fn rows(mut arguments: Arguments, audit_log: &Path) -> Result<Vec<Row>> {
    if arguments.quick {
        (arguments.one, arguments.three, arguments.twenty, arguments.bursts) = (3, 2, 1, 3);
    }
    let mut measured = Measured::default();
    if arguments.one + arguments.three + arguments.twenty > 0 {
        let (measured, arguments) = (&mut measured, &arguments);
        scenario("bench", |ns| async move {
            tokio::select! {
                done = on_cluster(arguments, audit_log, &ns) => *measured = done?,
                _ = tokio::signal::ctrl_c() => bail!("interrupted"),
            }
            Ok(())
        })
        .await?;
    }
    // after the cluster's part, so that it takes nothing from it
    let journal = journal(&arguments).await.map_err(|error| format!("{error:#}"));
    let nothing = || "nothing was measured on a cluster".to_owned();
    let figures = Figures {
        one: measured.one,
        three: measured.three,
        twenty: measured.twenty,
        one_lives: measured.one_lives,
        twenty_lives: measured.twenty_lives,
        calls: measured.calls.unwrap_or_else(|| Err(nothing())),
        process: measured.process.unwrap_or_else(|| Err(nothing())),
        journal,
    };
    Ok(figures.rows())
}

async fn on_cluster(arguments: &Arguments, audit_log: &Path, ns: &Namespace) -> Result<Measured> {
    let operator = product::component(&ns.cluster, "operator").await?;
    let server = product::component(&ns.cluster, "server").await?;
    let process = Process::of_pod(&operator.uid, "dcanary-operator");
    let pods = Board::open(ns.api(), bare::look).await?;
    let board = Board::open(ns.runs(), pipeline_runs::look).await?;
    let bare = Bare {
        api: ns.api(),
        board: &pods,
    };
    let runs = Runs {
        api: ns.runs(),
        board: &board,
        pods: &pods,
        operator: process.as_ref().ok(),
        lives: RefCell::default(),
    };

    // the first of each kind warms caches and connections and does not count
    bare.at_once("warm", 1).await?;
    runs.at_once("warm", 1, 1).await?;
    runs.lives.take();

    let one = interleave(
        "one stage",
        arguments.one,
        phase,
        async |n| bare.at_once(&format!("one-{n}"), 1).await,
        async |n| runs.at_once(&format!("one-{n}"), 1, 1).await,
    )
    .await?;
    let one_lives = runs.lives.take();
    let three = interleave(
        "three stages",
        arguments.three,
        phase,
        async |n| bare.in_a_row(&format!("three-{n}"), 3).await,
        async |n| runs.at_once(&format!("three-{n}"), 1, 3).await,
    )
    .await?;
    runs.lives.take();
    let twenty = interleave(
        "twenty at once",
        arguments.twenty,
        phase,
        async |n| bare.at_once(&format!("twenty-{n}"), TWENTY).await,
        async |n| runs.at_once(&format!("twenty-{n}"), TWENTY, 1).await,
    )
    .await?;
    let twenty_lives = runs.lives.take();

    let scope = audit::Scope {
        operator: operator.user,
        server: server.user,
        system: ns.cluster.operator_namespace.clone(),
        bench: ns.name.clone(),
        windows: one_lives.iter().map(|life| life.window).collect(),
    };
    let text = |error: anyhow::Error| format!("{error:#}");
    Ok(Measured {
        one,
        three,
        twenty,
        one_lives,
        twenty_lives,
        calls: Some(audit::read(audit_log, &scope).map_err(text)),
        process: Some(process.map(drop).map_err(text)),
    })
}

async fn journal(arguments: &Arguments) -> Result<journal::Rates> {
    // as the connection to a cluster does; whoever comes second finds it done
    let _ = rustls::crypto::ring::default_provider().install_default();
    journal::measure(
        &node::program(arguments.node.as_ref())?,
        &node::ledger_wasm(arguments.canisters.as_ref()),
        arguments.bursts,
        BURST,
    )
    .await
}

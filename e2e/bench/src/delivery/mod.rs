//! A delivery: which requests it loses, how exact its splits are, how quick its way back is, and what the operator needs for many.
//!
//! ```text
//! part ─┬─ requests  canary and blue/green under load ─ split: windows of a thousand
//!       ├─ rollback  canaries that go back by their analysis
//!       └─ many      rollouts on fake nodes ─ memory: the operator's process at rest ─ growth: the rows
//! ```

mod growth;
mod many;
mod memory;
mod part;
mod requests;
mod rollback;
mod split;

use std::path::Path;

use anyhow::{Result, bail, ensure};
use clap::{Args, value_parser};
use dcanary_harness::{
    Cluster, Namespace, data_plane,
    load::{Load, Tally},
    person::Person,
};

use self::part::{Part, Stop};
use crate::report::Row;

/// How often what is measured. With 0 of something its rows say that nobody asked for them.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Canaries, and blue/green switches with their undo.
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u32).range(..=1000))]
    repetitions: u32,
    /// Requests counted at each of their changes.
    #[arg(long, default_value_t = 10_000, value_parser = value_parser!(u32).range(1_000..=1_000_000))]
    requests: u32,
    /// Canaries of a bad release that go back by themselves.
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u32).range(..=1000))]
    rollbacks: u32,
    /// Environments on fake nodes.
    #[arg(long, default_value_t = 200, value_parser = value_parser!(u32).range(..=900))]
    environments: u32,
    /// Rollouts over them.
    #[arg(long, default_value_t = 1_000, value_parser = value_parser!(u32).range(..=100_000))]
    rollouts: u32,
    /// One repetition with 1,000 requests, two bad releases, 40 rollouts of 10 Environments: whether everything works, not a measurement.
    #[arg(long, conflicts_with_all = ["repetitions", "requests", "rollbacks", "environments", "rollouts"])]
    quick: bool,
}

/// Measures, and returns the rows of the table. A part that fails leaves rows that say why.
///
/// # Errors
/// When there is no cluster, or somebody interrupts it.
pub async fn rows(mut arguments: Arguments, audit_log: &Path) -> Result<Vec<Row>> {
    if arguments.quick {
        (arguments.repetitions, arguments.requests) = (1, 1_000);
        arguments.rollbacks = 2;
        (arguments.environments, arguments.rollouts) = (10, 40);
    }
    Cluster::connect().await?;
    let stop = Stop::listen()?;
    let Arguments {
        repetitions,
        requests,
        rollbacks,
        environments,
        rollouts,
        ..
    } = arguments;
    let (canary, blue_green) = if repetitions > 0 {
        (
            Part::measure("bench-canary", &stop, async |ns, found| {
                requests::canary(ns, found, repetitions, requests).await
            })
            .await,
            Part::measure("bench-blue-green", &stop, async |ns, found| {
                requests::blue_green(ns, found, repetitions, requests).await
            })
            .await,
        )
    } else {
        (Part::skipped(), Part::skipped())
    };
    let rollback = if rollbacks > 0 {
        Part::measure("bench-rollback", &stop, async |ns, found| {
            rollback::measure(ns, found, rollbacks).await
        })
        .await
    } else {
        Part::skipped()
    };
    // last: nothing is measured beside the end of so many
    let many = if environments > 0 {
        Part::measure("bench-many", &stop, async |ns, found| {
            many::measure(ns, found, environments, rollouts, audit_log).await
        })
        .await
    } else {
        Part::skipped()
    };
    if stop.is_asked() {
        bail!("interrupted");
    }
    let mut rows = requests::rows(&canary, &blue_green);
    rows.push(split::late(&canary.found.late, canary.problem.as_deref()));
    rows.extend(
        requests::WEIGHTS.map(|weight| split::row(&canary.found.windows, weight, canary.problem.as_deref())),
    );
    rows.push(rollback::row(&rollback));
    rows.extend(growth::rows(&many, environments, rollouts));
    Ok(rows)
}

/// Everything that a delivery needs besides its own objects. Whoever the kubeconfig is of decides.
async fn prepared(ns: &Namespace) -> Result<Person> {
    ns.deployer().await?;
    data_plane::gateway().await?;
    Person::me(&ns.cluster).await
}

/// Waits until all answers are of one version: else it is not the change that was measured. Lost requests are counted elsewhere, and so is
/// how late a gateway is.
async fn all_on(load: &Load, version: &str) -> Result<()> {
    const LOOKS: u32 = 50;
    let all = |some: &Tally| some.of(version) + some.lost == some.requests();
    let tally = load.window(200, LOOKS, all).await?;
    ensure!(
        all(&tally),
        "others than version {version} still answer: {:?}",
        tally.answers
    );
    Ok(())
}

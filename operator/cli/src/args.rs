//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::exit::Failure;

/// Runs, watches and verifies pipelines on Kubernetes.
#[derive(Debug, Parser)]
#[command(
    name = "dcanary",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 succeeded, 1 failed, 2 wrong usage, 3 cancelled, 4 timed out, 5 cannot tell.\n\
                  `verify` has its own: 0 verified, 1 something is false, 2 could not be checked or nothing is pinned."
)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command.
#[derive(Clone, Debug, Default, Args)]
pub struct Global {
    /// Namespace [default: that of the kubeconfig's context]
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Every namespace
    #[arg(short = 'A', long, global = true)]
    pub all_namespaces: bool,
    /// Context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Kubeconfig file [default: $KUBECONFIG, then ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Namespace in which the operator runs
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "DCANARY_OPERATOR_NAMESPACE",
        default_value = "dcanary-system"
    )]
    pub operator_namespace: String,
    /// Form of the output: json, yaml, wide or name (`ledger export`: a file)
    #[arg(short, long, global = true, value_name = "FORM")]
    pub output: Option<String>,
    /// No colours [also: NO_COLOR]
    #[arg(long, global = true)]
    pub no_color: bool,
}

impl Global {
    /// The form that was asked for.
    ///
    /// # Errors
    /// When there is no such form.
    pub fn format(&self) -> Result<Option<Format>, Failure> {
        let Some(form) = &self.output else { return Ok(None) };
        Format::from_str(form, false).map(Some).map_err(|_| {
            Failure::usage(format!(
                "`-o {form}` is no form of output; use json, yaml, wide or name"
            ))
        })
    }
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// JSON
    Json,
    /// YAML
    Yaml,
    /// A table with more columns
    Wide,
    /// Names only
    Name,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a run of a Pipeline
    Run(RunArgs),
    /// Show runs
    #[command(subcommand)]
    Get(Get),
    /// Print the logs of a run
    Logs(LogsArgs),
    /// Cancel a run
    Cancel(CancelArgs),
    /// Check Pipeline files as the operator would, and more strictly
    Lint(LintArgs),
    /// Verify a run or an export against the trust file
    #[command(subcommand)]
    Verify(Verify),
    /// Look at the ledger
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Manage the trust file
    #[command(subcommand)]
    Trust(Trust),
    /// Print a completion script
    Completion {
        /// Shell
        shell: Shell,
    },
    /// Print the version
    Version,
}

/// `run`
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Pipeline to run
    pub pipeline: String,
    /// Parameter; repeatable
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = param)]
    pub param: Vec<(String, String)>,
    /// Name of the run [default: the Pipeline's name and five letters]
    #[arg(long)]
    pub name: Option<String>,
    /// Wait until the run has ended; the exit code says how
    #[arg(long)]
    pub wait: bool,
    /// With --wait: give up after this time, for instance 30m
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<std::time::Duration>,
}

/// `get`
#[derive(Debug, Subcommand)]
pub enum Get {
    /// List runs, the newest last
    #[command(visible_alias = "pipelineruns")]
    Runs {
        /// Only the newest N
        #[arg(long, value_name = "N")]
        last: Option<usize>,
    },
    /// Show one run as a tree
    #[command(visible_alias = "pipelinerun")]
    Run {
        /// Name of the run
        name: String,
        /// Redraw until it has ended; the exit code says how
        #[arg(short, long)]
        watch: bool,
    },
}

/// `logs`
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Name of the run
    pub name: String,
    /// Only this stage
    pub stage: Option<String>,
    /// Go on until the run has ended
    #[arg(short, long)]
    pub follow: bool,
}

/// `cancel`
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// Name of the run
    pub name: String,
}

/// `lint`
#[derive(Debug, Args)]
pub struct LintArgs {
    /// Files to check; - reads standard input
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
}

/// `verify`
#[derive(Debug, Subcommand)]
pub enum Verify {
    /// Verify a run against the ledger
    Run {
        /// Name of the run
        name: String,
        /// Trust file and network
        #[command(flatten)]
        trust: TrustArgs,
        /// URL of the network [default: what the cluster names]
        #[arg(long, value_name = "URL")]
        network: Option<String>,
    },
    /// Verify an export, offline
    Export {
        /// File that `dcanary ledger export` wrote; - reads standard input
        file: PathBuf,
        /// Trust file
        #[command(flatten)]
        trust: TrustArgs,
    },
}

/// Where the trust file is.
#[derive(Clone, Debug, Default, Args)]
pub struct TrustArgs {
    /// Trust file [default: $DCANARY_TRUST, then trust.json in the configuration folder]
    #[arg(long, value_name = "FILE")]
    pub trust: Option<PathBuf>,
}

/// `ledger`
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Write the whole journal and its certificates to a file (-o FILE) or standard output
    Export {
        /// Where to find the ledger
        #[command(flatten)]
        at: LedgerAt,
    },
    /// Show the certified head
    Status {
        /// Where to find the ledger
        #[command(flatten)]
        at: LedgerAt,
    },
    /// Make a signing key, readable by its owner only, and print its principal
    InitKey {
        /// File; it must not exist
        file: PathBuf,
    },
}

/// Where to find the ledger: the trust file, and what the cluster names where that is silent.
#[derive(Clone, Debug, Default, Args)]
pub struct LedgerAt {
    /// Trust file [default: $DCANARY_TRUST, then trust.json in the configuration folder]
    #[arg(long, value_name = "FILE")]
    pub trust: Option<PathBuf>,
    /// URL of the network [default: what the cluster names]
    #[arg(long, value_name = "URL")]
    pub network: Option<String>,
}

/// `trust`
#[derive(Debug, Subcommand)]
pub enum Trust {
    /// Fetch what the network and the ledger say now, show it, and write it into the trust file
    Pin(PinArgs),
    /// Show the trust file
    Show {
        /// Trust file [default: $DCANARY_TRUST, then trust.json in the configuration folder]
        #[arg(long, value_name = "FILE")]
        trust: Option<PathBuf>,
    },
}

/// `trust pin`
#[derive(Debug, Args)]
pub struct PinArgs {
    /// URL of the network [default: what the cluster names]
    #[arg(long, value_name = "URL")]
    pub network: Option<String>,
    /// Canister id of the ledger [default: what the cluster names]
    #[arg(long, value_name = "ID")]
    pub ledger: Option<String>,
    /// Root key of the network as hex, if you know it [default: fetched from the network, and shown]
    #[arg(long, value_name = "HEX")]
    pub root_key: Option<String>,
    /// Project to pin [default: what the cluster names]
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
    /// File to write [default: $DCANARY_TRUST, then trust.json in the configuration folder]
    #[arg(long, value_name = "FILE")]
    pub trust: Option<PathBuf>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Replace a trust file that pins something else
    #[arg(long)]
    pub replace: bool,
}

fn param(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as name=value".to_owned()),
    }
}

fn duration(text: &str) -> Result<std::time::Duration, String> {
    let read: dcanary_crds::Duration = text.parse().map_err(|source| format!("{source}"))?;
    Ok(std::time::Duration::from_secs(read.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn values_of_parameters_may_hold_equal_signs_and_anything_else() {
        assert_eq!(
            param("a=b=c; rm -rf /").unwrap(),
            ("a".to_owned(), "b=c; rm -rf /".to_owned())
        );
        assert_eq!(param("a=").unwrap(), ("a".to_owned(), String::new()));
        assert!(param("a").is_err() && param("=b").is_err());
    }
}

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
    after_help = "Examples:\n  dcanary lint pipeline.yaml\n  dcanary run hello\n  dcanary get run hello-1 -w\n  dcanary verify run hello-1\n\n\
                  Exit codes: 0 succeeded, 1 failed, 2 wrong usage, 3 cancelled, 4 timed out, 5 cannot tell.\n\
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

/// Heading of the flags that are the same everywhere.
const EVERYWHERE: &str = "Options of every command";

/// Flags of every command.
#[derive(Clone, Debug, Default, Args)]
pub struct Global {
    /// Namespace [default: that of the kubeconfig's context]
    #[arg(help_heading = EVERYWHERE, short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Every namespace
    #[arg(help_heading = EVERYWHERE, short = 'A', long, global = true)]
    pub all_namespaces: bool,
    /// Context of the kubeconfig
    #[arg(help_heading = EVERYWHERE, long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Kubeconfig file [default: $KUBECONFIG, then ~/.kube/config]
    #[arg(help_heading = EVERYWHERE, long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Namespace in which the operator runs
    #[arg(
        help_heading = EVERYWHERE,
        long,
        global = true,
        value_name = "NAME",
        env = "DCANARY_OPERATOR_NAMESPACE",
        default_value = "dcanary-system"
    )]
    pub operator_namespace: String,
    /// Form of the output: json, yaml, wide or name, where the command has it (`ledger export`: a file)
    #[arg(help_heading = EVERYWHERE, short, long, global = true, value_name = "FORM")]
    pub output: Option<String>,
    /// No colours [also: NO_COLOR]
    #[arg(help_heading = EVERYWHERE, long, global = true)]
    pub no_color: bool,
}

impl Global {
    /// The form that was asked for, if `command` can print it.
    ///
    /// # Errors
    /// When there is no such form, or the command does not print it: what is asked for is never ignored.
    pub fn form(&self, command: &str, known: &[Format]) -> Result<Option<Format>, Failure> {
        let Some(asked) = &self.output else {
            return Ok(None);
        };
        let found = Format::from_str(asked, false)
            .ok()
            .filter(|form| known.contains(form));
        if found.is_some() {
            return Ok(found);
        }
        let words: Vec<String> = known
            .iter()
            .filter_map(ValueEnum::to_possible_value)
            .map(|value| value.get_name().to_owned())
            .collect();
        let fix = match words.split_last() {
            None => "leave -o out".to_owned(),
            Some((only, [])) => format!("use -o {only}, or leave it out"),
            Some((last, others)) => format!("use -o {} or {last}, or leave it out", others.join(", ")),
        };
        Err(Failure::usage(format!(
            "`{command}` does not print `-o {asked}`; {fix}"
        )))
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
    #[command(
        after_help = "Examples:\n  dcanary run hello\n  dcanary run hello -p who=canary --name hello-1\n  dcanary run hello --wait --timeout 30m       # exit code says how it ended"
    )]
    Run(RunArgs),
    /// Show runs
    #[command(subcommand)]
    #[command(after_help = "Examples:\n  dcanary get runs\n  dcanary get run hello-1 -w")]
    Get(Get),
    /// Print the logs of a run
    #[command(
        after_help = "Examples:\n  dcanary logs hello-1\n  dcanary logs hello-1 build -f                # one stage, until the run has ended"
    )]
    Logs(LogsArgs),
    /// Cancel a run
    #[command(after_help = "Examples:\n  dcanary cancel hello-1")]
    Cancel(CancelArgs),
    /// Check Pipeline, PipelineRun and Executor files as the operator would, and more strictly
    #[command(
        after_help = "Examples:\n  dcanary lint pipeline.yaml run.yaml\n  kustomize build . | dcanary lint -\n  dcanary lint pipeline.yaml -o json           # file, line, column, message"
    )]
    Lint(LintArgs),
    /// Verify a run or an export against the trust file
    #[command(subcommand)]
    #[command(after_help = "Examples:\n  dcanary verify run hello-1\n  dcanary verify export journal.cbor")]
    Verify(Verify),
    /// Look at the ledger
    #[command(subcommand)]
    #[command(after_help = "Examples:\n  dcanary ledger status\n  dcanary ledger export -o journal.cbor")]
    Ledger(LedgerCommand),
    /// Manage the trust file
    #[command(subcommand)]
    #[command(after_help = "Examples:\n  dcanary trust pin\n  dcanary trust show")]
    Trust(Trust),
    /// Print a completion script
    #[command(after_help = "Examples:\n  source <(dcanary completion bash)")]
    Completion {
        /// Shell
        shell: Shell,
    },
    /// Print the version
    #[command(after_help = "Examples:\n  dcanary version -o json")]
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
    #[command(
        after_help = "Examples:\n  dcanary get runs -A\n  dcanary get runs --last 5 -o wide\n  dcanary get runs -o name                     # for scripts: one a line"
    )]
    Runs {
        /// Only the newest N
        #[arg(long, value_name = "N")]
        last: Option<usize>,
    },
    /// Show one run as a tree
    #[command(visible_alias = "pipelinerun")]
    #[command(
        after_help = "Examples:\n  dcanary get run hello-1\n  dcanary get run hello-1 -w                   # live; the exit code says how it ended\n  dcanary get run hello-1 -w -o json           # one document a line for each change"
    )]
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
    #[command(
        after_help = "Examples:\n  dcanary verify run hello-1\n  dcanary verify run hello-1 -o wide           # and its journal\n  dcanary verify run hello-1 --evidence e.json # what proves it, for another verifier"
    )]
    Run {
        /// Name of the run
        name: String,
        /// Trust file and network
        #[command(flatten)]
        trust: TrustArgs,
        /// URL of the network [default: what the cluster names]
        #[arg(long, value_name = "URL")]
        network: Option<String>,
        /// Write what proves the run to a file, as JSON, for another verifier (docs/verifier)
        #[arg(long, value_name = "FILE")]
        evidence: Option<PathBuf>,
    },
    /// Verify an export, offline
    #[command(after_help = "Examples:\n  dcanary verify export journal.cbor --trust trust.json")]
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
    #[command(
        after_help = "Examples:\n  dcanary ledger export -o journal.cbor\n  dcanary ledger export --trust t.json --network https://icp-api.io | sha256sum"
    )]
    Export {
        /// Where to find the ledger
        #[command(flatten)]
        at: LedgerAt,
    },
    /// Show the certified head
    #[command(after_help = "Examples:\n  dcanary ledger status\n  dcanary ledger status -o json")]
    Status {
        /// Where to find the ledger
        #[command(flatten)]
        at: LedgerAt,
    },
    /// Make a signing key, readable by its owner only, and print its principal
    #[command(after_help = "Examples:\n  dcanary ledger init-key operator.pem")]
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
    #[command(
        after_help = "Examples:\n  dcanary trust pin\n  dcanary trust pin --project shop --trust shop.json\n  dcanary trust pin --network https://icp-api.io --ledger ID --project shop"
    )]
    Pin(PinArgs),
    /// Show the trust file
    #[command(after_help = "Examples:\n  dcanary trust show\n  dcanary trust show --trust shop.json -o json")]
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
    /// Project whose runs are to be verified [default: the cluster's default project]
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
#[path = "args_tests.rs"]
mod tests;

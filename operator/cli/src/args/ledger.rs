//! Arguments of the commands for the ledger: verify, ledger, trust.

use std::path::PathBuf;

use clap::{Args, Subcommand};

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
    /// Verify an environment against the ledger
    #[command(
        visible_alias = "env",
        after_help = "Examples:\n  dcanary verify environment production\n  dcanary verify env production -o wide  # and its journal"
    )]
    Environment {
        /// Name of the environment
        name: String,
        /// Trust file and network
        #[command(flatten)]
        trust: TrustArgs,
        /// URL of the network [default: what the cluster names]
        #[arg(long, value_name = "URL")]
        network: Option<String>,
        /// Write what proves the environment to a file, as JSON, for another verifier (docs/verifier)
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

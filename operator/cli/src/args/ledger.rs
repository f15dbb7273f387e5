//! Arguments of the commands for the ledger: verify, ledger, trust.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use ic_agent::export::Principal;

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
        /// URL of the network; `ic` is the Internet Computer's mainnet [default: what the cluster names]
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
        /// URL of the network; `ic` is the Internet Computer's mainnet [default: what the cluster names]
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
        after_help = "Examples:\n  dcanary ledger export -o journal.cbor\n  dcanary ledger export --trust t.json --network https://icp-api.io | dcanary verify export - --trust t.json"
    )]
    Export {
        /// Where to find the ledger
        #[command(flatten)]
        at: LedgerAt,
    },
    /// Show the certified head; with -o wide or json also code, controllers, incarnation and cycles
    #[command(
        after_help = "Examples:\n  dcanary ledger status\n  dcanary ledger status -o wide\n  dcanary ledger status -o json --identity me.pem   # a controller may know the cycles"
    )]
    Status {
        /// Where to find the ledger
        #[command(flatten)]
        at: LedgerAt,
        /// Key of a controller, who may know how many cycles are left
        #[arg(long, value_name = "FILE")]
        identity: Option<PathBuf>,
        /// The shipped wasm, to compare with [default: where `dcanary ledger deploy` finds it]
        #[arg(long, value_name = "FILE")]
        wasm: Option<PathBuf>,
    },
    /// Put the ledger on a network of others, as a person: create or take a canister, install, verify, grant
    #[command(
        after_help = "Examples:\n  dcanary ledger deploy --network ic --identity me.pem --create --cycles 5T --operator PRINCIPAL --project shop --domain east\n  dcanary ledger deploy --network ic --identity me.pem --canister ID --operator PRINCIPAL   # also later, for one more operator\n  dcanary ledger deploy --network http://10.0.0.5:8080 --root-key fetch --identity me.pem --create"
    )]
    Deploy(DeployArgs),
    /// Replace the code of a ledger on a network of others, as a person; its journal stays
    #[command(
        after_help = "Examples:\n  dcanary ledger upgrade --network ic --identity me.pem --canister ID\n  dcanary ledger upgrade --network ic --identity me.pem --canister ID --wasm orchestrator.wasm -y"
    )]
    Upgrade(UpgradeArgs),
    /// Copy the data of the embedded node, while it works, to a file (-o FILE) or standard output; without its keys
    #[command(
        after_help = "Examples:\n  dcanary ledger backup -o ledger.tar\n  kubectl get secret -n dcanary-system dcanary-ledger-keys -o yaml > keys.yaml   # RELEASE-ledger-keys; keep it secret"
    )]
    Backup,
    /// Let the embedded node go on from a backup, which takes the place of its data; that is kept beside it, and the journal says so first
    #[command(
        after_help = "Examples:\n  dcanary ledger restore ledger.tar\n  dcanary ledger restore ledger.tar --incarnation 3 --yes\n\nThe data that is there now need not be removed: it stays on the node's volume, as /data/node.before-1 (or the next number), until you\nremove it. Node and operator rest meanwhile and are started again, whatever becomes of it. A backup of another network is refused."
    )]
    Restore(RestoreArgs),
    /// Make a signing key, readable by its owner only, and print its principal
    #[command(after_help = "Examples:\n  dcanary ledger init-key operator.pem")]
    InitKey {
        /// File; it must not exist
        file: PathBuf,
    },
}

/// `ledger restore`
#[derive(Clone, Debug, Args)]
pub struct RestoreArgs {
    /// File that `dcanary ledger backup` wrote
    pub file: PathBuf,
    /// What the node's incarnation is to be at least [default: one more than that of the backup and of the present data]
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    pub incarnation: u64,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// The network, and the person who signs.
#[derive(Clone, Debug, Args)]
pub struct PersonArgs {
    /// URL of the network; `ic` is the Internet Computer's mainnet
    #[arg(long, value_name = "URL")]
    pub network: String,
    /// Root key of the network: hex, `mainnet`, or `fetch`, which takes what the network says and shows it to somebody at a terminal (not with --yes) [default for `ic`: mainnet]
    #[arg(long, value_name = "HEX")]
    pub root_key: Option<String>,
    /// Key of the person in PEM form (Ed25519, secp256k1 or prime256v1), as `icp identity export NAME` prints it
    #[arg(long, value_name = "FILE")]
    pub identity: PathBuf,
    /// The ledger's wasm [default: the first orchestrator.wasm that is in the folder $DCANARY_CANISTERS, in the folder `canisters` beside the one of this program (/opt/canisters for /opt/bin/dcanary; `make build` puts it so), or in /canisters (in the image)]
    #[arg(long, value_name = "FILE")]
    pub wasm: Option<PathBuf>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// `ledger deploy`
#[derive(Clone, Debug, Args)]
#[command(group = clap::ArgGroup::new("ledger").required(true).args(["canister", "create"]))]
pub struct DeployArgs {
    /// Network and person
    #[command(flatten)]
    pub person: PersonArgs,
    /// Canister to use: an empty one, or one with the ledger in it
    #[arg(long, value_name = "ID", value_parser = principal)]
    pub canister: Option<Principal>,
    /// Make a canister: on the mainnet with cycles that the person holds in the cycles ledger, elsewhere without payment
    #[arg(long)]
    pub create: bool,
    /// With --create: cycles for the canister; T is 10^12. The mainnet takes the price of the creation from them, a development network makes them from nothing, and a node in production mode gives its default cycles whatever is said here
    #[arg(long, value_name = "N", value_parser = cycles, default_value = "5T", conflicts_with = "canister")]
    pub cycles: u128,
    /// Owner of a new ledger, who grants roles in it [default: the person]
    #[arg(long, value_name = "PRINCIPAL", value_parser = principal)]
    pub owner: Option<Principal>,
    /// Operator that may write; repeatable
    #[arg(long, value_name = "PRINCIPAL", value_parser = principal)]
    pub operator: Vec<Principal>,
    /// Project that the operators write
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub project: String,
    /// Executor domain of the operators
    #[arg(long, value_name = "NAME", default_value = "local")]
    pub domain: String,
}

/// `ledger upgrade`
#[derive(Clone, Debug, Args)]
pub struct UpgradeArgs {
    /// Network and person
    #[command(flatten)]
    pub person: PersonArgs,
    /// The ledger's canister
    #[arg(long, value_name = "ID", value_parser = principal)]
    pub canister: Principal,
}

fn principal(text: &str) -> Result<Principal, String> {
    Principal::from_text(text.trim())
        .map_err(|source| format!("it is not the text form of a principal: {source}"))
}

/// Cycles as people write them: `5T`, `2.5T`, `5_000_000_000_000`.
fn cycles(text: &str) -> Result<u128, String> {
    let wrong = || "write it as 5T, 2.5T or 5000000000000".to_owned();
    let plain: String = text.chars().filter(|letter| *letter != '_').collect();
    let Some(trillions) = plain.strip_suffix(['T', 't']) else {
        return plain.parse().map_err(|_| wrong());
    };
    let (whole, part) = trillions.split_once('.').unwrap_or((trillions, ""));
    if whole.is_empty() || part.len() > 12 || !part.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(wrong());
    }
    let digits = format!("{whole}{part:0<12}");
    digits.parse().map_err(|_| wrong())
}

/// Where to find the ledger: the trust file, and what the cluster names where that is silent.
#[derive(Clone, Debug, Default, Args)]
pub struct LedgerAt {
    /// Trust file [default: $DCANARY_TRUST, then trust.json in the configuration folder]
    #[arg(long, value_name = "FILE")]
    pub trust: Option<PathBuf>,
    /// URL of the network; `ic` is the Internet Computer's mainnet [default: what the cluster names]
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
    /// URL of the network; `ic` is the Internet Computer's mainnet [default: what the cluster names]
    #[arg(long, value_name = "URL")]
    pub network: Option<String>,
    /// Canister id of the ledger [default: what the cluster names]
    #[arg(long, value_name = "ID")]
    pub ledger: Option<String>,
    /// Root key of the network: hex, if you know it, `mainnet`, or `fetch` [default: fetched from the network, and shown; for `ic`: mainnet]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_are_written_as_people_say_them() {
        for (text, meant) in [
            ("5T", 5_000_000_000_000),
            ("2.5t", 2_500_000_000_000),
            ("0.000000000001T", 1),
            ("5_000_000", 5_000_000),
            ("7", 7),
        ] {
            assert_eq!(cycles(text), Ok(meant), "{text}");
        }
        for text in ["", "T", "5 T", "1.T.T", "-1", "1.0000000000001T", "5M", ".xT"] {
            assert!(cycles(text).is_err(), "{text}");
        }
    }
}

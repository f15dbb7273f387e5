//! What the operator is told at start: flags, each also an environment variable.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// The operator of DCanary.
#[derive(Debug, Clone, Parser)]
#[command(name = "dcanary-operator", version)]
pub struct Config {
    /// Namespace of the operator itself.
    #[arg(long, env = "DCANARY_NAMESPACE", default_value = "dcanary-system")]
    pub namespace: String,
    /// Name of the installation: prefix of the objects that belong to it.
    #[arg(long, env = "DCANARY_INSTALLATION", default_value = "dcanary")]
    pub installation: String,
    /// Address of health and metrics.
    #[arg(long, env = "DCANARY_METRICS_LISTEN", default_value = "0.0.0.0:9090")]
    pub metrics_listen: std::net::SocketAddr,
    /// Base URL of the server, as build Pods reach it.
    #[arg(long, env = "DCANARY_SERVER_URL")]
    pub server_url: String,
    /// PEM file with the certificate authority of the server.
    #[arg(long, env = "DCANARY_SERVER_CA_FILE")]
    pub server_ca_file: PathBuf,
    /// File with the operator's token for the server.
    #[arg(long, env = "DCANARY_SERVER_TOKEN_FILE")]
    pub server_token_file: PathBuf,
    /// Image that holds the runner.
    #[arg(long, env = "DCANARY_RUNNER_IMAGE")]
    pub runner_image: String,
    /// Pull policy of the runner image; empty = the cluster's default.
    #[arg(long, env = "DCANARY_RUNNER_PULL_POLICY", default_value = "")]
    pub runner_pull_policy: String,
    /// How the runner gets into build Pods.
    #[arg(long, env = "DCANARY_RUNNER_DELIVERY", value_enum, default_value_t = DeliveryChoice::Auto)]
    pub runner_delivery: DeliveryChoice,
    /// Metrics may ask link-local addresses (169.254.0.0/16, fe80::/10), where clouds keep the credentials of the node.
    #[arg(long, env = "DCANARY_ANALYSIS_ALLOW_LINK_LOCAL", default_value_t = false, action = clap::ArgAction::Set)]
    pub analysis_allow_link_local: bool,
    /// Project of Pipelines that name none.
    #[arg(long, env = "DCANARY_LEDGER_PROJECT", default_value = "default")]
    pub project: String,
    /// Further projects that Pipelines may name (embedded ledger: the operator takes the role in them).
    #[arg(long, env = "DCANARY_LEDGER_PROJECTS", value_delimiter = ',')]
    pub projects: Vec<String>,
    /// Executor domain of this operator.
    #[arg(long, env = "DCANARY_LEDGER_DOMAIN", default_value = "local")]
    pub domain: String,
    /// URL of the network that keeps the ledger; absent = nothing is recorded.
    #[arg(long, env = "DCANARY_LEDGER_URL")]
    pub ledger_url: Option<String>,
    /// The network is the embedded node of this installation: the operator makes its keys and installs the canister.
    #[arg(long, env = "DCANARY_LEDGER_EMBEDDED", default_value_t = false, action = clap::ArgAction::Set)]
    pub ledger_embedded: bool,
    /// Hex of the DER-encoded root key, for a network that is not embedded.
    #[arg(long, env = "DCANARY_LEDGER_ROOT_KEY")]
    pub ledger_root_key: Option<String>,
    /// Canister id of the ledger, for a network that is not embedded.
    #[arg(long, env = "DCANARY_LEDGER_CANISTER")]
    pub ledger_canister: Option<String>,
    /// Folder with the canisters that this version ships.
    #[arg(long, env = "DCANARY_CANISTERS", default_value = "/canisters")]
    pub canisters: PathBuf,
}

/// How the runner gets into build Pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "camelCase")]
pub enum DeliveryChoice {
    /// A probe Pod decides at start.
    Auto,
    /// As an image volume.
    ImageVolume,
    /// Copied by an init container.
    Init,
}

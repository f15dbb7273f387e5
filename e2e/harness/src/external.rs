//! A ledger on a network of others: a node of one's own outside of the cluster, as `docs/ledger.md` says, and the installation that records there.

use std::{path::Path, process::Stdio, sync::Arc};

use anyhow::{Context, Result, ensure};
use candid::{Encode, Principal};
use dcanary_ledger::{
    key,
    transport::{self, Transport},
};
use ic_agent::Identity;
use ic_management_canister_types::{CanisterSettings, UpdateSettingsArgs};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, api::ListParams};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{
    Cluster,
    cli::{dcanary, program, said},
    cluster::repository,
    ledger::operator_key,
};

/// A node outside of the cluster, and the person who put a ledger on it and controls that alone.
pub struct External {
    folder: TempDir,
    /// What `dcanary ledger deploy` tells.
    told: Value,
    person: Principal,
    /// The operator's principal.
    pub operator: Principal,
    _node: Child,
}

impl External {
    /// Starts the node where Pods reach it, and deploys a ledger on it as a person, for the operator's key.
    ///
    /// # Errors
    /// When a step fails.
    pub async fn deploy(cluster: &Cluster) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        let made = dcanary(&["ledger", "init-key", &path("me.pem")]).await?;
        ensure!(made.status.success(), "{}", said(&made));
        let me = String::from_utf8(made.stdout)?.trim().to_owned();
        let mut node = Command::new(program().with_file_name("dcanary-node"))
            .args(["--mode", "production", "--creators", &me])
            .args(["--listen", &format!("{}:0", address(cluster).await?)])
            .args(["--data", &path("node"), "--ready-file", &path("ready.json")])
            .env("NO_COLOR", "1")
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("start dcanary-node, which scripts/build.sh makes")?;
        let mut lines = BufReader::new(node.stderr.take().context("stderr")?).lines();
        while let Some(line) = lines.next_line().await? {
            if line.contains("serving") {
                break;
            }
        }
        // what it says later is read, so that it never waits for a reader
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let ready: Value = serde_json::from_slice(
            &tokio::fs::read(path("ready.json"))
                .await
                .context("the node did not start")?,
        )?;
        let text = |name: &str| ready[name].as_str().with_context(|| name.to_owned());
        let operator = operator_key(cluster)
            .await?
            .sender()
            .map_err(anyhow::Error::msg)?;
        let deployed = dcanary(&[
            "ledger",
            "deploy",
            "--network",
            text("url")?,
            "--root-key",
            text("root_key")?,
            "--identity",
            &path("me.pem"),
            "--create",
            "--operator",
            &operator.to_text(),
            "--yes",
            "-o",
            "json",
        ])
        .await?;
        ensure!(deployed.status.success(), "{}", said(&deployed));
        Ok(Self {
            told: serde_json::from_slice(&deployed.stdout)?,
            person: Principal::from_text(&me)?,
            operator,
            _node: node,
            folder,
        })
    }

    /// Its canister id.
    ///
    /// # Errors
    /// When it was not told.
    pub fn ledger(&self) -> Result<Principal> {
        Ok(Principal::from_text(
            self.told["ledger"].as_str().context("ledger")?,
        )?)
    }

    fn network(&self, value: &'static str) -> Result<&str> {
        let external = &self.told["values"]["ledger"]["external"];
        external[value].as_str().context(value)
    }

    /// The chart's values for an installation that records there.
    pub fn values(&self) -> Value {
        let mut values = self.told["values"].clone();
        values["ledger"]["embedded"] = json!({"enabled": false});
        values
    }

    /// Pins a trust file for it, by what the installation says; its path.
    ///
    /// # Errors
    /// When it cannot be pinned, or another ledger would be.
    pub async fn pin(&self) -> Result<String> {
        let path = self.folder.path().join("trust.json").display().to_string();
        let pinned = dcanary(&["trust", "pin", "--yes", "--replace", "--trust", &path]).await?;
        ensure!(pinned.status.success(), "{}", said(&pinned));
        let root_key = self.network("rootKey")?;
        let file = std::fs::read_to_string(&path)?;
        ensure!(file.contains(root_key), "another network is pinned: {file}");
        Ok(path)
    }

    /// The person sets who controls the ledger, beside themselves.
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn shared_with(&self, others: &[Principal]) -> Result<()> {
        let pem = std::fs::read_to_string(self.folder.path().join("me.pem"))?;
        let agent = transport::agent(
            &Transport::new(self.network("url")?),
            &hex::decode(self.network("rootKey")?)?,
            Arc::new(key::parse(&pem, "me.pem")?),
        )?;
        let arguments = UpdateSettingsArgs {
            canister_id: self.ledger()?,
            settings: CanisterSettings {
                controllers: Some([&[self.person], others].concat()),
                ..CanisterSettings::default()
            },
            sender_canister_version: None,
        };
        agent
            .update(&Principal::management_canister(), "update_settings")
            .with_effective_canister_id(self.ledger()?)
            .with_arg(Encode!(&arguments)?)
            .await?;
        Ok(())
    }
}

/// The address of this machine in the cluster: the local cluster's node runs on it.
async fn address(cluster: &Cluster) -> Result<String> {
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let list = nodes.list(&ListParams::default()).await?;
    list.items
        .into_iter()
        .filter_map(|node| node.status?.addresses)
        .flatten()
        .find(|address| address.type_ == "InternalIP")
        .map(|address| address.address)
        .context("no node has an address")
}

/// Upgrades the installation with the same chart and these values besides those that it has, and waits until it serves.
///
/// # Errors
/// When Helm fails.
pub async fn helm_upgrade(cluster: &Cluster, values: &Value) -> Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    tokio::fs::write(file.path(), values.to_string()).await?;
    let chart = repository().join("charts/dcanary");
    let output = Command::new("helm")
        .args(["upgrade", "dcanary"])
        .arg::<&Path>(&chart)
        .args([
            "--namespace",
            &cluster.operator_namespace,
            "--reuse-values",
            "--values",
        ])
        .arg(file.path())
        .args(["--wait", "--timeout", "120s"])
        .output()
        .await
        .context("start helm")?;
    ensure!(output.status.success(), "helm upgrade: {}", said(&output));
    Ok(())
}

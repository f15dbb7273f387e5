//! The ledger with the operator's own key: what somebody can do who has stolen it.

use std::sync::Arc;

use anyhow::{Context, Result};
use dcanary_ledger::{
    IcLedger, IcLedgerConfig, MemoryCheckpoints, key,
    setup::{FIRST_CANISTER, Setup, install},
};
use ic_agent::identity::BasicIdentity;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;

use crate::{
    Cluster,
    forward::Forward,
    system::{LEDGER, System},
};

const PORT: u16 = 8080;
/// The ConfigMap that tells people where the ledger is.
pub const CONFIG: &str = "dcanary-ledger";
/// The id of the second canister that a node makes.
pub const SECOND_CANISTER: &str = "firqq-iqaaa-aacaa-aaaaq-cai";

/// The way to the ledger.
pub struct Stolen {
    /// The ledger, called with the operator's key.
    pub ledger: IcLedger,
    config: IcLedgerConfig,
    _forward: Forward,
}

impl Stolen {
    /// Takes the key out of its Secret.
    ///
    /// # Errors
    /// When the Secret or the ConfigMap is not there.
    pub async fn take(cluster: &Cluster) -> Result<Self> {
        let namespace = &cluster.operator_namespace;
        let identity = Arc::new(operator_key(cluster).await?);
        let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), namespace);
        let map = maps.get(CONFIG).await?.data.unwrap_or_default();
        let root_key = hex::decode(map.get("rootKey").context("rootKey")?)?;
        let forward = Forward::to(System::of(cluster).pods(), &format!("{LEDGER}-0"), PORT).await?;
        let config = || {
            IcLedgerConfig::new(
                format!("http://{}", forward.address),
                root_key.clone(),
                FIRST_CANISTER,
                identity.clone(),
                Arc::new(MemoryCheckpoints::default()),
            )
        };
        Ok(Self {
            ledger: IcLedger::connect(config())?,
            config: config(),
            _forward: forward,
        })
    }

    /// Puts the ledger's own wasm under [`SECOND_CANISTER`] too.
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn install_second(self, wasm: Vec<u8>) -> Result<()> {
        install(Setup {
            transport: self.config.transport,
            root_key: self.config.root_key,
            owner: self.config.identity,
            wasm,
            ledger: SECOND_CANISTER.parse()?,
            upgrade: true,
            grants: Vec::new(),
        })
        .await?;
        Ok(())
    }
}

/// The operator's key, out of its Secret.
///
/// # Errors
/// When the Secret is not there or holds none.
pub async fn operator_key(cluster: &Cluster) -> Result<BasicIdentity> {
    let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), &cluster.operator_namespace);
    let data = secrets
        .get("dcanary-operator-key")
        .await?
        .data
        .unwrap_or_default();
    let pem = data.get("identity.pem").context("identity.pem")?;
    Ok(key::parse(std::str::from_utf8(&pem.0)?, "the Secret")?)
}

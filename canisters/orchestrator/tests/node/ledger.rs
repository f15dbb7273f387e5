//! A ledger on a node: an owner, an operator of `shop` under `east` and one of `bank` under `east`.

use std::time::{SystemTime, UNIX_EPOCH};

use candid::{
    CandidType, Decode, Encode, Principal,
    utils::{ArgumentEncoder, encode_args},
};
use dcanary_node::Config;
use dcanary_types::{
    api::{
        AppendError, Batch, BatchResult, InitArg, ProofResult, Receipt, RoleArg, RoleResult, Segment, Stats,
    },
    block::Block,
    icrc3::DataCertificate,
};
use dcanary_verifier::{Anchors, CertifiedHead, RootKey, check_head};
use ic_agent::{Agent, AgentError};
use ic_management_canister_types::{CanisterInstallMode, UpgradeFlags};
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;

use crate::{
    network::{Network, create, identity, install, principal},
    wasm::wasm,
};

pub const OWNER: u8 = 1;
pub const SHOP: u8 = 2;
pub const BANK: u8 = 3;
pub const STRANGER: u8 = 9;

pub struct Ledger {
    pub network: Network,
    pub id: Principal,
}

impl Ledger {
    pub async fn start() -> Self {
        Self::start_on(Config::ephemeral()).await
    }

    pub async fn start_on(config: Config) -> Self {
        let network = Network::start(config).await;
        let agent = network.agent(identity(OWNER));
        let id = create(&agent).await;
        let ledger = Self { network, id };
        ledger
            .install(
                CanisterInstallMode::Install,
                &InitArg::Init {
                    owner: principal(OWNER),
                },
            )
            .await
            .unwrap();
        for (who, project) in [(SHOP, "shop"), (BANK, "bank")] {
            ledger
                .role("grant_role", OWNER, &operator(who, project))
                .await
                .unwrap()
                .unwrap();
        }
        ledger
    }

    pub fn agent(&self, who: u8) -> Agent {
        self.network.agent(identity(who))
    }

    pub async fn install(&self, mode: CanisterInstallMode, arg: &InitArg) -> Result<(), AgentError> {
        install(&self.agent(OWNER), self.id, mode, wasm(), &Encode!(arg).unwrap()).await
    }

    pub async fn upgrade(&self, arg: &InitArg) -> Result<(), AgentError> {
        self.install(CanisterInstallMode::Upgrade(None::<UpgradeFlags>), arg)
            .await
    }

    pub async fn send(&self, who: u8, method: &str, arg: Vec<u8>) -> Result<Vec<u8>, AgentError> {
        self.agent(who)
            .update(&self.id, method)
            .with_arg(arg)
            .call_and_wait()
            .await
    }

    pub async fn ask<T: CandidType + DeserializeOwned>(&self, method: &str, args: impl ArgumentEncoder) -> T {
        let arg = encode_args(args).unwrap();
        let reply = self
            .agent(STRANGER)
            .query(&self.id, method)
            .with_arg(arg)
            .call()
            .await
            .unwrap();
        Decode!(&reply, T).unwrap()
    }

    pub async fn batch(&self, who: u8, segments: Vec<Segment>) -> Result<BatchResult, AgentError> {
        let reply = self
            .send(who, "append", Encode!(&Batch { segments }).unwrap())
            .await?;
        Ok(Decode!(&reply, BatchResult).unwrap())
    }

    pub async fn append(&self, segment: Segment) -> Result<Vec<u64>, AppendError> {
        let mut results = self.batch(SHOP, vec![segment]).await.unwrap().unwrap();
        assert_eq!(results.len(), 1);
        results.remove(0).map(|Receipt { blocks }| blocks)
    }

    pub async fn role(&self, method: &str, who: u8, role: &RoleArg) -> Result<RoleResult, AgentError> {
        let reply = self.send(who, method, Encode!(role).unwrap()).await?;
        Ok(Decode!(&reply, RoleResult).unwrap())
    }

    pub async fn stats(&self) -> Stats {
        self.ask("stats", ()).await
    }

    /// All blocks from an index on.
    pub async fn blocks_from(&self, mut start: u64) -> Vec<Block> {
        let mut blocks = Vec::new();
        loop {
            let part: Vec<ByteBuf> = self.ask("blocks", (start, u64::MAX)).await;
            if part.is_empty() {
                return blocks;
            }
            start += part.len() as u64;
            blocks.extend(part.iter().map(|bytes| Block::decode(bytes).unwrap()));
        }
    }

    pub async fn proof(&self, method: &str, first: u64, second: u64) -> Vec<[u8; 32]> {
        let proof: ProofResult = self.ask(method, (first, second)).await;
        proof
            .unwrap()
            .into_iter()
            .map(|hash| hash.into_vec().try_into().unwrap())
            .collect()
    }

    /// The certified head, checked against the node's root key by the verifier.
    pub async fn head(&self) -> CertifiedHead {
        let tip: Option<DataCertificate> = self.ask("icrc3_get_tip_certificate", ()).await;
        let tip = tip.expect("a query has a certificate");
        let root_key = RootKey::from_der(self.network.node.root_key()).unwrap();
        let anchors = Anchors {
            root_key,
            ledger: self.id.as_slice().to_vec(),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        check_head(
            &tip.certificate,
            &tip.hash_tree,
            &anchors,
            Some(u64::try_from(now).unwrap()),
        )
        .unwrap()
    }
}

pub fn operator(who: u8, project: &str) -> RoleArg {
    RoleArg {
        principal: principal(who),
        role: "operator".to_owned(),
        project: project.to_owned(),
        domain: "east".to_owned(),
    }
}

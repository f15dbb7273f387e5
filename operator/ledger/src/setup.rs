//! Puts the shipped ledger canister on an embedded node: what `make up` and the operator do before the first record.
//!
//! Only for a network whose owner is the caller. On any other network people own the canister, and the operator's key
//! is never a controller. Every step looks first and does only what is missing, so that it can be repeated.

use std::sync::Arc;

use candid::Principal;
use dcanary_types::{
    Hash, api,
    policy::{Policy, RoleKind},
    record::{Body, LedgerEvent},
    value,
};
use ic_management_canister_types::{
    CanisterIdRecord, CanisterInstallMode, CanisterSettings, CreateCanisterArgs,
};
use tracing::info;

use crate::{
    deploy::code::put_ledger, error::LedgerError, ic::IcLedger, ledger::Ledger as _, transport::Transport,
};

use ic_agent::Identity;

/// The id of the first canister that an embedded node makes: that of the ledger.
pub const FIRST_CANISTER: Principal = Principal::from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 1, 1]);

/// How far the journal's count is brought up at once. What a node says of itself is not certified, so that it must not fill the journal.
const MAX_RESTORED: usize = 10;

/// What to set up.
pub struct Setup {
    /// Where the node is.
    pub transport: Transport,
    /// Its DER-encoded root key, read from its own files.
    pub root_key: Vec<u8>,
    /// The key that owns and controls the ledger.
    pub owner: Arc<dyn Identity>,
    /// The shipped wasm.
    pub wasm: Vec<u8>,
    /// The ledger's id: [`FIRST_CANISTER`].
    pub ledger: Principal,
    /// Whether another module under that id is upgraded to the shipped one; else it is an error that names both.
    pub upgrade: bool,
    /// Roles that the operators need.
    pub grants: Vec<Grant>,
}

/// The role `operator` for a principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who.
    pub principal: Principal,
    /// Project that it writes.
    pub project: String,
    /// Its domain.
    pub domain: String,
}

/// What is there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The ledger.
    pub ledger: Principal,
    /// Hash of the installed module, certified.
    pub module_hash: Hash,
    /// What was done, for people; empty when everything was there.
    pub done: Vec<String>,
}

/// Creates, installs and grants what is missing, then verifies the installed code.
///
/// # Errors
/// When the node refuses a step or something else is found in its place.
pub async fn install(setup: Setup) -> Result<Installed, LedgerError> {
    let Setup {
        transport,
        root_key,
        owner,
        wasm,
        ledger,
        upgrade,
        grants,
    } = setup;
    let installer = Installer {
        client: IcLedger::forgetful(transport, root_key, ledger, owner)?,
        ledger,
    };
    let shipped = value::sha256(&wasm);
    let mut done = Vec::new();
    if !installer.is_ours().await? {
        installer.create().await?;
        done.push(format!("created canister {ledger}"));
        installer.is_ours().await?;
    }
    match installer.client.module_hash().await? {
        None => {
            let owner = installer.client.caller();
            let argument = api::InitArg::Init { owner };
            put_ledger(&installer.client, CanisterInstallMode::Install, wasm, &argument).await?;
            done.push(format!("installed the ledger, owner {owner}"));
        }
        Some(found) if found == shipped => {}
        Some(_) if upgrade => {
            let mode = CanisterInstallMode::Upgrade(None);
            put_ledger(&installer.client, mode, wasm, &api::InitArg::Upgrade).await?;
            done.push(format!("upgraded the ledger to {}", hex::encode(shipped)));
        }
        Some(found) => return Err(other_code(ledger, &shipped, Some(found))),
    }
    installer.client.ready().await?;
    installer.was_opened_by_us().await?;
    done.extend(installer.client.tell_restored().await?);
    for grant in grants {
        if installer.client.grant_operator(&grant).await? {
            done.push(format!(
                "granted {} the role operator in project {}",
                grant.principal, grant.project
            ));
        }
    }
    match installer.client.module_hash().await? {
        Some(module_hash) if module_hash == shipped => {
            for step in &done {
                info!("{step}");
            }
            Ok(Installed {
                ledger,
                module_hash,
                done,
            })
        }
        found => Err(other_code(ledger, &shipped, found)),
    }
}

pub(crate) fn other_code(ledger: Principal, shipped: &Hash, found: Option<Hash>) -> LedgerError {
    LedgerError::OtherCode {
        ledger,
        expected: hex::encode(shipped),
        found: found.map_or_else(|| "none".to_owned(), hex::encode),
    }
}

struct Installer {
    client: IcLedger,
    ledger: Principal,
}

impl Installer {
    /// Whether the canister is there, controlled by the caller and nobody else. A node makes canisters for whoever asks first.
    async fn is_ours(&self) -> Result<bool, LedgerError> {
        let Some(controllers) = self.client.code().await?.controllers else {
            return Ok(false);
        };
        if controllers == [self.client.caller()] {
            return Ok(true);
        }
        let who: Vec<String> = controllers.iter().map(Principal::to_text).collect();
        Err(self.not_ours(format!(
            "its controllers are [{}] and not only {}",
            who.join(", "),
            self.client.caller()
        )))
    }

    /// Whether the caller opened the journal and still is an owner of it: controllers can be handed over, the first block cannot.
    async fn was_opened_by_us(&self) -> Result<(), LedgerError> {
        let us = self.client.caller();
        let Some(opened_by) = self.client.opened_by().await? else {
            return Err(self.not_ours("its first block opens no ledger".to_owned()));
        };
        if opened_by != us.as_slice() {
            let owner = Principal::try_from_slice(&opened_by)
                .map_or_else(|_| hex::encode(&opened_by), |owner| owner.to_text());
            return Err(self.not_ours(format!("its journal was opened for {owner} and not for {us}")));
        }
        if !self.client.proven_policy().await?.is_owner(us.as_slice()) {
            return Err(self.not_ours(format!("its policy does not name {us} as an owner")));
        }
        Ok(())
    }

    fn not_ours(&self, reason: String) -> LedgerError {
        LedgerError::NotOurs {
            ledger: self.ledger,
            reason,
        }
    }

    /// A node in production makes nothing provisional, but lets its operator create.
    async fn create(&self) -> Result<(), LedgerError> {
        let arguments = CreateCanisterArgs {
            settings: Some(CanisterSettings {
                controllers: Some(vec![self.client.caller()]),
                ..CanisterSettings::default()
            }),
            sender_canister_version: None,
        };
        let made: CanisterIdRecord = self.client.manage("create_canister", &arguments).await?;
        if made.canister_id == self.ledger {
            return Ok(());
        }
        Err(LedgerError::Rejected {
            method: "create_canister".to_owned(),
            code: None,
            message: format!(
                "made {} instead of {}: the ledger has to be the first canister of its node",
                made.canister_id, self.ledger
            ),
        })
    }
}

impl IcLedger {
    /// A node that goes on from a backup forgot what came after it. The journal says so before anything else is recorded. What was done, when
    /// there was something to say.
    ///
    /// # Errors
    /// When the ledger does not answer, or the caller is no owner.
    pub async fn tell_restored(&self) -> Result<Option<String>, LedgerError> {
        let (node, mut told) = (self.restored().await?, None);
        let mut recorded = self.stats().await?.incarnation;
        for _ in 0..MAX_RESTORED {
            if recorded >= node {
                break;
            }
            recorded = self.record_restored().await?.incarnation;
            told = Some(recorded);
        }
        Ok(told.map(|incarnation| format!("recorded that the node was restored: incarnation {incarnation}")))
    }

    /// Grants the role `operator` unless the policy has it; the policy counts only as the head certifies it. Whether it was new.
    ///
    /// # Errors
    /// When the policy is not proven, or the caller is no owner.
    pub async fn grant_operator(&self, grant: &Grant) -> Result<bool, LedgerError> {
        if self.has_granted(grant).await? {
            return Ok(false);
        }
        self.grant_role(&api::RoleArg {
            principal: grant.principal,
            role: RoleKind::Operator.as_str().to_owned(),
            project: grant.project.clone(),
            domain: grant.domain.clone(),
        })
        .await?;
        Ok(true)
    }

    /// Whether the policy has the role; it counts only as the head certifies it.
    pub(crate) async fn has_granted(&self, grant: &Grant) -> Result<bool, LedgerError> {
        let policy = self.proven_policy().await?;
        let held = policy.operator_domain(&grant.project, grant.principal.as_slice());
        Ok(held == Some(grant.domain.as_str()))
    }

    /// For whom the first block under the certified head opens the ledger; `None` when it opens none.
    pub(crate) async fn opened_by(&self) -> Result<Option<Vec<u8>>, LedgerError> {
        let head = self.head().await?;
        let first = self.proven_block(0, &head).await?;
        Ok(match Body::of(&first) {
            Ok(Body::Ledger(LedgerEvent::Opened { owner, .. })) => Some(owner),
            _ => None,
        })
    }

    /// The policy document, equal to what the head certifies.
    ///
    /// # Errors
    /// When it cannot be had, read, or is another one.
    pub async fn proven_policy(&self) -> Result<Policy, LedgerError> {
        let head = self.head().await?;
        let document = self.policy().await?;
        let policy =
            Policy::decode(&document).map_err(|source| LedgerError::decode("the policy document", source))?;
        if policy.hash() == head.policy_hash {
            return Ok(policy);
        }
        Err(LedgerError::unproven(
            "the policy document",
            "its hash is not the certified one",
        ))
    }
}

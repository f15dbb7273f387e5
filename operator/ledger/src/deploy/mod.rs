//! Puts the shipped ledger on a network of others, with the identity and the cycles of a person, and upgrades it there.
//!
//! ```text
//! create ─▶ install ─▶ certified: module hash, controllers ─▶ first block: whose ─▶ grant
//! (or a canister       every step looks first and does only what is missing: the same
//!  that is there)      command again grants another operator its role
//! ```
//! The operator has no part in it: its key may write records and must not be a controller. [`crate::setup`] is for the
//! embedded node, which belongs to the operator.

pub mod code;
mod create;
mod error;
pub mod module;
mod roles;

use std::sync::Arc;

use candid::Principal;
use dcanary_types::{
    Hash, api,
    policy::{Policy, RoleKind},
    value,
};
use ic_agent::Identity;
use ic_management_canister_types::{CanisterIdRecord, CanisterInstallMode, CanisterStatusResult};

pub use create::{CYCLES_LEDGER, Maker, create};
pub use error::DeployError;
pub use module::ModuleError;
pub use roles::{check_name, check_roles, check_separate};

use crate::{
    error::LedgerError,
    ic::{CertifiedCode, IcLedger},
    ledger::Ledger as _,
    setup::{Grant, other_code},
    transport::Transport,
};

/// Where the network is, and who signs.
#[derive(Clone)]
pub struct Person {
    /// Where the network is.
    pub transport: Transport,
    /// Its DER-encoded root key.
    pub root_key: Vec<u8>,
    /// Who signs, and pays on the Internet Computer.
    pub identity: Arc<dyn Identity>,
}

impl Person {
    /// A client of one canister that remembers nothing.
    ///
    /// # Errors
    /// When URL, root key or identity cannot be used.
    pub fn client(&self, ledger: Principal) -> Result<IcLedger, LedgerError> {
        IcLedger::forgetful(
            self.transport.clone(),
            self.root_key.clone(),
            ledger,
            self.identity.clone(),
        )
    }
}

/// What shall be there.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The canister: empty, or with the ledger in it.
    pub ledger: Principal,
    /// The shipped wasm.
    pub wasm: Vec<u8>,
    /// For whom a new ledger is opened; `None` = the identity.
    pub owner: Option<Principal>,
    /// Roles that operators need.
    pub operators: Vec<Grant>,
}

/// What is there now, as the network certifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// The ledger.
    pub ledger: Principal,
    /// Hash of its module.
    pub module_hash: Hash,
    /// Who may change it.
    pub controllers: Vec<Principal>,
    /// Its policy.
    pub policy: Policy,
    /// Blocks of its journal.
    pub blocks: u64,
    /// What is left of its cycles; `None` when the identity may not know.
    pub cycles: Option<u128>,
    /// What was done, for people; empty when everything was there.
    pub done: Vec<String>,
}

/// What runs in a canister now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// Hash of the module; `None` = the canister is empty.
    pub module_hash: Option<Hash>,
    /// Who may change it.
    pub controllers: Vec<Principal>,
}

/// Looks at what runs in a canister, as the network certifies it.
///
/// # Errors
/// When there is none, or the network does not certify it.
pub async fn look(person: &Person, ledger: Principal) -> Result<Present, DeployError> {
    present(&person.client(ledger)?, person).await
}

async fn present(client: &IcLedger, person: &Person) -> Result<Present, DeployError> {
    let CertifiedCode {
        module_hash,
        controllers,
        ..
    } = client.code().await?;
    let controllers = controllers.ok_or_else(|| DeployError::NoCanister {
        ledger: client.id(),
        network: person.transport.url.clone(),
    })?;
    Ok(Present {
        module_hash,
        controllers,
    })
}

/// Asks what runs in a canister whether it is a ledger that this program can talk to.
///
/// # Errors
/// When it is not, or does not answer; [`LedgerError::is_of_no_ledger`] tells which.
pub async fn ask(person: &Person, ledger: Principal) -> Result<(), DeployError> {
    Ok(person.client(ledger)?.ready().await?)
}

/// Installs the ledger where the canister is empty, verifies what runs there, and grants the roles that are missing.
///
/// # Errors
/// When something else is there, the identity may not do it, or an operator is a controller.
pub async fn deploy(person: &Person, wanted: Wanted) -> Result<Deployed, DeployError> {
    let Wanted {
        ledger,
        wasm,
        owner,
        operators,
    } = wanted;
    module::check(&wasm)?;
    check_roles(&operators, owner)?;
    let client = person.client(ledger)?;
    let present = present(&client, person).await?;
    separate(&client, &present, &operators)?;
    let given = value::sha256(&wasm);
    let mut done = Vec::new();
    match present.module_hash {
        Some(found) if found == given => {}
        Some(found) => {
            return Err(DeployError::OtherCode {
                ledger,
                found: hex::encode(found),
                given: hex::encode(given),
            });
        }
        None => {
            controls(&client, &present)?;
            let owner = owner.unwrap_or_else(|| client.caller());
            if owner != client.caller() && !operators.is_empty() {
                // found out before the canister is used up for somebody who cannot go on
                return Err(not_owner(&client, &[owner]));
            }
            let argument = api::InitArg::Init { owner };
            code::put_ledger(&client, CanisterInstallMode::Install, wasm, &argument).await?;
            done.push(format!("installed the ledger, owner {owner}"));
            verify(&client, person, &given).await?;
            client
                .ready()
                .await
                .map_err(Box::new)
                .map_err(|source| DeployError::Installed { ledger, source })?;
            opened_for(&client, owner).await?;
        }
    }
    client.ready().await?;
    let owners = owners(&client.proven_policy().await?);
    if let Some(owner) = owner.filter(|owner| !owners.contains(owner)) {
        return Err(DeployError::OtherOwner {
            ledger,
            owner,
            owners: error::list(&owners),
        });
    }
    if owners.contains(&client.caller()) {
        done.extend(client.tell_restored().await?);
    }
    for grant in &operators {
        if !owners.contains(&client.caller()) && !client.has_granted(grant).await? {
            return Err(not_owner(&client, &owners));
        }
        if client.grant_operator(grant).await? {
            done.push(format!(
                "granted {} the role operator in project {}, domain {}",
                grant.principal, grant.project, grant.domain
            ));
        }
    }
    report(&client, person, &given, done).await
}

/// Replaces the module of a ledger that is there. Its journal stays: the head afterwards has to extend the one before.
///
/// # Errors
/// When no ledger is there, the identity may not do it, or what runs afterwards is not what was given.
pub async fn upgrade(person: &Person, ledger: Principal, wasm: Vec<u8>) -> Result<Deployed, DeployError> {
    put(person, ledger, wasm, Over::Ledger).await
}

/// The same where what runs now may be no ledger: somebody has put it over one, or it answers nobody. The journal is then compared with
/// nothing, so this is for a person who was told of it.
///
/// # Errors
/// As [`upgrade`].
pub async fn mend(person: &Person, ledger: Principal, wasm: Vec<u8>) -> Result<Deployed, DeployError> {
    put(person, ledger, wasm, Over::AnyCode).await
}

/// What may be replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    Ledger,
    AnyCode,
}

async fn put(person: &Person, ledger: Principal, wasm: Vec<u8>, over: Over) -> Result<Deployed, DeployError> {
    module::check(&wasm)?;
    let client = person.client(ledger)?;
    let present = present(&client, person).await?;
    let given = value::sha256(&wasm);
    let found = present.module_hash.ok_or(DeployError::Nothing { ledger })?;
    let mut done = Vec::new();
    match client.ready().await {
        Ok(()) => {
            client.head().await?;
        }
        Err(source) if over == Over::AnyCode && found != given && source.is_of_no_ledger() => {
            let found = hex::encode(found);
            done.push(format!(
                "replaced module {found}, which is no ledger; the journal could be compared with nothing"
            ));
        }
        // whatever does not answer like a ledger is left alone
        Err(source) => return Err(source.into()),
    }
    if found != given {
        controls(&client, &present)?;
        let mode = CanisterInstallMode::Upgrade(None);
        code::put_ledger(&client, mode, wasm, &api::InitArg::Upgrade).await?;
        done.push(format!("upgraded the ledger to {}", hex::encode(given)));
        verify(&client, person, &given).await?;
        client.ready().await.map_err(|source| DeployError::Replaced {
            ledger,
            given: hex::encode(given),
            before: hex::encode(found),
            source: Box::new(source),
        })?;
    }
    if owners(&client.proven_policy().await?).contains(&client.caller()) {
        done.extend(client.tell_restored().await?);
    }
    report(&client, person, &given, done).await
}

async fn report(
    client: &IcLedger,
    person: &Person,
    given: &Hash,
    done: Vec<String>,
) -> Result<Deployed, DeployError> {
    let present = verify(client, person, given).await?;
    let head = client.head().await?;
    Ok(Deployed {
        ledger: client.id(),
        module_hash: *given,
        controllers: present.controllers,
        policy: client.proven_policy().await?,
        blocks: head.size,
        cycles: client.cycles().await,
        done,
    })
}

/// Whether the module that was given is the one that the network certifies.
async fn verify(client: &IcLedger, person: &Person, given: &Hash) -> Result<Present, DeployError> {
    let present = present(client, person).await?;
    match present.module_hash {
        Some(found) if found == *given => Ok(present),
        found => Err(other_code(client.id(), given, found).into()),
    }
}

fn controls(client: &IcLedger, present: &Present) -> Result<(), DeployError> {
    if present.controllers.contains(&client.caller()) {
        return Ok(());
    }
    Err(DeployError::NotController {
        caller: client.caller(),
        ledger: client.id(),
        controllers: error::list(&present.controllers),
        network: client.network(),
    })
}

fn separate(client: &IcLedger, present: &Present, operators: &[Grant]) -> Result<(), DeployError> {
    let controls = |grant: &&Grant| present.controllers.contains(&grant.principal);
    let Some(Grant { principal, .. }) = operators.iter().find(controls) else {
        return Ok(());
    };
    let controllers = &present.controllers;
    Err(DeployError::OperatorControls {
        operator: *principal,
        who: "controls",
        fix: client.disown(*principal, controllers),
    })
}

fn not_owner(client: &IcLedger, owners: &[Principal]) -> DeployError {
    DeployError::NotOwner {
        caller: client.caller(),
        ledger: client.id(),
        owners: error::list(owners),
    }
}

fn owners(policy: &Policy) -> Vec<Principal> {
    let owners = policy.roles().filter(|role| role.role == RoleKind::Owner);
    owners
        .filter_map(|role| Principal::try_from_slice(&role.principal).ok())
        .collect()
}

/// Whether the first block, under the certified head, opens the ledger for whom it was installed.
async fn opened_for(client: &IcLedger, owner: Principal) -> Result<(), LedgerError> {
    client.ready().await?;
    match client.opened_by().await? {
        Some(opened_by) if opened_by == owner.as_slice() => Ok(()),
        _ => Err(LedgerError::unproven(
            "the new ledger",
            format!("its first block does not open it for {owner}"),
        )),
    }
}

impl IcLedger {
    /// Cycles that the ledger's canister has left; `None` where the caller may not know. Certified like any answer to a call.
    pub async fn cycles(&self) -> Option<u128> {
        let record = CanisterIdRecord {
            canister_id: self.id(),
        };
        let status: CanisterStatusResult = self.manage("canister_status", &record).await.ok()?;
        u128::try_from(status.cycles.0).ok()
    }
}

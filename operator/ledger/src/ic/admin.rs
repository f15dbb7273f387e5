//! Calls of an owner: roles, and the management canister for what [`crate::setup`] and [`crate::deploy`] do.

use candid::{CandidType, Decode, Encode, Principal};
use dcanary_types::api;
use ic_agent::agent::{CallResponse, status::Value};
use serde::de::DeserializeOwned;

use super::{IcLedger, call};
use crate::error::LedgerError;

impl IcLedger {
    /// Grants a role. Granting what is held changes nothing.
    ///
    /// # Errors
    /// When the ledger refuses, in its words.
    pub async fn grant_role(&self, role: &api::RoleArg) -> Result<api::RoleReceipt, LedgerError> {
        self.change_role("grant_role", role).await
    }

    /// Takes a role away. Taking what is not held changes nothing.
    ///
    /// # Errors
    /// When the ledger refuses, in its words.
    pub async fn revoke_role(&self, role: &api::RoleArg) -> Result<api::RoleReceipt, LedgerError> {
        self.change_role("revoke_role", role).await
    }

    async fn change_role(&self, method: &str, role: &api::RoleArg) -> Result<api::RoleReceipt, LedgerError> {
        let argument = Encode!(role).map_err(|source| LedgerError::decode("the role", source))?;
        let result: api::RoleResult = self.update(method, argument).await?;
        result.map_err(|refused| self.refused(method, role.principal, refused))
    }

    fn refused(&self, method: &str, about: Principal, refused: api::RoleError) -> LedgerError {
        LedgerError::Rejected {
            method: method.to_owned(),
            code: None,
            message: match refused {
                api::RoleError::NotAuthorised => format!("{} is no owner of the ledger", self.caller),
                api::RoleError::Malformed { reason } => reason,
                api::RoleError::OtherDomain { have } => {
                    format!("{about} writes that project under domain {have}; revoke that first")
                }
                api::RoleError::LastOwner => "the only owner cannot be taken away".to_owned(),
                api::RoleError::TooManyRoles { limit } => format!("there are {limit} roles already"),
                api::RoleError::JournalFull => "the journal takes no more blocks".to_owned(),
            },
        }
    }

    /// Writes into the journal that it goes on from a backup. Only an owner may.
    ///
    /// # Errors
    /// When the ledger refuses, in its words.
    pub async fn record_restored(&self) -> Result<api::RestoreReceipt, LedgerError> {
        let argument = Encode!().map_err(|source| LedgerError::decode("nothing", source))?;
        let result: api::RestoreResult = self.update("record_restored", argument).await?;
        result.map_err(|refused| self.refused("record_restored", self.caller, refused))
    }

    /// How the canister does, as a node says; nothing of it is certified.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub async fn stats(&self) -> Result<api::Stats, LedgerError> {
        self.query("stats", ()).await
    }

    /// How often the data of an embedded node was restored from a backup, as it says; 0 for any other network, which has no such count.
    ///
    /// # Errors
    /// When the network does not answer.
    pub async fn restored(&self) -> Result<u64, LedgerError> {
        let status = self
            .agent
            .status()
            .await
            .map_err(|source| call::explain(source, "status", self.ledger, &self.wire))?;
        Ok(match status.values.get("incarnation").map(AsRef::as_ref) {
            Some(Value::Integer(count)) => u64::try_from(*count).unwrap_or(0),
            _ => 0,
        })
    }

    /// Calls the management canister for this ledger.
    pub(crate) async fn manage<T: CandidType + DeserializeOwned>(
        &self,
        method: &str,
        arguments: &(impl CandidType + Sync),
    ) -> Result<T, LedgerError> {
        let encoded = Encode!(arguments)
            .map_err(|source| LedgerError::decode(format!("the argument of `{method}`"), source))?;
        self.call_canister(Principal::management_canister(), self.ledger, method, encoded)
            .await
    }

    /// Calls any canister of the network; the answer is certified. `effective` says which subnet is asked.
    pub(crate) async fn call_canister<T: CandidType + DeserializeOwned>(
        &self,
        canister: Principal,
        effective: Principal,
        method: &str,
        argument: Vec<u8>,
    ) -> Result<T, LedgerError> {
        let refused = |source| call::explain(source, method, effective, &self.wire);
        let sent = self
            .agent
            .update(&canister, method)
            .with_effective_canister_id(effective)
            .with_arg(argument)
            .call()
            .await
            .map_err(refused)?;
        let answer = match sent {
            CallResponse::Response((answer, _)) => answer,
            CallResponse::Poll(request) => self.agent.wait(&request, effective).await.map_err(refused)?.0,
        };
        Decode!(&answer, T).map_err(|source| LedgerError::decode(format!("the answer of `{method}`"), source))
    }
}

//! Calls of an owner: roles, and the management canister for what [`crate::setup`] does.

use candid::{CandidType, Decode, Encode, Principal};
use dcanary_types::api;
use ic_agent::agent::CallResponse;
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
        result.map_err(|refused| LedgerError::Rejected {
            method: method.to_owned(),
            message: match refused {
                api::RoleError::NotAuthorised => format!("{} is no owner of the ledger", self.caller),
                api::RoleError::Malformed { reason } => reason,
                api::RoleError::OtherDomain { have } => {
                    format!(
                        "{} writes that project under domain {have}; revoke that first",
                        role.principal
                    )
                }
                api::RoleError::LastOwner => "the only owner cannot be taken away".to_owned(),
                api::RoleError::TooManyRoles { limit } => format!("there are {limit} roles already"),
                api::RoleError::JournalFull => "the journal takes no more blocks".to_owned(),
            },
        })
    }

    /// Calls the management canister for this ledger.
    pub(crate) async fn manage<T: CandidType + DeserializeOwned>(
        &self,
        method: &str,
        argument: Vec<u8>,
    ) -> Result<T, LedgerError> {
        self.call_canister(Principal::management_canister(), self.ledger, method, argument)
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
        let refused = |source| call::explain(source, method, effective);
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

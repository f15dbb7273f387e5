//! Whether a canister answers as a ledger does, and if not, whether its code is the reason.

use candid::Encode;
use ic_agent::AgentError;

use super::Person;
use crate::{error::LedgerError, ic::IcLedger, ledger::Ledger as _, transport};

/// As [`IcLedger::ready`]; a refusal is asked for once more, with the network's code for its reason.
pub async fn ready(client: &IcLedger, person: &Person) -> Result<(), LedgerError> {
    let refused = match client.ready().await {
        Err(refused @ LedgerError::Rejected { .. }) => refused,
        other => return other,
    };
    let Ok(nothing) = Encode!() else {
        return Err(refused);
    };
    let (transport, identity) = (&person.transport, person.identity.clone());
    let agent = transport::agent(transport, &person.root_key, identity)?;
    match agent
        .query(&client.id(), "protocol")
        .with_arg(nothing)
        .call()
        .await
    {
        // it does answer now
        Ok(_) => client.ready().await,
        Err(AgentError::CertifiedReject { reject, .. } | AgentError::UncertifiedReject { reject, .. }) => {
            Err(LedgerError::of_rejection("protocol", reject, &transport.url))
        }
        Err(_) => Err(refused),
    }
}

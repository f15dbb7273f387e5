//! Asking a network for its root key: for `trust pin` and `ledger deploy --root-key fetch` alone, the moments at which nothing is
//! known of a network yet. Both show what they got and ask.

use std::sync::Arc;

use dcanary_ledger::{Transport, transport};
use dcanary_verifier::RootKey;
use ic_agent::identity::AnonymousIdentity;

use crate::exit::Failure;

/// The root key that a network names. The answer is worth what the way to it is worth.
pub async fn fetch(url: &str) -> Result<Vec<u8>, Failure> {
    let agent = transport::agent(&Transport::new(url), &[], Arc::new(AnonymousIdentity))
        .map_err(|source| Failure::usage(source.to_string()))?;
    let status = agent.status().await.map_err(|source| {
        Failure::cannot_tell(format!(
            "cannot reach the network at {url}: {}",
            crate::cluster::causes(&source)
        ))
    })?;
    // The mainnet's boundary nodes give none: its key is known to everybody.
    Ok(status.root_key.unwrap_or_else(|| RootKey::mainnet().to_der()))
}

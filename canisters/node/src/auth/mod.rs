//! Who sent a request, and whether it is still valid. Runs before ordering, in the HTTP workers.
//!
//! ```text
//! envelope ─▶ expiry ─▶ key belongs to sender ─▶ delegation chain ─▶ signature ─▶ Authenticated
//! ```
//!
//! Source: IC interface specification, "Authentication".

pub mod key;
#[cfg(test)]
mod tests;

use crate::faults::{Fault, broken};
use crate::wire::envelope::{Content, Envelope, SignedDelegation};
use ic_principal::Principal;
use key::{KeyError, PublicKey};
use thiserror::Error;

/// Longest life of a request.
const MAX_TTL: u64 = 5 * 60 * 1_000_000_000;
/// How far a client's clock may be ahead.
const PERMITTED_DRIFT: u64 = 30 * 1_000_000_000;

/// Why a request is not accepted.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AuthError {
    /// Too old, or valid for longer than allowed. Clients look for the first words to resynchronise their clock.
    #[error("Invalid request expiry: {expiry} is not between {now} and {latest}")]
    Expiry {
        /// What the request says.
        expiry: u64,
        /// The node's time.
        now: u64,
        /// The latest acceptable expiry.
        latest: u64,
    },
    /// An anonymous request that carries a key, a signature or a delegation.
    #[error("an anonymous request must not carry a key or a signature")]
    AnonymousWithProof,
    /// A sender without proof.
    #[error("the request is not anonymous and carries no `{0}`")]
    ProofMissing(&'static str),
    /// The key belongs to somebody else.
    #[error("the sender does not match the public key")]
    SenderMismatch,
    /// A delegation has ended.
    #[error("a delegation expired at {0}")]
    DelegationExpired(u64),
    /// A key appears twice in the chain.
    #[error("the delegation chain names a key twice")]
    DelegationCycle,
    /// The delegation is for other canisters.
    #[error("the delegation is not for canister {0}")]
    TargetMismatch(Principal),
    /// The delegation is for queries.
    #[error("the delegation allows queries only")]
    QueriesOnly,
    /// A key or signature failed.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Checks expiry, key, delegations and signature of a request. `now` is the node's time in nanoseconds.
pub fn authenticate(envelope: &Envelope<'_>, now: u64) -> Result<(), AuthError> {
    check_expiry(envelope, now)?;
    if envelope.sender == Principal::anonymous() {
        let proof =
            envelope.pubkey.is_some() || envelope.signature.is_some() || !envelope.delegations.is_empty();
        if proof && !broken(Fault::ProofOptional) {
            return Err(AuthError::AnonymousWithProof);
        }
        return Ok(());
    }
    if (envelope.pubkey.is_none() || envelope.signature.is_none()) && broken(Fault::ProofOptional) {
        return Ok(());
    }
    let pubkey = envelope.pubkey.ok_or(AuthError::ProofMissing("sender_pubkey"))?;
    let signature = envelope.signature.ok_or(AuthError::ProofMissing("sender_sig"))?;
    let owned = Principal::self_authenticating(pubkey) == envelope.sender;
    if !owned && !broken(Fault::AcceptBorrowedSender) {
        return Err(AuthError::SenderMismatch);
    }
    let signer = follow(pubkey, &envelope.delegations, envelope, now)?;
    let mut message = b"\x0Aic-request".to_vec();
    message.extend_from_slice(&envelope.request_id);
    signer.verify(&message, signature)?;
    Ok(())
}

/// Expiry of an ingress message: not past, and not further away than the replay protection remembers.
fn check_expiry(envelope: &Envelope<'_>, now: u64) -> Result<(), AuthError> {
    let anonymous = envelope.sender == Principal::anonymous();
    if anonymous && !matches!(envelope.content, Content::Call(_)) {
        // Nothing can be replayed, and anonymous readers may have no clock.
        return Ok(());
    }
    let latest = now.saturating_add(MAX_TTL + PERMITTED_DRIFT);
    let expiry = envelope.ingress_expiry;
    let past = expiry < now && !broken(Fault::AcceptExpired);
    let distant = expiry > latest && !broken(Fault::AcceptDistantExpiry);
    if past || distant {
        return Err(AuthError::Expiry { expiry, now, latest });
    }
    Ok(())
}

/// Follows the chain from the sender's key to the key that must have signed the request.
fn follow(
    pubkey: &[u8],
    delegations: &[SignedDelegation<'_>],
    envelope: &Envelope<'_>,
    now: u64,
) -> Result<PublicKey, AuthError> {
    if !delegations.is_empty() && broken(Fault::NoDelegations) {
        return Err(AuthError::SenderMismatch);
    }
    let mut seen = vec![pubkey];
    let mut signer = PublicKey::from_der(pubkey)?;
    for delegation in delegations {
        if delegation.expiration < now && !broken(Fault::IgnoreDelegationExpiry) {
            return Err(AuthError::DelegationExpired(delegation.expiration));
        }
        if seen.contains(&delegation.pubkey) && !broken(Fault::IgnoreDelegationLimits) {
            return Err(AuthError::DelegationCycle);
        }
        check_scope(delegation, &envelope.content)?;
        let mut message = b"\x1Aic-request-auth-delegation".to_vec();
        message.extend_from_slice(&delegation.hash);
        signer.verify(&message, delegation.signature)?;
        seen.push(delegation.pubkey);
        signer = PublicKey::from_der(delegation.pubkey)?;
    }
    Ok(signer)
}

/// What each link allows, and so what the chain allows: no link can lift what one before it restricts.
fn check_scope(delegation: &SignedDelegation<'_>, content: &Content<'_>) -> Result<(), AuthError> {
    let queries_only = delegation.queries_only && !broken(Fault::IgnoreDelegationPermissions);
    if queries_only && matches!(content, Content::Call(_)) {
        return Err(AuthError::QueriesOnly);
    }
    match content {
        // The called canister, also when it is the management canister: the specification asks for `content.canister_id`.
        Content::Call(to) | Content::Query(to) if !delegation.is_for(&to.canister) => {
            Err(AuthError::TargetMismatch(to.canister))
        }
        // Which requests may be read about is decided where the paths are looked at.
        _ => Ok(()),
    }
}

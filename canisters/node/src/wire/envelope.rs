//! The envelope around every request, taken apart but not yet trusted.
//!
//! Source: IC interface specification, "Authentication" and "Request types".

use super::cbor::{CborError, Value};
use super::hash::{Hash, Unhashable, hash_of_map};
use crate::faults::{Fault, broken};
use ic_principal::Principal;
use thiserror::Error;

/// Most paths one read_state request may name.
const MAX_PATHS: usize = 1_000;
/// Most labels one path may have.
const MAX_LABELS: usize = 127;
/// Longest nonce.
const MAX_NONCE: usize = 32;
/// Longest chain of delegations.
const MAX_DELEGATIONS: usize = 20;
/// Most targets of one delegation.
const MAX_TARGETS: usize = 1_000;
/// Longest name of a method that a canister can export.
const MAX_METHOD_NAME: usize = 20_000;

/// Why a body is not a request.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EnvelopeError {
    /// The body is not acceptable CBOR.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// The content has no representation-independent hash.
    #[error(transparent)]
    Unhashable(#[from] Unhashable),
    /// A field is missing.
    #[error("the field `{0}` is missing")]
    Missing(&'static str),
    /// A field has a wrong type or size.
    #[error("the field `{0}` is malformed")]
    Malformed(&'static str),
    /// A list is longer than the specification allows.
    #[error("`{0}` has more than {1} entries")]
    TooMany(&'static str, usize),
    /// Another request type than the endpoint serves.
    #[error("the request type `{0}` does not belong to this endpoint")]
    WrongType(String),
    /// A form of authentication that this node does not offer.
    #[error("the field `{0}` is not supported by this node")]
    Unsupported(&'static str),
}

/// One request with its proof of origin.
#[derive(Debug)]
pub struct Envelope<'a> {
    /// What is asked.
    pub content: Content<'a>,
    /// The representation-independent hash of the content.
    pub request_id: Hash,
    /// Who asks.
    pub sender: Principal,
    /// When the request ends to be valid, in nanoseconds since 1970.
    pub ingress_expiry: u64,
    /// The sender's key, DER.
    pub pubkey: Option<&'a [u8]>,
    /// The signature over the request id.
    pub signature: Option<&'a [u8]>,
    /// From the sender's key to the key that signed.
    pub delegations: Vec<SignedDelegation<'a>>,
}

/// What is asked.
#[derive(Debug)]
pub enum Content<'a> {
    /// An update call.
    Call(Invocation<'a>),
    /// A query call.
    Query(Invocation<'a>),
    /// Paths of the state tree.
    ReadState(Vec<Vec<&'a [u8]>>),
}

/// A method of a canister, and what to give it.
#[derive(Debug)]
pub struct Invocation<'a> {
    /// The called canister.
    pub canister: Principal,
    /// The called method.
    pub method: &'a str,
    /// The argument, as the canister gets it.
    pub arg: &'a [u8],
}

/// One link of a delegation chain.
#[derive(Debug)]
pub struct SignedDelegation<'a> {
    /// The key that is allowed to sign, DER.
    pub pubkey: &'a [u8],
    /// Until when, in nanoseconds since 1970.
    pub expiration: u64,
    /// For which canisters; all when absent.
    pub targets: Option<Vec<Principal>>,
    /// Whether only queries and read_state may be signed.
    pub queries_only: bool,
    /// The hash of the delegation map, which is what is signed.
    pub hash: Hash,
    /// The signature by the key before.
    pub signature: &'a [u8],
}

impl SignedDelegation<'_> {
    /// Whether it is for requests to this canister.
    pub fn is_for(&self, canister: &Principal) -> bool {
        broken(Fault::IgnoreDelegationTargets)
            || self
                .targets
                .as_ref()
                .is_none_or(|targets| targets.contains(canister))
    }
}

impl<'a> Envelope<'a> {
    /// Takes a body apart.
    pub fn decode(body: &'a [u8]) -> Result<Self, EnvelopeError> {
        let Value::Map(outer) = Value::decode(body)? else {
            return Err(EnvelopeError::Malformed("envelope"));
        };
        let mut outer = Fields(outer);
        let Value::Map(content) = outer.need("content")? else {
            return Err(EnvelopeError::Malformed("content"));
        };
        let pubkey = outer.optional_bytes("sender_pubkey")?;
        let signature = outer.optional_bytes("sender_sig")?;
        let delegations = match outer.take("sender_delegation") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items))
                if items.len() > MAX_DELEGATIONS && !broken(Fault::IgnoreDelegationLimits) =>
            {
                return Err(EnvelopeError::TooMany("sender_delegation", MAX_DELEGATIONS));
            }
            Some(Value::Array(items)) => items.into_iter().map(delegation).collect::<Result<_, _>>()?,
            Some(_) => return Err(EnvelopeError::Malformed("sender_delegation")),
        };
        let request_id = hash_of_map(&content)?;
        let mut content = Fields(content);
        if content
            .optional_bytes("nonce")?
            .is_some_and(|nonce| nonce.len() > MAX_NONCE && !broken(Fault::UnlimitedNonce))
        {
            return Err(EnvelopeError::Malformed("nonce"));
        }
        if content.take("sender_info").is_some() {
            return Err(EnvelopeError::Unsupported("sender_info"));
        }
        let sender = content.principal("sender")?;
        let Value::Uint(ingress_expiry) = content.need("ingress_expiry")? else {
            return Err(EnvelopeError::Malformed("ingress_expiry"));
        };
        let content = match content.text("request_type")? {
            "call" => Content::Call(content.invocation()?),
            "query" => Content::Query(content.invocation()?),
            "read_state" => Content::ReadState(content.paths()?),
            other => return Err(EnvelopeError::WrongType(other.chars().take(32).collect())),
        };
        Ok(Self {
            content,
            request_id,
            sender,
            ingress_expiry,
            pubkey,
            signature,
            delegations,
        })
    }
}

struct Fields<'a>(Vec<(&'a str, Value<'a>)>);

impl<'a> Fields<'a> {
    fn take(&mut self, name: &str) -> Option<Value<'a>> {
        let at = self.0.iter().position(|(key, _)| *key == name)?;
        Some(self.0.swap_remove(at).1)
    }

    fn need(&mut self, name: &'static str) -> Result<Value<'a>, EnvelopeError> {
        self.take(name).ok_or(EnvelopeError::Missing(name))
    }

    fn bytes(&mut self, name: &'static str) -> Result<&'a [u8], EnvelopeError> {
        if broken(Fault::LaxCbor) {
            return Ok(self.optional_bytes(name)?.unwrap_or_default());
        }
        match self.need(name)? {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(EnvelopeError::Malformed(name)),
        }
    }

    fn optional_bytes(&mut self, name: &'static str) -> Result<Option<&'a [u8]>, EnvelopeError> {
        match self.take(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bytes(bytes)) => Ok(Some(bytes)),
            Some(_) if broken(Fault::LaxCbor) => Ok(None),
            Some(_) => Err(EnvelopeError::Malformed(name)),
        }
    }

    fn text(&mut self, name: &'static str) -> Result<&'a str, EnvelopeError> {
        match self.need(name)? {
            Value::Text(text) => Ok(text),
            _ => Err(EnvelopeError::Malformed(name)),
        }
    }

    fn principal(&mut self, name: &'static str) -> Result<Principal, EnvelopeError> {
        Principal::try_from_slice(self.bytes(name)?).map_err(|_| EnvelopeError::Malformed(name))
    }

    fn invocation(&mut self) -> Result<Invocation<'a>, EnvelopeError> {
        let canister = self.principal("canister_id")?;
        let method = self.text("method_name")?;
        if method.len() > MAX_METHOD_NAME {
            return Err(EnvelopeError::Malformed("method_name"));
        }
        Ok(Invocation {
            canister,
            method,
            arg: self.bytes("arg")?,
        })
    }

    fn paths(&mut self) -> Result<Vec<Vec<&'a [u8]>>, EnvelopeError> {
        let Value::Array(paths) = self.need("paths")? else {
            return Err(EnvelopeError::Malformed("paths"));
        };
        if paths.len() > MAX_PATHS && !broken(Fault::UnlimitedPaths) {
            return Err(EnvelopeError::TooMany("paths", MAX_PATHS));
        }
        paths.into_iter().map(path).collect()
    }
}

fn path(value: Value<'_>) -> Result<Vec<&[u8]>, EnvelopeError> {
    let Value::Array(labels) = value else {
        return Err(EnvelopeError::Malformed("paths"));
    };
    if labels.len() > MAX_LABELS && !broken(Fault::UnlimitedPaths) {
        return Err(EnvelopeError::TooMany("a path", MAX_LABELS));
    }
    labels
        .into_iter()
        .map(|label| match label {
            Value::Bytes(bytes) => Ok(bytes),
            // Some clients send labels such as "time" as text; the bytes are the same.
            Value::Text(text) => Ok(text.as_bytes()),
            _ => Err(EnvelopeError::Malformed("paths")),
        })
        .collect()
}

fn delegation(value: Value<'_>) -> Result<SignedDelegation<'_>, EnvelopeError> {
    const NAME: &str = "sender_delegation";
    let Value::Map(signed) = value else {
        return Err(EnvelopeError::Malformed(NAME));
    };
    let mut signed = Fields(signed);
    let Value::Map(inner) = signed.need("delegation")? else {
        return Err(EnvelopeError::Malformed(NAME));
    };
    let hash = hash_of_map(&inner)?;
    let mut inner = Fields(inner);
    let Value::Uint(expiration) = inner.need("expiration")? else {
        return Err(EnvelopeError::Malformed(NAME));
    };
    let targets = match inner.take("targets") {
        None | Some(Value::Null) => None,
        Some(Value::Array(targets))
            if targets.len() > MAX_TARGETS && !broken(Fault::IgnoreDelegationLimits) =>
        {
            return Err(EnvelopeError::TooMany("targets", MAX_TARGETS));
        }
        Some(Value::Array(targets)) => Some(targets.iter().map(target).collect::<Result<_, _>>()?),
        Some(_) => return Err(EnvelopeError::Malformed("targets")),
    };
    let queries_only = match inner.take("permissions") {
        None | Some(Value::Text("all")) => false,
        Some(Value::Text("queries")) => true,
        Some(_) if broken(Fault::IgnoreDelegationPermissions) => false,
        Some(_) => return Err(EnvelopeError::Malformed("permissions")),
    };
    Ok(SignedDelegation {
        pubkey: inner.bytes("pubkey")?,
        expiration,
        targets,
        queries_only,
        hash,
        signature: signed.bytes("signature")?,
    })
}

fn target(value: &Value<'_>) -> Result<Principal, EnvelopeError> {
    match value {
        Value::Bytes(bytes) => {
            Principal::try_from_slice(bytes).map_err(|_| EnvelopeError::Malformed("targets"))
        }
        _ => Err(EnvelopeError::Malformed("targets")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn call<'a>(extra: Vec<(&'a str, Value<'a>)>) -> Value<'a> {
        let mut content = vec![
            ("request_type", Value::Text("call")),
            ("sender", Value::Bytes(&[4])),
            ("ingress_expiry", Value::Uint(5)),
            ("canister_id", Value::Bytes(&[0, 0, 0, 0, 0, 0, 0, 1, 1, 1])),
            ("method_name", Value::Text("go")),
            ("arg", Value::Bytes(b"DIDL")),
        ];
        content.extend(extra);
        Value::Map(vec![("content", Value::Map(content))])
    }

    #[test]
    fn unknown_fields_change_the_request_id() {
        let plain = call(vec![]).encode();
        let more = call(vec![("future", Value::Text("field"))]).encode();
        assert_ne!(
            Envelope::decode(&plain).unwrap().request_id,
            Envelope::decode(&more).unwrap().request_id
        );
    }

    #[test]
    fn an_oversized_nonce_is_refused() {
        let body = call(vec![("nonce", Value::Bytes(&[0; 33]))]).encode();
        assert_eq!(
            Envelope::decode(&body).unwrap_err(),
            EnvelopeError::Malformed("nonce")
        );
    }

    proptest! {
        #[test]
        fn random_changes_to_a_request_never_panic(at in 0usize..150, byte: u8, cut in 0usize..150) {
            let mut body = call(vec![("nonce", Value::Bytes(&[1, 2, 3]))]).encode();
            let at = at % body.len();
            body[at] = byte;
            let _ = Envelope::decode(&body);
            body.truncate(cut);
            let _ = Envelope::decode(&body);
        }
    }
}

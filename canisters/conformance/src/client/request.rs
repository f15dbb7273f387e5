//! Requests: content, request id, envelope, delegations.
//!
//! Every part can be replaced or left out, because what a network must refuse has to be made first. Sources:
//! "Authentication", "Request ids", "Representation-independent hashing of structured data".

use super::key::Key;
use candid::Principal;
use ciborium::Value;
use sha2::{Digest, Sha256};
use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds of a minute.
pub const MINUTE: u64 = 60_000_000_000;

/// The time of this machine in nanoseconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A byte string.
pub fn bytes(content: impl AsRef<[u8]>) -> Value {
    Value::Bytes(content.as_ref().to_vec())
}

/// A text string.
pub fn text(content: &str) -> Value {
    Value::Text(content.to_owned())
}

/// An unsigned number.
pub fn nat(number: u64) -> Value {
    Value::Integer(number.into())
}

/// A map in the given order.
pub fn map<'a>(entries: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::Map(
        entries
            .into_iter()
            .map(|(key, value)| (text(key), value))
            .collect(),
    )
}

/// The entry of a map.
pub fn entry<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    value
        .as_map()?
        .iter()
        .find(|(name, _)| name.as_text() == Some(key))
        .map(|(_, value)| value)
}

fn leb128(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let byte = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            out.push(byte);
            return out;
        }
        out.push(byte | 0x80);
    }
}

fn sha256(bytes: impl AsRef<[u8]>) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The representation-independent hash. What has none (floats, null) is hashed as nothing; no case depends on it.
pub fn hash(value: &Value) -> [u8; 32] {
    match value {
        Value::Integer(number) => sha256(leb128(u64::try_from(*number).unwrap_or_default())),
        Value::Bytes(bytes) => sha256(bytes),
        Value::Text(text) => sha256(text),
        Value::Array(items) => sha256(items.iter().flat_map(hash).collect::<Vec<u8>>()),
        Value::Map(entries) => {
            let mut pairs: Vec<Vec<u8>> = entries
                .iter()
                .map(|(key, value)| [hash(key), hash(value)].concat())
                .collect();
            pairs.sort();
            sha256(pairs.concat())
        }
        _ => sha256([]),
    }
}

/// CBOR behind the self-describing tag.
pub fn encode(value: &Value) -> Vec<u8> {
    let mut out = vec![0xd9, 0xd9, 0xf7];
    // Writing into memory cannot fail.
    let _ = ciborium::into_writer(value, &mut out);
    out
}

/// A request that nobody signed yet.
#[derive(Debug, Clone)]
pub struct Request {
    content: Vec<(String, Value)>,
}

impl Request {
    fn new(kind: &str, fields: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        let mut request = Self { content: Vec::new() }
            .with("request_type", text(kind))
            .with("ingress_expiry", nat(now() + 3 * MINUTE));
        for (key, value) in fields {
            request = request.with(key, value);
        }
        request
    }

    fn invocation(kind: &str, canister: Principal, method: &str, arg: &[u8]) -> Self {
        Self::new(
            kind,
            [
                ("canister_id", bytes(canister)),
                ("method_name", text(method)),
                ("arg", bytes(arg)),
            ],
        )
        .with("nonce", bytes(rand::random::<[u8; 16]>()))
    }

    /// An update call.
    pub fn call(canister: Principal, method: &str, arg: &[u8]) -> Self {
        Self::invocation("call", canister, method, arg)
    }

    /// A query.
    pub fn query(canister: Principal, method: &str, arg: &[u8]) -> Self {
        Self::invocation("query", canister, method, arg)
    }

    /// A read of the state tree.
    pub fn read_state(paths: &[Vec<Vec<u8>>]) -> Self {
        let paths = paths
            .iter()
            .map(|path| Value::Array(path.iter().map(bytes).collect()))
            .collect();
        Self::new("read_state", [("paths", Value::Array(paths))])
    }

    /// Sets a field of the content, in place of one that is there.
    pub fn with(mut self, key: &str, value: Value) -> Self {
        self.content.retain(|(name, _)| name != key);
        self.content.push((key.to_owned(), value));
        self
    }

    /// Leaves a field of the content out.
    pub fn without(mut self, key: &str) -> Self {
        self.content.retain(|(name, _)| name != key);
        self
    }

    /// Signs as the owner of the key.
    pub fn sign(self, key: &Key) -> Signed {
        let sender = key.principal();
        self.sign_as(sender, key)
    }

    /// Signs with a key as somebody.
    pub fn sign_as(mut self, sender: Principal, key: &Key) -> Signed {
        if !self.content.iter().any(|(name, _)| name == "sender") {
            self = self.with("sender", bytes(sender));
        }
        let content = map(self
            .content
            .iter()
            .map(|(key, value)| (key.as_str(), value.clone())));
        let id = hash(&content);
        let mut envelope = vec![("content".to_owned(), content)];
        if !matches!(key, Key::Anonymous) {
            let message = [b"\x0Aic-request".as_slice(), &id].concat();
            envelope.push(("sender_pubkey".to_owned(), bytes(key.der())));
            envelope.push(("sender_sig".to_owned(), bytes(key.sign(&message))));
        }
        Signed { id, envelope }
    }

    /// Signs with the last key of a chain of delegations that begins with `owner`.
    pub fn sign_delegated(self, owner: &Key, chain: &[Delegation], last: &Key) -> Signed {
        self.sign_as(owner.principal(), last)
            .with("sender_pubkey", bytes(owner.der()))
            .with(
                "sender_delegation",
                Value::Array(chain.iter().map(|link| link.0.clone()).collect()),
            )
    }
}

/// A request as it is sent.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The request id.
    pub id: [u8; 32],
    envelope: Vec<(String, Value)>,
}

impl Signed {
    /// Sets a field of the envelope.
    pub fn with(mut self, key: &str, value: Value) -> Self {
        self.envelope.retain(|(name, _)| name != key);
        self.envelope.push((key.to_owned(), value));
        self
    }

    /// Leaves a field of the envelope out.
    pub fn without(mut self, key: &str) -> Self {
        self.envelope.retain(|(name, _)| name != key);
        self
    }

    /// A field of the envelope.
    pub fn field(&self, key: &str) -> Option<&Value> {
        self.envelope
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }

    /// The envelope as a value.
    pub fn value(&self) -> Value {
        map(self
            .envelope
            .iter()
            .map(|(key, value)| (key.as_str(), value.clone())))
    }

    /// The body to send.
    pub fn body(&self) -> Vec<u8> {
        encode(&self.value())
    }
}

/// A signed link from one key to the next.
#[derive(Debug, Clone)]
pub struct Delegation(Value);

impl Delegation {
    /// `from` lets `to` sign for it for an hour; `more` are the other fields.
    pub fn new(from: &Key, to: &Key, more: Vec<(&str, Value)>) -> Self {
        Self::until(now() + 60 * MINUTE, from, to, more)
    }

    /// The same until a time.
    pub fn until(expiration: u64, from: &Key, to: &Key, more: Vec<(&str, Value)>) -> Self {
        let mut fields = vec![("pubkey", bytes(to.der())), ("expiration", nat(expiration))];
        fields.extend(more);
        let delegation = map(fields);
        let message = [b"\x1Aic-request-auth-delegation".as_slice(), &hash(&delegation)].concat();
        let signature = bytes(from.sign(&message));
        Self(map([("delegation", delegation), ("signature", signature)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_id_of_the_specifications_example_is_found() {
        let content = map([
            ("request_type", text("call")),
            ("sender", bytes([4])),
            ("ingress_expiry", nat(1_685_570_400_000_000_000)),
            ("canister_id", bytes([0, 0, 0, 0, 0, 0, 0x04, 0xd2])),
            ("method_name", text("hello")),
            ("arg", bytes(b"DIDL\x00\xfd*")),
        ]);
        assert_eq!(
            hex::encode(hash(&content)),
            "1d1091364d6bb8a6c16b203ee75467d59ead468f523eb058880ae8ec80e2b101"
        );
    }
}

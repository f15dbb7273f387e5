//! Entries for the fuzz targets in `canisters/fuzz`: they do with bytes what the node does with those of a stranger.

use crate::wasm::inspect::inspect;
use crate::wasm::rewrite::rewrite;
use crate::wire::cbor::Value;
use crate::wire::envelope::Envelope;
use crate::wire::hash::Hash;
use ic_principal::Principal;

/// A body as CBOR.
pub fn cbor(bytes: &[u8]) {
    if let Ok(value) = Value::decode(bytes) {
        let encoded = value.encode();
        assert!(
            Value::decode(&encoded).as_ref() == Ok(&value),
            "what was read cannot be written"
        );
    }
}

/// A request.
pub fn envelope(bytes: &[u8]) {
    accepted(bytes);
}

/// What a request says and who says it, when it is authentic at the last moment that it allows.
fn accepted(bytes: &[u8]) -> Option<(Principal, Hash)> {
    let envelope = Envelope::decode(bytes).ok()?;
    crate::auth::authenticate(&envelope, envelope.ingress_expiry).ok()?;
    Some((envelope.sender, envelope.request_id))
}

/// A key and a signature by it: the first byte tells how long the key is.
pub fn key(bytes: &[u8]) {
    let [len, rest @ ..] = bytes else {
        return;
    };
    let (der, signature) = rest.split_at(usize::from(*len).min(rest.len()));
    if let Ok(key) = crate::auth::key::PublicKey::from_der(der) {
        assert!(
            key.verify(b"\x0Aic-request", signature).is_err(),
            "a signature was guessed"
        );
    }
}

/// A canister's answer to a request of a browser.
pub fn gateway(bytes: &[u8]) {
    crate::http::read_anything(bytes);
}

/// A module.
pub fn wasm(bytes: &[u8]) {
    if let Ok(info) = inspect(bytes) {
        let rewritten = rewrite(bytes, &info);
        assert!(
            rewritten.is_ok_and(|wasm| wasmparser::Validator::new().validate_all(&wasm).is_ok()),
            "an accepted module cannot be rewritten into a valid one"
        );
    }
}

#[cfg(test)]
mod tests;

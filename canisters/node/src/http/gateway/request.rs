//! A request of a browser as a canister gets it.
//!
//! Source: HTTP gateway protocol specification, "Canister HTTP interface".

use super::GatewayError;
use candid::{CandidType, Encode};
use http::request::Parts;
use serde_bytes::Bytes;

/// The version of response verification that the gateway could check. It checks none, but canisters answer by it.
const CERTIFICATE_VERSION: u16 = 2;

/// The argument of `http_request`. That of `http_request_update` lacks the last field, and a canister ignores it.
#[derive(Debug, CandidType)]
struct HttpRequest<'a> {
    method: &'a str,
    url: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    body: &'a Bytes,
    certificate_version: Option<u16>,
}

/// Encodes a request.
///
/// # Errors
/// When a header is not text.
pub fn encode(head: &Parts, body: &[u8]) -> Result<Vec<u8>, GatewayError> {
    let mut headers = Vec::with_capacity(head.headers.len());
    for (name, value) in &head.headers {
        let value = std::str::from_utf8(value.as_bytes())
            .map_err(|_| GatewayError::Request(format!("the header `{name}` is not UTF-8")))?;
        headers.push((name.as_str(), value));
    }
    let request = HttpRequest {
        method: head.method.as_str(),
        url: head.uri.path_and_query().map_or("/", |url| url.as_str()),
        headers,
        body: Bytes::new(body),
        certificate_version: Some(CERTIFICATE_VERSION),
    };
    Encode!(&request).map_err(|error| GatewayError::Request(error.to_string()))
}

//! A canister's answer, which may be anything.
//!
//! Source: HTTP gateway protocol specification, "Canister HTTP interface".

use candid::types::value::{IDLArgs, IDLField, IDLValue};
use candid::{CandidType, DecoderConfig, decode_one_with_config, idl_hash};
use http::header::{CONNECTION, CONTENT_LENGTH, PROXY_AUTHENTICATE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use ic_principal::Principal;
use serde::Deserialize;
use serde_bytes::ByteBuf;
use thiserror::Error;

/// Work that decoding an answer may cost beside its bytes; an answer of the largest size can claim millions of values.
const DECODING: usize = 2_000_000;
/// Most headers.
const MAX_HEADERS: usize = 1_000;
/// Largest token of a streamed body.
const MAX_TOKEN: usize = 32 * 1_024;
/// Headers that are about the connection, which is the gateway's own affair. `content-length` follows from the body.
const OF_CONNECTION: [HeaderName; 7] = [
    CONNECTION,
    CONTENT_LENGTH,
    PROXY_AUTHENTICATE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// What is wrong with an answer.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AnswerError {
    /// Not of the type.
    #[error("it is not of the type that the HTTP gateway protocol asks for: {0}")]
    Type(String),
    /// No status that a response can have.
    #[error("{0} is no HTTP status of a response")]
    Status(u16),
    /// Not a header.
    #[error("the header `{0}` is malformed")]
    Header(String),
    /// Too many.
    #[error("it has more than {MAX_HEADERS} headers")]
    Headers,
    /// A token that is too large.
    #[error("the token of its body is larger than {MAX_TOKEN} bytes")]
    Token,
}

/// The same fields for `http_request` and `http_request_update`.
#[derive(Debug, CandidType, Deserialize)]
struct HttpResponse {
    status_code: u16,
    headers: Vec<(String, String)>,
    body: ByteBuf,
    upgrade: Option<bool>,
}

/// An answer that can be sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers, without those of the connection.
    pub headers: HeaderMap,
    /// The body, or its beginning.
    pub body: Vec<u8>,
    /// Whether the request is to be made again as an update.
    pub upgrade: bool,
    /// How to get the rest of the body.
    pub rest: Option<Callback>,
}

/// Where the next part of a body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// The canister.
    pub canister: Principal,
    /// Its query method.
    pub method: String,
    /// Its argument, encoded.
    pub token: Vec<u8>,
}

/// Reads an answer.
///
/// # Errors
/// When it cannot be sent.
pub fn decode(reply: &[u8]) -> Result<Answer, AnswerError> {
    let mut limits = DecoderConfig::new();
    limits.set_decoding_quota(reply.len().saturating_add(DECODING));
    let response: HttpResponse =
        decode_one_with_config(reply, &limits).map_err(|error| type_error(&error))?;
    if response.headers.len() > MAX_HEADERS {
        return Err(AnswerError::Headers);
    }
    let status = StatusCode::from_u16(response.status_code)
        .ok()
        // Those below announce another response; those above nobody knows.
        .filter(|status| (200..600).contains(&status.as_u16()))
        .ok_or(AnswerError::Status(response.status_code))?;
    let mut headers = HeaderMap::new();
    for (name, value) in &response.headers {
        let malformed = || AnswerError::Header(name.chars().take(64).collect());
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed())?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| malformed())?;
        if !OF_CONNECTION.contains(&parsed) && parsed != "keep-alive" {
            headers.append(parsed, value);
        }
    }
    let rest = match member(only(values(reply)?)?, "streaming_strategy") {
        None | Some(IDLValue::None | IDLValue::Null) => None,
        Some(strategy) => Some(callback(strategy)?),
    };
    Ok(Answer {
        status,
        headers,
        body: response.body.into_vec(),
        upgrade: response.upgrade.unwrap_or(false),
        rest,
    })
}

/// Reads the answer of a callback: the next part of the body, and the token of the one after it.
///
/// # Errors
/// When it is something else.
pub fn decode_part(reply: &[u8]) -> Result<(Vec<u8>, Option<Vec<u8>>), AnswerError> {
    let mut part = only(values(reply)?)?;
    if let IDLValue::Opt(inner) = part {
        part = *inner;
    }
    if matches!(part, IDLValue::None | IDLValue::Null) {
        return Ok((Vec::new(), None));
    }
    let next = match member(part.clone(), "token") {
        Some(IDLValue::Opt(token)) => Some(encode_token(*token)?),
        _ => None,
    };
    match member(part, "body") {
        Some(IDLValue::Blob(bytes)) => Ok((bytes, next)),
        _ => Err(AnswerError::Type("a part of the body has no `body`".to_owned())),
    }
}

/// The values of a reply, of whatever type. A token's type is the canister's own affair, so it is decoded without one.
fn values(reply: &[u8]) -> Result<Vec<IDLValue>, AnswerError> {
    let mut limits = DecoderConfig::new();
    limits.set_skipping_quota(reply.len().saturating_add(DECODING));
    Ok(IDLArgs::from_bytes_with_config(reply, &limits)
        .map_err(|error| type_error(&error))?
        .args)
}

fn only(values: Vec<IDLValue>) -> Result<IDLValue, AnswerError> {
    values
        .into_iter()
        .next()
        .ok_or_else(|| AnswerError::Type("it has no value".to_owned()))
}

/// A field of a record.
fn member(record: IDLValue, name: &str) -> Option<IDLValue> {
    let id = idl_hash(name);
    match record {
        IDLValue::Record(fields) => fields
            .into_iter()
            .find(|field| field.id.get_id() == id)
            .map(|field| field.val),
        _ => None,
    }
}

/// `opt variant { Callback : record { callback; token } }`.
fn callback(strategy: IDLValue) -> Result<Callback, AnswerError> {
    let unknown = || AnswerError::Type("its streaming strategy is not `Callback`".to_owned());
    let IDLValue::Opt(variant) = strategy else {
        return Err(unknown());
    };
    let IDLValue::Variant(variant) = *variant else {
        return Err(unknown());
    };
    let IDLField { id, val } = *variant.0;
    if id.get_id() != idl_hash("Callback") {
        return Err(unknown());
    }
    let Some(IDLValue::Func(canister, method)) = member(val.clone(), "callback") else {
        return Err(unknown());
    };
    let token = member(val, "token").ok_or_else(unknown)?;
    Ok(Callback {
        canister,
        method,
        token: encode_token(token)?,
    })
}

/// The token as the argument of the callback. Its type is that of its value, which is a subtype of what the canister declared.
fn encode_token(token: IDLValue) -> Result<Vec<u8>, AnswerError> {
    let bytes = IDLArgs::new(&[token])
        .to_bytes()
        .map_err(|error| type_error(&error))?;
    if bytes.len() > MAX_TOKEN {
        return Err(AnswerError::Token);
    }
    Ok(bytes)
}

/// The first line: the rest repeats the types.
fn type_error(error: &dyn std::fmt::Display) -> AnswerError {
    let text = error.to_string();
    AnswerError::Type(
        text.lines()
            .next()
            .unwrap_or_default()
            .chars()
            .take(500)
            .collect(),
    )
}

#[cfg(test)]
mod tests;

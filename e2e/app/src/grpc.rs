//! A unary method of gRPC whose question and answer are empty messages, over HTTP/2 without TLS on the port of everything else.

use std::future::ready;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt, Full};

/// Its path.
pub const METHOD: &str = "/dcanary.example.Web/Answer";

/// An empty message: not compressed, no bytes.
const EMPTY: &[u8] = &[0; 5];
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const OK: HeaderValue = HeaderValue::from_static("0");
const INTERNAL: HeaderValue = HeaderValue::from_static("13");
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");

/// The answer to a call. A failure has a status and no message.
pub fn answer(good: bool) -> Response {
    let (message, status) = if good { (EMPTY, OK) } else { (&[][..], INTERNAL) };
    let trailers = HeaderMap::from_iter([(STATUS, status)]);
    let body = Full::new(Bytes::from_static(message)).with_trailers(ready(Some(Ok(trailers))));
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], Body::new(body)).into_response()
}

//! Unary calls of gRPC with an empty message.

use http_body_util::BodyExt;
use reqwest::{Body, Client, header};

use super::{
    Outcome, Target,
    target::{version, words},
};

const MEDIA_TYPE: &str = "application/grpc";
/// An empty message: not compressed, no bytes.
const EMPTY: [u8; 5] = [0; 5];
const STATUS: &str = "grpc-status";
/// The status of a call that went well.
const OK: &str = "0";

/// Calls the method that is the target's path. A status other than 0 is a failure of the application, as code 500.
pub(super) async fn call(client: &Client, target: &Target) -> Outcome {
    let asked = client
        .post(target.url())
        .header(header::CONTENT_TYPE, MEDIA_TYPE)
        .header(header::TE, "trailers")
        .body(EMPTY.to_vec());
    let answer = match target.send(asked).await {
        Ok(answer) => answer,
        Err(how) => return Outcome::Lost(how),
    };
    let code = answer.status().as_u16();
    let version = version(&answer);
    // a failure without a message may have its status in the head
    let head = answer.headers().get(STATUS).cloned();
    let body = match Body::from(answer).collect().await {
        Ok(body) => body,
        Err(error) => return Outcome::Lost(format!("{code}, then {}", words(&error))),
    };
    let trailer = body.trailers().and_then(|trailers| trailers.get(STATUS)).cloned();
    let status = trailer.or(head);
    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    match (version, status) {
        (Some(version), Some(status)) => Outcome::Answer {
            version,
            code: if status == OK { 200 } else { 500 },
            body,
        },
        (None, _) => Outcome::Lost(format!("{code} by the data plane: {}", body.trim())),
        (Some(version), None) => Outcome::Lost(format!("{code} of {version} without a status")),
    }
}

//! `GET /api/v2/status`.

use super::{Api, HttpError, cbor};
use crate::faults::{Fault, broken};
use crate::wire::cbor::Value;
use axum::extract::State;
use axum::response::Response;
use std::sync::Arc;

/// What the node is, its root key, and whether it takes requests.
pub async fn status(State(api): State<Arc<Api>>) -> Result<Response, HttpError> {
    if let Some(reason) = api.replica.failure.get() {
        return Err(HttpError::Broken(reason.to_string()));
    }
    // Not an error: whoever watches the node would restart it, and a node that starts believes its clock.
    let (health, reason) = match api.now() {
        Ok(_) => ("healthy", String::new()),
        Err(error) => ("clock_not_believed", error.to_string()),
    };
    let mut fields = vec![
        (
            "impl_version",
            Value::Text(concat!("dcanary-node ", env!("CARGO_PKG_VERSION"))),
        ),
        // not the specification's, which lets implementations add what they like
        ("incarnation", Value::Uint(api.incarnation)),
        ("replica_health_status", Value::Text(health)),
        (
            "root_key",
            Value::Bytes(if broken(Fault::WrongRootKey) {
                api.keys.subnet.der()
            } else {
                api.keys.root.der()
            }),
        ),
    ];
    if !reason.is_empty() {
        fields.push(("replica_health_reason", Value::Text(&reason)));
    }
    Ok(cbor(&Value::Map(fields)))
}

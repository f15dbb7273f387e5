//! `GET /api/v2/status`.

use super::{Api, HttpError, cbor};
use crate::wire::cbor::Value;
use axum::extract::State;
use axum::response::Response;
use std::sync::Arc;

pub async fn status(State(api): State<Arc<Api>>) -> Result<Response, HttpError> {
    if let Some(reason) = api.replica.failure.get() {
        return Err(HttpError::Broken(reason.to_string()));
    }
    Ok(cbor(&Value::Map(vec![
        (
            "impl_version",
            Value::Text(concat!("dcanary-node ", env!("CARGO_PKG_VERSION"))),
        ),
        // not the specification's, which lets implementations add what they like
        ("incarnation", Value::Uint(api.incarnation)),
        ("replica_health_status", Value::Text("healthy")),
        ("root_key", Value::Bytes(api.keys.root.der())),
    ])))
}

//! Certified reads of the state tree.

use super::access::{Scope, select};
use super::{Api, HttpError, cbor, principal};
use crate::auth::authenticate;
use crate::wire::cbor::Value;
use crate::wire::envelope::{Content, Envelope};
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use std::sync::Arc;

/// `POST /api/v3/canister/<id>/read_state`, and v2.
pub async fn canister(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, HttpError> {
    read(&api, Scope::Canister(principal(&id)?), &body)
}

/// `POST /api/v3/subnet/<id>/read_state`, and v2.
pub async fn subnet(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, HttpError> {
    let id = principal(&id)?;
    if id != api.keys.subnet_id {
        return Err(HttpError::Bad(format!("{id} is not the subnet of this node")));
    }
    read(&api, Scope::Subnet, &body)
}

fn read(api: &Api, scope: Scope, body: &Bytes) -> Result<Response, HttpError> {
    let envelope = Envelope::decode(body)?;
    let Content::ReadState(paths) = &envelope.content else {
        return Err(HttpError::Bad("the request is not read_state".to_owned()));
    };
    let now = api.now()?;
    authenticate(&envelope, now)?;
    let view = api.replica.views.fresh(now);
    let wanted = select(&view.state, scope, &envelope.sender, paths)?;
    let certificate = view.certificate(wanted);
    Ok(cbor(&Value::Map(vec![(
        "certificate",
        Value::Bytes(&certificate),
    )])))
}

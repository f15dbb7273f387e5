//! Certified reads of the state tree.

use super::access::{Endpoint, Scope, select};
use super::{Api, HttpError, cbor, named_canister, own_subnet};
use crate::auth::authenticate;
use crate::wire::cbor::Value;
use crate::wire::envelope::{Content, Envelope};
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use std::sync::Arc;

/// `POST /api/v3/canister/<id>/read_state`.
pub async fn canister(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, HttpError> {
    read(&api, named_canister(&id)?, false, &body)
}

/// `POST /api/v2/canister/<id>/read_state`.
pub async fn canister_v2(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, HttpError> {
    read(&api, named_canister(&id)?, true, &body)
}

/// `POST /api/v3/subnet/<id>/read_state`.
pub async fn subnet(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, HttpError> {
    read(&api, own_subnet(&api, &id)?, false, &body)
}

/// `POST /api/v2/subnet/<id>/read_state`.
pub async fn subnet_v2(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, HttpError> {
    read(&api, own_subnet(&api, &id)?, true, &body)
}

fn read(api: &Api, scope: Scope, v2: bool, body: &Bytes) -> Result<Response, HttpError> {
    let envelope = Envelope::decode(body)?;
    let Content::ReadState(paths) = &envelope.content else {
        return Err(HttpError::Bad("the request is not read_state".to_owned()));
    };
    let now = api.now()?;
    authenticate(&envelope, now)?;
    let view = api.replica.views.fresh(now)?;
    #[cfg(feature = "faults")]
    let view = crate::faults::kept::earlier(crate::faults::Fault::StaleCertificate, view);
    let endpoint = Endpoint {
        scope,
        v2,
        subnet: &api.keys.subnet_id,
        root_subnet: &api.keys.root_id,
    };
    let wanted = select(&view.state, &endpoint, &envelope, paths)?;
    let certificate = view.certificate(wanted);
    Ok(cbor(&Value::Map(vec![(
        "certificate",
        Value::Bytes(&certificate),
    )])))
}

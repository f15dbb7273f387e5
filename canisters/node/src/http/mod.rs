//! The IC's HTTPS interface.
//!
//! Source: IC interface specification, "HTTPS interface".

mod access;
mod call;
mod deadline;
mod gateway;
mod intake;
mod metrics;
mod peers;
mod query;
mod read_state;
pub mod serve;
mod status;

#[cfg(any(test, feature = "fuzz"))]
pub use gateway::read_anything;

use crate::auth::AuthError;
use crate::cert::keys::Keys;
use crate::cert::signer::SignError;
use crate::creators::Creators;
use crate::mode::Mode;
use crate::replica::traffic::{Exceeded, Traffic};
use crate::replica::{Refused, Replica};
use crate::wire::cbor::Value;
use crate::wire::envelope::EnvelopeError;
use access::Scope;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use http::{StatusCode, header};
use ic_principal::Principal;
use intake::{Intake, take_body};
use serve::ConnectionLimits;
use std::sync::Arc;
use thiserror::Error;
use tower_http::cors::CorsLayer;

/// Largest body. Mainnet takes 2 MiB of ingress; this leaves room for the ledger's module, which its operator installs by one call.
const MAX_BODY: usize = 4 << 20;

/// What the handlers share.
#[derive(Debug)]
pub struct Api {
    /// The replica.
    pub replica: Replica,
    /// The node's keys.
    pub keys: Arc<Keys>,
    /// Who may create canisters.
    pub creators: Creators,
    /// What canisters have under way.
    pub traffic: Arc<Traffic>,
    /// How often its data was restored from a backup.
    pub incarnation: u64,
    /// What the node is for.
    pub mode: Mode,
}

impl Api {
    /// The node's time: never before the certified one, and none when the clock is not believed, so that nothing is signed.
    fn now(&self) -> Result<u64, HttpError> {
        let certified = self.replica.views.latest().time;
        let now = self.replica.clock.now(certified).map_err(Refused::Clock)?;
        Ok(now.max(certified))
    }
}

/// Why a request got no proper answer. The text is for the caller.
#[derive(Debug, Error)]
enum HttpError {
    /// Not a request.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Not authentic.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// Otherwise wrong.
    #[error("{0}")]
    Bad(String),
    /// Not for this caller.
    #[error("{0}")]
    Forbidden(String),
    /// Not now.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Not for this canister now.
    #[error(transparent)]
    Quota(#[from] Exceeded),
    /// Not without a signature.
    #[error(transparent)]
    Signer(#[from] SignError),
    /// The node is broken.
    #[error("the node cannot answer: {0}")]
    Broken(String),
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Envelope(_) | Self::Auth(_) | Self::Bad(_) | Self::Refused(Refused::Expired) => {
                StatusCode::BAD_REQUEST
            }
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Refused(Refused::Busy) | Self::Quota(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Refused(Refused::Full) => StatusCode::INSUFFICIENT_STORAGE,
            Self::Refused(Refused::Stopping | Refused::Clock(_)) | Self::Signer(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Broken(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (
            status,
            [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
            self.to_string(),
        )
            .into_response()
    }
}

/// A CBOR answer.
fn cbor(value: &Value<'_>) -> Response {
    ([(header::CONTENT_TYPE, "application/cbor")], value.encode()).into_response()
}

/// An id in a path.
fn principal(text: &str) -> Result<Principal, HttpError> {
    Principal::from_text(text)
        .map_err(|error| HttpError::Bad(format!("`{text}` is not a principal: {error}")))
}

/// The scope of a path with the id of a canister.
fn named_canister(id: &str) -> Result<Scope, HttpError> {
    principal(id).map(Scope::Canister)
}

/// The scope of a path with the id of a subnet, which must be this node's.
fn own_subnet(api: &Api, id: &str) -> Result<Scope, HttpError> {
    let id = principal(id)?;
    if id == api.keys.subnet_id {
        return Ok(Scope::Subnet);
    }
    Err(HttpError::Bad(format!("{id} is not the subnet of this node")))
}

/// All endpoints, and the gateway for everything else.
pub fn router(api: Arc<Api>, limits: &ConnectionLimits) -> Router {
    let bodies = from_fn_with_state(Intake::new(limits), take_body);
    // Whether other sites may read a canister's pages is for the canister to say.
    let pages = Router::new()
        .fallback(gateway::serve)
        .layer(bodies.clone())
        .with_state(api.clone());
    // Around it all: pages of other sites can read whatever the interface answers, also what refuses.
    let interface = |routes: Router<Arc<Api>>| {
        routes
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .layer(bodies.clone())
            .layer(CorsLayer::permissive())
    };
    let endpoints = Router::new()
        .route("/api/v2/status", get(status::status))
        .route("/api/v2/canister/{id}/call", post(call::asynchronous))
        .route("/api/v3/canister/{id}/call", post(call::synchronous))
        .route("/api/v4/canister/{id}/call", post(call::synchronous))
        .route("/api/v4/subnet/{id}/call", post(call::subnet))
        .route("/api/v2/canister/{id}/query", post(query::query))
        .route("/api/v3/canister/{id}/query", post(query::query))
        .route("/api/v3/subnet/{id}/query", post(query::subnet))
        .route("/api/v2/canister/{id}/read_state", post(read_state::canister_v2))
        .route("/api/v3/canister/{id}/read_state", post(read_state::canister))
        .route("/api/v2/subnet/{id}/read_state", post(read_state::subnet_v2))
        .route("/api/v3/subnet/{id}/read_state", post(read_state::subnet));
    let others = Router::new()
        .route("/api", any(gateway::no_endpoint))
        .route("/api/", any(gateway::no_endpoint))
        .route("/api/{*rest}", any(gateway::no_endpoint));
    // A canister that is named is asked before the interface is: it answers the browsers' questions about its pages, too.
    let others = interface(others).layer(from_fn_with_state(pages.clone(), gateway::pages_first));
    interface(endpoints)
        .merge(others)
        .fallback_service(pages)
        .with_state(api)
}

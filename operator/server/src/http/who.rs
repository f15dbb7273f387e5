//! Reads the `Authorization` header and asks who that is.

use std::sync::Arc;

use axum::http::{HeaderMap, header};

use super::problem::Refusal;
use crate::attempts::Attempt;
use crate::auth::{Audience, PodIdentity, Readable};
use crate::core::Core;
use crate::names::{AttemptId, Namespace};
use crate::session;

fn shown<'a>(headers: &'a HeaderMap, scheme: &str) -> Result<&'a str, Refusal> {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(name, _)| name.eq_ignore_ascii_case(scheme))
        .map(|(_, token)| token.trim())
        .filter(|token| !token.is_empty())
        .ok_or_else(Refusal::unauthenticated)
}

/// A build Pod with its token.
///
/// # Errors
/// No token for this server, or one that is bound to no Pod.
pub async fn pod(core: &Core, headers: &HeaderMap) -> Result<PodIdentity, Refusal> {
    let token = shown(headers, "Bearer")?;
    let user = core
        .readers
        .now(core.cluster.as_ref(), token)
        .await?
        .ok_or_else(Refusal::unauthenticated)?;
    user.pod().ok_or_else(|| session::SessionError::NotAPod.into())
}

/// A runner with its session.
///
/// # Errors
/// No such session, or a closed one.
pub async fn runner(core: &Core, headers: &HeaderMap, attempt: &str) -> Result<Arc<Attempt>, Refusal> {
    let shown = shown(headers, "DCanary")?;
    let attempt: AttemptId = attempt
        .parse()
        .map_err(|error: crate::names::BadName| Refusal::new(400, "bad-name", error.to_string()))?;
    Ok(session::open(core, shown, &attempt).await?)
}

/// The operator with its token.
///
/// # Errors
/// Somebody else.
pub async fn operator(core: &Core, headers: &HeaderMap) -> Result<(), Refusal> {
    let token = shown(headers, "Bearer")?;
    let user = core
        .readers
        .user_for(core.cluster.as_ref(), token, Audience::Server)
        .await?;
    let user = user.ok_or_else(Refusal::unauthenticated)?;
    if user.name == core.settings.operator {
        Ok(())
    } else {
        Err(Refusal::forbidden("only the operator may do this"))
    }
}

/// Somebody for whom a request is handed on to the API server.
pub struct Caller {
    /// The token, which the API server takes.
    pub token: String,
    /// User name, as the API server knows it.
    pub name: String,
}

/// Whoever asks, with a token for the API server. What they may do is the API server's to say.
///
/// # Errors
/// No such token.
pub async fn caller(core: &Core, headers: &HeaderMap) -> Result<Caller, Refusal> {
    let token = shown(headers, "Bearer")?;
    let cluster = core.cluster.as_ref();
    if let Some(user) = core.readers.user_for(cluster, token, Audience::ApiServer).await? {
        return Ok(Caller {
            token: token.to_owned(),
            name: user.name,
        });
    }
    let ours = core.readers.user_for(cluster, token, Audience::Server).await?;
    Err(match ours {
        None => Refusal::unauthenticated(),
        Some(_) => Refusal::new(
            401,
            "unauthenticated",
            "this token is for the DCanary server only, and the request is handed on to the API server: show a token that was \
             made for the API server (`kubectl create token NAME` without --audience)",
        ),
    })
}

/// Somebody who may read some kind in a namespace.
///
/// # Errors
/// Nobody, or somebody who may not.
pub async fn reader(
    core: &Core,
    headers: &HeaderMap,
    namespace: &Namespace,
    kind: Readable,
) -> Result<(), Refusal> {
    let token = shown(headers, "Bearer")?;
    let cluster = core.cluster.as_ref();
    let user = core
        .readers
        .user(cluster, token)
        .await?
        .ok_or_else(Refusal::unauthenticated)?;
    let may = core
        .readers
        .may_read(cluster, &user, kind, namespace.as_str())
        .await?;
    if may {
        Ok(())
    } else {
        let kind = kind.resource();
        Err(Refusal::forbidden(&format!(
            "get {kind}.dcanary.dev in this namespace is needed"
        )))
    }
}

//! Queries, each answer signed by the node.
//!
//! Source: IC interface specification, "Request: Query call" and "Query signatures".

use super::access::Scope;
use super::{Api, HttpError, cbor, named_canister, own_subnet};
use crate::auth::authenticate;
use crate::exec::call::{Call, not_found};
use crate::faults::{Fault, broken};
use crate::mgmt;
use crate::replica::metrics;
use crate::replica::traffic::Counted;
use crate::state::request::Reject;
use crate::wire::cbor::Value;
use crate::wire::envelope::{Content, Envelope};
use crate::wire::hash::hash_of_map;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use ic_principal::Principal;
use std::sync::Arc;

/// `POST /api/v3/canister/<id>/query`, and v2.
pub async fn query(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, HttpError> {
    ask(&api, named_canister(&id)?, &body).await
}

/// `POST /api/v3/subnet/<id>/query`. What the specification sends there is left out of this node, and refused by name.
pub async fn subnet(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, HttpError> {
    ask(&api, own_subnet(&api, &id)?, &body).await
}

async fn ask(api: &Api, scope: Scope, body: &Bytes) -> Result<Response, HttpError> {
    let envelope = Envelope::decode(body)?;
    let Content::Query(invocation) = &envelope.content else {
        return Err(HttpError::Bad("the request is not a query".to_owned()));
    };
    let now = api.now()?;
    authenticate(&envelope, now)?;
    let managing = invocation.canister == Principal::management_canister();
    let target = if managing {
        match mgmt::query_target(invocation.method, invocation.arg) {
            Err(reject) => return signed(api, &envelope, &Err(reject), now),
            Ok(target) => target,
        }
    } else {
        invocation.canister
    };
    match scope {
        Scope::Canister(effective) if effective == target || broken(Fault::IgnoreEffectiveId) => {}
        Scope::Canister(_) => {
            let relation = if managing { ", which is about" } else { " for" };
            return Err(HttpError::Bad(format!(
                "the canister id in the path does not match the query{relation} {target}"
            )));
        }
        Scope::Subnet => {
            return Err(HttpError::Bad(format!(
                "`{}` is about canister {target} and is asked through it, not through the subnet",
                invocation.method
            )));
        }
    }
    let call = Call {
        caller: envelope.sender,
        method: invocation.method.to_owned(),
        arg: invocation.arg.into(),
        time: now,
    };
    let answer = if managing {
        mgmt::query(&api.replica.views.fresh(now)?.state, &call)
    } else {
        execute(api, target, call, now).await?
    };
    signed(api, &envelope, &answer, now)
}

/// Executes a query on the present state, unless its canister has too many of them.
pub async fn execute(
    api: &Api,
    id: Principal,
    call: Call,
    now: u64,
) -> Result<Result<Vec<u8>, Reject>, HttpError> {
    let view = api.replica.views.fresh(now)?;
    #[cfg(feature = "faults")]
    let view = crate::faults::kept::earlier(Fault::StaleQuery, view);
    let Some(canister) = view.state.canister(&id).cloned() else {
        return Ok(Err(not_found(id)));
    };
    let _place = api.traffic.enter(Counted::Query(id), false, now)?;
    let (executor, metrics) = (api.replica.executor.clone(), api.replica.metrics.clone());
    let heap = canister.heap.bytes();
    let run = move || {
        let asks = canister
            .code
            .as_ref()
            .is_some_and(|code| code.compiled.info.uses_certificate);
        let certificate = asks.then(|| view.data_certificate(&id).into());
        let answer = executor.query(&view.state, &canister, &call, certificate);
        metrics.executed(metrics::Kind::Query);
        answer
    };
    api.replica
        .pools
        .queries
        .run(id, heap, run)
        .await
        .map_err(|error| HttpError::Broken(error.to_string()))
}

fn signed(
    api: &Api,
    envelope: &Envelope<'_>,
    answer: &Result<Vec<u8>, Reject>,
    now: u64,
) -> Result<Response, HttpError> {
    let error;
    let mut fields = match answer {
        Ok(reply) => vec![
            ("status", Value::Text("replied")),
            ("reply", Value::Map(vec![("arg", Value::Bytes(reply))])),
        ],
        Err(reject) => {
            error = reject.error.to_string();
            vec![
                ("status", Value::Text("rejected")),
                ("reject_code", Value::Uint(reject.code())),
                ("reject_message", Value::Text(&reject.message)),
                ("error_code", Value::Text(&error)),
            ]
        }
    };
    let mut signable = fields.clone();
    signable.push(("timestamp", Value::Uint(now)));
    if !broken(Fault::WrongQuerySignature) {
        signable.push(("request_id", Value::Bytes(&envelope.request_id)));
    }
    let hash = hash_of_map(&signable).map_err(|error| HttpError::Broken(error.to_string()))?;
    let signature = api.keys.sign_response(&hash);
    fields.push((
        "signatures",
        Value::Array(vec![Value::Map(vec![
            ("timestamp", Value::Uint(now)),
            ("signature", Value::Bytes(&signature)),
            ("identity", Value::Bytes(api.keys.node_id.as_slice())),
        ])]),
    ));
    Ok(cbor(&Value::Map(fields)))
}

//! Update calls: v4 and v3 wait for the certificate, v2 does not.

use super::access::Scope;
use super::{Api, HttpError, cbor, named_canister, own_subnet};
use crate::auth::authenticate;
use crate::cert::topology::in_range;
use crate::cert::view::View;
use crate::exec::batch::Ingress;
use crate::exec::call::{Call, inspects, not_found};
use crate::faults::{self, Fault};
use crate::mgmt;
use crate::replica::metrics;
use crate::replica::traffic::Counted;
use crate::replica::{Held, Refused};
use crate::state::request::{Outcome, Reject};
use crate::wasm::ahead;
use crate::wasm::engine::Compiled;
use crate::wire::cbor::Value;
use crate::wire::envelope::{Content, Envelope};
use crate::wire::hash::Hash;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use ic_principal::Principal;
use std::sync::Arc;
use std::time::Duration;

/// How long a synchronous call waits; then the client polls.
const WAIT: Duration = Duration::from_secs(10);

/// What became of a call before it was executed.
pub enum Submitted {
    /// Refused before ordering; nothing about it is in the state.
    Rejected(Reject),
    /// On its way.
    Accepted(tokio::sync::oneshot::Receiver<Result<Arc<View>, Refused>>),
    /// Executed before.
    Known(Arc<View>),
}

/// How a call ended.
pub enum Ended {
    /// Refused before ordering.
    Rejected(Reject),
    /// This shows how.
    Shown(Arc<View>),
    /// Not yet.
    Pending,
}

/// `POST /api/v4/canister/<id>/call`, and v3.
pub async fn synchronous(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, HttpError> {
    answer(&api, submit(&api, named_canister(&id)?, body).await?).await
}

/// `POST /api/v4/subnet/<id>/call`: creates canisters, for which there is no canister yet to go through.
///
/// Source: IC interface specification, "Effective subnet id".
pub async fn subnet(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, HttpError> {
    let scope = own_subnet(&api, &id)?;
    answer(&api, submit(&api, scope, body).await?).await
}

async fn answer(api: &Api, (request, submitted): (Hash, Submitted)) -> Result<Response, HttpError> {
    let view = match end(api, submitted).await? {
        Ended::Rejected(reject) => return Ok(rejected(&reject, true)),
        Ended::Shown(view) => view,
        Ended::Pending => return Ok(StatusCode::ACCEPTED.into_response()),
    };
    if view.state.requests.get(&request).is_none() {
        // It was a repetition whose first execution has been forgotten in between.
        return Err(Refused::Expired.into());
    }
    let outcome = view
        .state
        .requests
        .get(&request)
        .and_then(|record| record.outcome.as_ref());
    if let Some(Outcome::Rejected(reject)) = outcome
        && faults::broken(Fault::UncertifiedRejections)
    {
        return Ok(rejected(reject, true));
    }
    let certificate = view.request_certificate(&request);
    Ok(cbor(&Value::Map(vec![
        ("status", Value::Text("replied")),
        ("certificate", Value::Bytes(&certificate)),
    ])))
}

/// `POST /api/v2/canister/<id>/call`.
pub async fn asynchronous(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, HttpError> {
    match submit(&api, named_canister(&id)?, body).await?.1 {
        Submitted::Rejected(reject) => Ok(rejected(&reject, false)),
        Submitted::Accepted(_) | Submitted::Known(_) if faults::broken(Fault::TalkativeCalls) => {
            Ok((StatusCode::ACCEPTED, "accepted").into_response())
        }
        Submitted::Accepted(_) | Submitted::Known(_) => Ok(StatusCode::ACCEPTED.into_response()),
    }
}

fn rejected(reject: &Reject, with_status: bool) -> Response {
    let error = reject.error.to_string();
    let mut fields = vec![
        ("reject_code", Value::Uint(reject.code())),
        ("reject_message", Value::Text(&reject.message)),
        ("error_code", Value::Text(&error)),
    ];
    if with_status {
        fields.push(("status", Value::Text("non_replicated_rejection")));
    }
    cbor(&Value::Map(fields))
}

/// Waits, not for ever, until a call has ended.
pub async fn end(api: &Api, submitted: Submitted) -> Result<Ended, HttpError> {
    Ok(match submitted {
        Submitted::Rejected(reject) => Ended::Rejected(reject),
        Submitted::Known(view) => Ended::Shown(view),
        Submitted::Accepted(done) => match tokio::time::timeout(WAIT, done).await {
            Err(_) => Ended::Pending,
            Ok(Err(_)) => return Err(broken(api)),
            Ok(Ok(view)) => Ended::Shown(view?),
        },
    })
}

fn broken(api: &Api) -> HttpError {
    HttpError::Broken(
        api.replica
            .failure
            .get()
            .map_or_else(|| "it is stopping".to_owned(), |reason| reason.to_string()),
    )
}

/// Takes the body, so that nobody holds it while the call is executed.
async fn submit(api: &Api, scope: Scope, body: Bytes) -> Result<(Hash, Submitted), HttpError> {
    let (message, of, now) = match read(api, scope, &body)? {
        Ok(read) => read,
        Err((request, reject)) => return Ok((request, Submitted::Rejected(reject))),
    };
    drop(body);
    Ok((message.id, place(api, message, of, now).await?))
}

/// What a body asks for, by what it is counted, and when it came.
type Asked = (Ingress, Counted, u64);

/// What a body asks for, or why that is refused.
fn read(api: &Api, scope: Scope, body: &[u8]) -> Result<Result<Asked, (Hash, Reject)>, HttpError> {
    let effective = scope.effective(api.keys.subnet_id);
    let envelope = Envelope::decode(body)?;
    let Content::Call(invocation) = &envelope.content else {
        return Err(HttpError::Bad("the request is not a call".to_owned()));
    };
    let now = api.now()?;
    authenticate(&envelope, now)?;
    if faults::broken(Fault::SmallMessages) && invocation.arg.len() > 1 << 20 {
        return Err(HttpError::Bad("the argument is too large".to_owned()));
    }
    let message = Ingress {
        id: envelope.request_id,
        sender: envelope.sender,
        canister: invocation.canister,
        effective,
        method: invocation.method.to_owned(),
        arg: invocation.arg.into(),
        expiry: if faults::broken(Fault::AcceptExpired) {
            u64::MAX
        } else {
            envelope.ingress_expiry
        },
    };
    Ok(match check_path(scope, &message)? {
        Ok(of) => Ok((message, of, now)),
        Err(reject) => Err((message.id, reject)),
    })
}

/// Orders a call, unless it is known, there are too many of those that it is counted with, or it is not admitted.
pub async fn place(api: &Api, message: Ingress, of: Counted, now: u64) -> Result<Submitted, HttpError> {
    let view = api.replica.views.latest();
    let known = view.state.requests.get(&message.id);
    let known = known.filter(|_| !faults::broken(Fault::ExecuteRepeated));
    if known.is_some_and(|record| record.outcome.is_some()) {
        // Its time counts as shown, so that none before it is certified after the next start.
        return Ok(Submitted::Known(api.replica.views.fresh(now)?));
    }
    let known = known.is_some();
    let mut place = api.traffic.enter_message(of, &message.id, known, now)?;
    // One that is known was admitted before, and is not executed again. Ordering it once more is how to wait for it.
    let module = if known {
        None
    } else {
        match admit(api, &view, &message, now).await? {
            Ok(module) => module,
            Err(reject) => return Ok(Submitted::Rejected(reject)),
        }
    };
    let counted = place.accept(message.id, known, now)?;
    match api.replica.submit(message, Some(Held::new(place, module))) {
        Ok(done) => Ok(Submitted::Accepted(done)),
        Err(refused) => {
            if counted {
                api.traffic.take_back(of);
            }
            Err(refused.into())
        }
    }
}

/// The canister in the path must be the one that the call is about; what is about none may go through any, and through the subnet goes nothing else.
/// Says by what the call is counted.
fn check_path(scope: Scope, message: &Ingress) -> Result<Result<Counted, Reject>, HttpError> {
    let management = Principal::management_canister();
    let target = if message.canister == management {
        match mgmt::target(&message.method, &message.arg) {
            Err(reject) => return Ok(Err(reject)),
            Ok(target) => target,
        }
    } else {
        Some(message.canister)
    };
    let of = match target {
        None => Counted::Creating(message.sender),
        Some(target) if message.canister == management => Counted::Management(target),
        Some(target) => Counted::Message(target),
    };
    match (scope, target) {
        (Scope::Subnet, None) => Ok(Ok(of)),
        (Scope::Canister(id), None) if in_range(&id) || id == management => Ok(Ok(of)),
        (Scope::Canister(id), Some(target)) if id == target || faults::broken(Fault::IgnoreEffectiveId) => {
            Ok(Ok(of))
        }
        (Scope::Canister(id), None) => Err(HttpError::Bad(format!("{id} is not in the canister range"))),
        (Scope::Canister(id), Some(target)) => Err(HttpError::Bad(format!(
            "the effective canister id {id} in the path does not match the call, which is for {target}"
        ))),
        (Scope::Subnet, Some(target)) => Err(HttpError::Bad(format!(
            "`{}` is about canister {target} and goes through it: through the subnet go `create_canister` and \
             `provisional_create_canister_with_cycles`",
            message.method
        ))),
    }
}

/// A call that is let in, with the module that it installs, if it does and that could be compiled.
type Admitted = Option<ahead::Held<Compiled>>;

/// Checks that cost the caller nothing when they fail: existence, state, method, controllers, memory for a module, inspection.
async fn admit(
    api: &Api,
    view: &Arc<View>,
    message: &Ingress,
    now: u64,
) -> Result<Result<Admitted, Reject>, HttpError> {
    let state = &view.state;
    let call = Call {
        caller: message.sender,
        method: message.method.clone(),
        arg: message.arg.clone(),
        time: now,
    };
    if faults::broken(Fault::AdmitEverything) {
        return Ok(Ok(None));
    }
    let inspected = state
        .canister(&message.canister)
        .is_some_and(|canister| inspects(canister));
    let taken = api.mode.takes_update(&message.sender, &message.method, inspected);
    if let Err(reject) = taken {
        return Ok(Err(reject));
    }
    let executor = api.replica.executor.clone();
    if message.canister == Principal::management_canister() {
        if let Err(reject) = mgmt::admit(state, &call, &api.creators, api.mode) {
            return Ok(Err(reject));
        }
        if !mgmt::installs(&call) {
            return Ok(Ok(None));
        }
        let (view, limit) = (view.clone(), api.replica.policy.memory_limit);
        let compile = move || mgmt::compile_ahead(&executor, &view.state, &call, limit);
        let compiled = api.replica.pools.modules.run(message.effective, 0, compile).await;
        // One that could not be tried here is compiled in the batch.
        return Ok(compiled.unwrap_or(Ok(None)));
    }
    let Some(canister) = state.canister(&message.canister).cloned() else {
        return Ok(Err(not_found(message.canister)));
    };
    if !inspects(&canister) {
        return Ok(executor.inspect(&canister, &call).map(|()| None));
    }
    let metrics = api.replica.metrics.clone();
    let heap = canister.heap.bytes();
    let inspect = move || {
        let inspected = executor.inspect(&canister, &call);
        metrics.executed(metrics::Kind::Inspection);
        inspected
    };
    api.replica
        .pools
        .inspections
        .run(message.canister, heap, inspect)
        .await
        .map(|inspected| inspected.map(|()| None))
        .map_err(|error| HttpError::Broken(error.to_string()))
}

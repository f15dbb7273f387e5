//! What calls of canister methods have in common, and inspection.

use super::limits::{Limits, budget};
use super::quota::Growth;
use super::run::{Done, Entry, Job, run};
use crate::faults::{Fault, broken};
use crate::state::canister::{Canister, Code, Status};
use crate::state::logs::Logs;
use crate::state::request::Reject;
use crate::sysapi::context::Contexts;
use crate::sysapi::{Answer, Message, View};
use crate::wasm::engine::Engine;
use crate::wasm::inspect::MethodKind;
use ic_error_types::ErrorCode;
use ic_principal::Principal;
use std::sync::Arc;

/// The network around the canisters, as they see it.
#[derive(Debug, Clone)]
pub struct Network {
    /// The subnet.
    pub subnet: Principal,
    /// The root key, DER.
    pub root_key: Arc<[u8]>,
}

/// A method call.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who calls.
    pub caller: Principal,
    /// What.
    pub method: String,
    /// With which argument.
    pub arg: Arc<[u8]>,
    /// When.
    pub time: u64,
}

/// Everything executions share.
#[derive(Debug, Clone)]
pub struct Executor {
    /// The engine.
    pub engine: Arc<Engine>,
    /// The network.
    pub network: Network,
    /// The limits.
    pub limits: Limits,
}

/// The hook that decides about ingress messages.
const INSPECT: &str = "canister_inspect_message";

/// Whether a canister has a hook that decides about ingress messages.
pub fn inspects(canister: &Canister) -> bool {
    canister
        .code
        .as_ref()
        .is_some_and(|code| code.compiled.info.entry_points.iter().any(|name| name == INSPECT))
}

/// Pages changed by an execution: of the heap, of stable memory.
pub type Changed = (Vec<u64>, Vec<u64>);

/// The code of a canister that takes messages.
pub fn ready(canister: &Canister) -> Result<&Arc<Code>, Reject> {
    let id = canister.id;
    match canister.status {
        Status::Running => {}
        Status::Stopping | Status::Stopped if broken(Fault::StoppedTakesCalls) => {}
        Status::Stopping => {
            return Err(Reject::new(
                ErrorCode::CanisterStopping,
                format!("Canister {id} is stopping"),
            ));
        }
        Status::Stopped => {
            return Err(Reject::new(
                ErrorCode::CanisterStopped,
                format!("Canister {id} is stopped"),
            ));
        }
    }
    canister.code.as_ref().ok_or_else(|| no_code(id))
}

/// The rejection of calls to an empty canister.
pub fn no_code(id: Principal) -> Reject {
    let error = if broken(Fault::MissingMethodIsAbsent) {
        ErrorCode::CanisterNotFound
    } else {
        ErrorCode::CanisterWasmModuleNotFound
    };
    Reject::new(
        error,
        format!(
            "Error from Canister {id}: Attempted to execute a message, but the canister contains no Wasm module"
        ),
    )
}

/// The rejection of calls to a canister that does not exist.
pub fn not_found(id: Principal) -> Reject {
    let error = if broken(Fault::AbsentIsError) {
        ErrorCode::CanisterTrapped
    } else {
        ErrorCode::CanisterNotFound
    };
    Reject::new(error, format!("Canister {id} not found"))
}

/// The kind of a method, or the rejection when there is none that can be called this way.
pub fn method(code: &Code, id: Principal, name: &str, query: bool) -> Result<MethodKind, Reject> {
    let found = code.compiled.info.methods.get(name).copied();
    match found {
        Some(kind) if broken(Fault::AnyMethodAnyWay) => Ok(kind),
        Some(MethodKind::CompositeQuery) if !query => Err(Reject::new(
            ErrorCode::CompositeQueryCalledInReplicatedMode,
            format!("Error from Canister {id}: Composite query `{name}` cannot be called in replicated mode"),
        )),
        Some(MethodKind::Update) if query => Err(method_not_found(id, "query", name)),
        Some(kind) => Ok(kind),
        None => Err(method_not_found(id, if query { "query" } else { "update" }, name)),
    }
}

fn method_not_found(id: Principal, kind: &str, name: &str) -> Reject {
    let error = if broken(Fault::MissingMethodIsAbsent) {
        ErrorCode::CanisterNotFound
    } else {
        ErrorCode::CanisterMethodNotFound
    };
    Reject::new(
        error,
        format!("Error from Canister {id}: Canister has no {kind} method '{name}'."),
    )
}

impl Executor {
    /// What an execution of a canister sees.
    pub fn view(&self, canister: &Canister, call: &Call) -> View {
        let environment = canister
            .settings
            .environment_variables
            .iter()
            .filter(|_| !broken(Fault::NoEnvironment))
            .map(|variable| (variable.name.clone(), variable.value.clone()))
            .collect();
        View {
            arg: call.arg.clone(),
            caller: if broken(Fault::CallerIsAnonymous) {
                Principal::anonymous()
            } else {
                call.caller
            },
            canister: if broken(Fault::WrongSelf) {
                self.network.subnet
            } else {
                canister.id
            },
            method: call.method.clone(),
            time: call.time,
            version: canister.version,
            status: match canister.status {
                Status::Running => 1,
                Status::Stopping => 2,
                Status::Stopped => 3,
            },
            cycles: canister.cycles,
            controllers: canister.settings.controllers.as_slice().into(),
            environment: Arc::new(environment),
            subnet: self.network.subnet,
            root_key: if broken(Fault::WrongSelf) {
                [].into()
            } else {
                self.network.root_key.clone()
            },
            certificate: None,
            timer: canister.timer,
            message: Message::default(),
            outstanding: Arc::default(),
        }
    }

    /// Asks the canister whether it wants an ingress message, before the message is ordered.
    pub fn inspect(&self, canister: &Canister, call: &Call) -> Result<(), Reject> {
        let code = ready(canister)?;
        method(code, canister.id, &call.method, false)?;
        if !inspects(canister) || broken(Fault::IgnoreInspection) {
            return Ok(());
        }
        let done = run(
            &self.engine,
            Job {
                code: &code.compiled,
                heap: &canister.heap,
                stable: canister.stable.clone(),
                kind: Contexts::F,
                view: self.view(canister, call),
                budget: budget(canister, Contexts::F, self.limits.inspect, Growth::UNKEPT),
                entry: Entry::Export(INSPECT),
                keep: false,
            },
        )?;
        if done.accepted {
            return Ok(());
        }
        Err(Reject::new(
            ErrorCode::CanisterRejectedMessage,
            format!("Canister {} rejected the message", canister.id),
        ))
    }
}

/// What a call is answered that ends like this.
pub fn answer(answer: Option<Answer>, id: Principal) -> Result<Vec<u8>, Reject> {
    match answer {
        Some(Answer::Reply(data)) => Ok(data),
        Some(Answer::Reject(message)) => {
            #[cfg(feature = "faults")]
            let message = crate::faults::kept::reject_message(message);
            Err(Reject::new(ErrorCode::CanisterRejectedMessage, message))
        }
        None if broken(Fault::SilenceIsReply) => Ok(Vec::new()),
        None => Err(did_not_reply(id)),
    }
}

/// The rejection of calls that nobody will answer any more.
pub fn did_not_reply(id: Principal) -> Reject {
    Reject::new(
        ErrorCode::CanisterDidNotReply,
        format!("Error from Canister {id}: Canister did not produce a response"),
    )
}

/// A rejection as the calling canister sees it: its code, and its message, which names the error unless a canister wrote it.
pub fn shown(reject: &Reject) -> (i32, String) {
    let code = i32::try_from(reject.code()).unwrap_or_default();
    match reject.error {
        ErrorCode::CanisterRejectedMessage => (code, reject.message.clone()),
        _ => (code, reject.to_string()),
    }
}

/// The canister after an execution of which nothing is kept but what it printed and these cycles; `None` when that is nothing.
pub fn printed(canister: &Canister, cycles: u128, logs: &Logs) -> Option<Canister> {
    if logs.is_untouched() && cycles == canister.cycles {
        return None;
    }
    let mut next = canister.clone();
    next.cycles = cycles;
    next.append_logs(logs);
    Some(next)
}

/// The canister after a successful execution.
pub fn advance(canister: &Canister, done: Done) -> (Canister, Changed) {
    let mut next = canister.clone();
    next.cycles = balance(canister.cycles, &done);
    let mut changed = (Vec::new(), done.stable.1);
    if let Some((heap, pages)) = done.heap {
        next.heap = heap;
        changed.0 = pages;
    }
    next.stable = done.stable.0;
    if let Some(certified) = done.certified {
        next.certified = certified;
    }
    if let Some(timer) = done.timer {
        next.timer = timer;
    }
    next.append_logs(&done.logs);
    next.version += 1;
    (next, changed)
}

/// The cycles of a canister after an execution.
pub fn balance(before: u128, done: &Done) -> u128 {
    // The system API lets no execution give away or burn more than there is, nor accept more than fits.
    before
        .saturating_add(done.taken)
        .saturating_sub(done.burnt)
        .saturating_sub(done.attached)
}

//! Call contexts: beginning them, sending calls from them, answering them.
//!
//! ```text
//! request ─▶ begin ─▶ answered at once, or a context with calls under way
//! response ─▶ deliver ─▶ callback (and cleanup when it traps) ─▶ the context goes on, or ends and is answered
//! ```
//!
//! Source: IC interface specification, "Call contexts", "Message execution" and "Call context starvation". Each execution is kept
//! as a whole or not at all: memory, calls, the answer, cycles, certified data, timer.

use super::call::{Call, advance, answer, balance, method, no_code, not_found, printed, ready};
use super::limits::budget;
use super::machine::Machine;
use super::run::{Done, Entry, Job, Stopped, run};
use crate::faults::{Fault, broken};
use crate::state::calls::{Callback, Context, Origin, Request, Response, label, of};
use crate::state::canister::Canister;
use crate::state::logs::Logs;
use crate::state::request::Reject;
use crate::sysapi::context::Contexts;
use crate::sysapi::{Message, Outgoing, View};
use crate::wasm::inspect::MethodKind;
use ic_error_types::ErrorCode;
use ic_principal::Principal;
use std::sync::Arc;

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

/// The answer of a call, and the cycles that go back with it.
#[derive(Debug)]
pub struct Answered {
    /// The answer.
    pub outcome: Result<Vec<u8>, Reject>,
    /// The cycles.
    pub refund: u128,
}

impl Machine {
    /// Executes a call of a canister's method. `None` when its answer waits for answers to calls of its own.
    pub(super) fn begin(
        &mut self,
        id: Principal,
        call: &Call,
        origin: Origin,
        cycles: u128,
    ) -> Option<Answered> {
        let refused = |reject: Reject| {
            Some(Answered {
                outcome: Err(reject),
                refund: cycles,
            })
        };
        let Some(canister) = self.state().canister(&id).cloned() else {
            return refused(not_found(id));
        };
        let kind = match ready(&canister).and_then(|code| method(code, id, &call.method, false)) {
            Ok(kind) => kind,
            Err(reject) => return refused(reject),
        };
        if broken(Fault::InspectEverything)
            && matches!(origin, Origin::Canister { .. })
            && let Err(reject) = self.executor.inspect(&canister, call)
        {
            return refused(reject);
        }
        if let Some(reject) = too_few_cycles(&canister, call, &origin, cycles) {
            return refused(reject);
        }
        let update = kind == MethodKind::Update;
        let message = Message {
            available: cycles,
            deadline: origin.deadline(),
            ..Message::default()
        };
        let export = kind.export(&call.method);
        let kind = if update { Contexts::U } else { Contexts::RQ };
        let mut done = match self.execute(&canister, kind, Entry::Export(&export), call, message) {
            Ok(done) => done,
            Err(Stopped { reject, logs, .. }) => {
                #[cfg(feature = "faults")]
                let (canister, calls) = {
                    let (canister, calls) = crate::faults::kept::left(&canister);
                    (Arc::new(canister), calls)
                };
                self.keep(&canister, canister.cycles, &logs);
                #[cfg(feature = "faults")]
                if !calls.is_empty() {
                    let context = crate::faults::kept::context(call.caller);
                    self.open(id, canister.version, context, calls);
                }
                return refused(reject);
            }
        };
        let given = done.answer.take();
        let calls = std::mem::take(&mut done.calls);
        let (available, refund) = (done.available, done.refund);
        let context = Context {
            caller: call.caller,
            origin,
            answered: given.is_some(),
            deleted: false,
            available,
            instructions: done.instructions,
            outstanding: 0,
        };
        if update || broken(Fault::QueryKeepsState) {
            let (next, changed) = advance(&canister, done);
            self.commit(next, &changed);
        } else {
            // A query in replicated mode changes nothing, whatever it wrote; its cycles have moved, and what it printed is kept.
            self.keep(&canister, balance(canister.cycles, &done), &done.logs);
        }
        if calls.is_empty() {
            return Some(Answered {
                outcome: answer(given, id),
                refund: refund.saturating_add(available),
            });
        }
        #[cfg(feature = "faults")]
        crate::faults::kept::before_call(&canister);
        self.open(id, canister.version, context, calls);
        given.map(|given| Answered {
            outcome: answer(Some(given), id),
            refund,
        })
    }

    /// Runs the global timer of a canister, once.
    pub(super) fn run_timer(&mut self, id: &Principal) {
        const TIMER: &str = "canister_global_timer";
        let Some(canister) = self.state().canister(id) else {
            return;
        };
        // Whatever becomes of it, it is not due any more.
        let mut canister = (**canister).clone();
        #[cfg(feature = "faults")]
        let due = canister.timer;
        canister.timer = 0;
        #[cfg(feature = "faults")]
        if crate::faults::kept::timer_stays(id) {
            canister.timer = due;
        }
        let has_timer = canister.code.as_ref().is_some_and(|code| {
            let mut names = code.compiled.info.entry_points.iter();
            names.any(|name| name == TIMER) && !broken(Fault::TimerNeverFires)
        });
        let call = Call {
            caller: Principal::management_canister(),
            method: String::new(),
            arg: [].into(),
            time: self.state().time,
        };
        let entry = Entry::Export(TIMER);
        let result =
            has_timer.then(|| self.execute(&canister, Contexts::T, entry, &call, Message::default()));
        let mut done = match result {
            Some(Ok(done)) => done,
            stopped => {
                #[cfg(feature = "faults")]
                {
                    canister = crate::faults::kept::left(&canister).0;
                }
                if let Some(Err(Stopped { logs, .. })) = stopped {
                    canister.append_logs(&logs);
                }
                return self.commit(canister, &(Vec::new(), Vec::new()));
            }
        };
        let calls = std::mem::take(&mut done.calls);
        let context = Context {
            caller: call.caller,
            origin: Origin::System,
            answered: true,
            deleted: false,
            available: 0,
            instructions: done.instructions,
            outstanding: 0,
        };
        let (next, changed) = advance(&canister, done);
        self.commit(next, &changed);
        if !calls.is_empty() {
            self.open(*id, canister.version, context, calls);
        }
    }

    /// Runs an entry point of a canister in a batch.
    pub(super) fn execute(
        &mut self,
        canister: &Canister,
        kind: Contexts,
        entry: Entry<'_>,
        call: &Call,
        message: Message,
    ) -> Result<Done, Stopped> {
        let code = canister.code.as_ref().ok_or_else(|| no_code(canister.id))?;
        let executor = &self.executor;
        let mut budget = budget(canister, kind, executor.limits.update, self.growth(canister));
        budget.calls = self.index.share(&canister.id, executor.limits.waiting);
        let result = run(
            &executor.engine,
            Job {
                code: &code.compiled,
                heap: &canister.heap,
                stable: canister.stable.clone(),
                kind,
                view: View {
                    message,
                    outstanding: self.index.outstanding(&canister.id),
                    ..executor.view(canister, call)
                },
                budget,
                entry,
                keep: kind != Contexts::RQ || broken(Fault::QueryKeepsState),
            },
        );
        self.count(&result);
        result
    }

    /// Counts what an execution has used of what the batch may use.
    pub fn count(&mut self, result: &Result<Done, Stopped>) {
        let instructions = match result {
            Ok(done) => done.instructions,
            Err(stopped) => stopped.instructions,
        };
        self.used = self.used.saturating_add(instructions);
    }

    /// Opens a context with the calls that began in it; `version` is the one that its code saw.
    fn open(&mut self, owner: Principal, version: u64, mut context: Context, calls: Vec<Outgoing>) {
        let number = self.state.calls.number();
        context.outstanding = calls.len() as u64;
        self.state
            .calls
            .contexts
            .insert(&label(&owner, number), Arc::new(context));
        self.post(owner, version, number, calls);
    }

    /// Sends calls on their way; `version` is the one that the code of the caller saw.
    pub(super) fn post(
        &mut self,
        caller: Principal,
        version: u64,
        context: u64,
        mut outgoing: Vec<Outgoing>,
    ) {
        if broken(Fault::ReorderPair) {
            outgoing.reverse();
        }
        let now = self.state().time;
        for call in outgoing {
            let number = self.state.calls.number();
            let deadline = call
                .timeout
                .map_or(0, |seconds| now.saturating_add(u64::from(seconds) * SECOND));
            let callback = Callback {
                context,
                callee: call.callee,
                deadline,
                expired: false,
                reply: call.reply,
                reject: call.reject,
                cleanup: call.cleanup,
            };
            let request = Request {
                caller,
                version,
                method: call.method,
                payload: call.payload,
                cycles: call.cycles,
                deadline,
            };
            let at = label(&caller, number);
            self.index.add_callback(&at, &callback);
            self.index.add_request(&request);
            let calls = &mut self.state.calls;
            calls.callbacks.insert(&at, Arc::new(callback));
            calls
                .requests
                .insert(&label(&call.callee, number), Arc::new(request));
        }
    }

    /// Gives an answer to who waits for it.
    pub(super) fn answer(&mut self, origin: &Origin, outcome: Result<Vec<u8>, Reject>, refund: u128) {
        let refund = if broken(Fault::LoseRefund) { 0 } else { refund };
        let outcome = if broken(Fault::BoundedIsUnknown) && origin.deadline() != 0 {
            Err(Reject::new(ErrorCode::DeadlineExpired, "Call has timed out."))
        } else {
            outcome
        };
        match origin {
            Origin::Ingress(request) => self.finish(request, outcome.into()),
            Origin::Canister { caller, callback, .. } => {
                let at = label(caller, *callback);
                let waits = self.state.calls.callbacks.get(&at);
                if waits.is_some_and(|callback| !callback.expired) {
                    let outcome = outcome.into();
                    let response = Response { outcome, refund };
                    self.state.calls.responses.insert(&at, Arc::new(response));
                } else {
                    // The caller has given up. Its cycles are still its own.
                    self.credit(caller, refund);
                }
            }
            Origin::System => {}
        }
    }

    /// Answers all open contexts of a canister whose code is gone; their callbacks are not called any more.
    pub fn abandon(&mut self, owner: &Principal) {
        let open: Vec<_> = of(&self.state.calls.contexts, owner)
            .map(|(number, context)| (number, (**context).clone()))
            .collect();
        for (number, context) in open {
            let ended = Context {
                answered: true,
                deleted: true,
                available: 0,
                ..context.clone()
            };
            self.state
                .calls
                .contexts
                .insert(&label(owner, number), Arc::new(ended));
            if !context.answered {
                let reject = Reject::new(
                    ErrorCode::CanisterRejectedMessage,
                    "Canister has been uninstalled.",
                );
                self.answer(&context.origin, Err(reject), context.available);
            }
        }
    }

    /// Gives cycles back to a canister.
    pub(super) fn credit(&mut self, id: &Principal, cycles: u128) {
        if let Some(canister) = self.state().canister(id).cloned() {
            self.keep(
                &canister,
                canister.cycles.saturating_add(cycles),
                &Logs::default(),
            );
        }
    }

    /// Keeps the cycles of a canister and what it printed, and nothing else of what it did.
    fn keep(&mut self, canister: &Canister, cycles: u128, logs: &Logs) {
        if let Some(mut next) = printed(canister, cycles, logs) {
            if broken(Fault::VersionByTraps) {
                next.version += 1;
            }
            self.commit(next, &(Vec::new(), Vec::new()));
        }
    }
}

/// Why a call of another canister is rejected that brings fewer cycles than its receiver asks for.
///
/// Source: IC interface specification, `minimum_incoming_canister_call_cycles`.
fn too_few_cycles(canister: &Canister, call: &Call, origin: &Origin, cycles: u128) -> Option<Reject> {
    let from_another = matches!(origin, Origin::Canister { .. }) && call.caller != canister.id;
    let least = canister.least_cycles();
    (from_another && cycles < least && !broken(Fault::IgnoreLimits)).then(|| {
        Reject::new(
            ErrorCode::InsufficientCyclesInCall,
            format!(
                "Canister {} takes calls of other canisters that bring at least {least} cycles; this one brings {cycles}",
                canister.id
            ),
        )
    })
}

//! Queries, and the calls that composite queries make to queries of other canisters.
//!
//! All of it runs on one version of the state and outside of it: nothing is kept. A canister sees what it changed itself in its own
//! callbacks, and nowhere else. Source: IC interface specification, "Composite queries".

use super::call::{Call, Executor, advance, answer, did_not_reply, method, not_found, ready, shown};
use super::limits::{LEAST_DIRTY, budget};
use super::memory::HEAP_FACTOR;
use super::quota::Growth;
use super::run::{Done, Entry, Job, Stopped, run};
use crate::faults::{Fault, broken};
use crate::heap::pages::PAGE;
use crate::heap::wasm_memory::WASM_PAGE;
use crate::state::State;
use crate::state::calls::{Function, weight};
use crate::state::canister::Canister;
use crate::state::request::Reject;
use crate::sysapi::context::Contexts;
use crate::sysapi::{Answer, Message, Outgoing, View};
use crate::wasm::inspect::MethodKind;
use ic_error_types::ErrorCode;
use ic_principal::Principal;
use std::collections::VecDeque;
use std::sync::Arc;

/// How deep queries may call queries.
const MAX_DEPTH: u32 = 6;
/// Bytes that all its calls may take.
const MAX_CALLS: u64 = 16 << 20;

/// Executions that use up the instructions of a query even if they do nothing, as an instance costs something that does nothing. The replica
/// counts 50 million of 5 billion instructions for each (dfinity/ic, `INSTRUCTION_OVERHEAD_PER_QUERY_CALL`).
const MOST_EXECUTIONS: u64 = 100;

/// A query and all that it calls.
struct Graph<'a> {
    executor: &'a Executor,
    state: &'a State,
    time: u64,
    /// Instructions left for all of it.
    left: u64,
    /// What is left for all of it of what its memories may grow by.
    growth: Growth,
    /// Of what it may change of stable memories, in bytes.
    dirty: u64,
    /// Of what its calls may take, in bytes.
    calls: u64,
}

/// One canister's part of it.
struct Local {
    canister: Canister,
    call: Call,
    certificate: Option<Arc<[u8]>>,
    composite: bool,
    instructions: u64,
}

impl Executor {
    /// Executes a query on a version of the state. `certificate` is what `data_certificate` shows to the canister itself; those
    /// that it calls have none.
    pub fn query(
        &self,
        state: &State,
        canister: &Canister,
        call: &Call,
        certificate: Option<Arc<[u8]>>,
    ) -> Result<Vec<u8>, Reject> {
        if broken(Fault::InspectEverything) {
            self.inspect(canister, call)?;
        }
        let mut graph = Graph {
            executor: self,
            state,
            time: call.time,
            left: self.limits.query,
            growth: Growth::UNKEPT,
            dirty: LEAST_DIRTY,
            calls: MAX_CALLS,
        };
        graph.evaluate(canister, call.clone(), certificate, 0)
    }
}

impl Graph<'_> {
    fn evaluate(
        &mut self,
        canister: &Canister,
        call: Call,
        certificate: Option<Arc<[u8]>>,
        depth: u32,
    ) -> Result<Vec<u8>, Reject> {
        let code = ready(canister)?;
        let kind = method(code, canister.id, &call.method, true)?;
        let export = kind.export(&call.method);
        let composite = kind == MethodKind::CompositeQuery;
        let kind = if composite { Contexts::CQ } else { Contexts::NRQ };
        let composite = composite || broken(Fault::CompositeKeepsState);
        let mut local = Local {
            canister: canister.clone(),
            call,
            certificate,
            composite,
            instructions: 0,
        };
        #[cfg(feature = "faults")]
        if composite {
            crate::faults::kept::after_composite(&mut local.canister);
        }
        let done = self.execute(&mut local, kind, Entry::Export(&export), Message::default())?;
        let (mut given, mut calls) = take(&mut local, done);
        let mut failed = None;
        // After the answer nobody waits for the rest.
        while given.is_none()
            && let Some(outgoing) = calls.pop_front()
        {
            // Only who is asked by the user has a certificate.
            let certificate = local
                .certificate
                .clone()
                .filter(|_| broken(Fault::CertificateForAll));
            let result = self.call(canister.id, &outgoing, certificate, depth);
            failed = match self.call_back(&mut local, &outgoing, result) {
                Ok(done) => {
                    let (answer, more) = take(&mut local, done);
                    given = answer;
                    calls.extend(more);
                    None
                }
                Err(stopped) => Some(stopped.reject),
            };
        }
        match (given, failed) {
            (Some(given), _) => answer(Some(given), canister.id),
            (None, Some(reject)) => Err(reject),
            (None, None) => Err(did_not_reply(canister.id)),
        }
    }

    fn call(
        &mut self,
        caller: Principal,
        outgoing: &Outgoing,
        certificate: Option<Arc<[u8]>>,
        depth: u32,
    ) -> Result<Vec<u8>, Reject> {
        let Some(callee) = self.state.canister(&outgoing.callee).cloned() else {
            return Err(not_found(outgoing.callee));
        };
        if broken(Fault::LonelyComposite) {
            return Err(not_found(outgoing.callee));
        }
        if depth + 1 >= MAX_DEPTH {
            return Err(Reject::new(
                ErrorCode::QueryCallGraphTooDeep,
                format!("Composite queries call each other more than {MAX_DEPTH} deep"),
            ));
        }
        let call = Call {
            caller,
            method: outgoing.method.clone(),
            arg: outgoing.payload.as_slice().into(),
            time: self.time,
        };
        self.evaluate(&callee, call, certificate, depth + 1)
    }

    fn call_back(
        &mut self,
        local: &mut Local,
        outgoing: &Outgoing,
        result: Result<Vec<u8>, Reject>,
    ) -> Result<Done, Stopped> {
        let (function, kind, arg, reject): (Function, _, Arc<[u8]>, _) = match result {
            Ok(data) => (outgoing.reply, Contexts::CRY, data.into(), None),
            Err(reject) => (outgoing.reject, Contexts::CRT, [].into(), Some(shown(&reject))),
        };
        local.call.arg = arg;
        let message = Message {
            reject,
            instructions: local.instructions,
            ..Message::default()
        };
        let result = self.execute(local, kind, Entry::Callback(function), message.clone());
        if result.is_err()
            && let Some(cleanup) = outgoing.cleanup.filter(|_| !broken(Fault::SkipCleanup))
            && let Ok(done) = self.execute(local, Contexts::CC, Entry::Callback(cleanup), message)
        {
            take(local, done);
        }
        result
    }

    fn execute(
        &mut self,
        local: &mut Local,
        kind: Contexts,
        entry: Entry<'_>,
        message: Message,
    ) -> Result<Done, Stopped> {
        let canister = &local.canister;
        let code = ready(canister)?;
        if self.left == 0 {
            let reject = Reject::new(
                ErrorCode::QueryCallGraphTotalInstructionLimitExceeded,
                format!(
                    "A composite query and what it calls exceeded the limit of {} instructions",
                    self.executor.limits.query
                ),
            );
            return Err(reject.into());
        }
        let mut budget = budget(canister, kind, self.left, self.growth);
        budget.dirty = self.dirty;
        budget.calls = self.calls;
        let result = run(
            &self.executor.engine,
            Job {
                code: &code.compiled,
                heap: &canister.heap,
                stable: canister.stable.clone(),
                kind,
                view: View {
                    message,
                    certificate: local.certificate.clone(),
                    ..self.executor.view(canister, &local.call)
                },
                budget,
                entry,
                // Only a composite query comes back to what it wrote.
                keep: local.composite,
            },
        );
        let used = match &result {
            Ok(done) => done.instructions,
            Err(stopped) => stopped.instructions,
        };
        self.left = self
            .left
            .saturating_sub(used.saturating_add(self.executor.limits.query / MOST_EXECUTIONS));
        local.instructions = local.instructions.saturating_add(used);
        if let Ok(done) = &result {
            self.deduct(canister, done);
        }
        result
    }

    /// Takes what an execution added to what the query holds from what is left. That canisters which have answered hold nothing any more is not
    /// counted, nor that a page was changed before.
    fn deduct(&mut self, canister: &Canister, done: &Done) {
        let heap = done.heap.as_ref().map_or(0, |(heap, _)| heap.bytes());
        let heap = heap.saturating_sub(canister.heap.bytes());
        let (stable, changed) = &done.stable;
        let stable = stable.size.saturating_sub(canister.stable.size) * WASM_PAGE;
        let left = &mut self.growth;
        left.node = left.node.saturating_sub(heap * HEAP_FACTOR + stable);
        left.canister = left.canister.saturating_sub(heap + stable);
        self.dirty = self.dirty.saturating_sub((changed.len() * PAGE) as u64);
        let calls = done.calls.iter();
        let calls: u64 = calls
            .map(|call| weight(call.method.len(), call.payload.len()))
            .sum();
        self.calls = self.calls.saturating_sub(calls);
    }
}

/// The answer and the calls of an execution, whose effects stay for the callbacks of a composite query.
fn take(local: &mut Local, mut done: Done) -> (Option<Answer>, VecDeque<Outgoing>) {
    let taken = (done.answer.take(), std::mem::take(&mut done.calls).into());
    if local.composite {
        let version = local.canister.version;
        (local.canister, _) = advance(&local.canister, done);
        // Nothing has been changed.
        local.canister.version = version;
        #[cfg(feature = "faults")]
        crate::faults::kept::composite(&local.canister);
    }
    taken
}

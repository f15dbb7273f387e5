//! Answers to calls: callbacks, cleanup, and the end of call contexts.

use super::call::{Call, advance, answer, did_not_reply, shown};
use super::machine::Machine;
use super::run::{Entry, Stopped};
use crate::faults::{Fault, broken};
use crate::state::calls::{Callback, Context, Response, label, parse};
use crate::state::canister::Canister;
use crate::state::request::{Outcome, Reject};
use crate::sysapi::Message;
use crate::sysapi::context::Contexts;
use ic_principal::Principal;
use std::sync::Arc;

impl Machine {
    /// Executes the answer to a call.
    pub(super) fn deliver(&mut self, at: &[u8]) {
        let calls = &mut self.state.calls;
        let (Some(response), Some((owner, _))) = (calls.responses.remove(at), parse(at)) else {
            return;
        };
        let callback = calls.callbacks.remove(at);
        if let Some(callback) = &callback {
            self.index.remove_callback(at, callback);
        }
        let canister = self.state().canister(&owner).cloned();
        let found = callback.and_then(|callback| {
            let context = self.state.calls.contexts.get(&label(&owner, callback.context))?;
            Some((callback, (**context).clone()))
        });
        let (Some((callback, mut context)), Some(canister)) = (found, canister) else {
            return self.credit(&owner, response.refund);
        };
        context.outstanding = context.outstanding.saturating_sub(1);
        let mut failed = None;
        if context.deleted || canister.code.is_none() {
            self.credit(&owner, response.refund);
        } else {
            let mut canister = (*canister).clone();
            canister.cycles = canister.cycles.saturating_add(response.refund);
            failed = self.call_back(&canister, &callback, &mut context, &response);
        }
        self.settle(&owner, callback.context, context, failed);
    }

    /// Calls a callback; returns why it was stopped. The canister has its refund already.
    fn call_back(
        &mut self,
        canister: &Canister,
        callback: &Callback,
        context: &mut Context,
        response: &Response,
    ) -> Option<Reject> {
        let (function, kind, arg, reject): (_, _, Arc<[u8]>, _) = match &response.outcome {
            Outcome::Replied(data) => (callback.reply, Contexts::RY, data.as_slice().into(), None),
            Outcome::Rejected(reject) => (callback.reject, Contexts::RT, [].into(), Some(shown(reject))),
        };
        // a call that nobody waits for, neither for its answer nor to clean up: nothing is executed, so nothing traps; what came back stays
        if function.is_nobody() && callback.cleanup.is_none() && context.answered {
            self.commit(canister.clone(), &(Vec::new(), Vec::new()));
            return None;
        }
        let mut call = Call {
            caller: context.caller,
            method: String::new(),
            arg,
            time: self.state().time,
        };
        let mut message = Message {
            available: if broken(Fault::CallbackWithoutCycles) {
                0
            } else {
                context.available
            },
            refunded: response.refund,
            deadline: context.origin.deadline(),
            reject,
            answered: context.answered,
            instructions: context.instructions,
        };
        let result = self.execute(canister, kind, Entry::Callback(function), &call, message.clone());
        let stopped = match result {
            Ok(mut done) => {
                let given = done.answer.take();
                let calls = std::mem::take(&mut done.calls);
                context.instructions = context.instructions.saturating_add(done.instructions);
                context.available = done.available;
                context.outstanding += calls.len() as u64;
                let refund = done.refund;
                let (next, changed) = advance(canister, done);
                self.commit(next, &changed);
                self.post(canister.id, canister.version, callback.context, calls);
                if given.is_some() {
                    context.answered = true;
                    let outcome = answer(given, canister.id);
                    self.answer(&context.origin, outcome, refund);
                }
                #[cfg(feature = "faults")]
                self.clean_up_too(&canister.id, callback, &call, message);
                return None;
            }
            Err(stopped) => stopped,
        };
        context.instructions = context.instructions.saturating_add(stopped.instructions);
        message.instructions = context.instructions;
        call.arg = [].into();
        // Nothing of it is left but the cycles that came back and what it printed.
        let mut left = canister.clone();
        #[cfg(feature = "faults")]
        {
            left = crate::faults::kept::left(&left).0;
            crate::faults::kept::roll_back(&mut left);
        }
        left.append_logs(&stopped.logs);
        let cleaned = callback
            .cleanup
            .filter(|_| !broken(Fault::SkipCleanup))
            .map(|cleanup| self.execute(&left, Contexts::C, Entry::Callback(cleanup), &call, message));
        match cleaned {
            Some(Ok(done)) => {
                context.instructions = context.instructions.saturating_add(done.instructions);
                let (next, changed) = advance(&left, done);
                self.commit(next, &changed);
            }
            failed => {
                #[cfg(feature = "faults")]
                {
                    left = crate::faults::kept::left(&left).0;
                }
                if let Some(Err(Stopped { logs, .. })) = failed {
                    left.append_logs(&logs);
                }
                self.commit(left, &(Vec::new(), Vec::new()));
            }
        }
        Some(stopped.reject)
    }

    /// Runs the cleanup of a callback that ended well.
    #[cfg(feature = "faults")]
    fn clean_up_too(&mut self, id: &Principal, callback: &Callback, call: &Call, message: Message) {
        let Some(cleanup) = callback.cleanup.filter(|_| broken(Fault::CleanupAlways)) else {
            return;
        };
        let Some(canister) = self.state().canister(id).cloned() else {
            return;
        };
        if let Ok(done) = self.execute(&canister, Contexts::C, Entry::Callback(cleanup), call, message) {
            let (next, changed) = advance(&canister, done);
            self.commit(next, &changed);
        }
    }

    /// Keeps a context that waits for answers; ends one that does not. `failed` is why its last callback was stopped.
    fn settle(&mut self, owner: &Principal, number: u64, context: Context, failed: Option<Reject>) {
        let at = label(owner, number);
        if context.outstanding > 0 {
            self.state.calls.contexts.insert(&at, Arc::new(context));
            return;
        }
        self.state.calls.contexts.remove(&at);
        if !context.answered && failed.is_none() && broken(Fault::SilenceIsReply) {
            self.answer(&context.origin, Ok(Vec::new()), context.available);
        } else if !context.answered {
            // Nothing is left that could answer.
            let reject = failed.unwrap_or_else(|| did_not_reply(*owner));
            self.answer(&context.origin, Err(reject), context.available);
        }
        self.stop_if_idle(owner);
    }
}

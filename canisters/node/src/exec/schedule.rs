//! Which messages a batch executes besides those that it brings, and in which order.
//!
//! 1. What has timed out is answered.
//! 2. Who asked for randomness in the batch before gets it from the seed of this one.
//! 3. Ingress messages: those that wait since earlier batches, whose queues take turns, then those of this one in its order, up to a
//!    number of instructions ([`Limits`]). What is left waits for the next batch.
//! 4. Timers that are due, each once, up to a number of instructions ([`Limits`]). Their canisters take turns: by how long they are
//!    overdue one that sets its timer to the past each time would always be first. What is left stays due, for the next batch.
//! 5. Calls and answers between canisters, up to a number, to a number of instructions ([`Limits`]) and to what users are told of. Who executes
//!    them takes turns, and each one has them in the order in which their calls were made. What is left waits for the next batch.
//!
//! [`Limits`]: super::limits::Limits

use super::call::Call;
use super::machine::Machine;
use crate::faults::{Fault, broken};
use crate::mgmt::{self, Sender};
use crate::state::calls::{Draw, Due, Origin, Stop, label, of, parse};
use crate::state::canister::{Canister, Status};
use crate::state::request::Reject;
use ic_error_types::ErrorCode;
use ic_principal::Principal;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How long `stop_canister` waits for open contexts: 5 minutes, as in the replica.
const STOP_TIMEOUT: u64 = 300 * 1_000_000_000;

/// What the machine still has to do although nobody asks it to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Agenda {
    /// The batch after which this is so.
    pub round: u64,
    /// Whether ingress messages, calls or answers wait, or somebody for the next seed.
    pub busy: bool,
    /// Whether all that waits is somebody for the next seed: who asks for one after the other would otherwise keep the disk busy with nothing.
    pub only_draws: bool,
    /// Of which ingress messages some wait. Until they are executed no further ones are to be ordered, so that they stay few.
    pub backlog: Backlog,
    /// When a timer or a timeout is due.
    pub wake: Option<u64>,
}

/// Of which ingress messages none are to be ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backlog {
    /// Of none but those in these queues.
    Of(Arc<BTreeSet<Principal>>),
    /// Of all.
    All,
}

impl Default for Backlog {
    fn default() -> Self {
        Self::Of(Arc::default())
    }
}

impl Backlog {
    /// Whether no message waits.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Of(queues) if queues.is_empty())
    }

    /// Whether a message in this queue is not to be ordered.
    pub fn holds(&self, queue: &Principal) -> bool {
        match self {
            Self::Of(queues) => queues.contains(queue),
            Self::All => true,
        }
    }
}

impl Machine {
    /// What is left to do.
    pub fn agenda(&self) -> Agenda {
        let calls = &self.state().calls;
        let backlog = self.backlog();
        let works = !backlog.is_empty()
            || calls.responses.iter().next().is_some()
            || calls.requests.iter().next().is_some();
        let draws = calls.draws.iter().next().is_some();
        Agenda {
            round: self.state().round,
            busy: works || draws,
            only_draws: draws && !works,
            backlog,
            wake: self.index.wake(),
        }
    }

    /// Answers what has timed out.
    pub(super) fn expire(&mut self) {
        let now = self.state().time;
        while let Some(at) = self.index.next_expired(now) {
            if !broken(Fault::NeverTimeOut) {
                self.expire_call(&at);
            }
        }
        while let Some(at) = self.index.next_given_up(now) {
            if let Some(stop) = self.state.calls.stops.remove(&at) {
                let reject = Reject::new(
                    ErrorCode::StopCanisterRequestTimeout,
                    "Stop canister request timed out",
                );
                self.answer(&stop.origin, Err(reject), stop.cycles);
            }
        }
    }

    fn expire_call(&mut self, at: &[u8]) {
        let calls = &mut self.state.calls;
        let (Some(callback), Some((_, number))) = (calls.callbacks.get(at).cloned(), parse(at)) else {
            return;
        };
        // The answer has come in time, and only waits to be executed.
        if calls.responses.get(at).is_some() {
            return;
        }
        let waiting = calls.requests.remove(&label(&callback.callee, number));
        // What has not begun by now never does, and gives its cycles back. Those of the others come back when they end.
        let refund = waiting.as_ref().map_or(0, |request| request.cycles);
        if let Some(request) = waiting {
            self.index.remove_request(&request);
        }
        let (caller, deadline) = match parse(at) {
            Some((caller, _)) => (caller, callback.deadline),
            None => return,
        };
        let origin = Origin::Canister {
            caller,
            callback: number,
            deadline,
        };
        let reject = Reject::new(ErrorCode::DeadlineExpired, "Call has timed out.");
        self.answer(&origin, Err(reject), refund);
        let mut expired = (*callback).clone();
        expired.expired = true;
        self.state.calls.callbacks.insert(at, Arc::new(expired));
    }

    /// Runs the timers that are due, up to what a batch may use for them.
    pub(super) fn run_timers(&mut self) {
        self.used = 0;
        let due = self
            .index
            .due_timers(self.state().time, &self.state.calls.timer_turn);
        for canister in due {
            if self.used >= self.executor.limits.timers_instructions {
                return;
            }
            self.state.calls.timer_turn = canister;
            self.run_timer(&canister);
        }
    }

    /// Executes calls and answers between canisters.
    pub(super) fn work(&mut self) {
        let limits = self.executor.limits;
        self.used = 0;
        for executed in 0..limits.messages {
            // One in any case: whose messages end with large replies in each batch keeps no call waiting for ever.
            let is_spent = self.used >= limits.messages_instructions || self.has_told_enough();
            if is_spent && executed > 0 {
                return;
            }
            match self.state.calls.next_due() {
                Some(Due::Response(at)) => {
                    if let Some((owner, _)) = parse(&at) {
                        self.state.calls.turn = owner;
                    }
                    self.deliver(&at);
                }
                Some(Due::Request(at)) => self.serve(&at),
                None => return,
            }
        }
    }

    /// Executes a call of a canister.
    fn serve(&mut self, at: &[u8]) {
        let (Some(request), Some((callee, number))) = (self.state.calls.requests.remove(at), parse(at))
        else {
            return;
        };
        self.index.remove_request(&request);
        self.state.calls.turn = callee;
        let call = Call {
            caller: request.caller,
            method: request.method.clone(),
            arg: request.payload.as_slice().into(),
            time: self.state().time,
        };
        let origin = Origin::Canister {
            caller: request.caller,
            callback: number,
            deadline: request.deadline,
        };
        if broken(Fault::DropCall) && number.is_multiple_of(10) {
            return self.answer(&origin, Ok(Vec::new()), request.cycles);
        }
        if callee == Principal::management_canister() {
            let mut sender = Sender {
                origin,
                version: Some(request.version),
                cycles: request.cycles,
            };
            if let Some(outcome) = mgmt::execute(self, &call, &mut sender).transpose() {
                self.answer(&sender.origin, outcome, sender.cycles);
            }
        } else if let Some(answered) = self.begin(callee, &call, origin.clone(), request.cycles) {
            self.answer(&origin, answered.outcome, answered.refund);
        }
    }

    /// Lets a canister wait for bytes from the seed of the next batch: those of this one could be known.
    pub fn wait_for_seed(&mut self, sender: &Sender) {
        let draw = Draw {
            origin: sender.origin.clone(),
            cycles: sender.cycles,
        };
        let at = label(&Principal::management_canister(), self.state.calls.number());
        self.state.calls.draws.insert(&at, Arc::new(draw));
    }

    /// Gives bytes from the seed of this batch to those who waited for it, in the order in which they asked.
    pub(super) fn answer_draws(&mut self) {
        let aaaaa = Principal::management_canister();
        let waiting: Vec<_> = of(&self.state.calls.draws, &aaaaa)
            .map(|(number, draw)| (label(&aaaaa, number), draw.clone()))
            .collect();
        for (at, draw) in waiting {
            self.state.calls.draws.remove(&at);
            let bytes = mgmt::raw_rand(&self.state, self.state.draws);
            self.state.draws += 1;
            let outcome = mgmt::encode(&serde_bytes::Bytes::new(&bytes));
            self.answer(&draw.origin, outcome, draw.cycles);
        }
    }

    /// Lets somebody wait until a canister has stopped.
    pub fn wait_for_stop(&mut self, canister: &Principal, sender: &Sender) {
        let stop = Stop {
            origin: sender.origin.clone(),
            cycles: sender.cycles,
            deadline: self.state().time.saturating_add(STOP_TIMEOUT),
        };
        let at = label(canister, self.state.calls.number());
        self.index.add_stop(&at, &stop);
        self.state.calls.stops.insert(&at, Arc::new(stop));
    }

    /// Answers all who wait for a canister to stop.
    pub fn answer_stops(&mut self, canister: &Principal, outcome: &Result<Vec<u8>, Reject>) {
        let waiting: Vec<_> = of(&self.state.calls.stops, canister)
            .map(|(number, stop)| (label(canister, number), stop.clone()))
            .collect();
        for (at, stop) in waiting {
            self.index.remove_stop(&at, &stop);
            self.state.calls.stops.remove(&at);
            self.answer(&stop.origin, outcome.clone(), stop.cycles);
        }
    }

    /// Stops a canister that is stopping and has no open contexts left.
    pub(super) fn stop_if_idle(&mut self, id: &Principal) {
        let Some(canister) = self.state().canister(id).cloned() else {
            return;
        };
        if canister.status != Status::Stopping || self.state().calls.is_open(id) {
            return;
        }
        let stopped = Canister {
            status: Status::Stopped,
            ..(*canister).clone()
        };
        self.commit(stopped, &(Vec::new(), Vec::new()));
        self.answer_stops(id, &mgmt::nothing());
    }
}

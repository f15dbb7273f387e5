//! Messages of users: their turn, and what is kept of how they ended.
//!
//! A batch executes them until it has used the instructions that there are for them ([`Limits`]). How many that are shows only while
//! they are executed, when the batch is in the log already, so the rest cannot stay outside: it waits in the state, from where each
//! next batch takes it up before its own. Its queues take turns, so that a canister whose messages take long delays those of another by one
//! of them in each round, however many it has. Each queue ([`Ingress::queue`]) keeps the order in which it was ordered; management calls are in
//! that of their sender. One that has expired when its turn comes is rejected.
//!
//! How a message ended is kept until nobody can ask any more, but not more than [`MOST`] of it: who floods the node with large replies
//! makes older ones be forgotten (status `done`) and, within a batch, later messages, calls and answers wait. Source: IC interface specification,
//! "Request status"; what the replica does (dfinity/ic, ingress history).
//!
//! [`Limits`]: super::limits::Limits

use super::batch::Ingress;
use super::call::Call;
use super::machine::Machine;
use super::schedule::Backlog;
use crate::faults::{Fault, broken};
use crate::mgmt::{self, Sender};
use crate::state::calls::{Origin, label, parse};
use crate::state::request::{Outcome, Record, Reject};
use crate::wire::hash::Hash;
use ic_error_types::ErrorCode;
use ic_principal::Principal;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How long an outcome is kept at least, when it took longer than the batch that ordered the message.
const KEEP: u64 = 300 * 1_000_000_000;
/// Bytes of outcomes that are kept.
const MOST: u64 = 64 << 20;
/// Bytes of outcomes after which a batch executes no further message. Less than the half, so that what a batch ends with is there when who waits for
/// it is told.
const MOST_OF_A_BATCH: u64 = 24 << 20;

/// So many messages, or bytes of their arguments, may wait; then no further ones are to be ordered for anybody. With what the batches under way
/// bring beyond them they stay few, and no part of the state grows with those who send.
const MOST_WAITING: (usize, usize) = (1_000, 4 << 20);
/// No queue counts for more than one of so many parts of that: it is held already, and alone holds up no other. All together, without the one
/// that has most, may have as many times that, whoever has it.
const PARTS: usize = 4;

/// What became of a message that is answered in the batch that begins it.
type Ended = Option<Result<Vec<u8>, Reject>>;

fn waited_too_long() -> Reject {
    Reject::new(
        ErrorCode::IngressMessageTimeout,
        "The message timed out waiting to start executing: too many instructions were used by those before it",
    )
}

impl Machine {
    /// Of which messages no further ones are to be ordered, because earlier ones wait for their turn.
    pub(super) fn backlog(&self) -> Backlog {
        let mut queues: BTreeMap<Principal, (usize, usize)> = BTreeMap::new();
        for (_, message) in self.state().calls.ingress.iter() {
            let (messages, bytes) = queues.entry(message.queue()).or_default();
            *messages += 1;
            *bytes += message.arg.len();
        }
        let counted = |most: usize, of: fn(&(usize, usize)) -> usize| -> bool {
            let parts = queues.values().map(|queue| of(queue).min(most / PARTS));
            // without the largest, however much of it was under way before it was held
            let others = queues.values().map(of).sum::<usize>() - queues.values().map(of).max().unwrap_or(0);
            parts.sum::<usize>() >= most || others >= most.saturating_mul(PARTS)
        };
        if counted(MOST_WAITING.0, |queue| queue.0) || counted(MOST_WAITING.1, |queue| queue.1) {
            Backlog::All
        } else {
            Backlog::Of(Arc::new(queues.into_keys().collect()))
        }
    }

    /// Whether the batch executes no further message of a user.
    fn is_spent(&self) -> bool {
        self.used >= self.executor.limits.ingress_instructions || self.has_told_enough()
    }

    /// Whether the batch executes nothing more whose end users are told.
    pub(super) fn has_told_enough(&self) -> bool {
        self.told_now >= MOST_OF_A_BATCH
    }

    /// Executes the messages that wait and those of the batch, up to what a batch may use.
    pub(super) fn ingress(&mut self, messages: &[Ingress]) {
        self.used = 0;
        while !self.is_spent()
            && let Some(at) = self.state().calls.next_ingress()
        {
            self.take_up(&at);
        }
        for message in messages {
            self.receive(message);
        }
    }

    /// Executes a message of the batch, or lets it wait.
    fn receive(&mut self, message: &Ingress) {
        // Executed once: a repetition has its answer already. An expired one could be a repetition of a forgotten one.
        let repeated = self.state.requests.get(&message.id).is_some() && !broken(Fault::ExecuteRepeated);
        if message.expiry < self.state.time || repeated {
            return;
        }
        // While others wait the batch is spent, so that nothing overtakes those of the same queue.
        let waits = self.is_spent();
        let outcome = if waits {
            None
        } else {
            self.execute_ingress(message)
        };
        let record = Record {
            sender: message.sender,
            effective: message.effective,
            canister: Some(message.canister),
            expiry: message.expiry,
            outcome: outcome.map(Outcome::from),
            received: waits,
            done: false,
        };
        if waits {
            let at = label(&message.queue(), self.state.calls.number());
            self.state.calls.ingress.insert(&at, Arc::new(message.clone()));
        } else if record.outcome.is_some() {
            self.told_now = self.told_now.saturating_add(record.bytes());
            self.index.add_outcome(message.id, &record);
        }
        self.state.requests.insert(&message.id, Arc::new(record));
    }

    /// Executes a message that waited, or ends it because it waited too long.
    fn take_up(&mut self, at: &[u8]) {
        let (Some(message), Some((owner, _))) = (self.state.calls.ingress.remove(at), parse(at)) else {
            return;
        };
        self.state.calls.ingress_turn = owner;
        let ended = if message.expiry < self.state.time {
            Some(Err(waited_too_long()))
        } else {
            self.execute_ingress(&message)
        };
        if let Some(outcome) = ended {
            self.finish(&message.id, outcome.into());
        } else if let Some(record) = self.state.requests.get(&message.id) {
            let begun = Record {
                received: false,
                ..(**record).clone()
            };
            self.state.requests.insert(&message.id, Arc::new(begun));
        }
    }

    fn execute_ingress(&mut self, message: &Ingress) -> Ended {
        let call = Call {
            caller: message.sender,
            method: message.method.clone(),
            arg: message.arg.clone(),
            time: self.state.time,
        };
        if message.canister == Principal::management_canister() {
            let mut sender = Sender::user(message.id);
            return mgmt::execute(self, &call, &mut sender).transpose();
        }
        self.begin(message.canister, &call, Origin::Ingress(message.id), 0)
            .map(|answered| answered.outcome)
    }

    /// Ends a request that took longer than the batch that ordered it.
    pub(super) fn finish(&mut self, request: &Hash, outcome: Outcome) {
        let Some(record) = self.state.requests.get(request) else {
            return;
        };
        let record = Record {
            expiry: record.expiry.max(self.state.time.saturating_add(KEEP)),
            outcome: Some(outcome),
            received: false,
            ..(**record).clone()
        };
        self.told_now = self.told_now.saturating_add(record.bytes());
        self.index.add_outcome(*request, &record);
        self.state.requests.insert(request, Arc::new(record));
        self.late.push(*request);
    }

    pub(super) fn forget(&mut self, now: u64) {
        while let Some((expiry, id)) = self.index.expiring.first().copied() {
            if expiry >= now {
                break;
            }
            self.index.expiring.pop_first();
            if let Some(record) = self.state.requests.get(&id) {
                self.index.remove_outcome(id, record);
            }
            self.state.requests.remove(&id);
        }
    }

    /// Gives up the oldest outcomes where there are too many. That a request was executed is remembered all the same.
    pub(super) fn give_up(&mut self) {
        self.told_now = 0;
        while self.index.told_bytes > MOST {
            let Some((_, id)) = self.index.told.first().copied() else {
                return;
            };
            let Some(record) = self.state.requests.get(&id).cloned() else {
                return;
            };
            self.index.remove_outcome(id, &record);
            self.state.requests.insert(&id, Arc::new(record.given_up()));
        }
    }
}

//! Messages of users, and what is kept of how they ended.
//!
//! It is kept until nobody can ask any more, but not more than [`MOST`] of it: who floods the node with large replies makes older ones
//! be forgotten (status `done`) and, within a batch, later messages be refused. Source: IC interface specification, "Request
//! status"; what the replica does (dfinity/ic, ingress history).

use super::batch::Ingress;
use super::call::Call;
use super::machine::Machine;
use crate::faults::{Fault, broken};
use crate::mgmt::{self, Sender};
use crate::state::calls::Origin;
use crate::state::request::{Outcome, Record, Reject};
use crate::wire::hash::Hash;
use ic_error_types::ErrorCode;
use ic_principal::Principal;
use std::sync::Arc;

/// How long an outcome is kept at least, when it took longer than the batch that ordered the message.
const KEEP: u64 = 300 * 1_000_000_000;
/// Bytes of outcomes that are kept.
const MOST: u64 = 64 << 20;
/// Bytes of outcomes after which a batch takes no further message. Less than the half, so that what a batch ends with is there when who waits for
/// it is told.
const MOST_OF_A_BATCH: u64 = 24 << 20;

fn too_much() -> Reject {
    Reject::new(
        ErrorCode::IngressHistoryFull,
        "The node has more replies to keep than it has room for; try again later",
    )
}

impl Machine {
    pub(super) fn ingress(&mut self, message: &Ingress) {
        // Executed once: a repetition has its answer already. An expired one could be a repetition of a forgotten one.
        let repeated = self.state.requests.get(&message.id).is_some() && !broken(Fault::ExecuteRepeated);
        if message.expiry < self.state.time || repeated {
            return;
        }
        let call = Call {
            caller: message.sender,
            method: message.method.clone(),
            arg: message.arg.clone(),
            time: self.state.time,
        };
        let origin = Origin::Ingress(message.id);
        let before = self.index.told_bytes;
        let outcome = if self.told_now >= MOST_OF_A_BATCH {
            Some(Err(too_much()))
        } else if message.canister == Principal::management_canister() {
            let mut sender = Sender::user(message.id);
            mgmt::execute(self, &call, &mut sender).transpose()
        } else {
            self.begin(message.canister, &call, origin, 0)
                .map(|answered| answered.outcome)
        };
        let record = Record {
            sender: message.sender,
            effective: message.effective,
            expiry: message.expiry,
            outcome: outcome.map(Outcome::from),
            done: false,
        };
        if record.outcome.is_some() {
            self.index.add_outcome(message.id, &record);
            self.told_now += self.index.told_bytes.saturating_sub(before);
        }
        self.state.requests.insert(&message.id, Arc::new(record));
    }

    /// Ends a request that took longer than the batch that ordered it.
    pub(super) fn finish(&mut self, request: &Hash, outcome: Outcome) {
        let Some(record) = self.state.requests.get(request) else {
            return;
        };
        let record = Record {
            expiry: record.expiry.max(self.state.time.saturating_add(KEEP)),
            outcome: Some(outcome),
            ..(**record).clone()
        };
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

//! What follows from the state and is kept beside it, because looking for it would take a walk over everything.

use crate::state::State;
use crate::state::calls::{Callback, RECORDS, Request, Stop, parse};
use crate::state::canister::{Canister, Status};
use crate::state::request::Record;
use crate::wire::hash::Hash;
use ic_principal::Principal;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Calls under way to each callee.
type Outstanding = Arc<BTreeMap<Principal, usize>>;

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Index {
    /// Finished requests by the time until which they are kept.
    pub expiring: BTreeSet<(u64, Hash)>,
    /// Those of them whose outcome takes bytes, in the same order.
    pub told: BTreeSet<(u64, Hash)>,
    /// Bytes of all outcomes.
    pub told_bytes: u64,
    /// Global timers of running canisters, by when they are due.
    timers: BTreeSet<(u64, Principal)>,
    /// Labels of callbacks that time out, by when they do.
    callbacks: BTreeSet<(u64, Vec<u8>)>,
    /// Labels of those who wait for a canister to stop, by when they give up.
    stops: BTreeSet<(u64, Vec<u8>)>,
    /// By caller.
    outstanding: BTreeMap<Principal, Outstanding>,
    /// What the waiting requests take, in bytes.
    waiting: u64,
    /// What those of each caller take.
    waiting_of: BTreeMap<Principal, u64>,
    /// Calls under way, waiting or begun.
    open: u64,
}

/// The part of the limit that a canister may have in any case.
const RESERVED: u64 = 1_024;

/// What waiting requests take, in bytes, or all calls that are under way if their records take more: who is called and never answers has them
/// open for ever.
fn taken(waiting: u64, calls: u64) -> u64 {
    waiting.max(calls.saturating_mul(RECORDS))
}

impl Index {
    /// The index of a state.
    pub fn of(state: &State) -> Self {
        let mut index = Self::default();
        for (id, record) in state.requests.iter() {
            // Those under way are kept however long they take.
            if let (Some(_), Ok(id)) = (&record.outcome, Hash::try_from(id)) {
                index.add_outcome(id, record);
            }
        }
        for (_, canister) in state.canisters.iter() {
            index.add_timer(canister);
        }
        for (_, request) in state.calls.requests.iter() {
            index.add_request(request);
        }
        for (label, callback) in state.calls.callbacks.iter() {
            index.add_callback(label, callback);
        }
        for (label, stop) in state.calls.stops.iter() {
            index.add_stop(label, stop);
        }
        index
    }

    /// A request has ended.
    pub fn add_outcome(&mut self, id: Hash, record: &Record) {
        self.expiring.insert((record.expiry, id));
        let bytes = record.bytes();
        if bytes > 0 {
            self.told.insert((record.expiry, id));
            self.told_bytes = self.told_bytes.saturating_add(bytes);
        }
    }

    /// What it ended with is kept no more.
    pub fn remove_outcome(&mut self, id: Hash, record: &Record) {
        if self.told.remove(&(record.expiry, id)) {
            self.told_bytes = self.told_bytes.saturating_sub(record.bytes());
        }
    }

    /// How many bytes a canister may add to the calls under way where all together may take `limit`. It may have as many as it leaves to the
    /// others, so that who is alone may have half, and a 1,024th of it in any case: so there is room for each, however many they are.
    pub fn share(&self, caller: &Principal, limit: u64) -> u64 {
        let others_and_own = taken(self.waiting, self.open);
        let calls: usize = self.outstanding.get(caller).map_or(0, |all| all.values().sum());
        let waiting = self.waiting_of.get(caller).copied().unwrap_or(0);
        let own = taken(waiting, calls as u64);
        let half = limit.saturating_sub(others_and_own).saturating_sub(own) / 2;
        half.max((limit / RESERVED).saturating_sub(own))
    }

    /// A request waits.
    pub fn add_request(&mut self, request: &Request) {
        let size = request.size();
        self.waiting = self.waiting.saturating_add(size);
        let of = self.waiting_of.entry(request.caller).or_default();
        *of = of.saturating_add(size);
    }

    /// It waits no longer.
    pub fn remove_request(&mut self, request: &Request) {
        let size = request.size();
        self.waiting = self.waiting.saturating_sub(size);
        if let Some(of) = self.waiting_of.get_mut(&request.caller) {
            *of = of.saturating_sub(size);
            if *of == 0 {
                self.waiting_of.remove(&request.caller);
            }
        }
    }

    /// The calls under way of a canister.
    pub fn outstanding(&self, caller: &Principal) -> Outstanding {
        self.outstanding.get(caller).cloned().unwrap_or_default()
    }

    /// A call is under way.
    pub fn add_callback(&mut self, label: &[u8], callback: &Callback) {
        if times_out(callback) {
            self.callbacks.insert((callback.deadline, label.to_vec()));
        }
        self.open += 1;
        if let Some((caller, _)) = parse(label) {
            let outstanding = Arc::make_mut(self.outstanding.entry(caller).or_default());
            *outstanding.entry(callback.callee).or_default() += 1;
        }
    }

    /// It has been answered.
    pub fn remove_callback(&mut self, label: &[u8], callback: &Callback) {
        if times_out(callback) {
            self.callbacks.remove(&(callback.deadline, label.to_vec()));
        }
        self.open = self.open.saturating_sub(1);
        let Some((caller, _)) = parse(label) else {
            return;
        };
        let Some(all) = self.outstanding.get_mut(&caller) else {
            return;
        };
        let outstanding = Arc::make_mut(all);
        if let Some(count) = outstanding.get_mut(&callback.callee) {
            *count -= 1;
            if *count == 0 {
                outstanding.remove(&callback.callee);
            }
        }
        if outstanding.is_empty() {
            self.outstanding.remove(&caller);
        }
    }

    /// Takes out the label of a callback that has timed out.
    pub fn next_expired(&mut self, now: u64) -> Option<Vec<u8>> {
        due(&mut self.callbacks, now)
    }

    /// Somebody waits for a canister to stop.
    pub fn add_stop(&mut self, label: &[u8], stop: &Stop) {
        self.stops.insert((stop.deadline, label.to_vec()));
    }

    /// No longer.
    pub fn remove_stop(&mut self, label: &[u8], stop: &Stop) {
        self.stops.remove(&(stop.deadline, label.to_vec()));
    }

    /// Takes out the label of one who gives up.
    pub fn next_given_up(&mut self, now: u64) -> Option<Vec<u8>> {
        due(&mut self.stops, now)
    }

    /// The canister's timer is set.
    pub fn add_timer(&mut self, canister: &Canister) {
        if canister.timer != 0 && canister.status == Status::Running {
            self.timers.insert((canister.timer, canister.id));
        }
    }

    /// It is not.
    pub fn remove_timer(&mut self, canister: &Canister) {
        if canister.timer != 0 {
            self.timers.remove(&(canister.timer, canister.id));
        }
    }

    /// Canisters whose timer is due, in the order of their turns: by their ids, beginning after the one that had the last turn.
    pub fn due_timers(&self, now: u64, turn: &Principal) -> Vec<Principal> {
        let due = self.timers.iter().take_while(|(time, _)| *time <= now);
        let mut due: Vec<Principal> = due.map(|(_, canister)| *canister).collect();
        due.sort_unstable();
        let first = due.partition_point(|canister| canister <= turn);
        due.rotate_left(first);
        due
    }

    /// When something is due that no message causes.
    pub fn wake(&self) -> Option<u64> {
        let timer = self.timers.first().map(|(time, _)| *time);
        let callback = self.callbacks.first().map(|(time, _)| *time);
        let stop = self.stops.first().map(|(time, _)| *time);
        [timer, callback, stop].into_iter().flatten().min()
    }
}

fn times_out(callback: &Callback) -> bool {
    callback.deadline != 0 && !callback.expired
}

fn due(deadlines: &mut BTreeSet<(u64, Vec<u8>)>, now: u64) -> Option<Vec<u8>> {
    deadlines.first().filter(|(deadline, _)| *deadline <= now)?;
    deadlines.pop_first().map(|(_, label)| label)
}

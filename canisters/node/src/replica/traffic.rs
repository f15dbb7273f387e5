//! How many messages and queries of each canister are under way, and how many messages were accepted in the last minute.
//!
//! It guards the door before anything is ordered, is no part of the state, and begins anew with the node.

use super::metrics::{QuotaLabels, Refusals};
use crate::quotas::Quotas;
use crate::wire::hash::Hash;
use ic_principal::Principal;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use thiserror::Error;

/// Seconds for which an accepted message counts.
const MINUTE: u64 = 60;
const SECOND: u64 = 1_000_000_000;

/// What is counted together. Each kind has quotas of its own: who floods a canister with messages neither keeps its controllers
/// from stopping it nor others from reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counted {
    /// Ingress messages to a canister.
    Message(Principal),
    /// Ingress messages to the management canister about one.
    Management(Principal),
    /// Queries of one.
    Query(Principal),
    /// Calls that create canisters, by their sender: they are about none, and any may be named in their path.
    Creating(Principal),
}

impl fmt::Display for Counted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(canister) | Self::Management(canister) | Self::Query(canister) => {
                write!(formatter, "canister {canister}")
            }
            Self::Creating(sender) => write!(formatter, "{sender}, who creates canisters,"),
        }
    }
}

/// A quota is used up. The text is for the caller, who may try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Exceeded {
    /// Too many messages in a minute.
    #[error("{of} has had its quota of {quota} messages in a minute (--quota-messages); try again later")]
    Messages {
        /// Whose.
        of: Counted,
        /// How many it may have.
        quota: u64,
    },
    /// Too many at once.
    #[error(
        "{of} has its quota of {quota} messages or queries that are not answered yet (--quota-pending); try again later"
    )]
    Pending {
        /// Whose.
        of: Counted,
        /// How many it may have.
        quota: u64,
    },
}

/// What is used of one kind.
#[derive(Debug, Default)]
struct Use {
    under_way: u64,
    /// How many were accepted in which second. A minute is remembered by full seconds, so memory does not grow with the quota.
    accepted: VecDeque<(u64, u64)>,
}

impl Use {
    /// How many were accepted within a minute before a second, which for one of them may be almost a second more.
    fn accepted(&mut self, second: u64) -> u64 {
        while self
            .accepted
            .front()
            .is_some_and(|(then, _)| then + MINUTE < second)
        {
            self.accepted.pop_front();
        }
        self.accepted.iter().map(|(_, count)| count).sum()
    }

    /// Whether it may be forgotten.
    fn is_over(&mut self, second: u64) -> bool {
        self.under_way == 0 && self.accepted(second) == 0
    }

    fn accept(&mut self, second: u64) {
        match self.accepted.back_mut() {
            // A clock may stand still or go back a little.
            Some((last, count)) if *last >= second => *count += 1,
            _ => self.accepted.push_back((second, 1)),
        }
    }

    /// Takes back the last one.
    fn take_back(&mut self) {
        if let Some((_, count)) = self.accepted.back_mut() {
            *count -= 1;
            if *count == 0 {
                self.accepted.pop_back();
            }
        }
    }
}

#[derive(Debug, Default)]
struct Uses {
    of: HashMap<Counted, Use>,
    /// Accepted messages that are under way, and how many wait for each.
    requests: HashMap<Hash, usize>,
    /// When it was last looked through.
    second: u64,
}

impl Uses {
    /// Forgets, once a second, what was more than a minute ago: deleted canisters and senders who do not come again.
    fn prune(&mut self, second: u64) {
        if second > self.second {
            self.second = second;
            self.of.retain(|_, used| !used.is_over(second));
        }
    }
}

/// See the module documentation.
#[derive(Debug)]
pub struct Traffic {
    quotas: Quotas,
    refusals: Refusals,
    uses: Mutex<Uses>,
}

impl Traffic {
    /// None yet. Counts its refusals.
    pub fn new(quotas: Quotas, refusals: Refusals) -> Arc<Self> {
        Arc::new(Self {
            quotas,
            refusals,
            uses: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Uses> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets one more in, until its place is dropped. A message counts for its minute only when it is accepted as well, and not
    /// when it is `repeated`: the repetition only waits for what is under way.
    ///
    /// # Errors
    /// When there are too many already.
    pub fn enter(self: &Arc<Self>, of: Counted, repeated: bool, now: u64) -> Result<Place, Exceeded> {
        self.enter_in(&mut self.lock(), of, repeated, now)
    }

    /// Lets a message in. It is repeated when it is known, and also when it was accepted and is not answered yet.
    ///
    /// # Errors
    /// When there are too many already.
    pub fn enter_message(
        self: &Arc<Self>,
        of: Counted,
        request: &Hash,
        known: bool,
        now: u64,
    ) -> Result<Place, Exceeded> {
        let mut uses = self.lock();
        let repeated = known || uses.requests.contains_key(request);
        self.enter_in(&mut uses, of, repeated, now)
    }

    fn enter_in(
        self: &Arc<Self>,
        uses: &mut Uses,
        of: Counted,
        repeated: bool,
        now: u64,
    ) -> Result<Place, Exceeded> {
        uses.prune(now / SECOND);
        let used = uses.of.entry(of).or_default();
        if !repeated && !matches!(of, Counted::Query(_)) {
            self.check_minute(used, of, now)?;
        }
        let quota = self.quotas.pending.get();
        if used.under_way >= quota {
            self.refuse("pending");
            return Err(Exceeded::Pending { of, quota });
        }
        used.under_way += 1;
        Ok(Place {
            traffic: self.clone(),
            of,
            request: None,
        })
    }

    fn check_minute(&self, used: &mut Use, of: Counted, now: u64) -> Result<(), Exceeded> {
        let quota = self.quotas.messages.get();
        if used.accepted(now / SECOND) >= quota {
            self.refuse("messages");
            return Err(Exceeded::Messages { of, quota });
        }
        Ok(())
    }

    fn refuse(&self, quota: &'static str) {
        self.refusals.get_or_create(&QuotaLabels { quota }).inc();
    }

    /// Queries that are under way.
    pub fn queries(&self) -> u64 {
        let uses = self.lock();
        let of = uses.of.iter();
        of.filter(|(of, _)| matches!(of, Counted::Query(_)))
            .map(|(_, used)| used.under_way)
            .sum()
    }

    /// Takes back one that was counted and could not be ordered.
    pub fn take_back(&self, of: Counted) {
        if let Some(used) = self.lock().of.get_mut(&of) {
            used.take_back();
        }
    }
}

/// A message or query that is let in.
#[derive(Debug)]
pub struct Place {
    traffic: Arc<Traffic>,
    of: Counted,
    /// The message, when it is accepted.
    request: Option<Hash>,
}

impl Place {
    /// Counts the message as accepted now, unless it is `repeated` or the same message is under way. Says whether it counted.
    ///
    /// # Errors
    /// When others were faster.
    pub fn accept(&mut self, request: Hash, repeated: bool, now: u64) -> Result<bool, Exceeded> {
        let mut uses = self.traffic.lock();
        let counts = !repeated && !uses.requests.contains_key(&request);
        if counts {
            let used = uses.of.entry(self.of).or_default();
            self.traffic.check_minute(used, self.of, now)?;
            used.accept(now / SECOND);
        }
        *uses.requests.entry(request).or_default() += 1;
        self.request = Some(request);
        Ok(counts)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut uses = self.traffic.lock();
        if let Some(request) = self.request
            && let Entry::Occupied(mut waiting) = uses.requests.entry(request)
        {
            *waiting.get_mut() -= 1;
            if *waiting.get() == 0 {
                waiting.remove();
            }
        }
        if let Some(used) = uses.of.get_mut(&self.of) {
            used.under_way -= 1;
            if used.under_way == 0 && used.accepted.is_empty() {
                uses.of.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests;

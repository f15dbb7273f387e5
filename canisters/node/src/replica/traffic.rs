//! How many messages and queries of each canister are under way, and how many messages were accepted in the last minute.
//!
//! It guards the door before anything is ordered, is no part of the state, and begins anew with the node.

use crate::quotas::Quotas;
use ic_principal::Principal;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use thiserror::Error;

/// Seconds for which an accepted message counts.
const MINUTE: u64 = 60;
const SECOND: u64 = 1_000_000_000;

/// What goes to a canister. Each kind has quotas of its own: who floods a canister with messages neither keeps its controllers
/// from stopping it nor others from reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An ingress message to it.
    Message,
    /// An ingress message to the management canister about it.
    Management,
    /// A query of it.
    Query,
}

/// One canister's quota is used up. The text is for the caller, who may try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Exceeded {
    /// Too many messages in a minute.
    #[error(
        "canister {canister} has had its quota of {quota} messages in a minute (--quota-messages); try again later"
    )]
    Messages {
        /// The canister.
        canister: Principal,
        /// How many it may have.
        quota: u64,
    },
    /// Too many at once.
    #[error(
        "canister {canister} has its quota of {quota} messages or queries that are not answered yet (--quota-pending); try \
         again later"
    )]
    Pending {
        /// The canister.
        canister: Principal,
        /// How many it may have.
        quota: u64,
    },
}

/// What one canister uses, of one kind.
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

    fn accept(&mut self, second: u64) {
        match self.accepted.back_mut() {
            // A clock may stand still or go back a little.
            Some((last, count)) if *last >= second => *count += 1,
            _ => self.accepted.push_back((second, 1)),
        }
    }
}

/// There are never more of them than canisters that accepted something.
type Uses = HashMap<(Principal, Kind), Use>;

/// See the module documentation.
#[derive(Debug)]
pub struct Traffic {
    quotas: Quotas,
    uses: Mutex<Uses>,
}

impl Traffic {
    /// None yet.
    pub fn new(quotas: Quotas) -> Arc<Self> {
        Arc::new(Self {
            quotas,
            uses: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Uses> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets one more in, until its place is dropped. A message counts for its minute only when it is accepted as well.
    ///
    /// # Errors
    /// When the canister has too many already.
    pub fn enter(self: &Arc<Self>, canister: Principal, kind: Kind, now: u64) -> Result<Place, Exceeded> {
        let mut uses = self.lock();
        let used = uses.entry((canister, kind)).or_default();
        if kind != Kind::Query {
            self.check_minute(used, canister, now)?;
        }
        let quota = self.quotas.pending.get();
        if used.under_way >= quota {
            return Err(Exceeded::Pending { canister, quota });
        }
        used.under_way += 1;
        Ok(Place {
            traffic: self.clone(),
            canister,
            kind,
        })
    }

    fn check_minute(&self, used: &mut Use, canister: Principal, now: u64) -> Result<(), Exceeded> {
        let quota = self.quotas.messages.get();
        if used.accepted(now / SECOND) >= quota {
            return Err(Exceeded::Messages { canister, quota });
        }
        Ok(())
    }
}

/// A message or query that is let in.
#[derive(Debug)]
pub struct Place {
    traffic: Arc<Traffic>,
    canister: Principal,
    kind: Kind,
}

impl Place {
    /// Counts the message as accepted now.
    ///
    /// # Errors
    /// When others were faster.
    pub fn accept(&self, now: u64) -> Result<(), Exceeded> {
        let mut uses = self.traffic.lock();
        let used = uses.entry((self.canister, self.kind)).or_default();
        self.traffic.check_minute(used, self.canister, now)?;
        used.accept(now / SECOND);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut uses = self.traffic.lock();
        let of = (self.canister, self.kind);
        if let Some(used) = uses.get_mut(&of) {
            used.under_way -= 1;
            if used.under_way == 0 && used.accepted.is_empty() {
                uses.remove(&of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::quotas::Quota;
    use proptest::prelude::*;

    fn traffic(messages: u64, pending: u64) -> Arc<Traffic> {
        Traffic::new(Quotas {
            messages: Quota::of(messages),
            pending: Quota::of(pending),
            ..Quotas::UNLIMITED
        })
    }

    fn canister(number: u8) -> Principal {
        Principal::from_slice(&[number])
    }

    #[test]
    fn a_place_is_free_again_when_it_is_left_and_others_have_their_own() {
        let traffic = traffic(1_000, 2);
        let one = canister(1);
        for kind in [Kind::Message, Kind::Management, Kind::Query] {
            let held = [0, 0].map(|now| traffic.enter(one, kind, now).unwrap());
            let refused = traffic.enter(one, kind, 0).unwrap_err();
            assert_eq!(
                refused,
                Exceeded::Pending {
                    canister: one,
                    quota: 2
                }
            );
            assert!(refused.to_string().contains("--quota-pending"), "{refused}");
            traffic.enter(canister(2), kind, 0).unwrap();
            std::mem::forget(held);
        }
        let free = canister(3);
        drop([0, 0].map(|now| traffic.enter(free, Kind::Message, now).unwrap()));
        traffic.enter(free, Kind::Message, 0).unwrap();
    }

    #[test]
    fn what_was_not_accepted_does_not_count_and_leaves_nothing_behind() {
        let traffic = traffic(1, 10);
        for _ in 0..3 {
            traffic.enter(canister(1), Kind::Message, 0).unwrap();
        }
        assert!(traffic.lock().is_empty());
        traffic
            .enter(canister(1), Kind::Message, 0)
            .unwrap()
            .accept(0)
            .unwrap();
        traffic.enter(canister(1), Kind::Message, 0).unwrap_err();
        // Queries are not messages.
        traffic.enter(canister(1), Kind::Query, 0).unwrap();
    }

    #[test]
    fn of_two_that_were_let_in_together_the_second_is_refused_when_one_was_left() {
        let traffic = traffic(1, 10);
        let [one, two] = [0, 0].map(|now| traffic.enter(canister(1), Kind::Message, now).unwrap());
        one.accept(0).unwrap();
        let refused = two.accept(0).unwrap_err();
        assert!(refused.to_string().contains("--quota-messages"), "{refused}");
    }

    proptest! {
        #[test]
        fn no_minute_has_more_than_the_quota_and_after_one_there_is_room(
            quota in 1u64..6,
            steps in proptest::collection::vec(0..20 * SECOND, 1..60),
        ) {
            let traffic = traffic(quota, 10);
            let (mut now, mut accepted) = (0, Vec::new());
            for step in steps {
                now += step;
                let entered = traffic.enter(canister(1), Kind::Message, now);
                if entered.is_ok_and(|place| place.accept(now).is_ok()) {
                    accepted.push(now);
                } else {
                    let within = accepted.iter().filter(|then| **then + (MINUTE + 1) * SECOND > now);
                    prop_assert!(within.count() as u64 >= quota, "refused although there was room");
                }
            }
            for first in &accepted {
                let minute = accepted.iter().filter(|then| (*first..first + MINUTE * SECOND).contains(*then));
                prop_assert!(minute.count() as u64 <= quota);
            }
        }
    }
}

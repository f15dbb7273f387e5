//! Quotas of messages and queries.
#![allow(clippy::unwrap_used)]
use super::*;
use crate::quotas::Quota;
use proptest::prelude::*;

fn traffic(messages: u64, pending: u64) -> Arc<Traffic> {
    let quotas = Quotas {
        messages: Quota::of(messages),
        pending: Quota::of(pending),
        ..Quotas::UNLIMITED
    };
    Traffic::new(quotas, Refusals::default())
}

fn canister(number: u8) -> Principal {
    Principal::from_slice(&[number])
}

#[test]
fn a_place_is_free_again_when_it_is_left_and_others_have_their_own() {
    let traffic = traffic(1_000, 2);
    let one = canister(1);
    for kind in [
        Counted::Message,
        Counted::Management,
        Counted::Query,
        Counted::Creating,
    ] {
        let of = kind(one);
        let held = [0, 0].map(|now| traffic.enter(of, false, now).unwrap());
        let refused = traffic.enter(of, false, 0).unwrap_err();
        assert_eq!(refused, Exceeded::Pending { of, quota: 2 });
        assert!(refused.to_string().contains("--quota-pending"), "{refused}");
        traffic.enter(kind(canister(2)), false, 0).unwrap();
        std::mem::forget(held);
    }
    let free = Counted::Message(canister(3));
    drop([0, 0].map(|now| traffic.enter(free, false, now).unwrap()));
    traffic.enter(free, false, 0).unwrap();
}

#[test]
fn what_was_not_accepted_does_not_count_and_leaves_nothing_behind() {
    let traffic = traffic(1, 10);
    let of = Counted::Message(canister(1));
    for _ in 0..3 {
        traffic.enter(of, false, 0).unwrap();
    }
    assert!(traffic.lock().of.is_empty());
    let mut place = traffic.enter(of, false, 0).unwrap();
    assert!(place.accept([1; 32], false, 0).unwrap());
    drop(place);
    assert!(traffic.lock().requests.is_empty());
    traffic.enter(of, false, 0).unwrap_err();
    // Queries are not messages.
    traffic.enter(Counted::Query(canister(1)), false, 0).unwrap();
    // What could not be ordered is taken back.
    traffic.take_back(of);
    traffic.enter(of, false, 0).unwrap();
}

#[test]
fn of_two_that_were_let_in_together_the_second_is_refused_when_one_was_left() {
    let traffic = traffic(1, 10);
    let of = Counted::Message(canister(1));
    let [mut one, mut two] = [0, 0].map(|now| traffic.enter(of, false, now).unwrap());
    one.accept([1; 32], false, 0).unwrap();
    let refused = two.accept([2; 32], false, 0).unwrap_err();
    assert!(refused.to_string().contains("--quota-messages"), "{refused}");
}

#[test]
fn a_repeated_message_that_is_under_way_is_not_counted_again() {
    let traffic = traffic(1, 10);
    let (of, request) = (Counted::Message(canister(1)), [1; 32]);
    let mut one = traffic.enter(of, false, 0).unwrap();
    let mut other = traffic.enter(of, false, 0).unwrap();
    assert!(one.accept(request, false, 0).unwrap());
    assert!(!other.accept(request, false, 0).unwrap());
    traffic.enter_message(of, &[2; 32], false, 0).unwrap_err();
    let mut third = traffic.enter_message(of, &request, false, 0).unwrap();
    assert!(!third.accept(request, true, 0).unwrap());
    traffic.enter(of, false, 0).unwrap_err();
    drop((one, other, third));
    traffic.enter_message(of, &request, false, 0).unwrap_err();
}

#[test]
fn what_was_accepted_more_than_a_minute_ago_is_forgotten_whoever_asks_next() {
    let traffic = traffic(10, 10);
    for number in 0..100 {
        let of = Counted::Creating(canister(number));
        let mut place = traffic.enter(of, false, 0).unwrap();
        place.accept([number; 32], false, 0).unwrap();
    }
    assert_eq!(traffic.lock().of.len(), 100);
    let late = traffic.enter(Counted::Query(canister(1)), false, (MINUTE + 1) * SECOND);
    assert_eq!(traffic.lock().of.len(), 1);
    drop(late);
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
            let entered = traffic.enter(Counted::Message(canister(1)), false, now);
            if entered.is_ok_and(|mut place| place.accept([0; 32], false, now).is_ok()) {
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

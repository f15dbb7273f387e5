//! The pattern of durations in the definitions and the parser of the operator take the same texts: an object that the API server stores
//! and the operator cannot read would stop everything that lists it.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::BTreeMap;

use dcanary_crds::{Duration, duration::PATTERN};
use dcanary_expr::condition::{Condition, Status};
use proptest::prelude::*;

/// Asks the same kind of engine that the API server asks (RE2 by way of CEL).
fn pattern_takes(text: &str) -> bool {
    let condition = Condition::parse(&format!("text.matches('{PATTERN}')")).unwrap();
    let variables = BTreeMap::from([("text".to_owned(), text.into())]);
    condition.evaluate(&variables, Status::Success).unwrap()
}

fn agree(text: &str) {
    assert_eq!(
        text.parse::<Duration>().is_ok(),
        pattern_takes(text),
        "{text:?}: the parser says {:?}",
        text.parse::<Duration>()
    );
}

#[test]
fn pattern_and_parser_agree_at_the_edges() {
    for text in [
        "",
        "0s",
        "1",
        "s",
        "1s1s",
        "1s1m",
        "1m1h",
        "1d1h1m1s",
        "1d1s",
        "999999999d",
        "999999999d999999999h999999999m999999999s",
        "1000000000s",
        "99999999999999999999s",
        "0000000001s",
        "١s",
        "1s\n",
        " 1s",
        "-1s",
        "1.5h",
    ] {
        agree(text);
    }
    assert!(pattern_takes("1h30m"));
    assert!(!pattern_takes(""));
}

proptest! {
    #[test]
    fn pattern_and_parser_agree(text in "([0-9]{1,11}[dhms]?){0,5}|\\PC{0,8}|[0-9dhms]{0,12}") {
        agree(&text);
    }

    #[test]
    fn what_is_written_is_read_back(text in "([0-9]{1,9}d)?([0-9]{1,9}h)?[0-9]{1,9}m([0-9]{1,9}s)?") {
        let read: Duration = text.parse().unwrap();
        prop_assert!(pattern_takes(&text));
        prop_assert!(read.as_secs() < 1 << 50);
    }
}

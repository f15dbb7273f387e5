//! The laws of the clock, with clocks that the test moves.

use super::*;

const NOW: u64 = 1_800_000_000 * SECOND;
const DAY: u64 = 24 * 3_600 * SECOND;
const YEAR: u64 = 365 * DAY;

fn clocks() -> (SetClocks, Clock) {
    let clocks = SetClocks::at(NOW, 7 * DAY);
    (clocks.clone(), Clock::new(Clocks::Set(clocks), NOW - SECOND))
}

fn leapt(clock: &Clock) -> bool {
    matches!(clock.now(NOW), Err(ClockError::Leapt { .. }))
}

#[test]
fn time_that_passes_on_both_clocks_is_no_leap_however_long_nobody_looked() {
    // As after a suspension of a laptop, or a long idle time.
    let (clocks, clock) = clocks();
    for nanos in [1, SECOND, DAY, YEAR] {
        clocks.pass(nanos);
        assert_eq!(clock.now(NOW), Ok(clocks.read().wall));
    }
}

#[test]
fn a_leap_ahead_is_refused_at_once_and_forgotten_when_the_clock_is_back() {
    let (clocks, clock) = clocks();
    clocks.set(NOW + YEAR);
    assert_eq!(
        clock.now(NOW),
        Err(ClockError::Leapt {
            by: 365 * 24 * 3_600,
            wait: 365 * 24 * 36,
        })
    );
    clocks.pass(DAY);
    assert!(leapt(&clock));
    clocks.set(NOW + DAY);
    assert_eq!(clock.now(NOW), Ok(NOW + DAY));
}

#[test]
fn a_leap_back_is_refused_too() {
    let (clocks, clock) = clocks();
    clocks.set(NOW - DAY);
    assert!(leapt(&clock));
    clocks.set(NOW);
    assert_eq!(clock.now(NOW), Ok(NOW));
}

#[test]
fn a_step_and_an_adjustment_of_a_time_daemon_are_followed() {
    let (clocks, clock) = clocks();
    clocks.set(NOW + TOLERANCE);
    assert_eq!(clock.now(NOW), Ok(NOW + TOLERANCE));
    clocks.set(NOW);
    assert_eq!(clock.now(NOW), Ok(NOW));
    // 500 millionths for a week in which nobody looked: five minutes
    clocks.pass(7 * DAY);
    let adjusted = NOW + 7 * DAY + 7 * DAY / 2_000;
    clocks.set(adjusted);
    assert_eq!(clock.now(NOW), Ok(adjusted));
    // The same at once is a leap.
    clocks.set(adjusted + 7 * DAY / 2_000);
    assert!(leapt(&clock));
}

#[test]
fn a_leap_is_believed_when_it_has_stood_for_a_hundredth_of_its_length() {
    let (clocks, clock) = clocks();
    clocks.set(NOW + DAY);
    assert!(leapt(&clock));
    clocks.pass(DAY / 100 - 1);
    assert!(leapt(&clock));
    clocks.pass(1);
    assert_eq!(clock.now(NOW), Ok(clocks.read().wall));
    // From now on the old time is the leap.
    clocks.set(NOW);
    assert!(leapt(&clock));
}

#[test]
fn a_short_leap_stands_for_a_minute_before_it_is_believed() {
    let (clocks, clock) = clocks();
    clocks.set(NOW + 2 * TOLERANCE);
    assert!(leapt(&clock));
    clocks.pass(LEAST_PATIENCE - 1);
    assert!(leapt(&clock));
    clocks.pass(1);
    assert!(!leapt(&clock));
}

#[test]
fn a_clock_that_leaps_again_and_again_is_not_believed() {
    let (clocks, clock) = clocks();
    for leap in 1..50 {
        clocks.set(NOW + leap * DAY);
        assert!(leapt(&clock));
        clocks.pass(DAY / 200);
        assert!(leapt(&clock));
    }
}

#[test]
fn a_clock_behind_the_last_batch_at_the_start_is_refused_until_it_is_set() {
    // A small machine without a battery for its clock.
    let clocks = SetClocks::at(SECOND, SECOND);
    let clock = Clock::new(Clocks::Set(clocks.clone()), NOW);
    assert_eq!(clock.now(NOW), Err(ClockError::Behind { by: NOW / SECOND - 1 }));
    clocks.pass(DAY);
    assert!(clock.now(NOW).is_err());
    clocks.set(NOW + SECOND);
    assert_eq!(clock.now(NOW), Ok(NOW + SECOND));
    // And from now on it is watched.
    clocks.set(NOW + YEAR);
    assert!(leapt(&clock));
}

#[test]
fn a_long_stop_is_believed_at_the_start() {
    let clocks = SetClocks::at(NOW + YEAR, SECOND);
    let clock = Clock::new(Clocks::Set(clocks), NOW);
    assert_eq!(clock.now(NOW), Ok(NOW + YEAR));
}

#[test]
fn a_clock_that_was_ahead_and_is_set_right_is_refused_until_it_has_caught_up() {
    let clocks = SetClocks::at(NOW + DAY, SECOND);
    let clock = Clock::new(Clocks::Set(clocks.clone()), NOW);
    let certified = clock.now(0);
    assert_eq!(certified, Ok(NOW + DAY));
    clocks.set(NOW);
    clocks.pass(DAY / 50);
    assert!(matches!(clock.now(NOW + DAY), Err(ClockError::Leapt { .. })));
    clocks.pass(DAY / 50);
    assert!(matches!(clock.now(NOW + DAY), Err(ClockError::Behind { .. })));
    clocks.pass(DAY);
    assert!(clock.now(NOW + DAY).is_ok());
}

#[test]
fn the_clocks_of_the_machine_advance_alike() {
    let first = Clocks::System.read();
    let second = Clocks::System.read();
    assert!(first.running > 0 && first.wall > NOW / 2);
    assert!(second.running >= first.running);
    assert!((offset(second) - offset(first)).unsigned_abs() < u128::from(TOLERANCE));
}

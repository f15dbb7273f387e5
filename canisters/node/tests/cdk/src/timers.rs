//! Timers, and work that goes on after the answer.

use crate::note;
use candid::Principal;
use ic_cdk::call::Call;
use ic_cdk_timers::TimerId;
use std::cell::RefCell;
use std::time::Duration;

thread_local! {
    static REPEATING: RefCell<Option<TimerId>> = const { RefCell::new(None) };
}

/// Notes each text after so many milliseconds, once, after another canister has answered.
#[ic_cdk::update]
fn later(texts: Vec<(u64, String)>, ask: Principal) {
    for (milliseconds, text) in texts {
        ic_cdk_timers::set_timer(Duration::from_millis(milliseconds), async move {
            let call = Call::unbounded_wait(ask, "echo").with_arg(text.clone());
            let asked = call.await.is_ok();
            note(format!("timer {text} {asked}"));
        });
    }
}

/// Notes a text again and again.
#[ic_cdk::update]
fn repeat(milliseconds: u64, text: String) {
    let interval = Duration::from_millis(milliseconds);
    let timer = ic_cdk_timers::set_timer_interval(interval, move || {
        let text = text.clone();
        async move { note(format!("tick {text}")) }
    });
    REPEATING.set(Some(timer));
}

#[ic_cdk::update]
fn stop_repeating() {
    if let Some(timer) = REPEATING.take() {
        ic_cdk_timers::clear_timer(timer);
    }
}

/// A timer that falls, and one that does not.
#[ic_cdk::update]
fn fall_later() {
    ic_cdk_timers::set_timer(Duration::ZERO, async { ic_cdk::trap("a timer on purpose") });
    ic_cdk_timers::set_timer(Duration::from_millis(1), async { note("timer after a fall") });
}

/// Answers at once; the rest is done when another canister has answered.
#[ic_cdk::update]
fn answer_first(other: Principal) -> &'static str {
    ic_cdk::futures::spawn_migratory(async move {
        let call = Call::unbounded_wait(other, "echo").with_arg("spawned");
        let asked = call.await.is_ok();
        note(format!("spawned {asked}"));
    });
    "answered"
}

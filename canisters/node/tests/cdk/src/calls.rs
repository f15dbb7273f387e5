//! Calls to other canisters, and what becomes of them.

use crate::note;
use candid::Principal;
use ic_cdk::api;
use ic_cdk::call::{Call, CallErrorExt, CallFailed};
use std::cell::Cell;

thread_local! {
    static TAKEN: Cell<bool> = const { Cell::new(false) };
}

/// The one place in a room. It is free again when its holder is gone, however that ends.
struct Place;

impl Place {
    fn take() -> Option<Self> {
        (!TAKEN.replace(true)).then_some(Self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        TAKEN.set(false);
    }
}

#[ic_cdk::update]
fn echo(text: String) -> String {
    note(format!("echo {text}"));
    text
}

#[ic_cdk::query]
fn echo_query(text: String) -> String {
    text
}

#[ic_cdk::update(manual_reply = true)]
fn refuse(reason: String) {
    api::msg_reject(reason);
}

#[ic_cdk::update]
fn fall() {
    note("this stays nowhere");
    ic_cdk::trap("on purpose");
}

#[ic_cdk::query]
fn taken() -> bool {
    TAKEN.get()
}

/// Holds the place while another canister answers; then falls, if it is told to.
#[ic_cdk::update]
async fn hold_and_ask(other: Principal, text: String, then_fall: bool) -> Result<String, String> {
    let _place = Place::take().ok_or("taken")?;
    note("holds");
    let answer = Call::bounded_wait(other, "echo").with_arg(text).await;
    note("was answered");
    if then_fall {
        ic_cdk::trap("after the answer");
    }
    let answer = answer.map_err(|error| error.to_string())?;
    answer.candid().map_err(|error| error.to_string())
}

/// Calls without an argument: the answer's first text, or the code and the message of its rejection, and whether nothing happened there.
#[ic_cdk::update]
async fn ask(
    other: Principal,
    method: String,
    argument: Option<String>,
    bounded: bool,
) -> Result<String, (u32, String, bool)> {
    let call = if bounded {
        Call::bounded_wait(other, &method).change_timeout(10)
    } else {
        Call::unbounded_wait(other, &method)
    };
    let answer = match argument {
        Some(argument) => call.with_arg(argument).await,
        None => call.await,
    };
    match answer {
        Ok(answer) => answer.candid().map_err(|error| (0, error.to_string(), false)),
        Err(CallFailed::CallRejected(rejected)) => Err((
            rejected.raw_reject_code(),
            rejected.reject_message().to_owned(),
            rejected.is_clean_reject(),
        )),
        Err(error) => Err((0, error.to_string(), error.is_clean_reject())),
    }
}

/// Sends without waiting for an answer, twice, and waits for one to a third call: they arrive in order.
#[ic_cdk::update]
async fn send(other: Principal) -> Result<(), String> {
    for text in ["first", "second"] {
        let call = Call::unbounded_wait(other, "echo").with_arg(text);
        call.oneway().map_err(|error| error.to_string())?;
    }
    let third = Call::unbounded_wait(other, "echo").with_arg("third");
    third.await.map(drop).map_err(|error| error.to_string())
}

/// Two calls at once. Their answers.
#[ic_cdk::update]
async fn ask_both(one: Principal, other: Principal) -> Vec<String> {
    let ask = |canister: Principal| async move {
        let call = Call::unbounded_wait(canister, "echo").with_arg(canister.to_text());
        call.await
            .ok()
            .and_then(|answer| answer.candid::<String>().ok())
            .unwrap_or_default()
    };
    let (left, right) = (ask(one), ask(other));
    let mut both = [Box::pin(left), Box::pin(right)].map(Some);
    let mut answers = Vec::new();
    std::future::poll_fn(|context| {
        for slot in &mut both {
            if let Some(future) = slot
                && let std::task::Poll::Ready(answer) = future.as_mut().poll(context)
            {
                answers.push(answer);
                *slot = None;
            }
        }
        if both.iter().all(Option::is_none) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    answers
}

#[ic_cdk::query(composite = true)]
async fn ask_in_a_query(other: Principal, text: String) -> Result<String, String> {
    let answer = Call::bounded_wait(other, "echo_query").with_arg(text).await;
    let answer = answer.map_err(|error| error.to_string())?;
    answer.candid().map_err(|error| error.to_string())
}

/// Takes that much of what comes along, and says what was there.
#[ic_cdk::update]
fn accept(most: u128) -> (u128, u128) {
    (api::msg_cycles_available(), api::msg_cycles_accept(most))
}

/// Sends cycles of which another canister takes some: what was there and taken, what came back.
#[ic_cdk::update]
async fn pay(other: Principal, cycles: u128, most: u128) -> Result<(u128, u128, u128), String> {
    let call = Call::unbounded_wait(other, "accept").with_arg(most);
    let answer = call
        .with_cycles(cycles)
        .await
        .map_err(|error| error.to_string())?;
    let (available, accepted) = answer.candid_tuple().map_err(|error| error.to_string())?;
    Ok((available, accepted, api::msg_cycles_refunded()))
}

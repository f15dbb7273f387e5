//! Inspection of ingress messages.

use crate::cases::prelude::*;

const INSPECTION: &str = "Ingress message inspection";

pub const CASES: &[Case] = &[
    case!(
        INSPECTION,
        a_message_is_executed_only_when_it_is_accepted,
        IgnoreInspection
    ),
    case!(INSPECTION, an_inspection_that_traps_denies, IgnoreInspection),
    case!(
        INSPECTION,
        accepting_twice_traps,
        IgnoreInspection;
        twin a_message_is_executed_only_when_it_is_accepted
    ),
    case!(
        INSPECTION,
        an_inspection_sees_method_argument_and_caller,
        IgnoreInspection
    ),
    case!(INSPECTION, an_inspection_changes_nothing),
    case!(
        INSPECTION,
        queries_and_calls_of_canisters_are_not_inspected,
        InspectEverything
    ),
    case!(
        INSPECTION,
        calls_of_the_management_canister_are_not_inspected,
        InspectEverything
    ),
];

fn accept() -> Code {
    "(call $accept_message)".to_owned()
}

async fn refused(user: &User, canister: Principal, method: &str, arg: &[u8]) -> Verdict {
    let reject = user.update(canister, method, arg).await?.refused()?;
    check(!reject.certified, "a rejection before the message is accepted")
}

async fn a_message_is_executed_only_when_it_is_accepted(net: Network) -> Verdict {
    let user = net.user();
    let canister = user
        .deploy(&counter().inspect([when(same(wide("(call $msg_arg_data_size)"), int(2)), [accept()])]))
        .await?;
    refused(&user, canister, "inc", b"").await?;
    equal("the count", user.query(canister, "get", b"").await?.number()?, 0)?;
    equal(
        "the reply",
        user.update(canister, "inc", b"ok").await?.number()?,
        1,
    )
}

async fn an_inspection_that_traps_denies(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&counter().inspect([accept(), trap("no")])).await?;
    refused(&user, canister, "inc", b"").await?;
    equal("the count", user.query(canister, "get", b"").await?.number()?, 0)?;
    user.upgrade(canister, &counter().inspect([accept()]))
        .await?
        .reply()?;
    equal(
        "without the trap",
        user.update(canister, "inc", b"").await?.number()?,
        1,
    )
}

async fn accepting_twice_traps(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&counter().inspect([accept(), accept()])).await?;
    refused(&user, canister, "inc", b"").await?;
    equal("the count", user.query(canister, "get", b"").await?.number()?, 0)
}

/// Accepts when a blob begins with a byte and has a length.
fn when_blob(blob: &str, length: usize, first: u8) -> Code {
    all([
        format!("(call ${blob}_copy (i32.const 0) (i32.const 0) (i32.const 1))"),
        when(
            same(
                wide(format!("(call ${blob}_size)")),
                int(u64::try_from(length).unwrap_or_default()),
            ),
            [when(
                same(wide("(i32.load8_u (i32.const 0))"), int(u64::from(first))),
                [accept()],
            )],
        ),
    ])
}

async fn an_inspection_sees_method_argument_and_caller(net: Network) -> Verdict {
    let (user, other) = (net.user(), net.user());
    let id = user.id();
    let first = id.as_slice().first().copied().unwrap_or_default();
    let module = |condition: Code| counter().update("xyz", [reply()]).inspect([condition]);
    let canister = user
        .deploy(&module(when_blob("msg_method_name", 3, b'x')))
        .await?;
    user.update(canister, "xyz", b"").await?.reply()?;
    refused(&user, canister, "inc", b"").await?;
    user.upgrade(canister, &module(when_blob("msg_arg_data", 4, b'a')))
        .await?
        .reply()?;
    user.update(canister, "inc", b"abcd").await?.reply()?;
    refused(&user, canister, "inc", b"bbcd").await?;
    user.upgrade(canister, &module(when_blob("msg_caller", 29, first)))
        .await?
        .reply()?;
    user.update(canister, "inc", b"").await?.reply()?;
    refused(&net.anonymous(), canister, "inc", b"").await?;
    // Another user may have the same first byte once in a while.
    if other.id().as_slice().first() == Some(&first) {
        return Ok(());
    }
    refused(&other, canister, "inc", b"").await
}

async fn an_inspection_changes_nothing(net: Network) -> Verdict {
    let user = net.user();
    let canister = user
        .deploy(&counter().inspect([count("n"), count("n"), accept()]))
        .await?;
    for expected in 1..=3 {
        equal(
            "the count",
            user.update(canister, "inc", b"").await?.number()?,
            expected,
        )?;
    }
    Ok(())
}

async fn queries_and_calls_of_canisters_are_not_inspected(net: Network) -> Verdict {
    let user = net.user();
    let guarded = user.deploy(&counter().inspect([skip()])).await?;
    refused(&user, guarded, "inc", b"").await?;
    equal("a query", user.query(guarded, "get", b"").await?.number()?, 0)?;
    let other = user
        .deploy(&Module::new().update("go", [Call::to(guarded, "inc").go()]))
        .await?;
    let heard = user.update(other, "go", b"").await?.heard()?.reply()?;
    equal("a call by a canister", numbers(&heard), vec![1])
}

async fn calls_of_the_management_canister_are_not_inspected(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&counter().inspect([skip()])).await?;
    refused(&user, canister, "inc", b"").await?;
    user.set(canister, CanisterSettings::default()).await?.reply()?;
    user.stop(canister).await
}

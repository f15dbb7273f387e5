//! Putting calls together.

use crate::cases::prelude::*;

const CALLS: &str = "Inter-canister method calls";

pub const CASES: &[Case] = &[
    case!(CALLS, a_call_that_is_not_performed_is_not_sent, SendUnperformed),
    case!(
        CALLS,
        a_new_call_replaces_one_that_is_not_performed,
        SendUnperformed
    ),
    case!(
        CALLS,
        an_argument_is_what_was_appended_piece_by_piece,
        AppendReplaces
    ),
    case!(CALLS, adding_to_a_call_that_does_not_exist_traps, LaxBuilding),
    case!(
        CALLS,
        adding_to_a_call_after_it_is_performed_traps,
        KeepCallsAfterTrap;
        twin adding_to_a_call_that_does_not_exist_traps
    ),
    case!(CALLS, a_one_way_call_is_delivered, KeepCallsAfterTrap),
    case!(CALLS, a_call_of_something_that_is_no_principal_traps, LossyText),
];

async fn two(
    net: &Network,
    module: impl Fn(Principal) -> Module,
) -> Result<(User, Principal, Principal), Failure> {
    let user = net.user();
    let other = user.deploy(&counter().update("echo", [answer(arg())])).await?;
    let canister = user.deploy(&module(other)).await?;
    Ok((user, canister, other))
}

async fn a_call_that_is_not_performed_is_not_sent(net: Network) -> Verdict {
    let (user, canister, other) = two(&net, |other| {
        Module::new()
            .update("forget", [Call::to(other, "inc").forgotten(), reply()])
            .update("go", [Call::to(other, "inc").go()])
    })
    .await?;
    user.update(canister, "forget", b"").await?.reply()?;
    user.update(canister, "go", b"").await?.heard()?.reply()?;
    equal(
        "the count of the callee",
        user.query(other, "get", b"").await?.number()?,
        1,
    )
}

async fn a_new_call_replaces_one_that_is_not_performed(net: Network) -> Verdict {
    let (user, canister, other) = two(&net, |other| {
        let first = Call::to(other, "inc").then("quiet").arg(bytes("first"));
        let second = Call::to(other, "echo").arg(bytes("second")).go();
        Module::new()
            .update("go", [first.forgotten(), second.clone()])
            .update("both", [first.go(), second])
            .callback("quiet", [skip()])
    })
    .await?;
    let reply = user.update(canister, "go", b"").await?.heard()?.reply()?;
    equal("the argument that arrived", reply, b"second".to_vec())?;
    equal(
        "the count of the callee",
        user.query(other, "get", b"").await?.number()?,
        0,
    )?;
    // Calls arrive in their order, so that the first one is there when the second is answered.
    user.update(canister, "both", b"").await?.heard()?.reply()?;
    equal(
        "the count when both are performed",
        user.query(other, "get", b"").await?.number()?,
        1,
    )
}

async fn an_argument_is_what_was_appended_piece_by_piece(net: Network) -> Verdict {
    let (user, canister, _) = two(&net, |other| {
        let more = give("call_data_append", bytes("bc"));
        let call = Call::to(other, "echo").arg(bytes("a"));
        Module::new()
            .update("go", [call.forgotten(), more, drop_it("(call $call_perform)")])
            .update(
                "tell",
                [
                    call.forgotten(),
                    give("call_data_append", bytes("")),
                    give("call_data_append", bytes("de")),
                    { drop_it("(call $call_perform)") },
                ],
            )
            .update("nothing", [Call::to(other, "echo").go()])
    })
    .await?;
    let reply = user.update(canister, "go", b"").await?.heard()?.reply()?;
    equal("the argument that arrived", reply, b"abc".to_vec())?;
    let reply = user.update(canister, "tell", b"").await?.heard()?.reply()?;
    equal("the argument that arrived", reply, b"ade".to_vec())?;
    let reply = user.update(canister, "nothing", b"").await?.heard()?.reply()?;
    equal("the argument without a piece", reply, vec![])
}

/// Every function that adds to a call or performs it.
fn additions() -> Vec<Code> {
    vec![
        give("call_data_append", bytes("x")),
        "(call $call_on_cleanup (i32.const 0) (i32.const 0))".to_owned(),
        "(call $call_cycles_add128 (i64.const 0) (i64.const 1))".to_owned(),
        "(call $call_with_best_effort_response (i32.const 1))".to_owned(),
        drop_it("(call $call_perform)"),
    ]
}

async fn adding_to_a_call_that_does_not_exist_traps(net: Network) -> Verdict {
    let (user, canister, _) = two(&net, |other| {
        let begun = Call::to(other, "inc").then("quiet").forgotten();
        Module::new()
            .update("go", [choose(arg_number(), additions()), reply()])
            .update("begun", [begun, choose(arg_number(), additions()), reply()])
            .callback("quiet", [skip()])
    })
    .await?;
    each_row_traps(&user, canister, 5_u64).await?;
    user.update(canister, "go", &5_u64.to_le_bytes()).await?.reply()?;
    // The same where a call was begun.
    for row in 0..5_u64 {
        user.update(canister, "begun", &row.to_le_bytes())
            .await?
            .reply()?;
    }
    Ok(())
}

async fn adding_to_a_call_after_it_is_performed_traps(net: Network) -> Verdict {
    let (user, canister, other) = two(&net, |other| {
        let call = Call::to(other, "inc").then("quiet").go();
        Module::new()
            .update("go", [call, choose(arg_number(), additions()), reply()])
            .callback("quiet", [skip()])
            .update("last", [Call::to(other, "inc").go()])
    })
    .await?;
    each_row_traps(&user, canister, 5_u64).await?;
    user.update(canister, "last", b"").await?.heard()?.reply()?;
    equal(
        "the count of the callee",
        user.query(other, "get", b"").await?.number()?,
        1,
    )
}

async fn a_one_way_call_is_delivered(net: Network) -> Verdict {
    let (user, canister, other) = two(&net, |other| {
        let one_way = Call::to(other, "inc").oneway();
        Module::new()
            .update("trap", [one_way.go(), trap("after the call")])
            .update("forget", [one_way.forgotten(), reply()])
            .update("go", [one_way.go(), reply()])
            .update("last", [Call::to(other, "inc").go()])
    })
    .await?;
    user.update(canister, "trap", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    user.update(canister, "forget", b"").await?.reply()?;
    user.update(canister, "go", b"").await?.reply()?;
    eventually(|| async {
        let count = user.query(other, "get", b"").await?.number()?;
        Ok((count >= 1).then_some(()))
    })
    .await?;
    // It arrives after the others, of which only one was sent.
    let reply = user.update(canister, "last", b"").await?.heard()?.reply()?;
    equal("the count of the callee", numbers(&reply), vec![2])
}

async fn a_call_of_something_that_is_no_principal_traps(net: Network) -> Verdict {
    let (user, canister, _) = two(&net, |other| {
        // What `call_perform` says is answered, so that only assembling it can trap.
        let too_long = set("code", Call::to_blob(bytes([1; 30]), "inc").code());
        let no_text = "(call $call_new (i32.const 0) (i32.const 0) @[fffe] (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))".to_owned();
        Module::new()
            .update("long", [too_long, reply()])
            .update("text", [no_text, reply()])
            .update("good", [Call::to(other, "inc").go()])
    })
    .await?;
    for method in ["long", "text"] {
        user.update(canister, method, b"")
            .await?
            .rejected(CANISTER_ERROR)?;
    }
    user.update(canister, "good", b"")
        .await?
        .heard()?
        .reply()
        .map(drop)
}

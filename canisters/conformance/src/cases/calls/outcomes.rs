//! What the caller of another canister hears.

use crate::cases::prelude::*;

const CALLS: &str = "Inter-canister method calls";
const CODES: &str = "Reject codes";

pub const CASES: &[Case] = &[
    case!(
        CALLS,
        a_call_delivers_its_argument_and_brings_back_the_reply;
        twin a_rejection_by_the_callee_has_code_4_and_its_words
    ),
    case!(
        CALLS,
        the_callee_sees_the_canister_as_its_caller,
        CallerIsAnonymous
    ),
    case!(
        CODES,
        a_rejection_by_the_callee_has_code_4_and_its_words,
        ForeignRejectMessage;
        twin a_call_delivers_its_argument_and_brings_back_the_reply
    ),
    case!(CODES, a_callee_that_does_not_exist_is_code_3, AbsentIsError),
    case!(
        CODES,
        a_callee_that_traps_is_code_5_and_keeps_nothing,
        WrongRejectCode
    ),
    case!(
        CODES,
        a_method_that_does_not_exist_is_code_5,
        MissingMethodIsAbsent
    ),
    case!(CODES, a_callee_without_code_is_code_5, MissingMethodIsAbsent),
    case!(CODES, a_callee_that_is_stopped_is_code_5, StoppedTakesCalls),
    case!(
        CODES,
        a_callee_that_does_not_answer_is_code_5,
        SilenceIsReply;
        twin a_call_delivers_its_argument_and_brings_back_the_reply
    ),
    case!(CALLS, a_callee_can_be_the_caller_itself, WrongSelf),
    case!(
        CALLS,
        a_query_method_that_is_called_changes_nothing,
        QueryKeepsState
    ),
    case!(
        CALLS,
        a_composite_query_cannot_be_called_by_an_update,
        AnyMethodAnyWay
    ),
    case!(
        CALLS,
        a_caller_whose_callback_does_not_answer_is_rejected,
        SilenceIsReply
    ),
    case!(
        CALLS,
        a_large_argument_and_a_large_reply_arrive_whole,
        SmallMessages
    ),
];

fn callee() -> Module {
    counter()
        .update("echo", [answer(arg())])
        .update("who", [answer(caller())])
        .update("reject", [reject("for this reason")])
        .update("trap", [count("n"), trap("the callee trapped")])
        .update("silence", [count("n")])
        .query("change", [count("n"), answer_numbers([get("n")])])
        .composite("compose", [reply()])
}

/// A callee, and a canister that calls the method named by the argument of `go`... one method each.
async fn pair(
    net: &Network,
    call: impl Fn(Principal) -> Call,
) -> Result<(User, Principal, Principal), Failure> {
    let user = net.user();
    let callee = user.deploy(&callee()).await?;
    let caller = user
        .deploy(&Module::new().update("go", [call(callee).go()]))
        .await?;
    Ok((user, caller, callee))
}

async fn a_call_delivers_its_argument_and_brings_back_the_reply(net: Network) -> Verdict {
    let (user, caller, _) = pair(&net, |callee| Call::to(callee, "echo").arg(arg())).await?;
    for sent in [b"hello".as_slice(), b"", &[0xff; 1_000]] {
        let reply = user.update(caller, "go", sent).await?.heard()?.reply()?;
        equal("the reply", reply, sent.to_vec())?;
    }
    Ok(())
}

async fn the_callee_sees_the_canister_as_its_caller(net: Network) -> Verdict {
    let (user, caller, callee) = pair(&net, |callee| Call::to(callee, "who")).await?;
    let seen = user.update(caller, "go", b"").await?.heard()?.reply()?;
    equal("the caller", seen, caller.as_slice().to_vec())?;
    let direct = user.update(callee, "who", b"").await?.reply()?;
    equal(
        "the caller of a user's call",
        direct,
        user.id().as_slice().to_vec(),
    )
}

async fn a_rejection_by_the_callee_has_code_4_and_its_words(net: Network) -> Verdict {
    let (user, caller, _) = pair(&net, |callee| Call::to(callee, "reject")).await?;
    let message = user.update(caller, "go", b"").await?.heard()?.rejected(4)?;
    equal("the message", message.as_str(), "for this reason")
}

async fn a_callee_that_does_not_exist_is_code_3(net: Network) -> Verdict {
    let (user, caller, gone) = pair(&net, |callee| Call::to(callee, "echo")).await?;
    user.update(caller, "go", b"").await?.heard()?.reply()?;
    user.remove(gone).await?;
    user.update(caller, "go", b"")
        .await?
        .heard()?
        .rejected(3)
        .map(drop)
}

async fn a_callee_that_traps_is_code_5_and_keeps_nothing(net: Network) -> Verdict {
    let user = net.user();
    let callee = user.deploy(&callee()).await?;
    let module = Module::new()
        .update("trap", [Call::to(callee, "trap").go()])
        .update("go", [Call::to(callee, "inc").go()]);
    let caller = user.deploy(&module).await?;
    let message = user.update(caller, "trap", b"").await?.heard()?.rejected(5)?;
    check(
        message.contains("the callee trapped"),
        format!("the words of the trap, seen {message}"),
    )?;
    equal("the count", user.query(callee, "get", b"").await?.number()?, 0)?;
    user.update(caller, "go", b"").await?.heard()?.reply()?;
    equal(
        "the count without a trap",
        user.query(callee, "get", b"").await?.number()?,
        1,
    )
}

async fn a_method_that_does_not_exist_is_code_5(net: Network) -> Verdict {
    let (user, caller, other) = pair(&net, |callee| Call::to(callee, "missing")).await?;
    user.update(caller, "go", b"").await?.heard()?.rejected(5)?;
    user.upgrade(other, &callee().update("missing", [reply()]))
        .await?
        .reply()?;
    user.update(caller, "go", b"").await?.heard()?.reply().map(drop)
}

async fn a_callee_without_code_is_code_5(net: Network) -> Verdict {
    let user = net.user();
    let empty = user.create().await?;
    let caller = user
        .deploy(&Module::new().update("go", [Call::to(empty, "inc").go()]))
        .await?;
    user.update(caller, "go", b"").await?.heard()?.rejected(5)?;
    user.put(empty, &callee()).await?;
    user.update(caller, "go", b"").await?.heard()?.reply().map(drop)
}

async fn a_callee_that_is_stopped_is_code_5(net: Network) -> Verdict {
    let (user, caller, callee) = pair(&net, |callee| Call::to(callee, "inc")).await?;
    user.stop(callee).await?;
    user.update(caller, "go", b"").await?.heard()?.rejected(5)?;
    user.manage(callee, "start_canister", &about(callee))
        .await?
        .reply()?;
    let reply = user.update(caller, "go", b"").await?.heard()?.reply()?;
    equal("the count", numbers(&reply), vec![1])
}

async fn a_callee_that_does_not_answer_is_code_5(net: Network) -> Verdict {
    let (user, caller, callee) = pair(&net, |callee| Call::to(callee, "silence")).await?;
    user.update(caller, "go", b"").await?.heard()?.rejected(5)?;
    equal("the count", user.query(callee, "get", b"").await?.number()?, 1)
}

async fn a_callee_can_be_the_caller_itself(net: Network) -> Verdict {
    let user = net.user();
    let other = user.deploy(&counter()).await?;
    let module = counter()
        .update("go", [count("n"), Call::to_blob(own_id(), "inc").go()])
        .update("away", [count("n"), Call::to(other, "inc").go()]);
    let canister = user.deploy(&module).await?;
    let reply = user.update(canister, "go", b"").await?.heard()?.reply()?;
    equal("the count", numbers(&reply), vec![2])?;
    let reply = user.update(canister, "away", b"").await?.heard()?.reply()?;
    equal("the count of another callee", numbers(&reply), vec![1])?;
    let own = user.query(canister, "get", b"").await?.number()?;
    equal("the count then", own, 3)
}

async fn a_query_method_that_is_called_changes_nothing(net: Network) -> Verdict {
    let user = net.user();
    let callee = user.deploy(&callee()).await?;
    let module = Module::new()
        .update("query", [Call::to(callee, "change").go()])
        .update("update", [Call::to(callee, "inc").go()]);
    let caller = user.deploy(&module).await?;
    for (method, left) in [("query", 0), ("query", 0), ("update", 1)] {
        let reply = user.update(caller, method, b"").await?.heard()?.reply()?;
        equal("the reply", numbers(&reply), vec![1])?;
        equal(method, user.query(callee, "get", b"").await?.number()?, left)?;
    }
    Ok(())
}

async fn a_composite_query_cannot_be_called_by_an_update(net: Network) -> Verdict {
    let (user, caller, callee) = pair(&net, |callee| Call::to(callee, "compose")).await?;
    user.update(caller, "go", b"").await?.heard()?.rejected(5)?;
    user.query(callee, "compose", b"").await?.reply().map(drop)
}

async fn a_caller_whose_callback_does_not_answer_is_rejected(net: Network) -> Verdict {
    let user = net.user();
    let callee = user.deploy(&callee()).await?;
    let module = counter()
        .update("go", [Call::to(callee, "echo").then("quiet").go()])
        .update("well", [Call::to(callee, "echo").go()])
        .callback("quiet", [count("n")]);
    let caller = user.deploy(&module).await?;
    user.update(caller, "go", b"").await?.rejected(CANISTER_ERROR)?;
    equal(
        "how often the callback ran",
        user.query(caller, "get", b"").await?.number()?,
        1,
    )?;
    // The usual callback answers.
    user.update(caller, "well", b"").await?.heard()?.reply().map(drop)
}

async fn a_large_argument_and_a_large_reply_arrive_whole(net: Network) -> Verdict {
    let user = net.user();
    let callee = user.deploy(&callee()).await?;
    let size = 1_900_000;
    let call = |size: u32| Call::to(callee, "echo").arg(long(size)).then("measure").go();
    let module = Module::new()
        .update("go", [call(size)])
        // More than a subnet takes among its own canisters.
        .update("too_large", [call((10 << 20) + 1)])
        .callback(
            "measure",
            [answer_numbers([
                sys32("msg_reject_code"),
                wide("(call $msg_arg_data_size)"),
            ])],
        );
    let caller = user.deploy(&module).await?;
    let seen = user.update(caller, "go", b"").await?.numbers()?;
    equal("the code and the length", seen, vec![0, u64::from(size)])?;
    user.update(caller, "too_large", b"")
        .await?
        .rejected(CANISTER_ERROR)
        .map(drop)
}

//! Executions before and after a call.

use crate::cases::door::Door;
use crate::cases::prelude::*;

const CALLS: &str = "Inter-canister method calls";
const ENTRY_POINTS: &str = "Entry points";

pub const CASES: &[Case] = &[
    case!(
        ENTRY_POINTS,
        what_was_done_before_a_call_stays_when_the_callback_traps,
        RollBackCaller
    ),
    case!(
        ENTRY_POINTS,
        a_call_is_not_sent_when_its_execution_traps,
        KeepCallsAfterTrap
    ),
    case!(CALLS, a_reply_can_be_sent_before_the_answer_of_a_call_comes),
    case!(CALLS, a_callback_can_call_again),
    case!(
        CALLS,
        a_callback_is_given_its_number_and_the_code,
        CallbackWithoutNumber
    ),
    case!(
        CALLS,
        a_reject_callback_can_answer_with_a_reply_and_a_reply_callback_with_a_rejection,
        ForeignRejectMessage
    ),
    case!(CALLS, only_one_callback_can_answer, ReplyTwice),
    case!(CALLS, a_callback_sees_what_others_did_in_between),
    case!(
        CALLS,
        a_callback_that_traps_rejects_the_call_with_the_reason,
        SilentTraps
    ),
    case!(
        CALLS,
        a_callback_whose_function_does_not_exist_traps,
        RollBackCaller
    ),
    case!(
        "Performance counter",
        the_counter_of_a_call_goes_on_in_its_callbacks,
        CounterStandsStill
    ),
    case!(CALLS, canisters_can_call_each_other_in_depth, WrongSelf),
];

fn callee() -> Module {
    counter()
        .update("echo", [answer(arg())])
        .update("reject", [reject("no")])
}

async fn what_was_done_before_a_call_stays_when_the_callback_traps(net: Network) -> Verdict {
    let user = net.user();
    let other = user.deploy(&callee()).await?;
    let all_to = |value: u64| all([set_cell(0, int(value)), set_stable(0, int(value))]);
    let call = |env: u32| Call::to(other, "inc").then("after").env(env).go();
    let module = Module::new()
        .update("trap", [set("before", int(1)), all_to(1), call(1)])
        .update("go", [all_to(1), call(0)])
        .callback(
            "after",
            [
                set("after", int(1)),
                all_to(2),
                when(env(), [trap("in the callback")]),
                reply(),
            ],
        )
        .query(
            "get",
            [answer_numbers([get("before"), get("after"), cell(0), stable(0)])],
        );
    let canister = user.deploy(&module).await?;
    user.update(canister, "trap", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    equal(
        "what is left",
        user.query(canister, "get", b"").await?.numbers()?,
        vec![1, 0, 1, 1],
    )?;
    equal("the callee", user.query(other, "get", b"").await?.number()?, 1)?;
    user.update(canister, "go", b"").await?.reply()?;
    equal(
        "what is left without a trap",
        user.query(canister, "get", b"").await?.numbers()?,
        vec![1, 1, 2, 2],
    )
}

async fn a_call_is_not_sent_when_its_execution_traps(net: Network) -> Verdict {
    let user = net.user();
    let other = user.deploy(&callee()).await?;
    let module = Module::new()
        .update("trap", [Call::to(other, "inc").go(), trap("after the call")])
        .update("go", [Call::to(other, "inc").go()]);
    let canister = user.deploy(&module).await?;
    user.update(canister, "trap", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    let reply = user.update(canister, "go", b"").await?.heard()?.reply()?;
    equal("the count of the callee", numbers(&reply), vec![1])
}

async fn a_reply_can_be_sent_before_the_answer_of_a_call_comes(net: Network) -> Verdict {
    let user = net.user();
    let (one, other) = (Door::new(&user).await?, Door::new(&user).await?);
    let module = counter()
        .update(
            "before",
            [
                Call::to(one.canister, "wait").then("later").go(),
                answer(bytes("early")),
            ],
        )
        .callback("later", [count("n")])
        .update("after", [Call::to(other.canister, "wait").then("reply").go()])
        .callback("reply", [answer(bytes("late"))]);
    let canister = user.deploy(&module).await?;
    let reply = user.update(canister, "before", b"").await?.reply()?;
    equal("the reply", reply, b"early".to_vec())?;
    // Who replies in the callback does so not before it.
    let call = user.start(canister, "after", b"").await?;
    other.is_held().await?;
    let open = user.is_pending(canister, &call.id).await?;
    check(open, "that the other call has no reply yet")?;
    let ran = user.query(canister, "get", b"").await?.number()?;
    equal("how often the callback ran", ran, 0)?;
    one.open().await?;
    other.open().await?;
    let reply = user.wait(canister, &call.id).await?.reply()?;
    equal("the other reply", reply, b"late".to_vec())?;
    eventually(|| async {
        let ran = user.query(canister, "get", b"").await?.number()?;
        Ok((ran == 1).then_some(()))
    })
    .await
}

async fn a_callback_can_call_again(net: Network) -> Verdict {
    let user = net.user();
    let other = user.deploy(&callee()).await?;
    let module = Module::new()
        .update("go", [Call::to(other, "inc").then("second").go()])
        .callback("second", [Call::to(other, "inc").then("third").go()])
        .callback("third", [Call::to(other, "inc").go()])
        .update("trap", [Call::to(other, "inc").then("bad").go()])
        .callback("bad", [Call::to(other, "inc").go(), trap("after the call")]);
    let canister = user.deploy(&module).await?;
    // What a callback calls before it traps is not called.
    user.update(canister, "trap", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    let reply = user.update(canister, "go", b"").await?.heard()?.reply()?;
    equal("the count of the callee", numbers(&reply), vec![1 + 3])
}

async fn a_callback_is_given_its_number_and_the_code(net: Network) -> Verdict {
    let user = net.user();
    let other = user.deploy(&callee()).await?;
    let told = || [answer_numbers([env(), sys32("msg_reject_code")])];
    let module = Module::new()
        .update("good", [Call::to(other, "inc").env(77).then("told").go()])
        .update("bad", [Call::to(other, "reject").env(78).then("told").go()])
        .callback("told", told());
    let canister = user.deploy(&module).await?;
    equal(
        "a reply",
        user.update(canister, "good", b"").await?.numbers()?,
        vec![77, 0],
    )?;
    equal(
        "a rejection",
        user.update(canister, "bad", b"").await?.numbers()?,
        vec![78, 4],
    )
}

async fn a_reject_callback_can_answer_with_a_reply_and_a_reply_callback_with_a_rejection(
    net: Network,
) -> Verdict {
    let user = net.user();
    let other = user.deploy(&callee()).await?;
    let module = Module::new()
        .update("good no", [Call::to(other, "inc").on_reply("no").go()])
        .update("bad no", [Call::to(other, "reject").on_reject("no").go()])
        .update("good yes", [Call::to(other, "inc").on_reply("yes").go()])
        .update("bad yes", [Call::to(other, "reject").on_reject("yes").go()])
        .callback("no", [reject("rejected in the callback")])
        .callback("yes", [answer(bytes("replied in the callback"))]);
    let canister = user.deploy(&module).await?;
    for method in ["good no", "bad no"] {
        let reject = user
            .update(canister, method, b"")
            .await?
            .rejected(CANISTER_REJECT)?;
        equal(method, reject.message.as_str(), "rejected in the callback")?;
    }
    for method in ["bad yes", "good yes"] {
        let reply = user.update(canister, method, b"").await?.reply()?;
        equal(method, reply, b"replied in the callback".to_vec())?;
    }
    Ok(())
}

async fn only_one_callback_can_answer(net: Network) -> Verdict {
    let user = net.user();
    let other = user.deploy(&callee()).await?;
    let call = |callback: &str| Call::to(other, "inc").then(callback).go();
    let module = counter()
        .update("go", [call("answer"), call("answer")])
        // The second to come traps, and is not counted.
        .callback("answer", [count("n"), answer(bytes("first"))])
        .update("touch", [Call::to(other, "inc").go()])
        .update("one", [call("quiet"), call("answer")])
        .callback("quiet", [count("n")]);
    let canister = user.deploy(&module).await?;
    equal(
        "the reply",
        user.update(canister, "go", b"").await?.reply()?,
        b"first".to_vec(),
    )?;
    let reply = user.update(canister, "touch", b"").await?.heard()?.reply()?;
    equal("the count of the callee", numbers(&reply), vec![3])?;
    equal(
        "the callbacks that ended well",
        user.query(canister, "get", b"").await?.number()?,
        1,
    )?;
    user.update(canister, "one", b"").await?.reply()?;
    // Both, when only one of them answers.
    eventually(|| async {
        let well = user.query(canister, "get", b"").await?.number()?;
        Ok((well == 3).then_some(()))
    })
    .await
}

async fn a_callback_sees_what_others_did_in_between(net: Network) -> Verdict {
    let user = net.user();
    // The callee calls back into the caller before it replies.
    let canister = user.create().await?;
    let other = user
        .deploy(&callee().update("back", [Call::to(canister, "inc").go()]))
        .await?;
    let call = |method: &str| Call::to(other, method).then("see").go();
    let module = counter()
        .update("go", [set("n", int(10)), call("back")])
        .update("alone", [set("n", int(20)), call("echo")])
        .callback("see", [answer_numbers([get("n")])]);
    user.put(canister, &module).await?;
    equal(
        "what the callback sees",
        user.update(canister, "go", b"").await?.number()?,
        11,
    )?;
    equal(
        "what it sees when nobody did anything",
        user.update(canister, "alone", b"").await?.number()?,
        20,
    )
}

async fn a_callback_that_traps_rejects_the_call_with_the_reason(net: Network) -> Verdict {
    let user = net.user();
    let other = user.deploy(&callee()).await?;
    let module = Module::new()
        .update("go", [Call::to(other, "inc").then("bad").go()])
        .callback("bad", [reply(), trap("the words of the callback")])
        .update("well", [Call::to(other, "inc").then("good").go()])
        .callback("good", [reply()]);
    let canister = user.deploy(&module).await?;
    let reject = user.update(canister, "go", b"").await?.rejected(CANISTER_ERROR)?;
    check(
        reject.message.contains("the words of the callback"),
        format!("the reason, seen {}", reject.message),
    )?;
    let reply = user.update(canister, "well", b"").await?.reply()?;
    equal("the reply without a trap", reply, vec![])
}

async fn a_callback_whose_function_does_not_exist_traps(net: Network) -> Verdict {
    let user = net.user();
    let other = user.deploy(&callee()).await?;
    let module = counter()
        .update(
            "go",
            [count("n"), Call::to(other, "inc").with_missing_callbacks().go()],
        )
        .update("good", [count("n"), Call::to(other, "inc").go()]);
    let canister = user.deploy(&module).await?;
    user.update(canister, "go", b"").await?.rejected(CANISTER_ERROR)?;
    equal(
        "what was done before",
        user.query(canister, "get", b"").await?.number()?,
        1,
    )?;
    equal("the callee", user.query(other, "get", b"").await?.number()?, 1)?;
    let reply = user.update(canister, "good", b"").await?.heard()?.reply()?;
    equal("the callee, heard by a callback", numbers(&reply), vec![2])
}

async fn the_counter_of_a_call_goes_on_in_its_callbacks(net: Network) -> Verdict {
    let user = net.user();
    let other = user.deploy(&callee()).await?;
    let counter = |kind: u32| format!("(call $performance_counter (i32.const {kind}))");
    let module = Module::new()
        .update("go", [spin(100_000), Call::to(other, "inc").then("tell").go()])
        .callback("tell", [answer_numbers([counter(0), counter(1)])]);
    let canister = user.deploy(&module).await?;
    let seen = user.update(canister, "go", b"").await?.numbers()?;
    let [execution, context] = seen.as_slice() else {
        return Err(Failure::new("expected two counters"));
    };
    check(
        *execution < 100_000,
        format!("that the callback is short, seen {execution}"),
    )?;
    check(
        *context > 100_000,
        format!("that the call is long, seen {context}"),
    )
}

async fn canisters_can_call_each_other_in_depth(net: Network) -> Verdict {
    let user = net.user();
    // Calls itself with a smaller number until that is zero.
    let module = Module::new()
        .update(
            "go",
            [
                count("n"),
                set("left", arg_number()),
                when(same(get("left"), int(0)), [answer_numbers([int(0)])]),
                when(
                    get("left"),
                    [Call::to_blob(own_id(), "go")
                        .arg(number(minus(get("left"), int(1))))
                        .then("up")
                        .go()],
                ),
            ],
        )
        .callback("up", [answer_numbers([plus(arg_number(), int(1))])])
        .query("get", [answer_numbers([get("n")])]);
    let canister = user.deploy(&module).await?;
    for (expected, runs) in [(20_u64, 21), (0, 22)] {
        let depth = user
            .update(canister, "go", &expected.to_le_bytes())
            .await?
            .number()?;
        equal("the depth", depth, expected)?;
        let seen = user.query(canister, "get", b"").await?.number()?;
        equal("how often it was called", seen, runs)?;
    }
    Ok(())
}

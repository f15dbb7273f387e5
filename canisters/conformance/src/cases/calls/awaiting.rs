//! Executions before and after a call.

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
    let module = Module::new()
        .update(
            "go",
            [
                set("before", int(1)),
                set_cell(0, int(1)),
                set_stable(0, int(1)),
                Call::to(other, "inc").then("bad").go(),
            ],
        )
        .callback(
            "bad",
            [
                set("after", int(1)),
                set_cell(0, int(2)),
                set_stable(0, int(2)),
                trap("in the callback"),
            ],
        )
        .query(
            "get",
            [answer_numbers([get("before"), get("after"), cell(0), stable(0)])],
        );
    let canister = user.deploy(&module).await?;
    user.update(canister, "go", b"").await?.rejected(CANISTER_ERROR)?;
    equal(
        "what is left",
        user.query(canister, "get", b"").await?.numbers()?,
        vec![1, 0, 1, 1],
    )?;
    equal("the callee", user.query(other, "get", b"").await?.number()?, 1)
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
    let other = user.deploy(&callee()).await?;
    let module = counter()
        .update(
            "go",
            [Call::to(other, "inc").then("later").go(), answer(bytes("early"))],
        )
        .callback("later", [count("n")]);
    let canister = user.deploy(&module).await?;
    equal(
        "the reply",
        user.update(canister, "go", b"").await?.reply()?,
        b"early".to_vec(),
    )?;
    eventually(|| async {
        let ran = user.query(canister, "get", b"").await?.number()?;
        Ok((ran == 1).then_some(()))
    })
    .await?;
    equal("the callee", user.query(other, "get", b"").await?.number()?, 1)
}

async fn a_callback_can_call_again(net: Network) -> Verdict {
    let user = net.user();
    let other = user.deploy(&callee()).await?;
    let module = Module::new()
        .update("go", [Call::to(other, "inc").then("second").go()])
        .callback("second", [Call::to(other, "inc").then("third").go()])
        .callback("third", [Call::to(other, "inc").go()]);
    let canister = user.deploy(&module).await?;
    let reply = user.update(canister, "go", b"").await?.heard()?.reply()?;
    equal("the count of the callee", numbers(&reply), vec![3])
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
        .update("good", [Call::to(other, "inc").on_reply("no").go()])
        .update("bad", [Call::to(other, "reject").on_reject("yes").go()])
        .callback("no", [reject("rejected in the callback")])
        .callback("yes", [answer(bytes("replied in the callback"))]);
    let canister = user.deploy(&module).await?;
    let reject = user
        .update(canister, "good", b"")
        .await?
        .rejected(CANISTER_REJECT)?;
    equal(
        "the rejection",
        reject.message.as_str(),
        "rejected in the callback",
    )?;
    let reply = user.update(canister, "bad", b"").await?.reply()?;
    equal("the reply", reply, b"replied in the callback".to_vec())
}

async fn only_one_callback_can_answer(net: Network) -> Verdict {
    let user = net.user();
    let other = user.deploy(&callee()).await?;
    let module = counter()
        .update(
            "go",
            [
                Call::to(other, "inc").then("answer").go(),
                Call::to(other, "inc").then("answer").go(),
            ],
        )
        // The second to come traps, and is not counted.
        .callback("answer", [count("n"), answer(bytes("first"))])
        .update("touch", [Call::to(other, "inc").go()]);
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
    )
}

async fn a_callback_sees_what_others_did_in_between(net: Network) -> Verdict {
    let user = net.user();
    // The callee calls back into the caller before it replies.
    let canister = user.create().await?;
    let other = user
        .deploy(&Module::new().update("back", [Call::to(canister, "inc").go()]))
        .await?;
    let module = counter()
        .update(
            "go",
            [set("n", int(10)), Call::to(other, "back").then("see").go()],
        )
        .callback("see", [answer_numbers([get("n")])]);
    user.put(canister, &module).await?;
    equal(
        "what the callback sees",
        user.update(canister, "go", b"").await?.number()?,
        11,
    )
}

async fn a_callback_that_traps_rejects_the_call_with_the_reason(net: Network) -> Verdict {
    let user = net.user();
    let other = user.deploy(&callee()).await?;
    let module = Module::new()
        .update("go", [Call::to(other, "inc").then("bad").go()])
        .callback("bad", [reply(), trap("the words of the callback")]);
    let canister = user.deploy(&module).await?;
    let reject = user.update(canister, "go", b"").await?.rejected(CANISTER_ERROR)?;
    check(
        reject.message.contains("the words of the callback"),
        format!("the reason, seen {}", reject.message),
    )
}

async fn a_callback_whose_function_does_not_exist_traps(net: Network) -> Verdict {
    let user = net.user();
    let other = user.deploy(&callee()).await?;
    let module = counter().update("go", [count("n"), Call::to(other, "inc").oneway().go()]);
    let canister = user.deploy(&module).await?;
    user.update(canister, "go", b"").await?.rejected(CANISTER_ERROR)?;
    equal(
        "what was done before",
        user.query(canister, "get", b"").await?.number()?,
        1,
    )?;
    equal("the callee", user.query(other, "get", b"").await?.number()?, 1)
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
        .callback("up", [answer_numbers([plus(arg_number(), int(1))])]);
    let canister = user.deploy(&module).await?;
    let depth = user
        .update(canister, "go", &20_u64.to_le_bytes())
        .await?
        .number()?;
    equal("the depth", depth, 20)
}

//! Calls that do not wait for ever.

use crate::cases::door::Door;
use crate::cases::prelude::*;

const CALLS: &str = "Inter-canister method calls";

pub const CASES: &[Case] = &[
    case!(
        CALLS,
        a_bounded_call_that_is_answered_in_time_is_like_any_other,
        BoundedIsUnknown;
        twin a_bounded_call_that_is_not_answered_in_time_is_rejected_as_unknown
    ),
    case!(
        CALLS,
        a_bounded_call_that_is_not_answered_in_time_is_rejected_as_unknown,
        NeverTimeOut;
        twin a_bounded_call_that_is_answered_in_time_is_like_any_other
    ),
    case!(
        "Method arguments",
        the_callee_of_a_bounded_call_sees_its_deadline,
        WrongDeadline
    ),
    case!(CALLS, a_call_is_bounded_at_most_once, BoundedIsUnknown),
];

async fn a_bounded_call_that_is_answered_in_time_is_like_any_other(net: Network) -> Verdict {
    let user = net.user();
    let other = user.deploy(&counter().update("reject", [reject("no")])).await?;
    let module = Module::new()
        .update("go", [Call::to(other, "inc").within(60).go()])
        .update("no", [Call::to(other, "reject").within(60).go()])
        .update("long", [Call::to(other, "inc").within(u32::MAX).go()]);
    let canister = user.deploy(&module).await?;
    let reply = user.update(canister, "go", b"").await?.heard()?.reply()?;
    equal("the count", numbers(&reply), vec![1])?;
    user.update(canister, "no", b"").await?.heard()?.rejected(4)?;
    let reply = user.update(canister, "long", b"").await?.heard()?.reply()?;
    equal("the count", numbers(&reply), vec![2])
}

async fn a_bounded_call_that_is_not_answered_in_time_is_rejected_as_unknown(net: Network) -> Verdict {
    let user = net.user();
    let door = Door::new(&user).await?;
    let module = counter()
        .update(
            "go",
            [Call::to(door.canister, "wait").within(1).then("tell").go()],
        )
        .callback("tell", [count("n"), answer_numbers([sys32("msg_reject_code")])]);
    let canister = user.deploy(&module).await?;
    let code = user.update(canister, "go", b"").await?.number()?;
    equal("the code", code, SYS_UNKNOWN)?;
    door.open().await?;
    // The answer that comes too late is not delivered.
    user.stop(canister).await?;
    user.manage(canister, "start_canister", &about(canister))
        .await?
        .reply()?;
    equal(
        "the callbacks",
        user.query(canister, "get", b"").await?.number()?,
        1,
    )
}

async fn the_callee_of_a_bounded_call_sees_its_deadline(net: Network) -> Verdict {
    let user = net.user();
    let other = user
        .deploy(&Module::new().update("tell", [answer_numbers([sys("time"), sys("msg_deadline")])]))
        .await?;
    let module = Module::new()
        .update("bounded", [Call::to(other, "tell").within(100).go()])
        .update("unbounded", [Call::to(other, "tell").go()]);
    let canister = user.deploy(&module).await?;
    let reply = numbers(&user.update(canister, "bounded", b"").await?.heard()?.reply()?);
    let [time, deadline] = reply.as_slice() else {
        return Err(Failure::new("expected two times"));
    };
    let most = time + 100_000_000_000;
    check(
        deadline > time && *deadline <= most,
        format!("a deadline until {most}, seen {deadline}"),
    )?;
    let reply = numbers(&user.update(canister, "unbounded", b"").await?.heard()?.reply()?);
    equal("the deadline of another call", reply.last().copied(), Some(0))
}

async fn a_call_is_bounded_at_most_once(net: Network) -> Verdict {
    let user = net.user();
    let other = user.deploy(&counter()).await?;
    let again = "(call $call_with_best_effort_response (i32.const 2))".to_owned();
    let call = Call::to(other, "inc").within(60);
    let module = Module::new()
        .update(
            "twice",
            [call.forgotten(), again, drop_it("(call $call_perform)")],
        )
        .update("once", [call.go()]);
    let canister = user.deploy(&module).await?;
    user.update(canister, "twice", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    let reply = user.update(canister, "once", b"").await?.heard()?.reply()?;
    equal("the count", numbers(&reply), vec![1])
}

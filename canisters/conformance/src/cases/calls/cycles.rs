//! Cycles that travel with calls.

use crate::cases::prelude::*;

const CYCLES_CLAUSE: &str = "Cycles";

/// What is attached: enough that costs of the calls themselves do not matter.
const SENT: u64 = 4_000_000_000_000;
/// What is accepted of it.
const KEPT: u64 = 1_000_000_000_000;
/// No call costs as much.
const COSTS: u64 = 200_000_000_000;

pub const CASES: &[Case] = &[
    case!(
        CYCLES_CLAUSE,
        attached_cycles_are_available_and_what_is_not_accepted_comes_back,
        LoseRefund;
        twin accepted_cycles_move_from_caller_to_callee
    ),
    case!(
        CYCLES_CLAUSE,
        accepted_cycles_move_from_caller_to_callee,
        CreateCycles;
        twin attached_cycles_are_available_and_what_is_not_accepted_comes_back
    ),
    case!(
        CYCLES_CLAUSE,
        no_more_is_accepted_than_is_wanted_and_available,
        AcceptTooMuch;
        twin accepted_cycles_move_from_caller_to_callee
    ),
    case!(
        CYCLES_CLAUSE,
        a_rejection_brings_back_what_was_not_accepted,
        AvailableAfterAnswer
    ),
    case!(
        CYCLES_CLAUSE,
        a_callee_that_traps_accepts_nothing,
        KeepCertifiedAfterTrap;
        twin accepted_cycles_move_from_caller_to_callee
    ),
    case!(
        CYCLES_CLAUSE,
        a_callee_that_does_not_exist_gets_nothing,
        AbsentIsError;
        twin accepted_cycles_move_from_caller_to_callee
    ),
    case!(
        CYCLES_CLAUSE,
        after_the_answer_nothing_is_available,
        AcceptTooMuch;
        twin accepted_cycles_move_from_caller_to_callee
    ),
    case!(
        CYCLES_CLAUSE,
        an_ingress_message_has_no_cycles,
        AcceptTooMuch;
        twin attached_cycles_are_available_and_what_is_not_accepted_comes_back
    ),
    case!(
        CYCLES_CLAUSE,
        nobody_can_attach_more_than_there_is,
        AttachAnything
    ),
    case!(
        CYCLES_CLAUSE,
        cycles_of_a_call_that_is_not_performed_stay,
        SendUnperformed
    ),
    case!(
        CYCLES_CLAUSE,
        cycles_can_be_accepted_in_a_callback,
        CallbackWithoutCycles;
        twin after_the_answer_nothing_is_available
    ),
    case!(
        CYCLES_CLAUSE,
        cycles_neither_appear_nor_vanish,
        LoseRefund,
        CreateCycles;
        twin a_canister_sees_and_can_burn_its_cycles
    ),
];

fn available() -> Code {
    low128("msg_cycles_available128")
}

fn balance() -> Code {
    low128("canister_cycle_balance128")
}

fn callee() -> Module {
    Module::new()
        .update("look", [answer_numbers([available()])])
        .update(
            "keep",
            [answer_numbers([
                available(),
                accept_cycles(int(KEPT)),
                available(),
            ])],
        )
        .update(
            "keep_all",
            [answer_numbers([
                accept_cycles(int(u64::MAX)),
                accept_cycles(int(1)),
            ])],
        )
        .update(
            "keep_and_reject",
            [drop_it(accept_cycles(int(KEPT))), reject("no")],
        )
        .update("keep_and_trap", [drop_it(accept_cycles(int(KEPT))), trap("no")])
        .update(
            "late",
            [
                reply(),
                set("left", available()),
                set("got", accept_cycles(int(KEPT))),
            ],
        )
        .query("late_got", [answer_numbers([get("left"), get("got")])])
        .query("balance", [answer_numbers([balance()])])
}

/// Calls with cycles and tells what came back, before what the callee said.
fn caller(callee: Principal, method: &str) -> Module {
    let told = |rest: Code| {
        all([
            append(number(low128("msg_cycles_refunded128"))),
            append(rest),
            reply(),
        ])
    };
    Module::new()
        .update(
            "go",
            [Call::to(callee, method)
                .cycles(int(SENT))
                .on_reply("ok")
                .on_reject("no")
                .go()],
        )
        .callback("ok", [told(fetched("msg_arg_data"))])
        .callback("no", [told(number(sys32("msg_reject_code")))])
        .query("balance", [answer_numbers([balance()])])
}

async fn scene(net: &Network, method: &str) -> Result<(User, Principal, Principal), Failure> {
    let user = net.user();
    let callee = user.deploy(&callee()).await?;
    let caller = user.deploy(&caller(callee, method)).await?;
    Ok((user, caller, callee))
}

async fn balances(user: &User, canisters: [Principal; 2]) -> Result<[u64; 2], Failure> {
    let [one, other] = canisters;
    Ok([
        user.query(one, "balance", b"").await?.number()?,
        user.query(other, "balance", b"").await?.number()?,
    ])
}

async fn attached_cycles_are_available_and_what_is_not_accepted_comes_back(net: Network) -> Verdict {
    let (user, caller, _) = scene(&net, "look").await?;
    let seen = user.update(caller, "go", b"").await?.numbers()?;
    equal("refunded, available", seen, vec![SENT, SENT])
}

async fn accepted_cycles_move_from_caller_to_callee(net: Network) -> Verdict {
    let (user, caller, callee) = scene(&net, "keep").await?;
    let before = balances(&user, [caller, callee]).await?;
    let seen = user.update(caller, "go", b"").await?.numbers()?;
    equal(
        "refunded, available, accepted, left",
        seen,
        vec![SENT - KEPT, SENT, KEPT, SENT - KEPT],
    )?;
    let after = balances(&user, [caller, callee]).await?;
    let ([paid_from, got_from], [paid, got]) = (before, after);
    check(
        paid <= paid_from - KEPT && paid + KEPT + COSTS > paid_from,
        "that the caller paid what was accepted",
    )?;
    check(
        got > got_from + KEPT - COSTS && got <= got_from + KEPT,
        "that the callee has it",
    )
}

async fn no_more_is_accepted_than_is_wanted_and_available(net: Network) -> Verdict {
    let (user, caller, _) = scene(&net, "keep_all").await?;
    let seen = user.update(caller, "go", b"").await?.numbers()?;
    equal("refunded, accepted, accepted then", seen, vec![0, SENT, 0])
}

async fn a_rejection_brings_back_what_was_not_accepted(net: Network) -> Verdict {
    let (user, caller, callee) = scene(&net, "keep_and_reject").await?;
    let [_, before] = balances(&user, [caller, callee]).await?;
    let seen = user.update(caller, "go", b"").await?.numbers()?;
    equal("refunded, code", seen, vec![SENT - KEPT, 4])?;
    let [_, after] = balances(&user, [caller, callee]).await?;
    check(
        after > before + KEPT - COSTS,
        "that the callee keeps what it accepted",
    )
}

async fn a_callee_that_traps_accepts_nothing(net: Network) -> Verdict {
    let (user, caller, callee) = scene(&net, "keep_and_trap").await?;
    let [_, before] = balances(&user, [caller, callee]).await?;
    let seen = user.update(caller, "go", b"").await?.numbers()?;
    equal("refunded, code", seen, vec![SENT, 5])?;
    let [_, after] = balances(&user, [caller, callee]).await?;
    check(after <= before, "that the callee has no more than before")
}

async fn a_callee_that_does_not_exist_gets_nothing(net: Network) -> Verdict {
    let user = net.user();
    let gone = user.create().await?;
    user.remove(gone).await?;
    let caller = user.deploy(&caller(gone, "look")).await?;
    let before = user.query(caller, "balance", b"").await?.number()?;
    let seen = user.update(caller, "go", b"").await?.numbers()?;
    equal("refunded, code", seen, vec![SENT, 3])?;
    let after = user.query(caller, "balance", b"").await?.number()?;
    check(after + COSTS > before, "that the cycles are back")
}

async fn after_the_answer_nothing_is_available(net: Network) -> Verdict {
    let (user, caller, callee) = scene(&net, "late").await?;
    let seen = user.update(caller, "go", b"").await?.numbers()?;
    equal("refunded", seen, vec![SENT])?;
    equal(
        "left and got",
        user.query(callee, "late_got", b"").await?.numbers()?,
        vec![0, 0],
    )
}

async fn an_ingress_message_has_no_cycles(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&callee()).await?;
    equal(
        "available",
        user.update(canister, "look", b"").await?.number()?,
        0,
    )?;
    let seen = user.update(canister, "keep", b"").await?.numbers()?;
    equal("available, accepted, left", seen, vec![0, 0, 0])
}

async fn nobody_can_attach_more_than_there_is(net: Network) -> Verdict {
    let user = net.user();
    let callee = user.deploy(&callee()).await?;
    let module = Module::new()
        .update(
            "too_much",
            [
                count("n"),
                Call::to(callee, "look").cycles(plus(balance(), int(1))).go(),
            ],
        )
        .update("some", [Call::to(callee, "look").cycles(int(SENT)).go()])
        .query("get", [answer_numbers([get("n")])]);
    let canister = user.deploy(&module).await?;
    user.update(canister, "too_much", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    equal("the count", user.query(canister, "get", b"").await?.number()?, 0)?;
    let reply = user.update(canister, "some", b"").await?.heard()?.reply()?;
    equal("what arrives otherwise", numbers(&reply), vec![SENT])
}

async fn cycles_of_a_call_that_is_not_performed_stay(net: Network) -> Verdict {
    let user = net.user();
    let callee = user.deploy(&callee()).await?;
    let call = Call::to(callee, "keep").cycles(int(SENT));
    let module = Module::new()
        .update(
            "forget",
            [
                set("before", balance()),
                call.forgotten(),
                set("attached", balance()),
                answer_numbers([get("before"), get("attached")]),
            ],
        )
        .update("go", [call.go()])
        .query("balance", [answer_numbers([balance()])]);
    let canister = user.deploy(&module).await?;
    let seen = user.update(canister, "forget", b"").await?.numbers()?;
    let [before, attached] = seen.as_slice() else {
        return Err(Failure::new("expected two balances"));
    };
    check(
        *attached <= before - SENT,
        "that attached cycles leave the balance",
    )?;
    let after = user.query(canister, "balance", b"").await?.number()?;
    check(after + COSTS > *before, "that they are back afterwards")?;
    user.update(canister, "go", b"").await?.heard()?.reply()?;
    let last = user.query(canister, "balance", b"").await?.number()?;
    check(last <= after - KEPT, "that those of a call that is performed go")
}

async fn cycles_can_be_accepted_in_a_callback(net: Network) -> Verdict {
    let user = net.user();
    let other = user.deploy(&counter()).await?;
    let middle = Module::new()
        .update("later", [Call::to(other, "inc").then("keep").go()])
        .callback("keep", [answer_numbers([available(), accept_cycles(int(KEPT))])]);
    let middle = user.deploy(&middle).await?;
    let canister = user.deploy(&caller(middle, "later")).await?;
    let seen = user.update(canister, "go", b"").await?.numbers()?;
    equal(
        "refunded, available, accepted",
        seen,
        vec![SENT - KEPT, SENT, KEPT],
    )
}

async fn cycles_neither_appear_nor_vanish(net: Network) -> Verdict {
    let user = net.user();
    let callee = user.deploy(&callee()).await?;
    for method in ["look", "keep", "keep_and_reject", "keep_and_trap", "late"] {
        let caller = user.deploy(&caller(callee, method)).await?;
        let before = balances(&user, [caller, callee]).await?;
        for _ in 0..3 {
            user.update(caller, "go", b"").await?.reply()?;
        }
        let after = balances(&user, [caller, callee]).await?;
        let (before, after): (u64, u64) = (before.iter().sum(), after.iter().sum());
        check(after <= before, format!("no more than before with {method}"))?;
        check(
            after + 6 * COSTS > before,
            format!("not much less than before with {method}"),
        )?;
    }
    Ok(())
}

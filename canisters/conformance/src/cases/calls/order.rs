//! In which order calls arrive, and how many there may be.

use crate::cases::door::Door;
use crate::cases::prelude::*;

const ORDER: &str = "Ordering guarantees";
const CALLS: &str = "Inter-canister method calls";

pub const CASES: &[Case] = &[
    case!(ORDER, calls_of_one_execution_arrive_in_order, ReorderPair),
    case!(
        ORDER,
        calls_of_several_executions_arrive_in_order,
        ReorderPair;
        twin calls_of_one_execution_arrive_in_order
    ),
    case!(
        CALLS,
        each_of_many_calls_is_answered_once,
        DropCall;
        twin calls_beyond_the_limit_are_not_taken_and_the_others_are_answered
    ),
    case!(
        CALLS,
        calls_beyond_the_limit_are_not_taken_and_the_others_are_answered,
        UnlimitedQueue
    ),
    case!(ORDER, calls_in_both_directions_do_not_block_each_other),
];

/// Notes arguments in stable memory in the order in which they arrive.
fn notebook() -> Module {
    let place = "(call $stable_set (i64.mul (global.get $v_n) (i64.const 8)) (call $arg_number))".to_owned();
    Module::new()
        .update("note", [place, count("n"), reply()])
        .query("count", [answer_numbers([get("n")])])
        .query("notes", [
            set("i", int(0)),
            format!(
                "(block $end (loop $again (br_if $end (i64.ge_u (global.get $v_i) (global.get $v_n))) {} {} (br $again)))",
                append(number("(call $stable_get (i64.mul (global.get $v_i) (i64.const 8)))")),
                count("i")
            ),
            reply(),
        ])
}

/// Makes so many calls with the numbers from `next`.
fn repeat(times: u64, call: &Call) -> Code {
    format!(
        "(global.set $v_left (i64.const {times})) (loop $again {} {} {} (br_if $again (i64.ne (global.get $v_left) (i64.const 0))))",
        call.go(),
        count("next"),
        set("left", minus(get("left"), int(1)))
    )
}

async fn noted(user: &User, notebook: Principal, expected: u64) -> Result<Vec<u64>, Failure> {
    eventually(|| async {
        let count = user.query(notebook, "count", b"").await?.number()?;
        Ok((count >= expected).then_some(()))
    })
    .await?;
    user.query(notebook, "notes", b"").await?.numbers()
}

async fn calls_of_one_execution_arrive_in_order(net: Network) -> Verdict {
    let user = net.user();
    let notes = user.deploy(&notebook()).await?;
    let call = |next: Code| Call::to(notes, "note").arg(number(next)).then("quiet");
    let module = Module::new()
        .update("go", [repeat(40, &call(get("next"))), reply()])
        .update("back", [repeat(40, &call(minus(int(79), get("next")))), reply()])
        .callback("quiet", [skip()]);
    let canister = user.deploy(&module).await?;
    user.update(canister, "go", b"").await?.reply()?;
    let expected: Vec<u64> = (0..40).collect();
    equal("what arrived", noted(&user, notes, 40).await?, expected)?;
    // The other way round when they are made the other way round.
    user.update(canister, "back", b"").await?.reply()?;
    let expected: Vec<u64> = (0..40).chain((0..40).rev()).collect();
    equal(
        "what arrived in the end",
        noted(&user, notes, 80).await?,
        expected,
    )
}

async fn calls_of_several_executions_arrive_in_order(net: Network) -> Verdict {
    let user = net.user();
    let notes = user.deploy(&notebook()).await?;
    let call = Call::to(notes, "note").arg(number(get("next"))).then("quiet");
    let module = Module::new()
        .update("go", [repeat(5, &call), reply()])
        .callback("quiet", [skip()]);
    let canister = user.deploy(&module).await?;
    futures::future::try_join_all((0..6).map(|_| user.update(canister, "go", b""))).await?;
    let expected: Vec<u64> = (0..30).collect();
    equal("what arrived", noted(&user, notes, 30).await?, expected)
}

async fn each_of_many_calls_is_answered_once(net: Network) -> Verdict {
    let user = net.user();
    let other = user.deploy(&counter()).await?;
    let call = Call::to(other, "inc").then("one");
    let module = Module::new()
        .update("go", [repeat(100, &call)])
        .callback(
            "one",
            [
                count("heard"),
                when(same(get("heard"), int(100)), [answer_numbers([get("heard")])]),
            ],
        )
        .query("get", [answer_numbers([get("heard")])]);
    let canister = user.deploy(&module).await?;
    equal(
        "the answers",
        user.update(canister, "go", b"").await?.number()?,
        100,
    )?;
    equal("the calls", user.query(other, "get", b"").await?.number()?, 100)?;
    equal(
        "the answers in the end",
        user.query(canister, "get", b"").await?.number()?,
        100,
    )
}

async fn calls_beyond_the_limit_are_not_taken_and_the_others_are_answered(net: Network) -> Verdict {
    let user = net.user();
    let other = user.deploy(&counter()).await?;
    let one = Call::to(other, "inc").then("one").code();
    // Counts what is taken, and every other code than 2.
    let round = all([
        set("code", one),
        when(same(get("code"), int(0)), [count("taken")]),
        when(same(get("code"), int(2)), [count("refused")]),
    ]);
    let module = Module::new()
        .update(
            "go",
            [
                set("left", int(700)),
                format!(
                    "(loop $again {round} {} (br_if $again (i64.ne (global.get $v_left) (i64.const 0))))",
                    set("left", minus(get("left"), int(1)))
                ),
                reply(),
            ],
        )
        .callback("one", [count("heard")])
        .query(
            "get",
            [answer_numbers([get("taken"), get("refused"), get("heard")])],
        );
    let canister = user.deploy(&module).await?;
    user.update(canister, "go", b"").await?.reply()?;
    let seen = eventually(|| async {
        let seen = user.query(canister, "get", b"").await?.numbers()?;
        Ok(matches!(seen.as_slice(), [taken, _, heard] if taken == heard).then_some(seen))
    })
    .await?;
    let [taken, refused, _] = seen.as_slice() else {
        return Err(Failure::new("expected three numbers"));
    };
    equal("taken or refused", taken + refused, 700)?;
    check(
        *refused > 0 && *taken >= 100,
        format!("a limit of some hundred calls, seen {taken}"),
    )?;
    equal(
        "what the callee did",
        user.query(other, "get", b"").await?.number()?,
        *taken,
    )
}

async fn calls_in_both_directions_do_not_block_each_other(net: Network) -> Verdict {
    let user = net.user();
    let (one, other) = (user.create().await?, user.create().await?);
    let door = Door::new(&user).await?;
    let module = |peer: Principal| {
        counter()
            .update("go", [Call::to(peer, "inc").go()])
            .update("hold", [Call::to(peer, "wait").go()])
            .update("wait", [Call::to(door.canister, "wait").go()])
    };
    user.put(one, &module(other)).await?;
    user.put(other, &module(one)).await?;
    // Only the call whose callee waits is open meanwhile.
    let held = user.start(one, "hold", b"").await?;
    door.is_held().await?;
    let calls = (0..10).map(|at| user.update(if at % 2 == 0 { one } else { other }, "go", b""));
    for answer in futures::future::try_join_all(calls).await? {
        answer.heard()?.reply()?;
    }
    equal(
        "the calls of one",
        user.query(one, "get", b"").await?.number()?,
        5,
    )?;
    equal(
        "the calls of the other",
        user.query(other, "get", b"").await?.number()?,
        5,
    )?;
    let open = user.is_pending(one, &held.id).await?;
    check(open, "that the call whose callee waits is open")?;
    door.open().await?;
    let heard = user.wait(one, &held.id).await?.heard()?;
    heard.reply().map(drop)
}

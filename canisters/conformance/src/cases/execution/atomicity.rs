//! All or nothing.

use crate::cases::prelude::*;

const ENTRY_POINTS: &str = "Entry points";

pub const CASES: &[Case] = &[
    case!(
        ENTRY_POINTS,
        a_trap_undoes_heap_globals_and_stable_memory,
        KeepStateAfterTrap,
        KeepStableAfterTrap
    ),
    case!(
        ENTRY_POINTS,
        a_trap_undoes_the_growth_of_memories,
        KeepStableAfterTrap
    ),
    case!(
        ENTRY_POINTS,
        a_trap_undoes_the_certified_data,
        KeepCertifiedAfterTrap
    ),
    case!(ENTRY_POINTS, a_trap_undoes_the_reply_and_the_timer, TimerSetOnce),
    case!(
        "Debugging aids",
        the_message_of_a_trap_is_told_to_the_caller,
        SilentTraps
    ),
    case!(
        ENTRY_POINTS,
        every_sort_of_trap_is_an_error_of_the_canister,
        WrongRejectCode
    ),
    case!(
        ENTRY_POINTS,
        an_execution_without_end_is_stopped,
        IgnoreInspection
    ),
    case!(ENTRY_POINTS, a_trap_does_not_disturb_the_next_call),
];

fn changing() -> Module {
    let change = || {
        all([
            count("n"),
            set_cell(0, plus(cell(0), int(1))),
            set_stable(0, plus(stable_or_none(), int(1))),
        ])
    };
    Module::new()
        .update("change", [change(), reply()])
        .update("change_and_trap", [change(), trap("after the change")])
        .query("left", [answer_numbers([get("n"), cell(0), stable_or_none()])])
}

/// The number at the beginning of stable memory, 0 when that is empty.
fn stable_or_none() -> Code {
    format!(
        "(if (result i64) (i64.eqz (call $stable64_size)) (then (i64.const 0)) (else {}))",
        stable(0)
    )
}

async fn a_trap_undoes_heap_globals_and_stable_memory(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&changing()).await?;
    user.update(canister, "change", b"").await?.reply()?;
    user.update(canister, "change_and_trap", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    equal(
        "what is left",
        user.query(canister, "left", b"").await?.numbers()?,
        vec![1, 1, 1],
    )?;
    user.update(canister, "change", b"").await?.reply()?;
    equal(
        "after one more",
        user.query(canister, "left", b"").await?.numbers()?,
        vec![2, 2, 2],
    )
}

async fn a_trap_undoes_the_growth_of_memories(net: Network) -> Verdict {
    let grow = || all([drop_it(grow_heap(3)), drop_it(grow_stable(2))]);
    let sizes = || [answer_numbers([heap_pages(), sys("stable64_size")])];
    let module = Module::new()
        .update("grow", [grow(), reply()])
        .update("grow_and_trap", [grow(), trap("after growing")])
        .query("sizes", sizes());
    let user = net.user();
    let canister = user.deploy(&module).await?;
    let before = user.query(canister, "sizes", b"").await?.numbers()?;
    user.update(canister, "grow_and_trap", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    equal(
        "the sizes",
        user.query(canister, "sizes", b"").await?.numbers()?,
        before.clone(),
    )?;
    user.update(canister, "grow", b"").await?.reply()?;
    let after = user.query(canister, "sizes", b"").await?.numbers()?;
    let grown: Vec<u64> = before
        .iter()
        .zip([3, 2])
        .map(|(size, more)| size + more)
        .collect();
    equal("the sizes after growing", after, grown)
}

async fn a_trap_undoes_the_certified_data(net: Network) -> Verdict {
    let module = Module::new()
        .init([certify(bytes("first"))])
        .update("trap", [certify(bytes("second")), trap("after certifying")])
        .update("set", [certify(bytes("third")), reply()])
        .query("get", [answer(fetched("data_certificate"))]);
    let user = net.user();
    let canister = user.deploy(&module).await?;
    let at = [b"canister".as_slice(), canister.as_slice(), b"certified_data"];
    for (method, expected) in [("trap", b"first"), ("set", b"third")] {
        let answer = user.update(canister, method, b"").await?;
        equal("a reply", answer.reply().is_ok(), method == "set")?;
        let certificate = Certificate::decode(&user.query(canister, "get", b"").await?.reply()?)?;
        certificate.verify(net.root_key())?;
        equal("the certified data", certificate.value(&at)?, expected.to_vec())?;
    }
    Ok(())
}

async fn a_trap_undoes_the_reply_and_the_timer(net: Network) -> Verdict {
    let later = || drop_it(set_timer(int(u64::MAX / 4)));
    let module = Module::new()
        .update(
            "trap",
            [later(), append(bytes("data")), reply(), trap("after the reply")],
        )
        .update("previous", [answer_numbers([set_timer(int(0))])])
        .update("set", [later(), reply()]);
    let user = net.user();
    let canister = user.deploy(&module).await?;
    user.update(canister, "trap", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    equal(
        "the timer",
        user.update(canister, "previous", b"").await?.number()?,
        0,
    )?;
    user.update(canister, "set", b"").await?.reply()?;
    let set = user.update(canister, "previous", b"").await?.number()?;
    equal("the timer without a trap", set, u64::MAX / 4)
}

async fn the_message_of_a_trap_is_told_to_the_caller(net: Network) -> Verdict {
    let module = Module::new()
        .update("trap", [trap("these are the words")])
        .query("ask", [trap("and these")])
        .update("silent", ["(unreachable)".to_owned()]);
    let user = net.user();
    let canister = user.deploy(&module).await?;
    let reject = user
        .update(canister, "trap", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    check(
        reject.message.contains("these are the words"),
        format!("the words, seen {}", reject.message),
    )?;
    let reject = user.query(canister, "ask", b"").await?.rejected(CANISTER_ERROR)?;
    check(
        reject.message.contains("and these"),
        format!("the words, seen {}", reject.message),
    )?;
    let reject = user
        .update(canister, "silent", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    check(
        !reject.message.contains("these"),
        format!("no words of others, seen {}", reject.message),
    )
}

async fn every_sort_of_trap_is_an_error_of_the_canister(net: Network) -> Verdict {
    let traps = [
        "(unreachable)",
        "(drop (i64.div_u (i64.const 1) (i64.const 0)))",
        "(drop (i32.trunc_f64_s (f64.const 1e300)))",
        "(drop (i32.load (i32.const 0x7fffffff)))",
        "(call_indirect (i32.const 99))",
        "(call $deep)",
    ];
    let steps = traps.iter().map(|code| all([count("n"), (*code).to_owned()]));
    let module = Module::new()
        .update("go", [choose(arg_number(), steps), reply()])
        .query("get", [answer_numbers([get("n")])])
        .raw("(func $deep (call $deep) (drop (i32.const 1)))");
    let user = net.user();
    let canister = user.deploy(&module).await?;
    each_row_traps(&user, canister, u64::try_from(traps.len())?).await?;
    user.update(canister, "go", &99_u64.to_le_bytes())
        .await?
        .reply()?;
    equal("the count", user.query(canister, "get", b"").await?.number()?, 0)
}

async fn an_execution_without_end_is_stopped(net: Network) -> Verdict {
    // Inspections have the smallest limit, so that it is over soon.
    let endless = || "(loop $again (br $again))".to_owned();
    let accept = || "(call $accept_message)".to_owned();
    let user = net.user();
    let canister = user.deploy(&counter().inspect([accept(), endless()])).await?;
    user.update(canister, "inc", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    equal("the count", user.query(canister, "get", b"").await?.number()?, 0)?;
    user.upgrade(canister, &counter().inspect([accept(), spin(1_000)]))
        .await?
        .reply()?;
    equal(
        "with an end",
        user.update(canister, "inc", b"").await?.number()?,
        1,
    )
}

async fn a_trap_does_not_disturb_the_next_call(net: Network) -> Verdict {
    let module = counter().update("trap", [count("n"), trap("no")]);
    let user = net.user();
    let canister = user.deploy(&module).await?;
    for expected in 1..=3 {
        user.update(canister, "trap", b"")
            .await?
            .rejected(CANISTER_ERROR)?;
        equal(
            "the count",
            user.update(canister, "inc", b"").await?.number()?,
            expected,
        )?;
    }
    Ok(())
}

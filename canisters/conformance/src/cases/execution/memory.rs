//! What stays from one execution to the next.

use crate::cases::prelude::*;

const STABLE: &str = "Stable memory";
const LIFECYCLE: &str = "Canister lifecycle";

pub const CASES: &[Case] = &[
    case!(LIFECYCLE, globals_and_heap_stay_from_call_to_call),
    case!(
        LIFECYCLE,
        a_grown_heap_stays_and_begins_as_zeros;
        twin a_trap_undoes_the_growth_of_memories
    ),
    case!(
        LIFECYCLE,
        constants_are_there_before_the_first_call,
        LoseConstants
    ),
    case!(
        STABLE,
        stable_memory_begins_empty_and_keeps_what_is_written,
        CompositeKeepsState
    ),
    case!(STABLE, stable_memory_cannot_be_used_beyond_its_size, LaxStable),
    case!(
        STABLE,
        growing_stable_memory_gives_the_size_before_or_minus_one,
        GrowGivesNewSize
    ),
    case!(
        STABLE,
        the_32_bit_functions_see_the_same_stable_memory,
        CompositeKeepsState
    ),
];

async fn globals_and_heap_stay_from_call_to_call(net: Network) -> Verdict {
    let step = [
        count("n"),
        set_cell(5, plus(cell(5), int(10))),
        answer_numbers([get("n"), cell(5)]),
    ];
    let user = net.user();
    let module = Module::new().update("step", step);
    let canister = user.deploy(&module).await?;
    for round in 1..=4 {
        let seen = user.update(canister, "step", b"").await?.numbers()?;
        equal("both", seen, vec![round, 10 * round])?;
    }
    // Those of another canister are others, and those of a reinstalled one are new.
    let other = user.deploy(&module).await?;
    user.install(canister, CanisterInstallMode::Reinstall, &module, b"")
        .await?
        .reply()?;
    for id in [other, canister] {
        let seen = user.update(id, "step", b"").await?.numbers()?;
        equal("both at first", seen, vec![1, 10])?;
    }
    Ok(())
}

async fn a_grown_heap_stays_and_begins_as_zeros(net: Network) -> Verdict {
    let top = "(i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 8))";
    let module = Module::new()
        .update(
            "grow",
            [
                drop_it(grow_heap(7)),
                answer_numbers([heap_pages(), format!("(i64.load {top})")]),
            ],
        )
        .update("write", [format!("(i64.store {top} (i64.const 77))"), reply()])
        .query(
            "read",
            [answer_numbers([heap_pages(), format!("(i64.load {top})")])],
        );
    let user = net.user();
    let canister = user.deploy(&module).await?;
    let grown = user.update(canister, "grow", b"").await?.numbers()?;
    let [pages, 0] = grown.as_slice() else {
        return Err(Failure::new(format!(
            "expected zeros in the new part, seen {grown:?}"
        )));
    };
    user.update(canister, "write", b"").await?.reply()?;
    equal(
        "later",
        user.query(canister, "read", b"").await?.numbers()?,
        vec![*pages, 77],
    )
}

async fn constants_are_there_before_the_first_call(net: Network) -> Verdict {
    let module = Module::new()
        .query("read", [answer(bytes("a constant of the module"))])
        .query("beside", [answer("(i32.const 4096) (i32.const 8)")]);
    let user = net.user();
    let canister = user.deploy(&module).await?;
    let seen = user.query(canister, "read", b"").await?.reply()?;
    equal("the constant", seen, b"a constant of the module".to_vec())?;
    let seen = user.query(canister, "beside", b"").await?.reply()?;
    equal("where there is none", seen, vec![0; 8])
}

async fn stable_memory_begins_empty_and_keeps_what_is_written(net: Network) -> Verdict {
    let module = Module::new()
        .query("size", [answer_numbers([sys("stable64_size")])])
        .update("write", [set_stable(65_528, int(5)), reply()])
        .query("read", [answer_numbers([stable(65_528), stable(0)])]);
    let user = net.user();
    let canister = user.deploy(&module).await?;
    equal("the size", user.query(canister, "size", b"").await?.number()?, 0)?;
    user.update(canister, "write", b"").await?.reply()?;
    equal("the size", user.query(canister, "size", b"").await?.number()?, 1)?;
    equal(
        "the contents",
        user.query(canister, "read", b"").await?.numbers()?,
        vec![5, 0],
    )
}

async fn stable_memory_cannot_be_used_beyond_its_size(net: Network) -> Verdict {
    let wrong = [
        "(call $stable64_read (i64.const 0) (i64.const 65529) (i64.const 8))",
        "(call $stable64_write (i64.const 65529) (i64.const 0) (i64.const 8))",
        "(call $stable64_read (i64.const 0) (i64.const -1) (i64.const 1))",
        "(call $stable64_write (i64.const -8) (i64.const 0) (i64.const 16))",
        "(call $stable64_read (i64.const 0x7fff0000) (i64.const 0) (i64.const 8))",
        "(call $stable64_write (i64.const 0) (i64.const 0x100000000) (i64.const 8))",
    ];
    let right = [
        "(call $stable64_read (i64.const 0) (i64.const 65528) (i64.const 8))",
        "(call $stable64_write (i64.const 65528) (i64.const 0) (i64.const 8))",
    ];
    let steps = wrong.iter().chain(&right).map(|code| (*code).to_owned());
    let module = Module::new()
        .init([drop_it(grow_stable(1))])
        .update("go", [choose(arg_number(), steps), reply()]);
    let user = net.user();
    let canister = user.deploy(&module).await?;
    each_row_traps(&user, canister, u64::try_from(wrong.len())?).await?;
    for row in [6, 7, 99_u64] {
        user.update(canister, "go", &row.to_le_bytes()).await?.reply()?;
    }
    Ok(())
}

async fn growing_stable_memory_gives_the_size_before_or_minus_one(net: Network) -> Verdict {
    let far = 1_u64 << 40;
    let module = Module::new().update(
        "grow",
        [answer_numbers([
            grow_stable(2),
            grow_stable(3),
            grow_stable(far),
            sys("stable64_size"),
        ])],
    );
    let user = net.user();
    let canister = user.deploy(&module).await?;
    let seen = user.update(canister, "grow", b"").await?.numbers()?;
    equal("the results", seen, vec![0, 2, u64::MAX, 5])
}

async fn the_32_bit_functions_see_the_same_stable_memory(net: Network) -> Verdict {
    let small = || wide("(call $stable_size)");
    let large = || sys("stable64_size");
    let module = Module::new()
        .update(
            "write",
            [
                drop_it(wide("(call $stable_grow (i32.const 1))")),
                set_cell(0, int(99)),
                "(call $stable_write (i32.const 16) (i32.const 1024) (i32.const 8))".to_owned(),
                answer_numbers([stable(16), small(), large()]),
            ],
        )
        .update("outgrow", [drop_it(grow_stable(65_536)), reply()])
        .query("small", [answer_numbers([small()])])
        .query("large", [answer_numbers([large()])]);
    let user = net.user();
    let canister = user.deploy(&module).await?;
    equal(
        "what is seen",
        user.update(canister, "write", b"").await?.numbers()?,
        vec![99, 1, 1],
    )?;
    // They cannot see one that is larger than 4 GiB.
    user.query(canister, "small", b"").await?.reply()?;
    user.update(canister, "outgrow", b"").await?.reply()?;
    user.query(canister, "small", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    let size = user.query(canister, "large", b"").await?.number()?;
    equal("the size", size, 65_537)
}

//! Installing and upgrading as the code of a canister sees it.

use crate::cases::prelude::*;

const INIT: &str = "Canister initialization";
const UPGRADES: &str = "Canister upgrades";

pub const CASES: &[Case] = &[
    case!(
        INIT,
        init_gets_the_argument_and_the_caller_of_the_install,
        SkipInit
    ),
    case!(
        INIT,
        an_init_that_traps_leaves_the_canister_empty,
        UpgradeNotAtomic
    ),
    case!(
        INIT,
        a_reinstall_whose_init_traps_leaves_the_canister_as_it_was,
        UpgradeNotAtomic
    ),
    case!(INIT, the_start_function_runs_before_init, SkipInit),
    case!(
        UPGRADES,
        an_upgrade_keeps_stable_memory_and_begins_with_a_fresh_heap,
        StableLostOnUpgrade
    ),
    case!(
        UPGRADES,
        an_upgrade_runs_the_hooks_of_both_modules_in_order_and_no_init,
        SkipPreUpgrade
    ),
    case!(
        UPGRADES,
        an_upgrade_whose_post_upgrade_traps_undoes_its_pre_upgrade_too,
        UpgradeNotAtomic
    ),
    case!(
        UPGRADES,
        an_upgrade_whose_pre_upgrade_traps_changes_nothing,
        UpgradeNotAtomic;
        twin an_upgrade_runs_the_hooks_of_both_modules_in_order_and_no_init
    ),
    case!(
        UPGRADES,
        a_pre_upgrade_that_traps_can_be_skipped,
        IgnoreUpgradeFlags
    ),
    case!(
        UPGRADES,
        a_heap_can_be_kept_over_an_upgrade,
        IgnoreUpgradeFlags;
        twin an_upgrade_keeps_stable_memory_and_begins_with_a_fresh_heap
    ),
    case!(
        UPGRADES,
        post_upgrade_gets_the_argument_and_the_caller_of_the_upgrade,
        InstallWithoutArgument
    ),
];

async fn init_gets_the_argument_and_the_caller_of_the_install(net: Network) -> Verdict {
    // What init sees is certified, because that is where it can leave bytes.
    let module = |what: Code| {
        let shown = [answer(fetched("data_certificate"))];
        Module::new().init([certify(what)]).query("get", shown)
    };
    let (user, canister, friend) = shared(&net).await?;
    let at = [b"canister".as_slice(), canister.as_slice(), b"certified_data"];
    let seen = async |who: &User, module: &Module, arg: &[u8]| {
        let mode = CanisterInstallMode::Reinstall;
        who.install(canister, mode, module, arg).await?.reply()?;
        Certificate::decode(&who.query(canister, "get", b"").await?.reply()?)?.value(&at)
    };
    for (who, sent) in [(&user, b"hello".as_slice()), (&friend, b"")] {
        let arg = seen(who, &module(arg()), sent).await?;
        equal("the argument", arg, sent.to_vec())?;
        let caller = seen(who, &module(caller()), sent).await?;
        equal("the caller", caller, who.id().as_slice().to_vec())?;
    }
    Ok(())
}

/// An empty canister that two users control.
async fn shared(net: &Network) -> Result<(User, Principal, User), Failure> {
    let (user, friend) = (net.user(), net.user());
    let settings = CanisterSettings {
        controllers: Some(vec![user.id(), friend.id()]),
        ..CanisterSettings::default()
    };
    let canister = user.create_with(settings).await?;
    Ok((user, canister, friend))
}

async fn an_init_that_traps_leaves_the_canister_empty(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.create().await?;
    let bad = counter().init([set_stable(0, int(1)), trap("not today")]);
    user.install(canister, CanisterInstallMode::Install, &bad, b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    let status = user.status(canister).await?;
    equal("the module hash", status.module_hash, None)?;
    user.put(canister, &counter()).await?;
    equal(
        "a good module",
        user.update(canister, "inc", b"").await?.number()?,
        1,
    )
}

async fn a_reinstall_whose_init_traps_leaves_the_canister_as_it_was(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&counter()).await?;
    user.update(canister, "inc", b"").await?.reply()?;
    let bad = Module::new().init([trap("not today")]);
    user.install(canister, CanisterInstallMode::Reinstall, &bad, b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    equal("the count", user.update(canister, "inc", b"").await?.number()?, 2)?;
    user.install(canister, CanisterInstallMode::Reinstall, &counter(), b"")
        .await?
        .reply()?;
    let count = user.update(canister, "inc", b"").await?.number()?;
    equal("the count after a good one", count, 1)
}

async fn the_start_function_runs_before_init(net: Network) -> Verdict {
    let module = Module::new()
        .init([set("b", plus(get("a"), cell(0)))])
        .query("get", [answer_numbers([get("a"), get("b")])])
        .update("touch", [reply()]);
    let user = net.user();
    let canister = user.deploy(&module).await?;
    equal(
        "what init left alone",
        user.query(canister, "get", b"").await?.numbers()?,
        vec![0, 0],
    )?;
    let module = module.start([set("a", int(7)), set_cell(0, int(8))]);
    let canister = user.deploy(&module).await?;
    equal(
        "what they left",
        user.query(canister, "get", b"").await?.numbers()?,
        vec![7, 15],
    )?;
    user.update(canister, "touch", b"").await?.reply()?;
    equal(
        "after a call",
        user.query(canister, "get", b"").await?.numbers()?,
        vec![7, 15],
    )
}

/// Counts on the heap, in a global and in stable memory.
fn three() -> Module {
    Module::new()
        .update(
            "change",
            [count("n"), set_cell(0, int(5)), set_stable(0, int(5)), reply()],
        )
        .query(
            "left",
            [answer_numbers([get("n"), cell(0), sys("stable64_size")])],
        )
        .query("stable", [answer_numbers([stable(0)])])
}

async fn an_upgrade_keeps_stable_memory_and_begins_with_a_fresh_heap(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&three()).await?;
    user.update(canister, "change", b"").await?.reply()?;
    user.upgrade(canister, &three()).await?.reply()?;
    equal(
        "what is left",
        user.query(canister, "left", b"").await?.numbers()?,
        vec![0, 0, 1],
    )?;
    equal(
        "stable memory",
        user.query(canister, "stable", b"").await?.number()?,
        5,
    )?;
    user.install(canister, CanisterInstallMode::Reinstall, &three(), b"")
        .await?
        .reply()?;
    let left = user.query(canister, "left", b"").await?.numbers()?;
    equal("after a reinstall", left, vec![0, 0, 0])
}

/// Notes a number in stable memory, behind those that are there.
fn note(value: u64) -> Code {
    all([
        "(if (i64.eqz (call $stable64_size)) (then (drop (call $stable64_grow (i64.const 1)))))".to_owned(),
        set("at", plus(stable(0), int(8))),
        set_stable(0, get("at")),
        format!("(call $stable_set (global.get $v_at) (i64.const {value}))"),
    ])
}

async fn an_upgrade_runs_the_hooks_of_both_modules_in_order_and_no_init(net: Network) -> Verdict {
    let module = |base: u64| {
        Module::new()
            .start([skip()])
            .init([note(base + 1)])
            .pre_upgrade([note(base + 2)])
            .post_upgrade([note(base + 3)])
            .query(
                "notes",
                [answer_numbers([
                    stable(0),
                    stable(8),
                    stable(16),
                    stable(24),
                    stable(32),
                ])],
            )
    };
    let user = net.user();
    let canister = user.deploy(&module(10)).await?;
    user.upgrade(canister, &module(20)).await?.reply()?;
    let notes = user.query(canister, "notes", b"").await?.numbers()?;
    equal("what ran", notes, vec![24, 11, 12, 23, 0])
}

async fn an_upgrade_whose_post_upgrade_traps_undoes_its_pre_upgrade_too(net: Network) -> Verdict {
    let old = three().pre_upgrade([set_stable(0, int(99)), count("n")]);
    let bad = three().post_upgrade([set_stable(0, int(100)), trap("not today")]);
    let user = net.user();
    let canister = user.deploy(&old).await?;
    user.update(canister, "change", b"").await?.reply()?;
    user.upgrade(canister, &bad).await?.rejected(CANISTER_ERROR)?;
    equal(
        "what is left",
        user.query(canister, "left", b"").await?.numbers()?,
        vec![1, 5, 1],
    )?;
    equal(
        "stable memory",
        user.query(canister, "stable", b"").await?.number()?,
        5,
    )?;
    user.upgrade(canister, &three()).await?.reply()?;
    equal(
        "after a good one",
        user.query(canister, "stable", b"").await?.number()?,
        99,
    )
}

async fn an_upgrade_whose_pre_upgrade_traps_changes_nothing(net: Network) -> Verdict {
    let old = three().pre_upgrade([set_stable(0, int(99)), trap("not today")]);
    let user = net.user();
    let canister = user.deploy(&old).await?;
    user.update(canister, "change", b"").await?.reply()?;
    let before = user.status(canister).await?.module_hash;
    user.upgrade(canister, &three().query("more", [skip()]))
        .await?
        .rejected(CANISTER_ERROR)?;
    equal("the module", user.status(canister).await?.module_hash, before)?;
    equal(
        "what is left",
        user.query(canister, "left", b"").await?.numbers()?,
        vec![1, 5, 1],
    )?;
    equal(
        "stable memory",
        user.query(canister, "stable", b"").await?.number()?,
        5,
    )
}

fn flags(skip: bool, keep: bool) -> CanisterInstallMode {
    CanisterInstallMode::Upgrade(Some(UpgradeFlags {
        skip_pre_upgrade: Some(skip),
        wasm_memory_persistence: keep.then_some(ic_management_canister_types::WasmMemoryPersistence::Keep),
    }))
}

async fn a_pre_upgrade_that_traps_can_be_skipped(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&three().pre_upgrade([trap("never")])).await?;
    user.update(canister, "change", b"").await?.reply()?;
    user.install(canister, flags(false, false), &three(), b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    user.install(canister, flags(true, false), &three(), b"")
        .await?
        .reply()?;
    equal(
        "stable memory",
        user.query(canister, "stable", b"").await?.number()?,
        5,
    )
}

async fn a_heap_can_be_kept_over_an_upgrade(net: Network) -> Verdict {
    // Networks may allow it only for modules that say that they can live with it.
    let module = || three().section("icp:private enhanced-orthogonal-persistence", b"");
    let user = net.user();
    let canister = user.deploy(&module()).await?;
    user.update(canister, "change", b"").await?.reply()?;
    user.install(canister, flags(false, true), &module(), b"")
        .await?
        .reply()?;
    equal(
        "what is left",
        user.query(canister, "left", b"").await?.numbers()?,
        vec![0, 5, 1],
    )
}

async fn post_upgrade_gets_the_argument_and_the_caller_of_the_upgrade(net: Network) -> Verdict {
    let (user, canister, friend) = shared(&net).await?;
    user.put(canister, &counter()).await?;
    let next = Module::new()
        .post_upgrade([
            set("length", wide("(call $msg_arg_data_size)")),
            certify(caller()),
        ])
        .query("length", [answer_numbers([get("length")])])
        .query("get", [answer(fetched("data_certificate"))]);
    for (who, arg, length) in [(user, b"12345".as_slice(), 5), (friend, b"", 0)] {
        who.install(canister, CanisterInstallMode::Upgrade(None), &next, arg)
            .await?
            .reply()?;
        equal(
            "the length",
            who.query(canister, "length", b"").await?.number()?,
            length,
        )?;
        let certificate = Certificate::decode(&who.query(canister, "get", b"").await?.reply()?)?;
        let seen = certificate.value(&[b"canister", canister.as_slice(), b"certified_data"])?;
        equal("the caller", seen, who.id().as_slice().to_vec())?;
    }
    Ok(())
}

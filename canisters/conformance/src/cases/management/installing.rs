//! Installing code.

use crate::cases::prelude::*;

const INSTALL: &str = "IC method install_code";

pub const CASES: &[Case] = &[
    case!(INSTALL, installing_needs_an_empty_canister, WrongMode),
    case!(INSTALL, upgrading_needs_a_canister_that_is_not_empty, WrongMode),
    case!(INSTALL, a_reinstall_wipes_everything, ReinstallKeepsStable),
    case!(
        INSTALL,
        a_module_of_one_canister_does_not_touch_another,
        MissingMethodIsAbsent
    ),
    case!(
        INSTALL,
        a_stopped_canister_can_be_upgraded_and_stays_stopped,
        InstallStarts
    ),
    case!(
        INSTALL,
        installing_into_a_canister_that_does_not_exist_is_rejected,
        AbsentIsError
    ),
    case!(
        "Canister lifecycle",
        calls_during_many_upgrades_meet_one_module_or_the_other,
        SkipInit
    ),
];

async fn installing_needs_an_empty_canister(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&counter()).await?;
    user.update(canister, "inc", b"").await?.reply()?;
    let other = Module::new();
    user.install(canister, CanisterInstallMode::Install, &other, b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    equal("the count", user.update(canister, "inc", b"").await?.number()?, 2)?;
    user.manage(canister, "uninstall_code", &about(canister))
        .await?
        .reply()?;
    user.put(canister, &counter()).await?;
    equal("the count", user.update(canister, "inc", b"").await?.number()?, 1)
}

async fn upgrading_needs_a_canister_that_is_not_empty(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.create().await?;
    user.upgrade(canister, &counter())
        .await?
        .rejected(CANISTER_ERROR)?;
    equal("the module", user.status(canister).await?.module_hash, None)?;
    user.install(canister, CanisterInstallMode::Reinstall, &counter(), b"")
        .await?
        .reply()?;
    user.upgrade(canister, &counter()).await?.reply().map(drop)
}

async fn a_reinstall_wipes_everything(net: Network) -> Verdict {
    let module = counter()
        .update(
            "fill",
            [
                count("n"),
                set_cell(0, int(4)),
                set_stable(0, int(4)),
                drop_it(grow_heap(2)),
                reply(),
            ],
        )
        .query(
            "left",
            [answer_numbers([
                get("n"),
                cell(0),
                sys("stable64_size"),
                heap_pages(),
            ])],
        );
    let user = net.user();
    let canister = user.deploy(&module).await?;
    let fresh = user.query(canister, "left", b"").await?.numbers()?;
    user.update(canister, "fill", b"").await?.reply()?;
    check(
        user.query(canister, "left", b"").await?.numbers()? != fresh,
        "that something is there",
    )?;
    // An upgrade does not wipe stable memory.
    user.upgrade(canister, &module).await?.reply()?;
    let kept = user.query(canister, "left", b"").await?.numbers()?;
    equal("stable memory after an upgrade", kept.get(2).copied(), Some(1))?;
    user.install(canister, CanisterInstallMode::Reinstall, &module, b"")
        .await?
        .reply()?;
    equal(
        "what is left",
        user.query(canister, "left", b"").await?.numbers()?,
        fresh,
    )
}

async fn a_module_of_one_canister_does_not_touch_another(net: Network) -> Verdict {
    let user = net.user();
    let (one, other) = (user.deploy(&counter()).await?, user.deploy(&counter()).await?);
    for expected in 1..=3 {
        equal(
            "the count of one",
            user.update(one, "inc", b"").await?.number()?,
            expected,
        )?;
    }
    equal(
        "the count of the other",
        user.query(other, "get", b"").await?.number()?,
        0,
    )?;
    user.install(one, CanisterInstallMode::Reinstall, &Module::new(), b"")
        .await?
        .reply()?;
    user.update(one, "inc", b"").await?.rejected(CANISTER_ERROR)?;
    equal("the other", user.update(other, "inc", b"").await?.number()?, 1)
}

async fn a_stopped_canister_can_be_upgraded_and_stays_stopped(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&counter()).await?;
    user.stop(canister).await?;
    user.upgrade(canister, &counter().query("more", [answer(bytes("more"))]))
        .await?
        .reply()?;
    equal(
        "the status",
        user.status(canister).await?.status,
        CanisterStatusType::Stopped,
    )?;
    user.update(canister, "inc", b"").await?.refused()?;
    user.manage(canister, "start_canister", &about(canister))
        .await?
        .reply()?;
    equal(
        "the new method",
        user.query(canister, "more", b"").await?.reply()?,
        b"more".to_vec(),
    )?;
    user.upgrade(canister, &counter()).await?.reply()?;
    equal(
        "the status after an upgrade of a running one",
        user.status(canister).await?.status,
        CanisterStatusType::Running,
    )
}

async fn installing_into_a_canister_that_does_not_exist_is_rejected(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.create().await?;
    user.put(canister, &counter()).await?;
    user.remove(canister).await?;
    let answer = user
        .install(canister, CanisterInstallMode::Install, &counter(), b"")
        .await?;
    answer.rejected(DESTINATION_INVALID).map(drop)
}

async fn calls_during_many_upgrades_meet_one_module_or_the_other(net: Network) -> Verdict {
    let module = |number: u64| {
        Module::new()
            .init([set("a", int(number)), set_cell(0, int(number))])
            .post_upgrade([set("a", int(number)), set_cell(0, int(number))])
            .update("both", [answer_numbers([int(number), get("a"), cell(0)])])
    };
    let user = net.user();
    let canister = user.deploy(&module(1)).await?;
    let upgrades = async {
        for number in 2..6 {
            user.upgrade(canister, &module(number)).await?.reply()?;
        }
        Ok(())
    };
    let calls = async {
        for _ in 0..20 {
            let seen = user.update(canister, "both", b"").await?.numbers()?;
            check(
                seen.windows(2).all(|pair| pair.first() == pair.last()),
                format!("the same thrice, seen {seen:?}"),
            )?;
        }
        Ok::<(), Failure>(())
    };
    let (upgraded, called) = futures::join!(upgrades, calls);
    upgraded.and(called)?;
    let seen = user.update(canister, "both", b"").await?.numbers()?;
    equal("what a call after them meets", seen, vec![5, 5, 5])
}

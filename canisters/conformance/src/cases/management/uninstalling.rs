//! Taking code out of canisters.

use super::stopping::open;
use crate::cases::prelude::*;

const UNINSTALL: &str = "IC method uninstall_code";

pub const CASES: &[Case] = &[
    case!(
        UNINSTALL,
        uninstalling_makes_a_canister_empty,
        MissingMethodIsAbsent
    ),
    case!(
        UNINSTALL,
        uninstalling_rejects_the_calls_that_are_open,
        UninstallForgetsContexts;
        twin stopping_waits_for_open_calls
    ),
    case!(
        UNINSTALL,
        an_answer_that_comes_after_uninstalling_is_not_heard,
        UninstallForgetsContexts;
        twin a_stopping_canister_takes_no_new_calls_but_hears_answers
    ),
    case!(
        UNINSTALL,
        uninstalling_keeps_cycles_controllers_and_status,
        UninstallKeepsMemory
    ),
];

async fn uninstall(user: &User, canister: Principal) -> Verdict {
    user.manage(canister, "uninstall_code", &about(canister))
        .await?
        .reply()
        .map(drop)
}

async fn uninstalling_makes_a_canister_empty(net: Network) -> Verdict {
    let module = counter()
        .update("fill", [set_stable(0, int(1)), reply()])
        .query("size", [answer_numbers([sys("stable64_size")])]);
    let user = net.user();
    let canister = user.deploy(&module).await?;
    user.update(canister, "inc", b"").await?.reply()?;
    user.update(canister, "fill", b"").await?.reply()?;
    uninstall(&user, canister).await?;
    user.update(canister, "inc", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    user.query(canister, "get", b"").await?.rejected(CANISTER_ERROR)?;
    equal("the module", user.status(canister).await?.module_hash, None)?;
    user.put(canister, &module).await?;
    equal("the count", user.query(canister, "get", b"").await?.number()?, 0)?;
    equal(
        "stable memory",
        user.query(canister, "size", b"").await?.number()?,
        0,
    )
}

async fn uninstalling_rejects_the_calls_that_are_open(net: Network) -> Verdict {
    let open = open(&net).await?;
    check(
        open.user.is_pending(open.canister, &open.call.id).await?,
        "that the call is open",
    )?;
    uninstall(&open.user, open.canister).await?;
    open.user.wait(open.canister, &open.call.id).await?.refused()?;
    open.door.open().await
}

async fn an_answer_that_comes_after_uninstalling_is_not_heard(net: Network) -> Verdict {
    let open = open(&net).await?;
    uninstall(&open.user, open.canister).await?;
    // Other code at the place of the callback, which must not run.
    let trap_door = counter()
        .callback("end", [count("n")])
        .update("use", [Call::to_blob(own_id(), "inc").then("end").go()]);
    open.user.put(open.canister, &trap_door).await?;
    open.door.open().await?;
    // It stops when nothing is outstanding.
    open.user.stop(open.canister).await?;
    open.user
        .manage(open.canister, "start_canister", &about(open.canister))
        .await?
        .reply()?;
    equal(
        "what ran",
        open.user.query(open.canister, "get", b"").await?.number()?,
        0,
    )
}

async fn uninstalling_keeps_cycles_controllers_and_status(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&counter()).await?;
    user.stop(canister).await?;
    let before = user.status(canister).await?;
    uninstall(&user, canister).await?;
    let after = user.status(canister).await?;
    check(before.module_hash.is_some(), "a module at first")?;
    equal("the module, which goes", after.module_hash, None)?;
    equal("the status", after.status, CanisterStatusType::Stopped)?;
    equal("the controllers", after.settings.controllers, vec![user.id()])?;
    check(
        after.cycles > before.cycles.clone() - 1_000_000_000_000_u64,
        "that the cycles are still there",
    )?;
    check(after.version > before.version, "a later version")
}

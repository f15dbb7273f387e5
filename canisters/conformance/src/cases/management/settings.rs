//! Changing settings.

use crate::cases::prelude::*;

const SETTINGS: &str = "IC method update_settings";
const LIMIT: &str = "IC method create_canister";

pub const CASES: &[Case] = &[
    case!(SETTINGS, a_setting_that_is_not_named_stays, UnnamedSettingsReset),
    case!(
        SETTINGS,
        who_is_no_controller_any_more_has_lost_its_rights,
        IgnoreControllers
    ),
    case!(
        SETTINGS,
        a_canister_without_controllers_cannot_be_changed,
        IgnoreControllers
    ),
    case!(SETTINGS, a_refused_change_changes_nothing, UnboundedSettings),
    case!(
        LIMIT,
        a_limit_of_the_heap_holds_for_updates_and_not_for_queries,
        IgnoreLimits
    ),
    case!(
        LIMIT,
        calls_with_too_few_cycles_are_rejected_when_a_minimum_is_set,
        IgnoreLimits
    ),
];

fn plain() -> CanisterSettings {
    CanisterSettings::default()
}

async fn a_setting_that_is_not_named_stays(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.create().await?;
    let first = CanisterSettings {
        freezing_threshold: Some(Nat::from(1_234_567_u32)),
        wasm_memory_limit: Some(Nat::from(1_000_000_000_u32)),
        ..plain()
    };
    user.set(canister, first).await?.reply()?;
    let second = CanisterSettings {
        wasm_memory_limit: Some(Nat::from(2_000_000_000_u32)),
        ..plain()
    };
    user.set(canister, second).await?.reply()?;
    let settings = user.status(canister).await?.settings;
    equal(
        "the threshold",
        settings.freezing_threshold,
        Nat::from(1_234_567_u32),
    )?;
    equal(
        "the limit",
        settings.wasm_memory_limit,
        Nat::from(2_000_000_000_u32),
    )?;
    equal("the controllers", settings.controllers, vec![user.id()])
}

async fn who_is_no_controller_any_more_has_lost_its_rights(net: Network) -> Verdict {
    let (user, heir) = (net.user(), net.user());
    let canister = user.deploy(&counter()).await?;
    let change = CanisterSettings {
        controllers: Some(vec![heir.id()]),
        ..plain()
    };
    user.set(canister, change).await?.reply()?;
    user.upgrade(canister, &counter()).await?.refused()?;
    user.set(canister, plain()).await?.refused()?;
    heir.upgrade(canister, &counter()).await?.reply().map(drop)
}

async fn a_canister_without_controllers_cannot_be_changed(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&counter()).await?;
    let nobody = CanisterSettings {
        controllers: Some(vec![]),
        ..plain()
    };
    user.upgrade(canister, &counter()).await?.reply()?;
    user.set(canister, nobody).await?.reply()?;
    user.manage(canister, "stop_canister", &about(canister))
        .await?
        .refused()?;
    user.upgrade(canister, &counter()).await?.refused()?;
    equal(
        "it runs on",
        user.update(canister, "inc", b"").await?.number()?,
        1,
    )
}

async fn a_refused_change_changes_nothing(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.create().await?;
    let before = user.status(canister).await?.settings;
    let half_wrong = CanisterSettings {
        freezing_threshold: Some(Nat::from(77_u8)),
        compute_allocation: Some(Nat::from(101_u8)),
        ..plain()
    };
    let right = CanisterSettings {
        compute_allocation: None,
        ..half_wrong.clone()
    };
    user.set(canister, half_wrong).await?.refused()?;
    equal("the settings", user.status(canister).await?.settings, before)?;
    user.set(canister, right).await?.reply()?;
    let threshold = user.status(canister).await?.settings.freezing_threshold;
    equal("the threshold", threshold, Nat::from(77_u8))
}

async fn a_limit_of_the_heap_holds_for_updates_and_not_for_queries(net: Network) -> Verdict {
    let grow = || [answer_numbers([grow_heap(32)])];
    let module = counter()
        .update(
            "grow",
            [count("n"), answer_numbers([grow_heap(32), heap_pages()])],
        )
        .query("try", grow());
    let user = net.user();
    let canister = user.deploy(&module).await?;
    let limit = |bytes: u64| CanisterSettings {
        wasm_memory_limit: Some(Nat::from(bytes)),
        ..plain()
    };
    user.set(canister, limit(1 << 20)).await?.reply()?;
    // To grow beyond it traps, or does not succeed.
    match user.update(canister, "grow", b"").await? {
        Answer::Reply(reply) => equal(
            "the result of growing",
            numbers(&reply).first().copied(),
            Some(u64::from(u32::MAX)),
        )?,
        answer @ Answer::Reject(_) => {
            answer.rejected(CANISTER_ERROR)?;
            equal("the count", user.query(canister, "get", b"").await?.number()?, 0)?;
        }
    }
    let pages = user.query(canister, "try", b"").await?.number()?;
    check(pages < 16, format!("that a query can grow, seen {pages}"))?;
    user.set(canister, limit(1 << 30)).await?.reply()?;
    let grown = user.update(canister, "grow", b"").await?.numbers()?;
    check(
        grown.last().is_some_and(|pages| *pages >= 32),
        "that a higher limit is no obstacle",
    )
}

async fn calls_with_too_few_cycles_are_rejected_when_a_minimum_is_set(net: Network) -> Verdict {
    let user = net.user();
    let callee = user
        .deploy(&counter().update("own", [Call::to_blob(own_id(), "inc").go()]))
        .await?;
    let minimum = 1_000_000_000_u64;
    let change = CanisterSettings {
        minimum_incoming_canister_call_cycles: Some(Nat::from(minimum)),
        ..plain()
    };
    user.set(callee, change).await?.reply()?;
    let module = Module::new()
        .update(
            "poor",
            [Call::to(callee, "inc").cycles(int(minimum - 1)).then("tell").go()],
        )
        .update(
            "rich",
            [Call::to(callee, "inc").cycles(int(minimum)).then("tell").go()],
        )
        .callback(
            "tell",
            [answer_numbers([
                sys32("msg_reject_code"),
                low128("msg_cycles_refunded128"),
            ])],
        );
    let caller = user.deploy(&module).await?;
    let poor = user.update(caller, "poor", b"").await?.numbers()?;
    equal("the code and the refund", poor, vec![5, minimum - 1])?;
    equal(
        "the code with enough",
        user.update(caller, "rich", b"")
            .await?
            .numbers()?
            .first()
            .copied(),
        Some(0),
    )?;
    user.update(callee, "inc", b"").await?.reply()?;
    user.update(callee, "own", b"").await?.heard()?.reply()?;
    equal("the count", user.query(callee, "get", b"").await?.number()?, 3)
}

//! Canisters that call the management canister.

use crate::cases::prelude::*;
use ic_management_canister_types::{
    CanisterIdRecord, CanisterInfoArgs, CanisterInfoResult, ChangeDetails, ChangeOrigin, CreateCanisterArgs,
    UpdateSettingsArgs,
};

const MANAGEMENT: &str = "The IC management canister";
const RANDOM: &str = "IC method raw_rand";
const INFO: &str = "IC method canister_info";

pub const CASES: &[Case] = &[
    case!(
        RANDOM,
        random_bytes_differ_from_call_to_call,
        ConstantRandom,
        ExecuteRepeated
    ),
    case!(MANAGEMENT, some_methods_are_for_canisters_only, OpenChannels),
    case!(
        MANAGEMENT,
        a_canister_manages_what_it_controls_and_nothing_else,
        IgnoreControllers
    ),
    case!(
        "IC method create_canister",
        a_canister_that_creates_one_controls_it_and_pays
    ),
    case!("IC method deposit_cycles", deposited_cycles_arrive, LoseDeposits),
    case!(
        INFO,
        the_history_of_a_canister_is_complete_and_in_order,
        ForgetHistory
    ),
    case!(
        INFO,
        the_history_is_counted_and_shown_as_far_as_asked,
        HistoryInFull
    ),
    case!(MANAGEMENT, a_method_that_does_not_exist_is_rejected),
    case!(
        "IC method update_settings",
        a_canister_that_names_a_wrong_version_of_itself_is_refused,
        IgnoreSenderVersion
    ),
];

/// A call of a method of the management canister with the argument of the message.
fn managing(method: &str) -> Call {
    Call::to(Principal::management_canister(), method).arg(arg())
}

fn manager() -> Module {
    let methods = [
        "raw_rand",
        "create_canister",
        "canister_status",
        "update_settings",
        "stop_canister",
        "canister_info",
        "no_such_method",
    ];
    methods.iter().fold(Module::new(), |module, method| {
        module.update(method, [managing(method).go()])
    })
}

async fn ask(
    user: &User,
    manager: Principal,
    method: &str,
    arg: &[u8],
) -> Result<crate::client::Heard, Failure> {
    user.update(manager, method, arg).await?.heard()
}

async fn random_bytes_differ_from_call_to_call(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&manager()).await?;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..5 {
        let reply = ask(&user, canister, "raw_rand", &nothing()).await?.reply()?;
        let random = Decode!(&reply, Vec<u8>)?;
        equal("how many bytes", random.len(), 32)?;
        check(seen.insert(random), "bytes that were not seen before")?;
    }
    // The same call has the same bytes, however often it is sent.
    let signed = Request::call(canister, "raw_rand", &nothing()).sign(&user.key);
    let first = user.send(canister, &signed).await?.heard()?.reply()?;
    let again = user.send(canister, &signed).await?.heard()?.reply()?;
    equal("the bytes of a call that is sent twice", again, first)
}

async fn some_methods_are_for_canisters_only(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&manager()).await?;
    let info = candid(&CanisterInfoArgs {
        canister_id: canister,
        num_requested_changes: None,
    });
    for (method, arg) in [
        ("raw_rand", nothing()),
        ("deposit_cycles", about(canister)),
        ("canister_info", info.clone()),
    ] {
        let management = Principal::management_canister();
        let signed = Request::call(management, method, &arg).sign(&user.key);
        let response = user.post_call("v4", canister, &signed).await?;
        let verdict = match response.status {
            200 => answer_in(&response, &signed.id)?.refused().map(drop),
            _ => response.refused().map(drop),
        };
        verdict.map_err(|failure| Failure::new(format!("{method}: {failure}")))?;
    }
    ask(&user, canister, "canister_info", &info)
        .await?
        .reply()
        .map(drop)
}

async fn a_canister_manages_what_it_controls_and_nothing_else(net: Network) -> Verdict {
    let user = net.user();
    let manager = user.deploy(&manager()).await?;
    let other = user.deploy(&counter()).await?;
    ask(&user, manager, "stop_canister", &about(other))
        .await?
        .rejected(5)?;
    equal(
        "the status",
        user.status(other).await?.status,
        CanisterStatusType::Running,
    )?;
    let both = CanisterSettings {
        controllers: Some(vec![user.id(), manager]),
        ..CanisterSettings::default()
    };
    user.set(other, both).await?.reply()?;
    ask(&user, manager, "stop_canister", &about(other))
        .await?
        .reply()?;
    equal(
        "the status",
        user.status(other).await?.status,
        CanisterStatusType::Stopped,
    )
}

async fn a_canister_that_creates_one_controls_it_and_pays(net: Network) -> Verdict {
    let user = net.user();
    let amount = 2_000_000_000_000_u64;
    let create = managing("create_canister");
    let module = manager()
        .update("create", [create.clone().cycles(int(amount)).go()])
        .update("create_for_nothing", [create.go()]);
    let canister = user.deploy(&module).await?;
    let arg = candid(&CreateCanisterArgs::default());
    ask(&user, canister, "create_for_nothing", &arg)
        .await?
        .refused()?;
    let reply = ask(&user, canister, "create", &arg).await?.reply()?;
    let created = Decode!(&reply, CanisterIdRecord)?.canister_id;
    user.manage(created, "canister_status", &about(created))
        .await?
        .refused()?;
    let reply = ask(&user, canister, "canister_status", &about(created))
        .await?
        .reply()?;
    let status = Decode!(&reply, ic_management_canister_types::CanisterStatusResult)?;
    equal("its controllers", status.settings.controllers, vec![canister])?;
    check(status.cycles <= amount, "no more cycles than were sent")?;
    check(status.cycles > 0_u8, "what is left of the cycles")
}

async fn deposited_cycles_arrive(net: Network) -> Verdict {
    let user = net.user();
    let amount = 1_000_000_000_000_u64;
    let other = user.deploy(&counter()).await?;
    let module = Module::new()
        .update(
            "go",
            [managing("deposit_cycles").cycles(int(amount)).then("tell").go()],
        )
        .callback(
            "tell",
            [answer_numbers([
                sys32("msg_reject_code"),
                low128("msg_cycles_refunded128"),
            ])],
        );
    let canister = user.deploy(&module).await?;
    let before = user.status(other).await?.cycles;
    let seen = user.update(canister, "go", &about(other)).await?.numbers()?;
    equal("the code and the refund", seen, vec![0, 0])?;
    let after = user.status(other).await?.cycles;
    check(
        after > before.clone() + amount / 2,
        format!("{amount} more than {before}, seen {after}"),
    )?;
    user.remove(other).await?;
    let seen = user.update(canister, "go", &about(other)).await?.numbers()?;
    let [code, refund] = seen.as_slice() else {
        return Err(Failure::new("expected two numbers"));
    };
    check(*code != 0, "that a canister that is gone gets nothing")?;
    equal("what comes back", *refund, amount)
}

async fn info(
    user: &User,
    manager: Principal,
    canister: Principal,
    changes: Option<u64>,
) -> Result<CanisterInfoResult, Failure> {
    let arg = candid(&CanisterInfoArgs {
        canister_id: canister,
        num_requested_changes: changes,
    });
    let reply = ask(user, manager, "canister_info", &arg).await?.reply()?;
    Ok(Decode!(&reply, CanisterInfoResult)?)
}

async fn the_history_of_a_canister_is_complete_and_in_order(net: Network) -> Verdict {
    let user = net.user();
    let manager = user.deploy(&manager()).await?;
    let canister = user.create().await?;
    user.put(canister, &counter()).await?;
    user.upgrade(canister, &counter()).await?.reply()?;
    user.install(canister, CanisterInstallMode::Reinstall, &counter(), b"")
        .await?
        .reply()?;
    let settings = CanisterSettings {
        controllers: Some(vec![user.id(), manager]),
        ..CanisterSettings::default()
    };
    user.set(canister, settings).await?.reply()?;
    // What changes neither the code nor the controllers is not in it.
    user.update(canister, "inc", b"").await?.reply()?;
    user.install_bytes(canister, CanisterInstallMode::Reinstall, b"rubbish", b"")
        .await?
        .refused()?;
    user.manage(canister, "uninstall_code", &about(canister))
        .await?
        .reply()?;
    let seen = info(&user, manager, canister, Some(20)).await?;
    let kinds: Vec<&str> = seen
        .recent_changes
        .iter()
        .map(|change| match &change.details {
            Some(ChangeDetails::Creation(_)) => "creation",
            Some(ChangeDetails::CodeDeployment(_)) => "deployment",
            Some(ChangeDetails::CodeUninstall) => "uninstall",
            Some(ChangeDetails::ControllersChange(_)) => "controllers",
            _ => "other",
        })
        .collect();
    let expected = [
        "creation",
        "deployment",
        "deployment",
        "deployment",
        "controllers",
        "uninstall",
    ];
    equal("the changes", kinds, expected.to_vec())?;
    equal("how many", seen.total_num_changes, 6)?;
    equal("the module hash", seen.module_hash, None)?;
    let ordered = seen.recent_changes.is_sorted_by(|one, next| {
        one.timestamp_nanos <= next.timestamp_nanos && one.canister_version < next.canister_version
    });
    check(ordered, "that times and versions grow")?;
    let by_user = seen.recent_changes.iter().all(
        |change| matches!(&change.origin, ChangeOrigin::FromUser(origin) if origin.user_id == user.id()),
    );
    check(by_user, "that the user did it")
}

async fn the_history_is_counted_and_shown_as_far_as_asked(net: Network) -> Verdict {
    let user = net.user();
    let manager = user.deploy(&manager()).await?;
    let canister = user.deploy(&counter()).await?;
    for _ in 0..23 {
        user.upgrade(canister, &counter()).await?.reply()?;
    }
    let none = info(&user, manager, canister, None).await?;
    equal("how many there were", none.total_num_changes, 25)?;
    equal("how many are shown", none.recent_changes.len(), 0)?;
    equal(
        "how many of three",
        info(&user, manager, canister, Some(3))
            .await?
            .recent_changes
            .len(),
        3,
    )?;
    let all = info(&user, manager, canister, Some(1_000))
        .await?
        .recent_changes
        .len();
    check(all >= 20, format!("at least 20 changes, seen {all}"))
}

async fn a_method_that_does_not_exist_is_rejected(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&manager()).await?;
    let heard = ask(&user, canister, "no_such_method", &about(canister)).await?;
    check(
        heard.code == 3 || heard.code == 5,
        format!("code 3 or 5, seen {}", heard.code),
    )?;
    ask(&user, canister, "raw_rand", &nothing())
        .await?
        .reply()
        .map(drop)
}

async fn a_canister_that_names_a_wrong_version_of_itself_is_refused(net: Network) -> Verdict {
    let user = net.user();
    let manager = user.deploy(&manager()).await?;
    let settings = CanisterSettings {
        controllers: Some(vec![user.id(), manager]),
        ..CanisterSettings::default()
    };
    let canister = user.create_with(settings).await?;
    let change = |version: Option<u64>| {
        candid(&UpdateSettingsArgs {
            canister_id: canister,
            settings: CanisterSettings {
                freezing_threshold: Some(Nat::from(1_000_u32)),
                ..CanisterSettings::default()
            },
            sender_canister_version: version,
        })
    };
    // The message that makes such a call does not commit (`validate_sender_canister_version`), or hears a rejection.
    match user
        .update(manager, "update_settings", &change(Some(u64::MAX)))
        .await?
    {
        refused @ Answer::Reject(_) => drop(refused.rejected(CANISTER_ERROR)?),
        answered => drop(answered.heard()?.refused()?),
    }
    let threshold = user.status(canister).await?.settings.freezing_threshold;
    check(threshold != 1_000_u32, "that nothing is changed")?;
    ask(&user, manager, "update_settings", &change(None))
        .await?
        .reply()?;
    let threshold = user.status(canister).await?.settings.freezing_threshold;
    equal("the threshold", threshold, Nat::from(1_000_u32))
}

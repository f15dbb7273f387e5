//! Creating canisters.

use crate::cases::prelude::*;
use ic_management_canister_types::ProvisionalCreateCanisterWithCyclesArgs;

const PROVISIONAL: &str = "IC method provisional_create_canister_with_cycles";
const CREATE: &str = "IC method create_canister";

pub const CASES: &[Case] = &[
    case!(
        CREATE,
        a_new_canister_is_controlled_by_who_created_it,
        IgnoreControllers
    ),
    case!(
        CREATE,
        a_new_canister_can_be_given_other_controllers,
        IgnoreWishes
    ),
    case!(CREATE, a_canister_has_at_most_10_controllers, UnboundedSettings),
    case!(CREATE, settings_out_of_bounds_are_refused, UnboundedSettings),
    case!(PROVISIONAL, a_new_canister_has_the_wanted_cycles, IgnoreWishes),
    case!(
        PROVISIONAL,
        each_new_canister_has_an_id_of_its_own;
        twin an_id_can_be_specified_and_is_given_once
    ),
    case!(
        PROVISIONAL,
        an_id_can_be_specified_and_is_given_once,
        IgnoreWishes
    ),
    case!(
        "IC method provisional_top_up_canister",
        everybody_can_top_up_a_canister,
        LoseDeposits
    ),
];

fn controlled_by(controllers: Vec<Principal>) -> CanisterSettings {
    CanisterSettings {
        controllers: Some(controllers),
        ..CanisterSettings::default()
    }
}

async fn a_new_canister_is_controlled_by_who_created_it(net: Network) -> Verdict {
    let (user, other) = (net.user(), net.user());
    let canister = user.create().await?;
    let status = user.status(canister).await?;
    equal("the controllers", status.settings.controllers, vec![user.id()])?;
    equal("the status", status.status, CanisterStatusType::Running)?;
    equal("the module", status.module_hash, None)?;
    other
        .manage(canister, "stop_canister", &about(canister))
        .await?
        .refused()
        .map(drop)
}

async fn a_new_canister_can_be_given_other_controllers(net: Network) -> Verdict {
    let (user, owner) = (net.user(), net.user());
    let canister = user.create_with(controlled_by(vec![owner.id()])).await?;
    let status = owner.status(canister).await?;
    equal("the controllers", status.settings.controllers, vec![owner.id()])?;
    user.manage(canister, "canister_status", &about(canister))
        .await?
        .refused()
        .map(drop)
}

async fn a_canister_has_at_most_10_controllers(net: Network) -> Verdict {
    let user = net.user();
    let people = |count: usize| -> Vec<Principal> {
        std::iter::once(user.id())
            .chain((1..count).map(|_| Key::ed25519().principal()))
            .collect()
    };
    let canister = user.create_with(controlled_by(people(10))).await?;
    let many = ProvisionalCreateCanisterWithCyclesArgs {
        amount: None,
        settings: Some(controlled_by(people(11))),
        specified_id: None,
        sender_canister_version: None,
    };
    user.create_as(&many).await?.refused()?;
    user.set(canister, controlled_by(people(11))).await?.refused()?;
    let controllers = user.status(canister).await?.settings.controllers;
    equal("how many controllers", controllers.len(), 10)
}

async fn settings_out_of_bounds_are_refused(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.create().await?;
    let large = Nat::from(1_u128 << 100);
    let plain = CanisterSettings::default;
    let wrong = [
        (
            "compute_allocation",
            CanisterSettings {
                compute_allocation: Some(Nat::from(101_u8)),
                ..plain()
            },
        ),
        (
            "memory_allocation",
            CanisterSettings {
                memory_allocation: Some(large.clone()),
                ..plain()
            },
        ),
        (
            "freezing_threshold",
            CanisterSettings {
                freezing_threshold: Some(large.clone()),
                ..plain()
            },
        ),
        (
            "wasm_memory_limit",
            CanisterSettings {
                wasm_memory_limit: Some(large.clone()),
                ..plain()
            },
        ),
        (
            "wasm_memory_threshold",
            CanisterSettings {
                wasm_memory_threshold: Some(large),
                ..plain()
            },
        ),
    ];
    for (name, settings) in wrong {
        user.set(canister, settings.clone())
            .await?
            .refused()
            .map_err(|failure| Failure::new(format!("{name}: {failure}")))?;
        let args = ProvisionalCreateCanisterWithCyclesArgs {
            amount: None,
            settings: Some(settings),
            specified_id: None,
            sender_canister_version: None,
        };
        user.create_as(&args).await?.refused()?;
    }
    let good = CanisterSettings {
        freezing_threshold: Some(Nat::from(3_600_u32)),
        ..plain()
    };
    user.set(canister, good).await?.reply().map(drop)
}

async fn a_new_canister_has_the_wanted_cycles(net: Network) -> Verdict {
    let user = net.user();
    for wanted in [CYCLES, CYCLES / 2] {
        let args = ProvisionalCreateCanisterWithCyclesArgs {
            amount: Some(Nat::from(wanted)),
            settings: None,
            specified_id: None,
            sender_canister_version: None,
        };
        let reply = user.create_as(&args).await?.reply()?;
        let canister = Decode!(&reply, ic_management_canister_types::CanisterIdRecord)?.canister_id;
        let cycles = user.status(canister).await?.cycles;
        check(
            cycles <= wanted && cycles > wanted - wanted / 10,
            format!("about {wanted} cycles, seen {cycles}"),
        )?;
    }
    Ok(())
}

async fn each_new_canister_has_an_id_of_its_own(net: Network) -> Verdict {
    let user = net.user();
    let ids = futures::future::try_join_all((0..8).map(|_| user.create())).await?;
    let unique: std::collections::BTreeSet<_> = ids.iter().copied().collect();
    equal("how many ids", unique.len(), 8)?;
    for id in ids {
        equal(
            "its controllers",
            user.status(id).await?.settings.controllers,
            vec![user.id()],
        )?;
    }
    Ok(())
}

async fn an_id_can_be_specified_and_is_given_once(net: Network) -> Verdict {
    let user = net.user();
    // Below the ids that networks give out by themselves here, and unlikely to be taken.
    let [high, low] = rand::random::<[u8; 2]>();
    let id = Principal::from_slice(&[0, 0, 0, 0, 0, 0x0f, high, low, 1, 1]);
    let args = ProvisionalCreateCanisterWithCyclesArgs {
        amount: None,
        settings: None,
        specified_id: Some(id),
        sender_canister_version: None,
    };
    let reply = user.create_as(&args).await?.reply()?;
    let created = Decode!(&reply, ic_management_canister_types::CanisterIdRecord)?.canister_id;
    equal("the id", created, id)?;
    user.put(id, &counter()).await?;
    net.user().create_as(&args).await?.refused()?;
    equal(
        "the canister that was there",
        user.update(id, "inc", b"").await?.number()?,
        1,
    )
}

async fn everybody_can_top_up_a_canister(net: Network) -> Verdict {
    let (user, other) = (net.user(), net.user());
    let (canister, bystander) = (user.create().await?, user.create().await?);
    let before = user.status(canister).await?.cycles;
    let args = ic_management_canister_types::ProvisionalTopUpCanisterArgs {
        canister_id: canister,
        amount: Nat::from(7_000_000_000_000_u64),
    };
    other
        .manage(canister, "provisional_top_up_canister", &candid(&args))
        .await?
        .reply()?;
    let after = user.status(canister).await?.cycles;
    check(
        after > before.clone() + 6_000_000_000_000_u64,
        format!("more than {before}, seen {after}"),
    )?;
    let others = user.status(bystander).await?.cycles;
    check(
        others <= CYCLES,
        format!("that another canister gets none of it, seen {others}"),
    )
}

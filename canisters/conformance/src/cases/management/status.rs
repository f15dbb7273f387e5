//! The status of canisters.

use crate::cases::prelude::*;
use ic_management_canister_types::{CanisterStatusResult, StatusVisibility};
use sha2::{Digest, Sha256};

const STATUS: &str = "IC method canister_status";

pub const CASES: &[Case] = &[
    case!(
        STATUS,
        the_status_tells_module_settings_and_memory,
        StatusWithoutMemory
    ),
    case!(
        STATUS,
        the_memory_of_a_canister_is_measured_in_parts,
        StatusWithoutMemory
    ),
    case!(
        STATUS,
        the_status_is_for_controllers_unless_it_is_made_visible,
        StatusForOthers
    ),
    case!(STATUS, a_canister_can_ask_for_its_own_status, StatusForOthers),
    case!(STATUS, the_status_can_be_queried),
];

async fn the_status_tells_module_settings_and_memory(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.create().await?;
    let empty = user.status(canister).await?;
    equal("no module", empty.module_hash, None)?;
    let none = empty.memory_metrics.wasm_binary_size;
    equal("the size of no module", none, Nat::from(0_u8))?;
    user.put(canister, &counter()).await?;
    let status = user.status(canister).await?;
    let hash = Sha256::digest(counter().build()?).to_vec();
    equal("the module hash", status.module_hash, Some(hash))?;
    equal("the status", status.status, CanisterStatusType::Running)?;
    equal("the controllers", status.settings.controllers, vec![user.id()])?;
    equal(
        "the freezing threshold",
        status.settings.freezing_threshold,
        Nat::from(2_592_000_u32),
    )?;
    equal(
        "the compute allocation",
        status.settings.compute_allocation,
        Nat::from(0_u8),
    )?;
    check(status.memory_size > 65_536_u32, "some memory")?;
    let size = u64::try_from(counter().build()?.len())?;
    equal(
        "the size of the module",
        status.memory_metrics.wasm_binary_size,
        Nat::from(size),
    )
}

async fn the_memory_of_a_canister_is_measured_in_parts(net: Network) -> Verdict {
    let module = Module::new().update("grow", [drop_it(grow_heap(5)), drop_it(grow_stable(7)), reply()]);
    let user = net.user();
    let canister = user.deploy(&module).await?;
    let before = user.status(canister).await?;
    user.update(canister, "grow", b"").await?.reply()?;
    let after = user.status(canister).await?;
    let heap = after.memory_metrics.wasm_memory_size - before.memory_metrics.wasm_memory_size;
    equal("the growth of the heap", heap, Nat::from(5_u32 * 65_536))?;
    equal(
        "stable memory before",
        before.memory_metrics.stable_memory_size,
        Nat::from(0_u8),
    )?;
    equal(
        "the size of the module, which does not grow",
        after.memory_metrics.wasm_binary_size,
        before.memory_metrics.wasm_binary_size,
    )?;
    equal(
        "stable memory",
        after.memory_metrics.stable_memory_size,
        Nat::from(7_u32 * 65_536),
    )?;
    check(
        after.memory_size >= before.memory_size + 12_u32 * 65_536,
        "that the sum has both",
    )
}

async fn the_status_is_for_controllers_unless_it_is_made_visible(net: Network) -> Verdict {
    let (user, friend, other) = (net.user(), net.user(), net.user());
    let canister = user.create().await?;
    let sees = move |who: User| async move { who.status(canister).await.is_ok() };
    let settings = |to| CanisterSettings {
        status_visibility: Some(to),
        ..CanisterSettings::default()
    };
    let viewer = settings(StatusVisibility::AllowedViewers(vec![friend.id()]));
    let public = settings(StatusVisibility::Public);
    seen_as_the_settings_say(canister, [&user, &friend, &other], sees, [viewer, public]).await
}

async fn a_canister_can_ask_for_its_own_status(net: Network) -> Verdict {
    let user = net.user();
    let ask = Call::to(Principal::management_canister(), "canister_status").arg(arg());
    let canister = user.deploy(&Module::new().update("go", [ask.go()])).await?;
    let reply = user
        .update(canister, "go", &about(canister))
        .await?
        .heard()?
        .reply()?;
    let status = Decode!(&reply, CanisterStatusResult)?;
    equal("the controllers", status.settings.controllers, vec![user.id()])?;
    let other = user.create().await?;
    user.update(canister, "go", &about(other))
        .await?
        .heard()?
        .rejected(5)
        .map(drop)
}

async fn the_status_can_be_queried(net: Network) -> Verdict {
    let (user, other) = (net.user(), net.user());
    let canister = user.deploy(&counter()).await?;
    let management = Principal::management_canister();
    let reply = user
        .query_at(canister, management, "canister_status", &about(canister))
        .await?
        .reply()?;
    let status = Decode!(&reply, CanisterStatusResult)?;
    equal("the controllers", status.settings.controllers, vec![user.id()])?;
    other
        .query_at(canister, management, "canister_status", &about(canister))
        .await?
        .refused()
        .map(drop)
}

//! Which settings are accepted.

use super::*;
use candid::Nat;
use ic_management_canister_types::{
    EnvironmentVariable, LogVisibility, SnapshotVisibility, StatusVisibility, UpdateSettingsArgs,
};

pub fn update(world: &mut World, canister: Principal, settings: CanisterSettings) -> Result<Vec<u8>, Reject> {
    let controller = world
        .machine
        .state()
        .canister(&canister)
        .unwrap()
        .settings
        .controllers[0];
    let arg = Encode!(&UpdateSettingsArgs {
        canister_id: canister,
        settings,
        sender_canister_version: None
    })
    .unwrap();
    world.manage(controller, "update_settings", arg)
}

fn none() -> CanisterSettings {
    CanisterSettings::default()
}

/// A setting at its bound, and beyond.
fn bounds() -> Vec<(&'static str, CanisterSettings, CanisterSettings)> {
    let number = |most: u128| (Some(Nat::from(most)), Some(Nat::from(most) + 1u8));
    macro_rules! bound {
        ($field:ident, $most:expr) => {{
            let (at, beyond) = number($most);
            let at = CanisterSettings { $field: at, ..none() };
            let beyond = CanisterSettings {
                $field: beyond,
                ..none()
            };
            (stringify!($field), at, beyond)
        }};
    }
    let many =
        |count: u8| -> Vec<Principal> { (0..count).map(|byte| Principal::from_slice(&[byte])).collect() };
    macro_rules! viewers {
        ($field:ident, $kind:ident) => {{
            let of = |count| CanisterSettings {
                $field: Some($kind::AllowedViewers(many(count))),
                ..none()
            };
            (stringify!($field), of(10), of(11))
        }};
    }
    let variables = |count: usize, len: usize| CanisterSettings {
        environment_variables: Some(
            (0..count)
                .map(|number| EnvironmentVariable {
                    name: format!("{number:0>len$}"),
                    value: "v".repeat(len),
                })
                .collect(),
        ),
        ..none()
    };
    vec![
        bound!(compute_allocation, 100),
        bound!(memory_allocation, u128::from(u64::MAX)),
        bound!(freezing_threshold, u128::from(u64::MAX)),
        bound!(reserved_cycles_limit, u128::MAX),
        bound!(minimum_incoming_canister_call_cycles, u128::MAX),
        bound!(wasm_memory_limit, 1 << 48),
        bound!(wasm_memory_threshold, 1 << 48),
        bound!(log_memory_limit, 2 << 20),
        viewers!(log_visibility, LogVisibility),
        viewers!(snapshot_visibility, SnapshotVisibility),
        viewers!(status_visibility, StatusVisibility),
        ("environment variables", variables(20, 2), variables(21, 2)),
        ("environment variables", variables(1, 128), variables(1, 129)),
    ]
}

#[test]
fn each_setting_is_accepted_at_its_bound_and_refused_by_name_beyond_it() {
    for (name, at, beyond) in bounds() {
        let mut world = World::new();
        update(&mut world, id(), at).unwrap_or_else(|reject| panic!("{name}: {reject}"));
        let kept = world.canister().clone();
        let reject = update(&mut world, id(), beyond.clone()).unwrap_err();
        assert!(reject.message.contains(name), "{name}: {}", reject.message);
        assert_eq!(world.canister().settings, kept.settings);
        assert_eq!(world.canister().version, kept.version);
        // Creating checks the same.
        let create = Encode!(&Create {
            specified_id: None,
            settings: Some(beyond)
        })
        .unwrap();
        let reject = world
            .manage(owner(), "provisional_create_canister_with_cycles", create)
            .unwrap_err();
        assert!(reject.message.contains(name), "{name}: {}", reject.message);
    }
}

#[test]
fn a_canister_has_at_most_ten_controllers_and_may_have_none() {
    let mut world = World::new();
    let controllers = |count: u8| CanisterSettings {
        controllers: Some((0..count).map(|byte| Principal::from_slice(&[byte])).collect()),
        ..none()
    };
    let reject = update(&mut world, id(), controllers(11)).unwrap_err();
    assert!(reject.message.contains("at most 10 controllers"));
    update(&mut world, id(), controllers(0)).unwrap();
    assert_eq!(
        code(world.manage(owner(), "canister_status", about(id()))),
        "IC0512"
    );
}

#[test]
fn what_is_not_named_stays() {
    let mut world = World::new();
    let before = world.canister().settings.clone();
    let threshold = CanisterSettings {
        freezing_threshold: Some(Nat::from(5u8)),
        ..none()
    };
    update(&mut world, id(), threshold).unwrap();
    let mut expected = before;
    expected.freezing_threshold = Nat::from(5u8);
    assert_eq!(world.canister().settings, expected);
}

#[test]
fn a_memory_limit_below_the_memory_is_refused() {
    let mut world = World::running("(module (memory 3))");
    let limit = |bytes: u32| CanisterSettings {
        wasm_memory_limit: Some(Nat::from(bytes)),
        ..none()
    };
    let reject = update(&mut world, id(), limit(196_607)).unwrap_err();
    assert!(reject.message.contains("wasm_memory_limit"), "{}", reject.message);
    update(&mut world, id(), limit(196_608)).unwrap();
    // Zero is no limit.
    update(&mut world, id(), limit(0)).unwrap();
}

#[test]
fn a_memory_allocation_that_the_node_does_not_have_is_refused() {
    let mut world = World::new();
    world.memory_limit = 1 << 30;
    let allocation = |bytes: u64| CanisterSettings {
        memory_allocation: Some(Nat::from(bytes)),
        ..none()
    };
    let reject = update(&mut world, id(), allocation((1 << 30) + 1)).unwrap_err();
    assert_eq!(reject.error.to_string(), "IC0101");
    assert!(reject.message.contains("memory_allocation"), "{}", reject.message);
    update(&mut world, id(), allocation(1 << 30)).unwrap();
    // Nor may one canister have more than its quota of it.
    world.canister_limit = 1 << 20;
    let reject = update(&mut world, id(), allocation((1 << 20) + 1)).unwrap_err();
    assert!(reject.message.contains("--quota-disk"), "{}", reject.message);
    update(&mut world, id(), allocation(1 << 20)).unwrap();
}

#[test]
fn a_larger_log_needs_memory_that_the_node_has() {
    let mut world = World::new();
    world.memory_limit = world.machine.memory().used + 10_000;
    let limit = |bytes: u32| CanisterSettings {
        log_memory_limit: Some(Nat::from(bytes)),
        ..none()
    };
    assert_eq!(code(update(&mut world, id(), limit(4_096 + 10_001))), "IC0101");
    update(&mut world, id(), limit(4_096 + 10_000)).unwrap();
}

#[test]
fn an_environment_variable_has_one_value() {
    let mut world = World::new();
    let variable = EnvironmentVariable {
        name: "a".into(),
        value: "b".into(),
    };
    let twice = CanisterSettings {
        environment_variables: Some(vec![variable.clone(), variable]),
        ..none()
    };
    assert!(
        update(&mut world, id(), twice)
            .unwrap_err()
            .message
            .contains("twice")
    );
}

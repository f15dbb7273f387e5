//! The history of a canister, and what canisters may ask about each other.

use super::*;
use candid::Decode;
use ic_management_canister_types::{
    CanisterInfoArgs, CanisterInfoResult, CanisterMetadataArgs, CanisterMetadataResult, Change,
    ChangeDetails, ChangeOrigin, CodeDeploymentMode, CodeDeploymentRecord, ControllersChangeRecord,
    CreationRecord, EnvironmentVariable, FromCanisterRecord, FromUserRecord, UninstallCodeArgs,
    UpdateSettingsArgs,
};

fn info(world: &mut World, wanted: Option<u64>) -> CanisterInfoResult {
    let arg = Encode!(&CanisterInfoArgs {
        canister_id: id(),
        num_requested_changes: wanted
    })
    .unwrap();
    let reply = world.manage_by(id(), 0, "canister_info", arg).unwrap();
    Decode!(&reply, CanisterInfoResult).unwrap()
}

fn by_user(time: u64, version: u64, details: ChangeDetails) -> Change {
    Change {
        timestamp_nanos: time,
        canister_version: version,
        origin: ChangeOrigin::FromUser(FromUserRecord { user_id: owner() }),
        details: Some(details),
    }
}

fn deployment(mode: CodeDeploymentMode) -> ChangeDetails {
    ChangeDetails::CodeDeployment(CodeDeploymentRecord {
        mode,
        module_hash: sha256(&wat::parse_str("(module)").unwrap()).to_vec(),
    })
}

#[test]
fn the_history_tells_who_created_changed_and_emptied_a_canister_when() {
    let mut world = World::running("(module)");
    world
        .install("(module)", CanisterInstallMode::Upgrade(None), b"")
        .unwrap();
    world
        .install("(module)", CanisterInstallMode::Reinstall, b"")
        .unwrap();
    let settings = CanisterSettings {
        controllers: Some(vec![stranger(), owner()]),
        ..CanisterSettings::default()
    };
    super::settings::update(&mut world, id(), settings).unwrap();
    world.manage(owner(), "uninstall_code", about(id())).unwrap();
    let creation = CreationRecord {
        controllers: vec![owner()],
        environment_variables_hash: None,
    };
    let mut controllers = vec![owner(), stranger()];
    controllers.sort();
    let told = info(&mut world, Some(100));
    assert_eq!(
        told.recent_changes,
        [
            by_user(1_000, 0, ChangeDetails::Creation(creation)),
            by_user(2_000, 1, deployment(CodeDeploymentMode::Install)),
            by_user(3_000, 2, deployment(CodeDeploymentMode::Upgrade)),
            by_user(4_000, 3, deployment(CodeDeploymentMode::Reinstall)),
            by_user(
                5_000,
                4,
                ChangeDetails::ControllersChange(ControllersChangeRecord {
                    controllers: controllers.clone()
                })
            ),
            by_user(6_000, 5, ChangeDetails::CodeUninstall),
        ]
    );
    assert_eq!((told.total_num_changes, told.module_hash), (6, None));
    assert_eq!(told.controllers, controllers);
}

#[test]
fn as_many_changes_are_told_as_are_asked_for_and_none_without_asking() {
    let mut world = World::running("(module)");
    for _ in 0..30 {
        world
            .install("(module)", CanisterInstallMode::Reinstall, b"")
            .unwrap();
    }
    let versions = |told: &CanisterInfoResult| -> Vec<u64> {
        told.recent_changes
            .iter()
            .map(|change| change.canister_version)
            .collect()
    };
    let told = info(&mut world, None);
    assert_eq!((told.total_num_changes, versions(&told)), (32, vec![]));
    assert!(told.module_hash.is_some());
    assert_eq!(versions(&info(&mut world, Some(2))), [30, 31]);
    assert_eq!(versions(&info(&mut world, Some(u64::MAX))).len(), 20);
}

#[test]
fn what_changes_no_controllers_and_no_code_is_not_in_the_history() {
    let mut world = World::running("(module)");
    let settings = CanisterSettings {
        freezing_threshold: Some(1u8.into()),
        ..CanisterSettings::default()
    };
    super::settings::update(&mut world, id(), settings).unwrap();
    world.manage(owner(), "stop_canister", about(id())).unwrap();
    world
        .install_bytes(b"no module", CanisterInstallMode::Reinstall, b"")
        .unwrap_err();
    assert_eq!(info(&mut world, None).total_num_changes, 2);
}

#[test]
fn a_change_by_a_canister_names_it_and_the_version_that_it_told() {
    let mut world = World::running("(module)");
    let boss = world.create(owner());
    let settings = CanisterSettings {
        controllers: Some(vec![boss]),
        ..CanisterSettings::default()
    };
    super::settings::update(&mut world, id(), settings).unwrap();
    for told in [None, Some(0)] {
        let arg = Encode!(&UninstallCodeArgs {
            canister_id: id(),
            sender_canister_version: told
        })
        .unwrap();
        world.manage_by(boss, 0, "uninstall_code", arg).unwrap();
        let last = info(&mut world, Some(1)).recent_changes[0].origin.clone();
        let origin = FromCanisterRecord {
            canister_id: boss,
            canister_version: told,
        };
        assert_eq!(last, ChangeOrigin::FromCanister(origin));
    }
}

#[test]
fn a_canister_that_tells_another_version_than_its_own_is_refused() {
    let mut world = World::running("(module)");
    let arg = |version| {
        Encode!(&UpdateSettingsArgs {
            canister_id: id(),
            settings: CanisterSettings::default(),
            sender_canister_version: Some(version)
        })
        .unwrap()
    };
    let settings = CanisterSettings {
        controllers: Some(vec![id(), owner()]),
        ..CanisterSettings::default()
    };
    super::settings::update(&mut world, id(), settings).unwrap();
    let version = world.canister().version;
    assert!(mgmt::names_its_version("update_settings", &arg(version), version));
    assert!(!mgmt::names_its_version(
        "update_settings",
        &arg(version),
        version + 1
    ));
    // Methods that do not take one ignore it.
    assert!(mgmt::names_its_version("stop_canister", &arg(7), 8));
    assert_eq!(
        code(world.manage_by(id(), 0, "update_settings", arg(version + 1))),
        "IC0504"
    );
    world.manage_by(id(), 0, "update_settings", arg(version)).unwrap();
    // Users have no version; whatever they tell is ignored.
    world
        .manage(owner(), "update_settings", arg(version + 1_000))
        .unwrap();
}

#[test]
fn a_creation_with_environment_variables_names_their_hash() {
    let mut world = World::new();
    let variable = |name: &str, value: &str| EnvironmentVariable {
        name: name.into(),
        value: value.into(),
    };
    let settings = CanisterSettings {
        environment_variables: Some(vec![variable("b", "2"), variable("a", "1")]),
        ..CanisterSettings::default()
    };
    let create = Encode!(&Create {
        specified_id: None,
        settings: Some(settings)
    })
    .unwrap();
    let reply = world
        .manage(owner(), "provisional_create_canister_with_cycles", create)
        .unwrap();
    let made = Decode!(&reply, CanisterIdRecord).unwrap().canister_id;
    let history = &world.machine.state().canister(&made).unwrap().history;
    let Some(ChangeDetails::Creation(creation)) = &history.recent[0].details else {
        panic!("{history:?}");
    };
    // SHA-256 over the sorted pairs of hashes of name and value.
    let mut pairs = [("a", "1"), ("b", "2")]
        .map(|(name, value)| [sha256(name.as_bytes()), sha256(value.as_bytes())].concat());
    pairs.sort();
    let hash = sha256(&pairs.concat());
    assert_eq!(
        creation.environment_variables_hash.as_deref(),
        Some(hash.as_slice())
    );
}

#[test]
fn only_canisters_ask_about_canisters() {
    let mut world = World::new();
    for method in ["canister_info", "canister_metadata", "deposit_cycles", "raw_rand"] {
        for result in [
            world.manage(owner(), method, about(id())),
            mgmt::target(method, &about(id())).map(|_| Vec::new()),
        ] {
            let reject = result.unwrap_err();
            assert_eq!(reject.error.to_string(), "IC0406", "{method}");
            assert!(
                reject.message.contains("Only canisters can call"),
                "{}",
                reject.message
            );
        }
    }
}

#[test]
fn public_metadata_is_for_every_canister_and_private_metadata_for_controllers() {
    let mut world = World::running(
        r#"(module (@custom "icp:public open" "for all") (@custom "icp:private closed" "for few"))"#,
    );
    let other = world.create(owner());
    let settings = CanisterSettings {
        controllers: Some(vec![id()]),
        ..CanisterSettings::default()
    };
    super::settings::update(&mut world, id(), settings).unwrap();
    let mut ask = |by: Principal, name: &str| -> Result<Vec<u8>, Reject> {
        let arg = Encode!(&CanisterMetadataArgs {
            canister_id: id(),
            name: name.into()
        })
        .unwrap();
        let reply = world.manage_by(by, 0, "canister_metadata", arg)?;
        Ok(Decode!(&reply, CanisterMetadataResult).unwrap().value)
    };
    assert_eq!(ask(other, "open").unwrap(), b"for all");
    assert_eq!(ask(id(), "closed").unwrap(), b"for few");
    let [closed, missing]: [Reject; 2] = ["closed", "missing"].map(|name| ask(other, name).unwrap_err());
    // Whether there is such a section is not told either.
    assert_eq!(closed.message.replace("closed", "missing"), missing.message);
}

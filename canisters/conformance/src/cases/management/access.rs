//! Who may call what.

use crate::cases::prelude::*;
use ic_management_canister_types::UpdateSettingsArgs;

const MANAGEMENT: &str = "The IC management canister";

pub const CASES: &[Case] = &[
    case!(MANAGEMENT, only_controllers_manage_a_canister, IgnoreControllers),
    case!(
        MANAGEMENT,
        a_canister_does_not_manage_itself_unless_it_is_a_controller,
        IgnoreControllers
    ),
    case!(MANAGEMENT, an_argument_that_cannot_be_read_is_rejected),
    case!(
        "Canister status",
        the_management_canister_answers_for_stopped_and_empty_canisters,
        InstallStarts
    ),
];

fn settings_of(canister: Principal) -> Vec<u8> {
    candid(&UpdateSettingsArgs {
        canister_id: canister,
        settings: CanisterSettings::default(),
        sender_canister_version: None,
    })
}

async fn only_controllers_manage_a_canister(net: Network) -> Verdict {
    let owner = net.user();
    let canister = owner.deploy(&counter()).await?;
    owner.update(canister, "inc", b"").await?.reply()?;
    let module = counter().build()?;
    let methods = [
        (
            "install_code",
            install_arg(canister, CanisterInstallMode::Reinstall, &module, b""),
        ),
        (
            "install_code",
            install_arg(canister, CanisterInstallMode::Upgrade(None), &module, b""),
        ),
        ("uninstall_code", about(canister)),
        ("update_settings", settings_of(canister)),
        ("canister_status", about(canister)),
        ("stop_canister", about(canister)),
        ("start_canister", about(canister)),
        ("delete_canister", about(canister)),
    ];
    for stranger in [net.user(), net.anonymous()] {
        for (method, arg) in &methods {
            stranger
                .manage(canister, method, arg)
                .await?
                .refused()
                .map_err(|failure| Failure::new(format!("{method}: {failure}")))?;
        }
    }
    equal(
        "the count",
        owner.update(canister, "inc", b"").await?.number()?,
        2,
    )?;
    owner
        .manage(canister, "update_settings", &settings_of(canister))
        .await?
        .reply()?;
    owner.stop(canister).await
}

async fn a_canister_does_not_manage_itself_unless_it_is_a_controller(net: Network) -> Verdict {
    let user = net.user();
    let module = Module::new().update(
        "settings",
        [Call::to(Principal::management_canister(), "update_settings")
            .arg(arg())
            .go()],
    );
    let canister = user.deploy(&module).await?;
    let arg = settings_of(canister);
    user.update(canister, "settings", &arg)
        .await?
        .heard()?
        .rejected(5)?;
    let both = CanisterSettings {
        controllers: Some(vec![user.id(), canister]),
        ..CanisterSettings::default()
    };
    user.set(canister, both).await?.reply()?;
    user.update(canister, "settings", &arg)
        .await?
        .heard()?
        .reply()
        .map(drop)
}

async fn an_argument_that_cannot_be_read_is_rejected(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&counter()).await?;
    let whole = settings_of(canister);
    let half = whole.get(..whole.len() / 2).unwrap_or_default().to_vec();
    for arg in [vec![], b"rubbish".to_vec(), half] {
        let management = Principal::management_canister();
        let signed = Request::call(management, "update_settings", &arg).sign(&user.key);
        let response = user.post_call("v4", canister, &signed).await?;
        match response.status {
            200 => answer_in(&response, &signed.id)?.refused().map(drop)?,
            _ => response.refused().map(drop)?,
        }
    }
    user.manage(canister, "update_settings", &whole)
        .await?
        .reply()
        .map(drop)
}

async fn the_management_canister_answers_for_stopped_and_empty_canisters(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.create().await?;
    user.stop(canister).await?;
    equal(
        "the status",
        user.status(canister).await?.status,
        CanisterStatusType::Stopped,
    )?;
    user.put(canister, &counter()).await?;
    user.set(canister, CanisterSettings::default()).await?.reply()?;
    user.update(canister, "inc", b"").await?.refused()?;
    user.manage(canister, "start_canister", &about(canister))
        .await?
        .reply()?;
    equal("the count", user.update(canister, "inc", b"").await?.number()?, 1)
}

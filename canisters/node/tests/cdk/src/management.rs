//! The management canister, by the kit's own functions for it.

use candid::Principal;
use ic_cdk::api;
use ic_cdk_management_canister as management;
use management::{
    CanisterInfoArgs, CanisterInstallMode, CanisterSettings, CanisterStatusArgs, CanisterStatusType,
    CreateCanisterArgs, DeleteCanisterArgs, DepositCyclesArgs, EcdsaCurve, EcdsaKeyId, HttpRequest,
    InstallCodeArgs, SignWithEcdsaArgs, StopCanisterArgs, UpdateSettingsArgs,
};

#[ic_cdk::update]
async fn random() -> Result<Vec<u8>, String> {
    management::raw_rand().await.map_err(|error| error.to_string())
}

/// Makes a canister with a module, looks at it, and deletes it. What it saw.
#[ic_cdk::update]
async fn life_of_another(module: Vec<u8>) -> Result<Vec<String>, String> {
    let text = |error: ic_cdk::call::Error| error.to_string();
    let create = CreateCanisterArgs {
        settings: Some(CanisterSettings {
            controllers: Some(vec![api::canister_self()]),
            ..CanisterSettings::default()
        }),
    };
    let mut saw = Vec::new();
    let cycles = 1_000_000_000_000;
    let made = management::create_canister_with_extra_cycles(&create, cycles)
        .await
        .map_err(text)?;
    let canister_id = made.canister_id;
    let install = InstallCodeArgs {
        mode: CanisterInstallMode::Install,
        canister_id,
        wasm_module: module,
        arg: Vec::new(),
    };
    management::install_code(&install).await.map_err(text)?;
    let deposit = DepositCyclesArgs { canister_id };
    management::deposit_cycles(&deposit, 5).await.map_err(text)?;
    let settings = UpdateSettingsArgs {
        canister_id,
        settings: CanisterSettings {
            controllers: Some(vec![api::canister_self(), Principal::anonymous()]),
            ..CanisterSettings::default()
        },
    };
    management::update_settings(&settings).await.map_err(text)?;
    let ask = CanisterStatusArgs { canister_id };
    let status = management::canister_status(&ask).await.map_err(text)?;
    saw.push(format!("{} controllers", status.settings.controllers.len()));
    saw.push(format!("module {}", status.module_hash.is_some()));
    let info = CanisterInfoArgs {
        canister_id,
        num_requested_changes: Some(10),
    };
    let info = management::canister_info(&info).await.map_err(text)?;
    saw.push(format!("{} changes", info.total_num_changes));
    management::stop_canister(&StopCanisterArgs { canister_id })
        .await
        .map_err(text)?;
    let stopped = management::canister_status(&ask).await.map_err(text)?;
    saw.push(format!(
        "stopped {}",
        stopped.status == CanisterStatusType::Stopped
    ));
    management::delete_canister(&DeleteCanisterArgs { canister_id })
        .await
        .map_err(text)?;
    saw.push(format!(
        "gone {}",
        management::canister_status(&ask).await.is_err()
    ));
    Ok(saw)
}

/// Left out by the node. Its words.
#[ic_cdk::update]
async fn sign() -> Result<(), String> {
    let key_id = EcdsaKeyId {
        curve: EcdsaCurve::Secp256k1,
        name: "key_1".to_owned(),
    };
    let sign = SignWithEcdsaArgs {
        message_hash: vec![0; 32],
        derivation_path: Vec::new(),
        key_id,
    };
    let signed = management::sign_with_ecdsa(&sign).await;
    signed.map(drop).map_err(|error| error.to_string())
}

/// Left out by the node too: asking what it costs ends the message already.
#[ic_cdk::update]
async fn fetch() -> Result<(), String> {
    let answer = HttpRequest::new("https://example.org/").send().await;
    answer.map(drop).map_err(|error| error.to_string())
}

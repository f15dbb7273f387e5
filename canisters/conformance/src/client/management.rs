//! The management canister as users call it.

use super::answer::Answer;
use super::user::User;
use crate::case::Failure;
use crate::wasm::Module;
use candid::{CandidType, Decode, Encode, Nat, Principal};
use ic_management_canister_types::{
    CanisterIdRecord, CanisterInstallMode, CanisterSettings, CanisterStatusResult,
    ProvisionalCreateCanisterWithCyclesArgs, UpdateSettingsArgs,
};

/// Cycles that canisters get here: 50 T.
pub const CYCLES: u64 = 50_000_000_000_000;

/// The argument of `install_code`; the official type writes the module byte by byte.
#[derive(CandidType)]
struct Install<'a> {
    mode: CanisterInstallMode,
    canister_id: Principal,
    wasm_module: &'a serde_bytes::Bytes,
    arg: &'a serde_bytes::Bytes,
}

/// The argument `record { canister_id }`.
pub fn about(canister: Principal) -> Vec<u8> {
    candid(&CanisterIdRecord {
        canister_id: canister,
    })
}

/// Candid of one value.
pub fn candid<T: CandidType>(value: &T) -> Vec<u8> {
    // Writing into memory cannot fail.
    candid::encode_one(value).unwrap_or_default()
}

/// Candid of no values.
pub fn nothing() -> Vec<u8> {
    Encode!().unwrap_or_default()
}

/// The argument of `install_code`.
pub fn install_arg(canister: Principal, mode: CanisterInstallMode, module: &[u8], arg: &[u8]) -> Vec<u8> {
    candid(&Install {
        mode,
        canister_id: canister,
        wasm_module: serde_bytes::Bytes::new(module),
        arg: serde_bytes::Bytes::new(arg),
    })
}

impl User {
    /// Calls a method of the management canister about a canister.
    pub async fn manage(&self, canister: Principal, method: &str, arg: &[u8]) -> Result<Answer, Failure> {
        self.call(canister, Principal::management_canister(), method, arg)
            .await
    }

    /// Creates a canister with these arguments.
    pub async fn create_as(&self, args: &ProvisionalCreateCanisterWithCyclesArgs) -> Result<Answer, Failure> {
        self.manage(
            args.specified_id.unwrap_or_else(|| self.net.anywhere()),
            "provisional_create_canister_with_cycles",
            &candid(args),
        )
        .await
    }

    /// Creates an empty canister with these settings.
    pub async fn create_with(&self, settings: CanisterSettings) -> Result<Principal, Failure> {
        let args = ProvisionalCreateCanisterWithCyclesArgs {
            amount: Some(Nat::from(CYCLES)),
            settings: Some(settings),
            specified_id: None,
            sender_canister_version: None,
        };
        let reply = self.create_as(&args).await?.reply()?;
        Ok(Decode!(&reply, CanisterIdRecord)?.canister_id)
    }

    /// Creates an empty canister.
    pub async fn create(&self) -> Result<Principal, Failure> {
        self.create_with(CanisterSettings::default()).await
    }

    /// Installs bytes as a module.
    pub async fn install_bytes(
        &self,
        canister: Principal,
        mode: CanisterInstallMode,
        module: &[u8],
        arg: &[u8],
    ) -> Result<Answer, Failure> {
        let arg = install_arg(canister, mode, module, arg);
        self.manage(canister, "install_code", &arg).await
    }

    /// Installs a module with an argument.
    pub async fn install(
        &self,
        canister: Principal,
        mode: CanisterInstallMode,
        module: &Module,
        arg: &[u8],
    ) -> Result<Answer, Failure> {
        self.install_bytes(canister, mode, &module.build()?, arg).await
    }

    /// Upgrades to a module.
    pub async fn upgrade(&self, canister: Principal, module: &Module) -> Result<Answer, Failure> {
        self.install(canister, CanisterInstallMode::Upgrade(None), module, b"")
            .await
    }

    /// Installs a module into an empty canister; it must succeed.
    pub async fn put(&self, canister: Principal, module: &Module) -> Result<(), Failure> {
        self.install(canister, CanisterInstallMode::Install, module, b"")
            .await?
            .reply()?;
        Ok(())
    }

    /// A new canister with a module.
    pub async fn deploy(&self, module: &Module) -> Result<Principal, Failure> {
        let canister = self.create().await?;
        self.put(canister, module).await?;
        Ok(canister)
    }

    /// Changes settings.
    pub async fn set(&self, canister: Principal, settings: CanisterSettings) -> Result<Answer, Failure> {
        let args = UpdateSettingsArgs {
            canister_id: canister,
            settings,
            sender_canister_version: None,
        };
        self.manage(canister, "update_settings", &candid(&args)).await
    }

    /// The status of a canister.
    pub async fn status(&self, canister: Principal) -> Result<CanisterStatusResult, Failure> {
        let answer = self.manage(canister, "canister_status", &about(canister)).await?;
        Ok(Decode!(&answer.reply()?, CanisterStatusResult)?)
    }

    /// Stops a canister; it must succeed.
    pub async fn stop(&self, canister: Principal) -> Result<(), Failure> {
        let answer = self.manage(canister, "stop_canister", &about(canister)).await?;
        answer.reply().map(drop)
    }

    /// Stops a canister and deletes it; both must succeed.
    pub async fn remove(&self, canister: Principal) -> Result<(), Failure> {
        self.stop(canister).await?;
        let answer = self.manage(canister, "delete_canister", &about(canister)).await?;
        answer.reply().map(drop)
    }
}

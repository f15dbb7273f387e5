//! A canister that answers when it is told to.
//!
//! It asks the network to stop it, which waits for the call in which it asks. Starting it rejects that wish, and then it
//! answers. Nothing runs meanwhile, so others are not slowed down.

use super::prelude::*;

/// See the module documentation. It can hold one call at a time.
pub struct Door {
    user: User,
    /// Its id; the method to call is `wait`.
    pub canister: Principal,
}

impl Door {
    /// A closed door.
    pub async fn new(user: &User) -> Result<Self, Failure> {
        let canister = user.create().await?;
        let stop = Call::to(Principal::management_canister(), "stop_canister").arg(bytes(about(canister)));
        let module = Module::new()
            .update("wait", [stop.then("open").go()])
            .callback("open", [count("n"), answer(bytes("open"))])
            .query("get", [answer_numbers([get("n")])]);
        user.put(canister, &module).await?;
        let both = CanisterSettings {
            controllers: Some(vec![user.id(), canister]),
            ..CanisterSettings::default()
        };
        user.set(canister, both).await?.reply()?;
        Ok(Self {
            user: user.clone(),
            canister,
        })
    }

    /// Waits until somebody stands before it.
    pub async fn is_held(&self) -> Verdict {
        eventually(|| async {
            let status = self.user.status(self.canister).await?.status;
            Ok((status == CanisterStatusType::Stopping).then_some(()))
        })
        .await
    }

    /// Opens it, and waits until it has answered.
    pub async fn open(&self) -> Verdict {
        self.is_held().await?;
        self.user
            .manage(self.canister, "start_canister", &about(self.canister))
            .await?
            .reply()?;
        eventually(|| async {
            let opened = self.user.query(self.canister, "get", b"").await?.number()?;
            Ok((opened == 1).then_some(()))
        })
        .await
    }
}

//! Whether the caller could replace the ledger's code, where that is for others to do.
//!
//! A controller can upgrade, reinstall and delete the canister: each rewrites history. On a network of others the operator's
//! key must not be able to, or whoever takes the cluster takes the journal as well. Only what the network certifies counts.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use candid::Principal;

use super::IcLedger;
use crate::error::LedgerError;

/// How old the certified controllers may be when something is appended.
pub(super) const DISOWN_EVERY: Duration = Duration::from_secs(60);

/// When it was last certified that the caller is no controller.
pub(super) struct Disowned {
    every: Duration,
    seen: Mutex<Option<Instant>>,
}

impl Disowned {
    pub(super) fn new(every: Duration) -> Self {
        Self {
            every,
            seen: Mutex::default(),
        }
    }

    fn set(&self, seen: Option<Instant>) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    fn is_recent(&self, now: Instant) -> bool {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.is_some_and(|seen| now.duration_since(seen) < self.every)
    }
}

impl IcLedger {
    /// Asks for the certified controllers, and refuses a ledger of others that lists the caller.
    pub(super) async fn check_disowned(&self) -> Result<(), LedgerError> {
        let Some(disowned) = &self.disowned else {
            return Ok(());
        };
        let asked = Instant::now();
        // what was seen before says nothing once somebody asks again and gets no answer
        disowned.set(None);
        let controllers = self.code().await?.controllers.unwrap_or_default();
        if controllers.contains(&self.caller) {
            return Err(self.owned(&controllers));
        }
        disowned.set(Some(asked));
        Ok(())
    }

    /// The same, unless it was seen a short time ago.
    pub(super) async fn recently_disowned(&self) -> Result<(), LedgerError> {
        match &self.disowned {
            Some(disowned) if !disowned.is_recent(Instant::now()) => self.check_disowned().await,
            _ => Ok(()),
        }
    }

    /// The error that names the caller as a controller, with the command that ends it.
    fn owned(&self, controllers: &[Principal]) -> LedgerError {
        LedgerError::OperatorIsController {
            ledger: self.ledger,
            operator: self.caller,
            fix: self.disown(self.caller, controllers),
        }
    }

    /// What a person does so that `operator` no longer is a controller of this ledger.
    pub(crate) fn disown(&self, operator: Principal, controllers: &[Principal]) -> String {
        disown(operator, self.ledger, controllers, &self.network())
    }

    /// Flags of `icp` that name the network.
    pub(crate) fn network(&self) -> String {
        if self.anchors.root_key.is_mainnet() {
            "-n ic".to_owned()
        } else {
            format!("-n {} -k fetch", self.wire.url())
        }
    }
}

/// What a person does so that `operator` no longer is a controller: pure.
fn disown(operator: Principal, ledger: Principal, controllers: &[Principal], network: &str) -> String {
    let update = format!("icp canister settings update {ledger}");
    if controllers.iter().all(|controller| *controller == operator) {
        // a canister without controllers can never be upgraded again
        return format!(
            "a person takes its place: as it is the only controller, sign with the operator's key: `{update} --add-controller PERSON --remove-controller {operator} --force {network}`"
        );
    }
    format!("another controller runs `{update} --remove-controller {operator} {network}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fix_leaves_a_controller_behind() {
        let (operator, person) = (Principal::from_slice(&[1]), Principal::from_slice(&[2]));
        let ledger = Principal::from_slice(&[3]);
        let both = disown(operator, ledger, &[person, operator], "-n ic");
        assert_eq!(
            both,
            format!(
                "another controller runs `icp canister settings update {ledger} --remove-controller {operator} -n ic`"
            )
        );
        let alone = disown(operator, ledger, &[operator], "-n ic");
        assert!(alone.contains("--add-controller PERSON"), "{alone}");
    }

    #[test]
    fn what_was_seen_is_of_use_for_a_while_only() {
        let disowned = Disowned::new(Duration::from_secs(60));
        let now = Instant::now();
        assert!(!disowned.is_recent(now));
        disowned.set(Some(now));
        assert!(disowned.is_recent(now + Duration::from_secs(59)));
        assert!(!disowned.is_recent(now + Duration::from_secs(60)));
        let always = Disowned::new(Duration::ZERO);
        always.set(Some(now));
        assert!(!always.is_recent(now));
    }
}

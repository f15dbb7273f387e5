//! What a node is for: developing, or keeping records that count.
//!
//! Asked before a call is ordered, so it is no part of the replicated state and can be changed at any start.

use crate::state::request::Reject;
use ic_error_types::ErrorCode;
use ic_principal::Principal;
use std::str::FromStr;
use thiserror::Error;

/// The method that a canister has for requests to its pages that change it.
pub const PAGE_UPDATE: &str = "http_request_update";

/// See the module documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// As on a local development network: canisters and cycles from nothing, and everybody may call.
    #[default]
    Dev,
    /// As on mainnet: nothing provisional. No anonymous updates, but those of pages that a canister lets in itself. Those who may
    /// create canisters use `create_canister`.
    Production,
}

/// The name of no mode.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is neither `dev` nor `production`")]
pub struct ModeError(String);

impl Mode {
    /// Whether a node in this mode orders updates of a method by somebody. Browsers and those who call webhooks have no key: their
    /// requests are taken where the canister is asked about each message (`inspected`), and so is the door itself.
    ///
    /// # Errors
    /// The rejection that the caller gets.
    pub fn takes_update(self, sender: &Principal, method: &str, inspected: bool) -> Result<(), Reject> {
        if self == Self::Dev || *sender != Principal::anonymous() {
            return Ok(());
        }
        let message = match (method, inspected) {
            (PAGE_UPDATE, true) => return Ok(()),
            (PAGE_UPDATE, false) => {
                "this node takes no anonymous updates (--mode production), and requests of browsers are anonymous: a canister that \
                 takes them exports `canister_inspect_message`, which says which ones, and this one does not"
            }
            _ => "this node takes no anonymous updates (--mode production): sign the call with a key",
        };
        Err(Reject::new(ErrorCode::CanisterRejectedMessage, message))
    }

    /// Whether the management canister's methods that make canisters and cycles from nothing are there.
    ///
    /// # Errors
    /// The rejection that the caller gets.
    pub fn has_provisional(self, method: &str) -> Result<(), Reject> {
        match self {
            Self::Dev => Ok(()),
            Self::Production => Err(Reject::new(
                ErrorCode::CanisterMethodNotFound,
                format!(
                    "Management canister has no method '{method}' on this node (--mode production): those who may create \
                     canisters (--creators) use `create_canister`"
                ),
            )),
        }
    }
}

impl FromStr for Mode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Self, ModeError> {
        match text {
            "dev" => Ok(Self::Dev),
            "production" => Ok(Self::Production),
            other => Err(ModeError(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_production_refuses_and_only_the_anonymous_and_the_provisional() {
        let somebody = Principal::from_slice(&[1]);
        for (text, refuses) in [("dev", false), ("production", true)] {
            let mode: Mode = text.parse().unwrap();
            for (method, inspected, let_in) in [
                ("append", false, false),
                ("append", true, false),
                (PAGE_UPDATE, false, false),
                (PAGE_UPDATE, true, true),
            ] {
                let anonymous = mode.takes_update(&Principal::anonymous(), method, inspected);
                assert_eq!(anonymous.is_ok(), let_in || !refuses, "{method} {inspected}");
                assert!(mode.takes_update(&somebody, method, inspected).is_ok());
            }
            assert_eq!(
                mode.has_provisional("provisional_top_up_canister").is_err(),
                refuses
            );
        }
        assert_eq!("Dev".parse::<Mode>(), Err(ModeError("Dev".to_owned())));
    }
}

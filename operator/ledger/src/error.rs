//! Why the ledger was not believed or not reached.

use std::sync::Arc;

use candid::Principal;
use dcanary_verifier::{certificate::CertificateError, head::HeadError};
use ic_agent::agent::RejectResponse;
use thiserror::Error;

pub use crate::fork::ForkEvidence;
use crate::{checkpoint::CheckpointError, key::KeyError, transport::TransportError};

/// Reason of [`LedgerError::OperatorIsController`].
pub const OPERATOR_IS_CONTROLLER: &str = "OperatorIsController";

/// The method that every ledger has.
const PROTOCOL: &str = "protocol";

/// Codes of a network that say that the canister's code is the reason: it trapped, called `ic0.trap`, did what no code may, gave no answer,
/// found no end, has no such method, or is not there. Not among them are refusals of the canister itself (`IC0406`), a canister that is stopped
/// or without cycles, and limits that somebody has set.
const OF_CODE: [&str; 7] = [
    "IC0502", "IC0503", "IC0504", "IC0506", "IC0522", "IC0536", "IC0537",
];

/// What went wrong between this client and the ledger. No variant is ever treated as "probably fine".
#[derive(Debug, Error)]
pub enum LedgerError {
    /// No answer came, or none from the network: connection refused, time-out, HTTP error.
    #[error("the ledger cannot be reached: {reason}")]
    Unreachable {
        /// What the transport said.
        reason: String,
    },
    /// The network or the canister refused the call.
    #[error("the ledger refused `{method}`: {}", with_code(.message, .code.as_deref()))]
    Rejected {
        /// Method of the canister.
        method: String,
        /// The network's code for the reason, such as `IC0503`; none where the canister itself refused in an answer, or the network gave none.
        code: Option<String>,
        /// What it said.
        message: String,
    },
    /// The signature is not the network's: wrong root key, or an impostor.
    #[error("the answer is not certified by the pinned root key: {source}")]
    Certificate {
        /// What does not hold.
        source: CertificateError,
    },
    /// The signer does not speak for the ledger's canister id.
    #[error("the certificate's signer does not speak for canister {ledger}")]
    Range {
        /// The ledger.
        ledger: Principal,
    },
    /// The certificate is older than 3 minutes or more than 1 minute ahead of this machine's clock.
    #[error("the certificate is {} old; at most 3 minutes are accepted (is this machine's clock right?)", age(*.seconds))]
    Stale {
        /// Age; negative when it is ahead.
        seconds: i64,
    },
    /// The certified labels are not those of a ledger, or not of this answer.
    #[error("the ledger's certified labels do not hold: {reason}")]
    Labels {
        /// What does not hold.
        reason: String,
    },
    /// An answer contradicts the certified head.
    #[error("{what} is not proven by the certified head: {reason}")]
    Unproven {
        /// What was claimed.
        what: String,
        /// What does not hold.
        reason: String,
    },
    /// A replica answered from an older state than was seen before.
    #[error("the network answered with {head} blocks, older than the {seen} seen before; ask again")]
    Lagging {
        /// Blocks in the answer.
        head: u64,
        /// Blocks seen before.
        seen: u64,
    },
    /// The ledger does not extend what was verified before. Both certificates are kept.
    #[error("{0}")]
    Forked(Arc<ForkEvidence>),
    /// Canister and client have no version of the interface in common.
    #[error(
        "the ledger speaks versions {min} to {max} of the interface and this program {ours}; upgrade the older one"
    )]
    Version {
        /// Oldest that the canister speaks.
        min: u32,
        /// Newest that the canister speaks.
        max: u32,
        /// What this client speaks.
        ours: u32,
    },
    /// Another wasm is installed under the ledger's id.
    #[error("canister {ledger} runs module {found}, not the shipped {expected}")]
    OtherCode {
        /// The ledger.
        ledger: Principal,
        /// Hex of the expected hash.
        expected: String,
        /// Hex of the installed one, or `none`.
        found: String,
    },
    /// What is under the ledger's id belongs to somebody else.
    #[error(
        "canister {ledger} is not ours: {reason}; somebody was there first: start again with new keys and an empty data folder"
    )]
    NotOurs {
        /// The ledger.
        ledger: Principal,
        /// What shows it.
        reason: String,
    },
    /// On a network of others the caller's key could replace the ledger's code, and with it the history.
    #[error(
        "the operator's key {operator} is a controller of ledger {ledger}, so whoever holds it could replace the ledger's code: nothing is recorded and no gate opens until {fix}"
    )]
    OperatorIsController {
        /// The ledger.
        ledger: Principal,
        /// The caller.
        operator: Principal,
        /// What a person does about it, with the command.
        fix: String,
    },
    /// The checkpoint that was kept is none that the ledger certified: somebody changed it.
    #[error(
        "the kept checkpoint of ledger {ledger} is not one that it certified: {reason}; restore it, or delete it to start again without a memory"
    )]
    CheckpointSwapped {
        /// The ledger.
        ledger: Principal,
        /// What does not hold.
        reason: String,
    },
    /// An answer is of another form than the interface says.
    #[error("cannot read {what}: {reason}")]
    Decode {
        /// What was read.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// The checkpoint could not be read or kept.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The key could not be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The connection could not be set up.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

/// What a caller does about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Waiting and asking again may help.
    Later,
    /// A person has to look; asking again every now and then does no harm.
    Human,
}

impl LedgerError {
    /// Short name for a condition, an Event or a metric label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "LedgerUnreachable",
            Self::Rejected { .. } => "LedgerRefused",
            Self::Certificate { .. } => "LedgerCertificateInvalid",
            Self::Range { .. } => "LedgerOutsideRange",
            Self::Stale { .. } => "LedgerStale",
            Self::Labels { .. } | Self::Unproven { .. } => "LedgerUnproven",
            Self::Lagging { .. } => "LedgerLagging",
            Self::Forked(_) => "LedgerForked",
            Self::Version { .. } => "LedgerVersion",
            Self::OtherCode { .. } => "LedgerOtherCode",
            Self::NotOurs { .. } => "LedgerNotOurs",
            Self::OperatorIsController { .. } => OPERATOR_IS_CONTROLLER,
            Self::CheckpointSwapped { .. } => "CheckpointSwapped",
            Self::Decode { .. } => "LedgerAnswerMalformed",
            Self::Checkpoint(_) => "CheckpointUnavailable",
            Self::Key(_) => "LedgerKeyUnusable",
            Self::Transport(_) => "LedgerUrlInvalid",
        }
    }

    /// Whether waiting may help.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Unreachable { .. }
            | Self::Rejected { .. }
            | Self::Lagging { .. }
            | Self::Stale { .. }
            | Self::Checkpoint(_) => Retry::Later,
            _ => Retry::Human,
        }
    }

    /// Whether a canister answered `protocol`, which every ledger has, as a program does that is none: it has no such method, gives
    /// something else, or breaks down. One that is stopped or without cycles may well be a ledger.
    pub fn is_of_no_ledger(&self) -> bool {
        match self {
            Self::Rejected {
                method,
                code: Some(code),
                ..
            } => method == PROTOCOL && OF_CODE.contains(&code.as_str()),
            Self::Decode { what, .. } => what == "the answer of `protocol`",
            _ => false,
        }
    }

    /// A refusal of the network.
    pub(crate) fn of_rejection(method: &str, reject: RejectResponse) -> Self {
        Self::Rejected {
            method: method.to_owned(),
            code: reject.error_code.filter(|code| !code.is_empty()),
            message: reject.reject_message,
        }
    }

    pub(crate) fn decode(what: impl Into<String>, reason: impl ToString) -> Self {
        Self::Decode {
            what: what.into(),
            reason: reason.to_string(),
        }
    }

    pub(crate) fn unproven(what: impl Into<String>, reason: impl ToString) -> Self {
        Self::Unproven {
            what: what.into(),
            reason: reason.to_string(),
        }
    }

    pub(crate) fn of_certificate(source: CertificateError, ledger: Principal) -> Self {
        match source {
            CertificateError::OutsideRange => Self::Range { ledger },
            source => Self::Certificate { source },
        }
    }

    pub(crate) fn of_head(source: HeadError, ledger: Principal) -> Self {
        match source {
            HeadError::Certificate(source) => Self::of_certificate(source, ledger),
            HeadError::Age { time, now } => Self::of_age(time, now),
            HeadError::Labels(source) => Self::Labels {
                reason: source.to_string(),
            },
        }
    }

    pub(crate) fn of_age(time: u64, now: u64) -> Self {
        let seconds = |nanos: u64| i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX);
        Self::Stale {
            seconds: seconds(now) - seconds(time),
        }
    }

    /// Whether it concerns one answer: other questions may still be answered well.
    pub(crate) fn is_of_one_answer(&self) -> bool {
        matches!(
            self,
            Self::Unproven { .. } | Self::Decode { .. } | Self::Rejected { .. }
        )
    }
}

/// What a network said of a refusal, with its code.
pub(crate) fn with_code(message: &str, code: Option<&str>) -> String {
    match code {
        Some(code) => format!("{message} ({code})"),
        None => message.to_owned(),
    }
}

fn age(seconds: i64) -> String {
    if seconds < 0 {
        format!("from {} s in the future and not", -seconds)
    } else {
        format!("{seconds} s")
    }
}

#[cfg(test)]
mod tests {
    use ic_agent::agent::RejectCode;

    use super::*;

    #[test]
    fn a_certificate_of_the_past_and_one_of_the_future_are_told_apart() {
        let minute = 60 * 1_000_000_000;
        assert!(
            LedgerError::of_age(0, 4 * minute)
                .to_string()
                .contains("is 240 s old")
        );
        assert!(
            LedgerError::of_age(4 * minute, 0)
                .to_string()
                .contains("from 240 s in the future")
        );
    }

    fn refused(method: &str, code: Option<&str>, said: &str) -> LedgerError {
        let reject = RejectResponse {
            reject_code: RejectCode::CanisterError,
            reject_message: said.to_owned(),
            error_code: code.map(str::to_owned),
        };
        LedgerError::of_rejection(method, reject)
    }

    #[test]
    fn the_code_of_a_rejection_says_whether_the_canisters_code_is_the_reason() {
        for code in OF_CODE {
            let broken = refused("protocol", Some(code), "in some words");
            assert!(broken.is_of_no_ledger(), "{broken}");
            assert!(
                broken.to_string().ends_with(&format!("in some words ({code})")),
                "{broken}"
            );
            assert!(!refused("policy", Some(code), "in some words").is_of_no_ledger());
        }
        // out of cycles, not found, refused by the canister, stopped, stopping, a limit that was set, and none; whatever is said beside
        for code in ["IC0207", "IC0301", "IC0406", "IC0508", "IC0509", "IC0539", ""] {
            let other = refused("protocol", Some(code), "Canister trapped: unreachable");
            assert!(!other.is_of_no_ledger(), "{other}");
        }
        let other = refused("protocol", None, "Canister has no query method 'protocol'");
        assert!(
            !other.is_of_no_ledger() && !other.to_string().contains('('),
            "{other}"
        );
    }

    #[test]
    fn a_canister_that_answers_protocol_with_something_else_is_no_ledger() {
        assert!(LedgerError::decode("the answer of `protocol`", "a text").is_of_no_ledger());
        assert!(!LedgerError::decode("the answer of `policy`", "a text").is_of_no_ledger());
        let unsigned = LedgerError::unproven("the answer of `protocol`", "no node of the subnet signed it");
        let unreachable = LedgerError::Unreachable {
            reason: "refused".to_owned(),
        };
        assert!(!unsigned.is_of_no_ledger() && !unreachable.is_of_no_ledger());
    }

    #[test]
    fn a_canister_outside_the_signers_range_has_its_own_error() {
        let ledger = Principal::from_slice(&[1]);
        let outside = LedgerError::of_certificate(CertificateError::OutsideRange, ledger);
        let forged = LedgerError::of_certificate(CertificateError::Signature("root"), ledger);
        assert_eq!(outside.reason(), "LedgerOutsideRange");
        assert_eq!(forged.reason(), "LedgerCertificateInvalid");
    }
}

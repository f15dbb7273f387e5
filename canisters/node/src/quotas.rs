//! What one canister may use of the node, so that none takes the disk, the log or the threads of the others.

use crate::mode::Mode;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// A number of something that one canister may use, or as much as there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quota(u64);

impl Quota {
    /// As much as there is.
    pub const UNLIMITED: Self = Self(u64::MAX);

    /// So many; nothing at all is not a quota, and means one.
    pub fn of(amount: u64) -> Self {
        Self(amount.max(1))
    }

    /// The number; the largest there is when it is unlimited.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::UNLIMITED => formatter.write_str("unlimited"),
            Self(amount) => amount.fmt(formatter),
        }
    }
}

/// Not a quota.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is neither `unlimited` nor a number from 1")]
pub struct QuotaError(String);

impl FromStr for Quota {
    type Err = QuotaError;

    fn from_str(text: &str) -> Result<Self, QuotaError> {
        if text == "unlimited" {
            return Ok(Self::UNLIMITED);
        }
        match text.parse() {
            Ok(amount) if amount > 0 => Ok(Self(amount)),
            _ => Err(QuotaError(text.to_owned())),
        }
    }
}

/// See the module documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// Bytes that it may hold: heap, stable memory, module and chunk store. Each batch says it, so that a log is replayed under
    /// the quota that it was written under; another one holds from the next batch.
    pub disk: Quota,
    /// Ingress messages to it, and as many about it, that are accepted within a minute of the node's time.
    pub messages: Quota,
    /// Ingress messages to it that have no outcome yet, as many about it, and as many queries.
    pub pending: Quota,
}

impl Quotas {
    /// None.
    pub const UNLIMITED: Self = Self {
        disk: Quota::UNLIMITED,
        messages: Quota::UNLIMITED,
        pending: Quota::UNLIMITED,
    };

    /// Those of a mode when nothing else is said: none in development. In production 4 GiB, 60,000 messages a minute, and of each
    /// kind 64 that are pending: messages, calls about it and queries together are fewer than the node has connections, so that
    /// some are left for others.
    pub fn of(mode: Mode) -> Self {
        match mode {
            Mode::Dev => Self::UNLIMITED,
            Mode::Production => Self {
                disk: Quota(4 << 30),
                messages: Quota(60_000),
                pending: Quota(64),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_quota_is_read_as_it_is_written_and_nothing_is_none() {
        for text in ["1", "4294967296", "unlimited"] {
            assert_eq!(text.parse::<Quota>().unwrap().to_string(), text);
        }
        for text in ["0", "", "-1", "4GiB", "Unlimited"] {
            assert_eq!(text.parse::<Quota>(), Err(QuotaError(text.to_owned())));
        }
    }

    #[test]
    fn production_has_quotas_and_development_none() {
        assert_eq!(Quotas::of(Mode::Dev), Quotas::UNLIMITED);
        let Quotas {
            disk,
            messages,
            pending,
        } = Quotas::of(Mode::Production);
        assert!(
            [disk, messages, pending]
                .iter()
                .all(|quota| *quota < Quota::UNLIMITED)
        );
        let connections = crate::http::serve::ConnectionLimits::default().connections;
        // Those of messages, of calls about it and of queries.
        assert!(
            3 * pending.get() < connections as u64,
            "one canister can have them all"
        );
    }
}

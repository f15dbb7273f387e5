//! Names that come from outside and become part of a path: checked once, here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

/// A name that is not allowed.
#[derive(Debug, thiserror::Error)]
#[error("{what} must have 1 to {most} characters out of {allowed} and begin with a letter or digit")]
pub struct BadName {
    what: &'static str,
    most: usize,
    allowed: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $most:literal, $allowed:literal, $also:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                let also: fn(u8) -> bool = $also;
                let begins = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
                if begins && text.len() <= $most && text.bytes().all(|b| b.is_ascii_alphanumeric() || also(b)) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(BadName { what: $what, most: $most, allowed: $allowed })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// An attempt: the UID of its Pod.
    AttemptId, "an attempt", 64, "letters, digits, '-'", |b| b == b'-'
);
name!(
    /// UID of a PipelineRun.
    RunUid, "a run UID", 64, "letters, digits, '-'", |b| b == b'-'
);
name!(
    /// A namespace.
    Namespace, "a namespace", 63, "letters, digits, '-'", |b| b == b'-'
);
name!(
    /// Name of an artifact or result.
    ItemName, "a name", 128, "letters, digits, '.', '_', '-'", |b| matches!(b, b'.' | b'_' | b'-')
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_items_are_those_that_operator_and_lint_let_pass() {
        let long = ["a".repeat(128), "a".repeat(129)];
        let short = [
            "", "a", "Z9", "a.b_c-d", "-a", ".a", "_a", "a b", "a/b", "a*", "ä", "x\n",
        ];
        for name in short.into_iter().chain(long.iter().map(String::as_str)) {
            assert_eq!(
                name.parse::<ItemName>().is_ok(),
                dcanary_protocol::names::is_item(name),
                "{name:?}"
            );
        }
    }

    #[test]
    fn names_never_leave_their_directory() {
        for bad in [
            "", ".", "..", "../x", "a/b", "a\\b", "/", "a\0b", "-a", ".hidden", "a b", "é", "%2e%2e",
        ] {
            assert!(bad.parse::<ItemName>().is_err(), "{bad:?}");
            assert!(bad.parse::<AttemptId>().is_err(), "{bad:?}");
            assert!(bad.parse::<Namespace>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(129).parse::<ItemName>().is_err());
        assert!("dist_1.2-x".parse::<ItemName>().is_ok());
        assert!(
            "0f9c7a1e-1111-4222-8333-444455556666"
                .parse::<AttemptId>()
                .is_ok()
        );
    }
}

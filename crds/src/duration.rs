//! Durations as people write them: `90s`, `10m`, `1h30m`.

use std::{fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// What the API server takes: units from large to small, each at most once and at least one of them, numbers of 1 to 9 digits. The same
/// as [`Duration::from_str`], so that no object can be stored that the operator cannot read.
pub const PATTERN: &str = "^([0-9]{1,9}d([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?|[0-9]{1,9}h([0-9]{1,9}m)?([0-9]{1,9}s)?|[0-9]{1,9}m([0-9]{1,9}s)?|[0-9]{1,9}s)$";
/// Longest text that fits the pattern.
const LONGEST: usize = 40;
/// Digits of one number.
const DIGITS: usize = 9;

/// A duration in whole seconds, written with the units `d`, `h`, `m` and `s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Duration(u64);

/// A text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a duration: write numbers with d, h, m or s, such as 90s, 10m or 1h30m")]
pub struct DurationError(String);

impl Duration {
    /// From seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Whole seconds.
    pub const fn as_secs(self) -> u64 {
        self.0
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || DurationError(text.to_owned());
        // nine digits a number: even in days far from the end of an u64
        let (mut total, mut number, mut digits, mut last) = (0_u64, 0_u64, 0, u64::MAX);
        for c in text.chars() {
            if let Some(digit) = c.to_digit(10) {
                number = number.saturating_mul(10).saturating_add(u64::from(digit));
                digits += 1;
                continue;
            }
            let unit = match c {
                'd' => 86_400,
                'h' => 3_600,
                'm' => 60,
                's' => 1,
                _ => return Err(error()),
            };
            // units from large to small, each once
            if unit >= last || !(1..=DIGITS).contains(&digits) {
                return Err(error());
            }
            last = unit;
            total = total.saturating_add(number.saturating_mul(unit));
            (number, digits) = (0, 0);
        }
        if digits > 0 || text.is_empty() {
            Err(error())
        } else {
            Ok(Self(total))
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, name) in [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')] {
            if rest >= unit {
                write!(f, "{}{name}", rest / unit)?;
                rest %= unit;
            }
        }
        Ok(())
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": LONGEST, "pattern": PATTERN})
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in [
            ("90s", 90),
            ("10m", 600),
            ("1h30m", 5_400),
            ("2d", 172_800),
            ("0s", 0),
        ] {
            assert_eq!(text.parse::<Duration>().unwrap().as_secs(), seconds);
        }
        assert_eq!(Duration::from_secs(5_400).to_string(), "1h30m");
    }

    #[test]
    fn what_is_no_duration_is_refused_with_the_right_form() {
        for text in [
            "",
            "10",
            "m",
            "10x",
            "1m1h",
            "1h1h",
            "-5s",
            "99999999999999999999s",
            "1000000000s",
        ] {
            let error = text.parse::<Duration>().unwrap_err();
            assert!(error.to_string().contains("10m"), "{text}");
        }
    }
}

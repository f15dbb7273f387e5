//! What the application does, from environment variables.
//!
//! | variable | means | default |
//! | --- | --- | --- |
//! | `VERSION` | what it says it is | `dev` |
//! | `ERROR_RATE` | share of requests answered with 500, `0` to `1` | `0` |
//! | `LATENCY_MS` | time before each answer | `0` |
//! | `CRASH_AFTER` | seconds until it ends with 1; `0`: at the start | never |
//! | `READY` | `false`: `/readyz` never says yes | `true` |
//! | `DRAIN_SECONDS` | time after SIGTERM in which it serves on, not ready any more | `5` |
//! | `CONFIG_FILE` | a file whose content is shown in answers and under `/config` | none |
//! | `PORT` | where it listens | `8080` |
//! | `POD_NAME`, else `HOSTNAME` | what it says which Pod it is | empty |

use std::{path::PathBuf, time::Duration};

use thiserror::Error;

const MILLION: u64 = 1_000_000;

/// What the application does.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What it says it is.
    pub version: String,
    /// Which Pod it says it is.
    pub pod: String,
    /// Share of requests that fail.
    pub errors: Rate,
    /// Time before each answer.
    pub latency: Duration,
    /// Time until it ends by itself.
    pub crash_after: Option<Duration>,
    /// Whether it is ever ready.
    pub ready: bool,
    /// Time in which it serves on after SIGTERM.
    pub drain: Duration,
    /// A file whose content is shown.
    pub config_file: Option<PathBuf>,
    /// Where it listens.
    pub port: u16,
}

/// A variable that cannot be understood.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("{name}={value}: {expected}")]
pub struct SettingsError {
    name: &'static str,
    value: String,
    expected: &'static str,
}

impl Settings {
    /// Reads them; `get` gives the value of a variable.
    ///
    /// # Errors
    /// When a variable cannot be understood.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        Ok(Self {
            version: get("VERSION").unwrap_or_else(|| "dev".into()),
            pod: get("POD_NAME").or_else(|| get("HOSTNAME")).unwrap_or_default(),
            errors: of(&get, "ERROR_RATE", "a share from 0 to 1, as in 0.25", Rate::parse)?
                .unwrap_or_default(),
            latency: Duration::from_millis(
                of(&get, "LATENCY_MS", "whole milliseconds", number)?.unwrap_or_default(),
            ),
            crash_after: of(&get, "CRASH_AFTER", "whole seconds", number)?.map(Duration::from_secs),
            ready: of(&get, "READY", "true or false", |text| text.parse().ok())?.unwrap_or(true),
            drain: Duration::from_secs(of(&get, "DRAIN_SECONDS", "whole seconds", number)?.unwrap_or(5)),
            config_file: get("CONFIG_FILE").map(PathBuf::from),
            port: of(&get, "PORT", "a port number", |text| text.parse().ok())?.unwrap_or(8080),
        })
    }
}

/// The value of a variable; an empty one is as good as none.
fn of<T>(
    get: &impl Fn(&str) -> Option<String>,
    name: &'static str,
    expected: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, SettingsError> {
    let Some(value) = get(name).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    match parse(&value) {
        Some(parsed) => Ok(Some(parsed)),
        None => Err(SettingsError {
            name,
            value,
            expected,
        }),
    }
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

/// A share of requests, in millionths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rate(u64);

impl Rate {
    /// Reads `0`, `0.25`, `1`; up to six digits.
    fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        if fraction.len() > 6 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let fraction: u64 = format!("{fraction:0<6}").parse().ok()?;
        let millionths = number(whole)?.checked_mul(MILLION)?.checked_add(fraction)?;
        (millionths <= MILLION).then_some(Self(millionths))
    }

    /// Whether the request of this number, from 0, fails: of any n requests in a row, the share does, to the nearest request.
    pub const fn hits(self, number: u64) -> bool {
        let place = number % MILLION;
        (place + 1) * self.0 / MILLION > place * self.0 / MILLION
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn with(name: &'static str, value: &'static str) -> Result<Settings, SettingsError> {
        Settings::read(|asked| (asked == name).then(|| value.to_owned()))
    }

    #[test]
    fn without_variables_every_request_is_answered_at_once() {
        let settings = Settings::read(|_| None).unwrap();
        assert!((0..1000).all(|n| !settings.errors.hits(n)));
        assert_eq!((settings.latency, settings.crash_after), (Duration::ZERO, None));
        assert!(settings.ready);
    }

    #[test]
    fn the_share_of_failing_requests_is_the_error_rate_in_every_stretch() {
        for (text, of_a_thousand) in [("0", 0), ("0.05", 50), ("0.3", 300), ("0.333", 333), ("1", 1000)] {
            let rate = with("ERROR_RATE", text).unwrap().errors;
            for begin in [0_u64, 17, 999_500] {
                let hits = (begin..begin + 1000).filter(|n| rate.hits(*n)).count();
                assert!(hits.abs_diff(of_a_thousand) <= 1, "{text} from {begin}: {hits}");
            }
        }
    }

    #[test]
    fn a_crash_after_zero_seconds_differs_from_none() {
        assert_eq!(
            with("CRASH_AFTER", "0").unwrap().crash_after,
            Some(Duration::ZERO)
        );
        assert_eq!(with("CRASH_AFTER", "").unwrap().crash_after, None);
    }

    #[test]
    fn what_cannot_be_understood_is_named_with_what_was_expected() {
        for (name, value) in [
            ("ERROR_RATE", "1.5"),
            ("ERROR_RATE", "-1"),
            ("ERROR_RATE", "0.1234567"),
            ("ERROR_RATE", "99999999999999999"),
            ("LATENCY_MS", "1s"),
            ("READY", "yes"),
            ("PORT", "70000"),
        ] {
            let said = with(name, value).unwrap_err().to_string();
            assert!(said.starts_with(&format!("{name}={value}: ")), "{said}");
        }
    }
}

//! Times in which nothing is deployed.

use croner::parser::{CronParser, Seconds, Year};
use dcanary_core::time::later;
use dcanary_crds::FreezeWindow;
use jiff::{Timestamp, tz::TimeZone};
use thiserror::Error;

/// Longest window, in seconds.
const LONGEST: u64 = 366 * 86_400;

/// A freeze window that cannot be followed. Nothing is deployed then: who asked for a freeze must not get a deploy because of a typing error.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FreezeError {
    /// The start.
    #[error(
        "freeze window `{name}`: start `{start}` is no cron expression of five fields (example: `0 18 * * 5`): {why}"
    )]
    Start {
        /// Name of the window.
        name: String,
        /// What was given.
        start: String,
        /// What is wrong.
        why: String,
    },
    /// The time zone.
    #[error("freeze window `{name}`: there is no time zone `{zone}` (example: `Europe/Zurich`)")]
    Zone {
        /// Name of the window.
        name: String,
        /// What was given.
        zone: String,
    },
    /// The duration.
    #[error("freeze window `{name}`: duration must be between 1s and 366d")]
    Duration {
        /// Name of the window.
        name: String,
    },
}

/// A window that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    /// Its name.
    pub name: String,
    /// Its end.
    pub until: Timestamp,
}

/// Whether all windows can be followed.
///
/// # Errors
/// The first that cannot.
pub fn validate(windows: &[FreezeWindow]) -> Result<(), FreezeError> {
    windows.iter().try_for_each(|window| {
        let (_, _) = parse(window)?;
        Ok(())
    })
}

/// The open window that ends last, if one is open.
///
/// # Errors
/// When a window cannot be followed.
pub fn frozen(windows: &[FreezeWindow], now: Timestamp) -> Result<Option<Frozen>, FreezeError> {
    let mut last: Option<Frozen> = None;
    for window in windows {
        let (cron, zone) = parse(window)?;
        let local = now.to_zoned(zone);
        // a start that never was (30 February) opens nothing
        let Ok(start) = cron.find_previous_occurrence(&local, true) else {
            continue;
        };
        let until = later(start.timestamp(), window.duration.as_secs());
        if now < until && last.as_ref().is_none_or(|last| last.until < until) {
            last = Some(Frozen {
                name: window.name.clone(),
                until,
            });
        }
    }
    Ok(last)
}

fn parse(window: &FreezeWindow) -> Result<(croner::Cron, TimeZone), FreezeError> {
    let seconds = window.duration.as_secs();
    if seconds == 0 || seconds > LONGEST {
        return Err(FreezeError::Duration {
            name: window.name.clone(),
        });
    }
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build();
    let cron = parser.parse(&window.start).map_err(|why| FreezeError::Start {
        name: window.name.clone(),
        start: window.start.clone(),
        why: why.to_string(),
    })?;
    let zone = match window.time_zone.as_deref() {
        None => TimeZone::UTC,
        Some(zone) => TimeZone::get(zone).map_err(|_| FreezeError::Zone {
            name: window.name.clone(),
            zone: zone.to_owned(),
        })?,
    };
    Ok((cron, zone))
}

//! Times as people read them.

use jiff::Timestamp;

/// A length of time in at most two units, as `kubectl` prints it: `41s`, `2m13s`, `5h2m`, `3d4h`.
pub fn span(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let two = |big: i64, unit: char, small: i64, small_unit: char| {
        if small == 0 {
            format!("{big}{unit}")
        } else {
            format!("{big}{unit}{small}{small_unit}")
        }
    };
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => two(minutes, 'm', seconds % 60, 's'),
        3_600..86_400 => two(hours, 'h', minutes % 60, 'm'),
        86_400..864_000 => two(days, 'd', hours % 24, 'h'),
        _ => format!("{days}d"),
    }
}

/// From `start` to `end`, or to `now` while there is no end. Empty before the start.
pub fn between(start: Option<Timestamp>, end: Option<Timestamp>, now: Timestamp) -> String {
    start.map_or_else(String::new, |start| {
        span(end.unwrap_or(now).as_second() - start.as_second())
    })
}

/// Nanoseconds since 1970 as a date and time, UTC, in seconds.
pub fn instant(nanoseconds: u64) -> String {
    i64::try_from(nanoseconds / 1_000_000_000)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .map_or_else(|| format!("{nanoseconds} ns"), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_at_most_two_units() {
        let cases = [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (133, "2m13s"),
            (18_120, "5h2m"),
            (86_400, "1d"),
            (273_600, "3d4h"),
            (864_000, "10d"),
            (-5, "0s"),
        ];
        for (seconds, text) in cases {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn what_runs_is_measured_until_now() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(between(Some(at(10)), None, at(51)), "41s");
        assert_eq!(between(Some(at(10)), Some(at(20)), at(51)), "10s");
        assert_eq!(between(None, None, at(51)), "");
    }

    #[test]
    fn ledger_times_are_dates() {
        assert_eq!(instant(1_700_000_000_000_000_001), "2023-11-14T22:13:20Z");
    }
}

//! From the operator's process at rest to the rows of the table.

use super::{
    many::{AT_ONCE, Found},
    memory::Rest,
    part::Part,
};
use crate::{
    audit::{Caller, Group},
    calls::Tally,
    report::{Row, grouped},
    stats::real,
};

/// How much more memory is no growth.
const SAME: f64 = 1.02;
const AIM: &str = "no growth: at most 2 % more than at the first rest";

/// The rows about so many Environments and rollouts.
pub fn rows(part: &Part<Found>, environments: u32, rollouts: u32) -> Vec<Row> {
    let mut rows = vec![
        idle(part, environments),
        kept(part, rollouts),
        cleared(part),
        cpu(part),
    ];
    rows.extend(api(part));
    rows
}

fn missing<T: Default>(part: &Part<T>, what: &str, aim: &str) -> Row {
    let why = part.problem.as_deref().unwrap_or("no rollouts");
    Row::missing(what, why, aim)
}

fn idle(part: &Part<Found>, environments: u32) -> Row {
    let what = format!("operator memory, {environments} idle Environments");
    let (Some(before), Some(idle)) = (&part.found.before, &part.found.idle) else {
        return missing(part, &what, "–");
    };
    Row {
        what,
        figure: change(before, idle),
        detail: format!(
            "before and with them, each with a promoted release; {:.1} kB an Environment; CPU at rest {:.1} ms a second{}",
            kilobytes(before, idle) / f64::from(environments.max(1)),
            idle.cpu,
            note(&[*before, *idle])
        ),
        aim: "–".to_owned(),
        met: None,
    }
}

fn kept(part: &Part<Found>, rollouts: u32) -> Row {
    let what = format!("operator memory, {} rollouts", grouped(rollouts));
    let after = &part.found.after;
    let (Some(idle), Some((first, start)), Some((last, end))) =
        (&part.found.idle, after.first(), after.last())
    else {
        return missing(part, &what, AIM);
    };
    let rests: Vec<Rest> = after.iter().map(|(_, rest)| *rest).collect();
    let each: Vec<String> = after
        .iter()
        .map(|(count, rest)| format!("after {} {:.1}", grouped(*count), rest.mib()))
        .collect();
    Row {
        what,
        figure: change(idle, end),
        detail: format!(
            "with all their Promotions kept: {} MiB; {:.1} kB a rollout between these; highest since its start {:.1} MiB{}",
            each.join(", "),
            kilobytes(start, end) / f64::from((last - first).max(1)),
            real(end.sample.peak) / 1024.0,
            note(&rests)
        ),
        aim: AIM.to_owned(),
        // of one rest nothing can be said
        met: (after.len() > 1).then(|| end.mib() <= start.mib() * SAME),
    }
    .cut_short(part.problem.as_deref().filter(|_| *last < rollouts))
}

fn cleared(part: &Part<Found>) -> Row {
    const WHAT: &str = "operator memory, their Promotions deleted";
    let (Some((_, start)), Some(cleared)) = (part.found.after.first(), &part.found.cleared) else {
        return missing(part, WHAT, AIM);
    };
    Row {
        what: WHAT.to_owned(),
        figure: format!("{:.1} MiB", cleared.mib()),
        detail: format!(
            "{:+.1} MiB against the first rest{}",
            cleared.mib() - start.mib(),
            note(&[*cleared])
        ),
        aim: AIM.to_owned(),
        met: Some(cleared.mib() <= start.mib() * SAME),
    }
}

fn cpu(part: &Part<Found>) -> Row {
    const WHAT: &str = "operator CPU, rollouts on fake nodes";
    let (Some(idle), Some((count, last))) = (&part.found.idle, part.found.after.last()) else {
        return missing(part, WHAT, "–");
    };
    let spent = last.sample.cpu_ms_since(&idle.sample);
    Row {
        what: WHAT.to_owned(),
        figure: format!("{:.1} ms a rollout", spent / f64::from(*count)),
        detail: format!(
            "{spent:.0} ms for {} rollouts, {AT_ONCE} at once, {:.1} a second; the rests between them are in it",
            grouped(*count),
            f64::from(*count) / part.found.seconds.max(f64::EPSILON)
        ),
        aim: "–".to_owned(),
        met: None,
    }
}

fn api(part: &Part<Found>) -> Vec<Row> {
    const WRITES: &str = "API writes of the operator, rollouts";
    let (calls, rollouts) = match (&part.found.calls, part.found.after.last()) {
        (Some(Ok(calls)), Some((count, _))) => (calls, *count),
        (Some(Err(why)), _) => return vec![Row::missing(WRITES, why, "–")],
        _ => return vec![missing(part, WRITES, "–")],
    };
    let row = |what: &str, group| {
        let tally = Tally::of(calls, Caller::Operator, Some(group));
        Row {
            what: what.to_owned(),
            figure: format!("{:.2} a rollout", tally.all / f64::from(rollouts)),
            detail: tally.text(rollouts),
            aim: "–".to_owned(),
            met: None,
        }
    };
    vec![
        row(WRITES, Group::Write),
        row("Events of the operator, rollouts", Group::Event),
        row("API reads of the operator, rollouts", Group::Read),
    ]
}

fn change(from: &Rest, to: &Rest) -> String {
    format!("{:.1} MiB → {:.1} MiB", from.mib(), to.mib())
}

fn kilobytes(from: &Rest, to: &Rest) -> f64 {
    (real(to.sample.resident) - real(from.sample.resident)) * 1.024
}

fn note(rests: &[Rest]) -> &'static str {
    if rests.iter().all(|rest| rest.calm) {
        ""
    } else {
        "; it still changed when it was looked at"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::{Calls, Count},
        usage::Sample,
    };

    fn rest(mib: u64, ticks: u64, calm: bool) -> Rest {
        Rest {
            sample: Sample {
                ticks,
                resident: mib * 1024,
                peak: 64 * 1024,
            },
            calm,
            cpu: 1.5,
        }
    }

    fn found() -> Found {
        Found {
            before: Some(rest(30, 100, true)),
            idle: Some(rest(40, 200, true)),
            after: vec![(50, rest(50, 1_000, true)), (100, rest(52, 1_200, true))],
            seconds: 50.0,
            cleared: Some(rest(51, 1_300, true)),
            calls: Some(Ok(Calls::from([(
                (
                    Caller::Operator,
                    Group::Write,
                    "patch".to_owned(),
                    "services".to_owned(),
                ),
                Count { all: 300, late: 0 },
            )]))),
        }
    }

    fn figures(found: Found, problem: Option<&str>) -> Vec<(String, String, Option<bool>)> {
        let part = Part {
            found,
            problem: problem.map(ToOwned::to_owned),
        };
        let rows = rows(&part, 10, 100);
        rows.into_iter()
            .map(|row| (row.figure, row.detail, row.met))
            .collect()
    }

    #[test]
    fn memory_is_compared_with_the_first_rest_and_what_is_spent_is_divided_by_rollouts() {
        let rows = figures(found(), None);
        let row = |index: usize| rows.get(index).map(|row| (row.0.as_str(), row.1.as_str(), row.2));
        assert_eq!(
            row(0),
            Some((
                "30.0 MiB → 40.0 MiB",
                "before and with them, each with a promoted release; 1048.6 kB an Environment; CPU at rest 1.5 ms a second",
                None
            ))
        );
        assert_eq!(
            row(1),
            Some((
                "40.0 MiB → 52.0 MiB",
                "with all their Promotions kept: after 50 50.0, after 100 52.0 MiB; 41.9 kB a rollout between these; highest since its start 64.0 MiB",
                Some(false)
            ))
        );
        assert_eq!(
            row(2),
            Some(("51.0 MiB", "+1.0 MiB against the first rest", Some(true)))
        );
        assert_eq!(
            row(3),
            Some((
                "100.0 ms a rollout",
                "10000 ms for 100 rollouts, 20 at once, 2.0 a second; the rests between them are in it",
                None
            ))
        );
        assert_eq!(row(4), Some(("3.00 a rollout", "patch services 3.00", None)));
        assert_eq!(row(5), Some(("0.00 a rollout", "none", None)));
        assert_eq!(rows.len(), 7);
    }

    #[test]
    fn what_failed_in_the_middle_keeps_what_was_measured_and_says_why_there_is_no_more() {
        let broken = Found {
            after: vec![(50, rest(50, 1_000, false))],
            cleared: None,
            calls: None,
            ..found()
        };
        let rows = figures(broken, Some("no Pods"));
        let last = |index: usize| rows.get(index).map(|row| (row.1.rsplit("; ").next(), row.2));
        assert_eq!(last(0), Some((Some("CPU at rest 1.5 ms a second"), None)));
        assert_eq!(last(1), Some((Some("cut short: no Pods"), None)));
        assert!(rows.get(1).is_some_and(|row| row.1.contains("it still changed")));
        assert_eq!(last(2), Some((Some("no Pods"), None)));
        assert_eq!(last(4), Some((Some("no Pods"), None)));
        assert!(
            figures(Found::default(), Some("no cluster"))
                .iter()
                .all(|row| row.0 == "not measured")
        );
    }
}

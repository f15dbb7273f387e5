//! From measurements to the rows of the table, each with its aim.

use super::{journal::Rates, pairs::Series, pipeline_runs::Life};
use crate::{
    audit::{Caller, Calls, Group},
    calls::Tally,
    report::Row,
    stats::{interval, median, range, real},
};

/// Everything that was measured.
pub struct Figures {
    /// One-stage runs against one bare Pod.
    pub one: Series,
    /// Three stages in a chain against three bare Pods in a row.
    pub three: Series,
    /// Twenty one-stage runs at once against twenty bare Pods at once.
    pub twenty: Series,
    /// The one-stage runs one at a time.
    pub one_lives: Vec<Life>,
    /// The one-stage runs at once.
    pub twenty_lives: Vec<Life>,
    /// API calls during `one_lives`, or why there are none.
    pub calls: Result<Calls, String>,
    /// Why the operator's process was not seen, where it was not.
    pub process: Result<(), String>,
    /// Rate of the journal alone, or why there is none.
    pub journal: Result<Rates, String>,
}

const CPU_AIM: f64 = 20.0;

impl Figures {
    /// The table's rows.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = vec![
            ratio(
                "one stage against a bare Pod",
                &self.one,
                "≤ 1.10 ×; with warm executors ≤ 0.3 ×",
                |ratio| ratio <= 1.10,
            ),
            ratio(
                "three stages in a row against three bare Pods in a row",
                &self.three,
                "< 1 ×",
                |ratio| ratio < 1.0,
            ),
            ratio(
                "twenty runs at once against twenty bare Pods at once",
                &self.twenty,
                "≤ 1.15 ×",
                |ratio| ratio <= 1.15,
            ),
        ];
        rows.extend(self.api());
        rows.push(self.cpu("operator CPU, runs one at a time", &self.one_lives));
        rows.push(self.cpu("operator CPU, twenty at once", &self.twenty_lives));
        rows.push(self.memory());
        rows.push(self.recorded());
        rows.push(self.journal());
        rows
    }

    fn api(&self) -> Vec<Row> {
        const WRITES: &str = "≤ 6 a run besides Events and Leases";
        let runs: u32 = self.one_lives.iter().map(|life| life.runs).sum();
        let calls = match &self.calls {
            Ok(calls) if runs > 0 => calls,
            Ok(_) => return vec![Row::missing("API calls", "no one-stage runs", WRITES)],
            Err(why) => return vec![Row::missing("API calls", why, WRITES)],
        };
        let row = |what: &str, caller, group, aim: Option<(&str, f64)>| {
            let tally = Tally::of(calls, caller, group);
            let each = tally.all / f64::from(runs);
            Row {
                what: what.to_owned(),
                figure: format!("{each:.2} a run"),
                detail: tally.text(runs),
                aim: aim.map_or_else(|| "–".to_owned(), |(aim, _)| aim.to_owned()),
                met: aim.map(|(_, most)| each <= most),
            }
        };
        let operator = Caller::Operator;
        vec![
            row(
                "API writes of the operator",
                operator,
                Some(Group::Write),
                Some((WRITES, 6.0)),
            ),
            row(
                "Events of the operator",
                operator,
                Some(Group::Event),
                Some(("≤ 3 a run", 3.0)),
            ),
            row("Leases of the operator", operator, Some(Group::Lease), None),
            row("API reads of the operator", operator, Some(Group::Read), None),
            row("all API calls of the server", Caller::Server, None, None),
            row("all API calls of the runner", Caller::Runner, None, None),
        ]
    }

    fn cpu(&self, what: &str, lives: &[Life]) -> Row {
        let aim = "≤ 20 ms a one-stage run";
        if let Err(why) = &self.process {
            return Row::missing(what, why, aim);
        }
        let samples = lives.iter().filter_map(|life| life.operator);
        let spent: f64 = samples.map(|(before, after)| after.cpu_ms_since(&before)).sum();
        let runs: u32 = lives.iter().map(|life| life.runs).sum();
        if runs == 0 {
            return Row::missing(what, "no such runs", aim);
        }
        let each = spent / f64::from(runs);
        Row {
            what: what.to_owned(),
            figure: format!("{each:.1} ms a run"),
            detail: format!(
                "{spent:.0} ms for {runs} runs, from creation until they are recorded and deleted"
            ),
            aim: aim.to_owned(),
            met: Some(each <= CPU_AIM),
        }
    }

    fn memory(&self) -> Row {
        const WHAT: &str = "operator memory (resident)";
        const AIM: &str = "20 kB a live run (a slope that needs thousands of runs; not measured here)";
        if let Err(why) = &self.process {
            return Row::missing(WHAT, why, AIM);
        }
        let lives = || self.one_lives.iter().chain(&self.twenty_lives);
        let samples: Vec<_> = lives()
            .filter_map(|life| Some((life.window.from, life.operator?)))
            .collect();
        let first = samples
            .iter()
            .min_by_key(|(from, _)| *from)
            .map(|(_, pair)| pair.0);
        let last = samples
            .iter()
            .max_by_key(|(from, _)| *from)
            .map(|(_, pair)| pair.1);
        let Some((first, last)) = first.zip(last) else {
            return Row::missing(WHAT, "no runs", AIM);
        };
        let runs: u32 = lives().map(|life| life.runs).sum();
        let mib = |kib: u64| real(kib) / 1024.0;
        Row {
            what: WHAT.to_owned(),
            figure: format!("{:.1} MiB → {:.1} MiB", mib(first.resident), mib(last.resident)),
            detail: format!(
                "before and after, with {runs} one-stage runs between them; highest since its start {:.1} MiB",
                mib(last.peak)
            ),
            aim: AIM.to_owned(),
            met: None,
        }
    }

    fn recorded(&self) -> Row {
        const WHAT: &str = "journal, records of twenty runs at once";
        const AIM: &str = "never the bottleneck";
        let rates: Vec<f64> = self
            .twenty_lives
            .iter()
            .filter(|life| life.recording > 0.0)
            .map(|life| real(life.records) / life.recording)
            .collect();
        let Some(rate) = median(&rates) else {
            return Row::missing(WHAT, "no such runs, or no journal", AIM);
        };
        let records: u64 = self.twenty_lives.iter().map(|life| life.records).sum();
        Row {
            what: WHAT.to_owned(),
            figure: format!("{rate:.1} a second"),
            detail: format!(
                "the rate at which the runs make them; {records} records, between the first and the last receipt in a status"
            ),
            aim: AIM.to_owned(),
            met: None,
        }
    }

    fn journal(&self) -> Row {
        const WHAT: &str = "journal, the recorder alone into an embedded node";
        const AIM: &str = "≥ 1,000 a second";
        let rates = match &self.journal {
            Ok(rates) => rates,
            Err(why) => return Row::missing(WHAT, why, AIM),
        };
        let (Some(rate), Some((low, high))) = (median(&rates.bursts), range(&rates.bursts)) else {
            return Row::missing(WHAT, "no bursts", AIM);
        };
        Row {
            what: WHAT.to_owned(),
            figure: format!("{rate:.0} a second"),
            detail: format!(
                "{} bursts of {} records, {low:.0}–{high:.0}; durable, each receipt checked against the certified head",
                rates.bursts.len(),
                rates.records
            ),
            aim: AIM.to_owned(),
            met: Some(rate >= 1_000.0),
        }
    }
}

fn ratio(what: &str, series: &Series, aim: &str, met: fn(f64) -> bool) -> Row {
    let (ratios, to_exit) = (series.ratios(), series.ratios_to_exit());
    let (Some(middle), Some((bare, run)), Some(exit)) = (median(&ratios), series.medians(), median(&to_exit))
    else {
        return Row::missing(what, "no pairs", aim);
    };
    Row {
        what: what.to_owned(),
        figure: format!("{middle:.2} × ({})", spread(&ratios)),
        detail: format!(
            "medians {run:.2} s against {bare:.2} s of {} pairs; against the bare containers' exit in the Pods' status {exit:.2} × ({})",
            ratios.len(),
            spread(&to_exit)
        ),
        aim: aim.to_owned(),
        met: Some(met(middle)),
    }
}

fn spread(ratios: &[f64]) -> String {
    match (interval(ratios), range(ratios)) {
        (Some((low, high)), _) => format!("95 % {low:.2}–{high:.2}"),
        (None, Some((low, high))) => format!("range {low:.2}–{high:.2}, too few pairs for an interval"),
        (None, None) => "no pairs".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{
        audit::{Count, Window},
        runs::pairs::Pair,
        usage::Sample,
    };

    fn figures() -> Figures {
        let at = |second| jiff::Timestamp::from_second(second).unwrap();
        let sample = |ticks| Sample {
            ticks,
            resident: 2048,
            peak: 4096,
        };
        let life = |runs, records| Life {
            runs,
            window: Window {
                from: at(1),
                asked: at(2),
                to: at(3),
            },
            operator: Some((sample(100), sample(102))),
            records,
            recording: 2.0,
        };
        let call = |group, name: &str, all, late| {
            (
                (Caller::Operator, group, "create".to_owned(), name.to_owned()),
                Count { all, late },
            )
        };
        Figures {
            one: Series(vec![
                Pair {
                    bare: 2.0,
                    exited: 1.0,
                    run: 2.1
                };
                6
            ]),
            three: Series::default(),
            twenty: Series(vec![Pair {
                bare: 2.0,
                exited: 1.6,
                run: 4.0,
            }]),
            one_lives: vec![life(1, 4), life(1, 4)],
            twenty_lives: vec![life(20, 80)],
            calls: Ok(Calls::from([
                call(Group::Write, "pods", 14, 2),
                call(Group::Event, "events", 4, 0),
            ])),
            process: Ok(()),
            journal: Ok(Rates {
                bursts: vec![1_100.0, 1_200.0, 1_300.0],
                records: 1_000,
            }),
        }
    }

    fn row<'a>(rows: &'a [Row], what: &str) -> &'a Row {
        rows.iter().find(|row| row.what.contains(what)).unwrap()
    }

    #[test]
    fn every_row_has_figure_aim_and_verdict() {
        let rows = figures().rows();
        let one = row(&rows, "one stage");
        assert_eq!(
            (one.figure.as_str(), one.met),
            ("1.05 × (95 % 1.05–1.05)", Some(true))
        );
        assert_eq!(row(&rows, "three stages").figure, "not measured");
        let twenty = row(&rows, "twenty runs");
        assert!(twenty.figure.contains("too few pairs") && twenty.met == Some(false));
        let writes = row(&rows, "API writes");
        assert_eq!((writes.figure.as_str(), writes.met), ("7.00 a run", Some(false)));
        assert_eq!(
            writes.detail,
            "create pods 7.00, of all 1.00 after the deletion was asked for"
        );
        assert_eq!(row(&rows, "Events").met, Some(true));
        assert_eq!(row(&rows, "runner").detail, "none");
        assert_eq!(row(&rows, "one at a time").figure, "20.0 ms a run");
        assert_eq!(row(&rows, "CPU, twenty").figure, "1.0 ms a run");
        assert!(
            row(&rows, "memory").detail.contains("22 one-stage runs")
                && row(&rows, "memory").detail.contains("4.0 MiB")
        );
        assert_eq!(row(&rows, "records of twenty").figure, "40.0 a second");
        assert_eq!(row(&rows, "recorder alone").met, Some(true));
    }

    #[test]
    fn what_could_not_be_had_says_why() {
        let rows = Figures {
            calls: Err("no log".into()),
            process: Err("elsewhere".into()),
            journal: Err("no node".into()),
            ..figures()
        }
        .rows();
        for (what, why) in [
            ("API calls", "no log"),
            ("CPU", "elsewhere"),
            ("memory", "elsewhere"),
            ("recorder", "no node"),
        ] {
            assert_eq!(
                (row(&rows, what).detail.as_str(), row(&rows, what).met),
                (why, None)
            );
        }
    }
}

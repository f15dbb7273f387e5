//! One step of an analysis: take the samples that came, judge, ask for those that are due.

use dcanary_core::{text::cut, time::later};
use dcanary_crds::{AnalysisStatus, Environment, Metric, MetricStatus, Sample, SampleVerdict, Stage};
use jiff::Timestamp;

use super::{
    Counts, Judge, Rules, SAMPLES, SAMPLES_BYTES, Vars, definition,
    resolve::{Place, fill},
    sample::ERROR_BYTES,
    say,
    verdict::{Part, at_the_end, whole},
};
use crate::{
    plan::{Effect, Measure, Source},
    render::{self, RunState},
    seen::{Answer, MeasureKey, Seen},
};

/// Default of `interval` in seconds.
pub(super) const INTERVAL: u64 = 30;
/// Default of `timeout` in seconds.
const TIMEOUT: u64 = 10;
/// Samples that a metric keeps once the evidence is stored.
const LAST: usize = 10;

/// What an analysis asks for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Advance {
    /// Samples to take, runs to start.
    pub effects: Vec<Effect>,
    /// When the next sample is due.
    pub wake: Option<Timestamp>,
}

/// What does not change while the metrics are gone through.
struct Pass<'a> {
    env: &'a Environment,
    analysis: &'a str,
    promotion: &'a str,
    seen: &'a Seen,
    vars: &'a Vars,
    endless: bool,
    started: Timestamp,
    now: Timestamp,
}

/// What is known about a sample that is due.
enum Taken {
    Sample(Box<Sample>),
    Waiting(Vec<Effect>),
}

/// Takes measurements into samples, decides, and asks for what is due. Sets verdict, message and end. An analysis that has a verdict stays
/// as it is; a metric whose definition changed begins anew. The same arguments give the same answer, and a second call on its own result
/// changes nothing.
#[allow(clippy::too_many_arguments)] // they are what a decision depends on
pub fn advance(
    env: &Environment,
    status: &mut AnalysisStatus,
    metrics: &[Metric],
    seen: &Seen,
    promotion_uid: &str,
    vars: &Vars,
    endless: bool,
    now: Timestamp,
) -> Advance {
    let mut done = Advance::default();
    if status.verdict.is_some() {
        return done;
    }
    let started = *status.started_at.get_or_insert(now);
    align(status, metrics);
    let pass = Pass {
        env,
        analysis: &status.name,
        promotion: promotion_uid,
        seen,
        vars,
        endless,
        started,
        now,
    };
    for (metric, of) in metrics.iter().zip(&mut status.metrics) {
        pass.metric(metric, of, &mut done);
    }
    status.verdict = whole(&parts(status, metrics), endless);
    if status.verdict.is_some() {
        status.finished_at = Some(now);
        status.metrics.iter_mut().for_each(|of| of.next_at = None);
        done = Advance::default();
    }
    status.message = say::analysis(status, metrics, endless);
    done
}

/// Ends the analysis of the whole rollout, when that is at its end: it has passed, unless a metric had no good sample, or fewer with data than
/// its `minSamples` asks for.
pub fn conclude(status: &mut AnalysisStatus, metrics: &[Metric], now: Timestamp) {
    if status.verdict.is_some() {
        return;
    }
    align(status, metrics);
    let rules: Vec<Rules> = metrics.iter().map(|metric| Rules::of(metric, true)).collect();
    let parts = parts(status, metrics);
    let counts = status.metrics.iter().map(Counts::of);
    let all = parts.into_iter().zip(&rules).zip(counts);
    status.verdict = Some(at_the_end(
        all.map(|((part, rules), counts)| (part, rules, counts)),
    ));
    status.finished_at = Some(now);
    status.metrics.iter_mut().for_each(|of| of.next_at = None);
    status.message = say::analysis(status, metrics, true);
}

/// Whether an analysis of the whole rollout has seen enough to end: each metric that decides has its verdict, or so many samples as it needs
/// and a good one among them. Limits end what never gets there.
pub fn enough(status: &AnalysisStatus, metrics: &[Metric]) -> bool {
    metrics.iter().filter(|metric| !metric.dry_run).all(|metric| {
        let of = status.metrics.iter().find(|of| of.name == metric.name);
        let rules = Rules::of(metric, true);
        of.is_some_and(|of| {
            let some = of.taken >= rules.min_samples && of.successful > 0;
            of.verdict.is_some() || (rules.count.is_none() && some)
        })
    })
}

/// Metrics that decide an analysis of the whole rollout and have no sample yet that speaks for the release.
pub fn without_a_good_sample<'a>(
    status: &'a AnalysisStatus,
    metrics: &'a [Metric],
) -> impl Iterator<Item = &'a Metric> {
    metrics.iter().filter(|metric| {
        let of = status.metrics.iter().find(|of| of.name == metric.name);
        let lacks = |of: &MetricStatus| {
            of.verdict.is_none() && Rules::of(metric, true).lack_a_good_one(&Counts::of(of))
        };
        !metric.dry_run && of.is_none_or(lacks)
    })
}

/// Begins an analysis anew, for instance because a person asked for it. Numbers of samples go on: an answer or a run of before is never
/// taken for one of now.
pub fn restart(status: &mut AnalysisStatus, now: Timestamp) {
    for of in &mut status.metrics {
        anew(of, String::new());
    }
    *status = AnalysisStatus {
        name: std::mem::take(&mut status.name),
        started_at: Some(now),
        metrics: std::mem::take(&mut status.metrics),
        ..AnalysisStatus::default()
    };
}

/// Drops samples that the stored evidence holds, but for the last few. Counters stay.
pub fn shorten(status: &mut AnalysisStatus) {
    for of in &mut status.metrics {
        let surplus = of.samples.len().saturating_sub(LAST);
        of.samples.drain(..surplus);
    }
}

/// One status for each metric, in their order.
fn align(status: &mut AnalysisStatus, metrics: &[Metric]) {
    let mut before = std::mem::take(&mut status.metrics);
    for metric in metrics {
        let found = before.iter().position(|of| of.name == metric.name);
        let mut of = found.map_or_else(MetricStatus::default, |at| before.swap_remove(at));
        let definition = definition::of(metric);
        if of.definition != definition {
            of.name.clone_from(&metric.name);
            anew(&mut of, definition);
        }
        status.metrics.push(of);
    }
}

/// The next number is left out when there were samples: its answer may be on its way.
fn anew(of: &mut MetricStatus, definition: String) {
    let asked = of.next_at.is_some() || of.taken > 0;
    *of = MetricStatus {
        name: std::mem::take(&mut of.name),
        definition,
        next: of.next.saturating_add(i32::from(asked)),
        ..MetricStatus::default()
    };
}

fn parts(status: &AnalysisStatus, metrics: &[Metric]) -> Vec<Part> {
    let both = metrics.iter().zip(&status.metrics);
    both.map(|(metric, of)| Part {
        dry_run: metric.dry_run,
        verdict: of.verdict,
    })
    .collect()
}

impl Pass<'_> {
    fn metric(&self, metric: &Metric, of: &mut MetricStatus, done: &mut Advance) {
        let delay = metric.initial_delay.map_or(0, dcanary_crds::Duration::as_secs);
        let interval = metric.interval.map_or(INTERVAL, dcanary_crds::Duration::as_secs);
        let rules = Rules::of(metric, self.endless);
        while of.verdict.is_none() {
            let due = *of.next_at.get_or_insert_with(|| later(self.started, delay));
            if due > self.now {
                done.wake = Some(done.wake.map_or(due, |wake| wake.min(due)));
                return;
            }
            // `metrics` lets none through that has no judge
            let Ok(judge) = Judge::of(metric) else { return };
            match self.take(metric, of.next, &judge) {
                Taken::Sample(sample) => {
                    let at = sample.at.unwrap_or(self.now);
                    of.next = of.next.saturating_add(1);
                    of.next_at = Some(later(at, interval));
                    add(of, &judge, *sample);
                    of.verdict = rules.verdict(&Counts::of(of));
                }
                Taken::Waiting(effects) => {
                    done.effects.extend(effects);
                    return;
                }
            }
        }
        of.next_at = None;
    }

    /// The sample of a number, or what is asked for it.
    fn take(&self, metric: &Metric, number: i32, judge: &Judge) -> Taken {
        if let Some(stage) = &metric.job {
            return self.job(metric, stage, number, judge);
        }
        let result = self.side(metric, number, false);
        let baseline = metric.compare.then(|| self.side(metric, number, true));
        match (result, baseline) {
            (Ok((at, result)), None) => Taken::Sample(Box::new(judge.sample(at, &result, None))),
            (Ok((at, result)), Some(Ok((also, baseline)))) => {
                Taken::Sample(Box::new(judge.sample(at.max(also), &result, Some(&baseline))))
            }
            (result, baseline) => {
                let asked = [result.err(), baseline.and_then(Result::err)];
                Taken::Waiting(asked.into_iter().flatten().map(Effect::Measure).collect())
            }
        }
    }

    /// What came for one side of a sample; `Err`: what to ask.
    fn side(
        &self,
        metric: &Metric,
        number: i32,
        baseline: bool,
    ) -> Result<(Timestamp, Answer), Box<Measure>> {
        let key = MeasureKey {
            promotion: self.promotion.to_owned(),
            analysis: self.analysis.to_owned(),
            metric: metric.name.clone(),
            sample: number,
            baseline,
        };
        if let Some(measurement) = self.seen.measurements.get(&key) {
            return Ok((measurement.at, measurement.answer.clone()));
        }
        if baseline && self.vars.stable.is_none() {
            return Ok((self.now, Answer::NoData));
        }
        let (source, timeout, token) = match source(metric, self.vars, baseline) {
            Ok(Some(source)) => match (&metric.prometheus, &metric.web) {
                (Some(prometheus), _) => (source, prometheus.timeout, prometheus.token.clone()),
                (None, web) => {
                    let web = web.as_ref();
                    (
                        source,
                        web.and_then(|web| web.timeout),
                        web.and_then(|web| web.token.clone()),
                    )
                }
            },
            Ok(None) => {
                return Ok((
                    self.now,
                    Answer::Error("nothing says how it is measured".to_owned()),
                ));
            }
            Err(problem) => return Ok((self.now, Answer::Error(problem))),
        };
        Err(Box::new(Measure {
            key,
            timeout: timeout.map_or(TIMEOUT, dcanary_crds::Duration::as_secs),
            token,
            source,
        }))
    }

    /// A run, whose outcome is the sample.
    fn job(&self, metric: &Metric, stage: &Stage, number: i32, judge: &Judge) -> Taken {
        let (key, write) = render::job(
            self.env,
            self.promotion,
            self.analysis,
            &metric.name,
            number,
            stage,
            self.vars,
        );
        let sample = |answer: Answer| judge.sample(self.now, &answer, None);
        let sample = match render::job_state(&key, self.seen) {
            RunState::Succeeded => sample(Answer::Value(true.into())),
            RunState::Failed(why) => {
                let mut sample = sample(Answer::Value(false.into()));
                sample.error.get_or_insert_with(|| cut(&why, ERROR_BYTES));
                sample
            }
            RunState::Running(_) => return Taken::Waiting(Vec::new()),
            RunState::Missing => match self.seen.refusals.get(&key) {
                Some(refusal) => sample(Answer::Error(format!("{}: {}", refusal.reason, refusal.message))),
                None => return Taken::Waiting(vec![Effect::Write(Box::new(write))]),
            },
        };
        Taken::Sample(Box::new(sample))
    }
}

/// Where a metric is measured, with all replacements made. `None`: it is a job.
///
/// # Errors
/// One sentence, when something has no value.
pub(super) fn source(metric: &Metric, vars: &Vars, baseline: bool) -> Result<Option<Source>, String> {
    if let Some(prometheus) = &metric.prometheus {
        return Ok(Some(Source::Prometheus {
            address: fill(&prometheus.address, vars, baseline, Place::Url)?,
            query: fill(&prometheus.query, vars, baseline, Place::Query)?,
        }));
    }
    let Some(web) = &metric.web else { return Ok(None) };
    Ok(Some(Source::Web {
        url: fill(&web.url, vars, baseline, Place::Url)?,
        json_path: web.json_path.clone(),
    }))
}

fn add(of: &mut MetricStatus, judge: &Judge, sample: Sample) {
    let verdict: SampleVerdict = sample.verdict;
    Counts::of(of)
        .and(verdict, judge.data(&sample, verdict))
        .write(of);
    of.samples.push(sample);
    while of.samples.len() > SAMPLES || (of.samples.len() > 1 && bytes(&of.samples) > SAMPLES_BYTES) {
        of.samples.remove(0);
    }
}

/// About what the samples take in a status.
fn bytes(samples: &[Sample]) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, |text| text.len() + 16);
    let one = |sample: &Sample| 64 + text(&sample.value) + text(&sample.baseline) + text(&sample.error);
    samples.iter().map(one).sum()
}

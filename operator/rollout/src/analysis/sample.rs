//! What one sample says.

use std::collections::BTreeMap;

use dcanary_core::text::cut;
use dcanary_crds::{Metric, OnNoData, Sample, SampleVerdict};
use dcanary_expr::Condition;
use jiff::Timestamp;
use serde_json::Value;

use super::{AnalysisError, VALUE_BYTES};
use crate::seen::Answer;

/// Longest error of a sample.
pub(super) const ERROR_BYTES: usize = 256;

/// How the samples of a metric are judged.
#[derive(Debug)]
pub struct Judge {
    success: Option<Condition>,
    failure: Option<Condition>,
    on_no_data: OnNoData,
    compare: bool,
}

impl Judge {
    /// That of a metric.
    ///
    /// # Errors
    /// When a condition is no valid CEL.
    pub fn of(metric: &Metric) -> Result<Self, AnalysisError> {
        let parse = |field: &'static str, source: &Option<String>| {
            let parsed = source.as_deref().map(Condition::parse).transpose();
            parsed.map_err(|source| AnalysisError::Condition {
                metric: metric.name.clone(),
                field,
                source,
            })
        };
        Ok(Self {
            success: parse("success", &metric.success)?,
            failure: parse("failure", &metric.failure)?,
            on_no_data: metric.on_no_data,
            compare: metric.compare,
        })
    }

    /// The sample that answers make.
    pub fn sample(&self, at: Timestamp, result: &Answer, baseline: Option<&Answer>) -> Sample {
        let mut sample = Sample {
            at: Some(at),
            ..Sample::default()
        };
        sample.value = kept(result, "", &mut sample.error);
        if let Some(baseline) = baseline.filter(|_| self.compare) {
            sample.baseline = kept(baseline, "baseline: ", &mut sample.error);
        }
        let (verdict, error) = self.judge(&sample);
        sample.verdict = verdict;
        sample.error = error.map(|error| cut(&error, ERROR_BYTES));
        sample
    }

    /// What a sample counts as, from what is kept of it: its values, and why one is missing.
    pub fn judge(&self, sample: &Sample) -> (SampleVerdict, Option<String>) {
        let error = |error: String| (SampleVerdict::Error, Some(error));
        let (value, baseline) = match (read(sample.value.as_deref()), read(sample.baseline.as_deref())) {
            (Ok(value), Ok(baseline)) => (value, baseline),
            (Err(problem), _) | (_, Err(problem)) => return error(problem),
        };
        if value.is_none() || (self.compare && baseline.is_none()) {
            return match (&sample.error, self.on_no_data) {
                (Some(why), _) => error(why.clone()),
                (None, OnNoData::Inconclusive) => (SampleVerdict::Inconclusive, None),
                (None, OnNoData::Success) => (SampleVerdict::Success, None),
                (None, OnNoData::Failure) => (SampleVerdict::Failure, None),
            };
        }
        let mut values = BTreeMap::new();
        values.extend(value.map(|value| ("result".to_owned(), value)));
        if self.compare {
            values.extend(baseline.map(|value| ("baseline".to_owned(), value)));
        }
        match self.holds(&values) {
            Ok(verdict) => (verdict, None),
            Err(problem) => error(problem),
        }
    }

    /// Whether a sample counts as one with data.
    pub fn data(&self, sample: &Sample, verdict: SampleVerdict) -> bool {
        verdict != SampleVerdict::Error
            && sample.value.is_some()
            && (!self.compare || sample.baseline.is_some())
    }

    fn holds(&self, values: &BTreeMap<String, Value>) -> Result<SampleVerdict, String> {
        let evaluate = |field: &str, condition: &Condition| {
            let holds = condition.holds(values);
            holds.map_err(|problem| format!("{field} `{}`: {problem}", condition.source()))
        };
        let good = |good| {
            if good {
                SampleVerdict::Success
            } else {
                SampleVerdict::Failure
            }
        };
        match (&self.success, &self.failure) {
            (Some(success), None) => evaluate("success", success).map(good),
            (None, Some(failure)) => evaluate("failure", failure).map(|bad| good(!bad)),
            // bad is looked at first: what is both is bad
            (Some(success), Some(failure)) => Ok(if evaluate("failure", failure)? {
                SampleVerdict::Failure
            } else if evaluate("success", success)? {
                SampleVerdict::Success
            } else {
                SampleVerdict::Inconclusive
            }),
            (None, None) => match values.get("result") {
                Some(Value::Bool(holds)) => Ok(good(*holds)),
                Some(other) => Err(format!(
                    "the value is {}, not true or false: give success or failure",
                    cut(&other.to_string(), 64)
                )),
                None => Err("there is no value".to_owned()),
            },
        }
    }
}

/// What is kept of an answer.
fn kept(answer: &Answer, side: &str, error: &mut Option<String>) -> Option<String> {
    let problem = match answer {
        Answer::NoData => return None,
        Answer::Value(value) => {
            let text = value.to_string();
            if text.len() <= VALUE_BYTES {
                return Some(text);
            }
            format!(
                "the value has {} bytes of JSON, at most {VALUE_BYTES} can be judged: aggregate in the query, or name a smaller part in jsonPath",
                text.len()
            )
        }
        Answer::Error(problem) => problem.clone(),
    };
    error.get_or_insert_with(|| cut(&format!("{side}{problem}"), ERROR_BYTES));
    None
}

fn read(text: Option<&str>) -> Result<Option<Value>, String> {
    let value = text.map(serde_json::from_str).transpose();
    value.map_err(|problem| format!("the kept value is no JSON: {problem}"))
}

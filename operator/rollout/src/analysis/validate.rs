//! What can be wrong with an analysis before anything is measured.

use std::collections::BTreeMap;

use dcanary_crds::{Analysis, Metric};
use dcanary_expr::{Condition, ConditionError, FUNCTIONS};
use serde_json::{Value, json};

use super::{AnalysisError, SAMPLES, resolve};

/// Longest time for one query in seconds.
const LONGEST: u64 = 300;
/// Deepest nesting of a JSONPath.
const DEPTH: usize = 16;
/// Most `..` of a JSONPath: each goes through all that it stands on.
const DESCENTS: usize = 2;

/// Checks what can be checked without templates.
///
/// # Errors
/// What is wrong, with its place and its fix.
pub fn validate(analysis: &Analysis) -> Result<(), AnalysisError> {
    if analysis.metrics.is_empty() && !analysis.templates.is_empty() {
        return Ok(());
    }
    resolve::own(&analysis.metrics)
}

/// Checks a metric whose parameters are put in.
pub(super) fn metric(metric: &Metric) -> Result<(), AnalysisError> {
    let refuse = |problem: String| Err(AnalysisError::metric(&metric.name, problem));
    let sources = [
        metric.prometheus.is_some(),
        metric.web.is_some(),
        metric.job.is_some(),
    ];
    if sources.into_iter().filter(|given| *given).count() != 1 {
        return refuse("give exactly one of prometheus, web and job".to_owned());
    }
    numbers(metric)?;
    let timeout = match (&metric.prometheus, &metric.web) {
        (Some(prometheus), _) => {
            url(metric, "prometheus.address", &prometheus.address)?;
            prometheus.timeout
        }
        (None, Some(web)) => {
            url(metric, "web.url", &web.url)?;
            if let Some(path) = &web.json_path {
                json_path_shape(path).or_else(|problem| refuse(format!("web.jsonPath: {problem}")))?;
            }
            web.timeout
        }
        (None, None) => None,
    };
    if timeout.is_some_and(|timeout| !(1..=LONGEST).contains(&timeout.as_secs())) {
        return refuse(format!("timeout: write a time from 1s to {LONGEST}s"));
    }
    if metric.prometheus.is_some() && metric.success.is_none() && metric.failure.is_none() {
        return refuse(
            "nothing says which number is good: give success, failure or both, such as `success: result < 0.01`"
                .to_owned(),
        );
    }
    compare(metric)?;
    condition(metric, "success", metric.success.as_deref())?;
    condition(metric, "failure", metric.failure.as_deref())
}

fn numbers(metric: &Metric) -> Result<(), AnalysisError> {
    let refuse = |problem: String| Err(AnalysisError::metric(&metric.name, problem));
    let most = i32::try_from(SAMPLES).unwrap_or(i32::MAX);
    for (field, given, least, most) in [
        ("count", metric.count, 1, most),
        ("minSamples", metric.min_samples, 1, most),
        ("consecutiveSuccess", metric.consecutive_success, 1, most),
        ("failureLimit", metric.failure_limit, 0, i32::MAX),
        ("inconclusiveLimit", metric.inconclusive_limit, 0, i32::MAX),
        ("errorLimit", metric.error_limit, 0, i32::MAX),
    ] {
        if given.is_some_and(|given| given < least) {
            return refuse(format!("{field}: write a number from {least} on"));
        }
        if given.is_some_and(|given| given > most) {
            return refuse(format!("{field}: at most {most} samples are taken"));
        }
    }
    if let (Some(count), Some(needed)) = (metric.count, metric.min_samples)
        && needed > count
    {
        return refuse(format!(
            "it could never pass: minSamples {needed} is more than count {count}"
        ));
    }
    if metric.interval.is_some_and(|interval| interval.as_secs() == 0) {
        return refuse("interval: write at least 1s".to_owned());
    }
    Ok(())
}

fn url(metric: &Metric, field: &str, url: &str) -> Result<(), AnalysisError> {
    let refuse = |problem: &str| Err(AnalysisError::metric(&metric.name, format!("{field}: {problem}")));
    let Some(rest) = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"))
    else {
        return refuse("write a URL that begins with http:// or https://");
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() {
        return refuse("the URL names no host");
    }
    if authority.contains('@') {
        return refuse("the URL holds credentials: put them into a Secret and name it in `token`");
    }
    Ok(())
}

fn compare(metric: &Metric) -> Result<(), AnalysisError> {
    if !metric.compare {
        return Ok(());
    }
    let refuse = |problem: &str| Err(AnalysisError::metric(&metric.name, problem));
    let text = match (&metric.prometheus, &metric.web) {
        (Some(prometheus), _) => &prometheus.query,
        (None, Some(web)) => &web.url,
        (None, None) => return refuse("compare: a job measures no baseline"),
    };
    if !resolve::references(text).iter().any(|name| name == "release") {
        return refuse("compare: without `$(release)` in it the baseline is the same query");
    }
    Ok(())
}

fn condition(metric: &Metric, field: &'static str, source: Option<&str>) -> Result<(), AnalysisError> {
    let Some(source) = source else {
        return Ok(());
    };
    let wrong = |source| AnalysisError::Condition {
        metric: metric.name.clone(),
        field,
        source,
    };
    let condition = Condition::parse(source).map_err(wrong)?;
    let uses = condition.uses();
    for root in &uses.roots {
        let problem = match root.as_str() {
            "result" => continue,
            "baseline" if metric.compare => continue,
            "baseline" => "there is a `baseline` only with `compare: true`".to_owned(),
            other => format!("`{other}` is not known; there are `result` and, with `compare`, `baseline`"),
        };
        return Err(AnalysisError::metric(&metric.name, format!("{field}: {problem}")));
    }
    if let Some(unknown) = uses
        .functions
        .iter()
        .find(|name| !FUNCTIONS.contains(&name.as_str()))
    {
        let problem = format!(
            "{field}: there is no function `{unknown}`; there are {}",
            FUNCTIONS.join(", ")
        );
        return Err(AnalysisError::metric(&metric.name, problem));
    }
    tried(&condition).map_err(wrong)
}

/// Tries a condition on a value of each form: one that reckons with a double and an integer fails on every number, which is better said
/// now than after each sample.
fn tried(condition: &Condition) -> Result<(), ConditionError> {
    let list: Value = vec![0.5; 16].into();
    let mut mixed = false;
    for result in [json!(0.5), list, json!("text"), json!(true), json!({})] {
        let values = BTreeMap::from([
            ("result".to_owned(), result.clone()),
            ("baseline".to_owned(), result),
        ]);
        match condition.holds(&values) {
            Ok(_) => return Ok(()),
            Err(ConditionError::MixedNumbers) => mixed = true,
            Err(error @ (ConditionError::TooExpensive(_) | ConditionError::TooLarge(_))) => {
                return Err(error);
            }
            Err(_) => {}
        }
    }
    // what is left may be meant for an object that only `web` knows
    if mixed {
        Err(ConditionError::MixedNumbers)
    } else {
        Ok(())
    }
}

/// Whether a JSONPath can be followed in a bounded time. The rest of its grammar is for who follows it.
///
/// # Errors
/// What to write instead.
pub fn json_path_shape(path: &str) -> Result<(), &'static str> {
    if !path.starts_with('$') {
        return Err("write a JSONPath that begins with $, such as `$.data.ok`");
    }
    let (mut depth, mut descents, mut filter) = (0_usize, 0_usize, false);
    let (mut quote, mut escaped, mut before) = (None, false, ' ');
    for (at, c) in path.char_indices() {
        if let Some(open) = quote {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                _ if c == open => quote = None,
                _ => {}
            }
            continue;
        }
        match c {
            '"' | '\'' => quote = Some(c),
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            '?' => filter = true,
            '$' if at > 0 => return Err("`$` may only be its first character: a filter starts from `@`"),
            '.' if before == '.' => descents += 1,
            _ => {}
        }
        before = c;
        if depth > DEPTH {
            return Err("it is nested too deeply");
        }
        if descents > DESCENTS || (filter && c == '.' && descents > 0 && path[..=at].ends_with("..")) {
            return Err("at most two `..`, and none after a filter: name the members on the way");
        }
    }
    Ok(())
}

//! From an Analysis to the metrics that are measured: templates looked up, parameters put in.

use std::collections::{BTreeMap, BTreeSet};

use dcanary_crds::{Analysis, EnvVar, Metric, TemplateRef, TemplateSpec};

use super::{AnalysisError, METRICS, Vars, validate};
use crate::seen::Seen;

/// Names that are known in every query and URL.
const KNOWN: [&str; 4] = ["release", "environment", "namespace", "image"];
/// Beginning of the names of single images.
const IMAGE: &str = "image_";

type Values = BTreeMap<String, String>;

/// The metrics of an analysis: its own and those of its templates, with their parameters put in. Names are unique, conditions can be
/// evaluated, and each `$(…)` that is left is known.
///
/// # Errors
/// When a template is missing, or something is wrong with a metric.
pub fn metrics(analysis: &Analysis, seen: &Seen) -> Result<Vec<Metric>, AnalysisError> {
    let mut all = Vec::new();
    for reference in &analysis.templates {
        let key = (reference.cluster, reference.name.clone());
        let template = seen
            .templates
            .get(&key)
            .ok_or_else(|| AnalysisError::TemplateMissing {
                kind: if reference.cluster {
                    "ClusterTemplate"
                } else {
                    "Template"
                },
                name: reference.name.clone(),
            })?;
        let values = params(reference, template)?;
        if template.metrics.is_empty() {
            return Err(AnalysisError::TemplateEmpty(reference.name.clone()));
        }
        for metric in &template.metrics {
            all.push(put_in(metric, &values)?);
        }
    }
    for metric in &analysis.metrics {
        all.push(put_in(metric, &Values::new())?);
    }
    check(&all)?;
    Ok(all)
}

/// Checks metrics that need no template.
///
/// # Errors
/// When something is wrong with one.
pub(super) fn own(metrics: &[Metric]) -> Result<(), AnalysisError> {
    let all: Result<Vec<Metric>, _> = metrics
        .iter()
        .map(|metric| put_in(metric, &Values::new()))
        .collect();
    check(&all?)
}

fn check(all: &[Metric]) -> Result<(), AnalysisError> {
    distinct(all)?;
    all.iter().try_for_each(validate::metric)
}

/// Whether there are metrics, not too many, each with a name of its own.
fn distinct(metrics: &[Metric]) -> Result<(), AnalysisError> {
    if metrics.is_empty() {
        return Err(AnalysisError::Empty);
    }
    if metrics.len() > METRICS {
        return Err(AnalysisError::TooMany(metrics.len()));
    }
    let mut names = BTreeSet::new();
    match metrics.iter().find(|metric| !names.insert(&metric.name)) {
        Some(twice) => Err(AnalysisError::Duplicate(twice.name.clone())),
        None => Ok(()),
    }
}

fn params(reference: &TemplateRef, template: &TemplateSpec) -> Result<Values, AnalysisError> {
    for given in &reference.params {
        if !template.params.iter().any(|param| param.name == given.name) {
            let known: Vec<&str> = template.params.iter().map(|param| param.name.as_str()).collect();
            return Err(AnalysisError::ParamUnknown {
                template: reference.name.clone(),
                param: given.name.clone(),
                known: if known.is_empty() {
                    "none".to_owned()
                } else {
                    known.join(", ")
                },
            });
        }
    }
    let mut values = Values::new();
    for param in &template.params {
        let given = reference.params.iter().find(|given| given.name == param.name);
        match given.map(|given| &given.value).or(param.default.as_ref()) {
            Some(value) => {
                values.insert(param.name.clone(), value.clone());
            }
            // a template may declare what is known anyway
            None if known(&param.name) => {}
            None => {
                return Err(AnalysisError::ParamMissing {
                    template: reference.name.clone(),
                    param: param.name.clone(),
                });
            }
        }
    }
    Ok(values)
}

/// The metric with the parameters of its template in all texts.
fn put_in(metric: &Metric, values: &Values) -> Result<Metric, AnalysisError> {
    let mut metric = metric.clone();
    let name = metric.name.clone();
    let text = |field: &'static str, text: &mut String, rest_is_known: bool| {
        let with = replace(text, |reference| values.get(reference).cloned(), true);
        let unknown = references(&with)
            .into_iter()
            .find(|reference| !(rest_is_known && known(reference)));
        if let Some(unknown) = unknown {
            let mut names: Vec<String> = values.keys().cloned().collect();
            if rest_is_known {
                names.extend(KNOWN.iter().map(|&known| known.to_owned()));
                names.push(format!("{IMAGE}<name>"));
            }
            return Err(AnalysisError::Reference {
                metric: name.clone(),
                field,
                text: unknown,
                known: if names.is_empty() {
                    "none".to_owned()
                } else {
                    names.join(", ")
                },
            });
        }
        *text = with;
        Ok(())
    };
    if let Some(prometheus) = &mut metric.prometheus {
        text("prometheus.address", &mut prometheus.address, true)?;
        text("prometheus.query", &mut prometheus.query, true)?;
    }
    if let Some(web) = &mut metric.web {
        text("web.url", &mut web.url, true)?;
        if let Some(path) = &mut web.json_path {
            text("web.jsonPath", path, false)?;
        }
    }
    // What a Release says is never pasted into a condition: it could change what counts as good.
    if let Some(success) = &mut metric.success {
        text("success", success, false)?;
    }
    if let Some(failure) = &mut metric.failure {
        text("failure", failure, false)?;
    }
    if let Some(job) = &mut metric.job {
        let env = job
            .env
            .iter_mut()
            .chain(job.steps.iter_mut().flat_map(|step| step.env.iter_mut()));
        for EnvVar { value, .. } in env {
            if let Some(value) = value {
                // `$(params.x)` and the like are the run's, not ours
                *value = replace(value, |reference| values.get(reference).cloned(), true);
            }
        }
    }
    Ok(metric)
}

fn known(name: &str) -> bool {
    KNOWN.contains(&name) || name.strip_prefix(IMAGE).is_some_and(|image| !image.is_empty())
}

/// Where a text goes, and what a value must not hold there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// PromQL: a value stands in a string of it.
    Query,
    /// A URL: a value is a part of the path or of the query.
    Url,
}

/// The text with each known name replaced. What a value contains is never looked at again, and a value that would end the string or the
/// part of the URL that it stands in is refused (queries) or encoded (URLs).
///
/// # Errors
/// One sentence, when a name has no value.
pub(super) fn fill(text: &str, vars: &Vars, baseline: bool, place: Place) -> Result<String, String> {
    let mut problem = None;
    let filled = replace(
        text,
        |name| match value(name, vars, baseline) {
            Ok(value) => match place {
                Place::Url => Some(encoded(value)),
                Place::Query if value.contains(['"', '\'', '`', '\\', '\n', '\r']) => {
                    problem.get_or_insert_with(|| format!("the value of `$({name})` has quotes in it"));
                    None
                }
                Place::Query => Some(value.to_owned()),
            },
            Err(missing) => {
                problem.get_or_insert(missing);
                None
            }
        },
        false,
    );
    problem.map_or(Ok(filled), Err)
}

fn value<'a>(name: &str, vars: &'a Vars, baseline: bool) -> Result<&'a str, String> {
    let image = |image: &str| {
        let found = vars.images.get(image).map(String::as_str);
        found.ok_or_else(|| format!("`$({name})`: the release has no image `{image}`"))
    };
    match name {
        "release" if baseline => vars
            .stable
            .as_deref()
            .ok_or_else(|| "there is no stable release to compare with".to_owned()),
        "release" => Ok(&vars.release),
        "environment" => Ok(&vars.environment),
        "namespace" => Ok(&vars.namespace),
        "image" => {
            let mut images = vars.images.values();
            match (images.next(), images.next()) {
                (Some(only), None) => Ok(only),
                _ => Err(format!(
                    "`$(image)`: the release has {} images; write `$(image_<name>)`",
                    vars.images.len()
                )),
            }
        }
        _ => image(name.strip_prefix(IMAGE).unwrap_or(name)),
    }
}

/// Percent-encoded, but for what is safe everywhere in a URL.
fn encoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// What stands in `$(…)`, in order.
pub(super) fn references(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    replace(
        text,
        |name| {
            found.push(name.to_owned());
            None
        },
        true,
    );
    found
}

/// Replaces each `$(name)` that `with` has a value for, once. `$$(` is a plain `$(`; it stays as it is while `again` says that the text is
/// gone through once more.
fn replace(text: &str, mut with: impl FnMut(&str) -> Option<String>, again: bool) -> String {
    let mut done = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("$(") {
        let (before, from) = rest.split_at(start);
        let inner = &from[2..];
        if let Some(plain) = before.strip_suffix('$') {
            done.push_str(plain);
            done.push_str(if again { "$$(" } else { "$(" });
            rest = inner;
            continue;
        }
        done.push_str(before);
        // one that is not closed is no name of anything
        let (name, after) = inner.split_once(')').unwrap_or((&from[1..], ""));
        match with(name.trim()) {
            Some(value) => {
                done.push_str(&value);
                rest = after;
            }
            None => {
                done.push_str("$(");
                rest = inner;
            }
        }
    }
    done.push_str(rest);
    done
}

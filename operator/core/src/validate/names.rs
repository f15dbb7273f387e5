//! Names and labels as the API server takes them: a Pod with others is refused, or waits for what cannot be there.

use std::collections::BTreeMap;

use dcanary_crds::PodTemplate;

use super::{Context, literal::expression};

/// Longest name of an object in bytes.
const NAME: usize = 253;
/// Longest label, and longest name of one without its prefix.
const LABEL: usize = 63;
const PART: &str = "letters, digits, `-`, `_` and `.`, with a letter or digit first and last, at most 63";

/// Whether it can be the name of an object: a DNS subdomain (RFC 1123).
pub fn is_subdomain(name: &str) -> bool {
    let label = |label: &str| {
        let end =
            |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        end(label.as_bytes().first()) && end(label.as_bytes().last()) && label.bytes().all(inner)
    };
    name.len() <= NAME && name.split('.').all(label)
}

/// The name of a Secret. One with an expression is told of already.
pub(super) fn secret(context: &mut Context<'_>, path: String, name: &str) {
    if expression(name).is_none() && !is_subdomain(name) {
        context.tell(
            path,
            format!("`{name}` is no name of a Secret: use small letters, digits, `-` and `.`, with a letter or digit first and last, at most {NAME}"),
        );
    }
}

/// The key of a Secret.
pub(super) fn key(context: &mut Context<'_>, path: String, name: &str) {
    let is_of_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if expression(name).is_none() && !(name.len() <= NAME && name.chars().all(is_of_key)) {
        context.tell(
            path,
            format!("`{name}` is no key of a Secret: use letters, digits, `-`, `_` and `.`, at most {NAME}"),
        );
    }
}

/// What a Pod is marked with and placed by.
pub(super) fn pod_template(context: &mut Context<'_>, path: &str, template: &PodTemplate) {
    for (field, values) in [
        ("labels", &template.labels),
        ("nodeSelector", &template.node_selector),
    ] {
        keys(context, &format!("{path}.{field}"), values, str::to_owned);
        for (name, value) in values {
            if expression(value).is_none() && !(value.is_empty() || is_label(value)) {
                context.tell(
                    format!("{path}.{field}.{name}"),
                    format!("`{value}` is no value of a label: use {PART}"),
                );
            }
        }
    }
    // the API server lowers them before it looks
    keys(
        context,
        &format!("{path}.annotations"),
        &template.annotations,
        str::to_lowercase,
    );
}

fn keys(
    context: &mut Context<'_>,
    path: &str,
    values: &BTreeMap<String, String>,
    looked_at: fn(&str) -> String,
) {
    for name in values.keys() {
        let key = looked_at(name);
        let (prefix, last) = match key.split_once('/') {
            Some((prefix, last)) => (Some(prefix), last),
            None => (None, key.as_str()),
        };
        if !is_label(last) || prefix.is_some_and(|prefix| !is_subdomain(prefix)) {
            context.tell(
                format!("{path}.{name}"),
                format!("`{name}` is no name of a label or annotation: use {PART}, after a domain and `/` where there is one"),
            );
        }
    }
}

fn is_label(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    text.len() <= LABEL
        && text.starts_with(edge)
        && text.ends_with(edge)
        && text.chars().all(|c| edge(c) || matches!(c, '-' | '_' | '.'))
}

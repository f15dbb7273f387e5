//! What a promotion changes, for people.

use std::collections::{BTreeMap, BTreeSet};

use dcanary_core::text::cut;
use dcanary_crds::{Changes, DeployedRelease, Environment, labels};
use serde_json::Value;

use super::{Candidate, config, config::Content, difference, in_place, metadata, names, object, record};
use crate::seen::{Kind, Seen};

/// How many lines are shown of each; they are kept in a status.
const LINES: usize = 50;
const LINE_BYTES: usize = 512;
const NONE: &str = "none";

/// What differs between the stable release and the candidate.
pub fn changes(
    stable: Option<&DeployedRelease>,
    candidate: &Candidate,
    env: &Environment,
    seen: &Seen,
) -> Changes {
    let nothing = BTreeMap::new();
    let before = stable.map_or(&nothing, |stable| &stable.images);
    let mut configuration = Vec::new();
    if let Some(stable) = stable {
        configuration.extend(keys(stable, candidate, env, seen));
        configuration.extend(template(stable, candidate, env, seen));
    }
    Changes {
        from: stable.and_then(|stable| stable.source.clone()),
        to: candidate.source.clone(),
        images: few(images(before, &candidate.images)),
        configuration: few(configuration),
    }
}

fn images(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let of = |images: &BTreeMap<String, String>, name: &String| {
        images.get(name).map_or_else(|| NONE.to_owned(), Clone::clone)
    };
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| format!("{name}: {} → {}", of(before, name), of(after, name)))
        .collect()
}

/// Keys of tracked ConfigMaps. An adopted Deployment uses the ConfigMaps themselves, so there is nothing to compare.
fn keys(stable: &DeployedRelease, candidate: &Candidate, env: &Environment, seen: &Seen) -> Vec<String> {
    let before = copies(stable, env, seen);
    if stable.release.is_empty() && before.is_empty() {
        return Vec::new();
    }
    let names = config::renames(env, &candidate.identity, seen);
    let mut maps: BTreeMap<String, (Option<Content>, Option<Content>)> = names
        .iter()
        .map(|(name, copy)| {
            let after = candidate.config.get(copy).map(Content::of);
            (name.clone(), (None, after))
        })
        .collect();
    for (name, content) in before.into_values() {
        maps.entry(name).or_default().0 = Some(content);
    }
    maps.iter()
        .flat_map(|(name, (before, after))| of_map(name, before.as_ref(), after.as_ref()))
        .collect()
}

/// The copies of the stable release: their names, what they are copies of, and what is in them.
fn copies(stable: &DeployedRelease, env: &Environment, seen: &Seen) -> BTreeMap<String, (String, Content)> {
    let prefix = format!("{}.", names::release_name(env, &stable.identity));
    let suffix = format!("-{}", names::digits(&stable.identity));
    let tracked = config::original_names(env, &stable.identity);
    seen.objects
        .iter()
        .filter(|(key, object)| {
            key.kind == Kind::ConfigMap
                && object::label(object, labels::ENVIRONMENT_UID) == Some(metadata::uid(env))
                && object::annotation(object, labels::IDENTITY) == Some(stable.identity.as_str())
        })
        .filter_map(|(key, object)| {
            // one that is no longer tracked has only the name of its copy; a record has another ending
            let short = key.name.strip_prefix(prefix.as_str());
            let short = short.or_else(|| key.name.strip_suffix(suffix.as_str()))?;
            let name = tracked.get(&key.name).map_or(short, String::as_str);
            Some((key.name.clone(), (name.to_owned(), Content::of(object))))
        })
        .collect()
}

fn of_map(name: &str, before: Option<&Content>, after: Option<&Content>) -> Vec<String> {
    let keys = |content: Option<&Content>| -> BTreeMap<String, Value> {
        content
            .map(Content::keys)
            .unwrap_or_default()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect()
    };
    let (before, after) = (keys(before), keys(after));
    let all: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    all.into_iter()
        .filter_map(|key| match (before.get(key), after.get(key)) {
            (None, _) => Some(format!("+{name}/{key}")),
            (_, None) => Some(format!("-{name}/{key}")),
            (before, after) => (before != after).then(|| format!("~{name}/{key}")),
        })
        .collect()
}

/// Paths of the Pod template.
fn template(stable: &DeployedRelease, candidate: &Candidate, env: &Environment, seen: &Seen) -> Vec<String> {
    let recorded = record::read(env, &stable.identity, seen)
        .ok()
        .map(|record| record.template);
    let live = || {
        let (_, workload) = in_place::find(&stable.workload, seen)?;
        workload.pointer("/spec/template").cloned()
    };
    let Some(mut before) = recorded.or_else(live) else {
        return Vec::new();
    };
    let mut after = candidate.template.clone();
    let of_stable = copies(stable, env, seen)
        .into_iter()
        .map(|(copy, (name, _))| (copy, name))
        .collect();
    config::rename(&mut before, &of_stable);
    config::rename(&mut after, &config::original_names(env, &candidate.identity));
    for template in [&mut before, &mut after] {
        object::at(template, "metadata", metadata::take_off);
    }
    let images: BTreeSet<&str> = candidate.images.values().map(String::as_str).collect();
    difference::paths(&before, &after, &images)
}

fn few(lines: Vec<String>) -> Vec<String> {
    let more = lines.len().saturating_sub(LINES);
    let mut shown: Vec<String> = lines
        .iter()
        .take(LINES)
        .map(|line| cut(line, LINE_BYTES))
        .collect();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown
}

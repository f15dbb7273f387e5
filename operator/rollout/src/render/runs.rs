//! PipelineRuns that the operator makes for an Environment: how they are written, and how they end.

use std::collections::BTreeMap;

use dcanary_crds::{
    Environment, GROUP, Param, ParamValue, PipelineDefinition, PipelineRunSpec, Stage, VERSION,
};
use serde_json::{Value, json};

use super::{metadata, object};
use crate::{
    plan::{Actor, Write},
    seen::{Key, Kind, Seen},
};

/// Longest name of a parameter.
const LONGEST_PARAM: usize = 63;

/// How a run is going.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunState {
    /// It is not there.
    Missing,
    /// It has not ended: its name.
    Running(String),
    /// Ended well.
    Succeeded,
    /// Ended badly, or can never be started: why.
    Failed(String),
}

/// How a run is going.
pub(super) fn state(key: &Key, seen: &Seen) -> RunState {
    let Some(run) = seen.objects.get(key) else {
        // one that cannot be read now may be there
        return if seen.unreadable.contains_key(key) {
            RunState::Running(key.name.clone())
        } else {
            RunState::Missing
        };
    };
    let status =
        |kind: &str| object::condition(run, kind).and_then(|condition| object::text(condition, "/status"));
    match (status("Finished"), status("Succeeded")) {
        (Some("True"), Some("True")) => RunState::Succeeded,
        (Some("True"), _) => {
            let said = object::condition(run, "Succeeded")
                .and_then(|condition| object::text(condition, "/message"))
                .filter(|message| !message.is_empty())
                .unwrap_or("it failed");
            RunState::Failed(format!("PipelineRun `{}`: {said}", key.name))
        }
        _ => RunState::Running(key.name.clone()),
    }
}

/// A run of stages. Its parameters are declared, so that stages may use them.
pub(super) fn write(
    env: &Environment,
    key: Key,
    ours: &BTreeMap<String, String>,
    stages: Vec<Stage>,
    params: Vec<ParamValue>,
) -> Write {
    let declared = params.iter().map(|param| Param {
        name: param.name.clone(),
        description: None,
        default: None,
    });
    let spec = PipelineRunSpec {
        pipeline_spec: Some(PipelineDefinition {
            params: declared.collect(),
            stages,
            ledger: env.spec.ledger.clone(),
            ..PipelineDefinition::default()
        }),
        params,
        ..PipelineRunSpec::default()
    };
    let mut metadata = metadata::new(env, &key.name, &BTreeMap::new(), ours, None);
    // it goes with the Environment
    metadata["ownerReferences"] = json!([{
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": "Environment",
        "name": metadata::name(env),
        "uid": metadata::uid(env),
        "controller": true,
        "blockOwnerDeletion": false,
    }]);
    Write {
        object: json!({
            "apiVersion": Kind::PipelineRun.api_version(),
            "kind": Kind::PipelineRun.name(),
            "metadata": metadata,
            "spec": serde_json::to_value(spec).unwrap_or(Value::Null),
        }),
        key,
        actor: Actor::Operator,
    }
}

/// `environment`, `release` and `image_<name>`. What may not be in the name of a parameter becomes `_`.
///
/// # Errors
/// When two images would be one parameter.
pub(super) fn params(
    env: &Environment,
    release: &str,
    images: &BTreeMap<String, String>,
) -> Result<Vec<ParamValue>, String> {
    let mut params: BTreeMap<String, (String, String)> = BTreeMap::new();
    for (image, value) in images {
        let plain: String = image
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        let name: String = format!("image_{plain}").chars().take(LONGEST_PARAM).collect();
        if let Some((other, _)) = params.insert(name.clone(), (image.clone(), value.clone())) {
            return Err(format!(
                "images `{other}` and `{image}` of the release would both be parameter `{name}`: rename one of them"
            ));
        }
    }
    let fixed = [("environment", metadata::name(env)), ("release", release)];
    Ok(fixed
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .chain(params.into_iter().map(|(name, (_, value))| (name, value)))
        .map(|(name, value)| ParamValue { name, value })
        .collect())
}

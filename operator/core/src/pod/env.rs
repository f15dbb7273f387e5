//! The environment of the main container.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dcanary_protocol::{PLAN_PART_BYTES, plan::Plan};
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, SecretKeySelector};

use crate::{
    definition::{StageDefinition, compress},
    plan::{PlanError, secret_env},
    settings::Settings,
};

/// Largest encoded plan: the Pod has to fit into etcd, and its environment into Linux' limit for a new program.
const MAX_PLAN_BYTES: usize = 1024 * 1024;

/// The plan in parts of at most 96 KiB.
pub(super) fn plan(plan: &Plan) -> Result<Vec<EnvVar>, PlanError> {
    let refused = |message: String| PlanError::Refused {
        reason: "PlanInvalid",
        message,
    };
    let json = serde_json::to_vec(plan).map_err(|error| refused(error.to_string()))?;
    let packed = compress(&json).map_err(|error| refused(error.to_string()))?;
    let encoded = STANDARD.encode(packed);
    if encoded.len() > MAX_PLAN_BYTES {
        return Err(PlanError::Refused {
            reason: "PlanTooLarge",
            message: format!(
                "scripts, parameters and results of the stage take {} bytes compressed, at most {MAX_PLAN_BYTES} fit into a Pod",
                encoded.len()
            ),
        });
    }
    let mut parts = Vec::new();
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        // base64 is ASCII, every index is a boundary
        let (part, tail) = rest.split_at(rest.len().min(PLAN_PART_BYTES));
        parts.push(value(format!("DCANARY_PLAN_{}", parts.len()), part.to_owned()));
        rest = tail;
    }
    Ok(parts)
}

/// Where the server is.
pub(super) fn fixed(settings: &Settings) -> Vec<EnvVar> {
    vec![
        value("DCANARY_SERVER".to_owned(), settings.server_url.clone()),
        value(
            "DCANARY_SERVER_CA".to_owned(),
            STANDARD.encode(&settings.server_ca),
        ),
    ]
}

/// Variables from Secrets.
pub(super) fn secrets(stage: &StageDefinition) -> Vec<EnvVar> {
    let vars = secret_env(stage).into_iter().map(|(name, key)| EnvVar {
        name,
        value: None,
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: key.name,
                key: key.key,
                optional: key.optional.then_some(true),
            }),
            ..EnvVarSource::default()
        }),
    });
    vars.collect()
}

fn value(name: String, value: String) -> EnvVar {
    EnvVar {
        name,
        value: Some(value),
        value_from: None,
    }
}

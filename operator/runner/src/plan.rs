//! Reads the plan from the environment.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dcanary_protocol::PROTOCOL;
use dcanary_protocol::plan::Plan;
use thiserror::Error;

/// Largest plan after decompression, in bytes.
const PLAN_BYTES: u64 = 64 << 20;

/// Why the plan cannot be used.
#[derive(Debug, Error)]
pub(crate) enum PlanError {
    #[error("the variable DCANARY_PLAN_0 is missing")]
    Missing,
    #[error("the plan is not base64")]
    Base64,
    #[error("the plan is not zstd, or larger than {PLAN_BYTES} bytes")]
    Zstd,
    #[error("the plan is not understood: {0}")]
    Json(String),
    #[error("the plan has protocol version {0}, this runner speaks {PROTOCOL}")]
    Protocol(u32),
}

/// Reads `DCANARY_PLAN_0`, `DCANARY_PLAN_1`, ….
pub(crate) fn from_environment() -> Result<Plan, PlanError> {
    let mut encoded = String::new();
    for number in 0.. {
        match std::env::var(format!("DCANARY_PLAN_{number}")) {
            Ok(part) => encoded.push_str(part.trim()),
            Err(_) => break,
        }
    }
    if encoded.is_empty() {
        return Err(PlanError::Missing);
    }
    decode(&encoded)
}

fn decode(encoded: &str) -> Result<Plan, PlanError> {
    let compressed = STANDARD.decode(encoded).map_err(|_| PlanError::Base64)?;
    let mut json = Vec::new();
    zstd::stream::read::Decoder::new(compressed.as_slice())
        .and_then(|decoder| decoder.take(PLAN_BYTES + 1).read_to_end(&mut json))
        .map_err(|_| PlanError::Zstd)?;
    if json.len() as u64 > PLAN_BYTES {
        return Err(PlanError::Zstd);
    }
    let value: serde_json::Value =
        serde_json::from_slice(&json).map_err(|error| PlanError::Json(error.to_string()))?;
    // The version first: a plan of another version may have fields that this build does not know.
    let protocol = value
        .get("protocol")
        .and_then(serde_json::Value::as_u64)
        .unwrap_or_default();
    let protocol = u32::try_from(protocol).unwrap_or(u32::MAX);
    if protocol.abs_diff(PROTOCOL) > 1 {
        return Err(PlanError::Protocol(protocol));
    }
    serde_json::from_value(value).map_err(|error| PlanError::Json(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(json: &str) -> String {
        STANDARD.encode(zstd::encode_all(json.as_bytes(), 3).unwrap())
    }

    #[test]
    fn a_plan_of_a_far_version_is_refused_by_number_even_with_unknown_fields() {
        let error = decode(&encode(r#"{"protocol": 3, "novelty": true}"#)).unwrap_err();
        assert!(matches!(error, PlanError::Protocol(3)), "{error}");
    }

    #[test]
    fn a_plan_that_unpacks_to_more_than_the_limit_is_refused() {
        let bomb = vec![b' '; usize::try_from(PLAN_BYTES).unwrap() + 2];
        let encoded = STANDARD.encode(zstd::encode_all(bomb.as_slice(), 3).unwrap());
        assert!(matches!(decode(&encoded), Err(PlanError::Zstd)));
    }

    #[test]
    fn garbage_is_refused_with_the_layer_that_it_breaks() {
        assert!(matches!(decode("%%%"), Err(PlanError::Base64)));
        assert!(matches!(decode("AAAA"), Err(PlanError::Zstd)));
        assert!(matches!(decode(&encode("{")), Err(PlanError::Json(_))));
    }
}

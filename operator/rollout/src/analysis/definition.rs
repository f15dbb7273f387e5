//! What a metric is, in one digest: samples that were taken under another definition are not counted under this one.

use dcanary_crds::Metric;
use serde_json::Value;

use crate::render;

/// Hexadecimal digits that are kept.
const DIGITS: usize = 16;

/// Digest of what is measured and how it is judged.
pub(super) fn of(metric: &Metric) -> String {
    let value = serde_json::to_value(metric).unwrap_or(Value::Null);
    let digest = render::digest(&value);
    let hex = digest.split_once(':').map_or(digest.as_str(), |(_, hex)| hex);
    hex.chars().take(DIGITS).collect()
}

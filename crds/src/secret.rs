//! Environment variables and Secrets of stages.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// An environment variable: a value, or a key of a Secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.value) != has(self.secret)").message("give exactly one of value and secret"))]
pub struct EnvVar {
    /// Name of the variable.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub name: String,
    /// Value. `$(params.x)`, `$(stages.build.results.y)` and `$(source.commit)` are replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32768))]
    pub value: Option<String>,
    /// Key of a Secret in the run's namespace. Its value is masked in all output, and a result that holds it fails its step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretKey>,
}

/// One key of a Secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKey {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
    /// The stage starts also when Secret or key is missing. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// A Secret as files under `/var/run/dcanary/secrets/<name>/`. All of its values of 4 bytes or more, and their lines, are masked in output, and a result that holds one fails its step (`ResultHoldsSecret`): use `env` with `secret` for single keys where a Secret also holds what is not secret, such as a user name or a region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretMount {
    /// Name of the Secret, in the run's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

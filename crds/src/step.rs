//! Steps: what a stage does, in order, in one container.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{Duration, EnvVar};

/// One step. Exactly one of `run`, `checkout`, `artifact`, `downloadArtifact` and `image` says what it does. `$(params.x)` and the like are replaced in values of `env`, in `checkout.repo` and `ref`, and in `image.push`, `base`, `env` and `labels`; elsewhere they are refused.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.run), has(self.checkout), has(self.artifact), has(self.downloadArtifact), has(self.image)].exists_one(x, x)").message("give exactly one of run, checkout, artifact, downloadArtifact and image"))]
pub struct Step {
    /// Name, unique in the stage. Default: the kind and its number, e.g. `run-2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub name: Option<String>,
    /// A script. Parameters and results are environment variables in it: `"$PARAM_version"`, `"$RESULT_build_digest"`. Example: `make test`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 262_144))]
    pub run: Option<String>,
    /// Checks out the source of the run or another repository. The image needs no git.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkout: Option<Checkout>,
    /// Stores files or a directory under their digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Artifact>,
    /// Fetches an artifact of an earlier stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download_artifact: Option<DownloadArtifact>,
    /// Builds an image from files; the server pushes it. No privileges, no daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// Variables of this step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub env: Vec<EnvVar>,
    /// Program and arguments that get the script as a file. Default: `["/bin/sh", "-eu"]`. Example: `["/bin/bash", "-euo", "pipefail"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 1024)))]
    pub shell: Vec<String>,
    /// Working directory, relative to the workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub working_dir: Option<String>,
    /// Time for this step. Example: `5m`. Default: the stage's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// CEL condition. Default: run when no earlier step failed. Examples: `always()`, `failure()`, `params.deploy == "yes"`.
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub condition: Option<String>,
    /// A failure of this step does not fail the stage. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continue_on_error: bool,
}

/// Checks out a Git commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Checkout {
    /// Repository. Default: the run's source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub repo: Option<String>,
    /// Commit, branch or tag. Default: the run's commit, else its ref.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reference: Option<String>,
    /// Commits of history; 0 = all. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub depth: Option<i32>,
    /// Levels of submodules; 0 = none, at most 5. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 5))]
    pub submodules: Option<i32>,
    /// Directory relative to the workspace. Default: the workspace itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub path: Option<String>,
    /// Secret with credentials for the repository's host: keys `token` and `username`, or `ssh-privatekey` and `known_hosts`. Default: the source's. Without `repo` it counts only while the run's repository is that of the pipeline's `source`, or the run holds its definition inline: whoever starts a run of a Pipeline must not choose where its Secret goes. With `repo` it goes to the host named there, which must be written out: a name, or an IPv6 address in brackets, and not an expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub credentials: Option<String>,
}

/// Stores files or a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// Name, unique in the stage. Default: the last part of the first path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub name: Option<String>,
    /// Paths or globs relative to the working directory. One plain file is stored as it is, anything else as a tar.
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 1024)))]
    pub paths: Vec<String>,
    /// Keep times, owners and modes as found. Default: false: sorted, times and owners fixed, so that equal files give equal digests.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub raw: bool,
}

/// Fetches an artifact of an earlier stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DownloadArtifact {
    /// Name of the artifact.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// Stage that stored it. Default: the only stage before this one that has an artifact of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub stage: Option<String>,
    /// Directory relative to the working directory. Default: the working directory itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub path: Option<String>,
}

/// Builds an image: a base and files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Name of the artifact, unique in the stage. Default: the last part of the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub name: Option<String>,
    /// Repository and tag to push to. `$(params.x)` and `$(source.commit)` are replaced. Example: `registry.example.com/team/web:$(source.commit)`.
    #[schemars(length(min = 1, max = 1024))]
    pub push: String,
    /// Base image. Default: none (from nothing).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub base: Option<String>,
    /// Files and directories to put into it.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub files: Vec<ImageFile>,
    /// Entrypoint. Default: the base's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub entrypoint: Vec<String>,
    /// Command. Default: the base's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub cmd: Vec<String>,
    /// Environment of the image.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// User. Default: the base's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub user: Option<String>,
    /// Working directory. Default: the base's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub working_dir: Option<String>,
    /// Labels of the image.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A file or directory of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageFile {
    /// Path relative to the working directory.
    #[schemars(length(min = 1, max = 1024))]
    pub from: String,
    /// Absolute path in the image.
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^/"))]
    pub to: String,
}

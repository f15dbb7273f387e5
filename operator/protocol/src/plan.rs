//! What a build Pod is told to do. No secret values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::limits;

/// The plan of one stage attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Protocol version of the operator that wrote it.
    pub protocol: u32,
    /// The run.
    pub run: RunRef,
    /// Name of the stage.
    pub stage: String,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Steps in order.
    pub steps: Vec<StepPlan>,
    /// Variables for all steps: parameters (`PARAM_<name>`), results of earlier stages (`RESULT_<stage>_<name>`), `env` of the stage, and
    /// `DCANARY_RUN`, `DCANARY_STAGE`, `DCANARY_ATTEMPT`, `DCANARY_COMMIT`, `DCANARY_REF`.
    #[serde(default)]
    pub env: Vec<EnvVar>,
    /// What to mask in output, results and messages.
    #[serde(default)]
    pub masks: Vec<Mask>,
    /// Results of earlier stages that are too large for a variable: files under `$DCANARY_INPUTS/<stage>/<name>`.
    #[serde(default)]
    pub inputs: Vec<Input>,
    /// Values for the steps' `if` conditions, as CEL variables (`params`, `stages`, `source`).
    #[serde(default)]
    pub variables: BTreeMap<String, serde_json::Value>,
    /// Time for the whole stage, in seconds from the start of the runner; 0 = none.
    #[serde(default)]
    pub timeout_seconds: u64,
    /// Time between SIGTERM and SIGKILL for a step's processes, in seconds.
    pub grace_seconds: u64,
    /// Limits that the runner enforces.
    pub limits: Limits,
}

/// The run that a plan belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRef {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
    /// Name of the Pipeline, or of the run for inline definitions.
    pub pipeline: String,
}

/// Limits (`design`, section 6), in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Inline result.
    pub result_inline_bytes: u64,
    /// One result.
    pub result_bytes: u64,
    /// One artifact.
    pub artifact_bytes: u64,
    /// Spool of frames that are not acknowledged yet.
    pub spool_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            result_inline_bytes: limits::RESULT_INLINE_BYTES,
            result_bytes: limits::RESULT_BYTES,
            artifact_bytes: limits::ARTIFACT_BYTES,
            spool_bytes: limits::SPOOL_BYTES,
        }
    }
}

/// A variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvVar {
    /// Name.
    pub name: String,
    /// Value; never a secret.
    pub value: String,
}

/// Something whose value must never appear in output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "camelCase")]
pub enum Mask {
    /// Value of an environment variable of the container, set by the kubelet from a Secret.
    Env {
        /// Name of the variable.
        name: String,
    },
    /// Content of a file, or of every file below a directory, set by the kubelet from a Secret. Nothing to mask when there is nothing at
    /// this path in a directory that exists: a key that the Secret does not have.
    Dir {
        /// The directory or file.
        path: String,
    },
}

/// A large result of an earlier stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Stage that wrote it.
    pub stage: String,
    /// Name of the result.
    pub name: String,
    /// `sha256:<hex>` of the value.
    pub digest: String,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepPlan {
    /// Name, unique in the stage.
    pub name: String,
    /// CEL condition; absent = run when no earlier step failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Variables for this step.
    #[serde(default)]
    pub env: Vec<EnvVar>,
    /// Working directory, relative to `/workspace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Time for this step in seconds; 0 = none.
    #[serde(default)]
    pub timeout_seconds: u64,
    /// A failure does not fail the stage.
    #[serde(default)]
    pub continue_on_error: bool,
    /// What to do.
    pub action: Action,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Action {
    /// Runs a script.
    Run {
        /// The script, given to the shell on a file.
        script: String,
        /// Program and arguments; the path of the script file is appended. Default `["/bin/sh", "-eu"]`.
        #[serde(default)]
        shell: Vec<String>,
    },
    /// Checks out a Git commit.
    Checkout {
        /// URL: `https://…`, `http://…`, `ssh://…`, `git://…` or `user@host:path`.
        url: String,
        /// Commit to check out (40 or 64 hex digits), or a ref when no commit is known yet.
        revision: String,
        /// Commits of history; 0 = all.
        depth: u32,
        /// Levels of submodules to check out; 0 = none.
        submodules: u32,
        /// Directory relative to `/workspace`.
        path: String,
        /// Directory with credentials, one folder per host in lower case (`token`, `username`, `ssh-privatekey`, `known_hosts`).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        credentials: Option<String>,
    },
    /// Stores files or a directory.
    Artifact {
        /// Name of the artifact, unique in the stage.
        artifact: String,
        /// Paths or globs relative to the working directory. One plain file is stored as it is, anything else as a tar.
        paths: Vec<String>,
        /// Keep times, owners and order as found instead of a reproducible tar.
        #[serde(default)]
        raw: bool,
    },
    /// Fetches an artifact of an earlier stage.
    DownloadArtifact {
        /// Name of the artifact.
        artifact: String,
        /// `sha256:<hex>`.
        digest: String,
        /// What it is.
        kind: crate::report::ArtifactKind,
        /// File name for an artifact of kind `file`.
        file_name: String,
        /// Directory relative to the working directory.
        path: String,
    },
    /// Builds an image from files; the server pushes it.
    Image {
        /// Name of the artifact, unique in the stage.
        artifact: String,
        /// Repository and tag to push to.
        reference: String,
        /// Base image (`repository@sha256:…` or with a tag); absent = from nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base: Option<String>,
        /// Files: source path → absolute path in the image.
        files: Vec<ImageFile>,
        /// Entrypoint; absent = the base's.
        #[serde(default)]
        entrypoint: Vec<String>,
        /// Command; absent = the base's, unless `entrypoint` is given (then none, as in other builders).
        #[serde(default)]
        cmd: Vec<String>,
        /// Environment.
        #[serde(default)]
        env: Vec<EnvVar>,
        /// User.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// Working directory.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        working_dir: Option<String>,
        /// Labels.
        #[serde(default)]
        labels: BTreeMap<String, String>,
    },
}

/// A file or directory to put into an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFile {
    /// Path relative to the working directory.
    pub from: String,
    /// Absolute path in the image.
    pub to: String,
}

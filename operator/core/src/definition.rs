//! The resolved definition of a run: everything that a run needs to know, fixed when it is opened.

use std::io::Read as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dcanary_crds::{ExecutorSpec, LedgerMode, Param, Source, Stage};
use dcanary_types::{
    Hash,
    graph::{self, GraphDoc, GraphError},
    value::sha256,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Attempts that are lost without a fault of their own are repeated this often, outside the user's retries.
pub const LOST_RETRIES: usize = 2;
/// Largest encoded definition; it lives in the run's status, which etcd has to take. An installation may set less (`Limits::definition_bytes`).
pub const MAX_RESOLVED_BYTES: usize = 256 * 1024;
/// Compression level; a change of it changes no digest.
const LEVEL: i32 = 6;
/// Largest definition after decompression.
const MAX_JSON_BYTES: u64 = 64 << 20;

/// A definition with all names looked up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Definition {
    /// Project under which the run is recorded.
    pub project: String,
    /// Declared parameters.
    pub params: Vec<Param>,
    /// Default source.
    pub source: Option<Source>,
    /// Stages in the order of the graph document: needs first, `finally` stages last.
    pub stages: Vec<StageDefinition>,
    /// Stages at once.
    pub parallelism: Option<i32>,
    /// Time limits in seconds.
    pub timeouts: Limits,
    /// Secrets with which images are pulled.
    pub image_pull_secrets: Vec<String>,
    /// Whether the run is recorded.
    pub ledger: LedgerMode,
}

/// A stage with its executor looked up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageDefinition {
    /// The stage as it was written.
    pub stage: Stage,
    /// It is a `finally` stage.
    pub finally: bool,
    /// Indexes of the stages it needs, ascending.
    pub needs: Vec<usize>,
    /// Its executor.
    pub executor: Option<ExecutorSpec>,
    /// Image that it runs in.
    pub image: String,
}

/// Time limits in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Time that a Pod may wait.
    pub pending: u64,
    /// Time for all stages but `finally`.
    pub run: u64,
    /// Time for the `finally` stages.
    pub finally: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pending: 15 * 60,
            run: 6 * 3600,
            finally: 30 * 60,
        }
    }
}

/// Why the definition in a status cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DefinitionError {
    /// It is not there.
    #[error("the status has no resolved definition")]
    Missing,
    /// Somebody changed it.
    #[error("the resolved definition in the status cannot be read: {0}")]
    Unreadable(String),
    /// It has another digest than the status says.
    #[error("the resolved definition in the status has not the digest that the status names")]
    Digest,
    /// It does not fit.
    #[error("the resolved definition has {bytes} bytes, at most {most} are allowed in a run's status")]
    TooLarge {
        /// How many it has.
        bytes: usize,
        /// How many are allowed.
        most: usize,
    },
}

impl Definition {
    fn json(&self) -> Result<Vec<u8>, DefinitionError> {
        serde_json::to_vec(self).map_err(|error| DefinitionError::Unreadable(error.to_string()))
    }

    /// Content digest: equal definitions have equal digests, whatever the run is called and whatever its parameters are.
    ///
    /// # Errors
    /// If it cannot be written as JSON.
    pub fn digest(&self) -> Result<Hash, DefinitionError> {
        Ok(sha256(&self.json()?))
    }

    /// The form in which a status keeps it: JSON, zstd, base64; of at most so many bytes.
    ///
    /// # Errors
    /// If it is too large.
    pub fn encode(&self, most: usize) -> Result<String, DefinitionError> {
        let encoded = STANDARD.encode(compress(&self.json()?)?);
        if encoded.len() > most {
            let bytes = encoded.len();
            return Err(DefinitionError::TooLarge { bytes, most });
        }
        Ok(encoded)
    }

    /// Reads what a status keeps, and compares it with the digest beside it.
    ///
    /// # Errors
    /// If somebody changed it.
    pub fn decode(encoded: Option<&str>, digest: Option<&str>) -> Result<Self, DefinitionError> {
        let encoded = encoded.ok_or(DefinitionError::Missing)?;
        let unreadable = |error: &dyn std::fmt::Display| DefinitionError::Unreadable(error.to_string());
        let packed = STANDARD.decode(encoded).map_err(|error| unreadable(&error))?;
        let mut json = Vec::new();
        zstd::stream::read::Decoder::new(packed.as_slice())
            .and_then(|decoder| decoder.take(MAX_JSON_BYTES).read_to_end(&mut json))
            .map_err(|error| unreadable(&error))?;
        if digest != Some(text(&sha256(&json)).as_str()) {
            return Err(DefinitionError::Digest);
        }
        serde_json::from_slice(&json).map_err(|error| unreadable(&error))
    }

    /// The graph document of the run.
    ///
    /// # Errors
    /// If it is too long or breaks a rule of the ledger format.
    pub fn graph(&self) -> Result<GraphDoc, GraphError> {
        GraphDoc::new(
            self.stages
                .iter()
                .map(|stage| graph::Stage {
                    name: stage.stage.name.clone(),
                    needs: stage.needs.iter().map(|need| *need as u64).collect(),
                    attempts: 1 + stage.user_retries() as u64 + LOST_RETRIES as u64,
                    optional: stage.stage.optional,
                    finally: stage.finally,
                })
                .collect(),
        )
    }

    /// The index of a stage.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.stages.iter().position(|stage| stage.stage.name == name)
    }
}

impl StageDefinition {
    /// Further attempts that the user allows.
    pub fn user_retries(&self) -> usize {
        let count = self.stage.retries.as_ref().map_or(0, |retries| retries.count);
        usize::try_from(count).unwrap_or(0)
    }

    /// Time for one attempt in seconds.
    pub fn timeout(&self) -> u64 {
        self.stage.timeout.map_or(3600, dcanary_crds::Duration::as_secs)
    }

    /// Time that its Pod may wait, in seconds.
    pub fn pending_timeout(&self, limits: Limits) -> u64 {
        self.stage
            .pending_timeout
            .map_or(limits.pending, dcanary_crds::Duration::as_secs)
    }
}

/// Compresses bytes, always in the same way.
///
/// # Errors
/// If the compressor refuses.
pub fn compress(bytes: &[u8]) -> Result<Vec<u8>, DefinitionError> {
    zstd::bulk::compress(bytes, LEVEL).map_err(|error| DefinitionError::Unreadable(error.to_string()))
}

/// A digest as text: `sha256:…`.
pub fn text(hash: &Hash) -> String {
    format!("sha256:{}", hex::encode(hash))
}

/// Reads `sha256:…`.
pub fn parse_digest(text: &str) -> Option<Hash> {
    hex::decode(text.strip_prefix("sha256:")?).ok()?.try_into().ok()
}

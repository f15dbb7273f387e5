//! The outputs document of a stage and the artifacts in a body (section 3).

use std::collections::BTreeMap;

use crate::{
    cbor,
    fields::{FieldError, Fields},
    record::RecordError,
    value::{self, Hash, Map, Value},
};

/// One artifact of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Name.
    pub name: String,
    /// SHA-256 of the content.
    pub digest: Hash,
    /// Bytes of the content.
    pub size: u64,
}

/// One result of a stage: its value stays with the server, its digest goes on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultDigest {
    /// SHA-256 of the value.
    pub digest: Hash,
    /// Bytes of the value.
    pub size: u64,
}

/// The outputs document (section 3). `dcanary_stage_succeeded` carries its SHA-256.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outputs {
    artifacts: BTreeMap<String, Artifact>,
    results: BTreeMap<String, ResultDigest>,
}

impl Outputs {
    /// Collects artifacts and results; of two artifacts with one name the last counts.
    pub fn new(
        artifacts: impl IntoIterator<Item = Artifact>,
        results: impl IntoIterator<Item = (String, ResultDigest)>,
    ) -> Self {
        Self {
            artifacts: artifacts
                .into_iter()
                .map(|artifact| (artifact.name.clone(), artifact))
                .collect(),
            results: results.into_iter().collect(),
        }
    }

    /// The artifacts in ascending order of name.
    pub fn artifacts(&self) -> impl Iterator<Item = &Artifact> {
        self.artifacts.values()
    }

    /// The results by name.
    pub fn results(&self) -> &BTreeMap<String, ResultDigest> {
        &self.results
    }

    /// The document's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let artifacts: Vec<Artifact> = self.artifacts.values().cloned().collect();
        let results: Map = self
            .results
            .iter()
            .map(|(name, result)| {
                let fields = value::map([
                    ("digest", result.digest.into()),
                    ("size", Value::Nat(result.size)),
                ]);
                (name.clone(), Value::Map(fields))
            })
            .collect();
        cbor::encode(&Value::Map(value::map([
            ("artifacts", artifacts_value(&artifacts)),
            ("results", Value::Map(results)),
        ])))
    }

    /// SHA-256 of the document's bytes.
    pub fn digest(&self) -> Hash {
        value::sha256(&self.encode())
    }

    /// Reads a document.
    ///
    /// # Errors
    /// If it has not exactly the fields of section 3, or artifacts are repeated or out of order.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut fields = Fields::of("outputs", cbor::decode(bytes)?)?;
        let list = artifacts_from(Value::Array(fields.array("artifacts")?))?;
        let results = fields.map("results")?;
        fields.done()?;
        if !list.is_sorted_by(|a, b| a.name < b.name) {
            return Err(FieldError::rule("artifacts", "in ascending order of name, each name once").into());
        }
        let results = results
            .into_iter()
            .map(|(name, value)| {
                let mut fields = Fields::of("results", value)?;
                let result = ResultDigest {
                    digest: fields.hash("digest")?,
                    size: fields.nat("size")?,
                };
                fields.done()?;
                Ok((name, result))
            })
            .collect::<Result<Vec<_>, FieldError>>()?;
        Ok(Self::new(list, results))
    }
}

pub(super) fn artifacts_value(artifacts: &[Artifact]) -> Value {
    Value::Array(
        artifacts
            .iter()
            .map(|artifact| {
                Value::Map(value::map([
                    ("name", artifact.name.as_str().into()),
                    ("digest", artifact.digest.into()),
                    ("size", Value::Nat(artifact.size)),
                ]))
            })
            .collect(),
    )
}

pub(super) fn artifacts_from(value: Value) -> Result<Vec<Artifact>, FieldError> {
    let Value::Array(items) = value else {
        return Err(FieldError::rule("artifacts", "an Array"));
    };
    items
        .into_iter()
        .map(|item| {
            let mut fields = Fields::of("artifacts", item)?;
            let artifact = Artifact {
                name: fields.text("name")?,
                digest: fields.hash("digest")?,
                size: fields.nat("size")?,
            };
            fields.done()?;
            Ok(artifact)
        })
        .collect()
}

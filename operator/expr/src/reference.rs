//! What an expression may name.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A typed reference: `$(params.x)`, `$(stages.build.results.y)`, `$(source.commit)`, `$(run.name)`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reference {
    /// `params.NAME`
    Param(String),
    /// `stages.STAGE.results.NAME`
    Result {
        /// The stage.
        stage: String,
        /// The result.
        name: String,
    },
    /// `source.repo`, `source.ref`, `source.commit`
    Source(String),
    /// `run.name`, `run.namespace`, `run.uid`
    Run(String),
}

impl Reference {
    /// Reads the text between `$(` and `)`.
    ///
    /// # Errors
    /// `None` when its first word is none of ours (the text is then left alone); otherwise what is wrong with it.
    pub fn parse(text: &str) -> Option<Result<Self, String>> {
        let parts: Vec<&str> = text.split('.').collect();
        let known = |part: &str| {
            !part.is_empty()
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
        };
        Some(match parts.as_slice() {
            ["params", name] if known(name) => Ok(Self::Param((*name).to_owned())),
            ["stages", stage, "results", name] if known(stage) && known(name) => Ok(Self::Result {
                stage: (*stage).to_owned(),
                name: (*name).to_owned(),
            }),
            ["source", field @ ("repo" | "ref" | "commit")] => Ok(Self::Source((*field).to_owned())),
            ["run", field @ ("name" | "namespace" | "uid")] => Ok(Self::Run((*field).to_owned())),
            ["params", ..] => Err("write params.NAME".into()),
            ["stages", ..] => Err("write stages.STAGE.results.NAME".into()),
            ["source", ..] => Err("write source.repo, source.ref or source.commit".into()),
            ["run", ..] => Err("write run.name, run.namespace or run.uid".into()),
            _ => return None,
        })
    }

    /// Name of the environment variable that holds the same value in scripts.
    pub fn variable(&self) -> String {
        let clean = |text: &str| text.replace('-', "_");
        match self {
            Self::Param(name) => format!("PARAM_{}", clean(name)),
            Self::Result { stage, name } => format!("RESULT_{}_{}", clean(stage), clean(name)),
            Self::Source(field) => format!("DCANARY_{}", field.to_ascii_uppercase()),
            Self::Run(field) if field == "name" => "DCANARY_RUN".into(),
            Self::Run(field) => format!("DCANARY_RUN_{}", field.to_ascii_uppercase()),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Param(name) => write!(f, "params.{name}"),
            Self::Result { stage, name } => write!(f, "stages.{stage}.results.{name}"),
            Self::Source(field) => write!(f, "source.{field}"),
            Self::Run(field) => write!(f, "run.{field}"),
        }
    }
}

/// A stage as expressions see it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageValues {
    /// `succeeded`, `failed`, `skipped`, `cancelled`, or empty while it has not ended.
    pub outcome: String,
    /// Inline results.
    pub results: BTreeMap<String, String>,
}

/// Values of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Values {
    /// Parameters.
    pub params: BTreeMap<String, String>,
    /// Stages.
    pub stages: BTreeMap<String, StageValues>,
    /// `repo`, `ref`, `commit`; absent ones are empty.
    pub source: BTreeMap<String, String>,
    /// `name`, `namespace`, `uid`.
    pub run: BTreeMap<String, String>,
}

impl Values {
    /// Value of a reference, if it has one yet.
    pub fn get(&self, reference: &Reference) -> Option<&str> {
        match reference {
            Reference::Param(name) => self.params.get(name),
            Reference::Result { stage, name } => self.stages.get(stage)?.results.get(name),
            Reference::Source(field) => self.source.get(field),
            Reference::Run(field) => self.run.get(field),
        }
        .map(String::as_str)
    }

    /// The same as CEL variables.
    pub fn variables(&self) -> BTreeMap<String, Value> {
        BTreeMap::from([
            ("params".to_owned(), json!(self.params)),
            ("stages".to_owned(), json!(self.stages)),
            ("source".to_owned(), json!(self.source)),
            ("run".to_owned(), json!(self.run)),
        ])
    }
}

//! The graph document: which stages a run has and what they wait for (section 4).

use std::collections::BTreeSet;

use thiserror::Error;

use crate::{
    cbor::{self, CborError},
    fields::{FieldError, Fields},
    limits::MAX_GRAPH_BYTES,
    names,
    value::{self, Hash, Value},
};

/// Version of the document.
const VERSION: u64 = 1;
const OPTIONAL: u64 = 1;
const FINALLY: u64 = 2;

/// One stage of the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Name, unique in the graph.
    pub name: String,
    /// Indexes of earlier stages that must be met first, ascending.
    pub needs: Vec<u64>,
    /// Highest attempt number allowed, at least 1.
    pub attempts: u64,
    /// Its failure does not fail the run and meets a need.
    pub optional: bool,
    /// Runs when every other stage has ended.
    pub finally: bool,
}

/// The stages of a run. Only graphs that keep all rules of section 4 exist as values of this type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphDoc {
    stages: Vec<Stage>,
}

/// Why stages or bytes are not a graph document (section 4).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GraphError {
    /// Not deterministic CBOR.
    #[error("the graph document is not deterministic CBOR: {0}")]
    Cbor(#[from] CborError),
    /// A field is missing, unknown or of another kind.
    #[error("the graph document is malformed: {0}")]
    Field(#[from] FieldError),
    /// The document is too long.
    #[error("the graph document has {0} bytes, at most {MAX_GRAPH_BYTES} are allowed")]
    TooLong(usize),
    /// A name is empty, too long, has control characters or is repeated.
    #[error("stage {0} has a name that is not allowed or that an earlier stage has")]
    Name(usize),
    /// A need is not the index of an earlier stage, or needs are repeated or out of order.
    #[error("the needs of stage {0} are not ascending indexes of earlier stages")]
    Needs(usize),
    /// No attempt is allowed.
    #[error("stage {0} allows no attempt")]
    Attempts(usize),
    /// A flag is not defined.
    #[error("stage {0} has flags that are not defined")]
    Flags(usize),
    /// A gate is named; none is defined.
    #[error("stage {0} names a gate, and none is defined")]
    Gates(usize),
    /// A `finally` stage needs something or is needed.
    #[error("stage {0} is a `finally` stage with needs, or needs one")]
    Finally(usize),
}

impl GraphDoc {
    /// A graph of these stages.
    ///
    /// # Errors
    /// If a rule of section 4 is broken, or the document would be too long.
    pub fn new(stages: Vec<Stage>) -> Result<Self, GraphError> {
        let mut seen = BTreeSet::new();
        for (i, stage) in stages.iter().enumerate() {
            if !names::is_stage(&stage.name) || !seen.insert(stage.name.as_str()) {
                return Err(GraphError::Name(i));
            }
            if stage.attempts == 0 {
                return Err(GraphError::Attempts(i));
            }
            let earlier = |need: &u64| *need < i as u64;
            if !stage.needs.iter().all(earlier) || !stage.needs.is_sorted_by(|a, b| a < b) {
                return Err(GraphError::Needs(i));
            }
            let needs_finally = earlier_stages(&stages, stage).any(|need| need.finally);
            if needs_finally || (stage.finally && !stage.needs.is_empty()) {
                return Err(GraphError::Finally(i));
            }
        }
        let graph = Self { stages };
        let length = graph.encode().len();
        if length > MAX_GRAPH_BYTES {
            Err(GraphError::TooLong(length))
        } else {
            Ok(graph)
        }
    }

    /// The stages in the document's order.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The index of a stage.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.stages.iter().position(|stage| stage.name == name)
    }

    /// The document's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let stages = self.stages.iter().map(|stage| {
            Value::Array(vec![
                stage.name.as_str().into(),
                Value::Array(stage.needs.iter().copied().map(Value::Nat).collect()),
                Value::Nat(stage.attempts),
                Value::Nat(u64::from(stage.optional) * OPTIONAL + u64::from(stage.finally) * FINALLY),
                Value::Array(vec![]),
            ])
        });
        cbor::encode(&Value::Map(value::map([
            ("v", Value::Nat(VERSION)),
            ("stages", Value::Array(stages.collect())),
        ])))
    }

    /// SHA-256 of the document's bytes, which `dcanary_run_opened` carries.
    pub fn digest(&self) -> Hash {
        value::sha256(&self.encode())
    }

    /// Reads a document.
    ///
    /// # Errors
    /// If it is too long, not deterministic CBOR, or breaks a rule of section 4.
    pub fn decode(bytes: &[u8]) -> Result<Self, GraphError> {
        if bytes.len() > MAX_GRAPH_BYTES {
            return Err(GraphError::TooLong(bytes.len()));
        }
        let mut fields = Fields::of("graph", cbor::decode(bytes)?)?;
        let version = fields.nat("v")?;
        let stages = fields.array("stages")?;
        fields.done()?;
        if version != VERSION {
            return Err(FieldError::rule("v", "1").into());
        }
        Self::new(
            stages
                .into_iter()
                .enumerate()
                .map(|(i, stage)| read_stage(i, stage))
                .collect::<Result<_, _>>()?,
        )
    }
}

fn earlier_stages<'a>(stages: &'a [Stage], stage: &'a Stage) -> impl Iterator<Item = &'a Stage> {
    stage
        .needs
        .iter()
        .filter_map(|need| usize::try_from(*need).ok().and_then(|need| stages.get(need)))
}

fn read_stage(i: usize, value: Value) -> Result<Stage, GraphError> {
    let shape = || FieldError::rule("stages", "a list of [name, needs, attempts, flags, gates]");
    let Value::Array(parts) = value else {
        return Err(shape().into());
    };
    let Ok(
        [
            Value::Text(name),
            Value::Array(needs),
            Value::Nat(attempts),
            Value::Nat(flags),
            Value::Array(gates),
        ],
    ) = <[Value; 5]>::try_from(parts)
    else {
        return Err(shape().into());
    };
    if flags > OPTIONAL + FINALLY {
        return Err(GraphError::Flags(i));
    }
    if !gates.is_empty() {
        return Err(GraphError::Gates(i));
    }
    let needs = needs
        .iter()
        .map(Value::as_nat)
        .collect::<Option<Vec<u64>>>()
        .ok_or(GraphError::Needs(i))?;
    Ok(Stage {
        name,
        needs,
        attempts,
        optional: flags & OPTIONAL != 0,
        finally: flags & FINALLY != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(name: &str, needs: &[u64]) -> Stage {
        Stage {
            name: name.to_owned(),
            needs: needs.to_vec(),
            attempts: 1,
            optional: false,
            finally: false,
        }
    }

    #[test]
    fn a_document_reads_back() {
        let graph = GraphDoc::new(vec![
            stage("build", &[]),
            Stage {
                optional: true,
                attempts: 3,
                ..stage("lint", &[0])
            },
            stage("test", &[0, 1]),
            Stage {
                finally: true,
                ..stage("tidy", &[])
            },
        ])
        .unwrap();
        assert_eq!(GraphDoc::decode(&graph.encode()).unwrap(), graph);
        assert_eq!(
            GraphDoc::new(vec![]).unwrap().encode(),
            hex::decode("a2617601667374616765 7380".replace(' ', "")).unwrap()
        );
    }

    #[test]
    fn each_rule_is_refused_by_its_own_error() {
        let base = || vec![stage("a", &[]), stage("b", &[0])];
        let with = |i: usize, stage: Stage| {
            let mut stages = base();
            stages[i] = stage;
            GraphDoc::new(stages).unwrap_err()
        };
        assert_eq!(with(1, stage("a", &[])), GraphError::Name(1));
        assert_eq!(with(1, stage("", &[])), GraphError::Name(1));
        assert_eq!(with(1, stage("b", &[1])), GraphError::Needs(1));
        assert_eq!(with(0, stage("a", &[1])), GraphError::Needs(0));
        assert_eq!(with(1, stage("b", &[0, 0])), GraphError::Needs(1));
        assert_eq!(with(1, stage("b", &[u64::MAX])), GraphError::Needs(1));
        assert_eq!(
            with(
                1,
                Stage {
                    attempts: 0,
                    ..stage("b", &[])
                }
            ),
            GraphError::Attempts(1)
        );
        assert_eq!(
            with(
                1,
                Stage {
                    finally: true,
                    ..stage("b", &[0])
                }
            ),
            GraphError::Finally(1)
        );
        assert_eq!(
            with(
                0,
                Stage {
                    finally: true,
                    ..stage("a", &[])
                }
            ),
            GraphError::Finally(1)
        );
        let long = (0..200)
            .map(|i| stage(&format!("{i}-{}", "x".repeat(200)), &[]))
            .collect();
        assert!(matches!(GraphDoc::new(long), Err(GraphError::TooLong(_))));
    }

    #[test]
    fn documents_with_unknown_flags_gates_versions_or_fields_are_refused() {
        let document = |v: u64, flags: u64, gates: Vec<Value>| {
            Value::Map(value::map([
                ("v", Value::Nat(v)),
                (
                    "stages",
                    Value::Array(vec![Value::Array(vec![
                        "a".into(),
                        Value::Array(vec![]),
                        Value::Nat(1),
                        Value::Nat(flags),
                        Value::Array(gates),
                    ])]),
                ),
            ]))
        };
        let read = |value: Value| GraphDoc::decode(&cbor::encode(&value));
        assert!(read(document(1, 3, vec![])).is_ok());
        assert_eq!(read(document(1, 4, vec![])), Err(GraphError::Flags(0)));
        assert_eq!(
            read(document(1, 0, vec!["approval".into()])),
            Err(GraphError::Gates(0))
        );
        assert!(matches!(read(document(2, 0, vec![])), Err(GraphError::Field(_))));
        let Value::Map(mut extra) = document(1, 0, vec![]) else {
            unreachable!()
        };
        extra.insert("x".to_owned(), Value::Nat(0));
        assert_eq!(
            read(extra.into()),
            Err(FieldError::Unknown("x".to_owned()).into())
        );
    }
}

//! Taking a map apart field by field, so that a missing, mistyped or unknown field is an error that names it.

use thiserror::Error;

use crate::{
    names,
    value::{Hash, Map, Value},
};

/// What is wrong with the fields of a map.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FieldError {
    /// A required field is absent.
    #[error("field `{0}` is missing")]
    Missing(String),
    /// A field that the map does not have was found.
    #[error("field `{0}` is unknown")]
    Unknown(String),
    /// A field is of another kind.
    #[error("field `{field}` must be {expected}, found {found}")]
    Kind {
        /// The field.
        field: String,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A field breaks its rule.
    #[error("field `{field}` must be {rule}")]
    Rule {
        /// The field.
        field: String,
        /// What it must be.
        rule: &'static str,
    },
}

impl FieldError {
    /// An error that says which rule a field breaks.
    pub fn rule(field: &str, rule: &'static str) -> Self {
        FieldError::Rule {
            field: field.to_owned(),
            rule,
        }
    }
}

/// A map that is being taken apart. [`Fields::done`] refuses what nobody took.
#[derive(Debug)]
pub struct Fields(Map);

impl Fields {
    /// Starts with all fields of the map.
    pub fn new(map: Map) -> Self {
        Self(map)
    }

    /// Starts with the fields of a value that must be a map; `field` names it in errors.
    ///
    /// # Errors
    /// If the value is not a map.
    pub fn of(field: &str, value: Value) -> Result<Self, FieldError> {
        match value {
            Value::Map(map) => Ok(Self(map)),
            other => Err(kind(field, "Map", &other)),
        }
    }

    /// Takes a field, if it is there.
    pub fn optional(&mut self, field: &str) -> Option<Value> {
        self.0.remove(field)
    }

    fn take(&mut self, field: &str) -> Result<Value, FieldError> {
        self.optional(field)
            .ok_or_else(|| FieldError::Missing(field.to_owned()))
    }

    /// Takes a number.
    ///
    /// # Errors
    /// If it is absent or of another kind.
    pub fn nat(&mut self, field: &str) -> Result<u64, FieldError> {
        match self.take(field)? {
            Value::Nat(n) => Ok(n),
            other => Err(kind(field, "Nat", &other)),
        }
    }

    /// Takes a text.
    ///
    /// # Errors
    /// If it is absent or of another kind.
    pub fn text(&mut self, field: &str) -> Result<String, FieldError> {
        text(field, self.take(field)?)
    }

    /// Takes a text that may be absent.
    ///
    /// # Errors
    /// If it is of another kind.
    pub fn optional_text(&mut self, field: &str) -> Result<Option<String>, FieldError> {
        self.optional(field).map(|value| text(field, value)).transpose()
    }

    /// Takes bytes.
    ///
    /// # Errors
    /// If they are absent or of another kind.
    pub fn blob(&mut self, field: &str) -> Result<Vec<u8>, FieldError> {
        match self.take(field)? {
            Value::Blob(bytes) => Ok(bytes),
            other => Err(kind(field, "Blob", &other)),
        }
    }

    /// Takes a digest of 32 bytes.
    ///
    /// # Errors
    /// If it is absent, of another kind or of another length.
    pub fn hash(&mut self, field: &str) -> Result<Hash, FieldError> {
        Hash::try_from(self.blob(field)?).map_err(|_| FieldError::rule(field, "32 bytes"))
    }

    /// Takes a list.
    ///
    /// # Errors
    /// If it is absent or of another kind.
    pub fn array(&mut self, field: &str) -> Result<Vec<Value>, FieldError> {
        match self.take(field)? {
            Value::Array(items) => Ok(items),
            other => Err(kind(field, "Array", &other)),
        }
    }

    /// Takes a map.
    ///
    /// # Errors
    /// If it is absent or of another kind.
    pub fn map(&mut self, field: &str) -> Result<Map, FieldError> {
        match self.take(field)? {
            Value::Map(map) => Ok(map),
            other => Err(kind(field, "Map", &other)),
        }
    }

    /// Takes the name of a stage (section 2).
    ///
    /// # Errors
    /// If it is absent, not text or no such name.
    pub fn stage(&mut self, field: &str) -> Result<String, FieldError> {
        let stage = self.text(field)?;
        if names::is_stage(&stage) {
            Ok(stage)
        } else {
            Err(FieldError::rule(
                field,
                "1 to 253 bytes without control characters",
            ))
        }
    }

    /// Takes the UID of a run (section 2).
    ///
    /// # Errors
    /// If it is absent, not text or no such name.
    pub fn run(&mut self, field: &str) -> Result<String, FieldError> {
        let run = self.text(field)?;
        if names::is_run(&run) {
            Ok(run)
        } else {
            Err(FieldError::rule(field, "1 to 64 ASCII letters, digits and `-`"))
        }
    }

    /// Takes the UID of a run, an environment, a promotion or a decision that may be absent.
    ///
    /// # Errors
    /// If it is not text or no UID.
    pub fn optional_run(&mut self, field: &str) -> Result<Option<String>, FieldError> {
        if self.0.contains_key(field) {
            self.run(field).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Takes a digest of 32 bytes that may be absent.
    ///
    /// # Errors
    /// If it is of another kind or of another length.
    pub fn optional_hash(&mut self, field: &str) -> Result<Option<Hash>, FieldError> {
        if self.0.contains_key(field) {
            self.hash(field).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Takes the name of a person or of a freeze window (section 11).
    ///
    /// # Errors
    /// If it is absent, not text, empty or too long.
    pub fn label(&mut self, field: &str) -> Result<String, FieldError> {
        let label = self.text(field)?;
        if names::is_label(&label) {
            Ok(label)
        } else {
            Err(FieldError::rule(field, "1 to 1,024 bytes"))
        }
    }

    /// Takes the name of a person, or empty text where nobody is named (section 11).
    ///
    /// # Errors
    /// If it is absent, not text or too long.
    pub fn label_or_empty(&mut self, field: &str) -> Result<String, FieldError> {
        let label = self.text(field)?;
        if label.is_empty() || names::is_label(&label) {
            Ok(label)
        } else {
            Err(FieldError::rule(field, "at most 1,024 bytes"))
        }
    }

    /// Takes the verb of a decision (section 11).
    ///
    /// # Errors
    /// If it is absent, not text or no such word.
    pub fn word(&mut self, field: &str) -> Result<String, FieldError> {
        let word = self.text(field)?;
        if names::is_word(&word) {
            Ok(word)
        } else {
            Err(FieldError::rule(field, "1 to 64 ASCII letters"))
        }
    }

    /// Takes a reason (section 3).
    ///
    /// # Errors
    /// If it is absent, not text, empty or too long.
    pub fn reason(&mut self, field: &str) -> Result<String, FieldError> {
        let reason = self.text(field)?;
        if names::is_reason(&reason) {
            Ok(reason)
        } else {
            Err(FieldError::rule(field, "1 to 64 bytes"))
        }
    }

    /// Ends the taking apart.
    ///
    /// # Errors
    /// If a field is left that nobody knows.
    pub fn done(self) -> Result<(), FieldError> {
        match self.0.into_keys().next() {
            Some(field) => Err(FieldError::Unknown(field)),
            None => Ok(()),
        }
    }
}

fn kind(field: &str, expected: &'static str, found: &Value) -> FieldError {
    FieldError::Kind {
        field: field.to_owned(),
        expected,
        found: found.kind(),
    }
}

fn text(field: &str, value: Value) -> Result<String, FieldError> {
    match value {
        Value::Text(text) => Ok(text),
        other => Err(kind(field, "Text", &other)),
    }
}

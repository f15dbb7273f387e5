//! The saved form of an environment's state.

use std::collections::{BTreeSet, VecDeque};

use super::{EnvMachine, EnvStateError, Request};
use crate::{
    fields::Fields,
    limits::{MAX_APPROVALS, MAX_HELD, MAX_PROMOTED},
    value::{self, Hash, Value},
};

/// Version of the saved form.
const VERSION: u64 = 1;
/// What tells the saved form from a run's, beside which it is kept.
const KIND: &str = "environment";

impl EnvMachine {
    /// The saved form, without the UID, under which it is kept.
    pub fn to_value(&self) -> Value {
        let mut saved = value::map([
            ("v", Value::Nat(VERSION)),
            ("kind", KIND.into()),
            ("approvals", Value::Nat(self.approvals)),
            ("held", list(&self.held)),
            ("promoted", list(&self.promoted)),
            ("closed", flag(self.closed)),
        ]);
        // what a state from before identities were remembered does not have
        for (field, known) in [
            ("identities", &self.identities),
            ("unidentified", &self.unidentified),
        ] {
            if !known.is_empty() {
                saved.insert(field.to_owned(), list(known));
            }
        }
        if let Some(from) = &self.from {
            saved.insert("from".to_owned(), from.as_str().into());
        }
        if let Some(current) = &self.current {
            let mut request = value::map([
                ("promotion", current.promotion.as_str().into()),
                ("release", current.release.into()),
                ("identity", current.identity.into()),
                ("started", flag(current.started)),
                ("rejected", flag(current.rejected)),
                ("approvers", list(&current.approvers)),
            ]);
            if current.returns {
                request.insert("returns".to_owned(), flag(true));
            }
            saved.insert("current".to_owned(), request.into());
        }
        Value::Map(saved)
    }

    /// Whether a saved form is one of an environment.
    pub fn is_saved(saved: &Value) -> bool {
        let kind = saved.as_map().and_then(|saved| saved.get("kind"));
        kind.and_then(Value::as_text) == Some(KIND)
    }

    /// Reads the saved form.
    ///
    /// # Errors
    /// If it is of another version, or none that is ever saved.
    pub fn restore(uid: &str, saved: Value) -> Result<Self, EnvStateError> {
        let mut fields = Fields::of("environment", saved)?;
        let version = fields.nat("v")?;
        if version != VERSION {
            return Err(EnvStateError::Version(version));
        }
        if fields.text("kind")? != KIND {
            return Err(EnvStateError::Content("kind"));
        }
        let promoted = hashes(&mut fields, "promoted", MAX_PROMOTED)?;
        let identities = optional(&mut fields, "identities")?;
        let unidentified = match optional(&mut fields, "unidentified")? {
            Some(unidentified) => unidentified,
            None if identities.is_none() => promoted.clone(),
            None => VecDeque::new(),
        };
        let machine = Self {
            uid: uid.to_owned(),
            from: fields.optional_text("from")?,
            approvals: fields.nat("approvals")?,
            held: set(&mut fields, "held", MAX_HELD)?,
            promoted,
            identities: identities.unwrap_or_default(),
            unidentified,
            closed: read_flag(&mut fields, "closed")?,
            current: fields.optional("current").map(request).transpose()?,
        };
        fields.done()?;
        Ok(machine)
    }
}

fn request(saved: Value) -> Result<Request, EnvStateError> {
    let mut fields = Fields::of("current", saved)?;
    let most = usize::try_from(MAX_APPROVALS).unwrap_or(usize::MAX);
    let request = Request {
        promotion: fields.text("promotion")?,
        release: fields.hash("release")?,
        identity: fields.hash("identity")?,
        returns: match fields.optional("returns") {
            None => false,
            // a flag that is written only when it is set has one form
            Some(Value::Nat(1)) => true,
            Some(_) => return Err(EnvStateError::Content("returns")),
        },
        started: read_flag(&mut fields, "started")?,
        rejected: read_flag(&mut fields, "rejected")?,
        approvers: set(&mut fields, "approvers", most)?,
    };
    fields.done()?;
    Ok(request)
}

fn list<'a>(hashes: impl IntoIterator<Item = &'a Hash>) -> Value {
    Value::Array(hashes.into_iter().map(|hash| (*hash).into()).collect())
}

fn flag(flag: bool) -> Value {
    Value::Nat(u64::from(flag))
}

fn read_flag(fields: &mut Fields, field: &'static str) -> Result<bool, EnvStateError> {
    match fields.nat(field)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(EnvStateError::Content(field)),
    }
}

/// A list that is written only when it is not empty: it has one form.
fn optional(fields: &mut Fields, field: &'static str) -> Result<Option<VecDeque<Hash>>, EnvStateError> {
    match fields.optional(field) {
        None => Ok(None),
        Some(Value::Array(all)) if !all.is_empty() => distinct(all, field, MAX_PROMOTED).map(Some),
        Some(_) => Err(EnvStateError::Content(field)),
    }
}

fn hashes(fields: &mut Fields, field: &'static str, most: usize) -> Result<VecDeque<Hash>, EnvStateError> {
    distinct(fields.array(field)?, field, most)
}

fn distinct(all: Vec<Value>, field: &'static str, most: usize) -> Result<VecDeque<Hash>, EnvStateError> {
    let hashes = all
        .into_iter()
        .map(|value| match value {
            Value::Blob(bytes) => Hash::try_from(bytes).map_err(|_| EnvStateError::Content(field)),
            _ => Err(EnvStateError::Content(field)),
        })
        .collect::<Result<VecDeque<Hash>, _>>()?;
    let distinct: BTreeSet<&Hash> = hashes.iter().collect();
    if hashes.len() > most || distinct.len() < hashes.len() {
        return Err(EnvStateError::Content(field));
    }
    Ok(hashes)
}

fn set(fields: &mut Fields, field: &'static str, most: usize) -> Result<BTreeSet<Hash>, EnvStateError> {
    Ok(hashes(fields, field, most)?.into_iter().collect())
}

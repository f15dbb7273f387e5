//! The trust file: what a verifier holds before it looks at any evidence (section 9 of the ledger format).
//!
//! A root key certifies every canister of its network, an impostor's too, so every check starts here. The file is read
//! strictly: a field that is not understood might be a demand that would go unchecked.

use ic_principal::Principal;
use serde::Serialize;
use serde::ser::SerializeStruct as _;
use thiserror::Error;

use crate::certificate::RootKey;
use crate::json::Json;
use crate::tree::Hash;

/// Value of `format`.
const FORMAT: &str = "dcanary-trust/1";

/// A writer that is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedDomain {
    /// Who owns the domain.
    pub owner: String,
    /// The executor domain.
    pub domain: String,
    /// The key it writes with.
    pub principal: Principal,
}

/// A trust file of format `dcanary-trust/1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustFile {
    /// Root key of the network.
    pub root_key: RootKey,
    /// Canister id of the ledger.
    pub ledger: Principal,
    /// Project that is verified; `None` = any.
    pub project: Option<String>,
    /// Accepted SHA-256 hashes of the ledger's wasm; empty = not checked.
    pub module_hashes: Vec<Hash>,
    /// The controllers that the ledger must have, no more and no fewer; `None` = not checked.
    pub controllers: Option<Vec<Principal>>,
    /// Accepted writers; `None` = any.
    pub domains: Option<Vec<TrustedDomain>>,
}

/// Why a trust file is refused: which field, and what to do about it.
#[derive(Debug, Error)]
pub enum TrustError {
    /// The file is not JSON, or a key is there twice.
    #[error("the trust file is not valid JSON: {source}; write it with `dcanary trust pin`")]
    Json {
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A field that this version does not know.
    #[error(
        "trust file field `{field}` is unknown: it may demand a check that this version cannot make; remove it or use a newer dcanary"
    )]
    Unknown {
        /// The field.
        field: String,
    },
    /// A field that must be there.
    #[error("trust file field `{field}` is missing; write the file with `dcanary trust pin`")]
    Missing {
        /// The field.
        field: String,
    },
    /// A field with a wrong value.
    #[error("trust file field `{field}` is wrong: give {fix}")]
    Wrong {
        /// The field.
        field: String,
        /// What belongs there.
        fix: &'static str,
    },
}

impl TrustError {
    /// The field that is wrong, if the file is JSON at all.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Json { .. } => None,
            Self::Unknown { field } | Self::Missing { field } | Self::Wrong { field, .. } => Some(field),
        }
    }
}

impl TrustFile {
    /// Reads a trust file.
    ///
    /// # Errors
    /// For anything but exactly the format, with the field and what to do about it.
    pub fn parse(text: &[u8]) -> Result<Self, TrustError> {
        let json: Json = serde_json::from_slice(text).map_err(|source| TrustError::Json { source })?;
        let mut file = Fields::of("", json, "a JSON object")?;
        if file.text("format", "\"dcanary-trust/1\"")? != FORMAT {
            return Err(file.wrong("format", "\"dcanary-trust/1\""));
        }
        let root_key = file.text("root_key", ROOT_KEY)?;
        let root_key = lower_hex(&root_key).and_then(|der| RootKey::from_der(&der).ok());
        let root_key = root_key.ok_or_else(|| file.wrong("root_key", ROOT_KEY))?;
        let ledger = file.text("ledger", "the text form of the ledger's canister id")?;
        let ledger = principal(&ledger)
            .ok_or_else(|| file.wrong("ledger", "the text form of the ledger's canister id"))?;
        let project = match file.take("project") {
            None => None,
            Some(Json::Text(name)) if is_name(&name) => Some(name),
            Some(_) => return Err(file.wrong("project", "a project name, or leave it out for any project")),
        };
        let module_hashes = file.list("module_hashes", HASHES, |json| match json {
            Json::Text(text) => lower_hex(&text).and_then(|hash| hash.try_into().ok()),
            _ => None,
        })?;
        let module_hashes = module_hashes.ok_or_else(|| file.missing("module_hashes"))?;
        let controllers = file.list("controllers", CONTROLLERS, |json| match json {
            Json::Text(text) => principal(&text),
            _ => None,
        })?;
        let domains = match file.take("domains") {
            None => None,
            Some(Json::Array(items)) => Some(items.into_iter().map(domain).collect::<Result<_, _>>()?),
            Some(_) => return Err(file.wrong("domains", DOMAINS)),
        };
        for reserved in ["quorum", "witnesses"] {
            file.reserved(reserved)?;
        }
        file.end()?;
        Ok(Self {
            root_key,
            ledger,
            project,
            module_hashes,
            controllers,
            domains,
        })
    }

    /// The file's text. [`TrustFile::parse`] reads it back equal.
    pub fn to_json(&self) -> String {
        // A struct of strings and lists cannot fail to serialise.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

const ROOT_KEY: &str = "the 133 bytes of the network's DER-encoded BLS key as lower-case hex";
const HASHES: &str = "a list of SHA-256 hashes as 64 lower-case hex digits";
const CONTROLLERS: &str = "a list of principals in text form, or leave it out to not check them";
const DOMAINS: &str = "a list of {\"owner\", \"domain\", \"principal\"}, or leave it out for any";
const RESERVED: &str = "{\"threshold\": 0, \"keys\": []} or leave it out: this version cannot check more";

fn domain(json: Json) -> Result<TrustedDomain, TrustError> {
    let mut fields = Fields::of("domains", json, DOMAINS)?;
    let owner = fields.text("owner", DOMAINS)?;
    let domain = fields.text("domain", DOMAINS)?;
    let key = fields.text("principal", DOMAINS)?;
    let principal = principal(&key).ok_or_else(|| fields.wrong("principal", DOMAINS))?;
    if owner.is_empty() || !is_name(&domain) {
        return Err(fields.wrong("domain", DOMAINS));
    }
    fields.end()?;
    Ok(TrustedDomain {
        owner,
        domain,
        principal,
    })
}

/// The pattern of project and domain names: `[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?`.
fn is_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// A principal in exactly its own text form.
fn principal(text: &str) -> Option<Principal> {
    Principal::from_text(text).ok().filter(|id| id.to_text() == text)
}

fn lower_hex(text: &str) -> Option<Vec<u8>> {
    let lower = !text.bytes().any(|b| b.is_ascii_uppercase());
    if lower { hex::decode(text).ok() } else { None }
}

/// An object whose fields are taken one by one, until none may be left.
struct Fields {
    at: &'static str,
    entries: Vec<(String, Json)>,
}

impl Fields {
    fn of(at: &'static str, json: Json, fix: &'static str) -> Result<Self, TrustError> {
        match json {
            Json::Object(entries) => Ok(Self { at, entries }),
            _ => Err(TrustError::Wrong {
                field: at.to_owned(),
                fix,
            }),
        }
    }

    fn name(&self, field: &str) -> String {
        if self.at.is_empty() {
            field.to_owned()
        } else {
            format!("{}.{field}", self.at)
        }
    }

    fn wrong(&self, field: &str, fix: &'static str) -> TrustError {
        TrustError::Wrong {
            field: self.name(field),
            fix,
        }
    }

    fn missing(&self, field: &str) -> TrustError {
        TrustError::Missing {
            field: self.name(field),
        }
    }

    fn take(&mut self, field: &str) -> Option<Json> {
        let index = self.entries.iter().position(|(key, _)| key == field)?;
        Some(self.entries.swap_remove(index).1)
    }

    fn text(&mut self, field: &str, fix: &'static str) -> Result<String, TrustError> {
        match self.take(field) {
            Some(Json::Text(text)) => Ok(text),
            Some(_) => Err(self.wrong(field, fix)),
            None => Err(self.missing(field)),
        }
    }

    fn list<T>(
        &mut self,
        field: &str,
        fix: &'static str,
        read: impl Fn(Json) -> Option<T>,
    ) -> Result<Option<Vec<T>>, TrustError> {
        match self.take(field) {
            None => Ok(None),
            Some(Json::Array(items)) => {
                let items: Option<Vec<T>> = items.into_iter().map(read).collect();
                items.map(Some).ok_or_else(|| self.wrong(field, fix))
            }
            Some(_) => Err(self.wrong(field, fix)),
        }
    }

    fn reserved(&mut self, field: &str) -> Result<(), TrustError> {
        let Some(json) = self.take(field) else {
            return Ok(());
        };
        let mut inner = Fields::of("", json, RESERVED).map_err(|_| self.wrong(field, RESERVED))?;
        let empty = inner.take("threshold") == Some(Json::Number(0))
            && inner.take("keys") == Some(Json::Array(vec![]));
        if empty && inner.entries.is_empty() {
            Ok(())
        } else {
            Err(self.wrong(field, RESERVED))
        }
    }

    fn end(&self) -> Result<(), TrustError> {
        match self.entries.first() {
            Some((field, _)) => Err(TrustError::Unknown {
                field: self.name(field),
            }),
            None => Ok(()),
        }
    }
}

impl Serialize for TrustFile {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let reserved = serde_json::json!({"threshold": 0, "keys": []});
        let mut file = serializer.serialize_struct("TrustFile", 9)?;
        file.serialize_field("format", FORMAT)?;
        file.serialize_field("root_key", &hex::encode(self.root_key.to_der()))?;
        file.serialize_field("ledger", &self.ledger.to_text())?;
        if let Some(project) = &self.project {
            file.serialize_field("project", project)?;
        }
        file.serialize_field(
            "module_hashes",
            &self.module_hashes.iter().map(hex::encode).collect::<Vec<_>>(),
        )?;
        if let Some(controllers) = &self.controllers {
            file.serialize_field(
                "controllers",
                &controllers.iter().map(Principal::to_text).collect::<Vec<_>>(),
            )?;
        }
        if let Some(domains) = &self.domains {
            let domains: Vec<_> = domains
                .iter()
                .map(|d| serde_json::json!({"owner": d.owner, "domain": d.domain, "principal": d.principal.to_text()}))
                .collect();
            file.serialize_field("domains", &domains)?;
        }
        file.serialize_field("quorum", &reserved)?;
        file.serialize_field("witnesses", &reserved)?;
        file.end()
    }
}

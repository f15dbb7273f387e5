//! What requests that are handed on to the API server have in common: their query, the path they become, and the answer.

use std::collections::BTreeMap;
use std::fmt::Write;

use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::problem::Refusal;
use super::who::Caller;
use crate::auth::relay::{Answer, Call};
use crate::core::Core;

/// Where our kinds are.
const ROOT: &str = "/apis/dcanary.dev/v1alpha1/namespaces";
/// Objects of a page when nothing is said.
const PAGE: u32 = 50;
/// Most objects of a page.
const MOST: u32 = 100;
/// Longest cursor.
const CURSOR: usize = 4 << 10;

/// Something is wrong with a field of the request.
pub fn bad(field: &str, problem: &str) -> Refusal {
    Refusal::new(400, "bad-request", format!("`{field}` {problem}"))
}

/// Query parameters, each known and given once.
#[derive(Debug)]
pub struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Takes those of a request.
    ///
    /// # Errors
    /// One that is not known, or given twice.
    pub fn new(given: Vec<(String, String)>, known: &[&str]) -> Result<Self, Refusal> {
        let mut parameters = BTreeMap::new();
        for (name, value) in given {
            if !known.contains(&name.as_str()) {
                let problem = format!("is no parameter of this resource: it knows {}", known.join(", "));
                return Err(bad(&name, &problem));
            }
            if parameters.insert(name.clone(), value).is_some() {
                return Err(bad(&name, "is given twice: give it once"));
            }
        }
        Ok(Self(parameters))
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The namespace.
    ///
    /// # Errors
    /// None, or one that no namespace is called.
    pub fn namespace(&self) -> Result<&str, Refusal> {
        let Some(namespace) = self.get("namespace") else {
            return Err(bad("namespace", "is missing: add ?namespace=NAME"));
        };
        named("namespace", namespace)
    }

    /// The query of a page for the API server.
    ///
    /// # Errors
    /// A limit or a cursor that there is not.
    pub fn page(&self) -> Result<String, Refusal> {
        let limit = match self.get("limit") {
            None => PAGE,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=MOST).contains(limit))
                .ok_or_else(|| bad("limit", &format!("is {text:?}: give a number from 1 to {MOST}")))?,
        };
        let mut query = format!("limit={limit}");
        if let Some(cursor) = self.get("cursor").filter(|cursor| !cursor.is_empty()) {
            let ours = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            if cursor.len() > CURSOR || !cursor.bytes().all(ours) {
                return Err(bad(
                    "cursor",
                    "is none that this server gave: take `next` of the page before, or leave it out to begin anew",
                ));
            }
            // Writing to a String cannot fail.
            _ = write!(query, "&continue={cursor}");
        }
        Ok(query)
    }
}

/// A name that an object can have, so that it never leaves its place in a path.
///
/// # Errors
/// Another one.
pub fn named<'a>(field: &str, text: &'a str) -> Result<&'a str, Refusal> {
    let edge = |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    let bytes = text.as_bytes();
    let good = edge(bytes.first().copied()) && edge(bytes.last().copied()) && text.bytes().all(inner);
    if good && text.len() <= 253 && (field != "namespace" || text.len() <= 63 && !text.contains('.')) {
        Ok(text)
    } else {
        Err(bad(
            field,
            &format!(
                "is {text:?}: names have lower case letters, digits and '-', and begin and end with a letter or digit"
            ),
        ))
    }
}

/// The path of objects of one kind.
pub fn path(namespace: &str, resource: &str) -> String {
    format!("{ROOT}/{namespace}/{resource}")
}

/// A page of a list.
#[derive(Debug, Serialize)]
pub struct Page {
    items: Vec<Value>,
    /// Cursor of the next page; none: this was the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Asks the API server for a page.
///
/// # Errors
/// What it refuses.
pub async fn page(core: &Core, caller: &Caller, path: String) -> Result<Json<Page>, Refusal> {
    let mut list = json(
        core.cluster
            .relay(&caller.token, Call { path, create: None })
            .await?,
    )?;
    let next = list["metadata"]["continue"]
        .as_str()
        .filter(|next| !next.is_empty());
    let next = next.map(ToOwned::to_owned);
    let Value::Array(items) = list["items"].take() else {
        return Err(garbled());
    };
    let items = items.into_iter().map(shown).collect();
    Ok(Json(Page { items, next }))
}

/// Asks the API server for one object, or to create one.
///
/// # Errors
/// What it refuses.
pub async fn object(core: &Core, caller: &Caller, call: Call) -> Result<Value, Refusal> {
    json(core.cluster.relay(&caller.token, call).await?).map(shown)
}

/// An object without what only programs that apply it care for.
fn shown(mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    object
}

fn garbled() -> Refusal {
    Refusal::new(
        503,
        "api-server",
        "the API server answers something else than JSON objects",
    )
}

/// Why the API server refuses: as much of its `Status` as is told.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    message: String,
    reason: String,
}

fn json(answer: Answer) -> Result<Value, Refusal> {
    if (200..300).contains(&answer.status) {
        let value: Value = serde_json::from_slice(&answer.body).map_err(|_| garbled())?;
        return if value.is_object() {
            Ok(value)
        } else {
            Err(garbled())
        };
    }
    let status: Status = serde_json::from_slice(&answer.body).unwrap_or_default();
    Err(refused(answer.status, &status))
}

/// Its refusal in our form: same status, its own words.
fn refused(code: u16, status: &Status) -> Refusal {
    let text = status.message.as_str();
    match code {
        401 => Refusal::unauthenticated(),
        410 => Refusal::new(
            410,
            "cursor-expired",
            "the list has changed since `cursor` was given: begin anew without it",
        ),
        429 => Refusal::new(503, "busy", text),
        400..=499 => Refusal::new(code, &kebab(&status.reason), text),
        _ => {
            tracing::warn!(code, text, "the API server did not do what was handed on");
            Refusal::new(
                503,
                "api-server",
                format!("the API server answers {code}: {text}"),
            )
        }
    }
}

/// `AlreadyExists` as `already-exists`.
fn kebab(reason: &str) -> String {
    let mut word = String::new();
    for letter in reason.chars().filter(char::is_ascii_alphabetic) {
        if letter.is_ascii_uppercase() && !word.is_empty() {
            word.push('-');
        }
        word.push(letter.to_ascii_lowercase());
    }
    if word.is_empty() {
        "refused".to_owned()
    } else {
        word
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_its_place_in_a_path() {
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a?b",
            "a#b",
            "a%2fb",
            "A",
            "-a",
            "a-",
            "a b",
            "é",
            &"a".repeat(254),
        ] {
            assert!(named("name", bad).is_err(), "{bad:?}");
        }
        assert!(named("namespace", "a.b").is_err());
        assert!(named("name", "web-1.2").is_ok());
    }

    #[test]
    fn a_reason_of_the_api_server_becomes_one_of_ours() {
        assert_eq!(kebab("AlreadyExists"), "already-exists");
        assert_eq!(kebab("Forbidden"), "forbidden");
        assert_eq!(kebab(""), "refused");
    }

    #[test]
    fn parameters_are_known_and_given_once() {
        let of = |given: &[(&str, &str)]| {
            let given = given.iter().map(|&(a, b)| (a.to_owned(), b.to_owned())).collect();
            Parameters::new(given, &["namespace", "limit", "cursor"])
        };
        assert!(of(&[("ns", "a")]).is_err());
        assert!(of(&[("limit", "1"), ("limit", "2")]).is_err());
        assert!(of(&[("cursor", "a&limit=5")]).unwrap().page().is_err());
        assert!(of(&[("limit", "0")]).unwrap().page().is_err());
        assert!(of(&[("limit", "101")]).unwrap().page().is_err());
        assert_eq!(of(&[]).unwrap().page().unwrap(), "limit=50");
        let next = of(&[("limit", "100"), ("cursor", "eyJ2-_")]).unwrap();
        assert_eq!(next.page().unwrap(), "limit=100&continue=eyJ2-_");
    }
}

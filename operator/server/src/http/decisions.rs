//! Decisions of people. Each is created by the API server for whoever shows the token, so the admission policies see that person and
//! not this server: nobody decides in another's name, or without the right, by way of here.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use dcanary_crds::Verb;
use serde_json::{Map, Value, json};

use super::problem::Refusal;
use super::relayed::{self, Page, Parameters, bad};
use super::{body, detached, who};
use crate::auth::relay::Call;
use crate::core::Core;

const RESOURCE: &str = "decisions";
/// Largest Decision.
const BYTES: usize = 64 << 10;
const API_VERSION: &str = "dcanary.dev/v1alpha1";
const KIND: &str = "Decision";
/// Kinds that a Decision can be about, and how the query calls them.
const ABOUT: [(&str, &str); 3] = [
    ("Promotion", "promotion"),
    ("Environment", "environment"),
    ("PipelineRun", "run"),
];
const VERBS: [Verb; 11] = [
    Verb::Approve,
    Verb::Reject,
    Verb::Abort,
    Verb::Pause,
    Verb::Resume,
    Verb::Skip,
    Verb::Undo,
    Verb::Hold,
    Verb::Unhold,
    Verb::Retry,
    Verb::Override,
];

/// `GET /v1/decisions?namespace=`, of one promotion, environment or run with its name
///
/// # Errors
/// What the caller did wrong or what is not possible now, as a problem document.
pub async fn list(
    State(core): State<Arc<Core>>,
    Query(given): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Result<Json<Page>, Refusal> {
    let caller = who::caller(&core, &headers).await?;
    let known = ["namespace", "promotion", "environment", "run", "limit", "cursor"];
    let given = Parameters::new(given, &known)?;
    let path = relayed::path(given.namespace()?, RESOURCE);
    let page = given.page()?;
    let about = about(&given)?;
    relayed::page(&core, &caller, format!("{path}?{page}{about}")).await
}

/// The selector of what the Decisions are about.
fn about(given: &Parameters) -> Result<String, Refusal> {
    let mut wanted = ABOUT
        .iter()
        .filter_map(|&(kind, parameter)| Some((kind, parameter, given.get(parameter)?)));
    let Some((kind, parameter, name)) = wanted.next() else {
        return Ok(String::new());
    };
    if let Some((_, other, _)) = wanted.next() {
        let problem = format!("and `{parameter}` are both given: ask for one of them");
        return Err(bad(other, &problem));
    }
    let name = relayed::named(parameter, name)?;
    Ok(format!(
        "&fieldSelector=spec.for.kind%3D{kind}%2Cspec.for.name%3D{name}"
    ))
}

/// `POST /v1/decisions`
///
/// # Errors
/// What the caller did wrong or what is not possible now, as a problem document.
pub async fn create(
    State(core): State<Arc<Core>>,
    Query(given): Query<Vec<(String, String)>>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let caller = who::caller(&core, &headers).await?;
    let given = Parameters::new(given, &["namespace"])?;
    let decision: Value = body::json(body, BYTES, core.limits.body_timeout).await?;
    let (namespace, decision) = complete(decision, given.get("namespace"), &caller.name)?;
    let create =
        serde_json::to_vec(&decision).map_err(|error| Refusal::new(400, "bad-json", error.to_string()))?;
    let path = relayed::path(&namespace, RESOURCE);
    let call = Call {
        // A field that the API server does not know is refused by its name instead of being dropped.
        path: format!("{path}?fieldValidation=Strict&fieldManager=dcanary-api"),
        create: Some(create),
    };
    // Whoever goes away meanwhile has decided all the same.
    let created = detached(async move { relayed::object(&core, &caller, call).await }).await?;
    Ok((StatusCode::CREATED, Json(created)))
}

/// The Decision as the API server gets it, and its namespace. What is missing and certain is filled in; whether it is allowed is not asked here.
fn complete(decision: Value, namespace: Option<&str>, caller: &str) -> Result<(String, Value), Refusal> {
    let Value::Object(mut decision) = decision else {
        return Err(bad("body", "is no object: send {\"metadata\": …, \"spec\": …}"));
    };
    for key in decision.keys() {
        if !["apiVersion", "kind", "metadata", "spec"].contains(&key.as_str()) {
            return Err(bad(
                key,
                "is no field of a Decision: it has `metadata` and `spec`",
            ));
        }
    }
    for (field, value) in [("apiVersion", API_VERSION), ("kind", KIND)] {
        let given = decision.entry(field).or_insert_with(|| json!(value));
        if given.as_str() != Some(value) {
            return Err(bad(field, &format!("is {given}: leave it out or say {value:?}")));
        }
    }
    let about = spec(section(&mut decision, "spec")?, caller)?;
    let metadata = section(&mut decision, "metadata")?;
    if !metadata.contains_key("name") && !metadata.contains_key("generateName") {
        metadata.insert("generateName".to_owned(), json!(about));
    }
    let written = match metadata.get("namespace") {
        None => None,
        Some(Value::String(written)) => Some(written.as_str()),
        Some(_) => {
            return Err(bad(
                "metadata.namespace",
                "is no text: give the name of the namespace",
            ));
        }
    };
    let namespace = match (namespace, written) {
        (None, None) => {
            return Err(bad(
                "namespace",
                "is missing: add ?namespace=NAME or metadata.namespace",
            ));
        }
        (Some(asked), Some(written)) if asked != written => {
            return Err(bad(
                "metadata.namespace",
                "is another one than in ?namespace=: give one of them",
            ));
        }
        (Some(namespace), _) | (None, Some(namespace)) => relayed::named("namespace", namespace)?.to_owned(),
    };
    metadata.insert("namespace".to_owned(), json!(namespace));
    Ok((namespace, Value::Object(decision)))
}

fn section<'a>(
    object: &'a mut Map<String, Value>,
    field: &str,
) -> Result<&'a mut Map<String, Value>, Refusal> {
    let section = object.entry(field).or_insert_with(|| json!({}));
    section
        .as_object_mut()
        .ok_or_else(|| bad(field, "is no object: see `kubectl explain decision`"))
}

fn text<'a>(object: &'a Map<String, Value>, key: &str, field: &str, fix: &str) -> Result<&'a str, Refusal> {
    match object.get(key) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        None => Err(bad(field, &format!("is missing: {fix}"))),
        Some(other) => Err(bad(field, &format!("is {other}: {fix}"))),
    }
}

/// Checks what would be a riddle in the API server's words, and writes in who decides. Gives the beginning of a name.
fn spec(spec: &mut Map<String, Value>, caller: &str) -> Result<String, Refusal> {
    let verbs = VERBS.map(Verb::word);
    let verb = text(
        spec,
        "verb",
        "spec.verb",
        &format!("say one of {}", verbs.join(", ")),
    )?;
    if !verbs.contains(&verb) {
        let problem = format!("is {verb:?}: say one of {}", verbs.join(", "));
        return Err(bad("spec.verb", &problem));
    }
    let verb = verb.to_owned();
    let target =
        section(spec, "for").map_err(|_| bad("spec.for", "is no object: give kind, name and uid"))?;
    let kinds = ABOUT.map(|(kind, _)| kind);
    let fix = format!("say one of {}", kinds.join(", "));
    let kind = text(target, "kind", "spec.for.kind", &fix)?;
    if !kinds.contains(&kind) {
        return Err(bad("spec.for.kind", &format!("is {kind:?}: {fix}")));
    }
    let fix = format!(
        "give metadata.uid of the {kind} that you looked at, for a Decision counts only for exactly that one"
    );
    text(target, "uid", "spec.for.uid", &fix)?;
    let fix = format!("give the name of the {kind}");
    let name = text(target, "name", "spec.for.name", &fix)?;
    let begins = format!("{}-{verb}-", relayed::named("spec.for.name", name)?);
    let by = section(spec, "by").map_err(|_| bad("spec.by", "is no object: leave it out, it is you"))?;
    by.entry("username").or_insert_with(|| json!(caller));
    Ok(begins)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn decision() -> Value {
        json!({"spec": {"for": {"kind": "Promotion", "name": "web-1", "uid": "u"}, "verb": "approve"}})
    }

    #[test]
    fn every_verb_of_the_kind_can_be_decided() {
        for verb in VERBS {
            let word = serde_json::to_value(verb).unwrap();
            assert_eq!(word, verb.word());
            let mut given = decision();
            given["spec"]["verb"] = word;
            assert!(complete(given, Some("shop"), "alice").is_ok(), "{verb:?}");
        }
    }

    #[test]
    fn what_is_missing_and_certain_is_filled_in_and_what_is_given_stays() {
        let (namespace, made) = complete(decision(), Some("shop"), "alice").unwrap();
        assert_eq!(namespace, "shop");
        assert_eq!(made["kind"], "Decision");
        assert_eq!(made["spec"]["by"], json!({"username": "alice"}));
        assert_eq!(
            made["metadata"],
            json!({"namespace": "shop", "generateName": "web-1-approve-"})
        );
        let mut given = made.clone();
        given["metadata"]["name"] = json!("mine");
        given["spec"]["by"] = json!({"username": "bob", "groups": ["a"]});
        let (_, again) = complete(given.clone(), None, "alice").unwrap();
        assert_eq!(again, given, "who may say so is the API server's to judge");
    }
}

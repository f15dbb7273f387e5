//! As much of the API server as people reach through this server: who may what is told by their token (see [`TestCluster`]).
//!
//! [`TestCluster`]: crate::support::TestCluster

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use dcanary_server::auth::relay::Relay;
use serde_json::{Value, json};

/// A request as it arrived.
#[derive(Clone)]
pub struct Asked {
    pub method: Method,
    pub uri: String,
    pub headers: HeaderMap,
}

#[derive(Default)]
pub struct People {
    pub environments: Mutex<Vec<Value>>,
    pub decisions: Mutex<Vec<Value>>,
    pub asked: Mutex<Vec<Asked>>,
    /// Answered instead, once.
    pub instead: Mutex<Option<(u16, String)>>,
}

type Shared = State<Arc<People>>;

fn status(code: u16, reason: &str, message: &str) -> Response {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
        "message": message});
    (StatusCode::from_u16(code).unwrap(), Json(body)).into_response()
}

impl People {
    fn note(&self, method: Method, uri: &Uri, headers: &HeaderMap) {
        self.asked.lock().unwrap().push(Asked {
            method,
            uri: uri.to_string(),
            headers: headers.clone(),
        });
    }

    fn instead(&self) -> Option<Response> {
        let (code, body) = self.instead.lock().unwrap().take()?;
        Some((StatusCode::from_u16(code).unwrap(), body).into_response())
    }
}

/// `reader/NAME/NAMESPACE[/VERB]`
fn user(headers: &HeaderMap) -> Option<(String, String, Option<String>)> {
    let token = headers["authorization"].to_str().ok()?.strip_prefix("Bearer ")?;
    let mut parts = token.split('/').skip(2);
    let namespace = parts.next()?.to_owned();
    Some((token.to_owned(), namespace, parts.next().map(ToOwned::to_owned)))
}

fn page(all: Vec<Value>, query: &HashMap<String, String>) -> Response {
    let from = query.get("continue").map_or(0, |at| at.parse().unwrap());
    let limit: usize = query["limit"].parse().unwrap();
    let left = all.len().saturating_sub(from + limit);
    let items: Vec<Value> = all.into_iter().skip(from).take(limit).collect();
    let next = if left > 0 {
        (from + limit).to_string()
    } else {
        String::new()
    };
    Json(json!({"kind": "List", "metadata": {"continue": next}, "items": items})).into_response()
}

async fn list(
    State(people): Shared,
    Path((namespace, resource)): Path<(String, String)>,
    Query(query): Query<HashMap<String, String>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    people.note(Method::GET, &uri, &headers);
    if let Some(instead) = people.instead() {
        return instead;
    }
    match user(&headers) {
        None => return status(401, "Unauthorized", "Unauthorized"),
        Some((_, own, _)) if own != namespace => {
            return status(
                403,
                "Forbidden",
                &format!("User cannot list {resource} in {namespace}"),
            );
        }
        Some(_) => {}
    }
    let all = match resource.as_str() {
        "environments" => people.environments.lock().unwrap().clone(),
        _ => people.decisions.lock().unwrap().clone(),
    };
    let wanted = query.get("fieldSelector").cloned().unwrap_or_default();
    let fits = |object: &Value| {
        wanted.split(',').filter(|one| !one.is_empty()).all(|one| {
            let (path, value) = one.split_once('=').unwrap();
            object.pointer(&format!("/{}", path.replace('.', "/"))) == Some(&json!(value))
        })
    };
    page(all.into_iter().filter(fits).collect(), &query)
}

async fn one(
    State(people): Shared,
    Path((_, _, name)): Path<(String, String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    people.note(Method::GET, &uri, &headers);
    let all = people.environments.lock().unwrap();
    match all
        .iter()
        .find(|object| object["metadata"]["name"] == name.as_str())
    {
        Some(object) => Json(object.clone()).into_response(),
        None => status(404, "NotFound", &format!("environments {name:?} not found")),
    }
}

/// Creates, as the admission policies allow.
async fn create(
    State(people): Shared,
    Path((namespace, _)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    Json(mut decision): Json<Value>,
) -> Response {
    people.note(Method::POST, &uri, &headers);
    if let Some(instead) = people.instead() {
        return instead;
    }
    let Some((name, own, only)) = user(&headers) else {
        return status(401, "Unauthorized", "Unauthorized");
    };
    let spec = &decision["spec"];
    if own != namespace || only.is_some_and(|only| spec["verb"] != only.as_str()) {
        return status(403, "Forbidden", &format!("{name} may not {}", spec["verb"]));
    }
    if spec["by"]["username"] != name.as_str() {
        return status(
            403,
            "Forbidden",
            "spec.by.username is another: people decide for themselves only",
        );
    }
    if spec["verb"] == "reject" && spec["reason"].is_null() {
        return status(
            422,
            "Invalid",
            "spec: Invalid value: give a reason: it is recorded",
        );
    }
    decision["metadata"]["uid"] = json!("made");
    decision["metadata"]["managedFields"] = json!([{}]);
    people.decisions.lock().unwrap().push(decision.clone());
    (StatusCode::CREATED, Json(decision)).into_response()
}

/// Serves it, and gives the way there.
pub async fn serve(people: Arc<People>) -> Relay {
    let router = Router::new()
        .route(
            "/apis/dcanary.dev/v1alpha1/namespaces/{namespace}/{resource}",
            get(list).post(create),
        )
        .route(
            "/apis/dcanary.dev/v1alpha1/namespaces/{namespace}/{resource}/{name}",
            get(one),
        )
        .with_state(people);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut config = kube::Config::new(format!("http://{address}").parse().unwrap());
    // what a server in its Pod has, and must never lend
    config.auth_info.token = Some("the-servers-own".to_owned().into());
    config.auth_info.impersonate = Some("admin".to_owned());
    config.proxy_url = None;
    Relay::new(config).unwrap()
}

//! A value in a JSON document: `GET`, and a JSONPath (RFC 9535) into it.

use dcanary_rollout::{analysis::json_path_shape, seen::Answer};
use jsonpath_rust::JsonPath as _;
use reqwest::{Client, header};
use serde_json::Value;

use super::{host, parse, refused, send};

/// Asks for a document and takes the value out of it.
pub(super) async fn ask(
    http: &Client,
    url: &str,
    json_path: Option<&str>,
    token: Option<&str>,
) -> Result<Answer, String> {
    let url = parse(url)?;
    let request = http.get(url.clone()).header(header::ACCEPT, "application/json");
    let said = send(request, &url, token).await?;
    if !said.status.is_success() {
        return Err(refused(said.status, &url));
    }
    let (path, from) = (json_path.map(str::to_owned), host(&url));
    // reading and searching a document of this size takes its time
    tokio::task::spawn_blocking(move || {
        let document: Value = serde_json::from_slice(&said.body)
            .map_err(|problem| format!("the answer of {from} is no JSON: {problem}"))?;
        value(document, path.as_deref())
    })
    .await
    .map_err(|_| "the answer could not be read".to_owned())?
}

/// The value at a path. Nothing there, or `null`: no data. Several: a list.
fn value(document: Value, json_path: Option<&str>) -> Result<Answer, String> {
    let found = match json_path {
        None => document,
        Some(path) => {
            json_path_shape(path).map_err(|problem| format!("jsonPath: {problem}"))?;
            let nodes = document.query(path);
            // its own message draws the path over several lines
            let nodes = nodes.map_err(|_| format!("jsonPath: `{path}` is no JSONPath of RFC 9535"))?;
            match nodes.as_slice() {
                [] => Value::Null,
                [one] => (*one).clone(),
                several => several.iter().map(|node| (*node).clone()).collect(),
            }
        }
    };
    Ok(if found.is_null() {
        Answer::NoData
    } else {
        Answer::Value(found)
    })
}

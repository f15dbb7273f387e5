//! A registry that has every layer, notes what it is asked, and holds a kind of request until it is told to go on. What is
//! in a layer it knows of the bases that it was given.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use tokio::sync::{Notify, Semaphore};

use crate::layouts::Image;

struct Script {
    /// Held: requests with this method and this part in their path.
    hold: (Method, &'static str),
    arrived: Notify,
    go_on: Semaphore,
    seen: Mutex<Vec<String>>,
    stored: Mutex<BTreeMap<String, Vec<u8>>>,
}

pub struct ScriptedRegistry {
    /// `127.0.0.1:PORT`
    pub host: String,
    script: Arc<Script>,
}

async fn answer(State(script): State<Arc<Script>>, request: Request) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    if method == script.hold.0 && path.contains(script.hold.1) {
        script.arrived.notify_one();
        script.go_on.acquire().await.unwrap().forget();
    }
    script.seen.lock().unwrap().push(format!("{method} {path}"));
    let status = if method == Method::PUT {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let stored = script.stored.lock().unwrap().get(&path).cloned();
    let body = stored.filter(|_| method == Method::GET);
    Response::builder()
        .status(status)
        .header(header::LOCATION, path)
        .body(body.map_or_else(Body::empty, Body::from))
        .unwrap()
}

impl ScriptedRegistry {
    pub async fn holding(method: Method, part: &'static str) -> Self {
        let script = Arc::new(Script {
            hold: (method, part),
            arrived: Notify::new(),
            go_on: Semaphore::new(0),
            seen: Mutex::default(),
            stored: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&script));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { host, script }
    }

    /// Nothing is held.
    pub async fn start() -> Self {
        Self::holding(Method::TRACE, "").await
    }

    /// Has an image as a base; its reference.
    pub fn base(&self, tag: &str, image: &Image) -> String {
        let mut stored = self.script.stored.lock().unwrap();
        for (path, content) in &image.files {
            if let Some(hex) = path.strip_prefix("blobs/sha256/") {
                stored.insert(format!("/v2/base/os/blobs/sha256:{hex}"), content.clone());
                if hex == image.manifest.hex() {
                    stored.insert(format!("/v2/base/os/manifests/{tag}"), content.clone());
                }
            }
        }
        format!("{}/base/os:{tag}", self.host)
    }

    /// Until a request is held.
    pub async fn arrived(&self) {
        self.script.arrived.notified().await;
    }

    /// Lets one go on.
    pub fn go_on(&self) {
        self.script.go_on.add_permits(1);
    }

    /// Answered requests of a method.
    pub fn seen(&self, method: &Method) -> Vec<String> {
        let seen = self.script.seen.lock().unwrap();
        let of_it = |line: &&String| line.starts_with(&format!("{method} "));
        seen.iter().filter(of_it).cloned().collect()
    }

    pub fn untouched(&self) -> bool {
        self.script.seen.lock().unwrap().is_empty()
    }
}

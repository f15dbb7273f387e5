//! A runner's, an operator's and a reader's side of the contract.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dcanary_protocol::AUDIENCE;
use dcanary_protocol::report::Reports;
use dcanary_server::digest::Digest;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

/// A JWT with such a payload, signed by nobody.
pub fn jwt(payload: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2lnbmVk", part(&json!({"alg": "RS256"})), part(payload))
}

/// The header of a token. One for this server is a JWT, as those of a cluster are; its subject is what [`super::TestCluster`] knows.
pub fn bearer(token: &str) -> String {
    let kind = token.split('/').next().unwrap_or_default();
    if ["pod", "operator", "other"].contains(&kind) {
        format!("Bearer {}", jwt(&json!({"aud": [AUDIENCE], "sub": token})))
    } else {
        format!("Bearer {token}")
    }
}

#[derive(Clone)]
pub struct Http {
    pub client: reqwest::Client,
    pub base: String,
}

impl Http {
    pub fn request(&self, method: Method, path: &str, authorization: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        if authorization.is_empty() {
            request
        } else {
            request.header("authorization", authorization)
        }
    }

    pub async fn get(&self, path: &str, token: &str) -> Response {
        self.request(Method::GET, path, &bearer(token))
            .send()
            .await
            .unwrap()
    }

    pub async fn post(&self, path: &str, token: &str, body: &Value) -> Response {
        self.request(Method::POST, path, &bearer(token))
            .json(body)
            .send()
            .await
            .unwrap()
    }

    pub async fn reports(&self, after: u64) -> Reports {
        let answer = self.get(&format!("/v1/reports?after={after}"), "operator").await;
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json().await.unwrap()
    }
}

/// A runner's side of the contract.
#[derive(Clone)]
pub struct Runner {
    pub http: Http,
    pub attempt: String,
    pub token: String,
    pub key: String,
}

impl Runner {
    pub fn new(http: Http, namespace: &str, uid: &str) -> Self {
        let key = Digest::of(uid.as_bytes()).hex();
        let token = format!("pod/{namespace}/pod-{uid}/{uid}");
        Self {
            http,
            attempt: uid.to_owned(),
            token,
            key,
        }
    }

    pub async fn trade(&self) -> Response {
        self.trade_with(&self.key).await
    }

    pub async fn trade_with(&self, key: &str) -> Response {
        let hash = Digest::of(&hex::decode(key).unwrap()).hex();
        self.http
            .post("/v1/session", &self.token, &json!({"protocol": 1, "key": hash}))
            .await
    }

    pub fn session(&self) -> String {
        format!("DCanary {}:{}", self.attempt, self.key)
    }

    pub fn request(&self, method: Method, rest: &str) -> RequestBuilder {
        let path = format!("/v1/attempts/{}/{rest}", self.attempt);
        self.http.request(method, &path, &self.session())
    }

    pub async fn frames(&self, first: u64, frames: Vec<Value>) -> Response {
        let body = json!({"first": first, "frames": frames});
        self.request(Method::POST, "frames")
            .json(&body)
            .send()
            .await
            .unwrap()
    }

    pub async fn lines(&self, first: u64, count: u64) -> u64 {
        let answer = self
            .frames(first, (first..first + count).map(line).collect())
            .await;
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json::<Value>().await.unwrap()["acked"].as_u64().unwrap()
    }

    pub async fn finish(&self, report: &Value) -> Response {
        self.request(Method::POST, "final")
            .json(report)
            .send()
            .await
            .unwrap()
    }

    pub async fn put(&self, name: &str, offset: u64, bytes: Vec<u8>) -> Response {
        self.request(Method::PUT, &format!("uploads/{name}?offset={offset}"))
            .body(bytes)
            .send()
            .await
            .unwrap()
    }

    pub async fn offset(&self, name: &str) -> u64 {
        let answer = self
            .request(Method::HEAD, &format!("uploads/{name}"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.headers()["upload-offset"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap()
    }

    pub async fn complete(&self, name: &str, body: &Value) -> Response {
        let path = format!("uploads/{name}/complete");
        self.request(Method::POST, &path).json(body).send().await.unwrap()
    }

    /// Stores a file and returns its digest.
    pub async fn store(&self, name: &str, content: &[u8]) -> String {
        assert_eq!(self.put(name, 0, content.to_vec()).await.status(), StatusCode::OK);
        let answer = self.complete(name, &completion(content)).await;
        assert_eq!(answer.status(), StatusCode::OK);
        Digest::of(content).to_string()
    }
}

pub fn completion(content: &[u8]) -> Value {
    json!({"kind": "file", "size": content.len(), "digest": Digest::of(content).to_string(),
        "mediaType": "text/plain", "fileName": "out.txt"})
}

pub fn line(n: u64) -> Value {
    json!({"kind": "log", "step": 0, "stream": "stdout", "time": "2026-01-01T00:00:00.000000000Z",
        "line": format!("line {n}")})
}

pub fn report(frames: u64) -> Value {
    json!({"outcome": "succeeded", "reason": "Succeeded", "message": "", "frames": frames, "steps": []})
}

/// Status and reason of a refusal.
pub async fn refused(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: dcanary_protocol::session::Problem = answer.json().await.unwrap();
    assert_eq!(problem.status, status);
    (status, problem.reason().to_owned())
}

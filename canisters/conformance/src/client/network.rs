//! The network that is tried, and plain HTTP with it.

use super::key::Key;
use super::request::entry;
use super::user::User;
use crate::case::Failure;
use base64::Engine as _;
use candid::Principal;
use ciborium::Value;
use std::sync::{Arc, Once};
use std::time::Duration;

/// How long one HTTP request may take. A node waits ten seconds with an answer that takes longer.
const REQUEST: Duration = Duration::from_secs(40);

/// A network.
#[derive(Debug, Clone)]
pub struct Network(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    url: String,
    http: reqwest::Client,
    root_key: Vec<u8>,
    anywhere: Principal,
}

/// An HTTP answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The body as CBOR, which a 200 has.
    pub fn cbor(&self) -> Result<Value, Failure> {
        if self.status != 200 {
            return Err(Failure::new(format!(
                "expected HTTP 200, seen {}: {}",
                self.status,
                self.text()
            )));
        }
        let value: Value = ciborium::from_reader(self.body.as_slice())?;
        Ok(match value {
            Value::Tag(55_799, inner) => *inner,
            other => other,
        })
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(200).collect()
    }

    /// Fails the case unless the network called the request wrong.
    pub fn refused(&self) -> Result<&Self, Failure> {
        if (400..500).contains(&self.status) && self.status != 404 && self.status != 429 {
            return Ok(self);
        }
        Err(Failure::new(format!(
            "expected that the request is refused (HTTP 4xx), seen {}: {}",
            self.status,
            self.text()
        )))
    }

    /// Fails the case unless the network took the request.
    pub fn accepted(&self) -> Result<&Self, Failure> {
        if self.status == 200 || self.status == 202 {
            return Ok(self);
        }
        Err(Failure::new(format!(
            "expected that the request is accepted, seen HTTP {}: {}",
            self.status,
            self.text()
        )))
    }
}

impl Network {
    /// Finds out what must be known of a network.
    ///
    /// # Errors
    /// When nothing answers at the URL as an IC network does.
    pub async fn connect(url: &str) -> Result<Self, Failure> {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let http = reqwest::Client::builder().timeout(REQUEST).build()?;
        let mut inner = Inner {
            url: url.trim_end_matches('/').to_owned(),
            http,
            root_key: Vec::new(),
            // The first of the ids that local networks give out, and in the range of those with one subnet.
            anywhere: Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 1, 1, 1]),
        };
        let status = Self::get_from(&inner, "/api/v2/status").await?.cbor()?;
        inner.root_key = entry(&status, "root_key")
            .and_then(Value::as_bytes)
            .cloned()
            .ok_or_else(|| Failure::new("the status shows no root key"))?;
        // PocketIC says where canisters can be created, because it has several subnets.
        if let Ok(topology) = Self::get_from(&inner, "/_/topology").await
            && let Ok(json) = serde_json::from_slice::<serde_json::Value>(&topology.body)
            && let Some(id) = json
                .pointer("/default_effective_canister_id/canister_id")
                .and_then(serde_json::Value::as_str)
            && let Some(id) = from_base64(id)
        {
            inner.anywhere = id;
        }
        Ok(Self(Arc::new(inner)))
    }

    async fn get_from(inner: &Inner, path: &str) -> Result<Response, Failure> {
        let response = inner.http.get(format!("{}{path}", inner.url)).send().await?;
        Ok(Response {
            status: response.status().as_u16(),
            body: response.bytes().await?.to_vec(),
        })
    }

    /// A GET.
    pub(crate) async fn get(&self, path: &str) -> Result<Response, Failure> {
        Self::get_from(&self.0, path).await
    }

    /// A POST of CBOR.
    pub(crate) async fn post(&self, path: &str, body: Vec<u8>) -> Result<Response, Failure> {
        let response = self
            .0
            .http
            .post(format!("{}{path}", self.0.url))
            .header("content-type", "application/cbor")
            .body(body)
            .send()
            .await?;
        Ok(Response {
            status: response.status().as_u16(),
            body: response.bytes().await?.to_vec(),
        })
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// Its root of trust, DER.
    pub fn root_key(&self) -> &[u8] {
        &self.0.root_key
    }

    /// An id through which canisters can be created.
    pub fn anywhere(&self) -> Principal {
        self.0.anywhere
    }

    /// A new user.
    pub fn user(&self) -> User {
        User::new(self.clone(), Key::ed25519())
    }

    /// A user with this key.
    pub fn user_with(&self, key: Key) -> User {
        User::new(self.clone(), key)
    }

    /// The user without a key.
    pub fn anonymous(&self) -> User {
        User::new(self.clone(), Key::Anonymous)
    }
}

/// A principal in base64.
fn from_base64(text: &str) -> Option<Principal> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    Principal::try_from_slice(&bytes).ok()
}

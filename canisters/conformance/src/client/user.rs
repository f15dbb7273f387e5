//! A user: sends calls, queries and reads, and finds out what became of them.

use super::answer::{Answer, Reject};
use super::certificate::{Certificate, Found};
use super::key::Key;
use super::network::{Network, Response};
use super::request::{Request, Signed, entry};
use crate::case::Failure;
use candid::Principal;
use ciborium::Value;
use std::time::Duration;

/// Longest rest between two looks at a request that is under way.
const PATIENCE: Duration = Duration::from_millis(200);

/// A user of a network.
#[derive(Debug, Clone)]
pub struct User {
    /// The network.
    pub net: Network,
    /// The user's key.
    pub key: Key,
}

/// A path of the state tree from its labels.
pub fn path(labels: &[&[u8]]) -> Vec<Vec<u8>> {
    labels.iter().map(|label| label.to_vec()).collect()
}

impl User {
    /// A user.
    pub fn new(net: Network, key: Key) -> Self {
        Self { net, key }
    }

    /// Who it is.
    pub fn id(&self) -> Principal {
        self.key.principal()
    }

    /// Calls an update method and waits.
    pub async fn update(&self, canister: Principal, method: &str, arg: &[u8]) -> Result<Answer, Failure> {
        self.call(canister, canister, method, arg).await
    }

    /// Calls a method through an effective canister id and waits.
    pub async fn call(
        &self,
        effective: Principal,
        canister: Principal,
        method: &str,
        arg: &[u8],
    ) -> Result<Answer, Failure> {
        let signed = Request::call(canister, method, arg).sign(&self.key);
        self.send(effective, &signed).await
    }

    /// Sends a signed call and waits for its answer.
    pub async fn send(&self, effective: Principal, signed: &Signed) -> Result<Answer, Failure> {
        let response = self.post_call("v4", effective, signed).await?;
        match response.status {
            202 => self.wait(effective, &signed.id).await,
            _ => answer(&response, &signed.id),
        }
    }

    /// Sends a call and does not wait, so that it can be followed with [`User::wait`].
    pub async fn start(&self, canister: Principal, method: &str, arg: &[u8]) -> Result<Signed, Failure> {
        let signed = Request::call(canister, method, arg).sign(&self.key);
        let response = self.post_call("v2", canister, &signed).await?;
        match response.status {
            202 => Ok(signed),
            _ => Err(Failure::new(format!(
                "expected that the call of {method} is accepted, seen HTTP {}: {}",
                response.status,
                response.text()
            ))),
        }
    }

    /// Posts a call to a version of the endpoint.
    pub async fn post_call(
        &self,
        version: &str,
        effective: Principal,
        signed: &Signed,
    ) -> Result<Response, Failure> {
        let path = format!("/api/{version}/canister/{effective}/call");
        self.net.post(&path, signed.body()).await
    }

    /// Polls a request until it has an answer.
    pub async fn wait(&self, effective: Principal, id: &[u8; 32]) -> Result<Answer, Failure> {
        let mut rest = Duration::from_millis(5);
        loop {
            let certificate = self.read(effective, &[path(&[b"request_status", id])]).await?;
            if let Some(answer) = outcome(&certificate, id)? {
                return Ok(answer);
            }
            tokio::time::sleep(rest).await;
            rest = (rest * 2).min(PATIENCE);
        }
    }

    /// Whether a request has no answer yet although it was accepted.
    pub async fn is_pending(&self, effective: Principal, id: &[u8; 32]) -> Result<bool, Failure> {
        let certificate = self.read(effective, &[path(&[b"request_status", id])]).await?;
        Ok(outcome(&certificate, id)?.is_none())
    }

    /// Queries a method.
    pub async fn query(&self, canister: Principal, method: &str, arg: &[u8]) -> Result<Answer, Failure> {
        self.query_at(canister, canister, method, arg).await
    }

    /// Queries a method through an effective canister id.
    pub async fn query_at(
        &self,
        effective: Principal,
        canister: Principal,
        method: &str,
        arg: &[u8],
    ) -> Result<Answer, Failure> {
        let signed = Request::query(canister, method, arg).sign(&self.key);
        let response = self.post_query(effective, &signed).await?;
        query_answer(&response.cbor()?)
    }

    /// Posts a query.
    pub async fn post_query(&self, effective: Principal, signed: &Signed) -> Result<Response, Failure> {
        let path = format!("/api/v3/canister/{effective}/query");
        self.net.post(&path, signed.body()).await
    }

    /// Reads paths of the state tree through a canister.
    pub async fn read(&self, effective: Principal, paths: &[Vec<Vec<u8>>]) -> Result<Certificate, Failure> {
        certificate_of(&self.post_read(effective, paths).await?)
    }

    /// Posts a read of the state tree.
    pub async fn post_read(&self, effective: Principal, paths: &[Vec<Vec<u8>>]) -> Result<Response, Failure> {
        let signed = Request::read_state(paths).sign(&self.key);
        let path = format!("/api/v3/canister/{effective}/read_state");
        self.net.post(&path, signed.body()).await
    }

    /// What the state tree has about a canister.
    pub async fn shown(&self, canister: Principal, labels: &[&[u8]]) -> Result<Found, Failure> {
        let full = [&[b"canister".as_slice(), canister.as_slice()], labels].concat();
        let certificate = self.read(canister, &[path(&full)]).await?;
        Ok(certificate.lookup(&full))
    }
}

/// The certificate in an answer to a read or a call.
pub fn certificate_of(response: &Response) -> Result<Certificate, Failure> {
    let value = response.cbor()?;
    let bytes = entry(&value, "certificate")
        .and_then(Value::as_bytes)
        .ok_or_else(|| Failure::new(format!("expected a certificate, seen {value:?}")))?;
    Certificate::decode(bytes)
}

/// What a synchronous call was answered.
pub fn answer(response: &Response, id: &[u8; 32]) -> Result<Answer, Failure> {
    let value = response.cbor()?;
    if entry(&value, "certificate").is_some() {
        let certificate = certificate_of(response)?;
        return outcome(&certificate, id)?
            .ok_or_else(|| Failure::new("the certificate of a finished call shows no final status"));
    }
    Ok(Answer::Reject(rejection(&value)?))
}

fn rejection(value: &Value) -> Result<Reject, Failure> {
    let code = entry(value, "reject_code")
        .and_then(Value::as_integer)
        .and_then(|code| u64::try_from(code).ok());
    let message = entry(value, "reject_message").and_then(Value::as_text);
    match (code, message) {
        (Some(code), Some(message)) => Ok(Reject {
            code,
            message: message.to_owned(),
            certified: false,
        }),
        _ => Err(Failure::new(format!("expected a rejection, seen {value:?}"))),
    }
}

/// What a query was answered.
pub fn query_answer(value: &Value) -> Result<Answer, Failure> {
    let reply = entry(value, "reply")
        .and_then(|reply| entry(reply, "arg"))
        .and_then(Value::as_bytes);
    match reply {
        Some(reply) => Ok(Answer::Reply(reply.clone())),
        None => Ok(Answer::Reject(rejection(value)?)),
    }
}

/// The answer that a certificate shows, when there is one.
pub fn outcome(certificate: &Certificate, id: &[u8; 32]) -> Result<Option<Answer>, Failure> {
    let at = |field: &str| certificate.lookup(&[b"request_status", id, field.as_bytes()]);
    let Found::Value(status) = at("status") else {
        return Ok(None);
    };
    match (status.as_slice(), at("reply"), at("reject_message")) {
        (b"replied", Found::Value(reply), _) => Ok(Some(Answer::Reply(reply))),
        (b"rejected", _, Found::Value(message)) => Ok(Some(Answer::Reject(Reject {
            code: certificate.number(&[b"request_status", id, b"reject_code"])?,
            message: String::from_utf8(message)?,
            certified: true,
        }))),
        (b"received" | b"processing", _, _) => Ok(None),
        (other, _, _) => Err(Failure::new(format!(
            "a request has the status `{}` without what belongs to it",
            String::from_utf8_lossy(other)
        ))),
    }
}

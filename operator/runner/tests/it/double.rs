//! A server that follows the protocol and misbehaves on demand.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use dcanary_protocol::frame::{Frame, FramesRequest, Stream};
use dcanary_protocol::report::{ArtifactKind, FinalReport, ResultReport, UploadComplete};
use dcanary_protocol::session::SessionRequest;
use serde_json::json;
use sha2::{Digest, Sha256};

pub const TOKEN: &str = "token-of-this-pod";
pub const ATTEMPT: &str = "0f9c7a1e-1111-4222-8333-444455556666";

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// The connection breaks before the request is seen.
    Away,
    /// The request is carried out, its answer is lost.
    LoseAnswer,
    /// `503`.
    Full,
    /// The request is carried out, then the server dies and has only what was synced.
    Crash,
    /// An answer of this status, with a reason of the protocol.
    Refuse(u16, &'static str),
}

/// Decides about a request by its kind and how many of the kind came before.
type Decide = dyn Fn(&str, usize) -> Fault + Send + Sync;

#[derive(Default)]
pub struct Upload {
    pub bytes: Vec<u8>,
    synced: usize,
    pub complete: Option<UploadComplete>,
}

#[derive(Default)]
pub struct Seen {
    pub key: Option<String>,
    pub second_trade: bool,
    pub frames: Vec<Frame>,
    pub uploads: BTreeMap<String, Upload>,
    pub blobs: HashMap<String, Vec<u8>>,
    pub report: Option<FinalReport>,
    pub largest_request: usize,
    pub counts: HashMap<String, usize>,
    /// `--max-run-result-bytes`
    pub result_bytes: Option<usize>,
    /// `--max-steps`
    pub steps: Option<u32>,
}

impl Seen {
    /// Which limit these frames break, as the server says it.
    fn limit_of(&self, frames: &[Frame]) -> Option<String> {
        let step = |frame: &Frame| match frame {
            Frame::Log { step, .. } | Frame::StepStarted { step, .. } | Frame::StepFinished { step, .. } => {
                *step
            }
            Frame::Result { .. } => 0,
        };
        if let Some(most) = self
            .steps
            .filter(|most| frames.iter().any(|frame| step(frame) >= *most))
        {
            return Some(format!("the number of steps is limited to {most} (--max-steps)"));
        }
        let size = |frame: &Frame| match frame {
            Frame::Result { value, .. } => value.len(),
            _ => 0,
        };
        let sum: usize = self.frames.iter().chain(frames).map(size).sum();
        let most = self.result_bytes.filter(|most| sum > *most)?;
        Some(format!(
            "the sum of the results of a run is limited to {most} (--max-run-result-bytes)"
        ))
    }

    /// Digests of the results that were taken.
    fn results(&self) -> BTreeMap<&str, String> {
        let results = self.frames.iter().filter_map(|frame| match frame {
            Frame::Result { name, value } => Some((name.as_str(), digest(value.as_bytes()))),
            _ => None,
        });
        results.collect()
    }
}

#[derive(Clone)]
pub struct Double {
    seen: Arc<Mutex<Seen>>,
    decide: Arc<Mutex<Box<Decide>>>,
    pub address: SocketAddr,
}

impl Double {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let double = Self::at(listener.local_addr().unwrap());
        let router = double.router();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        double
    }

    pub fn at(address: SocketAddr) -> Self {
        Self {
            seen: Arc::default(),
            decide: Arc::new(Mutex::new(Box::new(|_: &str, _| Fault::None))),
            address,
        }
    }

    pub fn router(&self) -> Router {
        Router::new()
            .route("/v1/session", post(session))
            .route("/v1/attempts/{attempt}/frames", post(frames))
            .route(
                "/v1/attempts/{attempt}/uploads/{name}",
                put(upload).head(upload_offset),
            )
            .route("/v1/attempts/{attempt}/uploads/{name}/complete", post(complete))
            .route("/v1/attempts/{attempt}/inputs/{digest}", get(input))
            .route("/v1/attempts/{attempt}/final", post(final_report))
            .layer(axum::extract::DefaultBodyLimit::max(64 << 20))
            .with_state(self.clone())
    }

    pub fn faults(&self, decide: impl Fn(&str, usize) -> Fault + Send + Sync + 'static) {
        *self.decide.lock().unwrap() = Box::new(decide);
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Puts something there for stages to fetch; answers its digest.
    pub fn store(&self, bytes: &[u8]) -> String {
        let digest = digest(bytes);
        self.seen().blobs.insert(digest.clone(), bytes.to_vec());
        digest
    }

    /// Output of a step, parts of long lines joined.
    pub fn output(&self, step: u32) -> String {
        self.output_of(step, None)
    }

    pub fn output_of(&self, step: u32, only: Option<Stream>) -> String {
        let mut text = String::new();
        for frame in &self.seen().frames {
            if let Frame::Log {
                step: of,
                stream,
                line,
                partial,
                ..
            } = frame
                && *of == step
                && only.is_none_or(|only| only == *stream)
            {
                text.push_str(line);
                if !partial {
                    text.push('\n');
                }
            }
        }
        text
    }

    fn fault(&self, kind: &str) -> Fault {
        let count = {
            let mut seen = self.seen();
            let count = seen.counts.entry(kind.to_owned()).or_default();
            *count += 1;
            *count - 1
        };
        (self.decide.lock().unwrap())(kind, count)
    }

    /// Carries out a request under the fault that is due.
    fn under_fault(&self, kind: &str, act: impl FnOnce(&mut Seen) -> Response) -> Response {
        let fault = self.fault(kind);
        match fault {
            Fault::Away => cut(),
            Fault::Full => {
                let body = problem(503, "store-full");
                ([("retry-after", "0")], body).into_response()
            }
            Fault::Refuse(status, reason) => problem(status, reason),
            Fault::None | Fault::LoseAnswer | Fault::Crash => {
                let answer = act(&mut self.seen());
                match fault {
                    Fault::None => answer,
                    Fault::LoseAnswer => cut(),
                    _ => {
                        for upload in self.seen().uploads.values_mut() {
                            upload.bytes.truncate(upload.synced);
                        }
                        cut()
                    }
                }
            }
        }
    }
}

/// Ends the connection without an answer and without the noise of a panic.
fn cut() -> ! {
    std::panic::resume_unwind(Box::new(()))
}

pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn problem(status: u16, reason: &str) -> Response {
    detailed(status, reason, "said the double")
}

fn detailed(status: u16, reason: &str, detail: &str) -> Response {
    let body =
        json!({"type": format!("urn:dcanary:{reason}"), "title": reason, "status": status, "detail": detail});
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}

fn gap(acked: usize) -> Response {
    let body = json!({"type": "urn:dcanary:gap", "title": "gap", "status": 409, "acked": acked});
    (StatusCode::CONFLICT, axum::Json(body)).into_response()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

async fn session(State(double): State<Double>, headers: HeaderMap, body: Bytes) -> Response {
    if header(&headers, "authorization") != format!("Bearer {TOKEN}") {
        return problem(401, "token");
    }
    let request: SessionRequest = serde_json::from_slice(&body).unwrap();
    double.under_fault("session", |seen| {
        let key = seen.key.get_or_insert_with(|| request.key.clone());
        if *key != request.key {
            seen.second_trade = true;
            return problem(409, "second-trade");
        }
        axum::Json(json!({"protocol": {"min": 1, "max": 1}, "attempt": ATTEMPT, "acked": seen.frames.len()}))
            .into_response()
    })
}

fn authorized(seen: &Seen, attempt: &str, headers: &HeaderMap) -> bool {
    let key = header(headers, "authorization")
        .strip_prefix(&format!("DCanary {ATTEMPT}:"))
        .and_then(|key| hex::decode(key).ok());
    let hash = key.map(|key| hex::encode(Sha256::digest(key)));
    attempt == ATTEMPT && hash.is_some() && hash == seen.key
}

async fn frames(
    State(double): State<Double>,
    Path(attempt): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    double.under_fault("frames", |seen| {
        if !authorized(seen, &attempt, &headers) {
            return problem(401, "session");
        }
        let request: FramesRequest = serde_json::from_slice(&body).unwrap();
        if body.len() > dcanary_protocol::FRAMES_BYTES && request.frames.len() > 1 {
            return problem(413, "too-large");
        }
        seen.largest_request = seen.largest_request.max(body.len());
        if let Some(limit) = seen.limit_of(&request.frames) {
            return detailed(413, "too-large", &limit);
        }
        let acked = seen.frames.len();
        let first = usize::try_from(request.first).unwrap();
        if first > acked + 1 {
            return gap(acked);
        }
        seen.frames
            .extend(request.frames.into_iter().skip(acked + 1 - first));
        axum::Json(json!({"acked": seen.frames.len()})).into_response()
    })
}

async fn upload(
    State(double): State<Double>,
    Path((attempt, name)): Path<(String, String)>,
    Query(query): Query<HashMap<String, usize>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    double.under_fault("upload", |seen| {
        if !authorized(seen, &attempt, &headers) {
            return problem(401, "session");
        }
        let upload = seen.uploads.entry(name).or_default();
        if upload.bytes.len() != query["offset"] {
            return problem(409, "offset");
        }
        // Only what came with earlier requests is synced.
        upload.synced = upload.bytes.len() / 2;
        upload.bytes.extend_from_slice(&body);
        StatusCode::NO_CONTENT.into_response()
    })
}

async fn upload_offset(State(double): State<Double>, Path((_, name)): Path<(String, String)>) -> Response {
    double.under_fault("offset", |seen| match seen.uploads.get(&name) {
        Some(upload) => [("upload-offset", upload.bytes.len().to_string())].into_response(),
        None => problem(404, "unknown-upload"),
    })
}

async fn complete(
    State(double): State<Double>,
    Path((_, name)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    let request: UploadComplete = serde_json::from_slice(&body).unwrap();
    double.under_fault("complete", |seen| {
        let Some(upload) = seen.uploads.get_mut(&name) else {
            return problem(404, "unknown-upload");
        };
        let digest = digest(&upload.bytes);
        if digest != request.digest || upload.bytes.len() as u64 != request.size {
            return problem(409, "digest-mismatch");
        }
        let mut answer = json!({"digest": digest, "size": upload.bytes.len()});
        if request.kind == ArtifactKind::Image {
            answer["manifest"] = json!("sha256:ab");
            answer["reference"] = json!(format!("{}@sha256:ab", request.reference.clone().unwrap()));
        }
        upload.complete = Some(request);
        seen.blobs.insert(digest, upload.bytes.clone());
        axum::Json(answer).into_response()
    })
}

async fn input(
    State(double): State<Double>,
    Path((attempt, digest)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    double.under_fault("input", |seen| {
        if !authorized(seen, &attempt, &headers) {
            return problem(401, "session");
        }
        seen.blobs.get(&digest).map_or_else(
            || problem(404, "unknown-input"),
            |bytes| bytes.clone().into_response(),
        )
    })
}

async fn final_report(
    State(double): State<Double>,
    Path(attempt): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let report: FinalReport = serde_json::from_slice(&body).unwrap();
    double.under_fault("final", |seen| {
        if !authorized(seen, &attempt, &headers) {
            return problem(401, "session");
        }
        if body.len() > dcanary_protocol::limits::REPORT_BYTES {
            return problem(413, "too-large");
        }
        let results = seen.results();
        let stored = |result: &ResultReport| results.get(result.name.as_str()) == Some(&result.digest);
        if report.frames != seen.frames.len() as u64 || !report.results.iter().all(stored) {
            return problem(409, "incomplete");
        }
        if seen.report.as_ref().is_some_and(|before| *before != report) {
            return problem(409, "final");
        }
        seen.report = Some(report);
        axum::Json(json!({"cursor": 7})).into_response()
    })
}

//! Doubles for tests of the shell: an API server and a server that answer what a test says, and remember what they were asked.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use clap::Parser;
use dcanary_core::{
    Settings,
    pod::{PROOF, PodKey},
};
use dcanary_crds::{Environment, PipelineRun, Promotion, labels};
use dcanary_protocol::report::ReportEntry;
use http_body_util::BodyExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Client, Resource,
    client::Body,
    runtime::{
        events::{Recorder as Events, Reporter},
        reflector::{self, ObjectRef},
    },
};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc, watch};

use crate::{
    backoff::Failures,
    cache::Unreadable,
    config::Config,
    context::Context,
    environment::{Environments, Stores},
    measure,
    memory::Memory,
    metrics::Metrics,
    reports::{Acknowledgements, ServerClient, Wanted},
};

/// A request as a double got it.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    /// Without the query.
    pub path: String,
    pub query: String,
    pub headers: http::HeaderMap,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// An answer of a double.
pub struct Answer {
    status: u16,
    body: Vec<u8>,
}

impl Answer {
    pub fn ok(body: &Value) -> Self {
        Self {
            status: 200,
            body: serde_json::to_vec(body).unwrap(),
        }
    }

    /// A body with a status.
    pub fn with(status: u16, body: &Value) -> Self {
        Self {
            status,
            ..Self::ok(body)
        }
    }

    /// A `Status` as the API server sends it.
    pub fn error(code: u16, reason: &str, message: &str) -> Self {
        let body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code,
        });
        Self::with(code, &body)
    }
}

/// An API server in memory.
pub struct ApiServer {
    client: Client,
    asked: Arc<Mutex<Vec<Asked>>>,
    more: watch::Receiver<usize>,
}

impl ApiServer {
    pub fn start(mut answer: impl FnMut(&Asked) -> Answer + Send + 'static) -> Self {
        let (service, mut handle) = tower_test::mock::pair::<http::Request<Body>, http::Response<Body>>();
        let client = Client::new(service, "default");
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (count, more) = watch::channel(0);
        let seen = asked.clone();
        tokio::spawn(async move {
            while let Some((request, send)) = handle.next_request().await {
                let (parts, body) = request.into_parts();
                let request = Asked {
                    method: parts.method.to_string(),
                    path: parts.uri.path().to_owned(),
                    query: parts.uri.query().unwrap_or_default().to_owned(),
                    headers: parts.headers,
                    body: body.collect().await.unwrap().to_bytes().to_vec(),
                };
                let answer = answer(&request);
                seen.lock().unwrap().push(request);
                send.send_response(
                    http::Response::builder()
                        .status(answer.status)
                        .header("content-type", "application/json")
                        .body(Body::from(answer.body))
                        .unwrap(),
                );
                count.send_modify(|count| *count += 1);
            }
        });
        Self { client, asked, more }
    }

    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Requests with a method, in order.
    pub fn all(&self, method: &str) -> Vec<Asked> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .filter(|request| request.method == method)
            .cloned()
            .collect()
    }

    /// Waits for the n-th request with a method, from 1.
    pub async fn nth(&self, method: &str, n: usize) -> Asked {
        let mut more = self.more.clone();
        let wait = async {
            loop {
                more.borrow_and_update();
                if let Some(request) = self.all(method).into_iter().nth(n - 1) {
                    return request;
                }
                more.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap()
    }
}

/// An API server that holds one object: status writes and finalizer patches count only under its present version. Everything else is taken.
pub fn holding<K>(object: &K) -> impl FnMut(&Asked) -> Answer + Send + 'static
where
    K: Resource<DynamicType = ()> + Serialize,
{
    let kind = format!("/{}/", K::plural(&()));
    let mut object = serde_json::to_value(object).unwrap();
    move |request| {
        if !request.path.contains(&kind) {
            let mut body = request.json();
            body["metadata"]["uid"] = json!("made");
            return Answer::ok(&body);
        }
        let asked = request.json();
        if asked["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
            return Answer::error(409, "Conflict", "newer");
        }
        if request.method == "PUT" {
            object["status"] = asked["status"].clone();
        } else {
            object["metadata"]["finalizers"] = asked["metadata"]["finalizers"].clone();
        }
        let version: u64 = object["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        object["metadata"]["resourceVersion"] = json!((version + 1).to_string());
        Answer::ok(&object)
    }
}

/// The process has one provider of cryptography.
pub fn provider() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// Flags as the chart sets them, for a server that nobody runs.
pub fn config() -> Config {
    Config::parse_from([
        "dcanary-operator",
        "--server-url=http://127.0.0.1:9",
        "--server-ca-file=/dev/null",
        "--server-token-file=/dev/null",
        "--runner-image=runner:1",
        "--runner-delivery=imageVolume",
    ])
}

/// A client of a server at an address; nobody listens at `http://127.0.0.1:9`.
pub fn server(base: &str) -> ServerClient {
    provider();
    ServerClient::new(base, b"", PathBuf::from("/dev/null"), PathBuf::from("/dev/null")).unwrap()
}

/// What all parts share, with a server that is not there.
pub fn context(client: Client) -> Arc<Context> {
    context_with(client, server("http://127.0.0.1:9")).0
}

/// What all parts share, without a ledger.
pub fn context_without_ledger(client: Client) -> Arc<Context> {
    let mut ctx = Arc::into_inner(context(client)).unwrap();
    ctx.settings = Arc::new(Settings {
        ledger: false,
        ..Settings::default()
    });
    Arc::new(ctx)
}

/// What all parts share, and the runs that are woken.
pub fn context_with(
    client: Client,
    server: ServerClient,
) -> (Arc<Context>, mpsc::UnboundedReceiver<ObjectRef<PipelineRun>>) {
    let (wake, woken) = mpsc::unbounded_channel();
    let reporter = Reporter {
        controller: "dcanary-operator".into(),
        instance: Some("test".into()),
    };
    let environments = environments(client.clone(), Stores::empty());
    let ctx = Context {
        events: Events::new(client.clone(), reporter),
        client,
        config: config(),
        settings: Arc::new(Settings::default()),
        stores: crate::context::Stores {
            pipelines: reflector::store().0,
            executors: reflector::store().0,
            cluster_executors: reflector::store().0,
        },
        memory: Memory::default(),
        wake,
        server,
        acknowledgements: Acknowledgements::default(),
        server_away: watch::Sender::new(Some(Timestamp::now())),
        reports_as_of: watch::Sender::new(None),
        store_full: watch::Sender::new(None),
        wanted: Wanted::default(),
        orphaned: Arc::new(Notify::new()),
        unreadable_runs: Unreadable::default(),
        pipeline_failures: Failures::default(),
        recorder: OnceLock::new(),
        ledger_waiting: watch::Sender::new(None),
        left_behind: Arc::new(Notify::new()),
        environments,
        metrics: Metrics::new(),
    };
    (Arc::new(ctx), woken)
}

fn environments(client: Client, stores: Stores) -> Environments {
    provider();
    Environments::new(
        client,
        dcanary_rollout::Settings::default(),
        stores,
        Unreadable::default(),
        Arc::new(Notify::new()),
        measure::Sources {
            http: reqwest::Client::builder().tls_certs_only([]).build().unwrap(),
            guard: measure::guard(false),
        },
    )
}

/// What all parts share, with caches of Environments and what belongs to them.
pub fn context_of(client: Client, stores: Stores) -> Arc<Context> {
    let mut ctx = Arc::into_inner(context(client.clone())).unwrap();
    ctx.environments = environments(client, stores);
    Arc::new(ctx)
}

/// An Environment `prod` in the namespace `team` that we hold, with the service account `deployer`.
pub fn environment(uid: &str) -> Environment {
    serde_json::from_value(json!({
        "apiVersion": "dcanary.dev/v1alpha1", "kind": "Environment",
        "metadata": {
            "name": "prod", "namespace": "team", "uid": uid, "resourceVersion": "1", "generation": 1,
            "creationTimestamp": Timestamp::now(), "finalizers": [labels::ENVIRONMENT_FINALIZER],
        },
        "spec": {
            "serviceAccountName": "deployer",
            "workload": {"template": {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "$(images.web)"}]}}}}},
        },
    }))
    .unwrap()
}

/// A Promotion `p-1` of the Release `r-1` into the Environment `prod` of the namespace `team`.
pub fn promotion(uid: &str) -> Promotion {
    serde_json::from_value(json!({
        "apiVersion": "dcanary.dev/v1alpha1", "kind": "Promotion",
        "metadata": {"name": "p-1", "namespace": "team", "uid": uid, "resourceVersion": "1", "creationTimestamp": Timestamp::now()},
        "spec": {"environmentRef": {"name": "prod"}, "releaseRef": {"name": "r-1"}},
    }))
    .unwrap()
}

/// A run of one stage in the namespace `team`, named like its UID.
pub fn run(uid: &str) -> PipelineRun {
    serde_json::from_value(json!({
        "apiVersion": "dcanary.dev/v1alpha1", "kind": "PipelineRun",
        "metadata": {
            "name": uid, "namespace": "team", "uid": uid, "resourceVersion": "1", "generation": 1,
            "creationTimestamp": Timestamp::now(),
        },
        "spec": {"pipelineSpec": {"stages": [{"name": "a", "image": "busybox", "steps": [{"run": "true"}]}]}},
    }))
    .unwrap()
}

/// A Pod of a run that we made and that carries our finalizer.
pub fn held_pod(namespace: &str, name: &str, uid: &str, run_uid: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {
            "name": name, "namespace": namespace, "uid": uid,
            "labels": {labels::RUN_UID: run_uid},
            "annotations": {PROOF: PodKey::default().proof(namespace, run_uid, name)},
            "finalizers": [labels::OBSERVED],
            "ownerReferences": [{
                "apiVersion": "dcanary.dev/v1alpha1", "kind": "PipelineRun", "name": run_uid, "uid": run_uid, "controller": true,
            }],
        },
        "status": {"phase": "Running"},
    }))
    .unwrap()
}

/// A report of a Pod of a run in the namespace `team`, named like its UID.
pub fn entry(cursor: u64, run_uid: &str) -> ReportEntry {
    serde_json::from_value(json!({
        "cursor": cursor, "attempt": format!("pod-{cursor}"), "namespace": "team", "pod": format!("p-{cursor}"),
        "run": run_uid, "runUid": run_uid,
        "report": {"outcome": "succeeded", "reason": "Succeeded", "frames": 0, "steps": []},
    }))
    .unwrap()
}

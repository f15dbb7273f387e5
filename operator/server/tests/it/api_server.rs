//! As much of the API server as the program asks for, on loopback. Tokens are those of [`TestCluster`].

use std::path::Path;
use std::sync::Arc;

use axum::extract::{Path as Parts, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use dcanary_server::auth::{Audience, Cluster};
use serde_json::{Value, json};

use crate::support::TestCluster;

type Shared = State<Arc<TestCluster>>;

async fn review(State(cluster): Shared, Json(mut review): Json<Value>) -> Json<Value> {
    let token = review["spec"]["token"].as_str().unwrap().to_owned();
    let audience = match review["spec"]["audiences"].as_array() {
        Some(_) => Audience::Server,
        None => Audience::ApiServer,
    };
    let user = cluster.review(&token, audience).await.unwrap();
    review["status"] = match user {
        None => json!({"authenticated": false}),
        Some(user) => {
            let extra: serde_json::Map<String, Value> = user
                .extra
                .into_iter()
                .map(|(key, values)| (key, json!(values)))
                .collect();
            json!({"authenticated": true, "audiences": review["spec"]["audiences"],
                "user": {"username": user.name, "extra": extra}})
        }
    };
    Json(review)
}

async fn access(Json(mut review): Json<Value>) -> Json<Value> {
    review["status"] = json!({"allowed": true});
    Json(review)
}

async fn pod(State(cluster): Shared, Parts((namespace, name)): Parts<(String, String)>) -> Response {
    let Some(facts) = cluster.pod(&namespace, &name).await.unwrap() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let owner = facts.owner_run.unwrap();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace,
        "uid": facts.uid,
        "labels": {"dcanary.dev/run-uid": facts.run_uid, "dcanary.dev/stage": facts.stage,
            "dcanary.dev/attempt": facts.attempt.unwrap().to_string()},
        "ownerReferences": [{"apiVersion": "dcanary.dev/v1alpha1", "kind": "PipelineRun", "controller": true,
            "name": owner.name, "uid": owner.uid}]}});
    Json(pod).into_response()
}

async fn run(State(cluster): Shared, Parts((namespace, name)): Parts<(String, String)>) -> Response {
    let uid = name.strip_suffix("-name").unwrap();
    let Some(facts) = cluster.run(&namespace, &name, uid).await.unwrap() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let attempts: Vec<Value> = facts.pods.iter().map(|pod| json!({"podUid": pod})).collect();
    let run = json!({"apiVersion": "dcanary.dev/v1alpha1", "kind": "PipelineRun",
        "metadata": {"name": name, "namespace": namespace, "uid": uid},
        "status": {"stages": [{"name": "build", "attempts": attempts}]}});
    Json(run).into_response()
}

async fn runs(State(cluster): Shared) -> Json<Value> {
    let runs = cluster.run_uids().await.unwrap();
    let items: Vec<Value> = runs
        .iter()
        .map(|uid| {
            json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"name": uid, "namespace": "builds", "uid": uid}})
        })
        .collect();
    Json(
        json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList", "metadata": {},
        "items": items}),
    )
}

/// Serves a cluster and writes a kubeconfig for it.
pub async fn serve(cluster: Arc<TestCluster>, kubeconfig: &Path) {
    let router = Router::new()
        .route("/apis/authentication.k8s.io/v1/tokenreviews", post(review))
        .route("/apis/authorization.k8s.io/v1/subjectaccessreviews", post(access))
        .route("/api/v1/namespaces/{namespace}/pods/{name}", get(pod))
        .route("/apis/dcanary.dev/v1alpha1/pipelineruns", get(runs))
        .route(
            "/apis/dcanary.dev/v1alpha1/namespaces/{namespace}/pipelineruns/{name}",
            get(run),
        )
        .with_state(cluster);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "test", "user": {}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}]});
    std::fs::write(kubeconfig, config.to_string()).unwrap();
}

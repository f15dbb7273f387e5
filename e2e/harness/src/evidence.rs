//! What a failed test leaves behind: objects, events, Pod logs, logs of the operator, the server and the ledger node.

use std::path::{Path, PathBuf};

use k8s_openapi::api::{core::v1::Pod, events::v1::Event};
use kube::{
    Api, ResourceExt,
    api::{ListParams, LogParams},
};

use crate::{Namespace, cluster::evidence_dir, delivery::PARTS};

/// Writes the evidence of a failed test and returns its folder. Never fails: what cannot be had is noted instead.
pub async fn keep(ns: &Namespace, test: &str, error: &anyhow::Error) -> PathBuf {
    let dir = evidence_dir().join(test.replace(|c: char| !c.is_ascii_alphanumeric() && c != '_', "-"));
    let _ = std::fs::remove_dir_all(&dir);
    let _ = std::fs::create_dir_all(&dir);
    write(&dir, "error.txt", format!("{error:?}\n"));
    for (file, list) in [
        ("pipelineruns.json", ns.runs()),
        ("pipelines.json", ns.pipelines()),
        ("environments.json", ns.environments()),
        ("promotions.json", ns.promotions()),
        ("releases.json", ns.releases()),
        ("decisions.json", ns.decisions()),
    ] {
        match list.list(&ListParams::default()).await {
            Ok(objects) => write(
                &dir,
                file,
                serde_json::to_string_pretty(&objects.items).unwrap_or_default(),
            ),
            Err(error) => write(&dir, file, error.to_string()),
        }
    }
    if let Ok(events) = ns.api::<Event>().list(&ListParams::default()).await {
        write(
            &dir,
            "events.json",
            serde_json::to_string_pretty(&events.items).unwrap_or_default(),
        );
    }
    for (kind, ..) in PARTS {
        // a cluster without the Gateway API has no routes
        if let Ok(api) = ns.parts(kind)
            && let Ok(objects) = api.list(&ListParams::default()).await
        {
            let text = serde_json::to_string_pretty(&objects.items).unwrap_or_default();
            write(&dir, &format!("{kind}s.json"), text);
        }
    }
    pods(&dir, "pod", ns.api::<Pod>()).await;
    pods(
        &dir,
        "system",
        Api::namespaced(ns.cluster.client.clone(), &ns.cluster.operator_namespace),
    )
    .await;
    dir
}

async fn pods(dir: &Path, prefix: &str, api: Api<Pod>) {
    let Ok(pods) = api.list(&ListParams::default()).await else {
        return;
    };
    write(
        dir,
        &format!("{prefix}s.json"),
        serde_json::to_string_pretty(&pods.items).unwrap_or_default(),
    );
    for pod in pods.items {
        let name = pod.name_any();
        if is_fake(&pod) {
            continue;
        }
        for previous in [false, true] {
            let params = LogParams {
                previous,
                tail_lines: Some(2000),
                ..LogParams::default()
            };
            if let Ok(text) = api.logs(&name, &params).await {
                let suffix = if previous { "-previous" } else { "" };
                write(dir, &format!("{prefix}-{name}{suffix}.log"), text);
            }
        }
    }
}

/// Whether it is on a fake node (KWOK): nothing there would answer, and being asked for hundreds of logs it would take long not to.
fn is_fake(pod: &Pod) -> bool {
    let selector = pod.spec.as_ref().and_then(|spec| spec.node_selector.as_ref());
    selector.is_some_and(|labels| labels.get("type").is_some_and(|kind| kind == "kwok"))
}

fn write(dir: &Path, file: &str, text: String) {
    let _ = std::fs::write(dir.join(file), text);
}

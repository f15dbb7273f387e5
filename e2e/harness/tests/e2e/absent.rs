//! A node that is gone without a word: its Pods stay, being deleted, until somebody takes them away. (It takes long, so it is the first by name.)

use anyhow::{Context, Result, ensure};
use dcanary_harness::{
    Namespace,
    fixtures::{BUSYBOX, LIMIT, object, run, stage},
    scenario,
};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    runtime::wait::await_condition,
};
use serde_json::{Value, json};

/// Label of the nodes on which the stage may run.
fn here(ghost: &str) -> String {
    format!("dcanary.test/{ghost}")
}

async fn label(nodes: &Api<Node>, node: &str, ghost: &str, value: Option<&str>) -> Result<()> {
    let patch = json!({"metadata": {"labels": {here(ghost): value}}});
    nodes
        .patch(node, &PatchParams::default(), &Patch::Merge(&patch))
        .await?;
    Ok(())
}

/// A node that exists, and nothing behind it.
async fn ghost(nodes: &Api<Node>, name: &str) -> Result<()> {
    let node = json!({
        "metadata": {"name": name},
        "spec": {"taints": [{"key": here(name), "effect": "NoSchedule"}]},
    });
    nodes
        .create(&PostParams::default(), &serde_json::from_value(node)?)
        .await?;
    let room = json!({"cpu": "2", "memory": "2Gi", "ephemeral-storage": "2Gi", "pods": "10"});
    let ready = json!([{"type": "Ready", "status": "True", "reason": "Test", "message": ""}]);
    let status = json!({"status": {"capacity": room, "allocatable": room, "conditions": ready}});
    nodes
        .patch_status(name, &PatchParams::default(), &Patch::Merge(&status))
        .await?;
    Ok(())
}

/// The one Pod of the run on a node, told to run there as its kubelet would.
async fn runs_on(ns: &Namespace, node: &str) -> Result<String> {
    let pods = ns.api::<Pod>();
    let view = ns
        .run_until("stuck", LIMIT, |view| {
            view.status()["stages"][0]["attempts"][0]["pod"].is_string()
        })
        .await?;
    let pod = view.status()["stages"][0]["attempts"][0]["pod"]
        .as_str()
        .context("pod")?
        .to_owned();
    let bound =
        |found: Option<&Pod>| found.and_then(|pod| pod.spec.as_ref()?.node_name.as_deref()) == Some(node);
    tokio::time::timeout(LIMIT, await_condition(pods.clone(), &pod, bound))
        .await
        .with_context(|| format!("{pod} does not come to {node}"))??;
    let found = pods.get(&pod).await?;
    let now = jiff::Timestamp::now().to_string();
    let containers: Vec<Value> = found
        .spec
        .iter()
        .flat_map(|spec| &spec.containers)
        .map(|container| {
            json!({
                "name": container.name, "image": container.image, "imageID": "", "restartCount": 0, "ready": true, "started": true,
                "state": {"running": {"startedAt": now}},
            })
        })
        .collect();
    let status = json!({"status": {"phase": "Running", "startTime": now, "containerStatuses": containers}});
    pods.patch_status(&pod, &PatchParams::default(), &Patch::Strategic(&status))
        .await?;
    Ok(pod)
}

/// Lets the stage run on the real nodes instead.
async fn elsewhere(nodes: &Api<Node>, ghost: &str, value: Option<&str>) -> Result<()> {
    for node in nodes.list(&ListParams::default()).await?.items {
        let name = node.metadata.name.unwrap_or_default();
        if name != ghost {
            label(nodes, &name, ghost, value).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_pod_that_is_stuck_terminating_on_a_node_that_does_not_answer_is_lost_and_its_stage_is_tried_again()
-> Result<()> {
    scenario("stuck-pod", |ns| async move {
        let nodes: Api<Node> = Api::all(ns.cluster.client.clone());
        let node = ns.name.clone();
        let told = tell(&ns, &nodes, &node).await;
        // whatever came of it: nothing stays on the node, and the node goes
        let now = DeleteParams::default().grace_period(0);
        let params = ListParams::default().fields(&format!("spec.nodeName={node}"));
        ns.api::<Pod>().delete_collection(&now, &params).await?;
        nodes.delete(&node, &DeleteParams::default()).await?;
        elsewhere(&nodes, &node, None).await?;
        told
    })
    .await
}

async fn tell(ns: &Namespace, nodes: &Api<Node>, node: &str) -> Result<()> {
    ghost(nodes, node).await?;
    label(nodes, node, node, Some("yes")).await?;
    let executor = json!({
        "image": BUSYBOX,
        "podTemplate": {"nodeSelector": {here(node): "yes"}, "tolerations": [{"operator": "Exists"}]},
    });
    ns.apply(&object("Executor", "anywhere", &executor)).await?;
    let mut only = stage("s", "true");
    only["executor"] = json!("anywhere");
    if let Some(fields) = only.as_object_mut() {
        fields.remove("image");
    }
    ns.apply(&run("stuck", &json!([only]))).await?;
    let pod = runs_on(ns, node).await?;
    ns.run_until("stuck", LIMIT, |view| {
        view.status()["stages"][0]["state"] == "Running"
    })
    .await?;
    elsewhere(nodes, node, Some("yes")).await?;
    label(nodes, node, node, None).await?;
    let pods = ns.api::<Pod>();
    pods.delete(&pod, &DeleteParams::default().grace_period(1))
        .await?;
    let view = ns.finished("stuck", LIMIT).await?;
    assert_eq!(
        view.outcomes("s")?,
        [("Lost", "PodStuck"), ("Succeeded", "Succeeded")],
        "{:#}",
        view.status()
    );
    let said = view.stage("s")?["attempts"][0]["message"]
        .as_str()
        .unwrap_or("")
        .to_owned();
    ensure!(said.contains("its node does not answer"), "{said}");
    let still = pods.get(&pod).await?;
    ensure!(still.metadata.deletion_timestamp.is_some(), "{pod} was not stuck");
    ns.verified("stuck").await
}

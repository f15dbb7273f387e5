//! What happens to nodes: one that is drained, and one on which somebody more important needs the room.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use dcanary_harness::{
    Cluster,
    fixtures::{LIMIT, run},
    scenario,
    system::{SERVER, System, ready},
};
use dcanary_types::record::Transition;
use k8s_openapi::{
    api::{
        core::v1::{Node, Pod},
        scheduling::v1::PriorityClass,
    },
    apimachinery::pkg::api::resource::Quantity,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, EvictParams, ListParams},
    runtime::wait::await_condition,
};
use serde_json::json;

use super::BUSYBOX;

/// Says something and ends at once when it is tried a second time.
const FIRST_HANGS: &str = "echo \"attempt $DCANARY_ATTEMPT\"; test \"$DCANARY_ATTEMPT\" -ge 2 || sleep 300";

fn unschedulable(pod: Option<&Pod>) -> bool {
    pod.and_then(|pod| pod.status.as_ref()?.conditions.as_ref())
        .is_some_and(|all| {
            all.iter()
                .any(|one| one.type_ == "PodScheduled" && one.reason.as_deref() == Some("Unschedulable"))
        })
}

async fn uncordon(nodes: &Api<Node>) -> Result<()> {
    for node in nodes.list(&ListParams::default()).await? {
        nodes.uncordon(&node.name_any()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_drained_node_takes_pod_and_server_and_the_stage_is_tried_again_when_there_is_one() -> Result<()> {
    let cluster = Cluster::connect().await?;
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let outcome = scenario("drained", |ns| {
        let (nodes, system) = (nodes.clone(), System::of(&cluster));
        async move {
            let stages = json!([{"name": "s", "image": BUSYBOX, "steps": [{"run": FIRST_HANGS}]}]);
            ns.apply(&run("r", &stages)).await?;
            let pod = ns.running_pod("r").await?;
            ns.says(&pod, "attempt 1").await?;
            // as `kubectl drain` does it; no node is left for them
            for node in nodes.list(&ListParams::default()).await? {
                nodes.cordon(&node.name_any()).await?;
            }
            let (server, params) = (format!("{SERVER}-0"), EvictParams::default());
            system.pods().evict(&server, &params).await?;
            ns.api::<Pod>().evict(&pod, &params).await?;
            let waits = await_condition(system.pods(), &server, unschedulable);
            tokio::time::timeout(LIMIT, waits)
                .await
                .context("the server has another node")??;
            uncordon(&nodes).await?;
            let (view, records) = ns.records("r", async { ns.finished("r", LIMIT).await }).await?;
            let expected = [("Lost", "EvictionByEvictionAPI"), ("Succeeded", "Succeeded")];
            assert_eq!(view.outcomes("s")?, expected, "{:#}", view.status());
            ensure!(
                records.iter().any(|kind| kind == Transition::STAGE_RETRIED),
                "{records:?}"
            );
            let log = ns.logs("r").await?;
            ensure!(log.contains("attempt 1") && log.contains("attempt 2"), "{log}");
            ns.verified("r").await
        }
    })
    .await;
    uncordon(&nodes).await?;
    let server = await_condition(System::of(&cluster).pods(), "dcanary-server-0", ready());
    tokio::time::timeout(LIMIT, server).await??;
    outcome
}

fn thousandths(cpu: Option<&BTreeMap<String, Quantity>>) -> Result<u64> {
    let Some(text) = cpu
        .and_then(|all| all.get("cpu"))
        .map(|quantity| quantity.0.as_str())
    else {
        return Ok(0);
    };
    Ok(match text.strip_suffix('m') {
        Some(number) => number.parse()?,
        None => text.parse::<u64>()? * 1000,
    })
}

/// CPU of a node that nobody has asked for, in thousandths.
async fn free(cluster: &Cluster, node: &str) -> Result<u64> {
    let node = Api::<Node>::all(cluster.client.clone()).get(node).await?;
    let mut free = thousandths(
        node.status
            .as_ref()
            .and_then(|status| status.allocatable.as_ref()),
    )?;
    let here = ListParams::default().fields(&format!("spec.nodeName={}", node.name_any()));
    for pod in Api::<Pod>::all(cluster.client.clone()).list(&here).await? {
        let over = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        if matches!(over, Some("Succeeded" | "Failed")) {
            continue;
        }
        for container in pod.spec.iter().flat_map(|spec| &spec.containers) {
            let asked = container.resources.as_ref().and_then(|all| all.requests.as_ref());
            free = free.saturating_sub(thousandths(asked)?);
        }
    }
    Ok(free)
}

#[tokio::test]
async fn a_pod_that_a_more_important_one_pushes_out_is_lost_by_name_and_tried_again_when_there_is_room()
-> Result<()> {
    let cluster = Cluster::connect().await?;
    let classes: Api<PriorityClass> = Api::all(cluster.client.clone());
    let outcome = scenario("preempted", |ns| async move {
        let class = json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "e2e-unimportant"}, "value": -10,
        });
        ns.apply(&class.to_string()).await?;
        let node = Api::<Node>::all(ns.cluster.client.clone()).list(&ListParams::default()).await?;
        let node = node.items.first().context("a node")?.name_any();
        let share = format!("{}m", free(&ns.cluster, &node).await? * 6 / 10);
        let stages = json!([{
            "name": "s", "image": BUSYBOX, "steps": [{"run": FIRST_HANGS}], "resources": {"requests": {"cpu": share}},
            "podTemplate": {"priorityClassName": "e2e-unimportant", "nodeSelector": {"kubernetes.io/hostname": node}},
        }]);
        ns.apply(&run("r", &stages)).await?;
        ns.running_pod("r").await?;
        let important = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "important"},
            "spec": {
                "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
                "nodeSelector": {"kubernetes.io/hostname": node},
                "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": "main", "image": BUSYBOX, "command": ["sleep", "600"], "resources": {"requests": {"cpu": share}},
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                }],
            },
        });
        ns.apply(&important.to_string()).await?;
        ns.run_until("r", LIMIT, |view| view.status()["stages"][0]["attempts"][0]["outcome"] == "Lost").await?;
        ns.api::<Pod>().delete("important", &DeleteParams::default()).await?;
        let view = ns.finished("r", LIMIT).await?;
        let expected = [("Lost", "PreemptionByScheduler"), ("Succeeded", "Succeeded")];
        assert_eq!(view.outcomes("s")?, expected, "{:#}", view.status());
        ns.verified("r").await
    })
    .await;
    classes
        .delete("e2e-unimportant", &DeleteParams::default())
        .await?;
    outcome
}

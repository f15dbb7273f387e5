//! Workloads that are updated in place: StatefulSets and DaemonSets.

use anyhow::{Context, Result, ensure};
use dcanary_harness::{
    Namespace,
    example_app::{image, pod_template},
    fixtures::LIMIT,
    scenario,
};
use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};
use kube::{api::ListParams, runtime::wait::await_condition};
use serde_json::{Value, json};

use super::prepared;

fn stateful(ns: &Namespace, rolling: &Value) -> Value {
    let mut environment = ns.plain_environment("db", &json!({"rolling": rolling}));
    environment["spec"]["workload"] = json!({"template": {
        "kind": "StatefulSet",
        "spec": {"serviceName": "db", "podManagementPolicy": "Parallel", "template": pod_template()},
    }});
    environment["spec"]["progressDeadline"] = json!("30s");
    environment
}

/// Waits until every Pod of the StatefulSet is ready and of one image.
async fn all_of(ns: &Namespace, tag: &str) -> Result<()> {
    let wanted = image(tag).await?;
    let complete = |set: Option<&StatefulSet>| {
        set.is_some_and(|set| {
            let status = set.status.clone().unwrap_or_default();
            status.observed_generation >= set.metadata.generation
                && status.updated_replicas == Some(2)
                && status.ready_replicas == Some(2)
        })
    };
    tokio::time::timeout(LIMIT, await_condition(ns.api::<StatefulSet>(), "db", complete))
        .await
        .context("the StatefulSet does not become whole")??;
    let pods = ns
        .api::<Pod>()
        .list(&ListParams::default().labels("dcanary.dev/environment=db"))
        .await?;
    let images: Vec<String> = pods
        .items
        .into_iter()
        .filter_map(|pod| {
            pod.spec
                .and_then(|spec| spec.containers.into_iter().next()?.image)
        })
        .collect();
    assert_eq!(images, [wanted.clone(), wanted]);
    Ok(())
}

#[tokio::test]
async fn a_stateful_set_is_updated_in_place_and_a_broken_release_is_undone_with_its_pods_replaced()
-> Result<()> {
    scenario("stateful", |ns| async move {
        prepared(&ns).await?;
        ns.apply(&stateful(&ns, &json!({})).to_string()).await?;
        ns.deployed("db", "one", "1").await?;
        all_of(&ns, "1").await?;
        ns.deployed("db", "two", "2").await?;
        all_of(&ns, "2").await?;
        ns.release("bad", "2-crash").await?;
        let promotion = ns.promote("bad", "db").await?;
        let ended = ns.promotion_ended(&promotion).await?;
        assert_eq!(
            ended.state("Succeeded"),
            ("False", "ProgressDeadlineExceeded"),
            "{:#}",
            ended.status()
        );
        // a StatefulSet alone would wait for its broken Pod for ever
        all_of(&ns, "2").await?;
        let view = ns.serves("db", "two").await?;
        assert_eq!(view.held(), ["bad"], "{:#}", view.status());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_stateful_set_whose_pods_the_operator_deletes_is_updated_too() -> Result<()> {
    scenario("on-delete", |ns| async move {
        prepared(&ns).await?;
        ns.apply(&stateful(&ns, &json!({"onDelete": true})).to_string())
            .await?;
        ns.deployed("db", "one", "1").await?;
        ns.deployed("db", "two", "2").await?;
        all_of(&ns, "2").await?;
        let set = ns.object("statefulset", "db").await?.context("StatefulSet")?;
        ensure!(
            set["spec"]["updateStrategy"]["type"] == "OnDelete",
            "{:#}",
            set["spec"]
        );
        Ok(())
    })
    .await
}

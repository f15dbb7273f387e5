//! Workloads that are updated in place: StatefulSets and DaemonSets.

use anyhow::{Context, Result, ensure};
use dcanary_harness::{
    Namespace,
    example_app::{image, pod_template},
    fixtures::LIMIT,
    scenario,
};
use k8s_openapi::api::{
    apps::v1::{DaemonSet, StatefulSet},
    core::v1::Pod,
};
use kube::{
    api::{DeleteParams, ListParams},
    runtime::wait::await_condition,
};
use serde_json::{Value, json};

use super::{crashes, on_two_pods, prepared};

pub(super) fn stateful(ns: &Namespace, rolling: &Value) -> Value {
    let mut environment = on_two_pods(ns.plain_environment("db", &json!({"rolling": rolling})));
    environment["spec"]["workload"] = json!({"template": {
        "kind": "StatefulSet",
        "spec": {"serviceName": "db", "podManagementPolicy": "Parallel", "template": pod_template()},
    }});
    environment
}

/// Waits until every Pod of the StatefulSet is ready and of one image.
pub(super) async fn all_of(ns: &Namespace, tag: &str) -> Result<()> {
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
    assert_eq!(images(ns, "db").await?, [wanted.clone(), wanted]);
    Ok(())
}

/// Images of the Pods of an Environment, but for those that are on their way out.
async fn images(ns: &Namespace, environment: &str) -> Result<Vec<String>> {
    let mine = ListParams::default().labels(&format!("dcanary.dev/environment={environment}"));
    let pods = ns.api::<Pod>().list(&mine).await?;
    let staying = pods
        .items
        .into_iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none());
    Ok(staying
        .filter_map(|pod| pod.spec?.containers.into_iter().next()?.image)
        .collect())
}

/// Waits until every node has a ready Pod of the DaemonSet, and of one image.
async fn every_node_has(ns: &Namespace, tag: &str) -> Result<()> {
    let complete = |set: Option<&DaemonSet>| {
        set.is_some_and(|set| {
            let status = set.status.clone().unwrap_or_default();
            let wanted = status.desired_number_scheduled;
            status.observed_generation >= set.metadata.generation
                && wanted > 0
                && status.updated_number_scheduled == Some(wanted)
                && status.number_ready == wanted
        })
    };
    tokio::time::timeout(LIMIT, await_condition(ns.api::<DaemonSet>(), "agent", complete))
        .await
        .context("the DaemonSet does not become whole")??;
    let (found, wanted) = (images(ns, "agent").await?, image(tag).await?);
    ensure!(
        !found.is_empty() && found.iter().all(|one| *one == wanted),
        "{found:?} instead of {wanted}"
    );
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
        crashes(&ns, "db").await?;
        ns.promotion_fails(&promotion, "ProgressDeadlineExceeded").await?;
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

#[tokio::test]
async fn a_daemon_set_is_updated_in_place_and_goes_back_to_what_was_recorded_when_the_new_release_crashes()
-> Result<()> {
    scenario("daemon", |ns| async move {
        prepared(&ns).await?;
        let mut environment = ns.plain_environment("agent", &json!({"rolling": {}}));
        environment["spec"]["workload"] =
            json!({"template": {"kind": "DaemonSet", "spec": {"template": pod_template()}}});
        ns.apply(&environment.to_string()).await?;
        for (release, tag) in [("one", "1"), ("two", "2")] {
            ns.deployed("agent", release, tag).await?;
            every_node_has(&ns, tag).await?;
        }
        let before = ns.object("daemonset", "agent").await?.context("DaemonSet")?;
        // nothing but the record says what it was
        ns.releases().delete("two", &DeleteParams::default()).await?;
        ns.release("bad", "2-crash").await?;
        let promotion = ns.promote("bad", "agent").await?;
        crashes(&ns, "agent").await?;
        let ended = ns.promotion_fails(&promotion, "ProgressDeadlineExceeded").await?;
        ensure!(
            ended.says("Succeeded").contains("CrashLoopBackOff"),
            "{:#}",
            ended.status()
        );
        every_node_has(&ns, "2").await?;
        let view = ns.serves("agent", "two").await?;
        assert_eq!(view.held(), ["bad"], "{:#}", view.status());
        let after = ns.object("daemonset", "agent").await?.context("DaemonSet")?;
        assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
        assert_eq!(after["spec"]["template"], before["spec"]["template"]);
        Ok(())
    })
    .await
}

//! An installation that records on a ledger of others (`make soak`: it takes the embedded ledger away meanwhile).

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use dcanary_harness::{
    Cluster,
    cli::{dcanary, said},
    external::{External, helm_upgrade},
    fixtures::{LIMIT, run, stage},
    scenario,
};
use futures::TryStreamExt;
use k8s_openapi::api::{core::v1::ConfigMap, events::v1::Event};
use kube::{
    Api,
    api::{DeleteParams, ListParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;

/// Waits until the operator tells people that it controls the ledger.
async fn noticed(cluster: &Cluster) -> Result<()> {
    let events: Api<Event> = Api::namespaced(cluster.client.clone(), &cluster.operator_namespace);
    let told = watcher(events, watcher::Config::default())
        .default_backoff()
        .applied_objects()
        .try_filter(|event| futures::future::ready(event.reason.as_deref() == Some("OperatorIsController")));
    tokio::time::timeout(LIMIT, Box::pin(told).try_next())
        .await
        .context("no Event OperatorIsController")??;
    Ok(())
}

/// Networks and ledgers whose last head the operator has written down.
async fn remembered(cluster: &Cluster) -> Result<BTreeSet<String>> {
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), &cluster.operator_namespace);
    let map = maps.get_opt("dcanary-checkpoint").await?;
    Ok(map
        .and_then(|map| map.data)
        .unwrap_or_default()
        .into_keys()
        .collect())
}

/// Takes Events of an earlier time away.
async fn forgotten(cluster: &Cluster) -> Result<()> {
    let events: Api<Event> = Api::namespaced(cluster.client.clone(), &cluster.operator_namespace);
    let old = ListParams::default().fields("reason=OperatorIsController");
    events.delete_collection(&DeleteParams::default(), &old).await?;
    Ok(())
}

#[tokio::test]
async fn an_operator_records_on_a_ledger_of_others_and_stops_for_as_long_as_it_controls_that() -> Result<()> {
    let cluster = Cluster::connect().await?;
    let before = remembered(&cluster).await?;
    let outcome = scenario("external", |ns| async move {
        forgotten(&ns.cluster).await?;
        let external = External::deploy(&ns.cluster).await?;
        helm_upgrade(&ns.cluster, &external.values()).await?;
        ns.apply(&run("first", &json!([stage("s", "true")]))).await?;
        ns.recorded("first").await?;
        let trust = external.pin().await?;
        let verified = dcanary(&["-n", &ns.name, "verify", "run", "first", "--trust", &trust]).await?;
        ensure!(verified.status.success(), "{}", said(&verified));

        // a key that could rewrite what it records: nothing is recorded until it cannot any more
        external.shared_with(&[external.operator]).await?;
        // it looks once a minute, and then says so
        noticed(&ns.cluster).await?;
        ns.apply(&run("held", &json!([stage("s", "true")]))).await?;
        let view = ns
            .run_until("held", LIMIT, |view| {
                view.state("Recorded").1 == "OperatorIsController"
            })
            .await?;
        assert_eq!(view.state("Recorded").0, "False", "{:#}", view.status());
        let view = ns.finished("held", LIMIT).await?;
        assert_eq!(
            view.state("Succeeded").0,
            "True",
            "builds do not wait: {:#}",
            view.status()
        );
        external.shared_with(&[]).await?;
        ns.recorded("held").await?;
        let verified = dcanary(&["-n", &ns.name, "verify", "run", "held", "--trust", &trust]).await?;
        ensure!(verified.status.success(), "{}", said(&verified));
        Ok(())
    })
    .await;
    let embedded = json!({"ledger": {
        "embedded": {"enabled": true},
        "external": {"url": "", "rootKey": "", "canister": ""},
    }});
    helm_upgrade(&cluster, &embedded).await?;
    outcome?;
    // and the ledger of before is the one that goes on
    scenario("embedded-again", |ns| async move {
        ns.apply(&run("after", &json!([stage("s", "true")]))).await?;
        ns.verified("after").await?;
        // of every network the operator knows what it has seen
        let kept = remembered(&ns.cluster).await?;
        assert!(
            kept.is_superset(&before) && kept.len() >= 2,
            "{before:?}, then {kept:?}"
        );
        Ok(())
    })
    .await
}

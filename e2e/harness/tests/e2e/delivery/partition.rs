//! StatefulSets with a partition: the Pods from it on are the canary.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use dcanary_crds::Verb;
use dcanary_harness::{Namespace, RunView, example_app::image, fixtures::LIMIT, scenario};
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, api::ListParams};
use serde_json::json;

use super::{
    crashes, decide,
    in_place::{all_of, stateful},
    prepared,
};

/// Of two Pods the second is the canary.
async fn begun(ns: &Namespace) -> Result<()> {
    ns.apply(&stateful(ns, &json!({"partition": 1})).to_string())
        .await?;
    ns.deployed("db", "one", "1").await?;
    all_of(ns, "1").await
}

/// Image and UID of each Pod that stays, by name.
async fn pods(ns: &Namespace) -> Result<BTreeMap<String, (String, String)>> {
    let mine = ListParams::default().labels("dcanary.dev/environment=db");
    let all = ns.api::<Pod>().list(&mine).await?;
    let staying = all
        .items
        .into_iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none());
    Ok(staying
        .filter_map(|pod| {
            let (name, uid) = (pod.name_any(), pod.uid()?);
            Some((name, (pod.spec?.containers.into_iter().next()?.image?, uid)))
        })
        .collect())
}

/// Waits until the Pods from the partition on have the release and a person is waited for.
async fn stops(ns: &Namespace, release: &str) -> Result<RunView> {
    let view = ns
        .environment_until("db", LIMIT, |view| {
            view.rollout()["release"] == release && view.state("Paused") == ("True", "PausedByStep")
        })
        .await?;
    assert_eq!(
        (view.stable(), view.state("Ready").0),
        (Some("one"), "True"),
        "{:#}",
        view.status()
    );
    Ok(view)
}

#[tokio::test]
async fn a_release_stops_at_the_partition_until_a_person_lets_it_on() -> Result<()> {
    scenario("partition", |ns| async move {
        let me = prepared(&ns).await?;
        begun(&ns).await?;
        let before = pods(&ns).await?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "db").await?;
        stops(&ns, "two").await?;
        let now = pods(&ns).await?;
        assert_eq!(now.get("db-0"), before.get("db-0"), "the Pod below the partition");
        let canary = now.get("db-1").context("db-1")?;
        assert_eq!(canary.0, image("2").await?);
        let set = ns.object("statefulset", "db").await?.context("StatefulSet")?;
        assert_eq!(
            set["spec"]["updateStrategy"]["rollingUpdate"]["partition"], 1,
            "{:#}",
            set["spec"]
        );
        decide(&me, Verb::Resume, &promotion).await?;
        ns.promotion_succeeds(&promotion).await?;
        all_of(&ns, "2").await?;
        ns.serves("db", "two").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_abort_at_the_partition_gives_the_pods_from_it_on_the_recorded_template_again() -> Result<()> {
    scenario("partition-abort", |ns| async move {
        let me = prepared(&ns).await?;
        begun(&ns).await?;
        let before = pods(&ns).await?;
        let recorded = ns.object("statefulset", "db").await?.context("StatefulSet")?;
        ns.release("two", "2").await?;
        let promotion = ns.promote("two", "db").await?;
        stops(&ns, "two").await?;
        // nothing but the record says what it was
        ns.releases()
            .delete("one", &kube::api::DeleteParams::default())
            .await?;
        decide(&me, Verb::Abort, &promotion).await?;
        ns.promotion_fails(&promotion, "Aborted").await?;
        all_of(&ns, "1").await?;
        let view = ns.serves("db", "one").await?;
        ensure!(
            view.held().is_empty(),
            "an aborted release is held: {:#}",
            view.status()
        );
        assert_eq!(pods(&ns).await?.get("db-0"), before.get("db-0"));
        let after = ns.object("statefulset", "db").await?.context("StatefulSet")?;
        assert_eq!(after["spec"]["template"], recorded["spec"]["template"]);
        assert_eq!(after["metadata"]["uid"], recorded["metadata"]["uid"]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_release_that_breaks_at_the_partition_goes_back_and_its_broken_pod_is_deleted() -> Result<()> {
    scenario("partition-broken", |ns| async move {
        prepared(&ns).await?;
        begun(&ns).await?;
        let before = pods(&ns).await?;
        let environment = stateful(&ns, &json!({"partition": 1}));
        ns.apply(&environment.to_string()).await?;
        ns.release("bad", "2-crash").await?;
        let promotion = ns.promote("bad", "db").await?;
        crashes(&ns, "db").await?;
        ns.promotion_fails(&promotion, "ProgressDeadlineExceeded").await?;
        all_of(&ns, "1").await?;
        let (now, view) = (pods(&ns).await?, ns.serves("db", "one").await?);
        assert_eq!(now.get("db-0"), before.get("db-0"), "the Pod below the partition");
        ensure!(
            now.get("db-1") != before.get("db-1"),
            "db-1 never had the bad release: this proves nothing"
        );
        assert_eq!(view.held(), ["bad"], "{:#}", view.status());
        Ok(())
    })
    .await
}

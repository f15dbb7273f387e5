//! Environments of several namespaces, side by side, and after a time; and what of another namespace is out of reach.

use anyhow::{Context, Result, ensure};
use dcanary_harness::{
    Namespace,
    cli::{dcanary, said},
    fixtures::{LIMIT, object, run_with, stage},
    kubectl::kubectl,
    person::Person,
    scenario,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::prepared;

/// An Environment of one Pod behind plain Services.
fn small(ns: &Namespace, name: &str) -> Value {
    let mut environment = ns.plain_environment(name, &json!({"blueGreen": {"scaleDownDelay": "3s"}}));
    environment["spec"]["replicas"] = json!(1);
    environment
}

fn time(value: &Value) -> Result<Timestamp> {
    Ok(value.as_str().context("a time")?.parse()?)
}

#[tokio::test]
async fn a_release_waits_until_it_was_stable_long_enough_in_the_environment_before() -> Result<()> {
    scenario("soak", |ns| async move {
        prepared(&ns).await?;
        ns.apply(&small(&ns, "staging").to_string()).await?;
        for (name, from) in [
            ("asked", json!({"name": "staging", "soak": "9s"})),
            (
                "by-itself",
                json!({"name": "staging", "soak": "9s", "auto": true}),
            ),
        ] {
            let mut environment = small(&ns, name);
            environment["spec"]["promotesFrom"] = from;
            ns.apply(&environment.to_string()).await?;
        }
        let staging = ns.deployed("staging", "one", "1").await?;
        let since = time(&staging.status()["stable"]["since"])?;
        let promotion = ns.promote("one", "asked").await?;
        let waits = ns
            .promotion_until(&promotion, LIMIT, |view| {
                view.says("Succeeded").contains("has to stay so until")
            })
            .await?;
        assert_eq!(
            waits.state("Succeeded"),
            ("Unknown", "WaitingForSource"),
            "{:#}",
            waits.status()
        );
        ns.promotion_succeeds(&promotion).await?;
        for name in ["asked", "by-itself"] {
            let view = ns.serves(name, "one").await?;
            let began = time(&view.rollout()["startedAt"])?;
            let waited = began.duration_since(since);
            ensure!(
                waited >= SignedDuration::from_secs(9),
                "{name} began after {waited}: {:#}",
                view.status()
            );
            assert_eq!(
                view.status()["stable"]["images"],
                staging.status()["stable"]["images"]
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn environments_side_by_side_follow_one_of_another_namespace_where_that_is_allowed() -> Result<()> {
    scenario("side-by-side", |ns| async move {
        prepared(&ns).await?;
        scenario("source-of-two", |source| async move {
            source.deployer().await?;
            source.apply(&small(&source, "staging").to_string()).await?;
            for name in ["east", "west"] {
                let mut environment = small(&ns, name);
                environment["spec"]["promotesFrom"] =
                    json!({"name": "staging", "namespace": source.name, "auto": true});
                environment["spec"]["allowedFrom"] = json!({"namespaces": [source.name]});
                ns.apply(&environment.to_string()).await?;
            }
            let staging = source.deployed("staging", "one", "1").await?;
            for name in ["east", "west"] {
                let view = ns.serves(name, "one").await?;
                let (here, there) = (&view.status()["stable"], &staging.status()["stable"]);
                assert_eq!(here["namespace"], source.name.as_str(), "{:#}", view.status());
                assert_eq!(
                    (&here["images"], &here["digest"]),
                    (&there["images"], &there["digest"]),
                    "{:#}",
                    view.status()
                );
            }
            Ok(())
        })
        .await
    })
    .await
}

#[tokio::test]
async fn a_promotion_of_a_namespace_that_is_not_allowed_is_refused_and_told_what_to_do() -> Result<()> {
    scenario("closed", |ns| async move {
        let me: Person = prepared(&ns).await?;
        ns.apply(&small(&ns, "web").to_string()).await?;
        scenario("outside", |outside| async move {
            outside.release("one", "1").await?;
            let into = json!({"environmentRef": {"name": "web", "namespace": ns.name}});
            let promotion = outside.promote_as(&me, "one", "web", into.clone()).await?;
            let refused = outside.promotion_fails(&promotion, "NamespaceNotAllowed").await?;
            let said = refused.says("Succeeded");
            ensure!(
                said.contains(&outside.name) && said.contains("spec.allowedFrom.namespaces"),
                "{said}"
            );
            let view = ns
                .environment_until("web", LIMIT, |view| view.rollout().is_null())
                .await?;
            assert_eq!(view.state("Ready").1, "NoRelease", "{:#}", view.status());
            // and when it is allowed, it comes
            let mut open = small(&ns, "web");
            open["spec"]["allowedFrom"] = json!({"namespaces": [outside.name]});
            ns.apply(&open.to_string()).await?;
            let promotion = outside.promote_as(&me, "one", "web", into).await?;
            outside.promotion_succeeds(&promotion).await?;
            let view = ns.serves("web", "one").await?;
            assert_eq!(
                view.status()["stable"]["namespace"],
                outside.name.as_str(),
                "{:#}",
                view.status()
            );
            Ok(())
        })
        .await
    })
    .await
}

#[tokio::test]
async fn a_namespace_that_does_not_exist_is_named_with_what_to_do() -> Result<()> {
    scenario("namespace-missing", |ns| async move {
        let me: Person = prepared(&ns).await?;
        let nowhere = format!("{}-nowhere", ns.name);
        let mut environment = small(&ns, "web");
        environment["spec"]["promotesFrom"] = json!({"name": "staging", "namespace": nowhere});
        ns.apply(&environment.to_string()).await?;
        ns.release("one", "1").await?;
        let promotion = ns.promote("one", "web").await?;
        let waits = ns
            .promotion_until(&promotion, LIMIT, |view| {
                view.state("Succeeded") == ("Unknown", "WaitingForSource")
            })
            .await?;
        let there_is_none =
            format!("there is no Environment {nowhere}/staging: create it, or change promotesFrom");
        ensure!(
            waits.says("Succeeded").contains(&there_is_none),
            "{:#}",
            waits.status()
        );

        // an environment of that namespace, asked for in an object
        let into = json!({"environmentRef": {"name": "web", "namespace": nowhere}});
        let lost = ns.promote_as(&me, "one", "web", into).await?;
        let told = ns
            .promotion_until(&lost, LIMIT, |view| {
                view.state("Succeeded") == ("Unknown", "EnvironmentNotFound")
            })
            .await?;
        let there_is_none = format!(
            "there is no Environment web in namespace {nowhere}: create it, or delete this promotion"
        );
        ensure!(
            told.says("Succeeded").contains(&there_is_none),
            "{:#}",
            told.status()
        );

        // and by command
        let (here, place) = (ns.name.as_str(), nowhere.as_str());
        for (args, code, parts) in [
            (
                ["-n", place, "promote", "web", "one"].as_slice(),
                5,
                ["Environment web", "dcanary get env"],
            ),
            (
                &["-n", here, "promote", "web", "one", "--from-namespace", place],
                2,
                ["takes no promotions from", "spec.allowedFrom.namespaces"],
            ),
            (
                &["-n", place, "undo", "web"],
                5,
                ["Environment web", "dcanary get env"],
            ),
            (
                &["-n", place, "approve", "web", "--yes"],
                5,
                ["neither a Promotion nor an Environment", "dcanary get promotions"],
            ),
        ] {
            let output = dcanary(args).await?;
            let printed = said(&output);
            assert_eq!(output.status.code(), Some(code), "{args:?}: {printed}");
            ensure!(printed.contains(place), "{args:?}: {printed}");
            for part in parts {
                ensure!(printed.contains(part), "{args:?}: {printed}");
            }
        }

        // without it, what waits goes on
        ns.apply(&small(&ns, "web").to_string()).await?;
        ns.promotion_succeeds(&promotion).await?;
        ns.serves("web", "one").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_run_cannot_name_a_pipeline_of_another_namespace() -> Result<()> {
    scenario("pipeline-elsewhere", |ns| async move {
        scenario("pipeline-owner", |owner| async move {
            let pipeline = json!({"stages": [stage("deploy", "true")]});
            owner.apply(&object("Pipeline", "deploy", &pipeline)).await?;
            let reach = json!({"pipelineRef": {"name": "deploy", "namespace": owner.name}});
            let refused = kubectl(
                &["-n", &ns.name, "create", "--validate=strict", "-f", "-"],
                &run_with("reaches", &reach),
            )
            .await?;
            ensure!(
                !refused.status.success() && said(&refused).contains("spec.pipelineRef.namespace"),
                "{}",
                said(&refused)
            );
            ns.apply(&run_with("plain", &json!({"pipelineRef": {"name": "deploy"}})))
                .await?;
            let view = ns
                .run_until("plain", LIMIT, |view| {
                    view.state("Succeeded").1 == "PipelineNotFound"
                })
                .await?;
            ensure!(
                view.says("Succeeded").contains("in the namespace of the run"),
                "{:#}",
                view.status()
            );
            Ok(())
        })
        .await
    })
    .await
}

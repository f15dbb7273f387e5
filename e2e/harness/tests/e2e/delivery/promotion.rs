//! From one environment to the next: the same digests move, when they have earned it.

use anyhow::{Context, Result, ensure};
use dcanary_crds::Verb;
use dcanary_harness::{Namespace, RunView, fixtures::LIMIT, scenario};
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::{decide, prepared};

async fn stages(ns: &Namespace, from: Value) -> Result<()> {
    let strategy = json!({"blueGreen": {"scaleDownDelay": "3s"}});
    ns.apply(&ns.plain_environment("staging", &strategy).to_string())
        .await?;
    let mut production = ns.plain_environment("production", &strategy);
    production["spec"]["promotesFrom"] = from;
    ns.apply(&production.to_string()).await?;
    Ok(())
}

#[tokio::test]
async fn a_release_that_succeeded_in_staging_goes_to_production_by_itself_with_the_same_digests() -> Result<()>
{
    scenario("staging", |ns| async move {
        prepared(&ns).await?;
        stages(&ns, json!({"name": "staging", "auto": true})).await?;
        for (release, tag) in [("one", "1"), ("two", "2")] {
            let staging = ns.deployed("staging", release, tag).await?;
            let production = ns.serves("production", release).await?;
            let images = |view: &RunView| view.status()["stable"]["images"].clone();
            assert_eq!(images(&staging), images(&production));
        }
        // one promotion for each release, not one for each look
        let all = ns.promotions().list(&ListParams::default()).await?;
        let into = |name: &str| {
            all.items
                .iter()
                .filter(|one| one.data["spec"]["environmentRef"]["name"] == name)
                .count()
        };
        assert_eq!((into("staging"), into("production")), (2, 2));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn production_waits_for_staging_and_says_so() -> Result<()> {
    scenario("source", |ns| async move {
        prepared(&ns).await?;
        stages(&ns, json!({"name": "staging"})).await?;
        ns.release("one", "1").await?;
        let promotion = ns.promote("one", "production").await?;
        let waits = ns
            .promotion_until(&promotion, LIMIT, |view| {
                view.state("Succeeded") == ("Unknown", "WaitingForSource")
            })
            .await?;
        ensure!(
            waits.says("Succeeded").contains("staging"),
            "{:#}",
            waits.status()
        );
        let staged = ns.promote("one", "staging").await?;
        ns.promotion_ended(&staged).await?;
        ns.promotion_succeeds(&promotion).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_older_source_is_refused_unless_it_is_an_undo() -> Result<()> {
    scenario("older", |ns| async move {
        let me = prepared(&ns).await?;
        ns.apply(
            &ns.plain_environment("web", &json!({"blueGreen": {"scaleDownDelay": "3s"}}))
                .to_string(),
        )
        .await?;
        ns.release_at("one", "1", Some(1)).await?;
        ns.release_at("two", "2", Some(2)).await?;
        let promotion = ns.promote("two", "web").await?;
        ns.promotion_ended(&promotion).await?;
        let older = ns.promote("one", "web").await?;
        let refused = ns.promotion_fails(&older, "OlderThanStable").await?;
        ensure!(
            refused.says("Succeeded").contains("undo"),
            "{:#}",
            refused.status()
        );
        let undo = ns.promote_as(&me, "one", "web", json!({"undo": true})).await?;
        ns.promotion_succeeds(&undo).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_release_that_is_held_by_a_person_does_not_come_until_it_is_let() -> Result<()> {
    scenario("hold", |ns| async move {
        let me = prepared(&ns).await?;
        ns.apply(
            &ns.plain_environment("web", &json!({"blueGreen": {"autoPromote": false}}))
                .to_string(),
        )
        .await?;
        ns.deployed("web", "one", "1").await?;
        ns.release("two", "2").await?;
        let first = ns.promote("two", "web").await?;
        let seen = ns
            .promotion_until(&first, LIMIT, |view| view.state("Paused").0 == "True")
            .await?;
        let identity = seen.identity()?.to_owned();
        decide(&me, Verb::Abort, &first).await?;
        ns.promotion_ended(&first).await?;
        let view = ns.serves("web", "one").await?;
        ensure!(
            view.held().is_empty(),
            "an aborted release is not held: {:#}",
            view.status()
        );
        me.decides(Verb::Hold, &view, Some(&identity), Some("it deletes carts"))
            .await?;
        ns.environment_until("web", LIMIT, |view| {
            view.status()["held"][0]["identity"] == identity.as_str()
        })
        .await?;
        let second = ns.promote("two", "web").await?;
        let refused = ns.promotion_fails(&second, "Held").await?;
        ensure!(
            refused.says("Succeeded").contains("it deletes carts"),
            "{:#}",
            refused.status()
        );
        me.decides(Verb::Unhold, &view, Some(&identity), None).await?;
        ns.environment_until("web", LIMIT, |view| {
            view.status()["held"].as_array().is_none_or(Vec::is_empty)
        })
        .await?;
        let third = ns.promote("two", "web").await?;
        ns.promotion_until(&third, LIMIT, |view| view.state("Paused").0 == "True")
            .await
            .context("it comes again")?;
        Ok(())
    })
    .await
}

/// Whoever may write the status of an Environment can make the operator forget. The chain does not.
#[tokio::test]
async fn a_hold_that_somebody_takes_out_of_the_status_is_kept_by_the_ledger() -> Result<()> {
    scenario("hold-removed", |ns| async move {
        let me = prepared(&ns).await?;
        let environment = ns.plain_environment("web", &json!({"blueGreen": {"autoPromote": false}}));
        ns.apply(&environment.to_string()).await?;
        ns.deployed("web", "one", "1").await?;
        ns.release("two", "2").await?;
        let first = ns.promote("two", "web").await?;
        ns.promotion_until(&first, LIMIT, |view| view.state("Paused").0 == "True")
            .await?;
        me.decides(Verb::Reject, &first, None, Some("it deletes carts"))
            .await?;
        ns.promotion_ended(&first).await?;
        ns.environment_until("web", LIMIT, |view| view.held() == ["two"])
            .await?;
        ns.environment_recorded("web").await?;
        let nothing = json!({"status": {"held": null}});
        ns.environments()
            .patch_status("web", &PatchParams::default(), &Patch::Merge(&nothing))
            .await?;
        let second = ns.promote("two", "web").await?;
        let refused = ns.promotion_fails(&second, "RefusedByLedger").await?;
        ensure!(
            refused.says("Succeeded").contains("held"),
            "{:#}",
            refused.status()
        );
        ns.serves("web", "one").await?;
        // nothing is wedged: what may come comes
        ns.release("three", "3").await?;
        let third = ns.promote("three", "web").await?;
        ns.promotion_until(&third, LIMIT, |view| view.state("Paused").0 == "True")
            .await
            .context("another one comes")?;
        Ok(())
    })
    .await
}

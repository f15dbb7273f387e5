//! Approvals and time, and the rules of who may approve that are not the usual ones.

use anyhow::{Context, Result, ensure};
use dcanary_crds::Verb;
use dcanary_harness::{fixtures::LIMIT, scenario};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::{
    SOON,
    approvals::{approvers, guarded, waits},
    canary, prepared,
    steering::one_pod,
};

fn time(value: &Value) -> Result<Timestamp> {
    Ok(value.as_str().context("a time")?.parse()?)
}

#[tokio::test]
async fn a_promotion_that_nobody_approves_in_time_ends_and_deploys_and_holds_nothing() -> Result<()> {
    scenario("approval-timeout", |ns| async move {
        prepared(&ns).await?;
        guarded(&ns, json!({"groups": ["sre"], "timeout": "4s"})).await?;
        let promotion = ns.promote("one", "web").await?;
        waits(&ns, &promotion, 0).await?;
        let ended = ns.promotion_fails(&promotion, "ApprovalTimedOut").await?;
        let status = ended.status();
        let waited = time(&status["finishedAt"])?.duration_since(time(&status["approvableSince"])?);
        ensure!(waited >= SignedDuration::from_secs(4), "after {waited}");
        let view = ns
            .environment_until("web", SOON, |view| view.rollout().is_null())
            .await?;
        ensure!(view.held().is_empty(), "{:#}", view.status());
        let deployments = ns.api::<Deployment>().list(&ListParams::default()).await?;
        ensure!(deployments.items.is_empty(), "something was deployed");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_approval_that_has_ended_counts_no_more() -> Result<()> {
    scenario("approval-expiry", |ns| async move {
        prepared(&ns).await?;
        guarded(&ns, json!({"required": 2, "groups": ["sre"]})).await?;
        let alice = ns.person("alice", &["sre"]).await?;
        let bob = ns.person("bob", &["sre"]).await?;
        let promotion = ns.promote("one", "web").await?;
        let identity = waits(&ns, &promotion, 0).await?.identity()?.to_owned();
        let end = Timestamp::now() + SignedDuration::from_secs(6);
        alice
            .decides_until(Verb::Approve, &promotion, Some(&identity), None, Some(end))
            .await?;
        assert_eq!(approvers(&waits(&ns, &promotion, 1).await?), ["alice"]);
        // it goes by itself
        ns.promotion_until(&promotion, SOON, |view| approvers(view).is_empty())
            .await
            .context("the approval is still shown")?;
        ensure!(Timestamp::now() >= end, "it went before its time");
        bob.decides(Verb::Approve, &promotion, Some(&identity), None)
            .await?;
        let one = waits(&ns, &promotion, 1).await?;
        assert_eq!(approvers(&one), ["bob"], "{:#}", one.status());
        alice
            .decides(Verb::Approve, &promotion, Some(&identity), None)
            .await?;
        let ended = ns.promotion_succeeds(&promotion).await?;
        assert_eq!(approvers(&ended), ["alice", "bob"], "{:#}", ended.status());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn whoever_asked_may_approve_where_that_is_allowed_and_a_named_user_needs_no_group() -> Result<()> {
    scenario("allow-self", |ns| async move {
        prepared(&ns).await?;
        guarded(
            &ns,
            json!({"required": 2, "groups": ["sre"], "users": ["dora"], "allowSelf": true}),
        )
        .await?;
        let alice = ns.person("alice", &["sre"]).await?;
        let dora = ns.person("dora", &[]).await?;
        ns.promoter("alice").await?;
        let promotion = ns.promote_as(&alice, "one", "web", json!({})).await?;
        let identity = waits(&ns, &promotion, 0).await?.identity()?.to_owned();
        alice
            .decides(Verb::Approve, &promotion, Some(&identity), None)
            .await?;
        assert_eq!(approvers(&waits(&ns, &promotion, 1).await?), ["alice"]);
        dora.decides(Verb::Approve, &promotion, Some(&identity), None)
            .await?;
        let ended = ns.promotion_succeeds(&promotion).await?;
        assert_eq!(approvers(&ended), ["alice", "dora"], "{:#}", ended.status());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_pause_and_a_hold_with_a_time_end_by_themselves() -> Result<()> {
    scenario("decision-expiry", |ns| async move {
        let me = prepared(&ns).await?;
        let steps = json!([{"weight": 50}, {"pause": {"duration": "1s"}}]);
        one_pod(&ns, &canary(&steps)).await?;
        ns.release("two", "2").await?;
        let second = ns.promote("two", "web").await?;
        let end = Timestamp::now() + SignedDuration::from_secs(12);
        me.decides_until(Verb::Pause, &second, None, None, Some(end))
            .await?;
        let ended = ns.promotion_succeeds(&second).await?;
        let finished = time(&ended.status()["finishedAt"])?;
        ensure!(
            finished >= end,
            "it went on before its time: {:#}",
            ended.status()
        );

        let view = ns.serves("web", "two").await?;
        ns.release("three", "3").await?;
        let third = ns.promote("three", "web").await?;
        let identity = ns
            .promotion_until(&third, LIMIT, |view| view.identity().is_ok())
            .await?
            .identity()?
            .to_owned();
        let end = Timestamp::now() + SignedDuration::from_secs(8);
        me.decides_until(Verb::Hold, &view, Some(&identity), Some("for now"), Some(end))
            .await?;
        ns.promotion_fails(&third, "Held").await?;
        ns.environment_until("web", SOON, |view| view.held().is_empty())
            .await?;
        ensure!(Timestamp::now() >= end, "it was let go of before its time");
        let again = ns.promote("three", "web").await?;
        ns.promotion_succeeds(&again).await?;
        Ok(())
    })
    .await
}

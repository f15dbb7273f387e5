//! Approvals and time, and the rules of who may approve that are not the usual ones.

use anyhow::{Context, Result, ensure};
use dcanary_crds::{DecidedBy, DecisionSpec, DecisionTarget, Verb, release::DecidedKind};
use dcanary_harness::{Namespace, RunView, person::Person, scenario};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::{
    SOON,
    approvals::{approvers, guarded, waits},
    prepared,
};

/// An approval that does not count from some time on.
async fn approves_until(
    person: &Person,
    ns: &Namespace,
    promotion: &RunView,
    identity: &str,
    end: Timestamp,
) -> Result<()> {
    let spec = DecisionSpec {
        target: DecisionTarget {
            kind: DecidedKind::Promotion,
            name: promotion.name().to_owned(),
            uid: promotion.uid().to_owned(),
            digest: Some(identity.to_owned()),
        },
        verb: Verb::Approve,
        by: DecidedBy {
            username: person.username.clone(),
            groups: person.groups.clone(),
        },
        reason: None,
        expires_at: Some(end),
    };
    person.creates(&ns.name, spec).await?;
    Ok(())
}

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
        approves_until(&alice, &ns, &promotion, &identity, end).await?;
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

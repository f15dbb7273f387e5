//! Approvals: k of n, by the right people, for exactly what they looked at.

use anyhow::{Context, Result, ensure};
use dcanary_crds::{DecidedBy, DecisionSpec, DecisionTarget, PipelineRun, Verb, release::DecidedKind};
use dcanary_harness::{Namespace, RunView, fixtures::LIMIT, scenario};
use kube::{Api, api::PostParams};
use serde_json::{Value, json};

use super::{SOON, prepared};

const GROUP: &str = "release-managers";

pub(super) async fn guarded(ns: &Namespace, approval: Value) -> Result<()> {
    let mut environment = ns.plain_environment("web", &json!({"blueGreen": {}}));
    environment["spec"]["approval"] = approval;
    ns.apply(&environment.to_string()).await?;
    ns.release("one", "1").await
}

/// Waits until a promotion waits for approvals, of which it has so many.
pub(super) async fn waits(ns: &Namespace, promotion: &RunView, approvals: usize) -> Result<RunView> {
    ns.promotion_until(promotion, LIMIT, |view| {
        let counted = view.status()["approvals"].as_array().map_or(0, Vec::len);
        view.state("Succeeded") == ("Unknown", "WaitingForApproval")
            && counted == approvals
            && view.identity().is_ok()
    })
    .await
}

/// By name: which of two of the same second comes first is nobody's promise.
pub(super) fn approvers(view: &RunView) -> Vec<&str> {
    let all = view.status()["approvals"].as_array().into_iter().flatten();
    let mut all: Vec<_> = all.filter_map(|one| one["by"].as_str()).collect();
    all.sort_unstable();
    all
}

#[tokio::test]
async fn two_of_a_group_must_approve_and_nobody_counts_twice_or_from_outside() -> Result<()> {
    scenario("approvals", |ns| async move {
        prepared(&ns).await?;
        guarded(&ns, json!({"required": 2, "groups": [GROUP]})).await?;
        let alice = ns.person("alice", &[GROUP]).await?;
        let bob = ns.person("bob", &[GROUP]).await?;
        let carol = ns.person("carol", &["developers"]).await?;
        let promotion = ns.promote("one", "web").await?;
        let seen = waits(&ns, &promotion, 0).await?;
        let identity = seen.identity()?.to_owned();
        let wrong = format!("sha256:{}", "0".repeat(64));
        carol
            .decides(Verb::Approve, &promotion, Some(&identity), None)
            .await?;
        bob.decides(Verb::Approve, &promotion, Some(&wrong), None).await?;
        bob.decides(Verb::Approve, &promotion, None, None).await?;
        alice
            .decides(Verb::Approve, &promotion, Some(&identity), None)
            .await?;
        alice
            .decides(Verb::Approve, &promotion, Some(&identity), None)
            .await?;
        assert_eq!(approvers(&waits(&ns, &promotion, 1).await?), ["alice"]);
        bob.decides(Verb::Approve, &promotion, Some(&identity), None)
            .await?;
        let ended = ns.promotion_succeeds(&promotion).await?;
        assert_eq!(approvers(&ended), ["alice", "bob"], "{:#}", ended.status());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn whoever_asked_cannot_approve() -> Result<()> {
    scenario("self-approval", |ns| async move {
        prepared(&ns).await?;
        guarded(&ns, json!({"groups": [GROUP]})).await?;
        let alice = ns.person("alice", &[GROUP]).await?;
        let bob = ns.person("bob", &[GROUP]).await?;
        ns.promoter("alice").await?;
        let promotion = ns.promote_as(&alice, "one", "web", json!({})).await?;
        let identity = waits(&ns, &promotion, 0).await?.identity()?.to_owned();
        alice
            .decides(Verb::Approve, &promotion, Some(&identity), None)
            .await?;
        let told = ns
            .promotion_until(&promotion, SOON, |view| view.says("Succeeded").contains("alice"))
            .await
            .context("it is said why the approval does not count")?;
        assert_eq!(told.state("Succeeded").0, "Unknown", "{:#}", told.status());
        bob.decides(Verb::Approve, &promotion, Some(&identity), None)
            .await?;
        let ended = ns.promotion_ended(&promotion).await?;
        assert_eq!(approvers(&ended), ["bob"], "{:#}", ended.status());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_rejection_ends_the_wait_with_its_reason_and_holds_the_release() -> Result<()> {
    scenario("rejection", |ns| async move {
        prepared(&ns).await?;
        guarded(&ns, json!({"groups": [GROUP]})).await?;
        let alice = ns.person("alice", &[GROUP]).await?;
        let promotion = ns.promote("one", "web").await?;
        let identity = waits(&ns, &promotion, 0).await?.identity()?.to_owned();
        let without = alice
            .decides(Verb::Reject, &promotion, Some(&identity), None)
            .await;
        ensure!(
            without
                .err()
                .context("a rejection without reason was taken")?
                .to_string()
                .contains("give a reason")
        );
        alice
            .decides(
                Verb::Reject,
                &promotion,
                Some(&identity),
                Some("the menu is wrong"),
            )
            .await?;
        let ended = ns.promotion_fails(&promotion, "Rejected").await?;
        let said = ended.says("Succeeded");
        ensure!(
            said.contains("alice") && said.contains("the menu is wrong"),
            "{said}"
        );
        ns.environment_until("web", LIMIT, |view| view.held() == ["one"])
            .await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn nobody_decides_in_anothers_name_or_group_or_without_the_right() -> Result<()> {
    scenario("forgery", |ns| async move {
        prepared(&ns).await?;
        guarded(&ns, json!({"groups": [GROUP]})).await?;
        let mallory = ns.person("mallory", &["developers"]).await?;
        let promotion = ns.promote("one", "web").await?;
        let identity = waits(&ns, &promotion, 0).await?.identity()?.to_owned();
        let approval = |username: &str, groups: &[&str]| DecisionSpec {
            target: DecisionTarget {
                kind: DecidedKind::Promotion,
                name: promotion.name().to_owned(),
                uid: promotion.uid().to_owned(),
                digest: Some(identity.clone()),
            },
            verb: Verb::Approve,
            by: DecidedBy {
                username: username.to_owned(),
                groups: groups.iter().map(|&group| group.to_owned()).collect(),
            },
            reason: None,
            expires_at: None,
        };
        for (what, spec) in [
            ("another's name", approval("alice", &[GROUP])),
            ("another's group", approval("mallory", &[GROUP])),
        ] {
            let refused = mallory.creates(&ns.name, spec).await.err();
            ensure!(
                refused
                    .with_context(|| format!("{what} was taken"))?
                    .to_string()
                    .contains("by."),
                "{what}"
            );
        }
        // may create Decisions, but not approve
        ns.decider("dave", &["pause"]).await?;
        let dave = ns.somebody("dave", &[GROUP]).await?;
        let refused = dave
            .decides(Verb::Approve, &promotion, Some(&identity), None)
            .await
            .err();
        ensure!(
            refused
                .context("it was taken without the right")?
                .to_string()
                .contains("approve")
        );
        // nor may a promotion be asked for in another's name
        ns.promoter("mallory").await?;
        let refused = ns
            .promote_as(&mallory, "one", "web", json!({"requestedBy": "alice"}))
            .await
            .err();
        let refused = format!(
            "{:#}",
            refused.context("a promotion in another's name was taken")?
        );
        ensure!(refused.contains("requestedBy"), "{refused}");
        let counted = waits(&ns, &promotion, 0).await?;
        ensure!(approvers(&counted).is_empty());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_tool_that_may_do_everything_asks_for_promotions_and_runs_in_its_own_name_only() -> Result<()> {
    scenario("requests-tool", |ns| async move {
        let username = format!("system:serviceaccount:{}:tool", ns.name);
        let rules = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
        let user = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": username});
        ns.grant("tool", &rules, &user).await?;
        ns.may(&username, "promotions", "requestfor").await?;
        let tool = ns.somebody(&username, &["system:serviceaccounts"]).await?;
        // as a commit in Git says, whose author then approves it
        let refused = ns
            .promote_as(&tool, "one", "web", json!({"requestedBy": "bo"}))
            .await
            .err();
        let refused = format!("{:#}", refused.context("a promotion in another's name was taken")?);
        ensure!(
            refused.contains("requestedBy is bo") && refused.contains(&username),
            "{refused}"
        );
        ns.promote_as(&tool, "one", "web", json!({})).await?;
        let runs: Api<PipelineRun> = Api::namespaced(tool.client.clone(), &ns.name);
        let run = |by: &str| -> Result<PipelineRun> {
            let spec = json!({"pipelineRef": {"name": "none"}, "trigger": {"event": "manual", "by": by}});
            let run = json!({
                "apiVersion": "dcanary.dev/v1alpha1", "kind": "PipelineRun", "metadata": {"generateName": "r-"}, "spec": spec,
            });
            Ok(serde_json::from_value(run)?)
        };
        let refused = runs.create(&PostParams::default(), &run("bo")?).await.err();
        let refused = refused.context("a run in another's name was taken")?.to_string();
        ensure!(refused.contains("trigger.by is bo"), "{refused}");
        runs.create(&PostParams::default(), &run(&username)?).await?;
        Ok(())
    })
    .await
}

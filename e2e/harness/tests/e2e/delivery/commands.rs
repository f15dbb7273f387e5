//! What people type: `dcanary` itself, with the access of whoever calls it and the roles of the chart.

use anyhow::{Context, Result, ensure};
use dcanary_harness::{
    Namespace, RunView,
    cli::{dcanary, said},
    fixtures::LIMIT,
    scenario,
};
use kube::{api::ListParams, config::Kubeconfig};
use serde_json::json;
use tempfile::TempDir;

use super::{
    SOON,
    approvals::{approvers, guarded, waits},
    canary, prepared,
    steering::{one_pod, reaches},
};

/// Somebody at a terminal.
struct Caller<'a> {
    ns: &'a Namespace,
    kubeconfig: String,
    _folder: TempDir,
}

/// What a command printed: its result, and what it says to people.
struct Printed {
    result: String,
    said: String,
}

impl Printed {
    fn says(&self, parts: &[&str]) -> Result<()> {
        for part in parts {
            ensure!(self.said.contains(part), "no `{part}` in: {}", self.said);
        }
        Ok(())
    }
}

impl<'a> Caller<'a> {
    /// A user of some groups with a role of the chart, or one into which the chart's go; with this right it is in force.
    async fn new(
        ns: &'a Namespace,
        username: &str,
        groups: &[&str],
        role: &str,
        right: &str,
    ) -> Result<Self> {
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": username},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": username}],
        });
        ns.apply(&binding.to_string()).await?;
        ns.may(username, "promotions", right).await?;
        let mut kubeconfig = Kubeconfig::read()?;
        for user in &mut kubeconfig.auth_infos {
            let user = user.auth_info.as_mut().context("a user without access")?;
            user.impersonate = Some(username.to_owned());
            let all = groups.iter().copied().chain(["system:authenticated"]);
            user.impersonate_groups = Some(all.map(ToOwned::to_owned).collect());
        }
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("kubeconfig");
        tokio::fs::write(&file, serde_json::to_string(&kubeconfig)?).await?;
        Ok(Self {
            ns,
            kubeconfig: file.to_str().context("path")?.to_owned(),
            _folder: folder,
        })
    }

    /// Runs a command that has to end with this code.
    async fn ends(&self, code: i32, args: &[&str]) -> Result<Printed> {
        let mut all = vec!["--kubeconfig", &self.kubeconfig, "-n", &self.ns.name];
        all.extend(args);
        let output = dcanary(&all).await?;
        ensure!(
            output.status.code() == Some(code),
            "dcanary {}: {} instead of {code}: {}",
            args.join(" "),
            output.status,
            said(&output)
        );
        Ok(Printed {
            result: String::from_utf8(output.stdout)?.trim().to_owned(),
            said: String::from_utf8(output.stderr)?,
        })
    }

    /// Asks for a release in Environment `web`. The Promotion.
    async fn promotes(&self, release: &str) -> Result<RunView> {
        let printed = self.ends(0, &["promote", "web", release]).await?;
        let promotion = view(self.ns, &printed.result).await?;
        let created = format!("Promotion {} is created", promotion.name());
        printed.says(&[
            &created,
            "watch it:",
            &format!("dcanary abort {}", promotion.name()),
        ])?;
        Ok(promotion)
    }
}

async fn view(ns: &Namespace, promotion: &str) -> Result<RunView> {
    let found = ns.promotions().get(promotion).await?;
    Ok(RunView(serde_json::to_value(found)?))
}

async fn decisions(ns: &Namespace) -> Result<usize> {
    Ok(ns.decisions().list(&ListParams::default()).await?.items.len())
}

#[tokio::test]
async fn whoever_may_approve_and_reject_does_so_by_command_and_others_are_told_why_not() -> Result<()> {
    scenario("cli-approvals", |ns| async move {
        prepared(&ns).await?;
        guarded(&ns, json!({"groups": ["sre"]})).await?;
        ns.release("two", "2").await?;
        let alice = Caller::new(&ns, "alice", &["sre"], "dcanary-approver", "approve").await?;
        let bo = Caller::new(&ns, "bo", &["dev"], "admin", "skip").await?;

        let first = bo.promotes("one").await?;
        assert_eq!(first.0["spec"]["requestedBy"], "bo");
        let identity = waits(&ns, &first, 0).await?.identity()?.to_owned();
        let not_bo = bo.ends(2, &["approve", "web", "--yes"]).await?;
        not_bo.says(&["Environment web lets", "sre", "you are bo"])?;
        let nobody = alice.ends(2, &["approve", "web"]).await?;
        nobody.says(&["--yes"])?;
        assert_eq!(decisions(&ns).await?, 0, "something was decided");
        let approved = alice
            .ends(0, &["approve", "web", "--yes", "--reason", "looks good"])
            .await?;
        let about = format!("alice decided: approve Promotion {}", first.name());
        approved.says(&["which waits for approval", "asked for by bo", &identity, &about])?;
        let decision = ns.decisions().get(&approved.result).await?;
        assert_eq!(decision.data["spec"]["reason"], "looks good");
        let ended = ns.promotion_succeeds(&first).await?;
        assert_eq!(approvers(&ended), ["alice"], "{:#}", ended.status());
        let late = alice.ends(2, &["approve", first.name(), "--yes"]).await?;
        late.says(&["has ended", "nothing to approve"])?;

        let second = bo.promotes("two").await?;
        waits(&ns, &second, 0).await?;
        alice.ends(2, &["reject", "web"]).await?.says(&["--reason"])?;
        let why = "the menu is wrong";
        let rejected = alice.ends(0, &["reject", "web", "--reason", why]).await?;
        rejected.says(&[&format!("alice decided: reject Promotion {}", second.name())])?;
        let ended = ns.promotion_fails(&second, "Rejected").await?;
        let said = ended.says("Succeeded");
        ensure!(said.contains("alice") && said.contains(why), "{said}");
        ns.environment_until("web", SOON, |view| view.held() == ["two"])
            .await?;

        // what is held comes when somebody who may lets it
        let held = bo.ends(1, &["promote", "web", "two", "--wait"]).await?;
        held.says(&["Release two is held", "dcanary unhold web two", why])?;
        let denied = alice.ends(5, &["unhold", "web", "two"]).await?;
        denied.says(&["not allowed", "unhold"])?;
        let unheld = bo.ends(0, &["unhold", "web", "two"]).await?;
        unheld.says(&["bo decided: unhold Environment web"])?;
        ns.environment_until("web", SOON, |view| view.held().is_empty())
            .await?;
        bo.ends(2, &["unhold", "web", "two"])
            .await?
            .says(&["nothing to unhold"])?;
        let third = bo.promotes("two").await?;
        let identity = waits(&ns, &third, 0).await?.identity()?.to_owned();
        let other = format!("sha256:{}", "0".repeat(64));
        let looked = alice
            .ends(1, &["approve", third.name(), "--identity", &other])
            .await?;
        looked.says(&["another release", &identity])?;
        alice
            .ends(0, &["approve", third.name(), "--identity", &identity])
            .await?;
        ns.promotion_succeeds(&third).await?;
        ns.serves("web", "two").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_rollout_is_steered_ended_and_undone_by_command() -> Result<()> {
    scenario("cli-steering", |ns| async move {
        prepared(&ns).await?;
        let steps = json!([{"weight": 50}, {"pause": {"duration": "10m"}}, {"pause": {}}]);
        one_pod(&ns, &canary(&steps)).await?;
        ns.release("two", "2").await?;
        ns.release("three", "3").await?;
        let alice = Caller::new(&ns, "alice", &[], "dcanary-approver", "approve").await?;
        let bo = Caller::new(&ns, "bo", &[], "admin", "skip").await?;

        let second = bo.promotes("two").await?;
        reaches(&ns, "1/3", "TimedPause").await?;
        let paused = bo.ends(0, &["pause", "web"]).await?;
        let about = format!("bo decided: pause Promotion {}", second.name());
        paused.says(&["which is under way", &about])?;
        let view = ns
            .environment_until("web", SOON, |view| view.state("Paused") == ("True", "Paused"))
            .await?;
        ensure!(
            view.says("Paused").contains("dcanary resume"),
            "{:#}",
            view.status()
        );
        bo.ends(0, &["resume", "web"])
            .await?
            .says(&["decided: resume Promotion"])?;
        let view = reaches(&ns, "1/3", "TimedPause").await?;
        assert_eq!(view.state("Paused").0, "False", "{:#}", view.status());
        let denied = alice.ends(5, &["skip", "web"]).await?;
        denied.says(&["not allowed", "skip"])?;
        bo.ends(0, &["skip", "web"])
            .await?
            .says(&["decided: skip Promotion"])?;
        reaches(&ns, "2/3", "PausedByStep").await?;
        alice.ends(0, &["resume", second.name()]).await?;
        ns.promotion_succeeds(&second).await?;
        ns.serves("web", "two").await?;

        let undone = bo
            .ends(0, &["undo", "web", "--reason", "orders are lost"])
            .await?;
        undone.says(&[
            "Environment web goes back from two to one",
            "bo decided: undo Environment web",
        ])?;
        let view = ns.serves("web", "one").await?;
        ensure!(view.held().is_empty(), "{:#}", view.status());
        assert_eq!(
            view.status()["history"][0]["release"],
            "two",
            "{:#}",
            view.status()
        );
        let hold = ["hold", "web", "two", "--reason", "it loses orders"];
        alice
            .ends(0, &hold)
            .await?
            .says(&["alice decided: hold Environment web"])?;
        let view = ns
            .environment_until("web", SOON, |view| view.held() == ["two"])
            .await?;
        ensure!(
            view.status()["held"].to_string().contains("it loses orders"),
            "{:#}",
            view.status()
        );
        let nothing = bo.ends(2, &["undo", "web"]).await?;
        nothing.says(&["no earlier release that is not held", "nothing to undo"])?;
        bo.ends(0, &["unhold", "web", "two"]).await?;
        ns.environment_until("web", SOON, |view| view.held().is_empty())
            .await?;

        let third = bo.promotes("three").await?;
        ns.environment_until("web", LIMIT, |view| {
            view.rollout()["release"] == "three" && view.rollout()["reason"] == "TimedPause"
        })
        .await?;
        let aborted = bo
            .ends(0, &["abort", third.name(), "--reason", "too late"])
            .await?;
        aborted.says(&[&format!("bo decided: abort Promotion {}", third.name())])?;
        ns.promotion_fails(&third, "Aborted").await?;
        let view = ns.serves("web", "one").await?;
        ensure!(view.held().is_empty(), "{:#}", view.status());
        bo.ends(2, &["pause", "web"]).await?.says(&["nothing to pause"])?;
        Ok(())
    })
    .await
}

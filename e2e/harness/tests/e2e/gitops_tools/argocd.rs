//! Argo CD: its application controller and its repository server (e2e/cluster/argocd.sh), which also has the health checks that are shipped.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use dcanary_harness::{
    Namespace, RunView,
    fixtures::LIMIT,
    gitops::{BRANCH, InGit, argo_cd},
    metrics::metric,
    scenario,
};
use kube::{
    Api,
    api::DynamicObject,
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

use super::{
    History, Shop, Tool, all_but_the_rules_come_from_git, begun, goes_through, is_contested,
    is_told_the_truth, short_of_patience,
};

const ACCOUNT: &str = "system:serviceaccount:argocd:argocd-application-controller";

/// An Application of the namespace.
struct ArgoCd {
    ns: Namespace,
    metrics: SocketAddr,
    /// What the Application said at every moment.
    told: History,
}

impl ArgoCd {
    /// An Application of a repository that is synced by itself and heals what differs.
    async fn follows(ns: &Namespace, git: &InGit, compare: Value, ignored: Value) -> Result<Self> {
        let metrics = argo_cd().await?;
        let application = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": "shop", "annotations": compare},
            "spec": {
                "project": "default",
                "source": {"repoURL": git.url, "targetRevision": BRANCH, "path": "."},
                "destination": {"server": "https://kubernetes.default.svc", "namespace": ns.name},
                "ignoreDifferences": ignored,
                "syncPolicy": {
                    "automated": {"prune": true, "selfHeal": true},
                    "syncOptions": ["RespectIgnoreDifferences=true", "ServerSideApply=true"],
                },
            },
        });
        ns.apply(&application.to_string()).await?;
        Ok(Self {
            ns: ns.clone(),
            metrics,
            told: History::of(applications(ns), "shop").await?,
        })
    }

    async fn is(&self, health: &[&str], commit: &str) -> Result<RunView> {
        let settled = |view: &RunView| {
            let status = view.status();
            let (sync, said) = (&status["sync"], status["health"]["status"].as_str());
            sync["revision"] == commit
                && sync["status"] == "Synced"
                && said.is_some_and(|said| health.contains(&said))
                && status["operationState"]["phase"] == "Succeeded"
        };
        self.ns
            .object_until(applications(&self.ns), "shop", LIMIT, settled)
            .await
            .with_context(|| format!("the Application at {commit}"))
    }

    /// Commits that it has synced, one for each sync: putting something back is another of the same.
    fn synced(&self) -> Vec<String> {
        let seen = |version: &Value| version["status"]["history"].clone();
        let last = self.told.told(seen).pop().unwrap_or_default();
        let all = last.as_array().into_iter().flatten();
        all.filter_map(|one| one["revision"].as_str().map(str::to_owned))
            .collect()
    }

    /// What it said about the health of all from its first good moment on, without repeats.
    fn health(&self) -> Vec<String> {
        let of = |version: &Value| {
            let said = version["status"]["health"]["status"].as_str();
            said.unwrap_or_default().to_owned()
        };
        let all = self.told.told(of).into_iter();
        all.skip_while(|said| said != "Healthy").collect()
    }
}

impl Tool for ArgoCd {
    const MANAGER: &'static str = "argocd-controller";

    async fn rounds(&self) -> Result<u64> {
        let labels = [("namespace", self.ns.name.as_str())];
        let count = metric(self.metrics, "argocd_app_reconcile_count", &labels).await?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Ok(count as u64)
    }

    /// An Environment that waits for a person is suspended.
    async fn settled(&self, commit: &str) -> Result<()> {
        self.is(&["Healthy", "Suspended"], commit).await.map(drop)
    }
}

fn applications(ns: &Namespace) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Application");
    let resource = ApiResource::from_gvk_with_plural(&kind, "applications");
    Api::namespaced_with(ns.cluster.client.clone(), &ns.name, &resource)
}

/// Without it a route that leaves out what has a default is never in sync.
fn by_the_server() -> Value {
    json!({"argocd.argoproj.io/compare-options": "ServerSideDiff=true"})
}

/// The recipes for a route and for a Deployment that are adopted.
fn recipe() -> Value {
    json!([
        {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "managedFieldsManagers": ["dcanary"]},
        {"group": "apps", "kind": "Deployment", "name": "legacy", "jsonPointers": ["/spec/replicas"]},
    ])
}

#[tokio::test]
async fn a_canary_goes_through_under_argo_cd_that_ignores_what_dcanary_owns() -> Result<()> {
    scenario("argocd-ignores", |ns| async move {
        let shop = Shop::of(&ns).await?;
        let git = shop.served(&ns).await?;
        let first = git.head().await?;
        let argo_cd = ArgoCd::follows(&ns, &git, by_the_server(), recipe()).await?;
        goes_through(&ns, &argo_cd, &git, &shop).await?;
        let last = git.head().await?;
        argo_cd.is(&["Healthy"], &last).await?;
        assert_eq!(argo_cd.synced(), [first, last], "one sync of each commit");
        let health = argo_cd.health();
        println!("health: {health:?}");
        ensure!(health.iter().any(|said| said == "Suspended"), "{health:?}");
        ensure!(!health.iter().any(|said| said == "Degraded"), "{health:?}");
        all_but_the_rules_come_from_git(&ns, &argo_cd, &git, &shop).await
    })
    .await
}

#[tokio::test]
async fn argo_cd_itself_is_named_as_who_changes_the_route_where_nothing_stops_it() -> Result<()> {
    scenario("argocd-contests", |ns| async move {
        let shop = Shop::of(&ns).await?;
        let git = shop.served(&ns).await?;
        let replicas = json!([recipe()[1]]);
        let argo_cd = ArgoCd::follows(&ns, &git, by_the_server(), replicas).await?;
        is_contested(&ns, &argo_cd).await?;
        let degraded = |view: &RunView| view.status()["health"]["status"] == "Degraded";
        ns.object_until(applications(&ns), "shop", LIMIT, degraded)
            .await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn argo_cd_is_well_with_a_release_that_was_aborted_or_rolled_back_or_is_held() -> Result<()> {
    scenario("argocd-health", |ns| async move {
        let environment = short_of_patience(&ns).await?;
        let git = begun(&ns, &environment, ACCOUNT).await?;
        // nothing of our own kinds needs a recipe
        let argo_cd = ArgoCd::follows(&ns, &git, json!({}), json!([])).await?;
        is_told_the_truth(&ns, &argo_cd, &git, &environment, ACCOUNT).await?;
        argo_cd.is(&["Healthy"], &git.head().await?).await?;
        let health = argo_cd.health();
        println!("health: {health:?}");
        ensure!(!health.iter().any(|said| said == "Degraded"), "{health:?}");
        Ok(())
    })
    .await
}

//! Flux: source-controller and kustomize-controller (e2e/cluster/flux.sh).

use std::net::SocketAddr;

use anyhow::{Context, Result};
use dcanary_harness::{
    Namespace, RunView,
    cluster::repository,
    fixtures::LIMIT,
    gitops::{BRANCH, InGit, flux},
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

const ACCOUNT: &str = "system:serviceaccount:flux-system:flux";

/// A Kustomization of the namespace.
struct Flux {
    ns: Namespace,
    metrics: SocketAddr,
    /// What the Kustomization said at every moment.
    told: History,
}

impl Flux {
    /// A Kustomization of a repository that waits for all to be healthy, by the expressions that are shipped.
    async fn follows(ns: &Namespace, git: &InGit, more: Value) -> Result<Self> {
        let metrics = flux().await?;
        let shipped = repository().join("charts/gitops/flux/health-check-exprs.yaml");
        let shipped: Value = serde_saphyr::from_str(&std::fs::read_to_string(shipped)?)?;
        let source = json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": {"name": "shop"},
            "spec": {"interval": "2s", "url": git.url, "ref": {"branch": BRANCH}},
        });
        let mut spec = json!({
            "interval": "3s", "retryInterval": "3s", "timeout": "5m", "prune": true, "wait": true,
            "sourceRef": {"kind": "GitRepository", "name": "shop"}, "path": "./", "targetNamespace": ns.name,
            "healthCheckExprs": shipped["healthCheckExprs"],
        });
        if let (Some(spec), Value::Object(more)) = (spec.as_object_mut(), more) {
            spec.extend(more);
        }
        let kustomization = json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": {"name": "shop"}, "spec": spec,
        });
        ns.apply(&format!("{source}\n---\n{kustomization}")).await?;
        Ok(Self {
            ns: ns.clone(),
            metrics,
            told: History::of(kustomizations(ns), "shop").await?,
        })
    }

    /// What the Kustomization said was wrong, from its first good moment on. It also says so when it stops waiting because Git has changed.
    fn complaints(&self) -> Vec<String> {
        let of = |version: &Value| {
            let view = RunView(version.clone());
            let (status, reason) = view.state("Ready");
            (
                status.to_owned(),
                reason.to_owned(),
                view.says("Ready").to_owned(),
            )
        };
        let all = self.told.told(of).into_iter();
        let bad = all
            .skip_while(|(status, ..)| status != "True")
            .filter(|(status, reason, _)| status == "False" && reason != "HealthCheckCanceled");
        bad.map(|(.., said)| said).collect()
    }
}

impl Tool for Flux {
    const MANAGER: &'static str = "kustomize-controller";

    async fn rounds(&self) -> Result<u64> {
        let labels = [("kind", "Kustomization"), ("namespace", self.ns.name.as_str())];
        let count = metric(self.metrics, "gotk_reconcile_duration_seconds_count", &labels).await?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Ok(count as u64)
    }

    async fn settled(&self, commit: &str) -> Result<()> {
        let revision = format!("{BRANCH}@sha1:{commit}");
        let settled = |view: &RunView| {
            view.status()["lastAppliedRevision"] == revision.as_str() && view.state("Ready").0 == "True"
        };
        self.ns
            .object_until(kustomizations(&self.ns), "shop", LIMIT, settled)
            .await
            .with_context(|| format!("the Kustomization at {revision}"))?;
        Ok(())
    }
}

fn kustomizations(ns: &Namespace) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("kustomize.toolkit.fluxcd.io", "v1", "Kustomization");
    let resource = ApiResource::from_gvk_with_plural(&kind, "kustomizations");
    Api::namespaced_with(ns.cluster.client.clone(), &ns.name, &resource)
}

#[tokio::test]
async fn a_canary_goes_through_under_flux_that_ignores_the_rules_of_the_route() -> Result<()> {
    scenario("flux-ignores", |ns| async move {
        let shop = Shop::of(&ns).await?;
        let git = shop.served(&ns).await?;
        let recipe =
            json!({"ignore": [{"paths": ["/spec/rules"], "target": {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "shop"}}]});
        let flux = Flux::follows(&ns, &git, recipe).await?;
        goes_through(&ns, &flux, &git, &shop).await?;
        assert_eq!(flux.complaints(), [""; 0]);
        all_but_the_rules_come_from_git(&ns, &flux, &git, &shop).await
    })
    .await
}

#[tokio::test]
async fn a_canary_goes_through_under_flux_that_leaves_the_route_once_it_is_there() -> Result<()> {
    scenario("flux-leaves", |ns| async move {
        let mut shop = Shop::of(&ns).await?;
        shop.route["metadata"]["annotations"] = json!({"kustomize.toolkit.fluxcd.io/ssa": "IfNotPresent"});
        let git = shop.served(&ns).await?;
        let flux = Flux::follows(&ns, &git, json!({})).await?;
        goes_through(&ns, &flux, &git, &shop).await?;
        assert_eq!(flux.complaints(), [""; 0]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn flux_itself_is_named_as_who_changes_the_route_where_nothing_stops_it() -> Result<()> {
    scenario("flux-contests", |ns| async move {
        let shop = Shop::of(&ns).await?;
        let git = shop.served(&ns).await?;
        let flux = Flux::follows(&ns, &git, json!({"wait": false})).await?;
        is_contested(&ns, &flux).await
    })
    .await
}

#[tokio::test]
async fn flux_is_well_with_a_release_that_was_aborted_or_rolled_back_or_is_held() -> Result<()> {
    scenario("flux-health", |ns| async move {
        let environment = short_of_patience(&ns).await?;
        let git = begun(&ns, &environment, ACCOUNT).await?;
        let flux = Flux::follows(&ns, &git, json!({})).await?;
        is_told_the_truth(&ns, &flux, &git, &environment, ACCOUNT).await?;
        assert_eq!(flux.complaints(), [""; 0]);
        Ok(())
    })
    .await
}

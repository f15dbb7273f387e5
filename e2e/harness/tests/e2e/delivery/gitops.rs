//! What the recipe for Argo CD (docs/gitops.md) rests on: who owns the rules of a route that Git and the operator both write.

use anyhow::{Context, Result, ensure};
use dcanary_harness::{Namespace, scenario};
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

fn routes(ns: &Namespace) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute");
    let resource = ApiResource::from_gvk_with_plural(&kind, "httproutes");
    Api::namespaced_with(ns.cluster.client.clone(), &ns.name, &resource)
}

/// Managers of the field `spec.rules`.
fn owners(route: &DynamicObject) -> Result<Vec<String>> {
    let fields = serde_json::to_value(&route.metadata.managed_fields)?;
    let all = fields.as_array().context("managedFields")?;
    Ok(all
        .iter()
        .filter(|entry| !entry["fieldsV1"]["f:spec"]["f:rules"].is_null())
        .filter_map(|entry| entry["manager"].as_str().map(str::to_owned))
        .collect())
}

#[tokio::test]
async fn the_rules_of_an_adopted_route_are_the_operators_in_the_eyes_of_argo_cd() -> Result<()> {
    scenario("gitops-route", |ns| async move {
        let wanted: Value = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "shop"},
            "spec": {
                "parentRefs": [{"name": "nowhere"}],
                "rules": [{"name": "app", "backendRefs": [{"name": "web", "port": 80}]}],
            },
        });
        let sync = PatchParams::apply("argocd-controller").force();
        let mut route = routes(&ns).patch("shop", &sync, &Patch::Apply(&wanted)).await?;
        ensure!(owners(&route)? == ["argocd-controller"]);
        // as the operator writes weights: read, change, replace under the version
        route.data["spec"]["rules"][0]["backendRefs"] = json!([
            {"name": "web", "port": 80, "weight": 80}, {"name": "web-candidate", "port": 80, "weight": 20},
        ]);
        let ours = PostParams {
            field_manager: Some("dcanary".to_owned()),
            ..PostParams::default()
        };
        let route = routes(&ns).replace("shop", &ours, &route).await?;
        ensure!(
            owners(&route)? == ["dcanary"],
            "`managedFieldsManagers: [dcanary]` would not cover the rules: {:?}",
            route.metadata.managed_fields
        );
        Ok(())
    })
    .await
}

//! Environments, Releases and Promotions: creating them, and waiting for what becomes of them.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, ListParams, PostParams},
    core::{ApiResource, GroupVersionKind},
    runtime::{conditions, wait::await_condition},
};
use serde_json::{Value, json};

use crate::{Namespace, RunView, example_app, fixtures::LIMIT, person::Person, run::resource};

/// Role with the rights that the service account of an Environment needs, as the chart brings it.
const DEPLOYER: &str = "dcanary-deployer";

/// What deliveries are made of: name, API group, kind.
pub const PARTS: [(&str, &str, &str); 7] = [
    ("deployment", "apps", "Deployment"),
    ("statefulset", "apps", "StatefulSet"),
    ("daemonset", "apps", "DaemonSet"),
    ("service", "", "Service"),
    ("configmap", "", "ConfigMap"),
    ("httproute", "gateway.networking.k8s.io", "HTTPRoute"),
    ("grpcroute", "gateway.networking.k8s.io", "GRPCRoute"),
];

impl Namespace {
    /// Objects of a kind of ours.
    fn ours(&self, kind: &str, plural: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.cluster.client.clone(), &self.name, &resource(kind, plural))
    }

    /// Environments of this namespace.
    pub fn environments(&self) -> Api<DynamicObject> {
        self.ours("Environment", "environments")
    }

    /// Promotions of this namespace.
    pub fn promotions(&self) -> Api<DynamicObject> {
        self.ours("Promotion", "promotions")
    }

    /// Releases of this namespace.
    pub fn releases(&self) -> Api<DynamicObject> {
        self.ours("Release", "releases")
    }

    /// Decisions of this namespace.
    pub fn decisions(&self) -> Api<DynamicObject> {
        self.ours("Decision", "decisions")
    }

    /// The service account `deployer`, with the rights that the operator needs to deploy here.
    ///
    /// # Errors
    /// What the API server answers.
    pub async fn deployer(&self) -> Result<()> {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "deployer"}});
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "deployer"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": DEPLOYER},
            "subjects": [{"kind": "ServiceAccount", "name": "deployer", "namespace": self.name}],
        });
        self.apply(&format!("{account}\n---\n{binding}")).await?;
        Ok(())
    }

    /// A Role of these rules, bound to somebody.
    ///
    /// # Errors
    /// What the API server answers.
    pub async fn grant(&self, name: &str, rules: &Value, subject: &Value) -> Result<()> {
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}, "rules": rules,
        });
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [subject],
        });
        self.apply(&format!("{role}\n---\n{binding}")).await?;
        Ok(())
    }

    /// A Release `name` of an image of the example application.
    ///
    /// # Errors
    /// When there is no such image.
    pub async fn release(&self, name: &str, tag: &str) -> Result<()> {
        self.release_at(name, tag, None).await
    }

    /// The same, from a place in the history of its source.
    ///
    /// # Errors
    /// When there is no such image.
    pub async fn release_at(&self, name: &str, tag: &str, position: Option<i64>) -> Result<()> {
        let mut spec = json!({"images": {"web": example_app::image(tag).await?}});
        if let Some(position) = position {
            spec["source"] = json!({
                "repo": "https://git.example.com/web.git", "ref": "main", "commit": format!("{position:040}"), "position": position,
            });
        }
        let release = json!({"apiVersion": "dcanary.dev/v1alpha1", "kind": "Release", "metadata": {"name": name}, "spec": spec});
        self.apply(&release.to_string()).await?;
        Ok(())
    }

    /// Asks, as whoever the kubeconfig is of, to bring a Release into an Environment. The Promotion's name is the answer's.
    ///
    /// # Errors
    /// What the API server answers.
    pub async fn promote(&self, release: &str, environment: &str) -> Result<RunView> {
        let me = Person::me(&self.cluster).await?;
        self.promote_as(&me, release, environment, json!({})).await
    }

    /// The same as somebody, with further fields of the spec.
    ///
    /// # Errors
    /// What the API server answers.
    pub async fn promote_as(
        &self,
        person: &Person,
        release: &str,
        environment: &str,
        more: Value,
    ) -> Result<RunView> {
        let mut spec = json!({
            "environmentRef": {"name": environment}, "releaseRef": {"name": release}, "requestedBy": person.username,
        });
        if let (Some(spec), Value::Object(more)) = (spec.as_object_mut(), more) {
            spec.extend(more);
        }
        let promotion = json!({
            "apiVersion": "dcanary.dev/v1alpha1", "kind": "Promotion",
            "metadata": {"generateName": format!("{environment}-{release}-")}, "spec": spec,
        });
        let api: Api<DynamicObject> = Api::namespaced_with(
            person.client.clone(),
            &self.name,
            &resource("Promotion", "promotions"),
        );
        let made = api
            .create(&PostParams::default(), &serde_json::from_value(promotion)?)
            .await?;
        Ok(RunView(serde_json::to_value(made)?))
    }

    /// Gives a user the right to create Promotions here.
    ///
    /// # Errors
    /// What the API server answers.
    pub async fn promoter(&self, username: &str) -> Result<()> {
        let rules = json!([
            {"apiGroups": ["dcanary.dev"], "resources": ["promotions"], "verbs": ["create", "get", "list", "watch"]},
        ]);
        let user = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": username});
        self.grant(&format!("promotes-{username}"), &rules, &user).await?;
        self.may(username, "promotions", "create").await
    }

    /// Waits until `wanted` holds for an Environment.
    ///
    /// # Errors
    /// When it does not hold in time; the error holds the last status.
    pub async fn environment_until(
        &self,
        name: &str,
        limit: Duration,
        wanted: impl Fn(&RunView) -> bool,
    ) -> Result<RunView> {
        self.object_until(self.environments(), name, limit, wanted).await
    }

    /// Waits until `wanted` holds for a Promotion.
    ///
    /// # Errors
    /// When it does not hold in time; the error holds the last status.
    pub async fn promotion_until(
        &self,
        promotion: &RunView,
        limit: Duration,
        wanted: impl Fn(&RunView) -> bool,
    ) -> Result<RunView> {
        self.object_until(self.promotions(), promotion.name(), limit, wanted)
            .await
    }

    /// Waits until a Promotion has ended.
    ///
    /// # Errors
    /// When it has not in time; the error holds its last status.
    pub async fn promotion_ended(&self, promotion: &RunView) -> Result<RunView> {
        self.promotion_until(promotion, LIMIT, |view| view.state("Finished").0 == "True")
            .await
    }

    /// Waits until a Promotion has come to its good end.
    ///
    /// # Errors
    /// When it comes to another one, or to none in time; the error holds its last status.
    pub async fn promotion_succeeds(&self, promotion: &RunView) -> Result<RunView> {
        let ended = self.promotion_ended(promotion).await?;
        ensure!(
            ended.state("Succeeded").0 == "True",
            "{} was not promoted: {:#}",
            ended.name(),
            ended.status()
        );
        Ok(ended)
    }

    /// Waits until a Promotion has failed, for this reason and no other.
    ///
    /// # Errors
    /// When it comes to another end, or to none in time; the error holds its last status.
    pub async fn promotion_fails(&self, promotion: &RunView, reason: &str) -> Result<RunView> {
        let ended = self.promotion_ended(promotion).await?;
        ensure!(
            ended.state("Succeeded") == ("False", reason),
            "{} did not fail with {reason}: {:#}",
            ended.name(),
            ended.status()
        );
        Ok(ended)
    }

    /// Brings an image of the example application into an Environment, as Release `name`, to its good end.
    ///
    /// # Errors
    /// When it does not come to a good end.
    pub async fn deployed(&self, environment: &str, name: &str, tag: &str) -> Result<RunView> {
        self.release(name, tag).await?;
        let promotion = self.promote(name, environment).await?;
        self.promotion_succeeds(&promotion).await?;
        self.serves(environment, name).await
    }

    /// Waits until a Release is the stable one of an Environment, and ready.
    ///
    /// # Errors
    /// When it is not in time; the error holds the last status.
    pub async fn serves(&self, environment: &str, release: &str) -> Result<RunView> {
        self.environment_until(environment, LIMIT, |view| {
            view.stable() == Some(release) && view.state("Ready").0 == "True"
        })
        .await
    }

    /// Waits until the candidate of an Environment has a weight in force and a person is waited for.
    ///
    /// # Errors
    /// When it does not come to that in time; the error holds the last status.
    pub async fn pauses_at(&self, environment: &str, weight: i64) -> Result<RunView> {
        self.environment_until(environment, LIMIT, |view| {
            view.rollout()["weight"] == weight && view.state("Paused").0 == "True"
        })
        .await
    }

    /// Objects of another API that deliveries are made of, by kind as `kubectl` spells it.
    ///
    /// # Errors
    /// When tests do not look at that kind.
    pub fn parts(&self, kind: &str) -> Result<Api<DynamicObject>> {
        let Some((_, group, kind)) = PARTS.into_iter().find(|part| part.0 == kind) else {
            bail!("`{kind}` is not among the kinds that tests look at");
        };
        let plural = format!("{}s", kind.to_lowercase());
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind), &plural);
        Ok(Api::namespaced_with(
            self.cluster.client.clone(),
            &self.name,
            &resource,
        ))
    }

    /// One of them as JSON; `None` when there is none of that name.
    ///
    /// # Errors
    /// What the API server answers.
    pub async fn object(&self, kind: &str, name: &str) -> Result<Option<Value>> {
        let found = self.parts(kind)?.get_opt(name).await?;
        Ok(found.map(serde_json::to_value).transpose()?)
    }

    /// Waits until a Deployment has no Pods any more, or is gone.
    ///
    /// # Errors
    /// When it still has some after `LIMIT`.
    pub async fn scaled_to_zero(&self, deployment: &str) -> Result<()> {
        let empty = |found: Option<&Deployment>| {
            found.is_none_or(|found| {
                let wanted = found.spec.as_ref().and_then(|spec| spec.replicas);
                let status = found.status.as_ref();
                wanted == Some(0) && status.and_then(|status| status.replicas).unwrap_or(0) == 0
            })
        };
        let emptied = await_condition(self.api::<Deployment>(), deployment, empty);
        tokio::time::timeout(LIMIT, emptied)
            .await
            .with_context(|| format!("{deployment} still has Pods after {LIMIT:?}"))??;
        Ok(())
    }

    /// UIDs of the Pods with a label.
    ///
    /// # Errors
    /// What the API server answers.
    pub async fn pods_labelled(&self, selector: &str) -> Result<BTreeSet<String>> {
        let pods = self
            .api::<Pod>()
            .list(&ListParams::default().labels(selector))
            .await?;
        Ok(pods
            .items
            .into_iter()
            .filter_map(|pod| pod.metadata.uid)
            .collect())
    }

    /// Deletes an Environment and waits until it is gone.
    ///
    /// # Errors
    /// When it is not gone in time.
    pub async fn environment_gone(&self, name: &str) -> Result<()> {
        let api = self.environments();
        let uid = api.get(name).await?.metadata.uid.context("uid")?;
        api.delete(name, &DeleteParams::default()).await?;
        let gone = await_condition(api, name, conditions::is_deleted(&uid));
        tokio::time::timeout(LIMIT, gone)
            .await
            .with_context(|| format!("{name} is not gone after {LIMIT:?}"))??;
        Ok(())
    }
}

impl RunView {
    /// Name of the object.
    pub fn name(&self) -> &str {
        self.0["metadata"]["name"].as_str().unwrap_or("")
    }

    /// Name of the stable release of an Environment.
    pub fn stable(&self) -> Option<&str> {
        self.status()["stable"]["release"].as_str()
    }

    /// The rollout of an Environment.
    pub fn rollout(&self) -> &Value {
        &self.status()["rollout"]
    }

    /// Identity that a Promotion shows.
    ///
    /// # Errors
    /// When it shows none yet.
    pub fn identity(&self) -> Result<&str> {
        let identity = self.status()["identity"].as_str();
        identity.with_context(|| format!("no identity in {:#}", self.status()))
    }

    /// What a condition says to people.
    pub fn says(&self, kind: &str) -> &str {
        self.condition(kind)
            .and_then(|condition| condition["message"].as_str())
            .unwrap_or("")
    }

    /// Names of the releases that an Environment holds.
    pub fn held(&self) -> Vec<&str> {
        let all = self.status()["held"].as_array().into_iter().flatten();
        all.filter_map(|one| one["release"].as_str()).collect()
    }
}

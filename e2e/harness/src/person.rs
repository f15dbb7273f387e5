//! People: users of the cluster who decide.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use dcanary_crds::{DecidedBy, Decision, DecisionSpec, DecisionTarget, GROUP, Verb, release::DecidedKind};
use jiff::Timestamp;
use k8s_openapi::api::{authentication::v1::SelfSubjectReview, authorization::v1::SubjectAccessReview};
use kube::{Api, Client, Config, api::PostParams, config::KubeConfigOptions};
use serde_json::json;
use tokio::time::{interval, timeout};

use crate::{Cluster, Namespace, RunView, fixtures::LIMIT};

/// Time between questions whether a right is in force by now.
const BEAT: Duration = Duration::from_millis(50);

/// Verbs that a role grants to people who decide.
const VERBS: [&str; 11] = [
    "approve", "reject", "abort", "pause", "resume", "skip", "undo", "hold", "unhold", "retry", "override",
];

/// Somebody who decides.
#[derive(Clone)]
pub struct Person {
    /// Client with the rights of this person.
    pub client: Client,
    /// User name, as the API server knows it.
    pub username: String,
    /// Groups under which decisions are made.
    pub groups: Vec<String>,
}

impl Person {
    /// Whoever the kubeconfig is of.
    ///
    /// # Errors
    /// When the API server does not tell.
    pub async fn me(cluster: &Cluster) -> Result<Self> {
        let reviews: Api<SelfSubjectReview> = Api::all(cluster.client.clone());
        let asked = SelfSubjectReview::default();
        let user = reviews
            .create(&PostParams::default(), &asked)
            .await?
            .status
            .and_then(|status| status.user_info)
            .context("who am I?")?;
        Ok(Self {
            client: cluster.client.clone(),
            username: user.username.context("a user without name")?,
            groups: Vec::new(),
        })
    }

    /// Decides about an object of a namespace. An approval is for the release that the object shows now.
    ///
    /// # Errors
    /// What the API server answers.
    pub async fn decides(
        &self,
        verb: Verb,
        about: &RunView,
        digest: Option<&str>,
        reason: Option<&str>,
    ) -> Result<Decision, kube::Error> {
        self.decides_until(verb, about, digest, reason, None).await
    }

    /// The same, counting until then.
    ///
    /// # Errors
    /// What the API server answers.
    pub async fn decides_until(
        &self,
        verb: Verb,
        about: &RunView,
        digest: Option<&str>,
        reason: Option<&str>,
        end: Option<Timestamp>,
    ) -> Result<Decision, kube::Error> {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let kind = if about.0["kind"] == "Environment" {
            DecidedKind::Environment
        } else {
            DecidedKind::Promotion
        };
        let spec = DecisionSpec {
            target: DecisionTarget {
                kind,
                name: text(&about.0["metadata"]["name"]),
                uid: about.uid().to_owned(),
                digest: digest.map(ToOwned::to_owned),
            },
            verb,
            by: DecidedBy {
                username: self.username.clone(),
                groups: self.groups.clone(),
            },
            reason: reason.map(ToOwned::to_owned),
            expires_at: end,
        };
        self.creates(&text(&about.0["metadata"]["namespace"]), spec).await
    }

    /// Creates a Decision as it is given, also one that is not allowed.
    ///
    /// # Errors
    /// What the API server answers.
    pub async fn creates(&self, namespace: &str, spec: DecisionSpec) -> Result<Decision, kube::Error> {
        let mut decision = Decision::new("", spec);
        decision.metadata.name = None;
        decision.metadata.generate_name = Some("e2e-".to_owned());
        let decisions: Api<Decision> = Api::namespaced(self.client.clone(), namespace);
        decisions.create(&PostParams::default(), &decision).await
    }
}

impl Namespace {
    /// A user of this namespace in some groups, with the right to decide here.
    ///
    /// # Errors
    /// When the right cannot be given.
    pub async fn person(&self, username: &str, groups: &[&str]) -> Result<Person> {
        self.decider(username, &VERBS).await?;
        self.somebody(username, groups).await
    }

    /// A user in some groups, without any right.
    ///
    /// # Errors
    /// When there is no kubeconfig.
    pub async fn somebody(&self, username: &str, groups: &[&str]) -> Result<Person> {
        let groups: Vec<String> = groups.iter().map(|&group| group.to_owned()).collect();
        let mut config = Config::from_kubeconfig(&KubeConfigOptions::default()).await?;
        config.auth_info.impersonate = Some(username.to_owned());
        let mut all = groups.clone();
        all.push("system:authenticated".to_owned());
        config.auth_info.impersonate_groups = Some(all);
        Ok(Person {
            client: Client::try_from(config)?,
            username: username.to_owned(),
            groups,
        })
    }

    /// Gives a user the right to some verbs on promotions and environments of this namespace.
    ///
    /// # Errors
    /// What the API server answers.
    pub async fn decider(&self, username: &str, verbs: &[&str]) -> Result<()> {
        let name = format!("decides-{username}");
        let mut all = vec!["get", "list", "watch"];
        all.extend(verbs);
        let rules = json!([
            {"apiGroups": ["dcanary.dev"], "resources": ["promotions", "environments"], "verbs": all},
            {"apiGroups": ["dcanary.dev"], "resources": ["decisions"], "verbs": ["create", "get", "list"]},
        ]);
        let user = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": username});
        self.grant(&name, &rules, &user).await?;
        self.may(username, "decisions", "create").await
    }

    /// Waits until the API server lets a user do something with our objects here: a right is in force some moments after it was given.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn may(&self, username: &str, resource: &str, verb: &str) -> Result<()> {
        let reviews: Api<SubjectAccessReview> = Api::all(self.cluster.client.clone());
        let attributes = json!({"namespace": self.name, "group": GROUP, "resource": resource, "verb": verb});
        let asked = json!({"metadata": {}, "spec": {"user": username, "resourceAttributes": attributes}});
        let asked: SubjectAccessReview = serde_json::from_value(asked)?;
        let mut beat = interval(BEAT);
        let allowed = async {
            loop {
                beat.tick().await;
                let answer = reviews.create(&PostParams::default(), &asked).await?;
                if answer.status.is_some_and(|status| status.allowed) {
                    return Ok(());
                }
            }
        };
        match timeout(LIMIT, allowed).await {
            Ok(answer) => answer,
            Err(_) => bail!("{username} may not {verb} {resource}"),
        }
    }
}

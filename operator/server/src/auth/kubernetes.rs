//! The real Kubernetes.

use std::collections::{BTreeMap, HashSet};

use dcanary_protocol::AUDIENCE;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DynamicObject, ListParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Config, ResourceExt};
use serde_json::Value;

use super::relay::{Answer, Call, Relay, RelayError};
use super::{Audience, Cluster, ClusterError, OwnerRun, PodFacts, Readable, RunFacts, User};

const GROUP: &str = "dcanary.dev";
const VERSION: &str = "v1alpha1";
const PAGE: u32 = 500;

/// A cluster behind a client.
pub struct Kubernetes {
    client: Client,
    relay: Relay,
    runs: ApiResource,
}

fn failed(what: &'static str) -> impl FnOnce(kube::Error) -> ClusterError {
    move |source| ClusterError {
        what,
        source: Box::new(source),
    }
}

impl Kubernetes {
    /// Asks the API server of a configuration.
    ///
    /// # Errors
    /// When its authority or the credentials cannot be read.
    pub fn new(config: Config) -> Result<Self, kube::Error> {
        let relay = Relay::new(config.clone())?;
        let client = Client::try_from(config)?;
        let runs = ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk(GROUP, VERSION, "PipelineRun"),
            "pipelineruns",
        );
        Ok(Self { client, relay, runs })
    }
}

fn facts(pod: &Pod) -> PodFacts {
    let label = |key: &str| pod.labels().get(key).cloned();
    let owner = pod.owner_references().iter().find(|owner| {
        owner.controller == Some(true)
            && owner.kind == "PipelineRun"
            && owner
                .api_version
                .split_once('/')
                .is_some_and(|(group, _)| group == GROUP)
    });
    PodFacts {
        uid: pod.uid().unwrap_or_default(),
        owner_run: owner.map(|owner| OwnerRun {
            name: owner.name.clone(),
            uid: owner.uid.clone(),
        }),
        run_uid: label("dcanary.dev/run-uid"),
        stage: label("dcanary.dev/stage"),
        attempt: label("dcanary.dev/attempt").and_then(|number| number.parse().ok()),
    }
}

fn run_facts(run: &Value) -> RunFacts {
    let list = |value: &Value, path: &str| -> Vec<Value> {
        let found = value.pointer(path).and_then(Value::as_array);
        found.cloned().unwrap_or_default()
    };
    let finished = |condition: &Value| condition["type"] == "Finished" && condition["status"] == "True";
    let stages = list(run, "/status/stages");
    let mut facts = RunFacts {
        finished: list(run, "/status/conditions").iter().any(finished),
        ..RunFacts::default()
    };
    for stage in &stages {
        for attempt in list(stage, "/attempts") {
            let number = attempt["number"]
                .as_u64()
                .and_then(|number| number.try_into().ok());
            match (attempt["podUid"].as_str(), stage["name"].as_str(), number) {
                (Some(pod), ..) => drop(facts.pods.insert(pod.to_owned())),
                (None, Some(stage), Some(number)) if attempt["outcome"].is_null() => {
                    facts.unnamed.insert((stage.to_owned(), number));
                }
                _ => {}
            }
        }
    }
    facts
}

#[async_trait::async_trait]
impl Cluster for Kubernetes {
    async fn review(&self, token: &str, audience: Audience) -> Result<Option<User>, ClusterError> {
        let audiences = match audience {
            Audience::Server => Some(vec![AUDIENCE.to_owned()]),
            Audience::ApiServer => None,
        };
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.to_owned()),
                audiences,
            },
            ..TokenReview::default()
        };
        let api: Api<TokenReview> = Api::all(self.client.clone());
        let answer = api
            .create(&PostParams::default(), &review)
            .await
            .map_err(failed("review a token"))?;
        let Some(status) = answer.status.filter(|status| status.authenticated == Some(true)) else {
            return Ok(None);
        };
        // An authenticator that knows no audiences answers without them; such a token was not made for us.
        let for_us = status
            .audiences
            .unwrap_or_default()
            .iter()
            .any(|audience| audience == AUDIENCE);
        if audience == Audience::Server && !for_us {
            return Ok(None);
        }
        Ok(status.user.map(|user| User {
            name: user.username.unwrap_or_default(),
            uid: user.uid.unwrap_or_default(),
            groups: user.groups.unwrap_or_default(),
            extra: user.extra.unwrap_or_default().into_iter().collect(),
        }))
    }

    async fn may_read(&self, user: &User, kind: Readable, namespace: &str) -> Result<bool, ClusterError> {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(user.name.clone()),
                uid: Some(user.uid.clone()).filter(|uid| !uid.is_empty()),
                groups: Some(user.groups.clone()),
                extra: Some(user.extra.iter().cloned().collect::<BTreeMap<_, _>>()),
                resource_attributes: Some(ResourceAttributes {
                    group: Some(GROUP.to_owned()),
                    resource: Some(kind.resource().to_owned()),
                    verb: Some("get".to_owned()),
                    namespace: Some(namespace.to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answer = api
            .create(&PostParams::default(), &review)
            .await
            .map_err(failed("review an access"))?;
        Ok(answer
            .status
            .is_some_and(|status| status.allowed && status.denied != Some(true)))
    }

    async fn pod(&self, namespace: &str, name: &str) -> Result<Option<PodFacts>, ClusterError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        Ok(api
            .get_opt(name)
            .await
            .map_err(failed("get a Pod"))?
            .as_ref()
            .map(facts))
    }

    async fn run(&self, namespace: &str, name: &str, uid: &str) -> Result<Option<RunFacts>, ClusterError> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &self.runs);
        let run = api.get_opt(name).await.map_err(failed("get a PipelineRun"))?;
        Ok(run
            .filter(|run| run.uid().as_deref() == Some(uid))
            .map(|run| run_facts(&run.data)))
    }

    async fn run_uids(&self) -> Result<HashSet<String>, ClusterError> {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &self.runs);
        let mut uids = HashSet::new();
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let list = api
                .list_metadata(&page)
                .await
                .map_err(failed("list PipelineRuns"))?;
            uids.extend(list.items.iter().filter_map(ResourceExt::uid));
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page.continue_token = Some(token),
                None => return Ok(uids),
            }
        }
    }

    async fn relay(&self, token: &str, call: Call) -> Result<Answer, RelayError> {
        self.relay.send(token, call).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_controller_of_our_group_is_an_owner() {
        let pod = |api_version: &str, controller: bool| -> Pod {
            serde_json::from_value(serde_json::json!({"metadata": {"uid": "p", "ownerReferences": [
                {"apiVersion": api_version, "kind": "PipelineRun", "name": "r", "uid": "u", "controller": controller}
            ]}}))
            .unwrap_or_default()
        };
        assert!(facts(&pod("dcanary.dev/v1alpha1", true)).owner_run.is_some());
        assert!(facts(&pod("dcanary.dev/v1alpha1", false)).owner_run.is_none());
        assert!(facts(&pod("tekton.dev/v1", true)).owner_run.is_none());
    }

    #[test]
    fn a_run_names_the_pods_of_all_attempts_that_began() {
        let run = serde_json::json!({"status": {
            "conditions": [{"type": "Finished", "status": "True"}],
            "stages": [
                {"name": "a", "attempts": [{"number": 1, "podUid": "u"}, {"number": 2, "podUid": "v"}]},
                {"name": "b", "attempts": [{"number": 1, "outcome": "Refused"}, {"number": 2}]},
                {"name": "c"},
            ],
        }});
        let facts = run_facts(&run);
        assert!(facts.finished);
        assert_eq!(facts.pods, HashSet::from(["u".to_owned(), "v".to_owned()]));
        assert_eq!(facts.unnamed, HashSet::from([("b".to_owned(), 2)]));
        assert_eq!(run_facts(&serde_json::json!({})), RunFacts::default());
    }
}

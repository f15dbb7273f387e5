//! What the Gateways of a route can do. No watch tells of it: it is read while a rollout is under way that mirrors requests in one of its steps.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use dcanary_crds::Environment;
use dcanary_rollout::{Seen, seen::GatewayFeatures, traffic};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind},
};

use super::{index::Place, memory::Read};
use crate::{context::Context, ledger::chain};

/// What was read so long ago is read again.
const FRESH: Duration = Duration::from_secs(10);

/// Whether a step mirrors requests, and its rollout is under way.
fn is_asked(environment: &Environment) -> bool {
    let status = environment.status.as_ref();
    let rollout = status.and_then(|status| status.rollout.as_ref());
    let canary = environment.spec.strategy.canary.as_ref();
    let mut steps = canary.into_iter().flat_map(|canary| &canary.steps);
    rollout.is_some_and(|rollout| rollout.finished_at.is_none())
        && steps.any(|step| step.mirror.is_some_and(|percent| percent > 0))
}

/// What is known of the Gateways of an Environment's route.
pub async fn read(
    ctx: &Context,
    environment: &Environment,
    seen: &Seen,
) -> BTreeMap<Place, Result<GatewayFeatures, String>> {
    if !is_asked(environment) {
        return BTreeMap::new();
    }
    let uid = environment.uid().unwrap_or_default();
    let named = traffic::gateways(environment, seen);
    let mut known = ctx.environments.memory.with(&uid, |memory| {
        memory
            .gateways
            .retain(|place, read| named.contains(place) && read.at.elapsed() < FRESH);
        memory.gateways.clone()
    });
    for place in named {
        if known.contains_key(&place) {
            continue;
        }
        let answer = features(&ctx.client, &place).await;
        let read = Read {
            at: Instant::now(),
            answer: answer.map(Some),
        };
        known.insert(place, read);
    }
    ctx.environments
        .memory
        .with(&uid, |memory| memory.gateways.clone_from(&known));
    let answers = known.into_iter();
    answers
        .map(|(place, read)| (place, read.answer.map(Option::unwrap_or_default)))
        .collect()
}

/// Reads a Gateway and its class. `Err`: the answer.
async fn features(client: &Client, (namespace, name): &Place) -> Result<GatewayFeatures, String> {
    let resource = |kind| {
        let kind = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", kind);
        ApiResource::from_gvk(&kind)
    };
    let gateways: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource("Gateway"));
    let gateway = gateways.get(name).await.map_err(|error| chain(&error))?;
    let class = gateway.data.pointer("/spec/gatewayClassName");
    let class = class.and_then(serde_json::Value::as_str).unwrap_or_default();
    let classes: Api<DynamicObject> = Api::all_with(client.clone(), &resource("GatewayClass"));
    let class = classes.get(class).await.map_err(|error| chain(&error))?;
    let class = serde_json::to_value(class).map_err(|error| error.to_string())?;
    Ok(GatewayFeatures::of(&class))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Answer, ApiServer, context, environment};

    fn mirroring(finished: bool) -> Environment {
        let mut mirroring = serde_json::to_value(environment("env-1")).unwrap();
        mirroring["spec"]["strategy"] = json!({"canary": {"steps": [{"mirror": 10}]}});
        mirroring["spec"]["traffic"] = json!({"ports": [{"port": 80}], "route": {"template": {"parentRefs": [
            {"name": "gateway", "namespace": "infra"},
        ]}}});
        let mut rollout = json!({
            "promotion": "p", "promotionNamespace": "team", "promotionUid": "p", "release": "r", "identity": "i", "workload": "w",
        });
        if finished {
            rollout["finishedAt"] = json!("2026-01-01T00:00:00Z");
        }
        mirroring["status"] = json!({"rollout": rollout});
        serde_json::from_value(mirroring).unwrap()
    }

    fn gateway_api(path: &str) -> Option<Value> {
        let (name, rest) = match path {
            "/apis/gateway.networking.k8s.io/v1/namespaces/infra/gateways/gateway" => {
                ("gateway", json!({"spec": {"gatewayClassName": "envoy"}}))
            }
            "/apis/gateway.networking.k8s.io/v1/gatewayclasses/envoy" => (
                "envoy",
                json!({"status": {"supportedFeatures": [{"name": "HTTPRouteRequestMirror"}]}}),
            ),
            _ => return None,
        };
        let mut object = rest;
        object["metadata"] = json!({"name": name});
        Some(object)
    }

    #[tokio::test]
    async fn the_class_of_each_gateway_is_read_at_most_once_in_ten_seconds_and_only_for_a_rollout_that_mirrors()
     {
        let api = ApiServer::start(|request| match gateway_api(&request.path) {
            Some(object) => Answer::ok(&object),
            None => Answer::error(404, "NotFound", &request.path),
        });
        let ctx = context(api.client());
        let seen = Seen::default();
        assert!(read(&ctx, &mirroring(true), &seen).await.is_empty());
        assert!(api.all("GET").is_empty());
        for _ in 0..3 {
            let found = read(&ctx, &mirroring(false), &seen).await;
            let expected = GatewayFeatures {
                class: "envoy".to_owned(),
                features: ["HTTPRouteRequestMirror".to_owned()].into(),
            };
            let place = ("infra".to_owned(), "gateway".to_owned());
            assert_eq!(found, BTreeMap::from([(place, Ok(expected))]));
        }
        assert_eq!(api.all("GET").len(), 2);
    }

    #[tokio::test]
    async fn a_right_that_is_missing_is_told_in_the_words_of_the_api_server() {
        let api = ApiServer::start(|_| Answer::error(403, "Forbidden", "gateways \"gateway\" is forbidden"));
        let ctx = context(api.client());
        let found = read(&ctx, &mirroring(false), &Seen::default()).await;
        let answer = found.into_values().next().unwrap().unwrap_err();
        assert!(answer.contains("gateways \"gateway\" is forbidden"), "{answer}");
    }
}

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod adopt;
mod budget;
mod changes;
mod copies;
mod identity;
mod images;
mod in_place;
mod names;
mod pods;
mod releases;
mod runs;
mod state;

use std::collections::BTreeMap;

use dcanary_crds::{DeployedRelease, Environment, Release};
use serde_json::{Value, json};

use super::{Candidate, candidate};
use crate::{
    plan::{Effect, Write},
    seen::{Key, Kind, Seen},
};

pub(super) const UID: &str = "0c9d5a1e-7a52-4b43-9d0c-5f1f1f6d0b11";
pub(super) const WEB: &str =
    "registry.example.com/web@sha256:1111111111111111111111111111111111111111111111111111111111111111";
pub(super) const TOOLS: &str =
    "registry.example.com/tools@sha256:2222222222222222222222222222222222222222222222222222222222222222";

/// An Environment owned by a GitOps tool, whose Pods refer to ConfigMaps in every way there is.
const ENVIRONMENT: &str = r#"
apiVersion: dcanary.dev/v1alpha1
kind: Environment
metadata:
  name: web
  namespace: team-a
  uid: 0c9d5a1e-7a52-4b43-9d0c-5f1f1f6d0b11
  labels: {app.kubernetes.io/instance: apps, argocd.argoproj.io/instance: apps}
  annotations: {argocd.argoproj.io/tracking-id: "apps:dcanary.dev/Environment:team-a/web"}
spec:
  replicas: 3
  workload:
    configMaps: [app, flags]
    secrets: [keys]
    template:
      labels: {team: a, dcanary.dev/release: forged}
      spec:
        minReadySeconds: 5
        template:
          metadata:
            labels: {tier: front, dcanary.dev/environment-uid: forged, app.kubernetes.io/name: other}
            annotations: {prometheus.io/scrape: "true", dcanary.dev/identity: forged}
            creationTimestamp: null
          spec:
            volumes:
              - {name: conf, configMap: {name: app, items: [{key: log, path: log}]}}
              - {name: all, projected: {sources: [{configMap: {name: flags}}, {configMap: {name: other}}, {secret: {name: app}}]}}
              - {name: plain, configMap: {name: other}}
              - {name: app, secret: {secretName: app}}
            initContainers:
              - name: migrate
                image: $(images.tools)
                envFrom: [{configMapRef: {name: app}}, {secretRef: {name: app}}]
            containers:
              - name: server
                image: $(images.web)
                env:
                  - {name: LOG, valueFrom: {configMapKeyRef: {name: app, key: log}}}
                  - {name: KEY, valueFrom: {secretKeyRef: {name: app, key: key}}}
                  - {name: NAME, value: app}
                envFrom: [{configMapRef: {name: flags}, prefix: F_}, {configMapRef: {name: other}}]
              - {name: proxy, image: "proxy:1", env: [{name: MODE, valueFrom: {configMapKeyRef: {name: flags, key: mode}}}]}
  strategy: {canary: {steps: [{weight: 10}]}}
  traffic: {ports: [{port: 80}]}
"#;

pub(super) fn environment() -> Environment {
    serde_saphyr::from_str(ENVIRONMENT).unwrap()
}

/// The same, updated in place, as another kind and with a `rolling` section.
pub(super) fn rolling(kind: &str, rolling: Value) -> Environment {
    let mut env = serde_json::to_value(environment()).unwrap();
    env["spec"]["strategy"] = json!({"rolling": rolling});
    env["spec"]["workload"]["template"]["kind"] = kind.into();
    if kind == "StatefulSet" {
        env["spec"]["workload"]["template"]["spec"]["volumeClaimTemplates"] =
            json!([{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]);
    }
    serde_json::from_value(env).unwrap()
}

/// The same, with a Deployment that exists.
pub(super) fn adopting(name: &str, strategy: Value) -> Environment {
    let mut env = serde_json::to_value(environment()).unwrap();
    env["spec"]["workload"]["template"] = Value::Null;
    env["spec"]["workload"]["ref"] = json!({"name": name});
    env["spec"]["strategy"] = strategy;
    serde_json::from_value(env).unwrap()
}

pub(super) fn release_of(name: &str, images: &[(&str, &str)]) -> Release {
    let images: BTreeMap<&str, &str> = images.iter().copied().collect();
    serde_json::from_value(json!({
        "apiVersion": "dcanary.dev/v1alpha1", "kind": "Release",
        "metadata": {"name": name, "namespace": "builds"},
        "spec": {"images": images, "source": {"repo": "https://git.example.com/web.git", "commit": "a1b2c3"}},
    }))
    .unwrap()
}

pub(super) fn release() -> Release {
    release_of("web-7", &[("web", WEB), ("tools", TOOLS)])
}

/// The configuration that the Environment tracks.
pub(super) fn seen() -> Seen {
    let mut seen = Seen::default();
    put(
        &mut seen,
        json!({"kind": "ConfigMap", "metadata": {"name": "app", "uid": "cm-1", "labels": {"app.kubernetes.io/instance": "apps"}, "annotations": {"a": "b"}}, "data": {"log": "info"}}),
    );
    put(
        &mut seen,
        json!({"kind": "ConfigMap", "metadata": {"name": "flags", "uid": "cm-2"}, "data": {"mode": "fast"}, "binaryData": {"blob": "AAEC"}}),
    );
    seen.secrets.insert("keys".to_owned(), "sha256:5ec".to_owned());
    seen
}

pub(super) fn kind(object: &Value) -> Kind {
    let name = object["kind"].as_str().unwrap();
    [
        Kind::Deployment,
        Kind::StatefulSet,
        Kind::DaemonSet,
        Kind::Service,
        Kind::ConfigMap,
        Kind::Pod,
        Kind::PodDisruptionBudget,
        Kind::PipelineRun,
    ]
    .into_iter()
    .find(|kind| kind.name() == name)
    .unwrap()
}

pub(super) fn put(seen: &mut Seen, object: Value) {
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    if kind(&object) == Kind::Pod {
        seen.pods.insert(name, object);
    } else {
        seen.objects.insert(Key::new(kind(&object), name), object);
    }
}

/// Carries a write out as an API server does: versions, a UID, defaults.
pub(super) fn apply(write: &Write, seen: &mut Seen) {
    let mut object = write.object.clone();
    assert_eq!(
        write.key,
        Key::new(kind(&object), object["metadata"]["name"].as_str().unwrap())
    );
    let before = seen.objects.get(&write.key);
    let version = before.and_then(|before| before["metadata"]["resourceVersion"].as_str());
    assert_eq!(
        object["metadata"]["resourceVersion"].as_str(),
        version,
        "a creation where something is, or an old version: {}",
        write.key.name
    );
    let number: u64 = version.map_or(0, |version| version.parse().unwrap());
    object["metadata"]["resourceVersion"] = (number + 1).to_string().into();
    object["metadata"]["generation"] = (number + 1).into();
    if before.is_none() {
        object["metadata"]["uid"] = format!("uid-{}", write.key.name).into();
    }
    if let Some(template) = object.pointer_mut("/spec/template/spec") {
        template["dnsPolicy"] = "ClusterFirst".into();
        template["restartPolicy"] = "Always".into();
        template["terminationGracePeriodSeconds"] = 30.into();
        for container in template["containers"].as_array_mut().unwrap() {
            container["terminationMessagePath"] = "/dev/termination-log".into();
            container["imagePullPolicy"] = "IfNotPresent".into();
            container["resources"] = json!({});
        }
    }
    if let Some(Value::Object(spec)) = object.get_mut("spec") {
        spec.entry("minReadySeconds").or_insert_with(|| 0.into());
    }
    seen.objects.insert(write.key.clone(), object);
}

pub(super) fn apply_all(writes: &[Write], seen: &mut Seen) {
    for write in writes {
        apply(write, seen);
    }
}

pub(super) fn written(effect: &Effect) -> &Write {
    match effect {
        Effect::Write(write) => write,
        other => panic!("no write: {other:?}"),
    }
}

pub(super) fn made(env: &Environment, seen: &Seen) -> Candidate {
    candidate(env, &release(), seen).unwrap()
}

pub(super) fn deployed(candidate: &Candidate) -> DeployedRelease {
    DeployedRelease {
        release: candidate.release.clone(),
        namespace: candidate.namespace.clone(),
        identity: candidate.identity.clone(),
        workload: candidate.workload.clone(),
        images: candidate.images.clone(),
        ..DeployedRelease::default()
    }
}

/// A Deployment that was there before any Environment, as the API server gives it.
pub(super) fn existing(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "team-a", "uid": "old-uid", "resourceVersion": "5", "generation": 2,
            "labels": {"app": "shop", "app.kubernetes.io/name": "shop", "argocd.argoproj.io/instance": "apps"}},
        "spec": {
            "replicas": 4,
            "selector": {"matchLabels": {"app": "shop"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": {
                "metadata": {"labels": {"app": "shop", "app.kubernetes.io/name": "shop"}, "creationTimestamp": null},
                "spec": {
                    "containers": [{"name": "server", "image": "shop:1", "imagePullPolicy": "IfNotPresent",
                        "terminationMessagePath": "/dev/termination-log", "resources": {},
                        "envFrom": [{"configMapRef": {"name": "app"}}]}],
                    "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                        {"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector":
                            {"matchExpressions": [{"key": "app", "operator": "In", "values": ["shop"]}]}}}]}},
                    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway",
                        "labelSelector": {"matchLabels": {"app": "shop"}}}],
                    "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "terminationGracePeriodSeconds": 30,
                },
            },
        },
        "status": {"observedGeneration": 2, "replicas": 4, "readyReplicas": 4, "availableReplicas": 4, "updatedReplicas": 4},
    })
}

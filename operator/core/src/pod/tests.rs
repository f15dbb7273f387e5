#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, io::Read as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dcanary_crds::{ExecutorSpec, PipelineRef, PipelineRun, PipelineRunStatus, Profile};
use k8s_openapi::api::core::v1::Pod;

use super::pod;
use crate::{
    Delivery, Observed, Settings,
    definition::{Definition, MAX_RESOLVED_BYTES},
    observed::SeenExecutor,
    plan::Subject,
    resolve::resolve,
};

const RUN: &str = r#"
metadata: {name: web-7, namespace: team-a, uid: 0c9d}
spec:
  params: [{name: version, value: "1\"; touch /pwned; $(id)"}]
  source: {repo: "https://git.example.com/web.git", ref: main, commit: a123456789012345678901234567890123456789}
  pipelineSpec:
    params: [{name: version}]
    source: {repo: "https://git.example.com/web.git", credentials: git-login}
    imagePullSecrets: [pull]
    stages:
      - name: build
        executor: c-1
        timeout: 10m
        env:
          - {name: TAG, value: "v$(params.version)"}
          - {name: API_KEY, secret: {name: keys, key: api}}
        secrets: [{name: certs}]
        resources: {requests: {cpu: 500m}}
        podTemplate: {nodeSelector: {disk: ssd}, labels: {team: a, dcanary.dev/run: forged}, readOnlyRootFilesystem: true}
        steps:
          - checkout: {}
          - run: make test
            shell: [/bin/bash, -e]
          - artifact: {paths: [out/]}
"#;

fn executor(profile: Profile) -> ExecutorSpec {
    serde_saphyr::from_str::<ExecutorSpec>(
        "{image: 'gcc:14', resources: {limits: {memory: 1Gi}}, podTemplate: {tolerations: [{key: ci, operator: Exists}]}, env: [{name: CC, value: gcc}]}",
    )
    .map(|spec| ExecutorSpec { profile, ..spec })
    .unwrap()
}

fn settings(delivery: Delivery) -> Settings {
    Settings {
        runner_image: "registry.example.com/runner:0.1".into(),
        delivery,
        server_url: "https://server.dcanary.svc:8443".into(),
        server_ca: "PEM".into(),
        labels: BTreeMap::from([("cost-centre".into(), "7".into())]),
        ..Settings::default()
    }
}

fn build(delivery: Delivery, profile: Profile, cluster: bool) -> (PipelineRun, Definition, Pod) {
    let mut run: serde_json::Value = serde_saphyr::from_str(RUN).unwrap();
    run["apiVersion"] = "dcanary.dev/v1alpha1".into();
    run["kind"] = "PipelineRun".into();
    let run: PipelineRun = serde_json::from_value(run).unwrap();
    let seen = Observed {
        executors: BTreeMap::from([(
            "c-1".to_owned(),
            SeenExecutor {
                spec: executor(profile),
                cluster,
            },
        )]),
        ..Observed::default()
    };
    let definition = resolve(&run.spec, &seen).unwrap();
    let subject = Subject {
        run: &run,
        definition: &definition,
        status: &PipelineRunStatus::default(),
        index: 0,
        attempt: 1,
    };
    let made = pod(subject, &settings(delivery)).unwrap();
    assert_eq!(
        made,
        pod(subject, &settings(delivery)).unwrap(),
        "the same attempt gave another Pod"
    );
    (run, definition, made)
}

/// The Pod with the plan unpacked, so that a snapshot can be read.
fn readable(pod: &Pod) -> serde_json::Value {
    let mut value = serde_json::to_value(pod).unwrap();
    let env = value["spec"]["containers"][0]["env"].as_array_mut().unwrap();
    let plan = env.iter().find(|var| var["name"] == "DCANARY_PLAN_0").unwrap()["value"].clone();
    let packed = STANDARD.decode(plan.as_str().unwrap()).unwrap();
    let mut json = String::new();
    zstd::stream::read::Decoder::new(packed.as_slice())
        .unwrap()
        .read_to_string(&mut json)
        .unwrap();
    let plan: serde_json::Value = serde_json::from_str(&json).unwrap();
    env.retain(|var| var["name"] != "DCANARY_PLAN_0");
    serde_json::json!({"pod": value, "plan": plan})
}

#[test]
fn a_pod_with_an_image_volume() {
    insta::assert_yaml_snapshot!(readable(
        &build(Delivery::ImageVolume, Profile::Restricted, false).2
    ));
}

#[test]
fn a_pod_with_an_init_container() {
    let (_, _, pod) = build(Delivery::Init, Profile::Restricted, false);
    let spec = pod.spec.unwrap();
    insta::assert_yaml_snapshot!((spec.init_containers, spec.volumes));
}

#[test]
fn only_a_cluster_executor_leaves_the_restricted_profile() {
    let (_, _, own) = build(Delivery::ImageVolume, Profile::Baseline, false);
    let (_, _, cluster) = build(Delivery::ImageVolume, Profile::Userns, true);
    let non_root = |pod: &Pod| {
        pod.spec
            .as_ref()
            .unwrap()
            .security_context
            .as_ref()
            .unwrap()
            .run_as_non_root
    };
    assert_eq!(non_root(&own), Some(true));
    assert_eq!(non_root(&cluster), None);
    assert_eq!(cluster.spec.unwrap().host_users, Some(false));
}

#[test]
fn a_definition_is_read_back_from_a_status_and_a_changed_one_is_refused() {
    let (_, definition, _) = build(Delivery::ImageVolume, Profile::Restricted, false);
    let (encoded, digest) = (
        definition.encode(MAX_RESOLVED_BYTES).unwrap(),
        crate::definition::text(&definition.digest().unwrap()),
    );
    assert_eq!(
        Definition::decode(Some(&encoded), Some(&digest)).unwrap(),
        definition
    );
    let mut other = definition.clone();
    other.stages[0].image = "evil:1".into();
    assert!(Definition::decode(Some(&other.encode(MAX_RESOLVED_BYTES).unwrap()), Some(&digest)).is_err());
    assert!(Definition::decode(Some("AAAA"), Some(&digest)).is_err());
}

#[test]
fn credentials_of_the_pipeline_never_go_to_another_repository_of_the_run() {
    let (mut run, definition, _) = build(Delivery::ImageVolume, Profile::Restricted, false);
    let of = |run: &PipelineRun| crate::credentials::of(run, &definition, &definition.stages[0]);
    assert_eq!(
        of(&run)[0].mount(),
        "/var/run/dcanary/credentials/0/git.example.com"
    );
    run.spec.source.as_mut().unwrap().repo = Some("https://evil.example.com/web.git".into());
    assert!(of(&run).is_empty());
}

#[test]
fn credentials_of_a_step_go_to_another_repository_only_if_its_author_named_that() {
    let (mut run, mut definition, _) = build(Delivery::ImageVolume, Profile::Restricted, false);
    let inline = run.spec.pipeline_spec.take();
    run.spec.pipeline_ref = Some(PipelineRef { name: "web".into() });
    let of = |run: &PipelineRun, definition: &Definition| -> Vec<(String, String)> {
        crate::credentials::of(run, definition, &definition.stages[0])
            .into_iter()
            .map(|credentials| (credentials.secret, credentials.host))
            .collect()
    };
    let sent_to = |host: &str| vec![("git-token".to_owned(), host.to_owned())];
    definition.stages[0].stage.steps[0]
        .checkout
        .as_mut()
        .unwrap()
        .credentials = Some("git-token".into());
    assert_eq!(of(&run, &definition), sent_to("git.example.com"));
    run.spec.source.as_mut().unwrap().repo = Some("https://evil.example.com/web.git".into());
    assert!(of(&run, &definition).is_empty());
    // nor if the pipeline leaves the repository to its runs
    let mut without = definition.clone();
    without.source = None;
    assert!(of(&run, &without).is_empty());
    // a step that names its repository says itself where its Secret goes
    let mut named = definition.clone();
    named.stages[0].stage.steps[0].checkout.as_mut().unwrap().repo =
        Some("https://lib.example.com/lib.git".into());
    assert_eq!(of(&run, &named), sent_to("lib.example.com"));
    // and of an inline definition the author is the run's
    run.spec.pipeline_ref = None;
    run.spec.pipeline_spec = inline;
    assert_eq!(of(&run, &definition), sent_to("evil.example.com"));
}

//! The Pod of a stage attempt: one main container, in it the runner.
//!
//! ```text
//! image volume or init container ─▶ /dcanary/dcanary-runner      projected token ─▶ /var/run/dcanary/token
//! plan (JSON, zstd, base64) ─▶ DCANARY_PLAN_0 …                   emptyDir ─▶ /workspace, /tmp
//! ```

mod env;
mod name;
mod program;
mod proof;
mod security;
mod volumes;

use std::collections::BTreeMap;

use dcanary_crds::{GROUP, PodTemplate, Resources, VERSION, labels};
use k8s_openapi::{
    api::core::v1::{Container, LocalObjectReference, Pod, PodSpec, ResourceRequirements, Toleration},
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{ObjectMeta, OwnerReference},
    },
};

pub use name::{label, pod_name};
pub use proof::{PROOF, PodKey};

use crate::{
    plan::{self, PlanError, Subject},
    seen_pod::CONTAINER,
    settings::Settings,
};

/// Time between SIGTERM and SIGKILL for the whole Pod, in seconds: the runner needs some of it after its steps have ended.
pub const POD_GRACE: u64 = plan::GRACE + 10;
/// How much later than all other limits the kubelet's own deadline is.
const DEADLINE_MARGIN: u64 = 120;

/// Builds the Pod of an attempt. Equal subjects give equal Pods.
///
/// # Errors
/// When there is no plan for it.
pub fn pod(subject: Subject<'_>, settings: &Settings) -> Result<Pod, PlanError> {
    let plan = plan::plan(subject)?;
    let Some(stage) = subject.definition.stages.get(subject.index) else {
        return Err(plan::refused("InternalError", "the definition has no such stage"));
    };
    let template = template(
        stage
            .executor
            .as_ref()
            .and_then(|executor| executor.pod_template.as_ref()),
        stage.stage.pod_template.as_ref(),
    );
    let profile = stage
        .executor
        .as_ref()
        .map(|executor| executor.profile)
        .unwrap_or_default();
    let volumes = volumes::volumes(subject, stage, settings);
    let mut env = env::plan(&plan)?;
    program::check(&plan)?;
    env.extend(env::fixed(settings));
    env.extend(env::secrets(stage));
    let main = Container {
        name: CONTAINER.to_owned(),
        image: Some(stage.image.clone()),
        command: Some(vec![volumes::RUNNER.to_owned()]),
        env: Some(env),
        working_dir: Some(volumes::WORKSPACE.to_owned()),
        resources: resources(
            stage
                .executor
                .as_ref()
                .and_then(|executor| executor.resources.as_ref()),
            stage.stage.resources.as_ref(),
        ),
        security_context: Some(security::container(profile, &template)),
        volume_mounts: Some(volumes.mounts),
        ..Container::default()
    };
    let spec = PodSpec {
        containers: vec![main],
        init_containers: volumes.init.map(|mut init| {
            init.security_context = Some(security::container(profile, &template));
            vec![init]
        }),
        volumes: Some(volumes.volumes),
        restart_policy: Some("Never".to_owned()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(security::pod(profile, &template)),
        host_users: security::host_users(profile),
        termination_grace_period_seconds: Some(seconds(POD_GRACE)),
        active_deadline_seconds: Some(seconds(
            stage.pending_timeout(subject.definition.timeouts)
                + stage.timeout()
                + POD_GRACE
                + DEADLINE_MARGIN,
        )),
        node_selector: some(template.node_selector.clone()),
        tolerations: tolerations(&template),
        runtime_class_name: template.runtime_class_name.clone(),
        priority_class_name: template.priority_class_name.clone(),
        image_pull_secrets: pull_secrets(subject, stage),
        ..PodSpec::default()
    };
    Ok(Pod {
        metadata: metadata(subject, stage.stage.name.as_str(), &template, settings),
        spec: Some(spec),
        status: None,
    })
}

fn metadata(subject: Subject<'_>, stage: &str, template: &PodTemplate, settings: &Settings) -> ObjectMeta {
    let meta = &subject.run.metadata;
    let name = meta.name.clone().unwrap_or_default();
    let uid = meta.uid.clone().unwrap_or_default();
    let pipeline = subject
        .run
        .spec
        .pipeline_ref
        .as_ref()
        .map_or(name.as_str(), |pipeline| pipeline.name.as_str());
    let foreign = |(key, _): &(&String, &String)| !key.starts_with("dcanary.dev/");
    let mut all: BTreeMap<String, String> = template
        .labels
        .iter()
        .chain(&settings.labels)
        .filter(foreign)
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    all.extend(
        [
            ("app.kubernetes.io/managed-by", "dcanary".to_owned()),
            (labels::RUN, label(&name)),
            (labels::RUN_UID, label(&uid)),
            (labels::PIPELINE, label(pipeline)),
            (labels::STAGE, label(stage)),
            (labels::ATTEMPT, subject.attempt.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    );
    let mut annotations: BTreeMap<String, String> = template
        .annotations
        .iter()
        .filter(foreign)
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    let pod = pod_name(&name, &uid, stage, subject.attempt);
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    annotations.insert(PROOF.to_owned(), settings.pod_key.proof(namespace, &uid, &pod));
    ObjectMeta {
        name: Some(pod),
        namespace: meta.namespace.clone(),
        labels: Some(all),
        annotations: some(annotations),
        finalizers: Some(vec![labels::OBSERVED.to_owned()]),
        owner_references: Some(vec![OwnerReference {
            api_version: format!("{GROUP}/{VERSION}"),
            kind: "PipelineRun".to_owned(),
            name,
            uid,
            controller: Some(true),
            block_owner_deletion: Some(true),
        }]),
        ..ObjectMeta::default()
    }
}

/// The executor's fields with those of the stage over them.
fn template(executor: Option<&PodTemplate>, stage: Option<&PodTemplate>) -> PodTemplate {
    let (mut base, over) = (
        executor.cloned().unwrap_or_default(),
        stage.cloned().unwrap_or_default(),
    );
    base.labels.extend(over.labels);
    base.annotations.extend(over.annotations);
    base.node_selector.extend(over.node_selector);
    base.tolerations.extend(over.tolerations);
    base.runtime_class_name = over.runtime_class_name.or(base.runtime_class_name);
    base.priority_class_name = over.priority_class_name.or(base.priority_class_name);
    base.run_as_user = over.run_as_user.or(base.run_as_user);
    base.run_as_group = over.run_as_group.or(base.run_as_group);
    base.read_only_root_filesystem |= over.read_only_root_filesystem;
    base
}

fn tolerations(template: &PodTemplate) -> Option<Vec<Toleration>> {
    let list = template.tolerations.iter().map(|toleration| Toleration {
        key: toleration.key.clone(),
        operator: toleration.operator.clone(),
        value: toleration.value.clone(),
        effect: toleration.effect.clone(),
        toleration_seconds: None,
    });
    Some(list.collect::<Vec<_>>()).filter(|list| !list.is_empty())
}

fn resources(executor: Option<&Resources>, stage: Option<&Resources>) -> Option<ResourceRequirements> {
    let pick = |field: fn(&Resources) -> &BTreeMap<String, String>| {
        let lists = executor.into_iter().chain(stage).flat_map(field);
        some(
            lists
                .map(|(name, value)| (name.clone(), Quantity(value.clone())))
                .collect(),
        )
    };
    let (requests, limits) = (pick(|r| &r.requests), pick(|r| &r.limits));
    (requests.is_some() || limits.is_some()).then_some(ResourceRequirements {
        requests,
        limits,
        claims: None,
    })
}

fn pull_secrets(
    subject: Subject<'_>,
    stage: &crate::definition::StageDefinition,
) -> Option<Vec<LocalObjectReference>> {
    let mut names: Vec<&String> = Vec::new();
    let executor = stage
        .executor
        .iter()
        .flat_map(|executor| &executor.image_pull_secrets);
    for name in subject.definition.image_pull_secrets.iter().chain(executor) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let list: Vec<LocalObjectReference> = names
        .into_iter()
        .map(|name| LocalObjectReference { name: name.clone() })
        .collect();
    Some(list).filter(|list| !list.is_empty())
}

fn some<V>(map: BTreeMap<String, V>) -> Option<BTreeMap<String, V>> {
    Some(map).filter(|map| !map.is_empty())
}

fn seconds(seconds: u64) -> i64 {
    // the API server takes at most 2^31-1
    i64::try_from(seconds)
        .unwrap_or(i64::MAX)
        .min(i64::from(i32::MAX))
}

#[cfg(test)]
mod tests;

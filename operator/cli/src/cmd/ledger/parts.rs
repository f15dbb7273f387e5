//! The parts of an installation that have to do with the embedded node, as the chart makes them.

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::{Container, Pod, PodSpec, Volume},
};
use serde_json::{Value, json};

use crate::exit::Failure;

/// The node's container.
pub const CONTAINER: &str = "node";
/// The node's program in the image.
pub const NODE: &str = "/bin/dcanary-node";
/// The node's data folder.
pub const DATA: &str = "/data/node";

/// Annotation of the operator's Deployment: how many replicas it had before it was made to rest.
pub const REPLICAS: &str = "dcanary.dev/replicas-before-restore";

/// Names that the chart makes of the name of the installation: Helm's release, or `nameOverride`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The node's StatefulSet and Service.
    pub ledger: String,
    /// The node's Pod.
    pub pod: String,
    /// The claim of the node's volume.
    pub claim: String,
    /// The Secret with the node's keys.
    pub keys: String,
    /// The Pod that restores.
    pub restore: String,
    /// The operator's Deployment.
    pub operator: String,
}

impl Names {
    /// The names that go with the node's Service: pure.
    ///
    /// # Errors
    /// When the chart makes no such Service.
    pub fn of_service(service: &str) -> Result<Self, Failure> {
        let name = service
            .strip_suffix("-ledger")
            .filter(|name| !name.is_empty())
            .ok_or_else(|| {
                Failure::failed(format!(
                    "the ledger is behind Service {service}, which is not one of the chart (NAME-ledger)"
                ))
            })?;
        Ok(Self {
            ledger: service.to_owned(),
            pod: format!("{service}-0"),
            claim: format!("data-{service}-0"),
            keys: format!("{service}-keys"),
            restore: format!("{service}-restore"),
            operator: format!("{name}-operator"),
        })
    }
}

/// Replicas that the operator has when it does not rest: pure. An interrupted restore leaves it with none and the number in its annotation;
/// one without replicas and annotation is switched off by nobody's will that can be seen, and a ledger without an operator is of no use.
pub fn replicas_of_operator(operator: &Deployment) -> i32 {
    let spec = operator.spec.as_ref();
    let present = spec.and_then(|spec| spec.replicas).unwrap_or(1);
    if present > 0 {
        return present;
    }
    let annotations = operator.metadata.annotations.as_ref();
    annotations
        .and_then(|all| all.get(REPLICAS)?.parse().ok())
        .filter(|before| *before > 0)
        .unwrap_or(1)
}

/// A Pod that puts a backup, which it reads from its standard input, in the place of the node's data: image, rights and volume are those of
/// the node. Pure.
///
/// # Errors
/// What the StatefulSet does not have.
pub fn restore_pod(ledger: &StatefulSet, names: &Names, incarnation: u64) -> Result<Pod, &'static str> {
    let template = ledger.spec.as_ref().and_then(|spec| spec.template.spec.clone());
    let spec: PodSpec = template.ok_or("it has no template")?;
    let node = spec
        .containers
        .iter()
        .find(|container| container.name == CONTAINER)
        .ok_or("it has no container `node`")?;
    let mut mounts = node.volume_mounts.clone().unwrap_or_default();
    mounts.retain(|mount| mount.name == "data" || mount.name == "tmp");
    if !mounts.iter().any(|mount| mount.name == "data") {
        return Err("its container has no volume `data`");
    }
    let mut volumes: Vec<Volume> = spec.volumes.clone().unwrap_or_default();
    volumes.retain(|volume| volume.name == "tmp");
    volumes.push(of(
        json!({"name": "data", "persistentVolumeClaim": {"claimName": names.claim}}),
    )?);
    let mut command = vec![NODE, "restore", "--data", DATA, "--replace", "--incarnation"];
    let incarnation = incarnation.to_string();
    command.push(&incarnation);
    let container = Container {
        name: CONTAINER.to_owned(),
        image: node.image.clone(),
        image_pull_policy: node.image_pull_policy.clone(),
        command: Some(command.into_iter().map(str::to_owned).collect()),
        resources: node.resources.clone(),
        security_context: node.security_context.clone(),
        volume_mounts: Some(mounts),
        stdin: Some(true),
        stdin_once: Some(true),
        ..Container::default()
    };
    Ok(Pod {
        metadata: of(json!({"name": names.restore, "labels": {"app.kubernetes.io/part-of": "dcanary"}}))?,
        spec: Some(PodSpec {
            containers: vec![container],
            volumes: Some(volumes),
            restart_policy: Some("Never".to_owned()),
            ..spec
        }),
        status: None,
    })
}

fn of<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, &'static str> {
    serde_json::from_value(value).map_err(|_| "it cannot be copied")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ledger() -> StatefulSet {
        of(json!({"spec": {"serviceName": "s", "selector": {}, "template": {"spec": {
            "serviceAccountName": "ci-ledger", "automountServiceAccountToken": false,
            "securityContext": {"runAsUser": 65532, "fsGroup": 65532},
            "containers": [{"name": "node", "image": "registry/dcanary@sha256:1", "args": ["--mode=production"],
                "ports": [{"containerPort": 8080}], "livenessProbe": {"httpGet": {"port": 8080}},
                "securityContext": {"readOnlyRootFilesystem": true},
                "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "keys", "mountPath": "/keys"},
                    {"name": "tmp", "mountPath": "/tmp"}]}],
            "volumes": [{"name": "keys", "secret": {"secretName": "ci-ledger-keys"}}, {"name": "tmp", "emptyDir": {}}],
        }}}}))
        .unwrap()
    }

    fn names() -> Names {
        Names::of_service("ci-ledger").unwrap()
    }

    #[test]
    fn all_names_begin_with_that_of_the_installation() {
        let names = names();
        assert_eq!(
            [
                names.ledger,
                names.pod,
                names.claim,
                names.keys,
                names.restore,
                names.operator
            ],
            [
                "ci-ledger",
                "ci-ledger-0",
                "data-ci-ledger-0",
                "ci-ledger-keys",
                "ci-ledger-restore",
                "ci-operator"
            ]
        );
        for other in ["-ledger", "ledger", "icp-api"] {
            let told = Names::of_service(other).unwrap_err().message;
            assert!(told.contains(other) && told.contains("NAME-ledger"), "{told}");
        }
    }

    #[test]
    fn the_operator_comes_back_with_the_replicas_from_before_an_interruption() {
        for (replicas, before, meant) in [
            (Some(2), None, 2),
            (None, None, 1),
            (Some(0), Some("3"), 3),
            (Some(0), None, 1),
            (Some(0), Some("0"), 1),
            (Some(0), Some("many"), 1),
            // somebody has brought it back since
            (Some(2), Some("3"), 2),
        ] {
            let annotations = before.map(|before| json!({REPLICAS: before}));
            let operator = of(json!({
                "metadata": {"annotations": annotations},
                "spec": {"replicas": replicas, "selector": {}, "template": {}},
            }));
            assert_eq!(
                replicas_of_operator(&operator.unwrap()),
                meant,
                "{replicas:?} {before:?}"
            );
        }
    }

    #[test]
    fn the_pod_has_the_rights_and_the_volume_of_the_node_but_neither_its_keys_nor_its_probes() {
        let pod = restore_pod(&ledger(), &names(), 3).unwrap();
        let spec = pod.spec.unwrap();
        assert_eq!(spec.security_context.unwrap().run_as_user, Some(65532));
        assert_eq!(spec.restart_policy.as_deref(), Some("Never"));
        let [container] = spec.containers.as_slice() else {
            panic!("one container");
        };
        assert_eq!(
            container.command.as_ref().unwrap().join(" "),
            format!("{NODE} restore --data {DATA} --replace --incarnation 3")
        );
        assert!(container.args.is_none() && container.liveness_probe.is_none() && container.ports.is_none());
        assert_eq!(
            container
                .security_context
                .as_ref()
                .unwrap()
                .read_only_root_filesystem,
            Some(true)
        );
        let volumes = spec.volumes.unwrap();
        let names: Vec<_> = volumes.iter().map(|volume| volume.name.as_str()).collect();
        assert_eq!(names, ["tmp", "data"]);
        let claims: Vec<_> = volumes
            .iter()
            .filter_map(|volume| volume.persistent_volume_claim.as_ref())
            .collect();
        assert_eq!(claims[0].claim_name, "data-ci-ledger-0");
    }

    #[test]
    fn what_is_no_ledger_is_refused() {
        assert_eq!(
            restore_pod(&StatefulSet::default(), &names(), 0),
            Err("it has no template")
        );
        let mut other = ledger();
        other
            .spec
            .as_mut()
            .unwrap()
            .template
            .spec
            .as_mut()
            .unwrap()
            .containers[0]
            .name = "app".to_owned();
        assert_eq!(
            restore_pod(&other, &names(), 0),
            Err("it has no container `node`")
        );
    }
}

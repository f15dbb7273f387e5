//! The parts of an installation that have to do with the embedded node: names as the chart gives them.

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::{Container, Pod, PodSpec, Volume},
};
use serde_json::{Value, json};

/// The node's StatefulSet and Service.
pub const LEDGER: &str = "dcanary-ledger";
/// The operator's Deployment.
pub const OPERATOR: &str = "dcanary-operator";
/// The Pod that restores.
pub const RESTORE: &str = "dcanary-ledger-restore";
/// The node's container.
pub const CONTAINER: &str = "node";
/// The node's program in the image.
pub const NODE: &str = "/bin/dcanary-node";
/// The node's data folder.
pub const DATA: &str = "/data/node";

/// Replicas that a workload asks for.
pub fn replicas_of_operator(operator: &Deployment) -> i32 {
    let spec = operator.spec.as_ref();
    spec.and_then(|spec| spec.replicas).unwrap_or(1)
}

/// A Pod that puts a backup, which it reads from its standard input, in the place of the node's data: image, rights and volume are those of
/// the node. Pure.
///
/// # Errors
/// What the StatefulSet does not have.
pub fn restore_pod(ledger: &StatefulSet, incarnation: u64) -> Result<Pod, &'static str> {
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
    let claim = format!("data-{LEDGER}-0");
    volumes.push(of(
        json!({"name": "data", "persistentVolumeClaim": {"claimName": claim}}),
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
        metadata: of(json!({"name": RESTORE, "labels": {"app.kubernetes.io/part-of": "dcanary"}}))?,
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
            "serviceAccountName": "dcanary-ledger", "automountServiceAccountToken": false,
            "securityContext": {"runAsUser": 65532, "fsGroup": 65532},
            "containers": [{"name": "node", "image": "registry/dcanary@sha256:1", "args": ["--mode=production"],
                "ports": [{"containerPort": 8080}], "livenessProbe": {"httpGet": {"port": 8080}},
                "securityContext": {"readOnlyRootFilesystem": true},
                "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "keys", "mountPath": "/keys"},
                    {"name": "tmp", "mountPath": "/tmp"}]}],
            "volumes": [{"name": "keys", "secret": {"secretName": "dcanary-ledger-keys"}}, {"name": "tmp", "emptyDir": {}}],
        }}}}))
        .unwrap()
    }

    #[test]
    fn the_pod_has_the_rights_and_the_volume_of_the_node_but_neither_its_keys_nor_its_probes() {
        let pod = restore_pod(&ledger(), 3).unwrap();
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
        let names: Vec<_> = spec
            .volumes
            .unwrap()
            .into_iter()
            .map(|volume| volume.name)
            .collect();
        assert_eq!(names, ["tmp", "data"]);
    }

    #[test]
    fn what_is_no_ledger_is_refused() {
        assert_eq!(restore_pod(&StatefulSet::default(), 0), Err("it has no template"));
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
        assert_eq!(restore_pod(&other, 0), Err("it has no container `node`"));
    }
}

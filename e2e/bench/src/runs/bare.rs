//! What DCanary is compared with: Pods that somebody creates directly.

use std::time::Instant;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, PostParams},
};
use serde_json::json;

use super::IMAGE;
use crate::board::{Board, Progress, Sight};

/// Bare Pods of the bench's namespace.
pub struct Bare<'a> {
    /// Where they are created.
    pub api: Api<Pod>,
    /// The watch over them.
    pub board: &'a Board,
}

impl Bare<'_> {
    /// Seconds for `count` Pods, each created when the former succeeded: until they succeeded, and until their containers' ends. They are
    /// deleted afterwards, which does not count.
    ///
    /// # Errors
    /// When a Pod cannot be created, fails, or does not end in time.
    pub async fn in_a_row(&self, stem: &str, count: u32) -> Result<(f64, f64)> {
        let names: Vec<String> = (1..=count).map(|number| format!("{stem}-{number}")).collect();
        let (mut succeeded, mut exited) = (0.0, 0.0);
        for name in &names {
            let took = self.together(std::slice::from_ref(name)).await?;
            succeeded += took.0;
            exited += took.1;
        }
        self.delete(&names).await?;
        Ok((succeeded, exited))
    }

    /// Seconds for `count` Pods created together, until all succeeded, and until all containers had ended. They are deleted afterwards,
    /// which does not count.
    ///
    /// # Errors
    /// As [`Bare::in_a_row`].
    pub async fn at_once(&self, stem: &str, count: u32) -> Result<(f64, f64)> {
        let names: Vec<String> = (1..=count).map(|number| format!("{stem}-{number}")).collect();
        let took = self.together(&names).await?;
        self.delete(&names).await?;
        Ok(took)
    }

    async fn together(&self, names: &[String]) -> Result<(f64, f64)> {
        let start = Instant::now();
        try_join_all(names.iter().map(|name| self.create(name))).await?;
        let all = self.board.finished(names).await?;
        let until = |seen: fn(&Progress) -> Option<Instant>| {
            let last = all.iter().filter_map(seen).max().unwrap_or(start);
            (last - start).as_secs_f64()
        };
        Ok((until(|pod| pod.finished), until(|pod| pod.exited)))
    }

    async fn create(&self, name: &str) -> Result<()> {
        let pod = pod(name)?;
        self.api
            .create(&PostParams::default(), &pod)
            .await
            .with_context(|| format!("create Pod {name}"))?;
        Ok(())
    }

    async fn delete(&self, names: &[String]) -> Result<()> {
        let params = DeleteParams::background();
        try_join_all(names.iter().map(|name| self.api.delete(name, &params))).await?;
        self.board.empty().await
    }
}

/// What a version of a Pod says.
pub fn look(pod: &Pod) -> Sight {
    let status = pod.status.as_ref();
    let phase = status
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default();
    let exited = status
        .and_then(|status| status.container_statuses.as_ref()?.first()?.state.as_ref())
        .is_some_and(|state| state.terminated.is_some());
    Sight {
        finished: phase == "Succeeded",
        exited: exited || phase == "Succeeded",
        settled: phase == "Succeeded",
        records: 0,
        problem: (phase == "Failed").then(|| {
            let message = status.and_then(|status| status.message.clone());
            format!("{} failed: {}", pod.name_any(), message.unwrap_or_default())
        }),
    }
}

/// The image, security context and resources (none) of a build Pod; nothing of the runner.
fn pod(name: &str) -> Result<Pod> {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 1000, "runAsGroup": 1000,
                "fsGroup": 1000, "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "main", "image": IMAGE, "command": ["sh", "-c", "true"],
                "securityContext": {
                    "allowPrivilegeEscalation": false, "privileged": false,
                    "capabilities": {"drop": ["ALL"]},
                },
            }],
        },
    });
    Ok(serde_json::from_value(pod)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_pod_is_known() {
        let made = serde_json::to_value(pod("p").unwrap()).unwrap();
        let text = made.to_string();
        for part in ["Never", "RuntimeDefault", "ALL", IMAGE] {
            assert!(text.contains(part), "{part} is missing: {text}");
        }
        assert_eq!(
            made["spec"]["securityContext"]["fsGroupChangePolicy"],
            "OnRootMismatch"
        );
    }

    #[test]
    fn a_pod_is_read_by_its_phase() {
        let mut pod = pod("p").unwrap();
        assert_eq!(look(&pod), Sight::default());
        let phase = |pod: &mut Pod, phase: &str| {
            pod.status.get_or_insert_default().phase = Some(phase.to_owned());
            look(pod)
        };
        assert!(!phase(&mut pod, "Running").exited);
        pod.status.get_or_insert_default().container_statuses = serde_json::from_value(json!([{
            "name": "main", "image": IMAGE, "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 0}},
        }]))
        .unwrap();
        let ended = phase(&mut pod, "Running");
        assert!(ended.exited && !ended.finished);
        assert!(phase(&mut pod, "Succeeded").finished);
        assert!(phase(&mut pod, "Failed").problem.is_some());
    }
}

//! What a decision needs to know about a build Pod.

use dcanary_crds::labels;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};

use crate::pod::{PROOF, PodKey};

/// Name of the one main container of build Pods.
pub const CONTAINER: &str = "stage";

/// A build Pod as the cache has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeenPod {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
    /// UID of its controller, if it has one.
    pub controller: Option<String>,
    /// What it has to prove that the operator made it.
    pub proof: Option<String>,
    /// Somebody asked for its deletion.
    pub deleting_since: Option<Timestamp>,
    /// Our finalizer is on it.
    pub held: bool,
    /// Its containers cannot run any more: phase Succeeded or Failed, or the main container terminated and will not restart.
    pub ended: Option<Ended>,
    /// When this process first saw that, by its own clock.
    pub end_seen: Option<Timestamp>,
    /// When its main container started, by its node's clock.
    pub started_at: Option<Timestamp>,
    /// When this process first saw that it had, by its own clock.
    pub start_seen: Option<Timestamp>,
    /// Image with digest, as the kubelet reports it.
    pub image_id: Option<String>,
    /// Why it has not started, when the cluster gives a reason.
    pub waiting: Option<PodWaiting>,
    /// It is taken away by the cluster, and why (`Evicted`, `PreemptionByScheduler`, `DeletionByTaintManager`, …).
    pub disruption: Option<String>,
}

/// How a Pod's main container ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// Exit code; `None` when the kubelet never told.
    pub exit_code: Option<i32>,
    /// Reason of the container or of the Pod: `OOMKilled`, `DeadlineExceeded`, `Error`, …
    pub reason: String,
    /// The same for people.
    pub message: String,
    /// When.
    pub at: Option<Timestamp>,
}

/// Why a Pod has not started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodWaiting {
    /// `Unschedulable`, `ErrImagePull`, `ImagePullBackOff`, `CreateContainerConfigError`, …
    pub reason: String,
    /// The same for people.
    pub message: String,
}

impl SeenPod {
    /// Extracts what decisions look at. Pods without name or UID give `None`.
    pub fn of(pod: &Pod) -> Option<Self> {
        let meta = &pod.metadata;
        let status = pod.status.as_ref();
        let main = status.and_then(main_container);
        let state = main.and_then(|container| container.state.as_ref());
        let terminated = state.and_then(|state| state.terminated.as_ref());
        let controller = meta
            .owner_references
            .iter()
            .flatten()
            .find(|owner| owner.controller == Some(true));
        Some(Self {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone()?,
            uid: meta.uid.clone()?,
            controller: controller.map(|owner| owner.uid.clone()),
            proof: meta
                .annotations
                .as_ref()
                .and_then(|annotations| annotations.get(PROOF))
                .cloned(),
            deleting_since: meta.deletion_timestamp.as_ref().map(|time| time.0),
            held: meta
                .finalizers
                .iter()
                .flatten()
                .any(|finalizer| finalizer == labels::OBSERVED),
            ended: status.and_then(|status| ended(status, main)),
            end_seen: None,
            started_at: state
                .and_then(|state| state.running.as_ref())
                .and_then(|running| running.started_at.as_ref())
                .or_else(|| terminated.and_then(|terminated| terminated.started_at.as_ref()))
                .map(|time| time.0),
            start_seen: None,
            image_id: main
                .map(|container| container.image_id.clone())
                .filter(|id| !id.is_empty()),
            waiting: status.and_then(waiting),
            disruption: status.and_then(disruption),
        })
    }

    /// Notes when its start and its end were first seen: `before` is the same Pod as it was seen last.
    #[must_use]
    pub fn seen_after(mut self, before: Option<&Self>, now: Timestamp) -> Self {
        let before = before.filter(|before| before.uid == self.uid);
        let first = |seen: fn(&Self) -> Option<Timestamp>| before.and_then(seen).unwrap_or(now);
        self.start_seen = self.started_at.map(|_| first(|pod| pod.start_seen));
        self.end_seen = self.ended.as_ref().map(|_| first(|pod| pod.end_seen));
        self
    }

    /// Whether the operator made it for that run. Everything else about it can be copied.
    pub fn made_for(&self, run_uid: &str, key: &PodKey) -> bool {
        let proof = self.proof.as_deref().unwrap_or_default();
        self.controller.as_deref() == Some(run_uid) && key.proves(proof, &self.namespace, run_uid, &self.name)
    }

    /// Whether its steps may still run.
    pub fn is_live(&self) -> bool {
        self.ended.is_none()
    }
}

fn main_container(status: &PodStatus) -> Option<&ContainerStatus> {
    status
        .container_statuses
        .iter()
        .flatten()
        .find(|container| container.name == CONTAINER)
}

fn ended(status: &PodStatus, main: Option<&ContainerStatus>) -> Option<Ended> {
    let terminated = main
        .and_then(|container| container.state.as_ref())
        .and_then(|state| state.terminated.as_ref());
    if let Some(terminated) = terminated {
        return Some(Ended {
            exit_code: Some(terminated.exit_code),
            reason: terminated.reason.clone().unwrap_or_default(),
            message: terminated.message.clone().unwrap_or_default(),
            at: terminated.finished_at.as_ref().map(|time| time.0),
        });
    }
    let phase = status.phase.as_deref().unwrap_or_default();
    matches!(phase, "Succeeded" | "Failed").then(|| {
        let init = failed_init(status);
        Ended {
            exit_code: None,
            reason: init
                .as_ref()
                .map(|(reason, _)| reason.clone())
                .or_else(|| status.reason.clone())
                .unwrap_or_default(),
            message: init
                .map(|(_, message)| message)
                .or_else(|| status.message.clone())
                .unwrap_or_default(),
            at: None,
        }
    })
}

/// An init container that ended badly: the runner could not be delivered.
fn failed_init(status: &PodStatus) -> Option<(String, String)> {
    status
        .init_container_statuses
        .iter()
        .flatten()
        .find_map(|container| {
            let terminated = container.state.as_ref()?.terminated.as_ref()?;
            (terminated.exit_code != 0).then(|| {
                let said = terminated.message.clone().unwrap_or_default();
                (
                    "InitFailed".to_owned(),
                    format!(
                        "init container `{}` exited with {} {said}",
                        container.name, terminated.exit_code
                    )
                    .trim_end()
                    .to_owned(),
                )
            })
        })
}

fn waiting(status: &PodStatus) -> Option<PodWaiting> {
    let containers = status
        .init_container_statuses
        .iter()
        .flatten()
        .chain(status.container_statuses.iter().flatten());
    let container = containers
        .filter_map(|container| container.state.as_ref()?.waiting.as_ref())
        .map(|waiting| PodWaiting {
            reason: waiting.reason.clone().unwrap_or_default(),
            message: waiting.message.clone().unwrap_or_default(),
        })
        // these two are how every Pod begins
        .find(|waiting| {
            !matches!(
                waiting.reason.as_str(),
                "" | "ContainerCreating" | "PodInitializing"
            )
        });
    container.or_else(|| {
        status.conditions.iter().flatten().find_map(|condition| {
            (condition.type_ == "PodScheduled" && condition.status == "False").then(|| PodWaiting {
                reason: condition.reason.clone().unwrap_or_default(),
                message: condition.message.clone().unwrap_or_default(),
            })
        })
    })
}

fn disruption(status: &PodStatus) -> Option<String> {
    let condition = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "DisruptionTarget" && condition.status == "True")
        .map(|condition| condition.reason.clone().unwrap_or_else(|| "Disrupted".to_owned()));
    let known = |reason: &&String| {
        matches!(
            reason.as_str(),
            "Evicted"
                | "Preempting"
                | "NodeLost"
                | "NodeShutdown"
                | "Shutdown"
                | "Terminated"
                | "NodeAffinity"
                | "UnexpectedAdmissionError"
        )
    };
    condition.or_else(|| status.reason.as_ref().filter(known).cloned())
}

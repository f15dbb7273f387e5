//! Pods of a workload: what keeps one from being ready, and which ones have to go.

use dcanary_core::text::cut;
use dcanary_crds::{Environment, labels};
use serde_json::Value;

use super::{deployment, in_place, left, object};
use crate::seen::{Key, Kind, Seen};

const MESSAGE_BYTES: usize = 512;
const UNSCHEDULABLE: &str = "Unschedulable";
/// Reasons for which a container waits and will wait without a change, the more telling first; what the kubelet calls them, what we do,
/// and what to do about them.
const WAITING: [(&str, &str, &str); 9] = [
    (
        "InvalidImageName",
        "InvalidImageName",
        "correct the image in the Release or in the template",
    ),
    (
        "ErrImageNeverPull",
        "ErrImageNeverPull",
        "load the image onto the node, or change imagePullPolicy",
    ),
    (
        "CreateContainerConfigError",
        "CreateContainerConfigError",
        "create the ConfigMap, Secret or key that it names",
    ),
    // the kubelet changes between the two with every try
    ("ImagePullBackOff", "ImagePullBackOff", PULL),
    ("ErrImagePull", "ImagePullBackOff", PULL),
    ("ImageInspectError", "ImageInspectError", PULL),
    ("CreateContainerError", "CreateContainerError", RUNTIME),
    ("RunContainerError", "RunContainerError", RUNTIME),
    (
        CRASH,
        CRASH,
        "read what it wrote last with `kubectl logs --previous`",
    ),
];
const CRASH: &str = "CrashLoopBackOff";
const PULL: &str =
    "look whether the image is in the registry, and whether imagePullSecrets let the node pull it";
const RUNTIME: &str = "look at its command, volume mounts and security context";

/// Why a Pod does not become ready.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Trouble {
    /// Position among the reasons: the lowest is told.
    rank: usize,
    /// Name of the Pod.
    pod: String,
    /// One CamelCase word.
    pub reason: String,
    /// Which Pod, what it says, and what to do.
    pub message: String,
}

/// What keeps a Pod from being ready, as far as waiting does not help.
pub(super) fn trouble(pod: &Value) -> Option<Trouble> {
    if is_ready(pod) || object::is_leaving(pod) {
        return None;
    }
    let name = object::text(pod, "/metadata/name").unwrap_or_default();
    let container = ["/status/initContainerStatuses", "/status/containerStatuses"]
        .iter()
        .flat_map(|list| object::list(pod, list))
        .filter_map(|container| of_container(name, container))
        .min();
    container.or_else(|| unschedulable(pod, name))
}

fn of_container(pod: &str, container: &Value) -> Option<Trouble> {
    let waiting = object::text(container, "/state/waiting/reason");
    let exit = ["/state/terminated/exitCode", "/lastState/terminated/exitCode"]
        .iter()
        .find_map(|pointer| object::number(container, pointer));
    // between two crashes it is for a moment not in back-off
    let fell = object::number(container, "/state/terminated/exitCode").is_some_and(|code| code != 0)
        && object::number(container, "/restartCount").is_some_and(|count| count > 0);
    let reason = waiting.or(fell.then_some(CRASH))?;
    let (_, shown, advice) = WAITING.iter().find(|(known, ..)| *known == reason)?;
    // of what we call it: two names of one thing must not change which Pod is told
    let rank = WAITING.iter().position(|(_, other, _)| other == shown)?;
    let name = object::text(container, "/name").unwrap_or_default();
    let said = match (*shown == CRASH, exit) {
        (true, Some(code)) => format!("it ended with exit code {code}"),
        _ => object::text(container, "/state/waiting/message")
            .filter(|said| !said.is_empty())
            .unwrap_or(reason)
            .to_owned(),
    };
    Some(Trouble {
        rank,
        pod: pod.to_owned(),
        reason: (*shown).to_owned(),
        message: told(&format!("Pod `{pod}`, container `{name}`: "), &said, advice),
    })
}

fn unschedulable(pod: &Value, name: &str) -> Option<Trouble> {
    let condition = object::condition(pod, "PodScheduled")?;
    let is_so = object::text(condition, "/status") == Some("False")
        && object::text(condition, "/reason") == Some(UNSCHEDULABLE);
    is_so.then(|| Trouble {
        rank: WAITING.len(),
        pod: name.to_owned(),
        reason: UNSCHEDULABLE.to_owned(),
        message: told(
            &format!("no node takes Pod `{name}`: "),
            object::text(condition, "/message").unwrap_or(UNSCHEDULABLE),
            "add nodes, or ask for less, or change nodeSelector, affinity or tolerations",
        ),
    })
}

/// The advice is never what is cut off.
fn told(who: &str, said: &str, advice: &str) -> String {
    let room = MESSAGE_BYTES.saturating_sub(who.len() + advice.len() + 2).max(64);
    format!("{who}{}; {advice}", cut(said.trim_end_matches(['.', ' ']), room))
}

/// It is ready to serve.
pub(super) fn is_ready(pod: &Value) -> bool {
    object::condition(pod, "Ready")
        .is_some_and(|condition| object::text(condition, "/status") == Some("True"))
}

/// Pods of a StatefulSet or DaemonSet with another release than the one that it wants, and that are not ready, with their UIDs. Their
/// controller may wait for them for ever, so they are deleted. ReplicaSets of Deployments take theirs away by themselves.
pub fn broken_pods(env: &Environment, seen: &Seen, workload: &Value) -> Vec<(Key, String)> {
    old_pods(env, seen, workload)
        .into_iter()
        .filter(|pod| !is_ready(pod))
        .map(named)
        .collect()
}

/// The Pod that is to be replaced next where the operator does it (`rolling.onDelete`): the one of the highest ordinal, down to the
/// partition, that has another release than the StatefulSet. `None` while any Pod is missing, on its way out or not ready, and when
/// there is none left. Old Pods that are broken are no reason to wait: delete [`broken_pods`] first.
pub fn next_to_replace(env: &Environment, seen: &Seen, workload: &Value) -> Option<(Key, String)> {
    if object::text(workload, "/spec/updateStrategy/type") != Some("OnDelete") {
        return None;
    }
    let pods = pods_of(env, seen, workload);
    let all_there =
        i64::try_from(pods.len()).is_ok_and(|there| there >= i64::from(deployment::wanted(workload)));
    if !all_there || !pods.iter().all(|pod| is_ready(pod) && !object::is_leaving(pod)) {
        return None;
    }
    old_pods(env, seen, workload)
        .into_iter()
        .max_by_key(|pod| ordinal(pod))
        .map(named)
}

/// Pods whose release is not the workload's, those on their way out not counted.
fn old_pods<'a>(env: &Environment, seen: &'a Seen, workload: &Value) -> Vec<&'a Value> {
    let partition = in_place::stops_at(workload);
    let template = workload.pointer("/spec/template");
    let Some(wanted) = template.and_then(|template| object::annotation(template, labels::IDENTITY)) else {
        return Vec::new();
    };
    pods_of(env, seen, workload)
        .into_iter()
        .filter(|pod| {
            object::annotation(pod, labels::IDENTITY) != Some(wanted)
                && !object::is_leaving(pod)
                // below the partition the release before is wanted
                && ordinal(pod).is_none_or(|ordinal| ordinal >= partition)
        })
        .collect()
}

/// Pods that a StatefulSet or DaemonSet controls.
fn pods_of<'a>(env: &Environment, seen: &'a Seen, workload: &Value) -> Vec<&'a Value> {
    let uid = object::uid(workload);
    if uid.is_empty() {
        return Vec::new();
    }
    seen.pods
        .values()
        .filter(|pod| {
            object::label(pod, labels::ENVIRONMENT_UID) == Some(left::uid_on_pods(env, workload))
                && object::list(pod, "/metadata/ownerReferences")
                    .iter()
                    .any(|owner| {
                        object::text(owner, "/uid") == Some(uid.as_str())
                            && owner.get("controller").and_then(Value::as_bool) == Some(true)
                    })
        })
        .collect()
}

/// The number at the end of the name of a StatefulSet's Pod.
fn ordinal(pod: &Value) -> Option<i32> {
    object::text(pod, "/metadata/name")?
        .rsplit('-')
        .next()?
        .parse()
        .ok()
}

fn named(pod: &Value) -> (Key, String) {
    let name = object::text(pod, "/metadata/name").unwrap_or_default();
    (Key::new(Kind::Pod, name), object::uid(pod))
}

use proptest::prelude::*;
use serde_json::{Value, json};

use super::put;
use crate::{
    render::{WorkloadState, complete, state},
    seen::{Key, Kind, Seen},
};

fn workload(status: Value) -> Value {
    json!({"kind": "Deployment", "metadata": {"name": "web", "uid": "u", "generation": 4},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"annotations": {"dcanary.dev/identity": "sha256:1"}}}},
        "status": status})
}

fn of(object: Value, pods: &[Value]) -> WorkloadState {
    let mut seen = Seen::default();
    let key = Key::new(super::kind(&object), "web");
    put(&mut seen, object);
    for pod in pods {
        put(&mut seen, pod.clone());
    }
    state(&key, &seen).unwrap()
}

fn pod(name: &str, identity: &str, status: Value) -> Value {
    json!({"kind": "Pod", "metadata": {"name": name, "labels": {"app": "web"}, "annotations": {"dcanary.dev/identity": identity}},
        "status": status})
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({"containerStatuses": [{"name": "server", "restartCount": 3, "state": {"waiting": {"reason": reason, "message": message}},
        "lastState": {"terminated": {"exitCode": 137}}}]})
}

fn problem(pods: &[Value]) -> Option<(String, String)> {
    of(workload(json!({})), pods).problem
}

#[test]
fn a_workload_that_is_not_there_has_no_state() {
    assert_eq!(state(&Key::new(Kind::Deployment, "web"), &Seen::default()), None);
}

#[test]
fn numbers_are_those_of_the_status_and_count_only_for_the_present_spec() {
    let status = json!({"observedGeneration": 4, "replicas": 4, "readyReplicas": 3, "availableReplicas": 2, "updatedReplicas": 1});
    let found = of(workload(status.clone()), &[]);
    assert_eq!(
        (
            found.replicas,
            found.total,
            found.ready,
            found.available,
            found.updated
        ),
        (3, 4, 3, 2, 1)
    );
    assert!(found.current && found.uid == "u" && found.problem.is_none());
    let mut old = workload(status);
    old["status"]["observedGeneration"] = 3.into();
    assert!(!of(old, &[]).current);
    let new = of(workload(json!({})), &[]);
    assert!(!new.current && new.available == 0);
}

#[test]
fn a_daemon_set_is_for_as_many_nodes_as_there_are() {
    let set = json!({"kind": "DaemonSet", "metadata": {"name": "web", "uid": "u", "generation": 1}, "spec": {},
        "status": {"observedGeneration": 1, "desiredNumberScheduled": 5, "currentNumberScheduled": 5, "numberReady": 5,
            "numberAvailable": 5, "updatedNumberScheduled": 5}});
    let found = of(set.clone(), &[]);
    assert!(complete(&found, 1), "{found:?}");
    let mut half = set;
    half["status"]["updatedNumberScheduled"] = 4.into();
    assert!(!complete(&of(half, &[]), 1));
}

#[test]
fn an_exceeded_quota_is_told_with_what_to_do() {
    let message =
        r#"pods "web-1" is forbidden: exceeded quota: team, requested: cpu=1, used: cpu=4, limited: cpu=4"#;
    let found = of(
        workload(
            json!({"conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}]}),
        ),
        &[],
    );
    let (reason, text) = found.problem.unwrap();
    assert_eq!(reason, "QuotaExceeded");
    assert!(
        text.contains("limited: cpu=4") && text.contains("raise the ResourceQuota"),
        "{text}"
    );
    let other = json!({"conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "denied by policy."}]});
    assert_eq!(of(workload(other), &[]).problem.unwrap().0, "FailedCreate");
    let over = json!({"conditions": [{"type": "ReplicaFailure", "status": "False", "reason": "FailedCreate", "message": message}]});
    assert_eq!(of(workload(over), &[]).problem, None);
}

#[test]
fn each_reason_for_which_a_pod_waits_is_told_with_the_pod_and_what_to_do() {
    for (reason, shown, advice) in [
        ("ErrImagePull", "ImagePullBackOff", "imagePullSecrets"),
        ("ImagePullBackOff", "ImagePullBackOff", "registry"),
        ("InvalidImageName", "InvalidImageName", "correct the image"),
        (
            "CreateContainerConfigError",
            "CreateContainerConfigError",
            "ConfigMap, Secret",
        ),
        ("CrashLoopBackOff", "CrashLoopBackOff", "kubectl logs --previous"),
    ] {
        let (found, text) = problem(&[pod("web-x", "sha256:1", waiting(reason, "because of it"))]).unwrap();
        assert_eq!(found, shown);
        assert!(
            text.contains("Pod `web-x`, container `server`") && text.contains(advice),
            "{text}"
        );
        let says = if shown == "CrashLoopBackOff" {
            "exit code 137"
        } else {
            "because of it"
        };
        assert!(text.contains(says), "{text}");
    }
    assert_eq!(
        problem(&[pod("web-x", "sha256:1", waiting("ContainerCreating", ""))]),
        None
    );
    let unschedulable = json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient cpu."}]});
    let (reason, text) = problem(&[pod("web-y", "sha256:1", unschedulable)]).unwrap();
    assert_eq!(reason, "Unschedulable");
    assert!(
        text.contains("`web-y`") && text.contains("Insufficient cpu") && text.contains("add nodes"),
        "{text}"
    );
}

#[test]
fn a_crash_is_told_also_between_two_back_offs_and_in_an_init_container() {
    let fell = json!({"initContainerStatuses": [{"name": "migrate", "restartCount": 1, "state": {"terminated": {"exitCode": 3}}}]});
    let (reason, text) = problem(&[pod("web-x", "sha256:1", fell)]).unwrap();
    assert_eq!(reason, "CrashLoopBackOff");
    assert!(
        text.contains("container `migrate`") && text.contains("exit code 3"),
        "{text}"
    );
    let first = json!({"containerStatuses": [{"name": "web", "restartCount": 0, "state": {"terminated": {"exitCode": 3}}}]});
    assert_eq!(problem(&[pod("web-x", "sha256:1", first)]), None);
}

#[test]
fn pods_of_another_release_of_another_workload_on_their_way_out_or_ready_are_no_problem() {
    let bad = waiting("CrashLoopBackOff", "");
    let old = pod("a", "sha256:0", bad.clone());
    let mut other = pod("b", "sha256:1", bad.clone());
    other["metadata"]["labels"]["app"] = "shop".into();
    let mut leaving = pod("c", "sha256:1", bad.clone());
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    let mut ready = pod("d", "sha256:1", bad);
    ready["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
    assert_eq!(problem(&[old, other, leaving, ready]), None);
}

#[test]
fn the_same_pod_is_told_of_however_many_are_broken() {
    let pods = [
        pod("web-b", "sha256:1", waiting("ErrImagePull", "x")),
        pod("web-a", "sha256:1", waiting("ImagePullBackOff", "x")),
        pod("web-c", "sha256:1", waiting("CrashLoopBackOff", "x")),
    ];
    let mut again = pods.clone();
    again[0]["status"] = waiting("ImagePullBackOff", "x");
    again[1]["status"] = waiting("ErrImagePull", "x");
    for found in [problem(&pods), problem(&again)] {
        let (reason, text) = found.unwrap();
        assert!(reason == "ImagePullBackOff" && text.contains("`web-a`"), "{text}");
    }
}

#[test]
fn a_long_message_does_not_push_the_advice_out() {
    let (_, text) = problem(&[pod(
        "web-x",
        "sha256:1",
        waiting("ImagePullBackOff", &"é".repeat(4000)),
    )])
    .unwrap();
    assert!(
        text.len() < 700 && text.ends_with("let the node pull it"),
        "{text}"
    );
}

proptest! {
    #[test]
    fn a_rollout_in_place_is_complete_when_all_is_new_available_and_nothing_else_is_there(
        replicas in 0..4_i32, total in 0..4_i32, available in 0..4_i32, updated in 0..4_i32, current: bool, partition in 0..3_i32,
    ) {
        let found = WorkloadState { replicas, total, ready: available, available, updated, current, partition, ..WorkloadState::default() };
        let wanted = current && total == replicas && available == replicas && updated + partition >= replicas;
        prop_assert_eq!(complete(&found, replicas), wanted);
        prop_assert!(!complete(&found, replicas + 1));
    }
}

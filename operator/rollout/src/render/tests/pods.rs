use proptest::prelude::*;
use serde_json::{Value, json};

use super::{UID, rolling};
use crate::{
    Kind,
    render::{broken_pods, next_to_replace},
    seen::Seen,
};

const NEW: &str = "sha256:new";
const OLD: &str = "sha256:old";

fn workload(kind: &str, strategy: Value, replicas: i32) -> Value {
    json!({"kind": kind, "metadata": {"name": "web", "uid": "set"},
        "spec": {"replicas": replicas, "updateStrategy": strategy,
            "template": {"metadata": {"annotations": {"dcanary.dev/identity": NEW}}}}})
}

fn pod(ordinal: i32, identity: &str, ready: bool) -> Value {
    json!({"kind": "Pod",
        "metadata": {"name": format!("web-{ordinal}"), "uid": format!("pod-{ordinal}"),
            "labels": {"dcanary.dev/environment-uid": UID},
            "annotations": {"dcanary.dev/identity": identity},
            "ownerReferences": [{"kind": "StatefulSet", "uid": "set", "controller": true}]},
        "status": {"conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]}})
}

fn seen(pods: Vec<Value>) -> Seen {
    let mut seen = Seen::default();
    for pod in pods {
        super::put(&mut seen, pod);
    }
    seen
}

fn names(pods: &[(crate::Key, String)]) -> Vec<&str> {
    assert!(
        pods.iter()
            .all(|(key, uid)| key.kind == Kind::Pod && uid.starts_with("pod-"))
    );
    pods.iter().map(|(key, _)| key.name.as_str()).collect()
}

#[test]
fn broken_pods_of_another_release_go_and_no_others() {
    let env = rolling("StatefulSet", json!({}));
    let mut foreign = pod(4, OLD, false);
    foreign["metadata"]["labels"] = json!({});
    let mut leaving = pod(5, OLD, false);
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    let mut of_another = pod(6, OLD, false);
    of_another["metadata"]["ownerReferences"][0]["uid"] = "other".into();
    let seen = seen(vec![
        pod(0, OLD, true),
        pod(1, OLD, false),
        pod(2, NEW, false),
        pod(3, NEW, true),
        foreign,
        leaving,
        of_another,
    ]);
    let set = workload("StatefulSet", json!({"type": "RollingUpdate"}), 7);
    assert_eq!(names(&broken_pods(&env, &seen, &set)), ["web-1"]);
    // below a partition the release before is what is wanted
    let set = workload(
        "StatefulSet",
        json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}),
        7,
    );
    assert_eq!(names(&broken_pods(&env, &seen, &set)), [""; 0]);
}

#[test]
fn a_workload_without_identity_has_no_broken_pods() {
    let env = rolling("StatefulSet", json!({}));
    let mut set = workload("StatefulSet", json!({}), 1);
    set["spec"]["template"] = json!({});
    assert_eq!(broken_pods(&env, &seen(vec![pod(0, OLD, false)]), &set), []);
}

#[test]
fn pods_are_only_replaced_by_the_operator_where_it_is_asked_to() {
    let env = rolling("StatefulSet", json!({}));
    let seen = seen(vec![pod(0, OLD, true)]);
    assert_eq!(
        next_to_replace(
            &env,
            &seen,
            &workload("StatefulSet", json!({"type": "RollingUpdate"}), 1)
        ),
        None
    );
    assert!(
        next_to_replace(
            &env,
            &seen,
            &workload("StatefulSet", json!({"type": "OnDelete"}), 1)
        )
        .is_some()
    );
}

proptest! {
    /// From any state: one at a time, from the highest ordinal down, never while one is missing, and it ends with the partition.
    #[test]
    fn pods_are_replaced_one_by_one_from_the_last(count in 1..6_i32, stop in 0..4_i32) {
        let env = rolling("StatefulSet", json!({"onDelete": true}));
        let mut set = workload("StatefulSet", json!({"type": "OnDelete"}), count);
        set["metadata"]["annotations"] = json!({"dcanary.dev/partition": stop.to_string()});
        let mut world = seen((0..count).map(|i| pod(i, OLD, true)).collect());
        let mut replaced = Vec::new();
        while let Some((key, uid)) = next_to_replace(&env, &world, &set) {
            let ordinal: i32 = key.name.trim_start_matches("web-").parse().unwrap();
            prop_assert_eq!(uid, format!("pod-{ordinal}"));
            let gone = world.pods.remove(&key.name);
            prop_assert!(gone.is_some());
            prop_assert_eq!(next_to_replace(&env, &world, &set), None);
            super::put(&mut world, pod(ordinal, NEW, false));
            prop_assert_eq!(next_to_replace(&env, &world, &set), None);
            super::put(&mut world, pod(ordinal, NEW, true));
            replaced.push(ordinal);
        }
        prop_assert_eq!(replaced, (stop..count).rev().collect::<Vec<_>>());
    }
}

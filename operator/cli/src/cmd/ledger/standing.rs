//! How the node's Pod stands on its way to serving.

use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ContainerStatus, Pod},
};

use super::parts::CONTAINER;

/// Reasons of a waiting container that nobody but a person ends.
const HOPELESS: [&str; 7] = [
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerError",
    "CreateContainerConfigError",
];

/// How the Pod stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It serves.
    Ready,
    /// Its program runs: it executes its log, which may be long.
    Works,
    /// It does not run yet.
    Starts(String),
    /// It does not get any further by itself.
    Fails(String),
}

/// How the Pod stands: pure.
pub fn of(pod: Option<&Pod>) -> Standing {
    let Some(pod) = pod else {
        return Standing::Starts("it is not there yet".to_owned());
    };
    if pod.metadata.deletion_timestamp.is_some() {
        return Standing::Starts("the one before is still going".to_owned());
    }
    let status = pod.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    if conditions
        .iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
    {
        return Standing::Ready;
    }
    let containers = status.container_statuses.unwrap_or_default();
    match containers.iter().find(|container| container.name == CONTAINER) {
        Some(container) => of_container(container),
        None => {
            let unscheduled = conditions
                .into_iter()
                .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
            let why = unscheduled.and_then(|condition| condition.message);
            Standing::Starts(why.unwrap_or_else(|| "its volumes and its image are prepared".to_owned()))
        }
    }
}

fn of_container(container: &ContainerStatus) -> Standing {
    let state = container.state.clone().unwrap_or_default();
    if state.running.is_some() {
        return Standing::Works;
    }
    if let Some(waiting) = state.waiting {
        let reason = waiting.reason.unwrap_or_default();
        let said = waiting
            .message
            .map_or_else(|| reason.clone(), |message| format!("{reason}: {message}"));
        return if HOPELESS.contains(&reason.as_str()) {
            Standing::Fails(said)
        } else {
            Standing::Starts(said)
        };
    }
    // each start gets further with a long log than the one before
    let code = state.terminated.map_or(0, |ended| ended.exit_code);
    Standing::Starts(format!("it ended with exit code {code} and is started again"))
}

/// How long the chart lets the node execute its log before it is taken for dead: pure.
pub fn allowed(ledger: &StatefulSet) -> Option<Duration> {
    let template = ledger.spec.as_ref()?.template.spec.as_ref()?;
    let node = template
        .containers
        .iter()
        .find(|container| container.name == CONTAINER)?;
    let probe = node.startup_probe.as_ref()?;
    let of =
        |number: Option<i32>, default: u32| number.and_then(|n| u32::try_from(n).ok()).unwrap_or(default);
    let (period, failures) = (of(probe.period_seconds, 10), of(probe.failure_threshold, 3));
    let seconds = u64::from(period) * u64::from(failures) + u64::from(of(probe.initial_delay_seconds, 0));
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(state: &Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {},
            "status": {
                "conditions": [{"type": "Ready", "status": "False"}],
                "containerStatuses": [{
                    "name": "node", "image": "i", "imageID": "", "ready": false, "restartCount": 1, "state": state,
                }],
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_node_that_executes_its_log_works_and_one_that_nothing_helps_fails() {
        let running = json!({"running": {"startedAt": "2026-03-01T12:00:00Z"}});
        assert_eq!(of(Some(&pod(&running))), Standing::Works);
        let mut ready = pod(&running);
        ready.status.as_mut().unwrap().conditions.as_mut().unwrap()[0].status = "True".to_owned();
        assert_eq!(of(Some(&ready)), Standing::Ready);
        let crashed = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}});
        assert_eq!(
            of(Some(&pod(&crashed))),
            Standing::Fails("CrashLoopBackOff: back-off 10s".to_owned())
        );
        for (state, said) in [
            (
                json!({"waiting": {"reason": "ContainerCreating"}}),
                "ContainerCreating",
            ),
            (json!({"terminated": {"exitCode": 137}}), "exit code 137"),
        ] {
            let standing = of(Some(&pod(&state)));
            assert!(
                matches!(&standing, Standing::Starts(why) if why.contains(said)),
                "{standing:?}"
            );
        }
    }

    #[test]
    fn a_pod_that_is_going_or_not_there_is_no_running_one() {
        let mut going = pod(&json!({"running": {}}));
        going.status.as_mut().unwrap().conditions.as_mut().unwrap()[0].status = "True".to_owned();
        going.metadata.deletion_timestamp = serde_json::from_value(json!("2026-03-01T12:00:00Z")).unwrap();
        assert!(matches!(of(Some(&going)), Standing::Starts(_)));
        assert!(matches!(of(None), Standing::Starts(_)));
        let full: Pod = serde_json::from_value(json!({"metadata": {}, "status": {"conditions": [
            {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"},
        ]}}))
        .unwrap();
        assert_eq!(
            of(Some(&full)),
            Standing::Starts("0/3 nodes are available".to_owned())
        );
    }

    #[test]
    fn the_node_may_execute_its_log_for_as_long_as_its_startup_probe_says() {
        let ledger = |probe: Value| -> StatefulSet {
            serde_json::from_value(
                json!({"spec": {"serviceName": "s", "selector": {}, "template": {"spec": {
                "containers": [{"name": "node", "startupProbe": probe}]}}}}),
            )
            .unwrap()
        };
        let chart = ledger(json!({"periodSeconds": 1, "failureThreshold": 3600}));
        assert_eq!(allowed(&chart), Some(Duration::from_secs(3_600)));
        assert_eq!(allowed(&ledger(json!({}))), Some(Duration::from_secs(30)));
        assert_eq!(allowed(&ledger(Value::Null)), None);
    }
}

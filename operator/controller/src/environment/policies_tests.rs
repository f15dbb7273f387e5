//! Every difference of the admission policies counts.
#![allow(clippy::unwrap_used)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, Time};

use super::*;

const POLICY: &str = "ValidatingAdmissionPolicy";
const BINDING: &str = "ValidatingAdmissionPolicyBinding";

fn object(name: &str, spec: &Value) -> DynamicObject {
    serde_json::from_value(json!({
        "metadata": {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": spec,
    }))
    .unwrap()
}

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

fn shipped(kind: &str, name: &str) -> Value {
    EXPECTED.as_ref().unwrap()[&(kind.to_owned(), name.to_owned())].clone()
}

/// A cluster that has what we ship.
fn installed() -> Cluster {
    let mut cluster = Cluster::default();
    for kind in [POLICY, BINDING] {
        cluster.take(kind, Event::Init);
        for (of, name) in EXPECTED.as_ref().unwrap().keys() {
            if of == kind {
                cluster.take(kind, Event::InitApply(object(name, &shipped(kind, name))));
            }
        }
        cluster.take(
            kind,
            Event::InitApply(object("of-somebody-else", &json!({"a": 1}))),
        );
        cluster.take(kind, Event::InitDone);
    }
    cluster
}

fn with(change: impl FnOnce(&mut Value)) -> Result<Timestamp, String> {
    let mut cluster = installed();
    let mut spec = shipped(POLICY, "dcanary-decisions");
    change(&mut spec);
    cluster.take(POLICY, Event::Apply(object("dcanary-decisions", &spec)));
    cluster.judge()
}

#[test]
fn every_shipped_policy_has_its_binding() {
    let expected = EXPECTED.as_ref().unwrap();
    for name in ["dcanary-decisions", "dcanary-requests"] {
        for kind in [POLICY, BINDING] {
            assert!(
                expected.contains_key(&(kind.to_owned(), name.to_owned())),
                "{kind} {name}"
            );
        }
        assert_eq!(shipped(BINDING, name)["policyName"], name);
    }
}

#[test]
fn what_is_shipped_counts_as_it_is_and_with_what_the_api_server_fills_in() {
    assert_eq!(installed().judge(), Ok(at("2026-01-01T00:00:00Z")));
    let filled = with(|spec| {
        spec["matchConditions"] = json!([]);
        spec["matchConstraints"]["excludeResourceRules"] = json!(null);
        spec["auditAnnotations"] = json!([]);
    });
    assert!(filled.is_ok(), "{filled:?}");
}

#[test]
fn every_exception_and_every_change_is_named_by_its_place() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 6] = [
        ("spec.matchConditions", |spec| {
            spec["matchConditions"] =
                json!([{"name": "x", "expression": "request.userInfo.username != 'mallory'"}]);
        }),
        ("spec.matchConstraints.excludeResourceRules", |spec| {
            spec["matchConstraints"]["excludeResourceRules"] = json!([{"resources": ["decisions"]}]);
        }),
        ("spec.matchConstraints.namespaceSelector", |spec| {
            spec["matchConstraints"]["namespaceSelector"] = json!({"matchLabels": {"a": "b"}});
        }),
        ("spec.failurePolicy", |spec| {
            spec["failurePolicy"] = json!("Ignore");
        }),
        ("spec.validations", |spec| {
            spec["validations"].as_array_mut().unwrap().pop();
        }),
        ("spec.validations[0].expression", |spec| {
            spec["validations"][0]["expression"] = json!("true");
        }),
    ];
    for (place, change) in changes {
        let problem = with(change).unwrap_err();
        assert!(
            problem.contains(&format!("{place} ")) || problem.contains(place),
            "{problem}"
        );
        assert!(problem.contains("dcanary-decisions"), "{problem}");
    }
}

#[test]
fn a_policy_or_binding_that_goes_is_missing_at_once_and_after_the_next_list() {
    let mut cluster = installed();
    cluster.take(BINDING, Event::Delete(object("dcanary-requests", &json!({}))));
    assert!(
        cluster
            .judge()
            .unwrap_err()
            .contains("dcanary-requests is missing")
    );
    let mut cluster = installed();
    cluster.take(POLICY, Event::Init);
    assert!(cluster.judge().is_ok(), "the list is only coming in");
    cluster.take(POLICY, Event::InitDone);
    assert!(cluster.judge().unwrap_err().contains("is missing"));
}

#[test]
fn they_are_in_place_since_the_last_of_them_was_created_or_written() {
    let binding = shipped(BINDING, "dcanary-decisions");
    let mut again = object("dcanary-decisions", &binding);
    again.metadata.creation_timestamp = Some(Time(at("2026-01-02T00:00:00Z")));
    let mut cluster = installed();
    cluster.take(BINDING, Event::Apply(again.clone()));
    assert_eq!(cluster.judge(), Ok(at("2026-01-02T00:00:00Z")), "created again");
    // changed, and changed back
    let entry = |time: &str, subresource: Option<&str>| ManagedFieldsEntry {
        time: Some(Time(at(time))),
        subresource: subresource.map(str::to_owned),
        ..ManagedFieldsEntry::default()
    };
    again.metadata.managed_fields = Some(vec![
        entry("2026-01-03T00:00:00Z", None),
        entry("2026-01-04T00:00:00Z", Some("status")),
    ]);
    cluster.take(BINDING, Event::Apply(again));
    assert_eq!(cluster.judge(), Ok(at("2026-01-03T00:00:00Z")));
}

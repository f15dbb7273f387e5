//! Parts of a rule of a route: backends, weights, mirrors.

use serde_json::{Value, json};

use super::{
    path::{at, list, put, take, text},
    place::Place,
};

/// Beginning of the names of our rules.
pub(super) const PREFIX: &str = "dcanary-";
/// The whole of a rule whose other backends get nothing.
pub(super) const WHOLE: i64 = 100;
/// Weight of a backend that says none.
const UNSAID: i64 = 1;

/// Name of a rule.
pub(super) fn name(rule: &Value) -> Option<&str> {
    text(rule, &["name"])
}

/// Backends of a rule.
pub(super) fn backends(rule: &Value) -> &[Value] {
    list(rule, &["backendRefs"])
}

/// Whether a backend is a Service of the Environment's namespace.
pub(super) fn is(backend: &Value, service: &str, place: &Place<'_>) -> bool {
    text(backend, &["name"]) == Some(service)
        && text(backend, &["kind"]).unwrap_or("Service") == "Service"
        && text(backend, &["group"]).unwrap_or_default().is_empty()
        && text(backend, &["namespace"]).unwrap_or(place.namespace) == place.namespace
}

/// Whether a rule leads to a Service.
pub(super) fn leads_to(rule: &Value, service: &str, place: &Place<'_>) -> bool {
    backends(rule).iter().any(|backend| is(backend, service, place))
}

/// Weight of a backend.
pub(super) fn weight(backend: &Value) -> i64 {
    at(backend, &["weight"])
        .and_then(Value::as_i64)
        .unwrap_or(UNSAID)
        .max(0)
}

/// Weights of the two Services in a rule, of both together; and of all others.
pub(super) struct Weights {
    pub(super) stable: i64,
    pub(super) candidate: i64,
    pub(super) others: i64,
}

impl Weights {
    pub(super) fn of(rule: &Value, place: &Place<'_>) -> Self {
        let sum = |test: &dyn Fn(&Value) -> bool| {
            backends(rule)
                .iter()
                .filter(|backend| test(backend))
                .map(weight)
                .fold(0, i64::saturating_add)
        };
        let stable = |backend: &Value| is(backend, place.stable, place);
        let candidate = |backend: &Value| is(backend, &place.candidate, place);
        Self {
            stable: sum(&stable),
            candidate: sum(&candidate),
            others: sum(&|backend| !stable(backend) && !candidate(backend)),
        }
    }

    /// What the two share: all there is where no other gets anything, else what they had.
    pub(super) fn shared(&self) -> i64 {
        if self.others == 0 {
            WHOLE
        } else {
            self.stable.saturating_add(self.candidate)
        }
    }

    /// Percent of the shared requests that the candidate has.
    pub(super) fn percent(&self) -> i32 {
        let both = self.stable.saturating_add(self.candidate);
        if both == 0 {
            return 0;
        }
        let percent = (self.candidate.saturating_mul(100).saturating_add(both / 2)) / both;
        i32::try_from(percent.clamp(0, 100)).unwrap_or(100)
    }
}

/// Weights of stable and candidate that sum to `shared`.
pub(super) fn pair(shared: i64, percent: i32) -> (i64, i64) {
    let percent = i64::from(percent.clamp(0, 100));
    let candidate = (shared.max(0).saturating_mul(percent).saturating_add(50)) / 100;
    (shared.max(0) - candidate, candidate)
}

/// A reference to the other Service.
pub(super) fn renamed(backend: &Value, service: &str, weight: i64) -> Value {
    let mut backend = backend.clone();
    put(&mut backend, &["name"], json!(service));
    put(&mut backend, &["weight"], json!(weight));
    backend
}

/// Sets a weight.
pub(super) fn weigh(backend: &mut Value, weight: i64) {
    put(backend, &["weight"], json!(weight));
}

/// Whether a rule is one of our testers': by its name, and because it leads to our candidate alone. A route may serve several Environments,
/// and people may write rules of their own that lead to the candidate.
pub(super) fn is_tester(rule: &Value, place: &Place<'_>) -> bool {
    let backends = backends(rule);
    name(rule).is_some_and(|name| name.starts_with(PREFIX))
        && !backends.is_empty()
        && backends
            .iter()
            .all(|backend| is(backend, &place.candidate, place))
}

/// Whether a filter mirrors requests to the candidate.
pub(super) fn is_mirror(filter: &Value, place: &Place<'_>) -> bool {
    text(filter, &["type"]) == Some("RequestMirror")
        && at(filter, &["requestMirror", "backendRef"])
            .is_some_and(|backend| is(backend, &place.candidate, place))
}

/// Whether a rule mirrors requests to the candidate.
pub(super) fn mirrors(rule: &Value, place: &Place<'_>) -> bool {
    list(rule, &["filters"])
        .iter()
        .any(|filter| is_mirror(filter, place))
}

/// Makes a rule mirror so many percent of requests to a port of the candidate; 0: none.
pub(super) fn set_mirror(rule: &mut Value, percent: i32, port: &Value, place: &Place<'_>) {
    let before = list(rule, &["filters"]);
    let mut mirror = json!({"backendRef": {"name": place.candidate, "port": port}});
    // without it all are mirrored, by gateways too that know no percentage
    if percent < 100 {
        put(&mut mirror, &["percent"], json!(percent.max(0)));
    }
    let wanted = json!({"type": "RequestMirror", "requestMirror": mirror});
    let (ours, others): (Vec<&Value>, Vec<&Value>) =
        before.iter().partition(|filter| is_mirror(filter, place));
    if percent > 0 && ours.len() == 1 && ours.iter().all(|filter| super::covers::covers(filter, &wanted)) {
        return;
    }
    if percent <= 0 && ours.is_empty() {
        return;
    }
    let mut filters: Vec<Value> = others.into_iter().cloned().collect();
    if percent > 0 {
        filters.push(wanted);
    }
    if filters.is_empty() {
        take(rule, "filters");
    } else {
        put(rule, &["filters"], Value::Array(filters));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_two_weights_sum_to_what_is_shared_and_are_off_by_half_a_point_at_most(
            shared in 100_i64..1_000_001, percent in 0..=100_i32
        ) {
            let (stable, candidate) = pair(shared, percent);
            prop_assert_eq!(stable + candidate, shared);
            prop_assert!(stable >= 0 && candidate >= 0);
            prop_assert!((candidate * 100 - shared * i64::from(percent)).abs() <= 50);
            let weights = Weights { stable, candidate, others: 0 };
            prop_assert_eq!(weights.percent(), percent);
            // Nobody who should get requests gets none.
            prop_assert_eq!(candidate == 0, percent == 0);
            prop_assert_eq!(stable == 0, percent == 100);
        }
    }

    #[test]
    fn weights_that_nobody_should_write_are_no_reason_to_stop() {
        assert_eq!(pair(100, -5), (100, 0));
        assert_eq!(pair(100, 250), (0, 100));
        let odd = Weights {
            stable: i64::MAX,
            candidate: i64::MAX,
            others: 1,
        };
        assert!((0..=100).contains(&odd.percent()));
        assert_eq!(weight(&json!({"weight": -3})), 0);
        assert_eq!(weight(&json!({})), 1);
    }
}

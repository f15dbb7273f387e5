//! A namespace whose API server fills in defaults and counts generations, and whose gateway takes up a route when it is told to.

use dcanary_crds::{
    BlueGreen, Canary, CanaryStep, Environment, EnvironmentSpec, Port, Route, RouteKind, RouteRef,
    RouteTemplate, RouteVerify, Strategy, Tester, Traffic as TrafficSpec, labels,
};
use serde_json::{Value, json};

use super::{
    super::{InForce, Proof, Split, Wanted, of},
    defaults,
};
use crate::{
    plan::{Actor, Effect},
    render,
    seen::{Checked, Key, Kind, Seen},
};

pub(super) const UID: &str = "e1";

/// A switch of a selector, and the lowest and highest weight of the candidate that requests could have met then.
#[derive(Debug, Clone)]
pub(super) struct Switch {
    pub(super) service: String,
    pub(super) least: i64,
    pub(super) most: i64,
    /// Testers or a mirror led to the candidate.
    pub(super) extra: bool,
    /// There was a route, so that requests came.
    pub(super) routed: bool,
}

pub(super) struct World {
    pub(super) env: Environment,
    pub(super) seen: Seen,
    pub(super) last: Option<i32>,
    /// Spec of the route that the gateway follows.
    pub(super) served: Option<Value>,
    /// It says so before it follows.
    pub(super) lags: bool,
    pub(super) switches: Vec<Switch>,
    version: i64,
}

pub(super) fn wanted<'a>(stable: &'a str, candidate: Option<&'a str>, weight: i32) -> Wanted<'a> {
    Wanted {
        stable: Some(stable),
        candidate,
        weight,
        mirror: 0,
        testers: false,
        proof: Proof::Off,
    }
}

pub(super) fn canary(testers: Vec<Tester>) -> Strategy {
    Strategy {
        canary: Some(Canary {
            steps: vec![CanaryStep::default()],
            testers,
            scale_down_delay: None,
        }),
        ..Strategy::default()
    }
}

pub(super) fn blue_green() -> Strategy {
    Strategy {
        blue_green: Some(BlueGreen::default()),
        ..Strategy::default()
    }
}

/// A route that the operator owns.
pub(super) fn template(kind: RouteKind, rules: &Value) -> Route {
    Route {
        kind,
        template: Some(RouteTemplate {
            parent_refs: vec![serde_json::from_value(json!({"name": "public"})).unwrap()],
            hostnames: vec!["web.example.com".to_owned()],
            rules: serde_json::from_value(rules.clone()).unwrap(),
        }),
        reference: None,
        verify: (kind == RouteKind::Http).then(verify),
    }
}

/// A route that is there.
pub(super) fn reference(rule: Option<&str>) -> Route {
    Route {
        kind: RouteKind::Http,
        template: None,
        reference: Some(RouteRef {
            name: "site".to_owned(),
            rule: rule.map(str::to_owned),
        }),
        verify: Some(verify()),
    }
}

fn verify() -> RouteVerify {
    RouteVerify {
        url: "http://gateway".to_owned(),
        host: Some("web.example.com".to_owned()),
    }
}

/// The route `site` with these rules.
pub(super) fn site(rules: &Value) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "site", "namespace": "shop", "uid": "r1", "annotations": {"theirs": "kept"}},
        "spec": {"parentRefs": [{"name": "public", "sectionName": "https"}], "hostnames": ["example.com"], "rules": rules},
    })
}

impl World {
    pub(super) fn new(strategy: Strategy, route: Option<Route>) -> Self {
        let mut env = Environment::new(
            "web",
            EnvironmentSpec {
                strategy,
                traffic: Some(TrafficSpec {
                    ports: vec![Port {
                        port: 80,
                        target_port: Some(8080),
                        ..Port::default()
                    }],
                    route,
                    drain: None,
                }),
                ..EnvironmentSpec::default()
            },
        );
        env.metadata.uid = Some(UID.to_owned());
        env.metadata.namespace = Some("shop".to_owned());
        let seen = Seen {
            gateway_api: true,
            ..Seen::default()
        };
        Self {
            env,
            seen,
            last: None,
            served: None,
            lags: false,
            switches: Vec::new(),
            version: 0,
        }
    }

    /// With workloads of releases.
    pub(super) fn with(mut self, workloads: &[&str]) -> Self {
        for name in workloads {
            self.workload(
                name,
                &json!({labels::ENVIRONMENT_UID: UID, labels::RELEASE: name}),
            );
        }
        self
    }

    pub(super) fn workload(&mut self, name: &str, labels: &Value) {
        let object = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": labels},
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}},
        });
        self.seen.objects.insert(Key::new(Kind::Deployment, name), object);
    }

    pub(super) fn with_route(mut self, object: Value) -> Self {
        self.store(&Key::new(Kind::HttpRoute, "site"), object);
        self.settle();
        self
    }

    pub(super) fn service(&self, name: &str) -> &Value {
        self.seen.objects.get(&Key::new(Kind::Service, name)).unwrap()
    }

    pub(super) fn selector(&self, name: &str) -> Value {
        self.service(name)["spec"]["selector"].clone()
    }

    pub(super) fn leads_to(&self, service: &str, workload: &str) -> bool {
        self.selector(service) == json!(render::selector(&self.env, workload, &self.seen))
    }

    /// The route, whichever it is.
    pub(super) fn route(&self) -> &Value {
        self.seen
            .objects
            .iter()
            .find_map(|(key, object)| matches!(key.kind, Kind::HttpRoute | Kind::GrpcRoute).then_some(object))
            .unwrap()
    }

    pub(super) fn rules(&self) -> Vec<Value> {
        self.route()["spec"]["rules"].as_array().unwrap().clone()
    }

    /// What is said, nothing done.
    pub(super) fn ask(&self, wanted: &Wanted<'_>) -> Split {
        of(&self.env, &self.seen, self.last).unwrap().set(wanted)
    }

    pub(super) fn reason(&self, wanted: &Wanted<'_>) -> String {
        match self.ask(wanted).in_force {
            InForce::Refused { reason, message } => format!("{reason}: {message}"),
            other => format!("{other:?}"),
        }
    }

    /// One step, carried out.
    pub(super) fn set(&mut self, wanted: &Wanted<'_>) -> Split {
        let split = self.ask(wanted);
        if split.in_force == InForce::Yes {
            self.last = Some(wanted.weight);
        }
        self.apply(&split.effects);
        split
    }

    /// Until it is in force and nothing is left to do; the gateway follows each step.
    pub(super) fn reach(&mut self, wanted: &Wanted<'_>) {
        for _ in 0..20 {
            let split = self.set(wanted);
            if split.in_force == InForce::Yes && split.effects.is_empty() {
                return;
            }
            self.settle();
        }
        panic!("not in force after twenty steps: {:?}", self.ask(wanted));
    }

    pub(super) fn remove(&mut self) {
        for _ in 0..6 {
            let effects = of(&self.env, &self.seen, self.last).unwrap().remove();
            if effects.is_empty() {
                return;
            }
            self.apply(&effects);
            self.settle();
        }
        panic!("not removed after six steps");
    }

    pub(super) fn apply(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Write(write) => {
                    assert_eq!(write.actor, Actor::Environment);
                    let before = self.seen.objects.get(&write.key);
                    assert_eq!(
                        before.map(|object| &object["metadata"]["resourceVersion"]),
                        write.object["metadata"].get("resourceVersion"),
                        "a write replaces the version that was seen"
                    );
                    assert_ne!(before, Some(&write.object), "nothing is written that is there");
                    self.note_switch(&write.key, &write.object);
                    self.store(&write.key.clone(), write.object.clone());
                }
                Effect::Delete { key, uid, .. } => {
                    let object = self.seen.objects.remove(key).unwrap();
                    assert_eq!(object["metadata"]["uid"], json!(uid));
                    if key.kind != Kind::Service {
                        self.served = None;
                    }
                }
                Effect::Verify(verify) => {
                    let answers = |served: &Value| {
                        let served = served.to_string();
                        served.contains(&verify.path) && served.contains(&verify.leads_to)
                    };
                    let shown = self.served.as_ref().is_some_and(answers);
                    self.seen.check = Some(Checked {
                        token: verify.token.clone(),
                        at: jiff::Timestamp::UNIX_EPOCH,
                        shown: shown.then_some(()).ok_or_else(|| "answers 404".to_owned()),
                    });
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn note_switch(&mut self, key: &Key, object: &Value) {
        let Some(before) = self.seen.objects.get(key).filter(|_| key.kind == Kind::Service) else {
            return;
        };
        if before["spec"]["selector"] == object["spec"]["selector"] {
            return;
        }
        let written = self.seen.objects.iter().find_map(|(key, object)| {
            matches!(key.kind, Kind::HttpRoute | Kind::GrpcRoute).then(|| &object["spec"])
        });
        let specs: Vec<&Value> = self.served.iter().chain(written).collect();
        let weights: Vec<i64> = specs.iter().flat_map(|spec| percents(spec)).collect();
        self.switches.push(Switch {
            service: key.name.clone(),
            routed: !specs.is_empty(),
            least: weights.iter().copied().min().unwrap_or(0),
            most: weights.iter().copied().max().unwrap_or(0),
            extra: specs.iter().any(|spec| {
                let text = spec.to_string();
                text.contains("dcanary-tester-") || text.contains("RequestMirror")
            }),
        });
    }

    /// The API server takes an object.
    pub(super) fn store(&mut self, key: &Key, mut object: Value) {
        self.version += 1;
        defaults::fill_in(key.kind, &mut object);
        let before = self.seen.objects.get(key);
        let same = before.is_some_and(|before| before["spec"] == object["spec"]);
        let generation = before.map_or(0, |before| before["metadata"]["generation"].as_i64().unwrap());
        object["metadata"]["generation"] = json!(if same { generation } else { generation + 1 });
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        object["metadata"]["uid"] = before.map_or_else(
            || json!(format!("uid-{}", self.version)),
            |before| before["metadata"]["uid"].clone(),
        );
        if let Some(status) = before.and_then(|before| before.get("status")) {
            object["status"] = status.clone();
        }
        self.seen.objects.insert(key.clone(), object);
    }

    /// The gateway takes up the routes as they are.
    pub(super) fn settle(&mut self) {
        for (key, object) in &mut self.seen.objects {
            if !matches!(key.kind, Kind::HttpRoute | Kind::GrpcRoute) {
                continue;
            }
            let condition = |kind: &str| json!({"type": kind, "status": "True", "reason": kind, "observedGeneration": object["metadata"]["generation"]});
            let conditions = json!([condition("Accepted"), condition("ResolvedRefs")]);
            let parents: Vec<Value> = object["spec"]["parentRefs"]
                .as_array()
                .unwrap()
                .iter()
                .map(|parent| json!({"parentRef": parent, "controllerName": "example.com/gateway", "conditions": conditions}))
                .collect();
            object["status"] = json!({"parents": parents});
            if !self.lags {
                self.served = Some(object["spec"].clone());
            }
        }
    }

    /// The gateway follows the route as it is.
    pub(super) fn act(&mut self) {
        self.served = Some(self.route()["spec"].clone());
    }

    /// Percent of requests that reach a workload by what the gateway follows.
    pub(super) fn share(&self, workload: &str) -> i64 {
        let weight = self.served.as_ref().map_or(0, |spec| percents(spec)[0]);
        let part = |service: &str, part: i64| if self.leads_to(service, workload) { part } else { 0 };
        part("web", 100 - weight) + part("web-candidate", weight)
    }
}

/// Percent of the candidate in each rule that leads to `web`.
pub(super) fn percents(spec: &Value) -> Vec<i64> {
    let weight = |rule: &Value, name: &str| -> i64 {
        rule["backendRefs"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|backend| backend["name"] == name)
            .map(|backend| backend["weight"].as_i64().unwrap_or(1))
            .sum()
    };
    spec["rules"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|rule| rule.to_string().contains("\"name\":\"web\""))
        .map(|rule| {
            let (stable, candidate) = (weight(rule, "web"), weight(rule, "web-candidate"));
            let both = (stable + candidate).max(1);
            (candidate * 100 + both / 2) / both
        })
        .collect()
}

//! A Kubernetes API that answers from a script, and the program against it.

use std::{
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Output},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::{Value, json};

use crate::support::{self, Request, text};

const API: &str = "/apis/dcanary.dev/v1alpha1/namespaces/";
const REVIEW: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

pub(crate) fn identity(digit: &str) -> String {
    format!("sha256:{}", digit.repeat(64))
}

pub(crate) fn condition(kind: &str, status: &str, reason: &str) -> Value {
    json!({
        "type": kind, "status": status, "reason": reason, "message": "",
        "lastTransitionTime": "2026-03-01T12:00:00Z",
    })
}

pub(crate) fn object(kind: &str, namespace: &str, name: &str, spec: Value, status: Value) -> Value {
    json!({
        "apiVersion": "dcanary.dev/v1alpha1", "kind": kind,
        "metadata": {
            "name": name, "namespace": namespace, "uid": format!("uid-{name}"), "resourceVersion": "5",
            "creationTimestamp": "2026-03-01T12:00:00Z",
        },
        "spec": spec, "status": status,
    })
}

pub(crate) fn promotion(name: &str, release: &str, ended: Option<(&str, &str)>) -> Value {
    let mut conditions = vec![match ended {
        Some((status, reason)) => condition("Succeeded", status, reason),
        None => condition("Succeeded", "Unknown", "WaitingForApproval"),
    }];
    conditions.extend(ended.map(|(_, reason)| condition("Finished", "True", reason)));
    object(
        "Promotion",
        "shop",
        name,
        json!({"environmentRef": {"name": "production"}, "releaseRef": {"name": release}, "requestedBy": "ada"}),
        json!({"identity": identity("4"), "conditions": conditions}),
    )
}

/// The world that the API server shows.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) objects: Vec<(&'static str, Value)>,
    pub(crate) caller: &'static str,
    /// What becomes of a promotion that is watched.
    pub(crate) ends: (&'static str, &'static str),
    /// What the admission policy says of a new object, if it refuses.
    pub(crate) denies: Option<&'static str>,
}

pub(crate) fn shop() -> World {
    let release = |name: &str| {
        object(
            "Release",
            "shop",
            name,
            json!({"images": {"web": format!("r.example/web@{}", identity("a"))}}),
            Value::Null,
        )
    };
    let environment = object(
        "Environment",
        "shop",
        "production",
        json!({
            "workload": {"template": {"spec": {}}}, "approval": {"required": 1, "groups": ["sre"]},
            "strategy": {"canary": {"steps": [{"weight": 10}]}}, "traffic": {"ports": [{"port": 80}]},
        }),
        json!({
            "conditions": [condition("Ready", "True", "Serving")],
            "stable": {"release": "web-41", "identity": identity("3"), "workload": "production-3333333333"},
            "history": [{"release": "web-40", "identity": identity("2"), "workload": "production-2222222222"}],
            "held": [{"identity": identity("9"), "release": "web-39", "reason": "RolledBack"}],
            "rollout": {
                "promotion": "web-42-aaaaa", "promotionNamespace": "shop", "promotionUid": "uid-web-42-aaaaa",
                "release": "web-42", "identity": identity("4"), "workload": "production-4444444444", "doing": "Waiting",
            },
        }),
    );
    World {
        objects: vec![
            ("environments", environment),
            ("releases", release("web-42")),
            ("promotions", promotion("web-42-aaaaa", "web-42", None)),
            (
                "promotions",
                promotion("web-41-bbbbb", "web-41", Some(("True", "Promoted"))),
            ),
        ],
        caller: "bo",
        ends: ("True", "Promoted"),
        denies: None,
    }
}

pub(crate) struct Api {
    kubeconfig: String,
    pub(crate) created: Arc<Mutex<Vec<Value>>>,
    home: tempfile::TempDir,
}

impl Api {
    pub(crate) fn start(world: World) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let created = Arc::new(Mutex::new(Vec::new()));
        let seen = created.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (world, seen) = (world.clone(), seen.clone());
                thread::spawn(move || answer(stream, &world, &seen));
            }
        });
        let kubeconfig = support::kubeconfig(port, "shop");
        Self {
            kubeconfig,
            created,
            home: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn dcanary(&self, arguments: &[&str]) -> Output {
        let home: &Path = self.home.path();
        let config = home.join("kubeconfig");
        std::fs::write(&config, &self.kubeconfig).unwrap();
        Command::new(env!("CARGO_BIN_EXE_dcanary"))
            .args(arguments)
            .env_clear()
            .env("HOME", home)
            .env("KUBECONFIG", config)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap()
    }

    /// What it printed, when it did as it was asked.
    pub(crate) fn shown(&self, arguments: &[&str]) -> String {
        let done = self.dcanary(arguments);
        assert_eq!(
            done.status.code(),
            Some(0),
            "{arguments:?}: {}",
            text(&done.stderr)
        );
        text(&done.stdout)
    }

    /// What it said, when it refused with this exit code; nothing was created.
    pub(crate) fn refused(&self, arguments: &[&str], code: i32) -> String {
        let done = self.dcanary(arguments);
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(
            self.created.lock().unwrap().is_empty(),
            "{arguments:?} created something"
        );
        said
    }

    pub(crate) fn last(&self) -> Value {
        self.created.lock().unwrap().last().unwrap().clone()
    }
}

fn status(code: u16, message: &str) -> (u16, Value) {
    let reason = if code == 404 { "NotFound" } else { "Forbidden" };
    let answer = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
        "reason": reason, "message": message,
    });
    (code, answer)
}

fn answer(mut stream: TcpStream, world: &World, created: &Mutex<Vec<Value>>) {
    let Some(request) = Request::read(&stream) else {
        return;
    };
    let (code, answer) = reply(request, world, created);
    support::answer(&mut stream, code, &answer);
}

fn reply(request: Request, world: &World, created: &Mutex<Vec<Value>>) -> (u16, Value) {
    let (method, path, query) = (request.method.as_str(), request.path.as_str(), &request.query);
    if (method, path) == ("POST", REVIEW) {
        let user = json!({"username": world.caller, "groups": ["sre", "dev", "system:authenticated"]});
        return (
            201,
            json!({
                "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {},
                "status": {"userInfo": user},
            }),
        );
    }
    let parts: Vec<&str> = path.strip_prefix(API).unwrap_or_default().split('/').collect();
    let of = |resource: &str, namespace: &str| -> Vec<Value> {
        let in_place = |object: &Value| object["metadata"]["namespace"] == namespace;
        world
            .objects
            .iter()
            .filter(|(kind, object)| *kind == resource && in_place(object))
            .map(|(_, object)| object.clone())
            .collect()
    };
    match (method, parts.as_slice()) {
        ("POST", [namespace, _]) => {
            if let Some(said) = world.denies {
                return status(
                    403,
                    &format!(
                        "decisions.dcanary.dev \"x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p' denied request: {said}"
                    ),
                );
            }
            let mut made = request.body;
            made["metadata"]["namespace"] = json!(namespace);
            made["metadata"]["uid"] = json!("uid-made");
            created.lock().unwrap().push(made.clone());
            (201, made)
        }
        ("GET", [_, "promotions"]) if query.contains("watch=true") => {
            let made = created.lock().unwrap().last().cloned().unwrap_or_default();
            let name = made["metadata"]["name"].as_str().unwrap_or("web-42-aaaaa");
            let mut ended = promotion(name, "web-42", Some(world.ends));
            ended["metadata"]["resourceVersion"] = json!("7");
            (200, json!({"type": "MODIFIED", "object": ended}))
        }
        ("GET", [namespace, resource]) => {
            let mut items = of(resource, namespace);
            // whoever watches one object lists it by its name
            if let Some((_, name)) = query.split_once("metadata.name%3D") {
                let name = name.split('&').next().unwrap_or_default();
                items.extend(created.lock().unwrap().iter().cloned());
                items.retain(|object| object["metadata"]["name"] == name);
            }
            (
                200,
                json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "5"}, "items": items}),
            )
        }
        ("GET", [namespace, resource, name]) => {
            match of(resource, namespace)
                .into_iter()
                .find(|object| object["metadata"]["name"] == *name)
            {
                Some(object) => (200, object),
                None => status(404, "not found"),
            }
        }
        _ => status(405, "not in the script"),
    }
}

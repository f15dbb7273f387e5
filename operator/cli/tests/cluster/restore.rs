//! `ledger restore` against a cluster whose workloads follow what is asked of them at once.

use std::{
    io::Read as _,
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use super::support::{self, Request, text};

const APPS: &str = "/apis/apps/v1/namespaces/dcanary-system";
const CORE: &str = "/api/v1/namespaces/dcanary-system";
const KEPT: &str = "dcanary.dev/replicas-before-restore";

/// The installation `ci`.
#[derive(Clone)]
struct Installation {
    operators: i64,
    kept: Option<String>,
    nodes: i64,
    /// Its operator's Pods do not go.
    operator_stays: bool,
    /// What was changed, in order.
    done: Vec<String>,
}

impl Installation {
    fn with(operators: i64, kept: Option<&str>) -> Self {
        Self {
            operators,
            kept: kept.map(str::to_owned),
            nodes: 1,
            operator_stays: false,
            done: Vec::new(),
        }
    }

    fn operator(&self) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "ci-operator", "resourceVersion": "1", "annotations": self.kept.as_ref().map(|kept| json!({KEPT: kept}))},
            "spec": {"replicas": self.operators, "selector": {}, "template": {}},
            "status": {"replicas": if self.operator_stays { 1 } else { self.operators }},
        })
    }

    fn ledger(&self) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"name": "ci-ledger", "resourceVersion": "1"},
            "spec": {"replicas": self.nodes, "serviceName": "ci-ledger", "selector": {}, "template": {"spec": {"containers": [{
                "name": "node", "image": "i", "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }]}}},
        })
    }

    fn node(&self) -> Option<Value> {
        let ready = json!([{"type": "Ready", "status": "True"}]);
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "ci-ledger-0", "resourceVersion": "1"}, "status": {"conditions": ready},
        });
        (self.nodes > 0).then_some(pod)
    }

    fn answer(&mut self, request: &Request) -> (u16, Value) {
        let (path, query, body) = (request.path.as_str(), &request.query, &request.body);
        let list = |kind: &str, items: Vec<Value>| json!({"apiVersion": "v1", "kind": kind, "metadata": {"resourceVersion": "1"}, "items": items});
        let missing = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound", "message": "not found"});
        let replicas = body["spec"]["replicas"].as_i64();
        let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {}, "spec": {}});
        let (apps, core) = (path.strip_prefix(APPS), path.strip_prefix(CORE));
        match (request.method.as_str(), apps.or(core).unwrap_or_default()) {
            ("GET", "/configmaps/dcanary-ledger") => {
                let network = "http://ci-ledger.dcanary-system.svc:8080";
                (
                    200,
                    json!({"metadata": {"name": "dcanary-ledger"}, "data": {"network": network}}),
                )
            }
            ("GET", "/deployments/ci-operator") => (200, self.operator()),
            ("GET", "/statefulsets/ci-ledger") => (200, self.ledger()),
            ("GET", "/deployments") => (200, list("DeploymentList", vec![self.operator()])),
            ("GET", "/pods") => {
                let pods = self.node().filter(|_| query.contains("ci-ledger-0"));
                (200, list("PodList", pods.into_iter().collect()))
            }
            ("PATCH", "/deployments/ci-operator") => {
                let kept = &body["metadata"]["annotations"][KEPT];
                self.done.push(format!("keep {kept}"));
                self.kept = kept.as_str().map(str::to_owned);
                (200, self.operator())
            }
            ("PATCH", "/deployments/ci-operator/scale") => {
                self.operators = replicas.unwrap();
                self.done.push(format!("operator {}", self.operators));
                (200, scale)
            }
            ("PATCH", "/statefulsets/ci-ledger/scale") => {
                self.nodes = replicas.unwrap();
                self.done.push(format!("node {}", self.nodes));
                (200, scale)
            }
            ("POST", "/pods") => {
                self.done.push(format!("make {}", body["metadata"]["name"]));
                (
                    500,
                    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 500, "message": "no room"}),
                )
            }
            _ => (404, missing),
        }
    }
}

struct Cluster {
    home: tempfile::TempDir,
    state: Arc<Mutex<Installation>>,
    /// What was changed, as it is.
    changes: mpsc::Receiver<String>,
    kubeconfig: PathBuf,
}

impl Cluster {
    fn start(installation: Installation) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(installation));
        let (tell, changes) = mpsc::channel();
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, tell) = (shared.clone(), tell.clone());
                thread::spawn(move || serve(stream, &shared, &tell));
            }
        });
        let home = tempfile::tempdir().unwrap();
        let kubeconfig = home.path().join("kubeconfig");
        std::fs::write(&kubeconfig, support::kubeconfig(port, "default")).unwrap();
        std::fs::write(home.path().join("ledger.tar"), b"backup").unwrap();
        Self {
            home,
            state,
            changes,
            kubeconfig,
        }
    }

    fn restore(&self) -> Child {
        Command::new(env!("CARGO_BIN_EXE_dcanary"))
            .args(["ledger", "restore", "ledger.tar", "--yes"])
            .current_dir(self.home.path())
            .env_clear()
            .env("HOME", self.home.path())
            .env("KUBECONFIG", &self.kubeconfig)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn done(&self) -> Vec<String> {
        self.state.lock().unwrap().done.clone()
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<Installation>, tell: &mpsc::Sender<String>) {
    let Some(request) = Request::read(&stream) else {
        return;
    };
    if request.query.contains("watch=true") {
        // nothing changes by itself: the watch stays open until whoever watches goes away
        support::begin(&mut stream, 200);
        let _ = stream.read(&mut [0]);
        return;
    }
    let (code, answer) = {
        let mut state = state.lock().unwrap();
        let before = state.done.len();
        let answer = state.answer(&request);
        state.done[before..]
            .iter()
            .for_each(|done| drop(tell.send(done.clone())));
        answer
    };
    support::answer(&mut stream, code, &answer);
}

#[test]
fn a_restore_that_fails_brings_the_node_and_then_the_operator_back_under_the_names_of_the_installation() {
    let cluster = Cluster::start(Installation::with(2, None));
    let ended = cluster.restore().wait_with_output().unwrap();
    let said = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(5), "{said}");
    assert!(said.contains("cannot make Pod ci-ledger-restore"), "{said}");
    assert_eq!(
        cluster.done(),
        [
            "keep \"2\"",
            "operator 0",
            "node 0",
            "make \"ci-ledger-restore\"",
            "node 1",
            "operator 2",
            "keep null",
        ]
    );
}

#[test]
fn a_restore_that_is_repeated_after_an_interruption_brings_the_operator_back() {
    for (kept, operators) in [(Some("3"), 3), (None, 1)] {
        let cluster = Cluster::start(Installation::with(0, kept));
        let ended = cluster.restore().wait_with_output().unwrap();
        let state = cluster.state.lock().unwrap().clone();
        assert_eq!(
            (state.operators, state.nodes, state.kept),
            (operators, 1, None),
            "{kept:?}: {}",
            text(&ended.stderr)
        );
    }
}

#[test]
fn an_interrupted_restore_brings_everything_back_before_it_ends() {
    for signal in ["INT", "HUP", "TERM"] {
        let cluster = Cluster::start(Installation {
            operator_stays: true,
            ..Installation::with(1, None)
        });
        let running = cluster.restore();
        let deadline = Duration::from_secs(60);
        while cluster.changes.recv_timeout(deadline).unwrap() != "operator 0" {}
        let kill = Command::new("kill")
            .args([&format!("-{signal}"), &running.id().to_string()])
            .status()
            .unwrap();
        assert!(kill.success());
        let ended = running.wait_with_output().unwrap();
        let said = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(5), "{signal}: {said}");
        assert!(said.contains("interrupted"), "{signal}: {said}");
        assert_eq!(
            cluster.done(),
            ["keep \"1\"", "operator 0", "node 1", "operator 1", "keep null"],
            "{signal}"
        );
    }
}

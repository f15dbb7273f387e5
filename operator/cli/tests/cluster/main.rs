//! The program against a Kubernetes API that answers from a script: what it prints, and how it ends.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod restore;
#[path = "../support/mod.rs"]
mod support;

use std::{
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use support::{Request, text};

const RUNS: &str = "/apis/dcanary.dev/v1alpha1/namespaces/team/pipelineruns";
const PIPELINE: &str = "/apis/dcanary.dev/v1alpha1/namespaces/team/pipelines/web";

const PODS: &str = "/api/v1/namespaces/team/pods";

/// The Pods of `web-1`, of which the second one's log cannot be read; other runs have none.
fn pods(query: &str) -> Value {
    let pod = |name: &str, stage: &str| json!({"metadata": {"name": name, "labels": {"dcanary.dev/stage": stage, "dcanary.dev/attempt": "1"}}});
    let all = json!([pod("web-1-a", "a"), pod("web-1-b", "b")]);
    let of = |stage: &str| query.contains(&format!("stage%3D{stage}"));
    let items = match (query.contains("uid-web-1"), of("a")) {
        (false, _) => json!([]),
        (true, true) => json!([all[0]]),
        (true, false) => all,
    };
    json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": items})
}

/// A run in one state; `ended` is the status and reason of its condition `Succeeded`.
fn run(name: &str, version: u64, ended: Option<(&str, &str)>) -> Value {
    let condition = |kind: &str, status: &str, reason: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": "",
            "lastTransitionTime": "2026-03-01T12:00:00Z",
        })
    };
    let conditions = match ended {
        None => json!([condition("Succeeded", "Unknown", "Running")]),
        Some((status, reason)) => json!([
            condition("Succeeded", status, reason),
            condition("Finished", "True", reason)
        ]),
    };
    json!({
        "apiVersion": "dcanary.dev/v1alpha1",
        "kind": "PipelineRun",
        "metadata": {
            "name": name, "namespace": "team", "uid": format!("uid-{name}"),
            "resourceVersion": version.to_string(), "creationTimestamp": "2026-03-01T12:00:00Z",
        },
        "spec": {"pipelineRef": {"name": "web"}},
        "status": {"conditions": conditions, "stages": []},
    })
}

fn list(items: &[Value]) -> Value {
    json!({
        "apiVersion": "dcanary.dev/v1alpha1", "kind": "PipelineRunList",
        "metadata": {"resourceVersion": "5"}, "items": items,
    })
}

/// An API server with one namespace, one Pipeline and these runs. Whoever watches sees `web-1` end.
struct Api {
    kubeconfig: String,
    created: Arc<Mutex<Vec<Value>>>,
    /// Path, content type and body of each patch.
    patched: Arc<Mutex<Vec<(String, String, Value)>>>,
}

impl Api {
    fn start(runs: Vec<Value>, ends: (&'static str, &'static str)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let created = Arc::new(Mutex::new(Vec::new()));
        let patched = Arc::new(Mutex::new(Vec::new()));
        let (seen, patches) = (created.clone(), patched.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (runs, seen, patches) = (runs.clone(), seen.clone(), patches.clone());
                thread::spawn(move || answer(stream, &runs, ends, &seen, &patches));
            }
        });
        let kubeconfig = support::kubeconfig(port, "team");
        Self {
            kubeconfig,
            created,
            patched,
        }
    }

    fn dcanary(&self, home: &Path, arguments: &[&str]) -> Output {
        let config = home.join("kubeconfig");
        std::fs::write(&config, &self.kubeconfig).unwrap();
        Command::new(env!("CARGO_BIN_EXE_dcanary"))
            .args(arguments)
            .env_clear()
            .env("HOME", home)
            .env("KUBECONFIG", config)
            .output()
            .unwrap()
    }
}

fn answer(
    mut stream: TcpStream,
    runs: &[Value],
    ends: (&str, &str),
    created: &Mutex<Vec<Value>>,
    patched: &Mutex<Vec<(String, String, Value)>>,
) {
    let Some(request) = Request::read(&stream) else {
        return;
    };
    let (path, query) = (request.path.as_str(), request.query.as_str());
    let (code, answer) = match (request.method.as_str(), path) {
        ("GET", PIPELINE) => (
            200,
            json!({
                "apiVersion": "dcanary.dev/v1alpha1", "kind": "Pipeline",
                "metadata": {"name": "web", "namespace": "team"},
                "spec": {"stages": [{"name": "a", "image": "busybox", "steps": [{"run": "true"}]}]},
            }),
        ),
        ("POST", RUNS) => {
            created.lock().unwrap().push(request.body);
            (201, run("web-1", 6, None))
        }
        ("PATCH", path) => {
            let kind = request.header("content-type").to_ascii_lowercase();
            patched
                .lock()
                .unwrap()
                .push((path.to_owned(), kind, request.body.clone()));
            (200, run("web-1", 6, None))
        }
        ("GET", RUNS) if query.contains("watch=true") => (
            200,
            json!({"type": "MODIFIED", "object": run("web-1", 7, Some(ends))}),
        ),
        ("GET", RUNS) => (200, list(runs)),
        ("GET", PODS) => (200, pods(query)),
        ("GET", path) if path == format!("{PODS}/web-1-a/log") => (200, json!("one")),
        ("GET", path) if path == format!("{PODS}/web-1-b/log") => (500, json!({})),
        ("GET", path) => match runs
            .iter()
            .find(|run| path.ends_with(run["metadata"]["name"].as_str().unwrap()))
        {
            Some(run) => (200, run.clone()),
            None => (
                404,
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound", "message": "not found"}),
            ),
        },
        _ => (405, json!({})),
    };
    support::answer(&mut stream, code, &answer);
}

const ENDS: [((&str, &str), i32); 4] = [
    (("True", "Succeeded"), 0),
    (("False", "StageFailed"), 1),
    (("False", "Cancelled"), 3),
    (("False", "TimedOut"), 4),
];

#[test]
fn whoever_waits_or_watches_learns_from_the_exit_code_how_a_run_ended() {
    let home = tempfile::tempdir().unwrap();
    for (ends, code) in ENDS {
        let api = Api::start(vec![run("web-1", 5, None)], ends);
        for arguments in [
            &["run", "web", "--name", "web-1", "--wait"][..],
            &["get", "run", "web-1", "-w"],
            &["get", "run", "web-1", "-w", "-o", "json"],
        ] {
            let done = api.dcanary(home.path(), arguments);
            assert_eq!(
                done.status.code(),
                Some(code),
                "{ends:?} {arguments:?}: {}",
                text(&done.stderr)
            );
        }
    }
}

/// Runs `dcanary` to its end, which is waited for no longer than it may take.
fn ends(mut command: Command) -> Output {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (pid, (send, ended)) = (child.id(), mpsc::channel());
    thread::spawn(move || send.send(child.wait_with_output().unwrap()));
    ended.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| {
        let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        panic!("it goes on without end");
    })
}

#[test]
fn whoever_watches_in_vain_is_told_so() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("kubeconfig");
    let dcanary = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dcanary"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", home.path())
            .env("KUBECONFIG", &config);
        ends(command)
    };
    // nobody listens there any more
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    std::fs::write(&config, support::kubeconfig(port, "team")).unwrap();
    for arguments in [&["get", "run", "web-1", "-w"][..], &["get", "env", "live", "-w"]] {
        let done = dcanary(arguments);
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(5), "{arguments:?}: {said}");
        assert!(
            said.contains(&format!("cannot reach the cluster at http://127.0.0.1:{port}")),
            "{said}"
        );
    }
    // it may be read, but not watched
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::fs::write(&config, support::kubeconfig(port, "team")).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let Some(request) = Request::read(&stream) else {
                continue;
            };
            let (code, body) = if request.query.contains("watch=true") {
                (
                    403,
                    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403, "reason": "Forbidden", "message": "pipelineruns is forbidden: ann cannot watch"}),
                )
            } else {
                (200, list(&[run("web-1", 5, None)]))
            };
            support::answer(&mut stream, code, &body);
        }
    });
    let done = dcanary(&["get", "run", "web-1", "-w"]);
    let said = text(&done.stderr);
    assert_eq!(done.status.code(), Some(5), "{said}");
    assert!(
        said.contains("not allowed: pipelineruns is forbidden: ann cannot watch"),
        "{said}"
    );
}

#[test]
fn a_watched_run_as_json_is_one_document_a_line_for_each_change() {
    let home = tempfile::tempdir().unwrap();
    let api = Api::start(vec![run("web-1", 5, None)], ("True", "Succeeded"));
    let done = api.dcanary(home.path(), &["get", "run", "web-1", "-w", "-o", "json"]);
    let seen: Vec<String> = text(&done.stdout)
        .lines()
        .map(|line| {
            let run: Value = serde_json::from_str(line).unwrap();
            run["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(seen, ["5", "7"], "{}", text(&done.stderr));
}

#[test]
fn runs_are_printed_in_every_form_that_is_asked_for() {
    let home = tempfile::tempdir().unwrap();
    let runs = vec![
        run("web-1", 5, Some(("True", "Succeeded"))),
        run("web-2", 4, None),
    ];
    let api = Api::start(runs, ("True", "Succeeded"));
    let shown = |arguments: &[&str]| {
        let done = api.dcanary(home.path(), arguments);
        assert_eq!(
            done.status.code(),
            Some(0),
            "{arguments:?}: {}",
            text(&done.stderr)
        );
        text(&done.stdout)
    };
    assert_eq!(
        shown(&["get", "runs", "-o", "name"]),
        "pipelinerun.dcanary.dev/web-1\npipelinerun.dcanary.dev/web-2\n"
    );
    assert!(shown(&["get", "runs", "-o", "wide"]).contains("COMMIT"));
    let json: Value = serde_json::from_str(&shown(&["get", "runs", "-o", "json"])).unwrap();
    assert_eq!(json["items"].as_array().map(Vec::len), Some(2));
    assert!(shown(&["get", "runs", "-o", "yaml"]).contains("kind: List"));
    let json: Value = serde_json::from_str(&shown(&["get", "run", "web-1", "-o", "json"])).unwrap();
    assert_eq!(json["metadata"]["uid"], "uid-web-1");
    assert!(shown(&["get", "run", "web-1", "-o", "yaml"]).contains("uid: uid-web-1"));
    assert_eq!(
        shown(&["get", "run", "web-1", "-o", "name"]),
        "pipelinerun.dcanary.dev/web-1\n"
    );
    assert!(shown(&["get", "run", "web-1", "-o", "wide"]).contains("COMMIT"));
    assert!(!shown(&["get", "runs"]).contains('\u{1b}'), "colours in a pipe");
}

#[test]
fn a_started_run_has_a_name_that_scripts_can_read_and_people_are_told_what_is_next() {
    let home = tempfile::tempdir().unwrap();
    let api = Api::start(vec![], ("True", "Succeeded"));
    let done = api.dcanary(home.path(), &["run", "web"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let created = api.created.lock().unwrap()[0].clone();
    let name = created["metadata"]["name"].as_str().unwrap();
    assert!(
        name.starts_with("web-") && name.len() == "web-".len() + 5,
        "{name}"
    );
    assert_eq!(text(&done.stdout), format!("{name}\n"));
    let said = text(&done.stderr);
    for next in [
        format!("dcanary get run {name} -w"),
        format!("dcanary logs {name} -f"),
        "namespace team".to_owned(),
    ] {
        assert!(said.contains(&next), "{said}");
    }
}

#[test]
fn a_run_that_is_not_there_is_exit_code_5_with_the_namespace_and_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let api = Api::start(vec![], ("True", "Succeeded"));
    for arguments in [
        &["get", "run", "web-9"][..],
        &["get", "run", "web-9", "-w"],
        &["logs", "web-9"],
        &["cancel", "web-9"],
    ] {
        let done = api.dcanary(home.path(), arguments);
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(5), "{arguments:?}: {said}");
        assert!(
            said.contains("namespace team") && said.contains("get runs -A"),
            "{said}"
        );
    }
}

#[test]
fn who_asks_for_log_or_proof_of_a_deleted_run_is_told_where_its_traces_are() {
    let home = tempfile::tempdir().unwrap();
    let api = Api::start(vec![], ("True", "Succeeded"));
    for (arguments, code) in [(&["logs", "web-9"][..], 5), (&["verify", "run", "web-9"], 2)] {
        let done = api.dcanary(home.path(), arguments);
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{arguments:?}: {said}");
        for part in [
            "is not in namespace team",
            "`dcanary ledger export ",
            "`dcanary verify export ",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}

#[test]
fn a_log_of_a_stage_that_waits_for_its_pod_says_what_for_and_shows_no_errors_of_the_cluster() {
    let home = tempfile::tempdir().unwrap();
    let mut waits = run("web-1", 5, None);
    let attempt = |reason: &str, message: &str| json!([{"number": 1, "pod": "web-1-b", "reason": reason, "message": message}]);
    waits["status"]["stages"] = json!([
        {"name": "a", "state": "Succeeded", "attempts": [{"number": 1, "pod": "web-1-a", "startedAt": "2026-03-01T12:00:01Z"}]},
        {"name": "b", "state": "Running", "attempts": attempt("CreateContainerConfigError", "secret \"nope\" not found")},
    ]);
    let api = Api::start(vec![waits], ("True", "Succeeded"));
    let line = "stage b waits: CreateContainerConfigError: secret \"nope\" not found";
    let done = api.dcanary(home.path(), &["logs", "web-1", "b"]);
    let said = text(&done.stderr);
    assert_eq!(done.status.code(), Some(5), "{said}");
    assert_eq!(said, format!("dcanary: {line}\n"));
    // beside what the Pods that ran have written
    let done = api.dcanary(home.path(), &["logs", "web-1"]);
    let said = text(&done.stderr);
    assert_eq!(done.status.code(), Some(0), "{said}");
    assert_eq!(text(&done.stdout), "a | \"one\"\n");
    assert!(said.contains(line) && !said.contains("web-1-b"), "{said}");
}

#[test]
fn cancel_sets_the_field_that_the_operator_stops_a_run_for_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let api = Api::start(vec![run("web-1", 5, None)], ("True", "Succeeded"));
    let done = api.dcanary(home.path(), &["cancel", "web-1"]);
    let said = text(&done.stderr);
    assert_eq!(done.status.code(), Some(0), "{said}");
    assert!(said.contains("web-1 is being cancelled"), "{said}");
    // the short name is ours alone, `pipelinerun` may be Tekton's
    assert!(said.contains("`kubectl delete dpr web-1 -n team`"), "{said}");
    let asked = (
        format!("{RUNS}/web-1"),
        "application/merge-patch+json".to_owned(),
        json!({"spec": {"cancel": true}}),
    );
    assert_eq!(*api.patched.lock().unwrap(), [asked]);
    let done = api.dcanary(home.path(), &["cancel", "web-1", "-o", "name"]);
    assert_eq!(text(&done.stdout), "pipelinerun.dcanary.dev/web-1\n");
}

#[test]
fn a_run_that_has_ended_is_not_cancelled() {
    let home = tempfile::tempdir().unwrap();
    let ended = run("web-1", 5, Some(("True", "Succeeded")));
    let api = Api::start(vec![ended], ("True", "Succeeded"));
    let done = api.dcanary(home.path(), &["cancel", "web-1"]);
    assert_eq!(done.status.code(), Some(0));
    assert!(text(&done.stderr).contains("has ended already"));
    assert!(api.patched.lock().unwrap().is_empty());
}

#[test]
fn a_log_of_a_pod_that_cannot_be_read_is_exit_code_5_after_the_others_are_shown() {
    let home = tempfile::tempdir().unwrap();
    let mut ended = run("web-1", 5, Some(("True", "Succeeded")));
    ended["status"]["stages"] = json!([{"name": "a", "attempts": []}, {"name": "b", "attempts": []}]);
    let api = Api::start(vec![ended], ("True", "Succeeded"));
    let done = api.dcanary(home.path(), &["logs", "web-1"]);
    let said = text(&done.stderr);
    assert_eq!(done.status.code(), Some(5), "{said}");
    assert_eq!(text(&done.stdout), "a | \"one\"\n");
    assert!(
        said.contains("Pod web-1-b") && said.contains("not the whole log"),
        "{said}"
    );
    let done = api.dcanary(home.path(), &["logs", "web-1", "a"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
}

#[test]
fn a_run_that_has_had_no_pod_is_told_from_one_whose_pods_are_gone() {
    let home = tempfile::tempdir().unwrap();
    let mut gone = run("web-3", 5, Some(("True", "Succeeded")));
    gone["status"]["stages"] = json!([
        {"name": "a", "attempts": [{"number": 1, "pod": "web-3-a"}]}, {"name": "b", "attempts": []},
    ]);
    let never = run("web-2", 5, Some(("False", "InvalidPipeline")));
    let api = Api::start(vec![gone, never], ("True", "Succeeded"));
    for (arguments, told) in [
        (&["logs", "web-2"][..], "run web-2 has had no Pod"),
        (&["logs", "web-3"], "run web-3 has no Pods any more"),
        (
            &["logs", "web-3", "a"],
            "stage a of run web-3 has no Pods any more",
        ),
        (&["logs", "web-3", "b"], "stage b of run web-3 has had no Pod"),
    ] {
        let done = api.dcanary(home.path(), arguments);
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(5), "{arguments:?}: {said}");
        assert!(said.contains(told), "{arguments:?}: {said}");
    }
}

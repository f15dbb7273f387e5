//! API calls by user, verb and resource, from the API server's audit log (JSON lines, level Metadata or more).

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde::Deserialize;

/// A stretch of time in which runs lived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Before their creation.
    pub from: Timestamp,
    /// When their deletion was asked for.
    pub asked: Timestamp,
    /// When nothing of them was left.
    pub to: Timestamp,
}

/// Who called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caller {
    /// The operator.
    Operator,
    /// The server.
    Server,
    /// Any service account of the bench's namespace, as whose Pods the runner works.
    Runner,
}

/// What a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Changes an object.
    Write,
    /// Reads or watches objects, or asks about a token or a right.
    Read,
    /// Events.
    Event,
    /// Leases.
    Lease,
}

/// Whose calls are counted, and where.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The operator's user name.
    pub operator: String,
    /// The server's user name.
    pub server: String,
    /// Namespace of the operator and the server.
    pub system: String,
    /// Namespace of the bench.
    pub bench: String,
    /// When.
    pub windows: Vec<Window>,
}

/// Calls of one sort.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// In the whole windows.
    pub all: u64,
    /// Of these, since the deletion was asked for.
    pub late: u64,
}

/// Calls by caller, group, verb and resource (`pods`, `pipelineruns/status`).
pub type Calls = BTreeMap<(Caller, Group, String, String), Count>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    stage: String,
    verb: String,
    user: User,
    #[serde(default)]
    object_ref: Object,
    request_received_timestamp: Timestamp,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Object {
    resource: String,
    subresource: String,
    namespace: String,
}

/// Reads the log, and the rotated files beside it that were written since the first window.
///
/// # Errors
/// When there is no log, it cannot be read, or it has no call of the operator in the windows, which cannot be: then it is the log
/// of another cluster.
pub fn read(log: &Path, scope: &Scope) -> Result<Calls> {
    let mut calls = Calls::new();
    for file in files(log, scope)? {
        let open = File::open(&file).with_context(|| format!("read {}", file.display()))?;
        count(BufReader::new(open), scope, &mut calls).with_context(|| format!("read {}", file.display()))?;
    }
    if !calls.keys().any(|(caller, ..)| *caller == Caller::Operator) {
        bail!("{} has no calls of {}", log.display(), scope.operator);
    }
    Ok(calls)
}

fn files(log: &Path, scope: &Scope) -> Result<Vec<PathBuf>> {
    let since = scope
        .windows
        .iter()
        .map(|window| SystemTime::from(window.from))
        .min();
    let stem = log.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let folder = log.parent().unwrap_or(Path::new("."));
    let mut files = Vec::new();
    for entry in folder
        .read_dir()
        .with_context(|| format!("read {}", folder.display()))?
    {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&stem)
            && since.is_some_and(|since| {
                entry
                    .metadata()
                    .and_then(|meta| meta.modified())
                    .is_ok_and(|at| at >= since)
            })
        {
            files.push(entry.path());
        }
    }
    Ok(files)
}

fn count(lines: impl BufRead, scope: &Scope, calls: &mut Calls) -> Result<()> {
    for line in lines.lines() {
        let line = line?;
        // most lines are of others; only what may count is parsed
        if !line.contains("system:serviceaccount:") {
            continue;
        }
        // the last line may be half written
        let Ok(entry) = serde_json::from_str::<Entry>(&line) else {
            continue;
        };
        let (Some(caller), Some(window)) = (scope.caller(&entry), scope.window(&entry)) else {
            continue;
        };
        let resource = match entry.object_ref.subresource.as_str() {
            "" => entry.object_ref.resource.clone(),
            part => format!("{}/{part}", entry.object_ref.resource),
        };
        let key = (caller, group(&entry), entry.verb, resource);
        let count = calls.entry(key).or_default();
        count.all += 1;
        count.late += u64::from(entry.request_received_timestamp >= window.asked);
    }
    Ok(())
}

impl Scope {
    /// Who made a call that counts: each call once, and none about namespaces of others.
    fn caller(&self, entry: &Entry) -> Option<Caller> {
        // a watch is counted when it begins, everything else when it is answered
        let once = if entry.verb == "watch" {
            "ResponseStarted"
        } else {
            "ResponseComplete"
        };
        let place = entry.object_ref.namespace.as_str();
        if entry.stage != once || !(place.is_empty() || place == self.bench || place == self.system) {
            return None;
        }
        let user = entry.user.username.as_str();
        if user == self.operator {
            Some(Caller::Operator)
        } else if user == self.server {
            Some(Caller::Server)
        } else {
            let of_bench = user
                .strip_prefix("system:serviceaccount:")?
                .strip_prefix(&self.bench)?;
            of_bench.starts_with(':').then_some(Caller::Runner)
        }
    }

    fn window(&self, entry: &Entry) -> Option<Window> {
        let at = entry.request_received_timestamp;
        let mut windows = self.windows.iter();
        windows
            .find(|window| window.from <= at && at <= window.to)
            .copied()
    }
}

fn group(entry: &Entry) -> Group {
    match entry.object_ref.resource.as_str() {
        "events" => Group::Event,
        "leases" => Group::Lease,
        // created, but nothing is stored
        resource if resource.ends_with("reviews") => Group::Read,
        _ if matches!(entry.verb.as_str(), "get" | "list" | "watch") => Group::Read,
        _ => Group::Write,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    const OPERATOR: &str = "system:serviceaccount:dcanary-system:dcanary-operator";

    fn scope() -> Scope {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let window = |from| Window {
            from: at(from),
            asked: at(from + 5),
            to: at(from + 9),
        };
        Scope {
            operator: OPERATOR.to_owned(),
            server: "system:serviceaccount:dcanary-system:dcanary-server".to_owned(),
            system: "dcanary-system".to_owned(),
            bench: "e2e-bench".to_owned(),
            windows: vec![window(100), window(200)],
        }
    }

    fn line(second: i64, user: &str, verb: &str, resource: &str, namespace: &str, stage: &str) -> String {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let mut entry = json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "stage": stage,
            "requestURI": "/", "verb": verb, "user": {"username": user, "groups": []},
            "objectRef": {"resource": resource, "namespace": namespace, "apiVersion": "v1"},
            "requestReceivedTimestamp": format!("{}", Timestamp::from_second(second).unwrap()),
        });
        if !subresource.is_empty() {
            entry["objectRef"]["subresource"] = subresource.into();
        }
        entry.to_string()
    }

    fn counted(lines: &[String]) -> Vec<(Caller, Group, String, u64, u64)> {
        let mut calls = Calls::new();
        count(lines.join("\n").as_bytes(), &scope(), &mut calls).unwrap();
        calls
            .into_iter()
            .map(|((caller, group, verb, resource), n)| {
                (caller, group, format!("{verb} {resource}"), n.all, n.late)
            })
            .collect()
    }

    #[test]
    fn calls_in_windows_are_counted_by_verb_and_resource() {
        let done = "ResponseComplete";
        let lines = [
            line(101, OPERATOR, "create", "pods", "e2e-bench", done),
            line(102, OPERATOR, "update", "pipelineruns/status", "e2e-bench", done),
            line(206, OPERATOR, "update", "pipelineruns/status", "e2e-bench", done),
            line(102, OPERATOR, "create", "events", "e2e-bench", done),
            line(103, OPERATOR, "update", "leases", "dcanary-system", done),
            // outside the windows, elsewhere, by others
            line(150, OPERATOR, "create", "pods", "e2e-bench", done),
            line(101, OPERATOR, "create", "pods", "e2e-other", done),
            line(101, "kubernetes-admin", "create", "pods", "e2e-bench", done),
            "{\"stage\": \"Respon system:serviceaccount:".to_owned(),
        ];
        let row = |group, text: &str, all, late| (Caller::Operator, group, text.to_owned(), all, late);
        assert_eq!(
            counted(&lines),
            [
                row(Group::Write, "create pods", 1, 0),
                row(Group::Write, "update pipelineruns/status", 2, 1),
                row(Group::Event, "create events", 1, 0),
                row(Group::Lease, "update leases", 1, 0),
            ]
        );
    }

    #[test]
    fn a_watch_counts_once_and_a_review_is_no_write() {
        let server = scope().server;
        let lines = [
            line(101, OPERATOR, "watch", "pods", "", "ResponseStarted"),
            line(101, OPERATOR, "watch", "pods", "", "ResponseComplete"),
            line(101, &server, "create", "tokenreviews", "", "ResponseComplete"),
            line(
                101,
                "system:serviceaccount:e2e-bench:default",
                "get",
                "pods",
                "e2e-bench",
                "ResponseComplete",
            ),
            line(
                101,
                "system:serviceaccount:e2e-bench2:default",
                "get",
                "pods",
                "",
                "ResponseComplete",
            ),
        ];
        assert_eq!(
            counted(&lines),
            [
                (Caller::Operator, Group::Read, "watch pods".to_owned(), 1, 0),
                (
                    Caller::Server,
                    Group::Read,
                    "create tokenreviews".to_owned(),
                    1,
                    0
                ),
                (Caller::Runner, Group::Read, "get pods".to_owned(), 1, 0),
            ]
        );
    }

    #[test]
    fn rotated_files_are_read_and_a_foreign_log_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("audit.log");
        std::fs::write(&log, "{}\n").unwrap();
        assert!(
            read(&log, &scope())
                .unwrap_err()
                .to_string()
                .contains("no calls of")
        );
        let rotated = line(101, OPERATOR, "create", "pods", "e2e-bench", "ResponseComplete");
        std::fs::write(folder.path().join("audit-2026-01-01T00-00-00.000.log"), rotated).unwrap();
        assert_eq!(read(&log, &scope()).unwrap().len(), 1);
    }
}

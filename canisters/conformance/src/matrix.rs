//! Tests the tests: a node with a fault must make cases fail that hold on one without.
//!
//! The quick form tries each fault with the cases that are meant to notice it; the whole form tries all cases with all faults,
//! and so finds the cases that notice none. A node without a fault is tried first. What fails there is about the node and
//! not about the fault, and does not count.

use crate::case::{Case, Failure};
use crate::cases::all;
use crate::client::Network;
use crate::faults::Fault;
use crate::run::{Options, run as run_cases};
use futures::StreamExt;
use futures::stream;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// How long a node may take to serve.
const START: Duration = Duration::from_mins(1);

/// What is tried.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// A node that was built with the feature `faults`.
    pub node: &'a Path,
    /// Only the faults whose name contains it.
    pub only: &'a str,
    /// Whether all cases are tried with each fault, and not only those that are meant to notice it.
    pub whole: bool,
    /// How many nodes run at once.
    pub nodes: usize,
    /// How the cases of one node are run.
    pub options: Options,
}

/// Which cases failed with which fault.
#[derive(Debug)]
pub struct Matrix {
    /// By fault, the cases that notice it.
    noticed: BTreeMap<Fault, BTreeSet<&'static str>>,
    /// The cases that fail without a fault.
    failing: BTreeSet<&'static str>,
    /// All cases, when all were tried with all faults.
    cases: Vec<Case>,
}

/// A node that runs until it is dropped.
struct Node {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Node {
    async fn start(program: &Path, fault: Option<Fault>) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let ready = folder.path().join("ready.json");
        let mut command = Command::new(program);
        command
            .args(["--ephemeral", "--listen", "127.0.0.1:0", "--ready-file"])
            .arg(&ready)
            .stderr(Stdio::null())
            .kill_on_drop(true);
        if let Some(fault) = fault {
            command.args(["--fault", fault.name()]);
        }
        let mut child = command.spawn()?;
        let text = tokio::time::timeout(START, async {
            loop {
                if let Ok(text) = tokio::fs::read_to_string(&ready).await {
                    return Ok(text);
                }
                if let Some(status) = child.try_wait()? {
                    return Err(Failure::new(format!(
                        "{} ended with {status}; was it built with the feature `faults`?",
                        program.display()
                    )));
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await??;
        let json: serde_json::Value = serde_json::from_str(&text)?;
        let url = json
            .get("url")
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default();
        Ok(Self {
            child,
            url: url.to_owned(),
            _folder: folder,
        })
    }

    async fn failing(
        mut self,
        cases: Vec<Case>,
        options: Options,
    ) -> Result<BTreeSet<&'static str>, Failure> {
        let network = Network::connect(&self.url).await?;
        let outcomes = run_cases(&network, cases, options, |_| {}).await;
        self.child.kill().await?;
        Ok(outcomes
            .into_iter()
            .filter(|outcome| outcome.failure.is_some())
            .map(|outcome| outcome.case.name)
            .collect())
    }
}

/// The cases of these names.
fn named(names: &BTreeSet<&str>) -> Vec<Case> {
    all()
        .into_iter()
        .filter(|case| names.contains(case.name))
        .collect()
}

/// The cases that are tried with a fault.
fn tried(fault: Fault, whole: bool) -> Vec<Case> {
    if whole {
        return all();
    }
    let meant = |case: &Case| case.notices.contains(&fault);
    all().into_iter().filter(meant).collect()
}

/// Tries the cases on a node without and with each fault; `said` hears of each.
///
/// # Errors
/// When a node does not start.
pub async fn run(plan: Plan<'_>, mut said: impl FnMut(&str)) -> Result<Matrix, Failure> {
    let faults: Vec<_> = Fault::ALL
        .iter()
        .copied()
        .filter(|fault| fault.name().contains(plan.only))
        .collect();
    let names = faults
        .iter()
        .flat_map(|fault| tried(*fault, plan.whole))
        .map(|case| case.name)
        .collect();
    let sound = Node::start(plan.node, None).await?;
    let failing = sound.failing(named(&names), plan.options).await?;
    said(&format!(
        "without a fault: {} of {} cases fail",
        failing.len(),
        names.len()
    ));
    let mut running = stream::iter(faults)
        .map(|fault| async move {
            let node = Node::start(plan.node, Some(fault)).await?;
            let failing = node.failing(tried(fault, plan.whole), plan.options).await?;
            Ok::<_, Failure>((fault, failing))
        })
        .buffer_unordered(plan.nodes);
    let mut noticed = BTreeMap::new();
    while let Some(result) = running.next().await {
        let (fault, with) = result?;
        let by: BTreeSet<_> = with.difference(&failing).copied().collect();
        said(&format!("{}: noticed by {}", fault.name(), by.len()));
        noticed.insert(fault, by);
    }
    let cases = if plan.whole && plan.only.is_empty() {
        all()
    } else {
        Vec::new()
    };
    Ok(Matrix {
        noticed,
        failing,
        cases,
    })
}

impl Matrix {
    /// Faults that one of the cases that are meant to notice them does not notice.
    fn missed(&self) -> Vec<(Fault, Vec<&'static str>)> {
        let missed = self.noticed.iter().map(|(fault, noticed)| {
            let meant = tried(*fault, false).into_iter().map(|case| case.name);
            (*fault, meant.filter(|case| !noticed.contains(case)).collect())
        });
        missed
            .filter(|(_, cases): &(_, Vec<_>)| !cases.is_empty())
            .collect()
    }

    /// Cases that no fault makes fail; none when not all were tried.
    fn idle(&self) -> Vec<&'static str> {
        let names = self.cases.iter().map(|case| case.name);
        names
            .filter(|name| !self.noticed.values().any(|noticed| noticed.contains(name)))
            .collect()
    }

    /// How many faults were noticed by all cases that are meant to, and how many were not.
    pub fn counts(&self) -> (usize, usize) {
        let missed = self.missed().len();
        (self.noticed.len() - missed, missed)
    }

    /// Whether every fault is noticed by the cases that are meant to, and these hold without a fault.
    pub fn is_good(&self) -> bool {
        self.missed().is_empty() && self.failing.is_empty()
    }

    /// The matrix for people: a paragraph for each fault when all cases were tried, and what is missing.
    pub fn report(&self) -> String {
        let mut text = String::new();
        for (fault, cases) in self.noticed.iter().filter(|_| !self.cases.is_empty()) {
            // Writing into a string cannot fail.
            let _ = writeln!(text, "\n{} ({})", fault.name(), fault.sentence());
            for case in cases {
                let meant = self
                    .cases
                    .iter()
                    .any(|law| law.name == *case && law.notices.contains(fault));
                let _ = writeln!(text, "  {} {case}", if meant { "*" } else { " " });
            }
        }
        if !self.failing.is_empty() {
            let failing: Vec<_> = self.failing.iter().copied().collect();
            let _ = writeln!(text, "\nfail without a fault:\n  {}", failing.join("\n  "));
        }
        for (fault, cases) in self.missed() {
            let cases = cases.join("\n  ");
            let _ = writeln!(
                text,
                "\nnot noticed: {} ({}) by\n  {cases}",
                fault.name(),
                fault.sentence()
            );
        }
        if !self.cases.is_empty() {
            let idle = self.idle();
            let busy = self.cases.len() - idle.len();
            let _ = writeln!(text, "\n{busy} of {} laws notice a fault", self.cases.len());
            if !idle.is_empty() {
                let _ = writeln!(text, "notice none:\n  {}", idle.join("\n  "));
            }
        }
        text
    }

    /// The matrix for programs.
    pub fn to_json(&self) -> serde_json::Value {
        let faults: BTreeMap<_, _> = self
            .noticed
            .iter()
            .map(|(fault, cases)| (fault.name(), cases))
            .collect();
        let missed: BTreeMap<_, _> = self
            .missed()
            .into_iter()
            .map(|(fault, cases)| (fault.name(), cases))
            .collect();
        json!({
            "faults": faults,
            "failing_without_fault": self.failing,
            "not_noticed": missed,
            "cases_without_fault": self.idle(),
        })
    }
}

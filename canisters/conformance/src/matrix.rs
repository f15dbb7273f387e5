//! Tests the tests: each fault must be noticed by a case, and each case must notice a fault.
//!
//! A node without a fault is tried first. What fails there is about the node and not about the fault, and does not count.

use crate::case::{Case, Failure};
use crate::cases::all;
use crate::client::Network;
use crate::faults::Fault;
use crate::run::{Options, run as run_cases};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// How long a node may take to serve.
const START: Duration = Duration::from_mins(1);

/// Which cases failed with which fault.
#[derive(Debug)]
pub struct Matrix {
    /// By fault, the cases that notice it.
    noticed: BTreeMap<Fault, BTreeSet<&'static str>>,
    /// The cases that fail without a fault.
    failing: BTreeSet<&'static str>,
    /// All cases.
    cases: Vec<Case>,
    /// Whether all faults were tried.
    whole: bool,
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

    async fn failing(mut self, options: Options) -> Result<BTreeSet<&'static str>, Failure> {
        let network = Network::connect(&self.url).await?;
        let outcomes = run_cases(&network, all(), options, |_| {}).await;
        self.child.kill().await?;
        Ok(outcomes
            .into_iter()
            .filter(|outcome| outcome.failure.is_some())
            .map(|outcome| outcome.case.name)
            .collect())
    }
}

/// Runs all cases on a node without and with each fault whose name contains a text; `said` hears of each fault.
///
/// # Errors
/// When the node does not start.
pub async fn run(
    node: &Path,
    only: &str,
    options: Options,
    mut said: impl FnMut(&str),
) -> Result<Matrix, Failure> {
    let failing = Node::start(node, None).await?.failing(options).await?;
    said(&format!("without a fault: {} cases fail", failing.len()));
    let mut noticed = BTreeMap::new();
    for fault in Fault::ALL
        .iter()
        .copied()
        .filter(|fault| fault.name().contains(only))
    {
        let with = Node::start(node, Some(fault)).await?.failing(options).await?;
        let by: BTreeSet<_> = with.difference(&failing).copied().collect();
        said(&format!("{}: noticed by {}", fault.name(), by.len()));
        noticed.insert(fault, by);
    }
    Ok(Matrix {
        noticed,
        failing,
        cases: all(),
        whole: only.is_empty(),
    })
}

impl Matrix {
    fn unnoticed(&self) -> Vec<Fault> {
        let unnoticed = self.noticed.iter().filter(|(_, cases)| cases.is_empty());
        unnoticed.map(|(fault, _)| *fault).collect()
    }

    /// Cases that no fault makes fail.
    fn idle(&self) -> Vec<&'static str> {
        let names = self.cases.iter().map(|case| case.name);
        names
            .filter(|name| !self.noticed.values().any(|noticed| noticed.contains(name)))
            .collect()
    }

    /// Whether every fault is noticed and, when all faults were tried, every case notices one.
    pub fn is_complete(&self) -> bool {
        self.unnoticed().is_empty() && self.failing.is_empty() && (!self.whole || self.idle().is_empty())
    }

    /// The matrix for people: a paragraph for each fault, and what is missing.
    pub fn report(&self) -> String {
        let mut text = String::new();
        for (fault, cases) in &self.noticed {
            // Writing into a string cannot fail.
            let _ = writeln!(text, "\n{} ({})", fault.name(), fault.sentence());
            for case in cases {
                let expected = if fault.expected().contains(case) { "*" } else { " " };
                let _ = writeln!(text, "  {expected} {case}");
            }
            for case in fault.expected().iter().filter(|case| !cases.contains(*case)) {
                let _ = writeln!(text, "  ! {case} was expected to notice it");
            }
        }
        let mut missing = |title: &str, names: Vec<&str>| {
            if !names.is_empty() {
                let _ = writeln!(text, "\n{title}:\n  {}", names.join("\n  "));
            }
        };
        missing("fail without a fault", self.failing.iter().copied().collect());
        missing(
            "noticed by no case",
            self.unnoticed().into_iter().map(Fault::name).collect(),
        );
        if self.whole {
            missing("notice no fault", self.idle());
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
        let unnoticed: Vec<_> = self.unnoticed().into_iter().map(Fault::name).collect();
        json!({
            "faults": faults,
            "failing_without_fault": self.failing,
            "unnoticed": unnoticed,
            "cases_without_fault": self.idle(),
        })
    }
}

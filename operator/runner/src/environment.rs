//! Variables that steps see: the container's, the plan's, the step's, and the runner's own, later ones first.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use dcanary_protocol::plan::{EnvVar, Plan, StepPlan};
use thiserror::Error;

use crate::termination;
use crate::workspace::Workspace;

/// Parts of the plan, and what only tests set.
const HIDDEN: [&str; 4] = [
    "DCANARY_PLAN_",
    "DCANARY_TOKEN_FILE",
    "DCANARY_WORKSPACE",
    termination::VARIABLE,
];
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A variable that no process can have.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("`{0}` cannot be a variable: names hold no `=` and no zero byte, values no zero byte")]
pub(crate) struct BadVariable(String);

/// Variables of all steps of the stage.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    variables: BTreeMap<OsString, OsString>,
}

impl Environment {
    pub(crate) fn of_stage(plan: &Plan, workspace: &Workspace) -> Result<Self, BadVariable> {
        let mut variables: BTreeMap<OsString, OsString> = std::env::vars_os()
            .filter(|(name, _)| {
                !HIDDEN
                    .iter()
                    .any(|hidden| name.as_encoded_bytes().starts_with(hidden.as_bytes()))
            })
            .collect();
        variables.entry("PATH".into()).or_insert_with(|| PATH.into());
        variables.insert("HOME".into(), workspace.own("home").into());
        let mut environment = Self { variables };
        environment.add(&plan.env)?;
        environment.set("DCANARY_INPUTS", workspace.own("inputs"));
        environment.set("DCANARY_WORKSPACE", workspace.root());
        Ok(environment)
    }

    pub(crate) fn of_step(&self, step: &StepPlan, results: &Path) -> Result<Self, BadVariable> {
        let mut environment = self.clone();
        environment.add(&step.env)?;
        environment.set("DCANARY_RESULTS", results);
        Ok(environment)
    }

    fn set(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.variables.insert(name.into(), value.as_ref().to_owned());
    }

    fn add(&mut self, variables: &[EnvVar]) -> Result<(), BadVariable> {
        for EnvVar { name, value } in variables {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(BadVariable(name.escape_default().to_string()));
            }
            self.set(name, value);
        }
        Ok(())
    }

    pub(crate) fn variables(&self) -> &BTreeMap<OsString, OsString> {
        &self.variables
    }

    /// `SOURCE_DATE_EPOCH`, when it is a number: the time of everything in reproducible archives.
    pub(crate) fn source_date(&self) -> u64 {
        let value = self.variables.get(OsStr::new("SOURCE_DATE_EPOCH"));
        value
            .and_then(|value| value.to_str())
            .and_then(|value| value.parse().ok())
            .unwrap_or_default()
    }
}

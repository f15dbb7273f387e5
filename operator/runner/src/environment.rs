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
#[error(
    "the variable `{0}` cannot be given to a process: a name is not empty and holds no `=` and no zero byte, and a value holds no zero byte; change it where `env`, a parameter or a result sets it"
)]
pub(crate) struct BadVariable(String);

/// Variables of all steps of the stage.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    variables: BTreeMap<OsString, OsString>,
}

impl Environment {
    /// With a variable that cannot be, what the container and the runner give: enough to report why the stage fails.
    pub(crate) fn of_stage(plan: &Plan, workspace: &Workspace) -> (Self, Option<BadVariable>) {
        let mut environment = Self::of_container(workspace);
        let bad = match environment.with(&plan.env) {
            Ok(added) => {
                environment = added;
                None
            }
            Err(bad) => Some(bad),
        };
        environment.set("DCANARY_INPUTS", workspace.own("inputs"));
        environment.set("DCANARY_WORKSPACE", workspace.root());
        (environment, bad)
    }

    fn of_container(workspace: &Workspace) -> Self {
        let mut variables: BTreeMap<OsString, OsString> = std::env::vars_os()
            .filter(|(name, _)| {
                !HIDDEN
                    .iter()
                    .any(|hidden| name.as_encoded_bytes().starts_with(hidden.as_bytes()))
            })
            .collect();
        variables.entry("PATH".into()).or_insert_with(|| PATH.into());
        variables.insert("HOME".into(), workspace.own("home").into());
        Self { variables }
    }

    pub(crate) fn of_step(&self, step: &StepPlan, results: &Path) -> Result<Self, BadVariable> {
        let mut environment = self.with(&step.env)?;
        environment.set("DCANARY_RESULTS", results);
        Ok(environment)
    }

    fn set(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.variables.insert(name.into(), value.as_ref().to_owned());
    }

    fn with(&self, variables: &[EnvVar]) -> Result<Self, BadVariable> {
        let mut environment = self.clone();
        for EnvVar { name, value } in variables {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(BadVariable(name.escape_default().to_string()));
            }
            environment.set(name, value);
        }
        Ok(environment)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(env: &serde_json::Value) -> Plan {
        serde_json::from_value(serde_json::json!({
            "protocol": 1,
            "run": {"namespace": "n", "name": "r", "uid": "u", "pipeline": "p"},
            "stage": "build",
            "attempt": 1,
            "steps": [],
            "env": env,
            "timeoutSeconds": 0,
            "graceSeconds": 0,
            "limits": {"resultInlineBytes": 1, "resultBytes": 1, "artifactBytes": 1, "spoolBytes": 1},
        }))
        .unwrap()
    }

    #[test]
    fn a_variable_that_no_process_can_have_is_named_and_leaves_what_the_report_needs() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::open(folder.path()).unwrap();
        let of = |env| Environment::of_stage(&plan(&env), &workspace);
        for (name, value, shown) in [
            ("NOTE", "a\0b", "`NOTE`"),
            ("A=B", "x", "`A=B`"),
            ("N\0L", "x", "`N\\u{0}L`"),
            ("", "x", "``"),
        ] {
            let env = serde_json::json!([{"name": "GOOD", "value": "1"}, {"name": name, "value": value}]);
            let (environment, bad) = of(env);
            let message = bad.unwrap().to_string();
            assert!(
                message.contains(&format!("the variable {shown} cannot be given")),
                "{message}"
            );
            let has = |name: &str| environment.variables().contains_key(OsStr::new(name));
            assert!(has("HOME") && has("PATH") && has("DCANARY_WORKSPACE"));
        }
        let (environment, bad) = of(serde_json::json!([{"name": "GOOD", "value": "1"}]));
        assert_eq!(
            (bad, environment.variables()[OsStr::new("GOOD")].as_os_str()),
            (None, OsStr::new("1"))
        );
    }
}

//! A Pod without Kubernetes: a temporary workspace and the environment that the operator would set.

use std::path::PathBuf;
use std::process::Stdio;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dcanary_protocol::plan::{Action, EnvVar, Input, Limits, Mask, Plan, RunRef, StepPlan};
use dcanary_protocol::report::{FinalReport, StepOutcome};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::double::{Double, TOKEN};

pub struct Pod {
    pub double: Double,
    pub folder: TempDir,
    pub plan: Plan,
    pub variables: Vec<(String, String)>,
    /// Program in front of the runner, e.g. `unshare`.
    pub prefix: Vec<String>,
    pub uid: Option<u32>,
}

pub struct End {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub report: Option<FinalReport>,
}

impl End {
    pub fn report(&self) -> &FinalReport {
        self.report
            .as_ref()
            .unwrap_or_else(|| panic!("no final report; stderr: {}", self.stderr))
    }

    pub fn outcomes(&self) -> Vec<StepOutcome> {
        self.report().steps.iter().map(|step| step.outcome).collect()
    }

    pub fn message(&self, step: usize) -> &str {
        self.report().steps[step].message.as_deref().unwrap_or_default()
    }

    pub fn result(&self, name: &str) -> Option<&str> {
        self.report()
            .results
            .iter()
            .find(|result| result.name == name)?
            .value
            .as_deref()
    }
}

pub fn script(text: &str) -> Action {
    Action::Run {
        script: text.to_owned(),
        shell: Vec::new(),
    }
}

pub fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

impl Pod {
    pub async fn new() -> Self {
        let plan = Plan {
            protocol: dcanary_protocol::PROTOCOL,
            run: RunRef {
                namespace: "team-a".into(),
                name: "web-7".into(),
                uid: "run-uid-7".into(),
                pipeline: "web".into(),
            },
            stage: "build".into(),
            attempt: 1,
            steps: Vec::new(),
            env: Vec::new(),
            masks: Vec::new(),
            inputs: Vec::new(),
            variables: std::collections::BTreeMap::default(),
            timeout_seconds: 0,
            grace_seconds: 1,
            limits: Limits::default(),
        };
        Self {
            double: Double::start().await,
            folder: tempfile::tempdir().unwrap(),
            plan,
            variables: Vec::new(),
            prefix: Vec::new(),
            uid: None,
        }
    }

    pub fn step(mut self, action: Action) -> Self {
        let name = format!("step-{}", self.plan.steps.len());
        self.plan.steps.push(StepPlan {
            name,
            condition: None,
            env: Vec::new(),
            working_dir: None,
            timeout_seconds: 0,
            continue_on_error: false,
            action,
        });
        self
    }

    pub fn run_step(self, text: &str) -> Self {
        self.step(script(text))
    }

    /// Changes the last step.
    pub fn with(mut self, change: impl FnOnce(&mut StepPlan)) -> Self {
        change(self.plan.steps.last_mut().unwrap());
        self
    }

    pub fn secret(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self.plan.masks.push(Mask::Env {
            name: name.to_owned(),
        });
        self
    }

    pub fn input(mut self, stage: &str, name: &str, value: &[u8]) -> Self {
        let digest = self.double.store(value);
        self.plan.inputs.push(Input {
            stage: stage.to_owned(),
            name: name.to_owned(),
            digest,
        });
        self
    }

    /// Gives it a workspace of this size in a mount namespace of its own.
    pub fn in_workspace_of(mut self, size: &str) -> Self {
        let workspace = self.workspace();
        let mount = format!(
            "mount -t tmpfs -o size={size} tmpfs {} && exec \"$@\"",
            workspace.display()
        );
        self.prefix = ["unshare", "--mount", "sh", "-c", &mount, "sh"]
            .map(str::to_owned)
            .to_vec();
        self
    }

    /// Runs in a PID namespace of its own, as PID 1, the way a container does.
    pub fn in_pid_namespace(mut self) -> Self {
        self.prefix = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
            .map(str::to_owned)
            .to_vec();
        self
    }

    pub fn workspace(&self) -> PathBuf {
        self.folder.path().join("workspace")
    }

    pub fn start(&self) -> Child {
        self.start_at(&format!("http://{}", self.double.address), &[])
    }

    pub fn start_at(&self, server: &str, more: &[(&str, &str)]) -> Child {
        std::fs::create_dir_all(self.workspace()).unwrap();
        let token = self.folder.path().join("token");
        std::fs::write(&token, TOKEN).unwrap();
        let json = serde_json::to_vec(&self.plan).unwrap();
        let encoded = STANDARD.encode(zstd::encode_all(json.as_slice(), 3).unwrap());
        let mut program = env!("CARGO_BIN_EXE_dcanary-runner").to_owned();
        if self.uid.is_some() {
            // Where other users can reach it; by another process, so that no fork of a parallel test keeps it open.
            let copy = self.folder.path().join("dcanary-runner");
            assert!(
                std::process::Command::new("cp")
                    .arg(&program)
                    .arg(&copy)
                    .status()
                    .unwrap()
                    .success()
            );
            copy.to_str().unwrap().clone_into(&mut program);
        }
        let mut words = self.prefix.clone();
        words.push(program);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_clear();
        if let Some(uid) = self.uid {
            for path in [self.folder.path(), &self.workspace(), &token] {
                std::os::unix::fs::chown(path, Some(uid), Some(uid)).unwrap();
            }
            command.uid(uid).gid(uid);
        }
        // Parts as the operator cuts them, only smaller.
        for (number, part) in encoded.as_bytes().chunks(100).enumerate() {
            command.env(
                format!("DCANARY_PLAN_{number}"),
                std::str::from_utf8(part).unwrap(),
            );
        }
        command
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("DCANARY_SERVER", server)
            .env("DCANARY_TOKEN_FILE", &token)
            .env("DCANARY_WORKSPACE", self.workspace())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .envs(more.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command.spawn().unwrap()
    }

    pub async fn end(&self, child: Child) -> End {
        let output = tokio::time::timeout(std::time::Duration::from_secs(90), child.wait_with_output())
            .await
            .expect("the runner ends")
            .unwrap();
        End {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            report: self.double.seen().report.clone(),
        }
    }

    pub async fn run(&self) -> End {
        self.end(self.start()).await
    }

    /// Reads the container's log until a line has this text. The rest of it is read and dropped, so that the runner can go on writing.
    pub async fn wait_for_log(&self, child: &mut Child, text: &str) -> String {
        use tokio::io::{AsyncBufReadExt, BufReader};
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let found = tokio::time::timeout(std::time::Duration::from_secs(30), async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains(text) {
                    return Some(line);
                }
            }
            None
        });
        let found = found
            .await
            .ok()
            .flatten()
            .unwrap_or_else(|| panic!("`{text}` never came"));
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        found
    }

    /// Waits until the double has a line of output with this text.
    pub async fn wait_for(&self, step: u32, text: &str) {
        let waited = tokio::time::timeout(std::time::Duration::from_secs(30), async {
            while !self.double.output(step).contains(text) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        });
        waited
            .await
            .unwrap_or_else(|_| panic!("{text} never came; output: {}", self.double.output(step)));
    }
}

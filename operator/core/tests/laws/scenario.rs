//! What a run looks like and what happens to its attempts.

use dcanary_crds::PipelineRun;
use jiff::Timestamp;
use serde_json::json;

use crate::world::UID;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    Succeed,
    Fail,
    RunnerError,
    Disputed,
    SilentZero,
    Killed,
    OutOfMemory,
    Evicted,
    SecondTrade,
    NodeGone,
    Hangs,
    IgnoresSigterm,
    ImageMissing,
    NeverScheduled,
    Refused,
    /// It reports what no correct runner reports.
    Nonsense,
    /// It reports as much as a runner may, or more.
    Huge,
    /// The same, and it failed.
    HugeFailure,
}

impl Behaviour {
    pub const ALL: [Self; 16] = [
        Self::Succeed,
        Self::Fail,
        Self::RunnerError,
        Self::Disputed,
        Self::SilentZero,
        Self::Killed,
        Self::OutOfMemory,
        Self::Evicted,
        Self::SecondTrade,
        Self::NodeGone,
        Self::Hangs,
        Self::IgnoresSigterm,
        Self::ImageMissing,
        Self::NeverScheduled,
        Self::Refused,
        Self::Nonsense,
    ];
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stage {
    pub name: String,
    pub needs: Vec<usize>,
    pub optional: bool,
    pub finally: bool,
    pub retries: u32,
    /// Which ends are repeated; none = the default.
    pub retry_on: Vec<&'static str>,
    pub when: Option<String>,
    /// It has a variable of this value.
    pub reads: Option<&'static str>,
    /// It builds an image.
    pub builds: bool,
    /// It brings images into the Environment `production`: `Succeed` promotes, `Hangs` waits for approval, `NeverScheduled` finds no
    /// Environment, `Refused` is refused, everything else goes back.
    pub deploys: bool,
    /// Of each attempt; the last one stays.
    pub behaviours: Vec<Behaviour>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scenario {
    pub stages: Vec<Stage>,
    pub parallelism: Option<u32>,
    /// Time for the `finally` stages.
    pub finally_timeout: Option<&'static str>,
    pub ledger_off: bool,
    pub chain_away: bool,
    pub quota_refusals: u32,
}

pub fn stage(name: &str, needs: &[usize], behaviours: &[Behaviour]) -> Stage {
    Stage {
        name: name.into(),
        needs: needs.to_vec(),
        behaviours: behaviours.to_vec(),
        ..Stage::default()
    }
}

impl Scenario {
    pub fn of(stages: Vec<Stage>) -> Self {
        Self {
            stages,
            ..Self::default()
        }
    }

    pub fn behaviour(&self, stage: &str, attempt: i32) -> Behaviour {
        let stage = self.stages.iter().find(|other| other.name == stage).unwrap();
        let at = usize::try_from(attempt - 1).unwrap();
        stage
            .behaviours
            .get(at)
            .or(stage.behaviours.last())
            .copied()
            .unwrap_or(Behaviour::Succeed)
    }

    pub fn is_missing_an_environment(&self) -> bool {
        let never = |stage: &Stage| stage.deploys && stage.behaviours.contains(&Behaviour::NeverScheduled);
        self.stages.iter().any(never)
    }

    pub fn needs(&self, stage: &str) -> Vec<String> {
        let stage = self.stages.iter().find(|other| other.name == stage).unwrap();
        stage
            .needs
            .iter()
            .map(|need| self.stages[*need].name.clone())
            .collect()
    }

    pub fn run(&self, now: Timestamp) -> PipelineRun {
        let stage = |stage: &Stage| {
            let mut value = json!({
                "name": stage.name, "image": "busybox:1", "optional": stage.optional,
                "retries": {"count": stage.retries, "backoff": "2s"}, "timeout": "5m",
                "steps": [{"run": "echo version=1.2 >> \"$DCANARY_RESULTS\""}],
            });
            if let Some(text) = stage.reads {
                value["env"] = json!([{"name": "READ", "value": text}]);
            }
            if stage.builds {
                let image = json!({"image": {"push": format!("r.example.com/{}:1", stage.name)}});
                value["steps"].as_array_mut().unwrap().push(image);
            }
            if stage.deploys {
                for field in ["image", "steps"] {
                    value.as_object_mut().unwrap().remove(field);
                }
                value["environment"] = json!("production");
            }
            if !stage.retry_on.is_empty() {
                value["retries"]["outcomes"] = json!(stage.retry_on);
            }
            if !stage.needs.is_empty() {
                value["dependsOn"] = stage
                    .needs
                    .iter()
                    .map(|need| self.stages[*need].name.clone())
                    .collect();
            }
            if let Some(when) = &stage.when {
                value["when"] = when.clone().into();
            }
            value
        };
        let list = |finally: bool| -> Vec<_> {
            self.stages
                .iter()
                .filter(|s| s.finally == finally)
                .map(stage)
                .collect()
        };
        let mut spec = json!({"stages": list(false), "finally": list(true)});
        if let Some(limit) = self.parallelism {
            spec["parallelism"] = limit.into();
        }
        if let Some(time) = self.finally_timeout {
            spec["timeouts"] = json!({"finally": time});
        }
        if self.ledger_off {
            spec["ledger"] = json!({"mode": "off"});
        }
        serde_json::from_value(json!({
            "apiVersion": "dcanary.dev/v1alpha1", "kind": "PipelineRun",
            "metadata": {"name": "web-1", "namespace": "team-a", "uid": UID, "generation": 1, "creationTimestamp": now.to_string()},
            "spec": {"pipelineSpec": spec, "trigger": {"by": "ann"}, "source": {"repo": "https://git.example.com/web.git", "commit": "0123456789012345678901234567890123456789"}},
            // the default of the schema
            "status": {"observedGeneration": -1},
        }))
        .unwrap()
    }
}

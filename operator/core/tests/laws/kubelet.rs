//! Kubelet and runner: what becomes of Pods.

use dcanary_core::seen_pod::{Ended, PodWaiting};
use dcanary_protocol::report::{
    ArtifactKind, ArtifactReport, FinalReport, Outcome, ReportEntry, ResultReport, StepOutcome, StepReport,
};

use crate::{
    scenario::Behaviour,
    world::{Phase, Pod, UID, World},
};

impl World {
    pub fn behaviour(&self, pod: &Pod) -> Behaviour {
        self.scenario.behaviour(&pod.stage, pod.attempt)
    }

    /// The kubelet and the runner take a Pod one step further.
    pub fn advance(&mut self, name: &str) {
        let Some(pod) = self.pods.get(name).cloned() else {
            return;
        };
        let behaviour = self.behaviour(&pod);
        match pod.phase {
            Phase::Pending if pod.seen.deleting_since.is_some() => self.end(name, None, ""),
            Phase::Pending => match behaviour {
                Behaviour::ImageMissing => {
                    self.pods.get_mut(name).unwrap().seen.waiting = Some(PodWaiting {
                        reason: "ImagePullBackOff".into(),
                        message: "manifest unknown".into(),
                    });
                }
                Behaviour::NeverScheduled => {
                    self.pods.get_mut(name).unwrap().seen.waiting = Some(PodWaiting {
                        reason: "Unschedulable".into(),
                        message: "no node".into(),
                    });
                }
                _ => self.execute(name),
            },
            Phase::Running { reported } => self.run_on(name, behaviour, reported),
            Phase::Ended => {}
        }
    }

    /// The runner begins the steps.
    fn execute(&mut self, name: &str) {
        let now = self.now;
        let pod = self.pods.get_mut(name).unwrap();
        pod.phase = Phase::Running { reported: false };
        pod.seen.started_at = Some(now);
        pod.seen.waiting = None;
        if pod.stray {
            return;
        }
        let key = (pod.stage.clone(), pod.attempt);
        let (stage, attempt) = key.clone();
        let count = self.executions.entry(key).or_insert(0);
        *count += 1;
        assert_eq!(*count, 1, "attempt {attempt} of {stage} ran its steps twice");
        let live = self
            .pods
            .values()
            .filter(|pod| pod.stage == stage && pod.attempt == attempt && pod.phase != Phase::Ended);
        assert_eq!(live.count(), 1, "two live Pods for one attempt");
        if self.fresh {
            self.check_predecessors(&stage, attempt);
        }
        self.check_needs(&stage);
    }

    fn run_on(&mut self, name: &str, behaviour: Behaviour, reported: bool) {
        let terminated = self.pods[name].seen.deleting_since.is_some();
        if terminated && !reported && behaviour != Behaviour::IgnoresSigterm {
            self.report(name, Outcome::Cancelled, "Cancelled");
            return self.end(name, Some(3), "Error");
        }
        match (behaviour, reported) {
            (Behaviour::Succeed | Behaviour::Nonsense | Behaviour::Huge, false) => {
                self.report(name, Outcome::Succeeded, "Succeeded");
            }
            (Behaviour::Succeed | Behaviour::Nonsense | Behaviour::Huge, true) => {
                self.end(name, Some(0), "Completed");
            }
            (Behaviour::Fail | Behaviour::HugeFailure, false) => {
                self.report(name, Outcome::Failed, "StepFailed");
            }
            (Behaviour::Fail | Behaviour::HugeFailure, true) => self.end(name, Some(1), "Error"),
            (Behaviour::RunnerError, false) => self.report(name, Outcome::Error, "Spool"),
            (Behaviour::RunnerError, true) => self.end(name, Some(70), "Error"),
            (Behaviour::Disputed, false) => self.report(name, Outcome::Succeeded, "Succeeded"),
            (Behaviour::Disputed, true) => self.end(name, Some(137), "Error"),
            (Behaviour::SilentZero, _) => self.end(name, Some(0), "Completed"),
            (Behaviour::Killed, _) => self.end(name, Some(137), "Error"),
            (Behaviour::OutOfMemory, _) => self.end(name, Some(137), "OOMKilled"),
            (Behaviour::Evicted, _) => {
                self.pods.get_mut(name).unwrap().seen.disruption = Some("Evicted".into());
                self.end(name, None, "Evicted");
            }
            (Behaviour::SecondTrade, false) => {
                self.report(name, Outcome::Succeeded, "Succeeded");
                if let (None, Some(last)) = (self.server_away_since, self.reports.last_mut()) {
                    last.report.as_mut().unwrap().second_trade = true;
                }
            }
            (Behaviour::SecondTrade, true) => self.end(name, Some(0), "Completed"),
            (Behaviour::NodeGone, _) => {
                // the taint manager deletes it; nobody there ends it
                let now = self.now;
                let pod = self.pods.get_mut(name).unwrap();
                pod.seen.deleting_since.get_or_insert(now);
                pod.seen.disruption = Some("DeletionByTaintManager".into());
            }
            (Behaviour::Hangs, _) => {}
            (Behaviour::IgnoresSigterm, _) => {
                if self.pods[name]
                    .seen
                    .deleting_since
                    .is_some_and(|deadline| self.now >= deadline)
                {
                    self.end(name, Some(137), "Error");
                }
            }
            (Behaviour::ImageMissing | Behaviour::NeverScheduled | Behaviour::Refused, _) => {}
        }
    }

    fn end(&mut self, name: &str, exit_code: Option<i32>, reason: &str) {
        let now = self.now;
        let pod = self.pods.get_mut(name).unwrap();
        pod.phase = Phase::Ended;
        pod.seen.ended = Some(Ended {
            exit_code,
            reason: reason.into(),
            message: String::new(),
            at: Some(now),
        });
        self.collect(name);
    }

    /// The API server removes an object that is deleted, has ended and is held no more.
    pub fn collect(&mut self, name: &str) {
        let Some(pod) = self.pods.get(name) else { return };
        if pod.seen.deleting_since.is_some() && !pod.seen.held && pod.phase == Phase::Ended {
            self.gone.insert(pod.seen.uid.clone());
            self.pods.remove(name);
        }
    }

    pub fn report(&mut self, name: &str, outcome: Outcome, reason: &str) {
        if self.server_away_since.is_some() {
            return;
        }
        let behaviour = self.behaviour(&self.pods[name]);
        let pod = self.pods.get_mut(name).unwrap();
        pod.phase = Phase::Running { reported: true };
        let uid = pod.seen.uid.clone();
        let stage = pod.stage.clone();
        let mut report = claim(outcome, reason, behaviour);
        let builds = self
            .scenario
            .stages
            .iter()
            .any(|one| one.name == stage && one.builds);
        if builds && outcome == Outcome::Succeeded {
            let digest = format!("sha256:{}", "cd".repeat(32));
            report.artifacts.push(ArtifactReport {
                name: stage.clone(),
                reference: Some(format!("r.example.com/{stage}@{digest}")),
                digest,
                size: 9,
                kind: ArtifactKind::Image,
            });
        }
        self.say(name, &uid, report);
    }

    /// A report is in the server's list.
    pub fn say(&mut self, pod: &str, uid: &str, report: FinalReport) {
        self.reports.push(ReportEntry {
            cursor: self.reports.len() as u64 + 1,
            attempt: uid.into(),
            namespace: "team-a".into(),
            pod: pod.into(),
            run: "web-1".into(),
            run_uid: UID.into(),
            report: Some(report),
            second_trade: false,
        });
    }
}

/// What a runner reports.
pub fn claim(outcome: Outcome, reason: &str, behaviour: Behaviour) -> FinalReport {
    let huge = matches!(behaviour, Behaviour::Huge | Behaviour::HugeFailure);
    let succeeded = outcome == Outcome::Succeeded;
    let digest = if behaviour == Behaviour::Nonsense {
        "sha256:nonsense".to_owned()
    } else {
        format!("sha256:{}", "ab".repeat(32))
    };
    let times = |most: usize| if huge { most } else { 1 };
    let name = |what: &str, i: usize| {
        if huge {
            format!("{what}-{i:03}-{}", "\"".repeat(100))
        } else {
            what.to_owned()
        }
    };
    // longer than anything that is kept of it, and twice or six times as long in JSON
    let text = huge.then(|| "\"\u{1}".repeat(600));
    // of a failure only the steps are looked at
    let outputs = |most: usize| {
        if behaviour == Behaviour::HugeFailure {
            0
        } else {
            times(most)
        }
    };
    FinalReport {
        outcome,
        reason: if huge { "R".repeat(500) } else { reason.into() },
        message: text.clone().unwrap_or_default(),
        frames: 3,
        steps: (0..times(50))
            .map(|i| StepReport {
                name: name("run-1", i),
                outcome: if succeeded {
                    StepOutcome::Succeeded
                } else {
                    StepOutcome::Failed
                },
                exit_code: Some(i32::from(!succeeded)),
                started_at: text.clone(),
                finished_at: text.clone(),
                message: text.clone(),
            })
            .collect(),
        results: (0..outputs(256))
            .map(|i| ResultReport {
                name: name("version", i),
                value: Some(if huge && i < 20 {
                    "\"".repeat(4096)
                } else {
                    "1.2".into()
                }),
                digest: digest.clone(),
                size: if huge { 4096 } else { 3 },
            })
            .collect(),
        artifacts: (0..outputs(256))
            .map(|i| ArtifactReport {
                name: name("out", i),
                digest: digest.clone(),
                size: 7,
                kind: ArtifactKind::File,
                reference: text.as_ref().map(|text| text[..200].to_owned()),
            })
            .collect(),
        second_trade: false,
    }
}

//! Final reports: the claim of one attempt, taken over with limits.

use dcanary_crds::{ArtifactStatus, ResultStatus, StepStatus};
use dcanary_protocol::{
    exit,
    limits::{ARTIFACTS, MESSAGE_BYTES, NAME_BYTES, RESULTS, RUN_RESULT_BYTES, STEPS},
    report::{ArtifactKind, FinalReport, Outcome, StepOutcome},
};
use dcanary_types::record::{Artifact, Outputs, ResultDigest};

use crate::{definition::parse_digest, limits::Limits, text::cut};

/// What a report leaves in the status of its stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Results in order of name.
    pub results: Vec<ResultStatus>,
    /// Artifacts in order of name.
    pub artifacts: Vec<ArtifactStatus>,
}

/// Steps of a report.
pub fn steps(report: &FinalReport) -> Vec<StepStatus> {
    let cut_some = |text: &Option<String>, max| text.as_ref().map(|text| cut(text, max));
    let steps = report.steps.iter().take(STEPS).map(|step| StepStatus {
        name: cut(&step.name, NAME_BYTES),
        outcome: match step.outcome {
            StepOutcome::Succeeded => "succeeded",
            StepOutcome::Failed => "failed",
            StepOutcome::Skipped => "skipped",
            StepOutcome::TimedOut => "timedOut",
            StepOutcome::Killed => "killed",
        }
        .to_owned(),
        exit_code: step.exit_code,
        started_at: cut_some(&step.started_at, 40),
        finished_at: cut_some(&step.finished_at, 40),
        message: cut_some(&step.message, 256).filter(|said| !only_says_the_code(said, step.exit_code)),
    });
    steps.collect()
}

/// The exit code has a field of its own; a message that says nothing else would be shown beside it a second time.
fn only_says_the_code(message: &str, exit_code: Option<i32>) -> bool {
    exit_code.is_some_and(|code| message == format!("exit code {code}"))
}

/// Results and artifacts of a successful report, of a run whose stages have results of so many bytes by value (`inline`) and in all (`total`).
///
/// # Errors
/// What a correct runner and server never send; the attempt then fails.
pub fn outcomes(
    report: &FinalReport,
    inline: usize,
    total: u64,
    limits: &Limits,
) -> Result<Outcomes, String> {
    if report.results.len() > RESULTS || report.artifacts.len() > ARTIFACTS {
        return Err(format!(
            "it has more than {RESULTS} results or {ARTIFACTS} artifacts"
        ));
    }
    let mut all = Outcomes::default();
    let mut inline_left = limits.run_inline_result_bytes.saturating_sub(inline);
    let mut sum = total;
    for result in &report.results {
        check_name(&result.name)?;
        parse_digest(&result.digest).ok_or_else(|| format!("result `{}` has no digest", result.name))?;
        sum = sum.saturating_add(result.size);
        if sum > RUN_RESULT_BYTES {
            return Err("all results of the run together are larger than 16 MiB".to_owned());
        }
        let value = result.value.clone().filter(|value| {
            value.len() <= limits.inline_result_bytes.min(inline_left) && !value.contains('\0')
        });
        inline_left -= value.as_ref().map_or(0, String::len);
        all.results.push(ResultStatus {
            name: result.name.clone(),
            value,
            digest: result.digest.clone(),
            size: i64::try_from(result.size).unwrap_or(i64::MAX),
        });
    }
    for artifact in &report.artifacts {
        check_name(&artifact.name)?;
        parse_digest(&artifact.digest)
            .ok_or_else(|| format!("artifact `{}` has no digest", artifact.name))?;
        all.artifacts.push(ArtifactStatus {
            name: artifact.name.clone(),
            digest: artifact.digest.clone(),
            size: i64::try_from(artifact.size).unwrap_or(i64::MAX),
            kind: match artifact.kind {
                ArtifactKind::File => "file",
                ArtifactKind::Directory => "directory",
                ArtifactKind::Image => "image",
                ArtifactKind::Report => "report",
            }
            .to_owned(),
            reference: artifact
                .reference
                .as_ref()
                .map(|reference| cut(reference, MESSAGE_BYTES)),
        });
    }
    all.results.sort_by(|a, b| a.name.cmp(&b.name));
    all.artifacts.sort_by(|a, b| a.name.cmp(&b.name));
    let repeated = all.results.windows(2).any(|pair| pair[0].name == pair[1].name)
        || all.artifacts.windows(2).any(|pair| pair[0].name == pair[1].name);
    if repeated {
        Err("it names a result or an artifact twice".to_owned())
    } else {
        Ok(all)
    }
}

fn check_name(name: &str) -> Result<(), String> {
    if (1..=NAME_BYTES).contains(&name.len()) && !name.chars().any(char::is_control) {
        Ok(())
    } else {
        Err("it has a name that is not allowed".to_owned())
    }
}

/// The outputs document of a stage.
pub fn outputs(all: &Outcomes) -> Outputs {
    let size = |size: i64| u64::try_from(size).unwrap_or_default();
    let artifacts = all.artifacts.iter().filter_map(|artifact| {
        Some(Artifact {
            name: artifact.name.clone(),
            digest: parse_digest(&artifact.digest)?,
            size: size(artifact.size),
        })
    });
    let results = all.results.iter().filter_map(|result| {
        Some((
            result.name.clone(),
            ResultDigest {
                digest: parse_digest(&result.digest)?,
                size: size(result.size),
            },
        ))
    });
    Outputs::new(artifacts, results)
}

/// Whether an exit code is the one that the runner gives after such a report.
pub fn agrees(outcome: Outcome, exit_code: i32) -> bool {
    let expected = match outcome {
        Outcome::Succeeded => exit::SUCCEEDED,
        Outcome::Failed => exit::FAILED,
        Outcome::TimedOut => exit::TIMED_OUT,
        Outcome::Cancelled => exit::CANCELLED,
        Outcome::Error => exit::RUNNER_ERROR,
    };
    exit_code == expected
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use dcanary_protocol::report::StepReport;

    use super::*;

    #[test]
    fn a_step_says_its_exit_code_once_and_keeps_what_else_it_says() {
        let shown = |exit_code, message: &str| {
            let report = FinalReport {
                outcome: Outcome::Failed,
                reason: "StepFailed".into(),
                message: format!("step test: {message}"),
                frames: 1,
                steps: vec![StepReport {
                    name: "test".into(),
                    outcome: StepOutcome::Failed,
                    exit_code,
                    started_at: None,
                    finished_at: None,
                    message: Some(message.into()),
                }],
                results: Vec::new(),
                artifacts: Vec::new(),
                second_trade: false,
            };
            steps(&report).pop().unwrap().message
        };
        assert_eq!(shown(Some(1), "exit code 1"), None);
        for (code, message) in [
            (Some(1), "exit code 1; the results file cannot be read"),
            (Some(1), "exit code 2"),
            (None, "exit code 1"),
            (None, "killed by signal 9"),
        ] {
            assert_eq!(shown(code, message).as_deref(), Some(message));
        }
    }
}

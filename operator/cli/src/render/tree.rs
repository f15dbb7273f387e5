//! One run as a tree: run, stages, attempts where there were several, steps.
//!
//! What others wrote stays on its line and has no escapes: a message could else draw lines of its own.

use dcanary_crds::{
    ArtifactStatus, AttemptStatus, Condition, ConditionStatus, ConditionType, JournalStatus, PipelineRun,
    PipelineRunStatus, ResultStatus, StageState, StageStatus, StepStatus,
};
use jiff::Timestamp;

use super::branches::{harmless, joined};
use crate::output::{
    Style, Tone,
    age::{between, span},
};

/// Icon, tone and word of a state.
type Mark = (&'static str, Tone, &'static str);

/// The whole tree, with a newline at the end.
pub fn tree(run: &PipelineRun, now: Timestamp, style: Style) -> String {
    let nothing = PipelineRunStatus::default();
    let status = run.status.as_ref().unwrap_or(&nothing);
    let mut text = heading(run, status, now, style);
    let last = status.stages.len().saturating_sub(1);
    for (i, stage) in status.stages.iter().enumerate() {
        let (branch, under) = if i == last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        text.push_str(&stage_line(stage, now, branch, style));
        for line in below(stage, now, style) {
            text.push_str(format!("{under}{line}").trim_end());
            text.push('\n');
        }
    }
    text
}

fn heading(run: &PipelineRun, status: &PipelineRunStatus, now: Timestamp, style: Style) -> String {
    let (icon, tone, word) = run_mark(status);
    let name = run.metadata.name.as_deref().unwrap_or_default();
    let namespace = run.metadata.namespace.as_deref().unwrap_or_default();
    let took = between(status.started_at, status.finished_at, now);
    let created = run.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let mut text = format!(
        "{} {}  {}  {}  age {}\n",
        style.paint(tone, icon),
        style.paint(Tone::Strong, &harmless(name)),
        style.paint(tone, word),
        took,
        between(created, None, now),
    );
    let mut line = |label: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("  {label:<11} {value}\n"));
        }
    };
    line("namespace", &harmless(namespace));
    line(
        "pipeline",
        &run.spec
            .pipeline_ref
            .as_ref()
            .map_or_else(|| "(inline)".to_owned(), |named| harmless(&named.name)),
    );
    if let Some(source) = &run.spec.source {
        let parts = [&source.repo, &source.reference, &source.commit];
        line(
            "source",
            &harmless(&joined(parts.into_iter().flatten().map(String::as_str), " ")),
        );
    }
    line("reason", &reason(status));
    line(
        "ledger",
        &ledger(status.journal.as_ref(), &status.conditions, style),
    );
    text
}

/// The reason where it says more than the state, with the message.
pub(super) fn reason(status: &PipelineRunStatus) -> String {
    let of = |kind| status.conditions.iter().find(|condition| condition.kind == kind);
    let said = of(ConditionType::Stalled)
        .filter(|condition| condition.status == ConditionStatus::True)
        .or_else(|| of(ConditionType::Succeeded));
    match said {
        Some(condition) => harmless(&joined([condition.reason.as_str(), &condition.message], ": ")),
        None => String::new(),
    }
}

/// How far the journal is, and what keeps it.
pub fn ledger(journal: Option<&JournalStatus>, conditions: &[Condition], style: Style) -> String {
    let Some(journal) = journal else {
        return String::new();
    };
    let mut text = match journal.block {
        Some(block) => format!("{} of {} records, block {block}", journal.recorded, journal.next),
        None => format!("{} of {} records", journal.recorded, journal.next),
    };
    if let Some(refused) = &journal.refused {
        text.push_str(&format!(
            "  {}",
            style.paint(Tone::Bad, &format!("⚠ refused: {}", harmless(refused)))
        ));
    }
    let waiting = conditions.iter().find(|condition| {
        condition.kind == ConditionType::Recorded && condition.status == ConditionStatus::False
    });
    if let Some(condition) = waiting {
        let why = harmless(&format!("⚠ {}: {}", condition.reason, condition.message));
        text.push_str(&format!("  {}", style.paint(Tone::Warn, &why)));
    }
    text
}

/// Icon, tone and word of a whole run.
pub fn run_mark(status: &PipelineRunStatus) -> Mark {
    let is = |kind, wanted| {
        status
            .conditions
            .iter()
            .any(|condition| condition.kind == kind && condition.status == wanted)
    };
    if is(ConditionType::Finished, ConditionStatus::True) {
        return match crate::journal::compare::outcome(status) {
            Some(dcanary_types::record::Outcome::Succeeded) => ("✔", Tone::Good, "Succeeded"),
            Some(dcanary_types::record::Outcome::Cancelled) => ("✖", Tone::Warn, "Cancelled"),
            Some(dcanary_types::record::Outcome::TimedOut) => ("✖", Tone::Bad, "TimedOut"),
            _ => ("✖", Tone::Bad, "Failed"),
        };
    }
    if is(ConditionType::Stalled, ConditionStatus::True) {
        return ("⚠", Tone::Bad, "Stalled");
    }
    if status.started_at.is_some() {
        ("◷", Tone::Busy, "Running")
    } else {
        ("◌", Tone::Faint, "Pending")
    }
}

fn stage_mark(stage: &StageStatus) -> Mark {
    match stage.state {
        StageState::Pending => ("◌", Tone::Faint, "Pending"),
        StageState::Running => ("◷", Tone::Busy, "Running"),
        StageState::Retrying => ("⚠", Tone::Warn, "Retrying"),
        StageState::Succeeded => ("✔", Tone::Good, "Succeeded"),
        StageState::Failed if stage.optional => ("⚠", Tone::Warn, "Failed"),
        StageState::Failed => ("✖", Tone::Bad, "Failed"),
        StageState::Skipped => ("⊘", Tone::Faint, "Skipped"),
        StageState::Cancelled => ("✖", Tone::Warn, "Cancelled"),
    }
}

/// Why a stage is where it is: what its attempt waits for, else its own reason.
pub(super) fn why(stage: &StageStatus) -> (&str, &str) {
    let under_way =
        |attempt: &&AttemptStatus| stage.state == StageState::Running && attempt.outcome.is_none();
    match stage.attempts.last().filter(under_way) {
        Some(attempt) => (&attempt.reason, &attempt.message),
        None => (&stage.reason, &stage.message),
    }
}

fn stage_line(stage: &StageStatus, now: Timestamp, branch: &str, style: Style) -> String {
    let (icon, tone, word) = stage_mark(stage);
    let mut notes: Vec<String> = Vec::new();
    for (is, note) in [(stage.finally, "finally"), (stage.optional, "optional")] {
        if is {
            notes.push(note.to_owned());
        }
    }
    let (reason, message) = why(stage);
    if stage.state != StageState::Succeeded && !reason.is_empty() {
        notes.push(harmless(&joined([reason, message], ": ")));
    }
    if let Some(at) = stage.retry_at.filter(|_| stage.state == StageState::Retrying) {
        notes.push(format!("again in {}", span(at.as_second() - now.as_second())));
    }
    let line = format!(
        "{branch}{} {:<20} {:<10} {:<7} {}",
        style.paint(tone, icon),
        harmless(&stage.name),
        word,
        between(
            stage.started_at,
            stage.finished_at.filter(|_| stage.state.ended()),
            now
        ),
        style.paint(Tone::Faint, &notes.join(", ")),
    );
    format!("{}\n", line.trim_end())
}

/// Attempts, steps, results and artifacts of a stage, without the outer branch.
fn below(stage: &StageStatus, now: Timestamp, style: Style) -> Vec<String> {
    let mut items: Vec<(String, Vec<String>)> = Vec::new();
    let single = stage.attempts.len() == 1;
    for attempt in &stage.attempts {
        let steps: Vec<String> = attempt.steps.iter().map(|step| step_line(step, style)).collect();
        if single {
            items.extend(
                dispute(attempt, style)
                    .into_iter()
                    .chain(promotion(attempt))
                    .chain(steps)
                    .map(|line| (line, Vec::new())),
            );
        } else {
            let inner = dispute(attempt, style)
                .into_iter()
                .chain(promotion(attempt))
                .chain(steps)
                .collect();
            items.push((attempt_line(attempt, now, style), inner));
        }
    }
    items.extend(
        stage
            .results
            .iter()
            .map(|result| (result_line(result), Vec::new())),
    );
    items.extend(
        stage
            .artifacts
            .iter()
            .map(|artifact| (artifact_line(artifact), Vec::new())),
    );
    let mut lines = Vec::new();
    let last = items.len().saturating_sub(1);
    for (i, (line, inner)) in items.into_iter().enumerate() {
        let (branch, under) = if i == last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        lines.push(format!("{branch}{line}"));
        let end = inner.len().saturating_sub(1);
        for (j, line) in inner.into_iter().enumerate() {
            lines.push(format!("{under}{}{line}", if j == end { "└─ " } else { "├─ " }));
        }
    }
    lines
}

fn dispute(attempt: &AttemptStatus, style: Style) -> Option<String> {
    let why = attempt.disputed.as_ref()?;
    Some(style.paint(Tone::Bad, &format!("⚠ disputed: {}", harmless(why))))
}

/// What a stage with an `environment` asked for.
fn promotion(attempt: &AttemptStatus) -> Option<String> {
    let asked = attempt.promotion.as_ref()?;
    Some(harmless(&format!(
        "→ {}: promotion {} of release {}",
        asked.environment, asked.name, asked.release
    )))
}

fn attempt_line(attempt: &AttemptStatus, now: Timestamp, style: Style) -> String {
    use dcanary_crds::AttemptOutcome as O;
    let (icon, tone) = match attempt.outcome {
        None => ("◷", Tone::Busy),
        Some(O::Succeeded) => ("✔", Tone::Good),
        Some(O::Lost | O::Cancelled) => ("⚠", Tone::Warn),
        Some(O::Failed | O::TimedOut | O::Refused) => ("✖", Tone::Bad),
    };
    let took = between(
        attempt.started_at.or(attempt.created_at),
        attempt.finished_at,
        now,
    );
    format!(
        "{} attempt {} {took} {}",
        style.paint(tone, icon),
        attempt.number,
        harmless(&attempt.reason)
    )
    .trim_end()
    .to_owned()
}

fn step_line(step: &StepStatus, style: Style) -> String {
    let (icon, tone) = match step.outcome.as_str() {
        "succeeded" => ("✔", Tone::Good),
        "failed" | "timedOut" | "killed" => ("✖", Tone::Bad),
        "skipped" => ("⊘", Tone::Faint),
        _ => ("◷", Tone::Busy),
    };
    let time = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<Timestamp>().ok());
    let (start, end) = (time(&step.started_at), time(&step.finished_at));
    let took = end.map(|end| between(start, Some(end), end)).unwrap_or_default();
    let mut notes = Vec::new();
    let told = |code: &i32| {
        let message = step.message.as_deref();
        message.is_some_and(|message| message.starts_with(&format!("exit code {code}")))
    };
    if let Some(code) = step.exit_code.filter(|code| *code != 0 && !told(code)) {
        notes.push(format!("exit code {code}"));
    }
    notes.extend(step.message.clone());
    format!(
        "{} {:<18} {took:<7} {}",
        style.paint(tone, icon),
        harmless(&step.name),
        harmless(&notes.join(", "))
    )
    .trim_end()
    .to_owned()
}

fn result_line(result: &ResultStatus) -> String {
    const SHOWN: usize = 60;
    match &result.value {
        Some(value) => {
            // One line, whatever it holds.
            let line: String = value.chars().flat_map(char::escape_debug).collect();
            let cut: String = line.chars().take(SHOWN).collect();
            let more = if cut.len() < line.len() { "…" } else { "" };
            format!("= {} {cut}{more}", harmless(&result.name))
        }
        None => format!(
            "= {} {} ({} bytes)",
            harmless(&result.name),
            harmless(&short(&result.digest)),
            result.size
        ),
    }
}

fn artifact_line(artifact: &ArtifactStatus) -> String {
    let place = artifact
        .reference
        .clone()
        .unwrap_or_else(|| short(&artifact.digest));
    harmless(&format!(
        "+ {} {} {} bytes, {place}",
        artifact.name, artifact.kind, artifact.size
    ))
}

/// Enough of a digest to tell two apart.
pub fn short(digest: &str) -> String {
    digest.chars().take("sha256:".len() + 12).collect()
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;

#[cfg(test)]
pub(crate) mod fixtures {
    use super::{PipelineRun, Timestamp};

    pub(crate) fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn read(text: &str) -> PipelineRun {
        serde_saphyr::from_str(text).unwrap()
    }

    pub(crate) fn failed() -> PipelineRun {
        read(include_str!("fixtures/failed.yaml"))
    }

    pub(crate) fn running() -> PipelineRun {
        read(include_str!("fixtures/running.yaml"))
    }
}

//! Runs as a table.

use dcanary_crds::{ConditionType, PipelineRun, PipelineRunStatus};
use jiff::Timestamp;

use super::{branches::harmless, tree::run_mark};
use crate::output::{Style, age::between, table::table};

/// The newest last; at most `last` of them.
pub fn sorted(mut runs: Vec<PipelineRun>, last: Option<usize>) -> Vec<PipelineRun> {
    runs.sort_by_key(|run| {
        let created = run.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (created, run.metadata.namespace.clone(), run.metadata.name.clone())
    });
    let skip = last.map_or(0, |last| runs.len().saturating_sub(last));
    runs.split_off(skip)
}

/// The table.
pub fn runs(runs: &[PipelineRun], namespaces: bool, wide: bool, now: Timestamp, style: Style) -> String {
    let mut heading = vec!["NAME", "PIPELINE", "STATUS", "STAGES", "DURATION", "AGE"];
    if namespaces {
        heading.insert(0, "NAMESPACE");
    }
    if wide {
        heading.extend(["COMMIT", "RECORDED", "BLOCK", "MESSAGE"]);
    }
    let rows = runs
        .iter()
        .map(|run| row(run, namespaces, wide, now, style))
        .collect();
    table(&heading, rows)
}

fn row(run: &PipelineRun, namespaces: bool, wide: bool, now: Timestamp, style: Style) -> Vec<String> {
    let nothing = PipelineRunStatus::default();
    let status = run.status.as_ref().unwrap_or(&nothing);
    let (icon, tone, word) = run_mark(status);
    let created = run.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let mut row = vec![
        run.metadata.name.clone().unwrap_or_default(),
        run.spec
            .pipeline_ref
            .as_ref()
            .map_or_else(|| "(inline)".to_owned(), |named| named.name.clone()),
        format!("{} {word}", style.paint(tone, icon)),
        status.progress.clone().unwrap_or_default(),
        between(status.started_at, status.finished_at, now),
        between(created, None, now),
    ];
    if namespaces {
        row.insert(0, run.metadata.namespace.clone().unwrap_or_default());
    }
    if wide {
        let commit = run.spec.source.as_ref().and_then(|source| source.commit.as_ref());
        row.push(
            commit
                .map(|commit| commit.chars().take(12).collect())
                .unwrap_or_default(),
        );
        let journal = status.journal.as_ref();
        row.push(
            journal
                .map(|journal| format!("{}/{}", journal.recorded, journal.next))
                .unwrap_or_default(),
        );
        row.push(
            journal
                .and_then(|journal| journal.block)
                .map(|block| block.to_string())
                .unwrap_or_default(),
        );
        let said = status
            .conditions
            .iter()
            .find(|condition| condition.kind == ConditionType::Succeeded);
        row.push(
            said.map(|condition| harmless(&condition.message))
                .unwrap_or_default(),
        );
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tree::fixtures;

    #[test]
    fn runs_are_a_table_with_the_newest_last() {
        let now = fixtures::at("2026-03-01T12:10:00Z");
        let all = sorted(vec![fixtures::running(), fixtures::failed()], None);
        insta::assert_snapshot!("runs", runs(&all, false, false, now, Style::PLAIN));
        insta::assert_snapshot!(
            "runs_wide_all_namespaces",
            runs(&all, true, true, now, Style::PLAIN)
        );
    }

    #[test]
    fn last_keeps_the_newest() {
        let kept = sorted(vec![fixtures::running(), fixtures::failed()], Some(1));
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].metadata.name.as_deref(), Some("web-7f3ab"));
    }

    #[test]
    fn a_message_makes_no_row_of_its_own() {
        let now = fixtures::at("2026-03-01T12:10:00Z");
        let mut run = fixtures::failed();
        let conditions = &mut run.status.as_mut().unwrap().conditions;
        for condition in conditions {
            condition.message = "failed\nweb-1   web   \u{1b}[32m✔ Succeeded".to_owned();
        }
        let text = runs(&[run], false, true, now, Style::PLAIN);
        assert!(text.lines().count() == 2 && !text.contains('\u{1b}'), "{text:?}");
    }
}

//! The rollout in an environment's tree: who asked, who approved, what it changes, which step it is at, what was measured.

use dcanary_crds::{
    AnalysisStatus, CanaryStep, Changes, Environment, MetricStatus, ReleaseSource, Rollout, Verdict,
};
use jiff::Timestamp;

use super::{
    branches::{Branch, harmless, joined},
    environment::image_of,
    tree::short,
};
use crate::output::{Style, Tone, age::between};

/// What is on its way.
pub fn candidate(environment: &Environment, rollout: &Rollout, now: Timestamp, style: Style) -> Branch {
    let since = match rollout.since {
        Some(_) => format!("for {}", between(rollout.since, None, now)),
        None => String::new(),
    };
    let step = rollout
        .progress
        .as_ref()
        .map(|progress| format!("step {progress}"))
        .unwrap_or_default();
    let doing = format!("{:?}", rollout.doing);
    let waits = rollout.paused_by.is_some() || doing == "Waiting";
    let (icon, tone) = if waits {
        ("‖", Tone::Warn)
    } else {
        ("◷", Tone::Busy)
    };
    let mut below = vec![Branch::leaf(asked(rollout, now))];
    below.extend(why(rollout));
    below.extend(moving(rollout));
    below.extend(steps(environment, rollout, style));
    below.extend(approvals(environment, rollout, now, style));
    if rollout.overridden_by.is_some() {
        let line = style.paint(Tone::Warn, "⚠ goes on in spite of a freeze window (override)");
        below.push(Branch::leaf(line));
    }
    below.extend(rollout.changes.as_ref().and_then(changes));
    below.extend(analyses(rollout, style));
    below.extend(
        rollout
            .hooks
            .iter()
            .map(|run| Branch::leaf(format!("hook {run}: dcanary get run {run}"))),
    );
    Branch {
        line: format!(
            "{} candidate  {}",
            style.paint(tone, icon),
            joined(
                [
                    rollout.release.as_str(),
                    &short(&rollout.identity),
                    &format!("{}%", rollout.weight),
                    &doing,
                    &step,
                    &since,
                ],
                "  "
            )
        ),
        below,
    }
}

/// Which promotion it is, whose, and since when.
pub fn asked(rollout: &Rollout, now: Timestamp) -> String {
    let by = rollout
        .requested_by
        .as_deref()
        .map(|by| format!("by {}", harmless(by)))
        .unwrap_or_default();
    let begun = match rollout.started_at {
        Some(_) => format!("{} ago", between(rollout.started_at, None, now)),
        None => String::new(),
    };
    joined(["promotion", &rollout.promotion, &by, &begun], " ")
}

/// Why it waits, or why it ended.
pub fn why(rollout: &Rollout) -> Option<Branch> {
    let said = joined([rollout.reason.as_str(), &harmless(&rollout.message)], ": ");
    (!said.is_empty()).then(|| Branch::leaf(said))
}

fn moving(rollout: &Rollout) -> Option<Branch> {
    let mut parts = Vec::new();
    if rollout.wanted_weight != rollout.weight {
        parts.push(format!(
            "weight {}% on its way to {}%",
            rollout.weight, rollout.wanted_weight
        ));
    }
    if rollout.mirror > 0 {
        parts.push(format!("{}% mirrored", rollout.mirror));
    }
    (!parts.is_empty()).then(|| Branch::leaf(parts.join(", ")))
}

fn steps(environment: &Environment, rollout: &Rollout, style: Style) -> Option<Branch> {
    let steps = &environment.spec.strategy.canary.as_ref()?.steps;
    let present = usize::try_from(rollout.step).unwrap_or(0);
    let marks: Vec<String> = steps
        .iter()
        .enumerate()
        .map(|(i, step)| {
            let (icon, tone) = match i.cmp(&present) {
                std::cmp::Ordering::Less => ("✔", Tone::Good),
                std::cmp::Ordering::Equal => ("◷", Tone::Busy),
                std::cmp::Ordering::Greater => ("◌", Tone::Faint),
            };
            style.paint(tone, &format!("{icon} {}", named(step)))
        })
        .collect();
    Some(Branch::leaf(format!("steps {}", marks.join("  "))))
}

fn named(step: &CanaryStep) -> String {
    if let Some(weight) = step.weight {
        format!("{weight}%")
    } else if let Some(mirror) = step.mirror {
        format!("mirror {mirror}%")
    } else if let Some(replicas) = &step.replicas {
        format!("replicas {replicas}")
    } else if let Some(pause) = &step.pause {
        pause
            .duration
            .map_or_else(|| "pause".to_owned(), |duration| format!("pause {duration}"))
    } else {
        "analysis".to_owned()
    }
}

fn approvals(environment: &Environment, rollout: &Rollout, now: Timestamp, style: Style) -> Vec<Branch> {
    let mut lines: Vec<Branch> = rollout
        .approvals
        .iter()
        .map(|approval| {
            let ago = match approval.at {
                Some(_) => format!("{} ago", between(approval.at, None, now)),
                None => String::new(),
            };
            let said = joined(["approved by", &harmless(&approval.by), &ago], " ");
            Branch::leaf(format!("{} {said}", style.paint(Tone::Good, "✔")))
        })
        .collect();
    if let Some(rule) = &environment.spec.approval {
        let required = usize::try_from(rule.required.unwrap_or(1)).unwrap_or(1);
        if rollout.approvals.len() < required {
            let line = format!(
                "‖ {} of {required} approvals; {}: dcanary approve {}",
                rollout.approvals.len(),
                who(rule),
                rollout.promotion
            );
            lines.push(Branch::leaf(style.paint(Tone::Warn, &line)));
        }
    }
    lines
}

/// Who may approve.
pub fn who(rule: &dcanary_crds::Approval) -> String {
    let users = match rule.users.as_slice() {
        [] => String::new(),
        users => format!("users {}", harmless(&users.join(", "))),
    };
    let groups = match rule.groups.as_slice() {
        [] => String::new(),
        groups => format!("groups {}", harmless(&groups.join(", "))),
    };
    joined([users.as_str(), &groups], " or ")
}

/// Where a release comes from.
pub fn source(source: &ReleaseSource) -> String {
    let commit: String = source.commit.chars().take(12).collect();
    let reference = source
        .reference
        .as_deref()
        .map(|name| name.trim_start_matches("refs/heads/"))
        .unwrap_or_default();
    joined(
        ["commit", &commit, &harmless(reference), &harmless(&source.repo)],
        " ",
    )
}

/// What differs from what is served.
pub fn changes(changes: &Changes) -> Option<Branch> {
    let mut below = Vec::new();
    if let (Some(from), Some(to)) = (&changes.from, &changes.to) {
        let cut = |commit: &str| commit.chars().take(12).collect::<String>();
        if from.commit != to.commit {
            below.push(Branch::leaf(format!(
                "commit {} → {}",
                cut(&from.commit),
                cut(&to.commit)
            )));
        }
    }
    below.extend(changes.images.iter().map(|image| Branch::leaf(change_of(image))));
    below.extend(
        changes
            .configuration
            .iter()
            .map(|key| Branch::leaf(harmless(key))),
    );
    (!below.is_empty()).then(|| Branch {
        line: "changes".to_owned(),
        below,
    })
}

/// `name: old → new` with digests that fit a line.
fn change_of(image: &str) -> String {
    image
        .split(' ')
        .map(|word| {
            if word.contains('@') {
                image_of(word)
            } else {
                harmless(word)
            }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// What was measured.
pub fn analyses(rollout: &Rollout, style: Style) -> Vec<Branch> {
    rollout
        .analyses
        .iter()
        .map(|analysis| one(analysis, style))
        .collect()
}

fn verdict(found: Option<Verdict>) -> (&'static str, Tone, &'static str) {
    match found {
        None => ("◷", Tone::Busy, "under way"),
        Some(Verdict::Passed) => ("✔", Tone::Good, "passed"),
        Some(Verdict::Failed) => ("✖", Tone::Bad, "failed"),
        Some(Verdict::Inconclusive) => ("⚠", Tone::Warn, "inconclusive"),
    }
}

fn one(analysis: &AnalysisStatus, style: Style) -> Branch {
    let (icon, tone, word) = verdict(analysis.verdict);
    let said = joined([word, &harmless(&analysis.message)], ": ");
    let evidence = analysis
        .evidence
        .as_deref()
        .map(|digest| format!("(evidence {})", short(digest)))
        .unwrap_or_default();
    Branch {
        line: joined(
            [
                format!(
                    "{} analysis {} {said}",
                    style.paint(tone, icon),
                    harmless(&analysis.name)
                )
                .as_str(),
                &evidence,
            ],
            "  ",
        ),
        below: analysis
            .metrics
            .iter()
            .map(|metric| measured(metric, style))
            .collect(),
    }
}

fn measured(metric: &MetricStatus, style: Style) -> Branch {
    let (icon, tone, _) = verdict(metric.verdict);
    let last = metric.samples.last();
    let value = last
        .and_then(|sample| sample.value.as_deref())
        .map(harmless)
        .unwrap_or_default();
    let baseline = last
        .and_then(|sample| sample.baseline.as_deref())
        .map(|value| format!("(stable {})", harmless(value)))
        .unwrap_or_default();
    let mut counts = vec![
        format!("{} good", metric.successful),
        format!("{} bad", metric.failed),
    ];
    for (number, word) in [
        (metric.inconclusive, "inconclusive"),
        (metric.errors, "not taken"),
    ] {
        if number > 0 {
            counts.push(format!("{number} {word}"));
        }
    }
    let error = last
        .and_then(|sample| sample.error.as_deref())
        .map(|error| format!("⚠ {}", harmless(error)))
        .unwrap_or_default();
    Branch::leaf(joined(
        [
            format!("{} {:<16}", style.paint(tone, icon), metric.name).as_str(),
            &joined([value.as_str(), &baseline], " "),
            &counts.join(", "),
            &style.paint(Tone::Warn, &error),
        ],
        "  ",
    ))
}

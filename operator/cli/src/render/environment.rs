//! Environments: one as a tree (what is served, what is on its way, what was, what is held), several as a table.

use dcanary_crds::{
    Condition, ConditionStatus, ConditionType, DeployedRelease, Doing, Environment, EnvironmentStatus,
    HeldRelease, Rollout, RolloutOutcome, WorkloadKind,
};
use jiff::Timestamp;
use kube::ResourceExt as _;

use super::{
    branches::{Branch, drawn, harmless, joined},
    promotions::holds,
    rollout,
    tree::{ledger, short},
};
use crate::output::{Style, Tone, age::between, table::table};

/// The whole tree, with a newline at the end.
pub fn tree(environment: &Environment, now: Timestamp, style: Style) -> String {
    let nothing = EnvironmentStatus::default();
    let status = environment.status.as_ref().unwrap_or(&nothing);
    let mut branches = vec![stable(environment, status, now, style)];
    branches.extend(status.rollout.as_ref().and_then(|found| {
        if under_way(found) {
            Some(rollout::candidate(environment, found, now, style))
        } else {
            last(found, now, style)
        }
    }));
    if !status.history.is_empty() {
        branches.push(Branch {
            line: style.paint(Tone::Faint, "history"),
            below: status.history.iter().map(|old| earlier(old, now)).collect(),
        });
    }
    if !status.held.is_empty() {
        branches.push(Branch {
            line: style.paint(Tone::Warn, "⚠ held"),
            below: status.held.iter().map(|held| holding(held, now)).collect(),
        });
    }
    heading(environment, status, now, style) + &drawn(&branches)
}

/// A rollout that has not ended.
pub fn under_way(rollout: &Rollout) -> bool {
    rollout.doing != Doing::Ended
}

/// Icon, tone and word of an environment.
pub fn mark(status: &EnvironmentStatus) -> (&'static str, Tone, String) {
    let is = |kind| holds(&status.conditions, kind);
    let word = |found: &Condition| found.reason.clone();
    if let Some(found) = is(ConditionType::Stalled) {
        return ("⚠", Tone::Bad, word(found));
    }
    if is(ConditionType::Ready).is_none() {
        let said = status
            .conditions
            .iter()
            .find(|condition| condition.kind == ConditionType::Ready);
        return match said {
            Some(found) => ("◷", Tone::Busy, word(found)),
            None => ("◌", Tone::Faint, "Pending".to_owned()),
        };
    }
    if is(ConditionType::Paused).is_some() {
        ("‖", Tone::Warn, "Paused".to_owned())
    } else if is(ConditionType::Progressing).is_some() {
        ("◷", Tone::Busy, "Progressing".to_owned())
    } else if is(ConditionType::RolledBack).is_some() {
        ("✔", Tone::Warn, "RolledBack".to_owned())
    } else {
        ("✔", Tone::Good, "Ready".to_owned())
    }
}

fn heading(environment: &Environment, status: &EnvironmentStatus, now: Timestamp, style: Style) -> String {
    let (icon, tone, word) = mark(status);
    let created = environment
        .metadata
        .creation_timestamp
        .as_ref()
        .map(|time| time.0);
    let mut text = format!(
        "{} {}  {}  age {}\n",
        style.paint(tone, icon),
        style.paint(Tone::Strong, &environment.name_any()),
        style.paint(tone, &word),
        between(created, None, now),
    );
    let mut line = |label: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("  {label:<11} {value}\n"));
        }
    };
    line("namespace", &environment.namespace().unwrap_or_default());
    line("workload", &workload(environment));
    line("strategy", &strategy(environment));
    if let Some(from) = &environment.spec.promotes_from {
        let auto = if from.auto { ", each release by itself" } else { "" };
        line("from", &format!("{}{auto}", from.name));
    }
    line("reason", &reason(status));
    let doubt = status.conditions.iter().find(|condition| {
        condition.kind == ConditionType::ApprovalsEnforced && condition.status == ConditionStatus::False
    });
    if let Some(found) = doubt {
        let why = format!("⚠ no approval counts: {}", harmless(&found.message));
        line("approvals", &style.paint(Tone::Bad, &why));
    }
    if let Some(contest) = &status.contest {
        let why = format!(
            "⚠ {} changes the weights of the route too ({} times lately)",
            harmless(&contest.manager),
            contest.at.len()
        );
        line("route", &style.paint(Tone::Warn, &why));
    }
    line(
        "ledger",
        &ledger(status.journal.as_ref(), &status.conditions, style),
    );
    text
}

fn workload(environment: &Environment) -> String {
    let workload = &environment.spec.workload;
    let adopted = environment
        .status
        .as_ref()
        .and_then(|status| status.adopted_replicas);
    let replicas = environment.spec.replicas.or(adopted).unwrap_or(1);
    match (&workload.reference, &workload.template) {
        (Some(adopted), _) => format!("Deployment {} (adopted), {replicas} wanted", adopted.name),
        (None, Some(template)) => {
            let kind = match template.kind {
                WorkloadKind::Deployment => "Deployment",
                WorkloadKind::StatefulSet => "StatefulSet",
                WorkloadKind::DaemonSet => return "DaemonSet".to_owned(),
            };
            format!("{kind}, {replicas} wanted")
        }
        (None, None) => String::new(),
    }
}

/// The strategy in a word, with what is particular about it.
pub fn strategy(environment: &Environment) -> String {
    let strategy = &environment.spec.strategy;
    if let Some(canary) = &strategy.canary {
        format!("canary, {} steps", canary.steps.len())
    } else if let Some(blue_green) = &strategy.blue_green {
        let switch = if blue_green.auto_promote {
            "switches by itself"
        } else {
            "switches when resumed"
        };
        format!("blueGreen, {switch}")
    } else {
        "rolling".to_owned()
    }
}

/// What speaks loudest: what stalls it, what it waits for, why it went back.
fn reason(status: &EnvironmentStatus) -> String {
    let kinds = [
        ConditionType::Stalled,
        ConditionType::Paused,
        ConditionType::Progressing,
        ConditionType::RolledBack,
    ];
    let found = kinds
        .into_iter()
        .find_map(|kind| holds(&status.conditions, kind))
        .or_else(|| {
            status.conditions.iter().find(|condition| {
                condition.kind == ConditionType::Ready && condition.status != ConditionStatus::True
            })
        });
    found.map_or_else(String::new, |condition| {
        joined([condition.reason.as_str(), &harmless(&condition.message)], ": ")
    })
}

/// Name of a release, or what stands for it.
pub fn named(release: &str) -> &str {
    if release.is_empty() { "(adopted)" } else { release }
}

fn stable(environment: &Environment, status: &EnvironmentStatus, now: Timestamp, style: Style) -> Branch {
    let Some(stable) = &status.stable else {
        let hint = format!(
            "◌ stable     none yet: dcanary promote {} RELEASE",
            environment.name_any()
        );
        return Branch::leaf(style.paint(Tone::Faint, &hint));
    };
    let share = match &status.rollout {
        Some(rollout) if under_way(rollout) => 100 - rollout.weight,
        _ => 100,
    };
    let serves = holds(&status.conditions, ConditionType::Ready).is_some();
    let (icon, tone) = if serves {
        ("✔", Tone::Good)
    } else {
        ("✖", Tone::Bad)
    };
    let since = match stable.since {
        Some(_) => format!("for {}", between(stable.since, None, now)),
        None => String::new(),
    };
    Branch {
        line: format!(
            "{} stable     {}",
            style.paint(tone, icon),
            joined(
                [
                    named(&stable.release),
                    &short(&stable.identity),
                    &format!("{share}%"),
                    &since,
                ],
                "  "
            )
        ),
        below: contents(stable),
    }
}

fn contents(release: &DeployedRelease) -> Vec<Branch> {
    let mut lines: Vec<Branch> = release
        .images
        .iter()
        .map(|(name, image)| Branch::leaf(format!("{name} {}", image_of(image))))
        .collect();
    if let Some(source) = &release.source {
        lines.push(Branch::leaf(rollout::source(source)));
    }
    lines
}

/// An image with a digest that fits a line.
pub fn image_of(image: &str) -> String {
    match image.split_once('@') {
        Some((name, digest)) => format!("{}@{}", harmless(name), short(&harmless(digest))),
        None => harmless(image),
    }
}

/// How the last rollout ended, where that is not what is served now.
fn last(rollout: &Rollout, now: Timestamp, style: Style) -> Option<Branch> {
    let (icon, tone, word) = match rollout.outcome? {
        RolloutOutcome::Promoted => return None,
        RolloutOutcome::RolledBack => ("✖", Tone::Bad, "RolledBack"),
        RolloutOutcome::Aborted => ("✖", Tone::Warn, "Aborted"),
        RolloutOutcome::Superseded => ("✖", Tone::Warn, "Superseded"),
        RolloutOutcome::Refused => ("✖", Tone::Bad, "Refused"),
    };
    let ago = match rollout.finished_at {
        Some(_) => format!("{} ago", between(rollout.finished_at, None, now)),
        None => String::new(),
    };
    let mut below = vec![Branch::leaf(rollout::asked(rollout, now))];
    below.extend(rollout::why(rollout));
    below.extend(rollout::analyses(rollout, style));
    Some(Branch {
        line: format!(
            "{} last       {}",
            style.paint(tone, icon),
            joined([&rollout.release, &short(&rollout.identity), word, &ago], "  ")
        ),
        below,
    })
}

fn earlier(release: &DeployedRelease, now: Timestamp) -> Branch {
    let until = match release.until {
        Some(_) => format!("until {} ago", between(release.until, None, now)),
        None => String::new(),
    };
    Branch::leaf(joined(
        [named(&release.release), &short(&release.identity), &until],
        "  ",
    ))
}

fn holding(held: &HeldRelease, now: Timestamp) -> Branch {
    let why = joined([held.reason.as_str(), &harmless(&held.message)], ": ");
    let since = match held.since {
        Some(_) => format!("for {}", between(held.since, None, now)),
        None => String::new(),
    };
    Branch::leaf(joined(
        [
            held.release.as_deref().unwrap_or_default(),
            &short(&held.identity),
            &why,
            &since,
        ],
        "  ",
    ))
}

/// Environments as a table.
pub fn environments(
    environments: &[Environment],
    namespaces: bool,
    wide: bool,
    now: Timestamp,
    style: Style,
) -> String {
    let mut heading = vec!["NAME", "STATUS", "STABLE", "CANDIDATE", "WEIGHT", "STEP", "AGE"];
    if namespaces {
        heading.insert(0, "NAMESPACE");
    }
    if wide {
        heading.extend(["STRATEGY", "IDENTITY", "HELD", "MESSAGE"]);
    }
    let rows = environments
        .iter()
        .map(|environment| row(environment, namespaces, wide, now, style))
        .collect();
    table(&heading, rows)
}

fn row(environment: &Environment, namespaces: bool, wide: bool, now: Timestamp, style: Style) -> Vec<String> {
    let nothing = EnvironmentStatus::default();
    let status = environment.status.as_ref().unwrap_or(&nothing);
    let (icon, tone, word) = mark(status);
    let candidate = status.rollout.as_ref().filter(|rollout| under_way(rollout));
    let created = environment
        .metadata
        .creation_timestamp
        .as_ref()
        .map(|time| time.0);
    let mut row = vec![
        environment.name_any(),
        format!("{} {word}", style.paint(tone, icon)),
        status
            .stable
            .as_ref()
            .map(|stable| named(&stable.release).to_owned())
            .unwrap_or_default(),
        candidate.map(|one| one.release.clone()).unwrap_or_default(),
        candidate
            .map(|one| format!("{}%", one.weight))
            .unwrap_or_default(),
        candidate.and_then(|one| one.progress.clone()).unwrap_or_default(),
        between(created, None, now),
    ];
    if namespaces {
        row.insert(0, environment.namespace().unwrap_or_default());
    }
    if wide {
        row.push(strategy(environment));
        row.push(
            status
                .stable
                .as_ref()
                .map(|stable| short(&stable.identity))
                .unwrap_or_default(),
        );
        row.push(status.held.len().to_string());
        row.push(reason(status));
    }
    row
}

#[cfg(test)]
#[path = "environment_tests.rs"]
mod tests;

//! Promotions and releases as tables.

use dcanary_crds::{Condition, ConditionStatus, ConditionType, Promotion, PromotionStatus, Release};
use jiff::Timestamp;
use kube::{Resource, ResourceExt as _};

use super::{branches::harmless, tree::short};
use crate::{
    exit::Exit,
    output::{Style, Tone, age::between, table::table},
};

/// The newest last; at most `last` of them.
pub fn sorted<K: Resource>(mut objects: Vec<K>, last: Option<usize>) -> Vec<K> {
    objects.sort_by_key(|object| {
        let created = object.meta().creation_timestamp.as_ref().map(|time| time.0);
        (created, object.namespace(), object.name_any())
    });
    let skip = last.map_or(0, |last| objects.len().saturating_sub(last));
    objects.split_off(skip)
}

fn is(conditions: &[Condition], kind: ConditionType, wanted: ConditionStatus) -> Option<&Condition> {
    conditions
        .iter()
        .find(|condition| condition.kind == kind && condition.status == wanted)
}

/// The condition of a type that holds.
pub fn holds(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    is(conditions, kind, ConditionStatus::True)
}

/// Why a promotion that has ended did not succeed.
fn failure(status: &PromotionStatus) -> Option<&Condition> {
    is(
        &status.conditions,
        ConditionType::Succeeded,
        ConditionStatus::False,
    )
}

/// The exit code of a promotion that has ended.
pub fn exit_of(promotion: &Promotion) -> Option<Exit> {
    let status = promotion.status.as_ref()?;
    holds(&status.conditions, ConditionType::Finished)?;
    if holds(&status.conditions, ConditionType::Succeeded).is_some() {
        return Some(Exit::Succeeded);
    }
    let reason = failure(status).map_or("", |condition| condition.reason.as_str());
    Some(if reason.contains("Timeout") || reason.contains("TimedOut") {
        Exit::TimedOut
    } else if reason.contains("Abort") || reason == "Superseded" {
        Exit::Cancelled
    } else {
        Exit::Failed
    })
}

/// Icon, tone and word of a promotion.
pub fn mark(promotion: &Promotion) -> (&'static str, Tone, String) {
    let nothing = PromotionStatus::default();
    let status = promotion.status.as_ref().unwrap_or(&nothing);
    let conditions = &status.conditions;
    match exit_of(promotion) {
        Some(Exit::Succeeded) => return ("✔", Tone::Good, "Promoted".to_owned()),
        Some(exit) => {
            let tone = if exit == Exit::Cancelled {
                Tone::Warn
            } else {
                Tone::Bad
            };
            let word = failure(status).map_or_else(|| "Failed".to_owned(), |found| found.reason.clone());
            return ("✖", tone, word);
        }
        None => {}
    }
    if let Some(found) = holds(conditions, ConditionType::Stalled) {
        return ("⚠", Tone::Bad, found.reason.clone());
    }
    if let Some(found) = holds(conditions, ConditionType::Paused) {
        return ("‖", Tone::Warn, found.reason.clone());
    }
    match is(conditions, ConditionType::Succeeded, ConditionStatus::Unknown) {
        Some(found) => ("◷", Tone::Busy, found.reason.clone()),
        None => ("◌", Tone::Faint, "Pending".to_owned()),
    }
}

/// Promotions as a table.
pub fn promotions(
    promotions: &[Promotion],
    namespaces: bool,
    wide: bool,
    now: Timestamp,
    style: Style,
) -> String {
    let mut heading = vec![
        "NAME",
        "ENVIRONMENT",
        "RELEASE",
        "STATUS",
        "STEP",
        "WEIGHT",
        "AGE",
    ];
    if namespaces {
        heading.insert(0, "NAMESPACE");
    }
    if wide {
        heading.extend(["BY", "APPROVED BY", "IDENTITY", "MESSAGE"]);
    }
    let rows = promotions
        .iter()
        .map(|promotion| row(promotion, namespaces, wide, now, style))
        .collect();
    table(&heading, rows)
}

fn row(promotion: &Promotion, namespaces: bool, wide: bool, now: Timestamp, style: Style) -> Vec<String> {
    let nothing = PromotionStatus::default();
    let status = promotion.status.as_ref().unwrap_or(&nothing);
    let (icon, tone, word) = mark(promotion);
    let environment = &promotion.spec.environment_ref;
    let created = promotion.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let mut row = vec![
        promotion.name_any(),
        match &environment.namespace {
            Some(other) if Some(other) != promotion.metadata.namespace.as_ref() => {
                format!("{other}/{}", environment.name)
            }
            _ => environment.name.clone(),
        },
        promotion.spec.release_ref.name.clone(),
        format!("{} {word}", style.paint(tone, icon)),
        status.progress.clone().unwrap_or_default(),
        status
            .weight
            .map(|weight| format!("{weight}%"))
            .unwrap_or_default(),
        between(created, None, now),
    ];
    if namespaces {
        row.insert(0, promotion.namespace().unwrap_or_default());
    }
    if wide {
        row.push(harmless(
            promotion.spec.requested_by.as_deref().unwrap_or_default(),
        ));
        let approved: Vec<&str> = status
            .approvals
            .iter()
            .map(|approval| approval.by.as_str())
            .collect();
        row.push(harmless(&approved.join(",")));
        row.push(status.identity.as_deref().map(short).unwrap_or_default());
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

/// Releases as a table.
pub fn releases(releases: &[Release], namespaces: bool, wide: bool, now: Timestamp) -> String {
    let mut heading = vec!["NAME", "IMAGES", "COMMIT", "RUN", "AGE"];
    if namespaces {
        heading.insert(0, "NAMESPACE");
    }
    if wide {
        heading.extend(["REPOSITORY", "REF", "POSITION", "DIGESTS"]);
    }
    let rows = releases
        .iter()
        .map(|release| release_row(release, namespaces, wide, now))
        .collect();
    table(&heading, rows)
}

fn release_row(release: &Release, namespaces: bool, wide: bool, now: Timestamp) -> Vec<String> {
    let source = release.spec.source.clone().unwrap_or_default();
    let created = release.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let names: Vec<&str> = release.spec.images.keys().map(String::as_str).collect();
    let mut row = vec![
        release.name_any(),
        names.join(","),
        source.commit.chars().take(12).collect(),
        release
            .spec
            .run
            .as_ref()
            .map(|run| run.name.clone())
            .unwrap_or_default(),
        between(created, None, now),
    ];
    if namespaces {
        row.insert(0, release.namespace().unwrap_or_default());
    }
    if wide {
        row.push(harmless(&source.repo));
        row.push(harmless(source.reference.as_deref().unwrap_or_default()));
        row.push(
            source
                .position
                .map(|position| position.to_string())
                .unwrap_or_default(),
        );
        let digests: Vec<String> = release
            .spec
            .images
            .values()
            .filter_map(|image| image.split_once('@'))
            .map(|(_, digest)| short(digest))
            .collect();
        row.push(digests.join(","));
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tree::fixtures::at;

    fn read(text: &str) -> Vec<Promotion> {
        let all: Vec<serde_json::Value> = serde_saphyr::from_str(text).unwrap();
        all.into_iter()
            .map(|one| serde_json::from_value(one).unwrap())
            .collect()
    }

    fn all() -> Vec<Promotion> {
        read(include_str!("fixtures/promotions.yaml"))
    }

    #[test]
    fn promotions_are_a_table_with_the_newest_last() {
        let now = at("2026-03-01T12:10:00Z");
        let found = sorted(all(), None);
        insta::assert_snapshot!("promotions", promotions(&found, false, false, now, Style::PLAIN));
        insta::assert_snapshot!(
            "promotions_wide",
            promotions(&found, true, true, now, Style::PLAIN)
        );
    }

    #[test]
    fn the_exit_code_says_how_a_promotion_ended() {
        let codes: Vec<(String, Option<Exit>)> = all()
            .iter()
            .map(|promotion| (promotion.name_any(), exit_of(promotion)))
            .collect();
        let expected = [
            ("web-42-aaaaa", None),
            ("web-41-bbbbb", Some(Exit::Succeeded)),
            ("web-40-ccccc", Some(Exit::Failed)),
            ("web-39-ddddd", Some(Exit::Cancelled)),
            ("web-38-eeeee", Some(Exit::TimedOut)),
            ("web-43-fffff", None),
        ];
        assert_eq!(codes.len(), expected.len());
        for ((name, exit), (wanted, code)) in codes.iter().zip(expected) {
            assert_eq!((name.as_str(), *exit), (wanted, code));
        }
    }

    #[test]
    fn releases_are_a_table() {
        let release: Release = serde_json::from_value(serde_json::json!({
            "apiVersion": "dcanary.dev/v1alpha1", "kind": "Release",
            "metadata": {"name": "web-42", "namespace": "shop", "creationTimestamp": "2026-03-01T12:00:00Z"},
            "spec": {
                "images": {
                    "web": format!("registry.example.com/web@sha256:{}", "a".repeat(64)),
                    "job": format!("registry.example.com/job@sha256:{}", "b".repeat(64)),
                },
                "source": {"repo": "https://example.com/shop.git", "ref": "refs/heads/main", "commit": "0123456789abcdef", "position": 412},
                "run": {"name": "web-7f3ab"},
            },
        }))
        .unwrap();
        let now = at("2026-03-01T12:10:00Z");
        let found = [release];
        insta::assert_snapshot!("releases", releases(&found, false, false, now));
        insta::assert_snapshot!("releases_wide", releases(&found, true, true, now));
    }
}

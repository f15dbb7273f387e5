//! The environment before this one.

use std::collections::BTreeMap;

use dcanary_core::{definition, time::later};
use dcanary_crds::{DeployedRelease, Environment, EnvironmentStatus, LedgerMode, PromotesFrom, Release};
use jiff::Timestamp;

use crate::{render, seen::Seen};

/// Whether a release has come far enough in the environment before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrived {
    /// It has.
    Yes,
    /// Not yet: why, and when that changes by itself.
    NotYet {
        /// One sentence.
        message: String,
        /// When.
        at: Option<Timestamp>,
    },
}

/// Whether what happens in an Environment is recorded.
pub fn is_recorded(env: &Environment, seen: &Seen) -> bool {
    let ledger = env.spec.ledger.as_ref();
    seen.settings.ledger && ledger.is_none_or(|ledger| ledger.mode != LedgerMode::Off)
}

/// Whether the chain is known to hold that a release succeeded. Before it does it refuses the promotion into the next environment: the records of
/// two environments come to it in any order.
fn is_on_chain(status: &EnvironmentStatus, deployed: &DeployedRelease) -> bool {
    match (&status.journal, deployed.record) {
        (Some(journal), Some(record)) => journal.recorded > record,
        _ => true,
    }
}

/// Whether a release has succeeded in the environment before this one, for as long as is asked. Where promotions are `recorded`, the chain must
/// hold it.
pub fn arrived(
    rule: &PromotesFrom,
    seen: &Seen,
    release: &Release,
    recorded: bool,
    now: Timestamp,
) -> Arrived {
    let not_yet = |message: String, at| Arrived::NotYet { message, at };
    let Some(from) = &seen.from else {
        return not_yet(
            format!(
                "there is no Environment {}: create it, or change promotesFrom",
                place(rule)
            ),
            None,
        );
    };
    let Some(status) = &from.status else {
        return not_yet(format!("Environment {} serves no release yet", place(rule)), None);
    };
    let digest = digest_of(release);
    let same = |deployed: &&DeployedRelease| is_same(deployed, &release.spec.images, Some(&digest));
    let soak = rule.soak.map_or(0, dcanary_crds::Duration::as_secs);
    let unrecorded = || {
        let message = format!(
            "it succeeded in {}, which is not on the ledger yet: it comes as soon as the ledger has recorded that",
            place(rule)
        );
        not_yet(message, None)
    };
    if let Some(stable) = status.stable.as_ref().filter(same) {
        let ready = later(stable.since.unwrap_or(now), soak);
        if now >= ready {
            return if recorded && !is_on_chain(status, stable) {
                unrecorded()
            } else {
                Arrived::Yes
            };
        }
        return not_yet(
            format!("it is stable in {} and has to stay so until {ready}", place(rule)),
            Some(ready),
        );
    }
    let past = status.history.iter().filter(|deployed| {
        let held = status.held.iter().any(|held| held.identity == deployed.identity);
        same(deployed) && !held
    });
    let mut stayed = past.filter(|deployed| {
        let (Some(since), Some(until)) = (deployed.since, deployed.until) else {
            return false;
        };
        until >= later(since, soak)
    });
    if let Some(deployed) = stayed.next() {
        return if recorded && !is_on_chain(status, deployed) {
            unrecorded()
        } else {
            Arrived::Yes
        };
    }
    not_yet(
        format!(
            "it has not succeeded in Environment {} yet: promote it there first",
            place(rule)
        ),
        None,
    )
}

/// Digest of what moves between environments, as in statuses: `sha256:…`. The chain knows a release by the same.
pub fn digest_of(release: &Release) -> String {
    definition::text(&render::release_digest(release))
}

/// Whether an environment has the release of these images and this digest, as far as both know what it is.
pub fn is_same(one: &DeployedRelease, images: &BTreeMap<String, String>, digest: Option<&str>) -> bool {
    match (one.digest.as_deref(), digest) {
        (Some(one), Some(other)) => one == other,
        _ => one.images == *images,
    }
}

/// The release that is to be promoted by itself now. Where promotions are `recorded`, not before the chain holds that it succeeded.
///
/// # Errors
/// When there is none: when that is to be looked at again.
pub fn auto_promotion<'a>(
    rule: &PromotesFrom,
    seen: &'a Seen,
    recorded: bool,
    now: Timestamp,
) -> Result<&'a DeployedRelease, Option<Timestamp>> {
    let status = seen.from.as_ref().and_then(|from| from.status.as_ref());
    let status = status.ok_or(None)?;
    let stable = status.stable.as_ref().ok_or(None)?;
    if stable.release.is_empty() || (recorded && !is_on_chain(status, stable)) {
        return Err(None);
    }
    let soak = rule.soak.map_or(0, dcanary_crds::Duration::as_secs);
    let ready = later(stable.since.unwrap_or(now), soak);
    if now >= ready {
        Ok(stable)
    } else {
        Err(Some(ready))
    }
}

/// What the name begins with of whoever asks where no person does.
pub const OWN_NAME: &str = "system:dcanary:environment:";

/// Who asked for a release in the environment before, where it came from there by itself: whoever brought it that far has as good as asked for it
/// here.
pub fn asked_before<'a>(
    env: &Environment,
    requested_by: Option<&str>,
    images: &BTreeMap<String, String>,
    digest: Option<&str>,
    seen: &'a Seen,
) -> Option<&'a str> {
    let auto = env.spec.promotes_from.as_ref().is_some_and(|rule| rule.auto);
    if !auto || !requested_by.is_some_and(|by| by.starts_with(OWN_NAME)) {
        return None;
    }
    let status = seen.from.as_ref()?.status.as_ref()?;
    let mut deployed = status.stable.iter().chain(&status.history);
    deployed
        .find(|deployed| is_same(deployed, images, digest))?
        .requested_by
        .as_deref()
}

fn place(rule: &PromotesFrom) -> String {
    match &rule.namespace {
        Some(namespace) => format!("{namespace}/{}", rule.name),
        None => rule.name.clone(),
    }
}

//! The environment before this one.

use dcanary_core::time::later;
use dcanary_crds::{DeployedRelease, Environment, PromotesFrom, Release};
use jiff::Timestamp;

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

/// Whether a release has succeeded in the environment before this one, for as long as is asked.
pub fn arrived(
    rule: &PromotesFrom,
    from: Option<&Environment>,
    release: &Release,
    now: Timestamp,
) -> Arrived {
    let not_yet = |message: String, at| Arrived::NotYet { message, at };
    let Some(from) = from else {
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
    let same = |deployed: &&DeployedRelease| deployed.images == release.spec.images;
    let soak = rule.soak.map_or(0, dcanary_crds::Duration::as_secs);
    if let Some(stable) = status.stable.as_ref().filter(same) {
        let ready = later(stable.since.unwrap_or(now), soak);
        if now >= ready {
            return Arrived::Yes;
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
    let stayed = past.into_iter().any(|deployed| {
        let (Some(since), Some(until)) = (deployed.since, deployed.until) else {
            return false;
        };
        until >= later(since, soak)
    });
    if stayed {
        return Arrived::Yes;
    }
    not_yet(
        format!(
            "it has not succeeded in Environment {} yet: promote it there first",
            place(rule)
        ),
        None,
    )
}

/// The release that is to be promoted by itself now.
///
/// # Errors
/// When there is none: when that is to be looked at again.
pub fn auto_promotion<'a>(
    rule: &PromotesFrom,
    from: Option<&'a Environment>,
    now: Timestamp,
) -> Result<&'a DeployedRelease, Option<Timestamp>> {
    let stable = from
        .and_then(|from| from.status.as_ref()?.stable.as_ref())
        .ok_or(None)?;
    if stable.release.is_empty() {
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

fn place(rule: &PromotesFrom) -> String {
    match &rule.namespace {
        Some(namespace) => format!("{namespace}/{}", rule.name),
        None => rule.name.clone(),
    }
}

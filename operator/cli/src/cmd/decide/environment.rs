//! What can be told about an environment before anything is decided: where undo leads, and which release is meant.

use std::collections::BTreeMap;

use dcanary_crds::{DeployedRelease, Environment, EnvironmentStatus, Promotion};
use kube::ResourceExt as _;

use crate::{
    exit::Failure,
    render::{environment::named, tree::short},
};

/// Digits of an identity that name a release.
const DIGITS: usize = 6;

/// What undo does: back to the latest release before that is not held. What was adopted goes by the name of its workload.
pub fn back(environment: &Environment) -> Result<String, Failure> {
    let place = environment.name_any();
    let nothing = EnvironmentStatus::default();
    let status = environment.status.as_ref().unwrap_or(&nothing);
    let held = |identity: &str| status.held.iter().any(|held| held.identity == identity);
    let is_stable = |identity: &str| {
        let stable = status.stable.as_ref();
        stable.is_some_and(|stable| stable.identity == identity)
    };
    let before = status
        .history
        .iter()
        .find(|before| !is_stable(&before.identity) && !held(&before.identity));
    match (&status.stable, before) {
        (Some(stable), Some(before)) => Ok(format!(
            "Environment {place} goes back from {} to {} ({})",
            called(stable),
            called(before),
            short(&before.identity)
        )),
        _ => Err(Failure::usage(format!(
            "Environment {place} has no earlier release that is not held: nothing to undo; a rollout under way ends with `dcanary abort {place}`"
        ))),
    }
}

fn called(deployed: &DeployedRelease) -> String {
    if deployed.release.is_empty() {
        format!("{} {}", deployed.workload, named(""))
    } else {
        deployed.release.clone()
    }
}

/// The identity of the release to hold.
pub fn to_hold(environment: &Environment, promotions: &[Promotion], which: &str) -> Result<String, Failure> {
    let place = environment.name_any();
    let known = known(environment, promotions);
    let found = matching(&known, which);
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] if whole(which) => Ok(which.to_owned()),
        [] => {
            let names = known.values().flatten().map(String::as_str);
            let near = dcanary_core::problem::suggestion(which, names);
            Err(Failure::usage(format!(
                "Environment {place} has not looked at a release `{which}` yet, so its identity there is not known{near}: promote it first, or give its identity (sha256:…)"
            )))
        }
        several => Err(ambiguous(which, several)),
    }
}

/// The identity of the held release.
pub fn held(environment: &Environment, which: &str) -> Result<String, Failure> {
    let place = environment.name_any();
    let mut known: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for held in environment.status.iter().flat_map(|status| &status.held) {
        known
            .entry(held.identity.clone())
            .or_default()
            .extend(held.release.clone());
    }
    let found = matching(&known, which);
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => {
            let all: Vec<String> = known
                .iter()
                .map(|(identity, names)| format!("{} ({})", names.join(", "), short(identity)))
                .collect();
            let there = if all.is_empty() {
                "no release is".to_owned()
            } else {
                format!("held are {}", all.join(", "))
            };
            Err(Failure::usage(format!(
                "`{which}` is not held in Environment {place}: nothing to unhold; {there}"
            )))
        }
        several => Err(ambiguous(which, several)),
    }
}

/// Every identity that the environment has to do with, and the names of its releases.
fn known(environment: &Environment, promotions: &[Promotion]) -> BTreeMap<String, Vec<String>> {
    let mut known: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut learn = |identity: &str, release: &str| {
        let names = known.entry(identity.to_owned()).or_default();
        if !names.iter().any(|name| name == release) {
            names.push(release.to_owned());
        }
    };
    if let Some(status) = &environment.status {
        for release in status.stable.iter().chain(&status.history) {
            learn(&release.identity, &release.release);
        }
        if let Some(rollout) = &status.rollout {
            learn(&rollout.identity, &rollout.release);
        }
        for held in &status.held {
            learn(&held.identity, held.release.as_deref().unwrap_or_default());
        }
    }
    for promotion in promotions {
        if let Some(identity) = promotion
            .status
            .as_ref()
            .and_then(|status| status.identity.as_ref())
        {
            learn(identity, &promotion.spec.release_ref.name);
        }
    }
    known
}

fn matching<'a>(known: &'a BTreeMap<String, Vec<String>>, which: &str) -> Vec<&'a String> {
    let digits = which.strip_prefix("sha256:").unwrap_or(which);
    let identity = digits.len() >= DIGITS && digits.chars().all(|c| c.is_ascii_hexdigit());
    let by_name: Vec<&String> = known
        .iter()
        .filter(|(_, names)| names.iter().any(|name| name == which && !name.is_empty()))
        .map(|(identity, _)| identity)
        .collect();
    if !by_name.is_empty() || !identity {
        return by_name;
    }
    let wanted = format!("sha256:{}", digits.to_ascii_lowercase());
    known.keys().filter(|known| known.starts_with(&wanted)).collect()
}

fn whole(which: &str) -> bool {
    which.strip_prefix("sha256:").is_some_and(|digits| {
        digits.len() == 64 && digits.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
    })
}

fn ambiguous(which: &str, several: &[&String]) -> Failure {
    let all: Vec<String> = several.iter().map(|identity| short(identity)).collect();
    Failure::usage(format!(
        "`{which}` may be any of {}: its configuration changed between; give the identity that you mean",
        all.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canary() -> Environment {
        serde_saphyr::from_str(include_str!("../../render/fixtures/environment_canary.yaml")).unwrap()
    }

    fn rolled_back() -> Environment {
        serde_saphyr::from_str(include_str!("../../render/fixtures/environment_rolled_back.yaml")).unwrap()
    }

    fn identity(pair: &str) -> String {
        format!("sha256:{}ff", pair.repeat(31))
    }

    #[test]
    fn undo_says_where_it_leads_and_refuses_where_there_is_nothing_before() {
        let said = back(&canary()).unwrap();
        assert!(
            said.starts_with("Environment production goes back from web-41 to web-40"),
            "{said}"
        );
        let mut environment = canary();
        environment.status.as_mut().unwrap().held = vec![dcanary_crds::HeldRelease {
            identity: identity("40"),
            ..dcanary_crds::HeldRelease::default()
        }];
        let said = back(&environment).unwrap();
        assert!(
            said.starts_with("Environment production goes back from web-41 to web (adopted)"),
            "past the held one: {said}"
        );
        environment.status.as_mut().unwrap().history.pop();
        let said = back(&environment).unwrap_err().message;
        assert!(said.contains("nothing to undo"), "only a held one: {said}");
        let said = back(&rolled_back()).unwrap_err().message;
        assert!(said.contains("nothing to undo"), "{said}");
    }

    #[test]
    fn a_release_is_held_by_name_by_identity_or_by_its_first_digits() {
        for which in ["web-40", &identity("40"), "404040", "sha256:4040404040"] {
            assert_eq!(to_hold(&canary(), &[], which), Ok(identity("40")), "{which}");
        }
        let unknown = format!("sha256:{}", "9".repeat(64));
        assert_eq!(to_hold(&canary(), &[], &unknown), Ok(unknown));
    }

    #[test]
    fn a_release_that_was_never_looked_at_has_no_identity_yet() {
        let said = to_hold(&canary(), &[], "web-44").unwrap_err().message;
        assert!(
            said.contains("promote it first") && said.contains("did you mean"),
            "{said}"
        );
    }

    #[test]
    fn a_name_with_two_identities_is_refused_with_both() {
        let mut environment = canary();
        environment.status.as_mut().unwrap().history[1].release = "web-40".to_owned();
        let said = to_hold(&environment, &[], "web-40").unwrap_err().message;
        assert!(
            said.contains("sha256:393939393939") && said.contains("sha256:404040404040"),
            "{said}"
        );
    }

    #[test]
    fn only_what_is_held_can_be_let_in_again() {
        assert_eq!(held(&rolled_back(), "web-42"), Ok(identity("42")));
        assert_eq!(held(&rolled_back(), "424242"), Ok(identity("42")));
        let said = held(&rolled_back(), "web-41").unwrap_err().message;
        assert!(said.contains("nothing to unhold; held are web-42"), "{said}");
        let said = held(&canary(), "web-41").unwrap_err().message;
        assert!(said.ends_with("no release is"), "{said}");
    }
}

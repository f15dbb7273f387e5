//! What can be told about an environment before anything is decided: where undo leads, and which release is meant.

use std::collections::BTreeMap;

use dcanary_crds::{DeployedRelease, Doing, Environment, EnvironmentStatus, Promotion, Rollout};
use kube::ResourceExt as _;

use crate::{
    exit::Failure,
    render::{
        environment::{named, under_way},
        tree::short,
    },
};

/// Digits of an identity that name a release.
const DIGITS: usize = 6;

/// What undo does: in the middle of a rollout it ends that, else it goes back to the latest release before that is not held. What was adopted
/// goes by the name of its workload. `promotion` is that of the rollout, where it can be read.
pub fn back(environment: &Environment, promotion: Option<&Promotion>) -> Result<String, Failure> {
    let place = environment.name_any();
    let nothing = EnvironmentStatus::default();
    let status = environment.status.as_ref().unwrap_or(&nothing);
    if let Some(rollout) = status.rollout.as_ref().filter(|rollout| under_way(rollout)) {
        return ends(&place, rollout, status.stable.as_ref(), promotion);
    }
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
            called(&stable.release, &stable.workload),
            called(&before.release, &before.workload),
            short(&before.identity)
        )),
        _ => Err(Failure::usage(format!(
            "Environment {place} has no earlier release that is not held: nothing to undo"
        ))),
    }
}

/// What undo does in the middle of a rollout. One that goes back already is not ended, as the operator ignores it too.
fn ends(
    place: &str,
    rollout: &Rollout,
    stable: Option<&DeployedRelease>,
    promotion: Option<&Promotion>,
) -> Result<String, Failure> {
    let candidate = called(&rollout.release, &rollout.workload);
    if matches!(rollout.doing, Doing::RollingBack | Doing::AfterRollback) {
        return Err(Failure::usage(format!(
            "Environment {place} goes back from {candidate} already: nothing to undo"
        )));
    }
    let undoes = promotion.is_some_and(|promotion| {
        promotion.uid().as_deref() == Some(rollout.promotion_uid.as_str()) && promotion.spec.undo
    });
    if undoes && rollout.straight {
        return Err(Failure::usage(format!(
            "Environment {place} goes back to {candidate} already (undo): nothing to undo; `dcanary abort {place}` ends that"
        )));
    }
    let rest = stable.map_or_else(
        || "no release was stable before it".to_owned(),
        |stable| format!("{} stays", called(&stable.release, &stable.workload)),
    );
    // a straight one may be an undo, which is not ended by another
    let unless = if promotion.is_none() && rollout.straight {
        "; unless that is an undo itself (its Promotion cannot be read)"
    } else {
        ""
    };
    Ok(format!(
        "Environment {place} ends the rollout of {candidate}; {rest}{unless}"
    ))
}

fn called(release: &str, workload: &str) -> String {
    if release.is_empty() {
        format!("{workload} {}", named(""))
    } else {
        release.to_owned()
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

    /// The same with no rollout under way.
    fn settled() -> Environment {
        let mut environment = canary();
        environment.status.as_mut().unwrap().rollout = None;
        environment
    }

    fn rollout(environment: &mut Environment) -> &mut Rollout {
        environment.status.as_mut().unwrap().rollout.as_mut().unwrap()
    }

    #[test]
    fn undo_says_where_it_leads_and_refuses_where_there_is_nothing_before() {
        let said = back(&settled(), None).unwrap();
        assert!(
            said.starts_with("Environment production goes back from web-41 to web-40"),
            "{said}"
        );
        let mut environment = settled();
        environment.status.as_mut().unwrap().held = vec![dcanary_crds::HeldRelease {
            identity: identity("40"),
            ..dcanary_crds::HeldRelease::default()
        }];
        let said = back(&environment, None).unwrap();
        assert!(
            said.starts_with("Environment production goes back from web-41 to web (adopted)"),
            "past the held one: {said}"
        );
        environment.status.as_mut().unwrap().history.pop();
        let said = back(&environment, None).unwrap_err().message;
        assert!(said.contains("nothing to undo"), "only a held one: {said}");
        let said = back(&rolled_back(), None).unwrap_err().message;
        assert!(said.contains("nothing to undo"), "{said}");
    }

    #[test]
    fn undo_in_the_middle_of_a_rollout_says_that_it_ends_it_and_what_stays() {
        let mut environment = canary();
        assert_eq!(
            back(&environment, None).unwrap(),
            "Environment production ends the rollout of web-42; web-41 stays"
        );
        environment.status.as_mut().unwrap().stable = None;
        assert_eq!(
            back(&environment, None).unwrap(),
            "Environment production ends the rollout of web-42; no release was stable before it"
        );
        rollout(&mut environment).doing = Doing::Ended;
        let said = back(&environment, None).unwrap_err().message;
        assert!(said.contains("nothing to undo"), "one that ended: {said}");
    }

    #[test]
    fn undo_of_what_goes_back_already_is_refused_as_the_operator_would_ignore_it() {
        for doing in [Doing::RollingBack, Doing::AfterRollback] {
            let mut environment = canary();
            rollout(&mut environment).doing = doing;
            let failure = back(&environment, None).unwrap_err();
            assert_eq!(failure.exit, crate::exit::Exit::Usage);
            assert!(
                failure.message.contains("goes back from web-42 already"),
                "{failure}"
            );
        }
        let mut environment = canary();
        rollout(&mut environment).straight = true;
        let mut promotion: Promotion = serde_json::from_value(serde_json::json!({
            "apiVersion": "dcanary.dev/v1alpha1", "kind": "Promotion",
            "metadata": {"name": "web-42-aaaaa", "namespace": "shop", "uid": "uid-web-42-aaaaa"},
            "spec": {"environmentRef": {"name": "production"}, "releaseRef": {"name": "web-42"}, "undo": true},
        }))
        .unwrap();
        let said = back(&environment, Some(&promotion)).unwrap_err().message;
        assert!(said.contains("goes back to web-42 already (undo)"), "{said}");
        let said = back(&environment, None).unwrap();
        assert!(said.ends_with("(its Promotion cannot be read)"), "{said}");
        // one that a person asked for otherwise, or that is another one, is ended
        promotion.spec.undo = false;
        assert!(back(&environment, Some(&promotion)).is_ok());
        promotion.spec.undo = true;
        promotion.metadata.uid = Some("another".to_owned());
        assert!(back(&environment, Some(&promotion)).is_ok());
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

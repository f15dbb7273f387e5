//! A Decision as it is created.

use std::time::Duration;

use dcanary_crds::{
    Approval, DecidedBy, Decision, DecisionSpec, DecisionTarget, Environment, Verb, release::DecidedKind,
};
use jiff::{SignedDuration, Timestamp};
use kube::{Api, ResourceExt as _, api::PostParams};

use crate::{
    args::{Format, Why},
    cluster::{Cluster, who::Caller},
    cmd::run::generated,
    exit::{Exit, Failure},
    output::{machine, note, print},
};

/// Groups that a Decision may name.
const GROUPS: usize = 50;

/// What a Decision is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The object.
    pub target: DecisionTarget,
    /// Its namespace, where the Decision is created.
    pub namespace: String,
    /// Groups that may approve there, as far as is known.
    pub groups: Option<Vec<String>>,
    /// Name of the Environment.
    pub environment: String,
    /// Namespace of the Environment.
    pub place: String,
}

impl About {
    /// An Environment, and a release by its identity there.
    pub fn environment(found: &Environment, identity: Option<String>) -> Self {
        Self {
            target: DecisionTarget {
                kind: DecidedKind::Environment,
                name: found.name_any(),
                uid: found.uid().unwrap_or_default(),
                digest: identity,
            },
            namespace: found.namespace().unwrap_or_default(),
            groups: Some(groups_of(found.spec.approval.as_ref())),
            environment: found.name_any(),
            place: found.namespace().unwrap_or_default(),
        }
    }
}

/// The groups of an approval rule; none without a rule.
pub fn groups_of(rule: Option<&Approval>) -> Vec<String> {
    rule.map(|rule| rule.groups.clone()).unwrap_or_default()
}

/// Creates it and says what comes of it.
pub async fn create(
    cluster: &Cluster,
    about: &About,
    verb: Verb,
    caller: &Caller,
    why: &Why,
    format: Option<Format>,
) -> Result<Exit, Failure> {
    let wanted = build(about, verb, caller, why, Timestamp::now())?;
    let decisions: Api<Decision> = Api::namespaced(cluster.client.clone(), &about.namespace);
    let made = decisions
        .create(&PostParams::default(), &wanted)
        .await
        .map_err(|source| {
            let what = format!("Decision {}", wanted.name_any());
            cluster.explain_at(&source, &what, &about.namespace, "kubectl get ddec -A")
        })?;
    let name = made.name_any();
    match format {
        Some(format @ (Format::Json | Format::Yaml)) => print(&machine(&made, format)?),
        Some(_) => print(&format!("decision.dcanary.dev/{name}\n")),
        None => {
            print(&format!("{name}\n"));
            note(&said(about, verb, &caller.username));
        }
    }
    Ok(Exit::Succeeded)
}

/// The Decision: pure but for the letters of its name.
fn build(about: &About, verb: Verb, caller: &Caller, why: &Why, now: Timestamp) -> Result<Decision, Failure> {
    Ok(Decision::new(
        &generated(
            &format!("{}-{}", about.target.name, verb.word()),
            &mut rand::rng(),
        ),
        DecisionSpec {
            target: about.target.clone(),
            verb,
            by: DecidedBy {
                username: caller.username.clone(),
                groups: groups(about, caller),
            },
            reason: why.reason.clone(),
            expires_at: why.expires.map(|after| later(now, after)).transpose()?,
        },
    ))
}

/// The caller's groups that matter: those that may approve, or all but the cluster's own where that is not known.
fn groups(about: &About, caller: &Caller) -> Vec<String> {
    let matters = |group: &&String| match &about.groups {
        Some(named) => named.contains(group),
        None => !group.starts_with("system:"),
    };
    caller
        .groups
        .iter()
        .filter(matters)
        .take(GROUPS)
        .cloned()
        .collect()
}

fn later(now: Timestamp, after: Duration) -> Result<Timestamp, Failure> {
    SignedDuration::try_from(after)
        .ok()
        .and_then(|after| now.checked_add(after).ok())
        .ok_or_else(|| Failure::usage("--expires is too far away: give hours or days, for instance 24h"))
}

fn said(about: &About, verb: Verb, by: &str) -> String {
    let kind = match about.target.kind {
        DecidedKind::Promotion => "Promotion",
        DecidedKind::Environment => "Environment",
        DecidedKind::PipelineRun => "run",
    };
    format!(
        "{by} decided: {} {kind} {} in namespace {}\n  what comes of it: dcanary get env {} -n {} -w",
        verb.word(),
        about.target.name,
        about.namespace,
        about.environment,
        about.place
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(groups: Option<&[&str]>) -> About {
        About {
            target: DecisionTarget {
                kind: DecidedKind::Promotion,
                name: "web-42-aaaaa".to_owned(),
                uid: "uid-1".to_owned(),
                digest: Some("sha256:42".to_owned()),
            },
            namespace: "shop".to_owned(),
            groups: groups.map(|all| all.iter().map(|one| (*one).to_owned()).collect()),
            environment: "production".to_owned(),
            place: "live".to_owned(),
        }
    }

    fn bo() -> Caller {
        Caller {
            username: "bo".to_owned(),
            groups: ["sre", "dev", "system:authenticated"].map(str::to_owned).into(),
        }
    }

    #[test]
    fn a_decision_is_for_exactly_what_was_looked_at_and_by_the_caller() {
        let why = Why {
            reason: Some("tested".to_owned()),
            expires: Some(Duration::from_secs(3_600)),
        };
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let made = build(&about(Some(&["sre", "ops"])), Verb::Approve, &bo(), &why, now).unwrap();
        assert_eq!(made.spec.target, about(None).target);
        assert_eq!(made.spec.by.username, "bo");
        assert_eq!(made.spec.by.groups, ["sre"]);
        assert_eq!(
            made.spec.expires_at,
            Some("2026-03-01T13:00:00Z".parse().unwrap())
        );
        assert!(made.name_any().starts_with("web-42-aaaaa-approve-"));
    }

    #[test]
    fn the_next_command_can_be_copied_from_any_namespace() {
        let said = said(&about(None), Verb::Approve, "bo");
        assert!(said.contains("in namespace shop\n"), "{said}");
        assert!(said.ends_with("dcanary get env production -n live -w"), "{said}");
    }

    #[test]
    fn where_the_rule_cannot_be_read_all_own_groups_are_named_but_the_clusters() {
        assert_eq!(groups(&about(None), &bo()), ["dev", "sre"]);
        assert!(groups(&about(Some(&[])), &bo()).is_empty());
    }

    #[test]
    fn an_expiry_beyond_the_calendar_is_refused() {
        let now = Timestamp::now();
        let failure = later(now, Duration::from_secs(u64::MAX)).unwrap_err();
        assert!(failure.message.contains("--expires"), "{failure}");
    }

    #[test]
    fn the_words_of_verbs_are_those_of_the_api() {
        use Verb as V;
        for verb in [
            V::Approve,
            V::Reject,
            V::Abort,
            V::Pause,
            V::Resume,
            V::Skip,
            V::Undo,
            V::Hold,
            V::Unhold,
            V::Retry,
            V::Override,
        ] {
            assert_eq!(serde_json::to_value(verb).unwrap(), verb.word());
        }
    }
}

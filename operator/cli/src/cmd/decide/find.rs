//! Which promotion is meant: by its name, by the name of its environment, or by how its name begins.

use dcanary_crds::{ConditionStatus, ConditionType, Environment, Promotion, Verb, release::DecidedKind};
use kube::{ResourceExt as _, api::ListParams};

use super::made::{About, groups_of};
use crate::{
    cluster::{Cluster, kind::Named as _},
    exit::Failure,
    output::note,
    render::{environment::under_way, promotions::exit_of},
};

/// A promotion and, where it can be read, its environment.
#[derive(Clone, Debug)]
pub struct Found {
    /// The Promotion.
    pub promotion: Promotion,
    /// Its namespace.
    pub namespace: String,
    /// The Environment.
    pub environment: Option<Environment>,
}

impl Found {
    /// What a Decision about it is about.
    pub fn about(&self, identity: Option<String>) -> About {
        About {
            target: dcanary_crds::DecisionTarget {
                kind: DecidedKind::Promotion,
                name: self.promotion.name_any(),
                uid: self.promotion.uid().unwrap_or_default(),
                digest: identity,
            },
            namespace: self.namespace.clone(),
            groups: self
                .environment
                .as_ref()
                .map(|found| groups_of(found.spec.approval.as_ref())),
            environment: self.promotion.spec.environment_ref.name.clone(),
            place: self
                .promotion
                .spec
                .environment_ref
                .namespace
                .clone()
                .unwrap_or_else(|| self.namespace.clone()),
        }
    }
}

/// The promotion that is meant.
pub async fn promotion(cluster: &Cluster, name: &str, verb: Verb) -> Result<Found, Failure> {
    let here = &cluster.namespace;
    let exact = cluster
        .of::<Promotion>(here)
        .get_opt(name)
        .await
        .map_err(|source| cluster.explain_one::<Promotion>(&source, here, name))?;
    let (promotion, namespace) = match exact {
        Some(found) => (found, here.clone()),
        None => {
            let environment = cluster.of::<Environment>(here).get_opt(name).await.ok().flatten();
            let all = list(cluster).await?;
            let chosen = choose(name, verb, here, environment.as_ref(), &all)?;
            if environment.is_some() {
                note(&format!(
                    "in Environment {name} this is about Promotion {}, {}",
                    chosen.name, chosen.because
                ));
            }
            let found = cluster.read::<Promotion>(&chosen.namespace, &chosen.name).await?;
            (found, chosen.namespace)
        }
    };
    let reference = &promotion.spec.environment_ref;
    let place = reference.namespace.as_ref().unwrap_or(&namespace);
    // Whoever decides may have no right to read it; the operator has.
    let environment = cluster
        .of::<Environment>(place)
        .get_opt(&reference.name)
        .await
        .ok()
        .flatten();
    Ok(Found {
        promotion,
        namespace,
        environment,
    })
}

/// The promotion of an Environment's rollout. Whoever decides may have no right to read it; the operator has.
pub async fn under_way_in(cluster: &Cluster, environment: &Environment) -> Option<Promotion> {
    let rollout = environment.status.as_ref()?.rollout.as_ref()?;
    cluster
        .of::<Promotion>(&rollout.promotion_namespace)
        .get_opt(&rollout.promotion)
        .await
        .ok()
        .flatten()
}

/// Promotions of the namespace into one of its Environments.
pub async fn into(cluster: &Cluster, environment: &str) -> Result<Vec<Promotion>, Failure> {
    let mut all = list(cluster).await?;
    all.retain(|promotion| leads_to(promotion, &cluster.namespace, environment));
    Ok(all)
}

async fn list(cluster: &Cluster) -> Result<Vec<Promotion>, Failure> {
    let here = &cluster.namespace;
    let listed = cluster
        .of::<Promotion>(here)
        .list(&ListParams::default())
        .await
        .map_err(|source| cluster.explain_at(&source, "the list of Promotions", here, Promotion::LISTED))?;
    Ok(listed.items)
}

fn leads_to(promotion: &Promotion, here: &str, environment: &str) -> bool {
    let reference = &promotion.spec.environment_ref;
    reference.name == environment && reference.namespace.as_deref().is_none_or(|place| place == here)
}

/// The promotion that is meant.
#[derive(Debug, PartialEq, Eq)]
struct Chosen {
    namespace: String,
    name: String,
    because: &'static str,
}

/// What a promotion waits for before anything of it is deployed, if that is something that this verb answers.
fn waits_for(promotion: &Promotion, verb: Verb) -> Option<&'static str> {
    let conditions = promotion.status.iter().flat_map(|status| &status.conditions);
    let reason = conditions
        .filter(|condition| condition.kind == ConditionType::Succeeded)
        .find(|condition| condition.status == ConditionStatus::Unknown)
        .map(|condition| condition.reason.as_str())?;
    match (reason, verb) {
        ("WaitingForApproval", Verb::Approve | Verb::Reject) => Some("which waits for approval"),
        ("Frozen", Verb::Override | Verb::Reject) => Some("which waits for the end of a freeze window"),
        _ => None,
    }
}

/// Which promotion is meant: pure. In an Environment the one that waits for just this answer comes before the one under way.
fn choose(
    name: &str,
    verb: Verb,
    here: &str,
    environment: Option<&Environment>,
    all: &[Promotion],
) -> Result<Chosen, Failure> {
    let of = |promotion: &Promotion, because| Chosen {
        namespace: here.to_owned(),
        name: promotion.name_any(),
        because,
    };
    let there = || all.iter().filter(|promotion| leads_to(promotion, here, name));
    if environment.is_some() {
        let waiting: Vec<(&Promotion, &'static str)> = there()
            .filter_map(|promotion| Some((promotion, waits_for(promotion, verb)?)))
            .collect();
        match waiting.as_slice() {
            [(one, because)] => return Ok(of(one, because)),
            [] => {}
            several => return Err(ambiguous(name, verb, several.iter().map(|(one, _)| *one))),
        }
    }
    let rollout = environment
        .and_then(|found| found.status.as_ref()?.rollout.as_ref())
        .filter(|rollout| under_way(rollout));
    if let Some(rollout) = rollout {
        return Ok(Chosen {
            namespace: rollout.promotion_namespace.clone(),
            name: rollout.promotion.clone(),
            because: "which is under way",
        });
    }
    let meant: Vec<&Promotion> = match environment {
        Some(_) => there().collect(),
        None => all
            .iter()
            .filter(|promotion| promotion.name_any().starts_with(name))
            .collect(),
    };
    let meant: Vec<&Promotion> = meant
        .into_iter()
        .filter(|promotion| exit_of(promotion).is_none())
        .collect();
    match (meant.as_slice(), environment) {
        ([one], _) => Ok(of(one, "which has not ended")),
        ([], Some(_)) => Err(Failure::usage(format!(
            "Environment {name} of namespace {here} has no promotion under way: nothing to {}; see `dcanary get promotions --env {name}`",
            verb.word()
        ))),
        ([], None) => Err(Failure::cannot_tell(format!(
            "neither a Promotion nor an Environment of namespace {here} is called {name}, and no promotion under way begins so; see `{}` for all",
            Promotion::LISTED
        ))),
        (several, _) => Err(ambiguous(name, verb, several.iter().copied())),
    }
}

fn ambiguous<'a>(name: &str, verb: Verb, several: impl Iterator<Item = &'a Promotion>) -> Failure {
    let names: Vec<String> = several
        .map(|one| format!("{} (Release {})", one.name_any(), one.spec.release_ref.name))
        .collect();
    Failure::usage(format!(
        "`{name}` may be any of {}: name the promotion to {}",
        names.join(", "),
        verb.word()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promotions() -> Vec<Promotion> {
        let all: Vec<serde_json::Value> =
            serde_saphyr::from_str(include_str!("../../render/fixtures/promotions.yaml")).unwrap();
        all.into_iter()
            .map(|one| serde_json::from_value(one).unwrap())
            .collect()
    }

    fn production() -> Environment {
        serde_saphyr::from_str(include_str!("../../render/fixtures/environment_canary.yaml")).unwrap()
    }

    fn chosen(name: &str, environment: Option<&Environment>) -> Result<(String, String), String> {
        choose(name, Verb::Abort, "shop", environment, &promotions())
            .map(|chosen| (chosen.namespace, chosen.name))
            .map_err(|failure| failure.message)
    }

    /// `web-43-fffff` and further ones wait, each for its reason, while `web-42-aaaaa` is under way.
    fn while_waiting(verb: Verb, reasons: &[&str]) -> Result<Chosen, Failure> {
        let mut all = promotions();
        let mut waiting = all.pop().unwrap();
        for (number, reason) in reasons.iter().enumerate() {
            waiting.metadata.name = Some(format!("waiting-{number}"));
            waiting.status = serde_json::from_value(serde_json::json!({"conditions": [{
                "type": "Succeeded", "status": "Unknown", "reason": reason, "message": "",
                "lastTransitionTime": "2026-03-01T12:09:00Z",
            }]}))
            .unwrap();
            all.push(waiting.clone());
        }
        choose("production", verb, "shop", Some(&production()), &all)
    }

    #[test]
    fn an_answer_goes_to_the_promotion_that_waits_for_it_and_not_to_the_one_under_way() {
        let named = |verb, reasons: &[&str]| while_waiting(verb, reasons).unwrap().name;
        assert_eq!(named(Verb::Approve, &["WaitingForApproval"]), "waiting-0");
        assert_eq!(named(Verb::Reject, &["WaitingForApproval"]), "waiting-0");
        assert_eq!(named(Verb::Reject, &["Frozen"]), "waiting-0");
        assert_eq!(
            named(Verb::Override, &["WaitingForApproval", "Frozen"]),
            "waiting-1"
        );
        assert_eq!(
            named(Verb::Approve, &["WaitingForSource", "WaitingForApproval"]),
            "waiting-1"
        );
        // everything else is about what is under way
        assert_eq!(named(Verb::Abort, &["WaitingForApproval"]), "web-42-aaaaa");
        assert_eq!(named(Verb::Pause, &["Frozen"]), "web-42-aaaaa");
        // and so is an answer that nothing waits for
        assert_eq!(named(Verb::Reject, &["WaitingForSource"]), "web-42-aaaaa");
        assert_eq!(named(Verb::Override, &["WaitingForApproval"]), "web-42-aaaaa");
    }

    #[test]
    fn when_several_wait_for_an_answer_they_are_listed_and_none_is_chosen() {
        let failure = while_waiting(Verb::Reject, &["WaitingForApproval", "Frozen"]).unwrap_err();
        assert_eq!(failure.exit, crate::exit::Exit::Usage);
        assert!(
            failure.message.contains(
                "waiting-0 (Release web-43), waiting-1 (Release web-43): name the promotion to reject"
            ),
            "{failure}"
        );
    }

    #[test]
    fn the_name_of_an_environment_means_the_rollout_under_way() {
        let mut environment = production();
        let found = chosen("production", Some(&environment)).unwrap();
        assert_eq!(found, ("shop".to_owned(), "web-42-aaaaa".to_owned()));
        environment.status = None;
        let said = chosen("production", Some(&environment)).unwrap_err();
        assert!(
            said.contains(
                "web-42-aaaaa (Release web-42), web-43-fffff (Release web-43): name the promotion to abort"
            ),
            "{said}"
        );
    }

    #[test]
    fn the_beginning_of_a_name_is_enough_where_it_means_one() {
        assert_eq!(chosen("web-42", None).unwrap().1, "web-42-aaaaa");
        let said = chosen("web-", None).unwrap_err();
        assert!(said.starts_with("`web-` may be any of "), "{said}");
        let said = chosen("web-41", None).unwrap_err();
        assert!(
            said.contains("neither a Promotion nor an Environment"),
            "ended ones are not meant: {said}"
        );
    }

    #[test]
    fn an_environment_without_a_promotion_says_that_there_is_nothing_to_do() {
        let mut environment = production();
        environment.status = None;
        let said = choose("staging", Verb::Pause, "shop", Some(&environment), &promotions())
            .unwrap_err()
            .message;
        assert!(said.contains("nothing to pause"), "{said}");
    }
}

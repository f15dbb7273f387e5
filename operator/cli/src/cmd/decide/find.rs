//! Which promotion is meant: by its name, by the name of its environment, or by how its name begins.

use dcanary_crds::{Environment, Promotion, Verb, release::DecidedKind};
use kube::{ResourceExt as _, api::ListParams};

use super::made::{About, groups_of};
use crate::{
    cluster::{Cluster, kind::Named as _},
    exit::Failure,
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
            let (there, chosen) = choose(name, verb, here, environment.as_ref(), &all)?;
            (cluster.read::<Promotion>(&there, &chosen).await?, there)
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

/// Namespace and name of the promotion that is meant: pure.
fn choose(
    name: &str,
    verb: Verb,
    here: &str,
    environment: Option<&Environment>,
    all: &[Promotion],
) -> Result<(String, String), Failure> {
    let verb = verb.word();
    let rollout = environment
        .and_then(|found| found.status.as_ref()?.rollout.as_ref())
        .filter(|rollout| under_way(rollout));
    if let Some(rollout) = rollout {
        return Ok((rollout.promotion_namespace.clone(), rollout.promotion.clone()));
    }
    let meant: Vec<&Promotion> = all
        .iter()
        .filter(|promotion| exit_of(promotion).is_none())
        .filter(|promotion| match environment {
            Some(_) => leads_to(promotion, here, name),
            None => promotion.name_any().starts_with(name),
        })
        .collect();
    match (meant.as_slice(), environment) {
        ([one], _) => Ok((here.to_owned(), one.name_any())),
        ([], Some(_)) => Err(Failure::usage(format!(
            "Environment {name} of namespace {here} has no promotion under way: nothing to {verb}; see `dcanary get promotions --env {name}`"
        ))),
        ([], None) => Err(Failure::cannot_tell(format!(
            "neither a Promotion nor an Environment of namespace {here} is called {name}, and no promotion under way begins so; see `{}` for all",
            Promotion::LISTED
        ))),
        (several, _) => {
            let names: Vec<String> = several
                .iter()
                .map(|one| format!("{} (Release {})", one.name_any(), one.spec.release_ref.name))
                .collect();
            Err(Failure::usage(format!(
                "`{name}` may be any of {}: name the promotion to {verb}",
                names.join(", ")
            )))
        }
    }
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
        choose(name, Verb::Abort, "shop", environment, &promotions()).map_err(|failure| failure.message)
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

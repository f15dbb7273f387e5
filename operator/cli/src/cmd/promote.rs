//! `promote ENVIRONMENT RELEASE`

use dcanary_crds::{Environment, EnvironmentRef, Promotion, PromotionSpec, Release, ReleaseRef};
use kube::api::PostParams;

use super::{get::line_of, run::generated, watch};
use crate::{
    args::{Format, Global, PromoteArgs},
    cluster::Cluster,
    exit::{Exit, Failure},
    output::{machine, note, print},
    render::promotions,
};

/// Creates the Promotion and, if asked, waits for its end.
pub async fn run(global: &Global, args: &PromoteArgs) -> Result<Exit, Failure> {
    let format = global.form("dcanary promote", &[Format::Json, Format::Yaml, Format::Name])?;
    let cluster = Cluster::connect(global).await?;
    let here = cluster.namespace.clone();
    let from = args.from_namespace.clone().unwrap_or_else(|| here.clone());
    let environment: Environment = cluster.read(&here, &args.environment).await?;
    allowed(&environment, &here, &from)?;
    let _: Release = cluster.read(&from, &args.release).await?;
    let caller = cluster.whoami().await?;
    let wanted = build(args, &here, &from, caller.username);
    let name = wanted.metadata.name.clone().unwrap_or_default();
    let made = cluster
        .of::<Promotion>(&from)
        .create(&PostParams::default(), &wanted)
        .await
        .map_err(|source| cluster.explain_one::<Promotion>(&source, &from, &name))?;
    match format {
        Some(format @ (Format::Json | Format::Yaml)) if !args.wait => print(&machine(&made, format)?),
        Some(Format::Json | Format::Yaml) => {}
        Some(Format::Name) => print(&line_of(&made)),
        _ => {
            print(&format!("{name}\n"));
            for warning in warnings(&environment, &args.release) {
                note(&warning);
            }
            note(&started(args, &name, &from, global.namespace.as_deref()));
        }
    }
    if !args.wait {
        return Ok(Exit::Succeeded);
    }
    let ended: Promotion = watch::wait(&cluster, &from, &name, args.timeout).await?;
    if let Some(format @ (Format::Json | Format::Yaml)) = format {
        print(&machine(&ended, format)?);
    }
    if format.is_none() {
        note(&outcome(&ended));
    }
    Ok(promotions::exit_of(&ended).unwrap_or(Exit::CannotTell))
}

/// How a promotion ended, in one line.
fn outcome(ended: &Promotion) -> String {
    let name = ended.metadata.name.as_deref().unwrap_or_default();
    let said = ended
        .status
        .iter()
        .flat_map(|status| &status.conditions)
        .find(|condition| condition.kind == dcanary_crds::ConditionType::Succeeded)
        .map(|condition| condition.message.as_str())
        .unwrap_or_default();
    let word = promotions::mark(ended).2;
    crate::render::branches::joined([format!("{name}: {word}").as_str(), said], ": ")
}

/// Whether the Environment takes promotions from there: what the operator would refuse later is refused now.
fn allowed(environment: &Environment, here: &str, from: &str) -> Result<(), Failure> {
    let listed = environment
        .spec
        .allowed_from
        .as_ref()
        .is_some_and(|allowed| allowed.namespaces.iter().any(|one| one == from));
    if here == from || listed {
        return Ok(());
    }
    let name = environment.metadata.name.as_deref().unwrap_or_default();
    Err(Failure::usage(format!(
        "Environment {name} of namespace {here} takes no promotions from namespace {from}: list it in the Environment's spec.allowedFrom.namespaces"
    )))
}

/// What will probably keep it from being deployed.
fn warnings(environment: &Environment, release: &str) -> Vec<String> {
    let name = environment.metadata.name.as_deref().unwrap_or_default();
    let Some(status) = &environment.status else {
        return Vec::new();
    };
    let mut said: Vec<String> = status
        .held
        .iter()
        .filter(|held| held.release.as_deref() == Some(release))
        .map(|held| {
            format!(
                "Release {release} is held in Environment {name} ({}): it will be refused unless `dcanary unhold {name} {release}` lets it in",
                held.reason
            )
        })
        .collect();
    if status
        .stable
        .as_ref()
        .is_some_and(|stable| stable.release == release)
    {
        said.push(format!(
            "Release {release} is what Environment {name} serves already"
        ));
    }
    said
}

fn build(args: &PromoteArgs, here: &str, from: &str, by: String) -> Promotion {
    let name = generated(&args.release, &mut rand::rng());
    let mut promotion = Promotion::new(
        &name,
        PromotionSpec {
            environment_ref: EnvironmentRef {
                name: args.environment.clone(),
                namespace: (here != from).then(|| here.to_owned()),
            },
            release_ref: ReleaseRef {
                name: args.release.clone(),
            },
            requested_by: Some(by),
            reason: args.reason.clone(),
            undo: args.undo,
            identity: None,
        },
    );
    promotion.status = None;
    promotion
}

/// What a person does next. The name alone is on standard output, for scripts.
fn started(args: &PromoteArgs, name: &str, from: &str, namespace: Option<&str>) -> String {
    // Without -n the kubeconfig's namespace is used again.
    let flag = |namespace: Option<&str>| namespace.map(|name| format!(" -n {name}")).unwrap_or_default();
    let there = args.from_namespace.as_deref().or(namespace);
    format!(
        "Promotion {name} is created in namespace {from}\n  watch it:      dcanary get env {}{} -w\n  its outcome:   dcanary get promotions {name}{}\n  stop it:       dcanary abort {name}{}",
        args.environment,
        flag(namespace),
        flag(there),
        flag(there),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use dcanary_crds::AllowedFrom;

    fn args(from: Option<&str>) -> PromoteArgs {
        PromoteArgs {
            environment: "production".to_owned(),
            release: "web-42".to_owned(),
            reason: Some("\"; $(id)".to_owned()),
            undo: true,
            from_namespace: from.map(str::to_owned),
            wait: false,
            timeout: None,
        }
    }

    fn production() -> Environment {
        serde_saphyr::from_str(include_str!("../render/fixtures/environment_rolled_back.yaml")).unwrap()
    }

    #[test]
    fn a_promotion_names_the_caller_and_what_was_typed() {
        let made = build(&args(None), "shop", "shop", "ada".to_owned());
        assert_eq!(made.spec.requested_by.as_deref(), Some("ada"));
        assert_eq!(made.spec.environment_ref.namespace, None);
        assert_eq!(made.spec.reason.as_deref(), Some("\"; $(id)"));
        assert!(made.spec.undo && made.metadata.name.unwrap().starts_with("web-42-"));
        let other = build(&args(Some("builds")), "shop", "builds", "ada".to_owned());
        assert_eq!(other.spec.environment_ref.namespace.as_deref(), Some("shop"));
    }

    #[test]
    fn another_namespace_must_be_allowed_by_the_environment() {
        let mut environment = production();
        assert_eq!(allowed(&environment, "shop", "shop"), Ok(()));
        let said = allowed(&environment, "shop", "builds").unwrap_err().message;
        assert!(said.contains("spec.allowedFrom.namespaces"), "{said}");
        environment.spec.allowed_from = Some(AllowedFrom {
            namespaces: vec!["builds".to_owned()],
        });
        assert_eq!(allowed(&environment, "shop", "builds"), Ok(()));
    }

    #[test]
    fn a_held_release_is_warned_about_with_the_way_out() {
        let said = warnings(&production(), "web-42");
        assert!(
            said.len() == 1 && said[0].contains("dcanary unhold staging web-42"),
            "{said:?}"
        );
        assert!(warnings(&production(), "web-43").is_empty());
    }

    #[test]
    fn the_next_commands_can_be_copied() {
        let said = started(&args(Some("builds")), "web-42-x", "builds", Some("shop"));
        assert!(said.contains("dcanary get env production -n shop -w\n"), "{said}");
        assert!(said.ends_with("dcanary abort web-42-x -n builds"), "{said}");
        let said = started(&args(None), "web-42-x", "shop", None);
        assert!(said.contains("dcanary get promotions web-42-x\n"), "{said}");
    }
}

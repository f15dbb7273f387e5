//! `get env`, `get releases`, `get promotions`

use dcanary_crds::{Environment, Promotion, Release};
use jiff::Timestamp;
use kube::{Resource, api::ListParams};
use serde::Serialize;

use super::ALL;
use crate::{
    args::{Format, Get, Global},
    cluster::{Cluster, kind::Named},
    cmd::watch,
    exit::{Exit, Failure},
    output::{Style, machine, note, print},
    render::{environment, promotions},
};

/// Shows environments, releases and promotions.
pub async fn run(global: &Global, what: Get, style: Style) -> Result<Exit, Failure> {
    let now = Timestamp::now();
    match what {
        Get::Env {
            name: Some(name),
            watch: true,
        } => {
            let json = global.form("dcanary get env -w", &[Format::Json])?.is_some();
            let cluster = Cluster::connect(global).await?;
            if json {
                watch::tell::<Environment>(&cluster, &name).await
            } else {
                watch::show::<Environment>(&cluster, &name, style).await
            }
        }
        Get::Env { name, .. } => {
            let format = global.form("dcanary get env", &ALL)?;
            let cluster = Cluster::connect(global).await?;
            let tree = name.is_some() && format.is_none();
            let draw = |found: &[Environment], namespaces: bool, wide: bool| match found {
                [one] if tree => environment::tree(one, now, style),
                found => environment::environments(found, namespaces, wide, now, style),
            };
            let hint = "apply one: docs/delivery.md";
            shown(&cluster, name.as_deref(), None, format, |_| true, draw, hint).await
        }
        Get::Releases { name, last } => {
            let format = global.form("dcanary get releases", &ALL)?;
            let cluster = Cluster::connect(global).await?;
            let draw = |found: &[Release], namespaces: bool, wide: bool| {
                promotions::releases(found, namespaces, wide, now)
            };
            let hint = "a pipeline's deploy step makes them, or kubectl: docs/delivery.md";
            shown(&cluster, name.as_deref(), last, format, |_| true, draw, hint).await
        }
        Get::Promotions { name, env, last } => {
            let format = global.form("dcanary get promotions", &ALL)?;
            let cluster = Cluster::connect(global).await?;
            let draw = |found: &[Promotion], namespaces: bool, wide: bool| {
                promotions::promotions(found, namespaces, wide, now, style)
            };
            let wanted = |promotion: &Promotion| {
                env.as_ref()
                    .is_none_or(|env| promotion.spec.environment_ref.name == *env)
            };
            let hint = "start one with `dcanary promote ENVIRONMENT RELEASE`";
            shown(&cluster, name.as_deref(), last, format, wanted, draw, hint).await
        }
        Get::Runs { .. } | Get::Run { .. } => Err(Failure::usage("runs are shown by `dcanary get runs`")),
    }
}

/// Reads one object or lists them, and prints them in the form that was asked for.
async fn shown<K: Named + Serialize>(
    cluster: &Cluster,
    name: Option<&str>,
    last: Option<usize>,
    format: Option<Format>,
    wanted: impl Fn(&K) -> bool,
    draw: impl Fn(&[K], bool, bool) -> String,
    hint: &str,
) -> Result<Exit, Failure> {
    let found: Vec<K> = match name {
        Some(name) => vec![cluster.read(&cluster.namespace, name).await?],
        None => {
            let listed = cluster
                .asked::<K>()
                .list(&ListParams::default())
                .await
                .map_err(|source| {
                    let what = format!("the list of {}s", K::WORD);
                    cluster.explain_at(&source, &what, &cluster.namespace, K::LISTED)
                })?;
            promotions::sorted(listed.items.into_iter().filter(|one| wanted(one)).collect(), last)
        }
    };
    if found.is_empty() && matches!(format, Some(Format::Wide) | None) {
        let place = if cluster.all {
            "the cluster".to_owned()
        } else {
            format!("namespace {}", cluster.namespace)
        };
        note(&format!("no {}s in {place}; {hint}", K::WORD));
        return Ok(Exit::Succeeded);
    }
    print(&printed(&found, name.is_some(), format, cluster.all, draw)?);
    Ok(Exit::Succeeded)
}

fn printed<K: Named + Serialize>(
    found: &[K],
    single: bool,
    format: Option<Format>,
    namespaces: bool,
    draw: impl Fn(&[K], bool, bool) -> String,
) -> Result<String, Failure> {
    match (format, found) {
        (Some(format @ (Format::Json | Format::Yaml)), [one]) if single => machine(one, format),
        (Some(format @ (Format::Json | Format::Yaml)), found) => {
            let value = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": found});
            machine(&value, format)
        }
        (Some(Format::Name), found) => Ok(found.iter().map(line_of).collect()),
        (Some(Format::Wide) | None, found) => Ok(draw(found, namespaces, format.is_some())),
    }
}

/// `kind.group/name`, as kubectl prints it.
pub fn line_of<K: Named>(object: &K) -> String {
    format!(
        "{}.dcanary.dev/{}\n",
        K::kind(&()).to_lowercase(),
        Resource::meta(object).name.as_deref().unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Vec<Environment> {
        [
            include_str!("../../render/fixtures/environment_canary.yaml"),
            include_str!("../../render/fixtures/environment_rolled_back.yaml"),
        ]
        .iter()
        .map(|text| serde_saphyr::from_str(text).unwrap())
        .collect()
    }

    fn shown(found: &[Environment], single: bool, format: Option<Format>) -> String {
        printed(found, single, format, false, |all, _, wide| {
            format!("{} {wide}", all.len())
        })
        .unwrap()
    }

    #[test]
    fn one_environment_and_a_list_are_printed_in_every_form() {
        let all = found();
        let json: serde_json::Value = serde_json::from_str(&shown(&all, false, Some(Format::Json))).unwrap();
        assert_eq!(
            (json["kind"].as_str(), json["items"][0]["kind"].as_str()),
            (Some("List"), Some("Environment"))
        );
        let yaml: serde_json::Value =
            serde_saphyr::from_str(&shown(&all, false, Some(Format::Yaml))).unwrap();
        assert_eq!(yaml, json);
        let one: serde_json::Value =
            serde_json::from_str(&shown(&all[..1], true, Some(Format::Json))).unwrap();
        assert_eq!(one["metadata"]["name"], "production");
        assert_eq!(
            shown(&all, false, Some(Format::Name)),
            "environment.dcanary.dev/production\nenvironment.dcanary.dev/staging\n"
        );
        assert_eq!(shown(&all, false, Some(Format::Wide)), "2 true");
        assert_eq!(shown(&all, false, None), "2 false");
    }

    #[test]
    fn a_list_with_one_environment_stays_a_list() {
        let all = found();
        let json: serde_json::Value =
            serde_json::from_str(&shown(&all[..1], false, Some(Format::Json))).unwrap();
        assert_eq!(json["kind"], "List");
    }
}

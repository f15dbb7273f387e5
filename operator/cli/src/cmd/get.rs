//! `get runs` and `get run NAME`; environments, releases and promotions are in `get/delivery.rs`.

mod delivery;

pub(super) use delivery::line_of;

use dcanary_crds::PipelineRun;
use jiff::Timestamp;
use kube::{Api, api::ListParams};

use super::watch;
use crate::{
    args::{Format, Get, Global},
    cluster::Cluster,
    exit::{Exit, Failure},
    output::{Style, machine, note, print},
    render::{runs, tree},
};

const ALL: [Format; 4] = [Format::Json, Format::Yaml, Format::Wide, Format::Name];

/// Shows runs, environments, releases and promotions.
pub async fn run(global: &Global, what: Get) -> Result<Exit, Failure> {
    let style = Style::detect(global);
    match what {
        Get::Runs { last } => {
            let format = global.form("dcanary get runs", &ALL)?;
            list(&Cluster::connect(global).await?, format, last, style).await
        }
        Get::Run { name, watch: true } => {
            let json = global.form("dcanary get run -w", &[Format::Json])?.is_some();
            let cluster = Cluster::connect(global).await?;
            if json {
                watch::tell::<PipelineRun>(&cluster, &name).await
            } else {
                watch::show::<PipelineRun>(&cluster, &name, style).await
            }
        }
        Get::Run { name, watch: false } => {
            let format = global.form("dcanary get run", &ALL)?;
            let run = Cluster::connect(global).await?.run(&name).await?;
            print(&one(&run, format, Timestamp::now(), style)?);
            Ok(Exit::Succeeded)
        }
        other => delivery::run(global, other, style).await,
    }
}

fn one(run: &PipelineRun, format: Option<Format>, now: Timestamp, style: Style) -> Result<String, Failure> {
    Ok(match format {
        Some(format @ (Format::Json | Format::Yaml)) => machine(run, format)?,
        Some(Format::Name) => {
            format!(
                "pipelinerun.dcanary.dev/{}\n",
                run.metadata.name.as_deref().unwrap_or_default()
            )
        }
        Some(Format::Wide) => runs::runs(std::slice::from_ref(run), true, true, now, style),
        None => tree::tree(run, now, style),
    })
}

async fn list(
    cluster: &Cluster,
    format: Option<Format>,
    last: Option<usize>,
    style: Style,
) -> Result<Exit, Failure> {
    let api: Api<PipelineRun> = if cluster.all {
        Api::all(cluster.client.clone())
    } else {
        cluster.runs()
    };
    let found = api
        .list(&ListParams::default())
        .await
        .map_err(|source| cluster.explain(&source, "the list of runs"))?;
    let found = runs::sorted(found.items, last);
    if found.is_empty() && matches!(format, Some(Format::Wide) | None) {
        let place = if cluster.all {
            "the cluster".to_owned()
        } else {
            format!("namespace {}", cluster.namespace)
        };
        note(&format!(
            "no runs in {place}; start one with `dcanary run PIPELINE`"
        ));
    } else {
        print(&many(&found, format, cluster.all, Timestamp::now(), style)?);
    }
    Ok(Exit::Succeeded)
}

fn many(
    found: &[PipelineRun],
    format: Option<Format>,
    namespaces: bool,
    now: Timestamp,
    style: Style,
) -> Result<String, Failure> {
    match format {
        Some(format @ (Format::Json | Format::Yaml)) => {
            let value = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": found});
            machine(&value, format)
        }
        Some(Format::Name) => found.iter().map(|run| one(run, format, now, style)).collect(),
        Some(Format::Wide) | None => Ok(runs::runs(found, namespaces, format.is_some(), now, style)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tree::fixtures;

    fn found() -> [PipelineRun; 2] {
        [fixtures::failed(), fixtures::running()]
    }

    fn now() -> Timestamp {
        fixtures::at("2026-03-01T12:05:00Z")
    }

    fn names(runs: &[PipelineRun]) -> Vec<String> {
        runs.iter()
            .map(|run| run.metadata.name.clone().unwrap_or_default())
            .collect()
    }

    #[test]
    fn a_list_is_printed_in_every_form() {
        let found = found();
        let shown = |format| many(&found, format, false, now(), Style::PLAIN).unwrap();
        let json: serde_json::Value = serde_json::from_str(&shown(Some(Format::Json))).unwrap();
        assert_eq!(
            (json["kind"].as_str(), json["items"].as_array().map(Vec::len)),
            (Some("List"), Some(2))
        );
        let yaml: serde_json::Value = serde_saphyr::from_str(&shown(Some(Format::Yaml))).unwrap();
        assert_eq!(yaml, json);
        let wanted: String = names(&found)
            .iter()
            .map(|name| format!("pipelinerun.dcanary.dev/{name}\n"))
            .collect();
        assert_eq!(shown(Some(Format::Name)), wanted);
        let (table, wide) = (shown(None), shown(Some(Format::Wide)));
        assert!(table.starts_with("NAME") && !table.contains("COMMIT"), "{table}");
        assert!(wide.starts_with("NAME") && wide.contains("COMMIT"), "{wide}");
    }

    #[test]
    fn one_run_is_printed_in_every_form() {
        let run = fixtures::failed();
        let shown = |format| one(&run, format, now(), Style::PLAIN).unwrap();
        let json: serde_json::Value = serde_json::from_str(&shown(Some(Format::Json))).unwrap();
        assert_eq!(json["kind"], "PipelineRun");
        let yaml: serde_json::Value = serde_saphyr::from_str(&shown(Some(Format::Yaml))).unwrap();
        assert_eq!(yaml, json);
        assert_eq!(shown(Some(Format::Name)), "pipelinerun.dcanary.dev/lz4-x2k9d\n");
        assert!(shown(Some(Format::Wide)).contains("0123456789ab"));
        assert_eq!(shown(None), tree::tree(&run, now(), Style::PLAIN));
    }
}

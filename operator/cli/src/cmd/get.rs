//! `get runs` and `get run NAME`

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

/// Shows runs, or one.
pub async fn run(global: &Global, what: Get) -> Result<Exit, Failure> {
    let format = global.format()?;
    let cluster = Cluster::connect(global).await?;
    match what {
        Get::Runs { last } => list(&cluster, format, last, Style::detect(global)).await,
        Get::Run { name, watch: true } => watch::show(&cluster, &name, Style::detect(global)).await,
        Get::Run { name, watch: false } => {
            let run = cluster.run(&name).await?;
            print(&one(&run, format, Style::detect(global))?);
            Ok(Exit::Succeeded)
        }
    }
}

fn one(run: &PipelineRun, format: Option<Format>, style: Style) -> Result<String, Failure> {
    Ok(match format {
        Some(format @ (Format::Json | Format::Yaml)) => machine(run, format)?,
        Some(Format::Name) => {
            format!(
                "pipelinerun.dcanary.dev/{}\n",
                run.metadata.name.as_deref().unwrap_or_default()
            )
        }
        Some(Format::Wide) => runs::runs(std::slice::from_ref(run), true, true, Timestamp::now(), style),
        None => tree::tree(run, Timestamp::now(), style),
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
    match format {
        Some(format @ (Format::Json | Format::Yaml)) => {
            let value = serde_json::json!({
                "apiVersion": "v1",
                "kind": "List",
                "items": found,
            });
            print(&machine(&value, format)?);
        }
        Some(Format::Name) => {
            for run in &found {
                print(&one(run, format, style)?);
            }
        }
        Some(Format::Wide) | None if found.is_empty() => {
            let place = if cluster.all {
                "the cluster".to_owned()
            } else {
                format!("namespace {}", cluster.namespace)
            };
            note(&format!("no runs in {place}"));
        }
        Some(Format::Wide) | None => {
            print(&runs::runs(
                &found,
                cluster.all,
                format.is_some(),
                Timestamp::now(),
                style,
            ));
        }
    }
    Ok(Exit::Succeeded)
}

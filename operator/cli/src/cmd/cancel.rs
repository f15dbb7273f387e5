//! `cancel NAME`

use kube::api::{Patch, PatchParams};

use super::watch::exit_of;
use crate::{
    args::{CancelArgs, Format, Global},
    cluster::Cluster,
    exit::{Exit, Failure},
    output::{machine, note, print},
};

/// Asks the operator to stop the run.
pub async fn run(global: &Global, args: &CancelArgs) -> Result<Exit, Failure> {
    let format = global.form("dcanary cancel", &[Format::Json, Format::Yaml, Format::Name])?;
    let cluster = Cluster::connect(global).await?;
    let name = &args.name;
    let run = cluster.run(name).await?;
    if exit_of(&run).is_some() {
        note(&format!("run {name} has ended already"));
        return Ok(Exit::Succeeded);
    }
    let patch = serde_json::json!({"spec": {"cancel": true}});
    let cancelled = cluster
        .runs()
        .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map_err(|source| cluster.explain(&source, &format!("run {name}")))?;
    match format {
        Some(format @ (Format::Json | Format::Yaml)) => print(&machine(&cancelled, format)?),
        Some(Format::Name) => print(&format!("pipelinerun.dcanary.dev/{name}\n")),
        _ => {
            note(&format!(
                "run {name} is being cancelled; its `finally` stages still run, and when only they are left it ends as it would have: `kubectl delete dpr {name} -n {}` stops them too",
                cluster.namespace
            ));
        }
    }
    Ok(Exit::Succeeded)
}

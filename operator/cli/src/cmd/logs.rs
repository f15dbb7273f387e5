//! `logs NAME [STAGE] [-f]`
//!
//! The server has the logs of every attempt, also when its Pod is gone. Where it cannot be reached, the kubelet's own
//! copy is shown instead, and said so.

mod pods;
mod printed;
mod stream;

use std::collections::BTreeMap;

use dcanary_crds::PipelineRun;

use crate::{
    args::{Global, LogsArgs},
    cluster::Cluster,
    exit::{Exit, Failure},
    output::{Style, note, print},
    render::logs,
    server,
};

use printed::Printed;
use stream::PATIENCE;

/// Prints the logs.
pub async fn run(global: &Global, args: &LogsArgs) -> Result<Exit, Failure> {
    global.form("dcanary logs", &[])?;
    let cluster = Cluster::connect(global).await?;
    let run = cluster.run(&args.name).await?;
    let stages: Vec<String> = run
        .status
        .iter()
        .flat_map(|status| &status.stages)
        .map(|stage| stage.name.clone())
        .collect();
    if let Some(stage) = args
        .stage
        .as_ref()
        .filter(|stage| !stages.is_empty() && !stages.contains(stage))
    {
        let near = dcanary_core::problem::suggestion(stage, stages.iter().map(String::as_str));
        return Err(Failure::usage(format!(
            "run {} has no stage `{stage}`{near}; it has {}",
            args.name,
            stages.join(", ")
        )));
    }
    let style = Style::detect(global);
    let mut printed = Printed::default();
    match from_server(&cluster, &run, args, style, &mut printed).await {
        Ok(()) => {
            if args.follow && printed.lines() == 0 {
                note(&format!(
                    "nothing was written; see `dcanary get run {}` for what became of it",
                    args.name
                ));
            }
        }
        // Printing the Pods' logs after half of the server's would show lines twice.
        Err(failure) if printed.lines() > 0 => {
            return Err(Failure::cannot_tell(format!(
                "this is not the whole log: {failure}"
            )));
        }
        Err(failure) => {
            let later = if args.follow {
                "; what starts later is not followed"
            } else {
                ""
            };
            note(&format!(
                "the server's logs cannot be had ({failure}); showing those of the Pods that still exist{later}"
            ));
            pods::show(&cluster, &run, args, style).await?;
        }
    }
    Ok(Exit::Succeeded)
}

async fn from_server(
    cluster: &Cluster,
    run: &PipelineRun,
    args: &LogsArgs,
    style: Style,
    printed: &mut Printed,
) -> Result<(), Failure> {
    let uid = run.metadata.uid.clone().unwrap_or_default();
    let path = path(&cluster.namespace, &uid, args);
    let mut tones = BTreeMap::new();
    stream::show(
        async || server::lines(cluster, &path).await,
        args.follow.then_some(PATIENCE),
        printed,
        |line| print(&logs::line(line, &mut tones, style)),
    )
    .await
}

/// Where the server has the logs: pure. With the run's name it sees the end of one that never had an attempt.
fn path(namespace: &str, uid: &str, args: &LogsArgs) -> String {
    let stage = args
        .stage
        .as_ref()
        .map_or_else(String::new, |stage| format!("stage={}&", server::escaped(stage)));
    let (run, follow) = (server::escaped(&args.name), args.follow);
    format!("/v1/namespaces/{namespace}/runs/{uid}/logs?{stage}run={run}&follow={follow}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_told_the_name_of_the_run_with_or_without_a_stage() {
        let args = |stage: Option<&str>, follow| LogsArgs {
            name: "web-1".to_owned(),
            stage: stage.map(str::to_owned),
            follow,
        };
        assert_eq!(
            path("team", "u", &args(None, true)),
            "/v1/namespaces/team/runs/u/logs?run=web-1&follow=true"
        );
        assert_eq!(
            path("team", "u", &args(Some("a&b"), false)),
            "/v1/namespaces/team/runs/u/logs?stage=a%26b&run=web-1&follow=false"
        );
    }
}

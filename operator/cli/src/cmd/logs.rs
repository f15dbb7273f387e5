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
    render::{ending, logs},
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
            if printed.lines() == 0 {
                // what is followed may have ended only now
                let now = if args.follow {
                    cluster.run(&args.name).await.ok()
                } else {
                    None
                };
                let told = never_began(now.as_ref().unwrap_or(&run), args);
                if !told.is_empty() {
                    note(&told.join("\n"));
                } else if args.follow {
                    note(&format!(
                        "nothing was written; see `{}` for what became of it",
                        look(global, args)
                    ));
                }
            }
        }
        // Printing the Pods' logs after half of the server's would show lines twice.
        Err(failure) if printed.lines() > 0 => {
            return Err(Failure::cannot_tell(format!(
                "this is not the whole log: {failure}"
            )));
        }
        // Neither the server nor a Pod can have what was never written.
        Err(_) if !never_began(&run, args).is_empty() => {
            return Err(Failure::cannot_tell(never_began(&run, args).join("\n")));
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
            pods::show(&cluster, &run, args, &look(global, args), style).await?;
        }
    }
    Ok(Exit::Succeeded)
}

/// Why there is no log of what was asked for, where the run says so.
fn never_began(run: &PipelineRun, args: &LogsArgs) -> Vec<String> {
    let status = run.status.as_ref();
    status.map_or_else(Vec::new, |status| {
        ending::never_began(status, args.stage.as_deref())
    })
}

/// The command that shows the run, with the namespace where one was given: without it the kubeconfig's would be used.
fn look(global: &Global, args: &LogsArgs) -> String {
    let flag = global
        .namespace
        .as_ref()
        .map_or_else(String::new, |namespace| format!(" -n {namespace}"));
    format!("dcanary get run {}{flag}", args.name)
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

    #[test]
    fn the_command_that_is_hinted_at_names_the_namespace_that_was_given() {
        let args = LogsArgs {
            name: "m5".to_owned(),
            stage: None,
            follow: false,
        };
        assert_eq!(look(&Global::default(), &args), "dcanary get run m5");
        let named = Global {
            namespace: Some("team".to_owned()),
            ..Global::default()
        };
        let hint = look(&named, &args);
        assert_eq!(hint, "dcanary get run m5 -n team");
        let said = pods::none(
            &PipelineRun::new("m5", dcanary_crds::PipelineRunSpec::default()),
            &args,
            &hint,
        );
        assert!(said.ends_with("see `dcanary get run m5 -n team`"), "{said}");
    }
}

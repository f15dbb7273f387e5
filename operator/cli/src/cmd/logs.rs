//! `logs NAME [STAGE] [-f]`
//!
//! The server has the logs of every attempt, also when its Pod is gone. Where it cannot be reached, the kubelet's own
//! copy is shown instead, and said so.

mod pods;
mod printed;
mod stream;

use std::{
    collections::{BTreeMap, BTreeSet},
    future,
};

use dcanary_crds::{PipelineRun, PipelineRunStatus};
use futures::StreamExt as _;

use super::{verify::RECORDED, watch};
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
    let run = cluster.run_or(&args.name, &traces()).await?;
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
    let done = lines(&cluster, &run, args, style, &mut printed).await;
    // what is followed may have begun or ended only now
    let now = if args.follow && printed.lines() == 0 {
        cluster.run(&args.name).await.ok()
    } else {
        None
    };
    let run = now.as_ref().unwrap_or(&run);
    match done {
        Ok(()) => {
            let told = beside(run, args, printed.lines(), &look(global, args));
            if !told.is_empty() {
                note(&told.join("\n"));
            }
        }
        // Printing the Pods' logs after half of the server's would show lines twice.
        Err(failure) if printed.lines() > 0 => {
            return Err(Failure::cannot_tell(format!(
                "this is not the whole log: {failure}"
            )));
        }
        // Neither the server nor a Pod can have what was never written.
        Err(_) if !said(run, args, ending::never_began).is_empty() => {
            let why = said(run, args, ending::never_began);
            return Err(Failure::cannot_tell(why.join("\n")));
        }
        // Nor what is not written yet.
        Err(failure) if !said(run, args, ending::no_log_yet).is_empty() => {
            let mut why = said(run, args, ending::no_log_yet);
            if args.follow {
                why.push(format!("what comes later is not followed: {failure}"));
            }
            return Err(Failure::cannot_tell(why.join("\n")));
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
            pods::show(&cluster, run, args, &look(global, args), style).await?;
        }
    }
    Ok(Exit::Succeeded)
}

/// Where the traces of a deleted run are: pure.
fn traces() -> String {
    format!("the server keeps its logs for a time, under its UID (docs/protocol.md, Reading); {RECORDED}")
}

/// What the status of a run says of the stages that were asked for.
fn said<'r, T>(
    run: &'r PipelineRun,
    args: &LogsArgs,
    of: impl FnOnce(&'r PipelineRunStatus, Option<&str>) -> Vec<T>,
) -> Vec<T> {
    let status = run.status.as_ref();
    status.map_or_else(Vec::new, |status| of(status, args.stage.as_deref()))
}

/// What the stages wait for that have written nothing yet, as far as the run says so.
fn waiting(run: &PipelineRun, args: &LogsArgs) -> Vec<String> {
    let waiting = said(run, args, ending::waiting);
    waiting.into_iter().map(|(_, line)| line).collect()
}

/// What is said beside so many lines of a log: pure. What is followed was told what it waits for meanwhile.
fn beside(run: &PipelineRun, args: &LogsArgs, lines: usize, look: &str) -> Vec<String> {
    let mut told = if args.follow {
        Vec::new()
    } else {
        waiting(run, args)
    };
    if lines == 0 {
        told.extend(said(run, args, ending::never_began));
    }
    if lines == 0 && told.is_empty() && args.follow {
        told.push(format!("nothing was written; see `{look}` for what became of it"));
    }
    told
}

/// Lines that were told, each once.
#[derive(Debug, Default)]
struct Told(BTreeSet<String>);

impl Told {
    /// Those that are new.
    fn take(&mut self, lines: Vec<String>) -> Vec<String> {
        lines
            .into_iter()
            .filter(|line| self.0.insert(line.clone()))
            .collect()
    }
}

/// The command that shows the run, with the namespace where one was given: without it the kubeconfig's would be used.
fn look(global: &Global, args: &LogsArgs) -> String {
    let flag = global
        .namespace
        .as_ref()
        .map_or_else(String::new, |namespace| format!(" -n {namespace}"));
    format!("dcanary get run {}{flag}", args.name)
}

/// Prints the lines that the server has; while they are followed it is told what stages wait for.
async fn lines(
    cluster: &Cluster,
    run: &PipelineRun,
    args: &LogsArgs,
    style: Style,
    printed: &mut Printed,
) -> Result<(), Failure> {
    let lines = from_server(cluster, run, args, style, printed);
    if !args.follow {
        return lines.await;
    }
    tokio::select! {
        done = lines => done,
        never = tell_waiting(cluster, args) => never,
    }
}

/// Tells what stages wait for, once for each reason, as long as the run can be watched. It does not end by itself.
async fn tell_waiting(cluster: &Cluster, args: &LogsArgs) -> Result<(), Failure> {
    let states = watch::states::<PipelineRun>(cluster, &cluster.namespace, &args.name);
    let mut states = Box::pin(states);
    let mut told = Told::default();
    while let Some(Ok(run)) = states.next().await {
        for line in told.take(waiting(&run, args)) {
            note(&line);
        }
    }
    future::pending().await
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
    use crate::render::tree::fixtures;

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

    fn asked(follow: bool) -> LogsArgs {
        LogsArgs {
            name: "web-7f3ab".to_owned(),
            stage: Some("scan".to_owned()),
            follow,
        }
    }

    /// A run whose stage `scan` waits for its Pod.
    fn waits() -> PipelineRun {
        let mut run = fixtures::running();
        let stages = &mut run.status.as_mut().unwrap().stages;
        let scan = stages.iter_mut().find(|stage| stage.name == "scan").unwrap();
        let attempt = scan.attempts.last_mut().unwrap();
        attempt.started_at = None;
        attempt.reason = "CreateContainerConfigError".to_owned();
        attempt.message = "secret \"nope\" not found".to_owned();
        run
    }

    #[test]
    fn a_log_without_lines_of_a_stage_that_waits_says_what_it_waits_for() {
        let line = "stage scan waits: CreateContainerConfigError: secret \"nope\" not found";
        assert_eq!(beside(&waits(), &asked(false), 0, "look"), [line]);
        assert_eq!(said(&waits(), &asked(false), ending::no_log_yet), [line]);
        // lines of an earlier attempt
        assert_eq!(beside(&waits(), &asked(false), 3, "look"), [line]);
        assert!(beside(&fixtures::running(), &asked(false), 0, "look").is_empty());
    }

    #[test]
    fn a_log_that_was_followed_without_lines_names_the_command_that_shows_the_run() {
        let said = beside(&fixtures::running(), &asked(true), 0, "dcanary get run web-7f3ab");
        assert_eq!(
            said,
            ["nothing was written; see `dcanary get run web-7f3ab` for what became of it"]
        );
        assert!(beside(&fixtures::running(), &asked(true), 1, "look").is_empty());
    }

    #[test]
    fn while_a_log_is_followed_each_reason_is_told_once() {
        let mut told = Told::default();
        let lines = |all: &[&str]| all.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        assert_eq!(told.take(lines(&["a", "b"])), ["a", "b"]);
        assert!(told.take(lines(&["a"])).is_empty());
        assert_eq!(told.take(lines(&["b", "c"])), ["c"]);
    }

    #[test]
    fn who_asks_for_the_log_of_a_deleted_run_is_told_where_its_traces_are() {
        let said = traces();
        for part in ["UID", "`dcanary ledger export ", "`dcanary verify export "] {
            assert!(said.contains(part), "{part}: {said}");
        }
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
